"""A small SuperAnnotate: its protocol on 127.0.0.1 with a state of its own, and faults on demand."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.support.superannotate_routes import ROUTES, Routes

TOKEN = "Canary-token.of_tests=777"
STATUSES = ("NotStarted", "InProgress", "QualityCheck", "Returned", "Completed", "Skipped")
PAGE = 2000
DELIMITER = "\\n;)\\n"
PIECE = 37


@dataclass
class Fault:
    """What goes wrong with the next requests whose path contains ``path``.

    Attributes:
        kind: a status as text, or hang, html, echo (400, with the token in its text), drop (applied, then no answer),
            cut, duplicate, short, delete; drip (a body that never ends), empty, half (less than Content-Length says),
            cutoff (half, without a length), garbage (bytes of no known format).
    """

    kind: str
    path: str = ""
    times: int = 1
    headers: dict[str, str] = field(default_factory=dict)


class Server(ThreadingHTTPServer):
    """One team with one project; ``with Server() as server`` serves until the block ends."""

    daemon_threads = True
    # Closing must not wait for handlers that hang on purpose.
    block_on_close = False

    def __init__(self, project: str = "Cells", token: str = TOKEN) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.token = token
        self.team = 777
        self.project = {"id": 11, "team_id": 777, "name": project, "type": 1, "workflow_id": 1, "upload_state": 3}
        self.folders = {100: "root"}
        self.items: dict[int, dict[str, Any]] = {}
        self.annotations: dict[int, dict[str, Any]] = {}
        self.images: dict[str, bytes] = {}
        self.classes = ["cat", "dog"]
        self.statuses = list(STATUSES)
        self.settings = {"ShowEntropy": 1, "ImageAutoAssignEnable": 1, "ItemAutoAssignOrder": 4}
        self.subsets: dict[str, set[int]] = {}
        self.uploaded: dict[str, dict[str, Any]] = {}
        self.large: set[int] = set()
        self.sync = "SUCCESS"
        self.faults: list[Fault] = []
        self.requests: list[str] = []
        self.given: list[tuple[int, float]] = []
        self.decimals: int | None = None
        self.latency = 0.0
        self.drip = 0.02
        self.headers: list[dict[str, str]] = []
        self.ahead = 0.0
        self.hang = 0.4
        self.clock = 0
        self.last_id = 1000
        self.lock = threading.RLock()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def __enter__(self) -> Server:
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that has gone away is no news."""

    def add(self, name: str, folder: str = "root", status: str = "NotStarted", **more: Any) -> int:
        """One more item; its folder is made when missing."""
        number = next((key for key, value in self.folders.items() if value == folder), None)
        if number is None:
            number = max(self.folders) + 1
            self.folders[number] = folder
        self.last_id += 1
        item_id = self.last_id
        stamp = self.tick()
        self.items[item_id] = {
            "id": item_id, "name": name, "folder_id": number, "project_id": 11,
            "annotation_status": self.statuses.index(status) + 1, "entropy_value": None, "assignments": [],
            "createdAt": stamp, "updatedAt": stamp, "metadata": {"path": f"{self.url}/photos/{item_id}.jpg"}, **more,
        }  # fmt: skip
        return item_id

    def annotate(
        self, item_id: int, instances: list[dict[str, Any]], status: str = "Completed", **metadata: Any
    ) -> None:
        """What an annotator does."""
        item = self.items[item_id]
        item.update(annotation_status=self.statuses.index(status) + 1, updatedAt=self.tick())
        self.annotations[item_id] = {
            "metadata": {"id": item_id, "name": item["name"], **metadata}, "instances": instances, "tags": [],
        }  # fmt: skip

    def queue(self, folder: str | None = None) -> list[str]:
        """Names by falling priority, as annotators are handed them."""
        rows = [
            item
            for item in self.items.values()
            if item["entropy_value"] and item["annotation_status"] == 1
            and folder in (None, self.folders[item["folder_id"]])
        ]  # fmt: skip
        return [item["name"] for item in sorted(rows, key=lambda item: -item["entropy_value"])]

    def state(self) -> str:
        """Everything annotators would notice, for comparison."""
        kept = ("id", "annotation_status", "entropy_value", "assignments")
        return json.dumps([{key: item[key] for key in kept} for item in self.items.values()])

    def seen(self) -> str:
        """What annotators see, however it came about."""
        return self.state()

    def given_twice(self) -> int:
        """Priorities that were sent though they were there already."""
        return sum(count - 1 for count in Counter(self.given).values())

    def tick(self) -> str:
        """The server's own time, which never repeats."""
        self.clock += 1
        return f"2026-01-01T{self.clock // 3600 % 24:02d}:{self.clock // 60 % 60:02d}:{self.clock % 60:02d}.000Z"

    def take_fault(self, path: str) -> Fault | None:
        """The fault that strikes this request."""
        with self.lock:
            for fault in self.faults:
                if fault.times and fault.path in path:
                    fault.times -= 1
                    return fault
        return None


class Handler(Routes, BaseHTTPRequestHandler):
    """One request: the fault first, then the route named after method and path."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Server

    def date_time_string(self, timestamp: float | None = None) -> str:
        """The server's time, which may differ."""
        return super().date_time_string(time.time() + self.server.ahead)

    def log_message(self, format: str, *args: object) -> None:
        """Silence."""

    def _serve(self) -> None:
        parts = urlsplit(self.path)
        query = {key: values[-1] for key, values in parse_qs(parts.query).items()}
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = self._chunks()
        server, self.body = self.server, body
        server.requests.append(f"{self.command} {parts.path}")
        server.headers.append({name.lower(): value for name, value in self.headers.items()})
        fault = server.take_fault(f"{self.command} {parts.path}")
        if server.latency:
            time.sleep(server.latency)
        if fault and (self._fails(fault) or self._spoils(fault, parts.path)):
            return
        if self._gives_image(parts.path):
            return
        if self.headers.get("Authorization") != server.token:
            self._json({"error": "Unauthorized"}, 401)
            return
        with server.lock:
            status, answer = self._route(parts.path, query, body, fault)
        if fault and fault.kind == "drop":
            self.close_connection = True
            return
        if isinstance(answer, list) and parts.path.endswith("annotations/download"):
            self._stream(answer, fault)
        else:
            self._json(answer, status)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815 (the base class's names)

    def _fails(self, fault: Fault) -> bool:
        if fault.kind.isdigit():
            self._json({"error": f"fault {fault.kind}"}, int(fault.kind), fault.headers)
        elif fault.kind == "hang":
            time.sleep(self.server.hang)
            self.close_connection = True
        elif fault.kind == "echo":
            self._json({"error": f"bad token {self.headers['Authorization']}"}, 400)
        elif fault.kind == "html":
            self._send(b"<html><body>Log in</body></html>", "text/html", 200)
        elif fault.kind == "redirect":
            self._send(b"", "text/plain", 302, fault.headers)
        else:
            return False
        return True

    def _spoils(self, fault: Fault, path: str) -> bool:
        """Answer with status 200 and something that is not what was asked for."""
        content = self.server.images.get(path.removeprefix("/photos/"), b"")
        if fault.kind == "drip":
            self.send_response(200)
            self.end_headers()
            start = content or b"{"
            with contextlib.suppress(OSError):
                while True:
                    self.wfile.write(start[:1] or b" ")
                    start = start[1:]
                    time.sleep(self.server.drip)
        elif fault.kind == "empty":
            self._send(b"", "image/jpeg", 200)
        elif fault.kind == "garbage":
            self._send(bytes(range(256)), "application/octet-stream", 200)
        elif fault.kind == "half":
            self._send(content[: len(content) // 2], "image/jpeg", 200, {"Content-Length": str(len(content))})
        elif fault.kind == "cutoff":
            self.send_response(200)
            self.end_headers()
            self.wfile.write(content[: len(content) // 2])
        else:
            return False
        self.close_connection = True
        return True

    def _route(self, path: str, query: dict[str, str], body: bytes, fault: Fault | None) -> tuple[int, Any]:
        for method, start, end, answer in ROUTES:
            if method == self.command and path.startswith(start) and path.endswith(end):
                content = body if b"form-data" in body[:4000] else json.loads(body or b"{}")
                return answer(self, path, query, content, fault)
        return 404, {"error": f"no route {self.command} {path}"}

    def _gives_image(self, path: str) -> bool:
        """Answer with an image, whoever asks; False for other paths."""
        if not path.startswith("/photos/"):
            return False
        content = self.server.images.get(path.removeprefix("/photos/"))
        self._send(content or b"", "image/jpeg", 200 if content else 404)
        return True

    def _json(self, answer: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self._send(json.dumps(answer).encode(), "application/json", status, headers)

    def _send(self, content: bytes, kind: str, status: int, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(content)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def _stream(self, documents: list[Any], fault: Fault | None) -> None:
        """The documents with the delimiter between, in pieces that fall anywhere."""
        content = DELIMITER.join(json.dumps(row, ensure_ascii=False) for row in documents).encode()
        if fault and fault.kind == "cut":
            content = content[: len(content) * 2 // 3]
        size = PIECE if len(content) < 20_000 else 16_384
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for start in range(0, len(content), size):
            piece = content[start : start + size]
            self.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
        self.wfile.write(b"0\r\n\r\n")

    def _chunks(self) -> bytes:
        content = b""
        while size := int(self.rfile.readline(), 16):
            content += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return content
