"""A real Label Studio server in its own process, without network beyond 127.0.0.1 and with two annotators."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import requests

from tests.support.label_studio_server import LEGACY

SECOND = "1" * 40
"""The token of the second annotator."""
PASSWORD = "pass1234word"
SECONDS_TO_START = 400
PEOPLE = {"ann@example.com": LEGACY, "bob@example.com": SECOND}


class RunningServer:
    """What tests ask of a running server, as one of its two annotators."""

    def __init__(self, url: str) -> None:
        self.url = url

    def ask(self, method: str, path: str, person: int = 0, **options: Any) -> Any:
        """The JSON answer to one of the two people."""
        headers = {"Authorization": f"Token {list(PEOPLE.values())[person]}"}
        response = requests.request(method, self.url + path, headers=headers, timeout=120, **options)
        assert response.ok, f"{method} {path}: {response.status_code} {response.text[:500]}"
        return response.json() if response.content else None

    def next_task(self, project: int, person: int) -> int:
        """The task that this person receives now, as the button "Label All Tasks" asks for it."""
        return int(self.ask("POST", f"/api/dm/actions?id=next_task&project={project}", person, json={})["id"])

    def answer(self, task: int, results: list[dict[str, Any]], person: int = 0, **facts: Any) -> None:
        """Submit an annotation."""
        content = {"result": results, "lead_time": 12.5, **facts}
        self.ask("POST", f"/api/tasks/{task}/annotations/", person, json=content)


@contextlib.contextmanager
def run_label_studio(program: str, folder: Path, lock: int = 1) -> Iterator[RunningServer]:
    """Start the server with its data in a folder, which may hold those of an earlier start, and end it.

    Args:
        lock: seconds for which a task before somebody is given to nobody else; the server's own default is a day.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {
        "PATH": os.environ["PATH"], "HOME": str(folder), "LANG": "C.UTF-8", "LABEL_STUDIO_BASE_DATA_DIR": str(folder),
        "COLLECT_ANALYTICS": "false", "SENTRY_DSN": "", "FRONTEND_SENTRY_DSN": "", "LATEST_VERSION_CHECK": "false",
        "CONVERTER_DOWNLOAD_RESOURCES": "false", "LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED": "true",
        "LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT": str(folder), "TASK_LOCK_TTL": str(lock),
        "LABEL_STUDIO_USERNAME": "ann@example.com", "LABEL_STUDIO_PASSWORD": PASSWORD,
        "LABEL_STUDIO_USER_TOKEN": LEGACY, "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": "true",
    }  # fmt: skip
    start = [program, "start", "--no-browser", "--internal-host", "127.0.0.1", "--port", str(port)]
    with (folder / "server.log").open("ab") as log:
        process = subprocess.Popen(
            start, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
        try:
            server = RunningServer(f"http://127.0.0.1:{port}")
            _wait(server, process, folder / "server.log")
            second = [
                "init",
                "-q",
                "--username",
                "bob@example.com",
                "--password",
                PASSWORD,
                "--user-token",
                SECOND,
            ]
            subprocess.run([program, *second], env=environment, stdout=log, stderr=log, check=True, timeout=120)
            yield server
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()


def _wait(server: RunningServer, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + SECONDS_TO_START
    while time.monotonic() < end:
        assert process.poll() is None, log.read_text()[-2000:]
        with contextlib.suppress(requests.RequestException, AssertionError):
            if requests.get(f"{server.url}/health", timeout=5).ok:
                server.ask("GET", "/api/current-user/whoami")
                return
        time.sleep(0.5)
    raise AssertionError(f"Label Studio did not start in {SECONDS_TO_START} s: {log.read_text()[-2000:]}")
