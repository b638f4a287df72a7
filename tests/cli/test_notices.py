"""A word when a cycle is done: who gets it, when, and that it never fails a run."""

from __future__ import annotations

import importlib.util
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from alcli.system.webhook import MOMENT, SIGNATURE, sign
from tests.support.scenes import Photos

KEY = "canary-key-of-the-tests"


class Receiver(ThreadingHTTPServer):
    """Keeps what it gets; ``status`` is what it answers, 0 for never."""

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.received: list[tuple[dict[str, str], bytes]] = []
        self.status = 200
        self.released = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/hook"

    def documents(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, body in self.received]


class Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.received.append((dict(self.headers), body))
        if not self.server.status:
            self.server.released.wait(60)
        self.send_response(self.server.status or 200)
        if self.server.status == 302:
            self.send_header("Location", f"{self.server.url}/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Silence."""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    server = Receiver()
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield server
    server.released.set()
    server.shutdown()
    server.server_close()


@pytest.fixture
def root(tmp_path: Path, alcli) -> Path:
    """A workspace whose first list needs no training."""
    photos = Photos(tmp_path / "project").draw(4, annotated=0)
    code, _, err = alcli("init", tmp_path / "W", "--images", photos.images, "--annotations", photos.annotations)
    assert code == 0, err
    return tmp_path / "W"


def flags(receiver: Receiver, **settings: object) -> list[str]:
    values = {"webhook": receiver.url, **settings}
    return [part for key, value in values.items() for part in ("--set", f"notify.{key}={value}")]


def test_a_new_list_is_told_once_with_a_signature(receiver, root, alcli, tmp_path):
    secret = tmp_path / "key"
    secret.write_text(f"{KEY}\n")
    secret.chmod(0o600)
    settings = flags(receiver, secret_file=secret)
    assert alcli("cycle", "-w", root, *settings)[0] == 0
    headers, body = receiver.received[0]
    assert headers[SIGNATURE] == sign(KEY, headers[MOMENT], body)
    told = json.loads(body)
    assert (told["event"], told["workspace"], told["cycle"], told["exit_code"]) == ("list", "W", 1, 0)
    assert told["pool"]["unlabeled"] == 4
    assert "Ranked 4 images" in told["message"]
    assert alcli("cycle", "-w", root, *settings)[0] == 0  # nothing is new
    assert len(receiver.received) == 1


def test_a_failed_run_is_told_with_its_reason(receiver, root, alcli, tmp_path):
    (tmp_path / "project" / "images").rename(tmp_path / "gone")
    code, _, _ = alcli("cycle", "-w", root, *flags(receiver))
    told = receiver.documents()[0]
    assert code not in (0, 3)
    assert (told["event"], told["exit_code"], told["failures"], told["cycle"]) == ("failure", code, 1, None)
    assert told["message"]


def test_only_the_events_that_were_asked_for_are_told(receiver, root, alcli):
    assert alcli("cycle", "-w", root, *flags(receiver, events="failure"))[0] == 0
    assert receiver.received == []


@pytest.mark.parametrize(("status", "reason"), [(0, "no answer"), (302, "status 302"), (500, "status 500")])
def test_whoever_does_not_listen_fails_no_run(receiver, root, alcli, status, reason):
    receiver.status = status
    code, _, err = alcli("cycle", "-w", root, *flags(receiver, seconds=0.5))
    assert code == 0
    assert "Nobody was notified: " in err
    assert reason in err or (not status and "ReadTimeout" in err)
    assert len(receiver.received) == 1
    assert receiver.url not in err


def test_a_key_that_others_can_read_is_not_used(receiver, root, alcli, tmp_path):
    secret = tmp_path / "key"
    secret.write_text(KEY)
    secret.chmod(0o644)
    code, _, err = alcli("cycle", "-w", root, *flags(receiver, secret_file=secret))
    assert code == 0
    assert "other users can read key; chmod 600" in err
    assert receiver.received == []


def test_services_of_apprise_are_told(receiver, root, alcli, tmp_path):
    pytest.importorskip("apprise")
    addresses = tmp_path / "addresses"
    addresses.write_text(f"# the team\n{receiver.url.replace('http:', 'json:')}\nnonsense\n")
    addresses.chmod(0o600)
    code, out, err = alcli("cycle", "-w", root, "--set", f"notify.urls_file={addresses}")
    assert code == 0
    assert "Apprise does not know address 2 of addresses" in err
    told = receiver.documents()[0]
    assert told["title"] == "alcli: W, a new list"
    assert "Ranked 4 images" in told["message"]
    assert "nonsense" not in out + err


@pytest.mark.parametrize("setting", ["webhook", "secret_file", "urls_file"])
def test_what_only_a_received_workspace_says_waits_for_its_owner(receiver, root, alcli, tmp_path, setting):
    secret = tmp_path / "secret"
    secret.write_text(f"json://127.0.0.1:{receiver.server_address[1]}/hook\n")
    secret.chmod(0o600)
    hook = f'webhook = "{receiver.url}"\n'
    lines = {
        "webhook": hook,
        "secret_file": f'{hook}secret_file = "{secret}"\n',
        "urls_file": f'urls_file = "{secret}"\n',
    }
    with (root / "alcli.toml").open("a") as stream:
        stream.write(f"\n[notify]\n{lines[setting]}")
    once = ("--set", f"notify.webhook={receiver.url}") if setting == "secret_file" else ()
    code, _, err = alcli("cycle", "-w", root, *once)
    assert code == 0 and receiver.received == [], err
    assert "Nobody was notified" in err and f"alcli trust -w {root}" in err and "/hook" not in err
    assert alcli("trust", "-w", root)[0] == 0
    code, _, err = alcli("cycle", "-w", root, "--budget", "2")
    assert code == 0 and "Nobody was notified" not in err
    assert len(receiver.received) == (1 if setting != "urls_file" or _has_apprise() else 0)


def _has_apprise() -> bool:
    return importlib.util.find_spec("apprise") is not None
