"""What platforms answer: the oracle's and the queue's files, tokens, headers, and a service that says anything."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from alcli.items import Item
from alcli.platforms import _superannotate_token
from alcli.platforms._answers import retry_after
from alcli.platforms._superannotate_options import SuperannotateOptions
from alcli.platforms.oracle import Oracle
from alcli.platforms.superannotate import Superannotate
from tests.fuzz.inputs import json_files, text_files, texts
from tests.fuzz.samples import SUPERANNOTATE
from tests.fuzz.subject import Subject, Use
from tests.fuzz.subjects.annotations import in_file
from tests.support.superannotate_server import TOKEN, Handler, Server

ANSWER = {"id": "a", "uri": "file:///a.jpg", "version": "1",
          "annotation": json.dumps({"boxes": [{"label": "a", "x1": 1, "y1": 2, "x2": 3, "y2": 4}]})}  # fmt: skip
QUEUE = "position,name,entropy_value,asked\n1,a,1.00000,yes\n2,b,0.50000,no\n"
FOLDER = {"id": 100, "name": "root", "status": 1, "project_id": 11, "team_id": 777, "is_root": True}
PROJECT = {"id": 11, "team_id": 777, "name": "Cells", "type": 1, "workflow_id": 1, "upload_state": 3}
ITEM = {"id": 1001, "name": "a.jpg", "folder_id": 100, "project_id": 11, "annotation_status": 1, "entropy_value": 0.5,
        "assignments": [{"user_id": "x"}], "createdAt": "2026", "updatedAt": "2026",
        "metadata": {"path": "http://127.0.0.1/a.jpg"}}  # fmt: skip
ANSWERS: dict[str, list[Any]] = {
    "/projects": [{"data": [PROJECT], "count": 1}],
    "/folders/search": [{"data": [FOLDER], "count": 1}],
    "/workflowstatuses": [{"data": [{"value": 1, "status": {"name": "NotStarted"}},
                                    {"value": 5, "status": {"name": "Completed"}}], "count": 2}],
    "/items/search": [{"data": [ITEM, {**ITEM, "id": 1002, "annotation_status": 5}], "count": 2}],
    "/download/method": [{"small": {"0": {"data": [{"id": 1002}]}}, "large": []}],
    "/annotations/download": [{"metadata": {"id": 1002, "name": "b"}, **row} for row in SUPERANNOTATE],
    "/updateEntropy": [["a.jpg"]],
}  # fmt: skip


class AnyAnswer(Handler):
    """The small service, one of whose answers is replaced by ``server.given`` = (end of its path, bytes)."""

    def _send(self, content: bytes, kind: str, status: int, headers: dict[str, str] | None = None) -> None:
        end, given = self.server.any_answer  # type: ignore[attr-defined]
        super()._send(given if self._is(end) else content, kind, status, headers)

    def _stream(self, documents: list[Any], fault: Any) -> None:
        end, given = self.server.any_answer  # type: ignore[attr-defined]
        if self._is(end):
            self._send(given, "application/json", 200)
        else:
            super()._stream(documents, fault)

    def _is(self, end: str) -> bool:
        return self.path.partition("?")[0].endswith(end)


@contextlib.contextmanager
def _service(folder: Path) -> Iterator[Use]:
    before = {key: os.environ.get(key) for key in ("SA_TOKEN", "SA_URL")}
    with Server() as server:
        server.RequestHandlerClass = AnyAnswer
        server.any_answer = ("-", b"")  # type: ignore[attr-defined]
        server.add("a.jpg")
        second = server.add("b.jpg")
        server.annotate(second, SUPERANNOTATE[0]["instances"])
        os.environ.update(SA_TOKEN=TOKEN, SA_URL=server.url)
        options = SuperannotateOptions(name="superannotate", project="Cells/*", backoff=0, timeout=2, deadline=3)
        platform = Superannotate(options, folder / "W/cache")
        log_in = platform._client.account

        def use(answer: tuple[str, bytes]) -> None:
            server.any_answer = answer  # type: ignore[attr-defined]
            platform = Superannotate(options, folder / "W/cache")
            platform._client.__dict__["account"] = log_in
            items = [row for row in platform.items() if isinstance(row, Item)]
            for item in items:
                item.name.encode(), item.id.encode(), item.folder.encode(), item.uri.encode()
            list(platform.annotations([item for item in items if item.id == str(second)]))
            platform.queue()

        try:
            yield use
        finally:
            for key, value in before.items():
                os.environ.pop(key, None) if value is None else os.environ.update({key: value})


def _oracle(folder: Path) -> Oracle:
    return Oracle(Oracle.Options(annotations=folder / "answers", queue=folder / "queue.csv"), folder)


def _answers(folder: Path) -> None:
    oracle = _oracle(folder)
    items = [row for row in oracle.items() if isinstance(row, Item)]
    list(oracle.annotations(items))


def _token(folder: Path) -> None:
    (folder / "config.ini").chmod(0o600)
    home = folder.parent
    _superannotate_token.find_credentials(SuperannotateOptions(token_file=folder / "config.ini"), {}, home)


def _ini(folder: Path) -> None:
    (folder / ".superannotate/config.ini").chmod(0o600)
    _superannotate_token.find_credentials(SuperannotateOptions(), {}, folder)


def _waits(folder: Path) -> contextlib.AbstractContextManager[Use]:
    def use(text: str) -> None:
        seconds = retry_after(text)
        assert seconds is None or seconds >= 0

    return contextlib.nullcontext(use)


def _any_answers() -> st.SearchStrategy[tuple[str, bytes]]:
    return st.one_of([st.tuples(st.just(end), json_files(valid)) for end, valid in ANSWERS.items()])


INI = ["[DEFAULT]\nSA_TOKEN = Secret.token_of_file=42\nSA_URL = https://sa.example.com/\n"]
WAITS = ["120", "Thu, 01 Jan 2026 00:00:00 GMT", "Thu, 01 Jan 2026 00:00:00 -0000", "1.5"]

SUBJECTS = [
    Subject("oracle's answers", json_files([ANSWER]), in_file("answers", _answers, revealed__json=b'["a"]')),
    Subject(
        "oracle's revealed items",
        json_files([["a", "b"]]),
        in_file("revealed.json", _answers, answers=json.dumps(ANSWER).encode() + b"\n"),
        share=0.5,
    ),
    Subject(
        "queue",
        text_files([QUEUE], ['"', ",", "\n", "\r", "yes", "no", "-1"]),
        in_file("queue.csv", lambda folder: (_oracle(folder).queue(), _oracle(folder).batch())),
    ),
    Subject(
        "token file", text_files(["Secret.token_of_file=42\n"], ["=", "."]), in_file("config.ini", _token), share=0.3
    ),
    Subject(
        "the SDK's configuration",
        text_files(INI, ["[", "]", "=", "%", "%(x)s", "\n", "[DEFAULT]", ":"]),
        in_file(".superannotate/config.ini", _ini),
        share=0.5,
    ),
    Subject("Retry-After", texts(WAITS, ["GMT", "-0000", "+9999", "Jan", "0", "²", ":"]), _waits, share=0.5),
    Subject("SuperAnnotate's answers", _any_answers(), _service, share=0.08),
]
