"""A token appears nowhere, whatever is asked and however it fails; and it goes to one host only."""

from __future__ import annotations

import tempfile
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest

from tests.cli.test_superannotate import first_cycle, server, team  # noqa: F401 (fixtures)
from tests.fuzz.watch import watched
from tests.support.superannotate_server import TOKEN, Fault

WRONG = "Another-canary.token_of_tests=778"
COMMANDS = [
    ("pull",), ("train",), ("score",), ("score", "--strategy", "entropy"), ("export-csv", "-o", "OUT"), ("push",),
    ("push", "--dry-run"), ("push", "--prelabels"), ("push", "--restore"), ("cycle", "--metrics-file", "METRICS"),
    ("status",), ("health", "--max-age", "26h"), ("list", "items"), ("list", "quarantine"), ("doctor",),
    ("doctor", "--online"), ("backup", "BACKUP"),
]  # fmt: skip
WAYS = ["well", "echo", "wrong token", "crash"]


def holding(folder: Path, *secrets: str) -> list[str]:
    """Files whose name or content holds one of them."""
    wanted = [text.encode() for secret in secrets for text in (secret, quote(secret, safe=""))]
    files = [path for path in folder.rglob("*") if path.is_file()]
    return [str(path) for path in files if any(text in str(path).encode() + path.read_bytes() for text in wanted)]


@pytest.mark.parametrize("flag", ["-v", "--json"])
@pytest.mark.parametrize("way", WAYS)
def test_a_token_appears_nowhere(server, team, alcli, tmp_path, monkeypatch, way, flag):  # noqa: F811
    places = {name: tmp_path / name.lower() for name in ("OUT", "METRICS", "BACKUP")}
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    given = WRONG if way == "wrong token" else TOKEN
    monkeypatch.setenv("SA_TOKEN", given)
    if way == "crash":

        def crash(*arguments: object) -> None:
            raise ZeroDivisionError(f"with {TOKEN}")

        monkeypatch.setattr("alcli.platforms.superannotate.Superannotate.items", crash)
    codes = set()
    for command in COMMANDS:
        server.faults = [Fault("echo", times=1000)] if way == "echo" else []
        words = [places.get(word, word) for word in command]
        code, out, err = alcli(*words, "-w", team, flag)
        codes.add(code)
        assert not any(secret in out + err for secret in (TOKEN, WRONG)), command
    assert codes & {"well": {0}, "echo": {6}, "wrong token": {4}, "crash": {1}}[way], codes
    assert holding(tmp_path, TOKEN, WRONG) == []


def test_a_token_found_in_a_file_is_found_by_this_test(tmp_path):
    (tmp_path / "log").write_text(f"?token={quote(TOKEN, safe='')}")
    assert holding(tmp_path, TOKEN) == [str(tmp_path / "log")]


def test_a_cycle_speaks_to_the_configured_host_only(server, team, alcli):  # noqa: F811
    labeled = next(item_id for item_id, item in server.items.items() if item["annotation_status"] == 1)
    server.annotate(labeled, [])
    with watched() as seen:
        for command in (("cycle",), ("push", "--prelabels"), ("doctor", "--online")):
            assert alcli(*command, "-w", team)[0] == 0
    parts = urlsplit(server.url)
    assert seen.addresses == {(parts.hostname, parts.port)}
