"""A small SuperAnnotate: its protocol on 127.0.0.1 with a state of its own, and faults on demand."""

from __future__ import annotations

import base64
import email.parser
import json
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

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
            cut, duplicate, short, delete.
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
        self.decimals: int | None = None
        self.latency = 0.0
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


class Handler(BaseHTTPRequestHandler):
    """One request: the fault first, then the route named after method and path."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Server

    def log_message(self, format: str, *args: object) -> None:
        """Silence."""

    def _serve(self) -> None:
        parts = urlsplit(self.path)
        query = {key: values[-1] for key, values in parse_qs(parts.query).items()}
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = self._chunks()
        server = self.server
        server.requests.append(f"{self.command} {parts.path}")
        fault = server.take_fault(f"{self.command} {parts.path}")
        if server.latency:
            time.sleep(server.latency)
        if fault and self._fails(fault):
            return
        if parts.path.startswith("/photos/"):
            self._image(parts.path)
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

    do_GET = do_POST = do_PUT = do_DELETE = _serve  # noqa: N815 (the base class's names)

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
        else:
            return False
        return True

    def _route(self, path: str, query: dict[str, str], body: bytes, fault: Fault | None) -> tuple[int, Any]:
        for method, start, end, answer in ROUTES:
            if method == self.command and path.startswith(start) and path.endswith(end):
                content = body if b"form-data" in body[:4000] else json.loads(body or b"{}")
                return answer(self, path, query, content, fault)
        return 404, {"error": f"no route {self.command} {path}"}

    def _image(self, path: str) -> None:
        content = self.server.images.get(path.removeprefix("/photos/"))
        self._send(content or b"", "image/jpeg", 200 if content else 404)

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

    def context(self) -> dict[str, Any]:
        """The entity that the header names."""
        context: dict[str, Any] = json.loads(base64.b64decode(self.headers["x-sa-entity-context"]))
        return context

    # Routes: (path, query, content, fault) → (status, answer)

    def me(self, *_: Any) -> tuple[int, Any]:
        """The user behind a legacy token."""
        return 200, {"id": "o@x.io", "email": "o@x.io", "first_name": "O", "last_name": "X", "user_role": 2}

    def key(self, *_: Any) -> tuple[int, Any]:
        """The team behind an API key."""
        return 200, {"user": None, "token": {"scope_type": "team", "scope": {"team_id": 777}, "created_by": "o@x.io"}}

    def team(self, *_: Any) -> tuple[int, Any]:
        """The team."""
        return 200, {
            "id": 777, "name": "Team", "description": "", "type": "team", "user_role": 2, "is_default": False,
            "users": [], "pending_invitations": [], "creator_id": "o@x.io", "owner_id": "o@x.io", "scores": None,
        }  # fmt: skip

    def projects(self, path: str, query: dict[str, str], *_: Any) -> tuple[int, Any]:
        """The project, by name or among all."""
        found = (
            [self.server.project]
            if query.get("name", self.server.project["name"]) == self.server.project["name"]
            else []
        )
        return 200, {"data": found, "count": len(found)}

    def folder(self, path: str, query: dict[str, str], *_: Any) -> tuple[int, Any]:
        """One folder by name."""
        for row in self._folders():
            if row["name"] == query["name"]:
                return 200, row
        return 404, {"error": "Folder not found"}

    def folders(self, *_: Any) -> tuple[int, Any]:
        """All folders; the root among them."""
        rows = self._folders()
        return 200, {"data": rows, "count": len(rows)}

    def _folders(self) -> list[dict[str, Any]]:
        return [
            {"id": key, "name": name, "status": 1, "project_id": 11, "team_id": 777, "is_root": name == "root"}
            for key, name in self.server.folders.items()
        ]

    def workflow(self, *_: Any) -> tuple[int, Any]:
        """The statuses of the workflow."""
        rows = [{"value": i, "status": {"name": name}} for i, name in enumerate(self.server.statuses, 1)]
        return 200, {"data": rows, "count": len(rows)}

    def workflows(self, *_: Any) -> tuple[int, Any]:
        """The workflow itself."""
        return 200, {"data": [{"id": 1, "name": "System", "type": "system"}], "count": 1}

    def project_settings(self, *_: Any) -> tuple[int, Any]:
        """The settings as a bare list."""
        pairs = enumerate(self.server.settings.items())
        return 200, [{"id": i, "project_id": 11, "attribute": key, "value": value} for i, (key, value) in pairs]

    def search(self, path: str, query: dict[str, str], content: Any, fault: Fault | None) -> tuple[int, Any]:
        """A page of items."""
        asked, folder = content["query"], self.context().get("folder_id")
        rows = [row for row in self.server.items.values() if folder in (None, row["folder_id"])]
        for condition in asked["search"].get("$and", []):
            for key, operators in condition.items():
                for operator, value in operators.items():
                    rows = [row for row in rows if (row[key] in value if operator == "$in" else row[key] == value)]
        if fault and fault.kind == "delete" and rows:
            del self.server.items[rows.pop(len(rows) // 2)["id"]]
        offset = asked["offset"]
        if fault and fault.kind == "duplicate":
            offset = max(0, offset - 3)
        page = rows[offset : offset + (asked["limit"] if not (fault and fault.kind == "short") else 3)]
        return 200, {"data": page, "count": len(rows)}

    def method(self, path: str, query: dict[str, str], content: Any, *_: Any) -> tuple[int, Any]:
        """How annotations are to be fetched: in two groups."""
        ids = [item_id for item_id in content["item_ids"] if item_id not in self.server.large]
        half = (len(ids) + 1) // 2
        groups = {str(i): group for i, group in enumerate((ids[:half], ids[half:])) if group}
        small = {key: {"data": [{"id": item_id} for item_id in group]} for key, group in groups.items()}
        return 200, {"small": small, "large": [{"id": i} for i in content["item_ids"] if i in self.server.large]}

    def synced(self, *_: Any) -> tuple[int, Any]:
        """How far a large annotation has been prepared."""
        return 200, {"status": self.server.sync}

    def download_large(self, path: str, *_: Any) -> tuple[int, Any]:
        """One large annotation, whole."""
        return 200, self.server.annotations[int(path.split("/")[5])]

    def download(self, path: str, query: dict[str, str], content: Any, *_: Any) -> tuple[int, Any]:
        """The annotations, as a stream."""
        return 200, [self.server.annotations[i] for i in content["image_ids"] if i in self.server.annotations]

    def entropy(self, path: str, query: dict[str, str], content: Any, fault: Fault | None) -> tuple[int, Any]:
        """Priorities by name in a folder; unknown names are passed over."""
        assert 1 <= len(content["image_entropies"]) <= 100
        if fault and fault.kind == "delete":
            self.delete(content["image_entropies"][0]["name"])
        done = []
        for item in self._named(int(query["folder_id"]), {row["name"] for row in content["image_entropies"]}):
            value = next(row["entropy_value"] for row in content["image_entropies"] if row["name"] == item["name"])
            item["entropy_value"] = value if self.server.decimals is None else round(value, self.server.decimals)
            item["updatedAt"] = self.server.tick()
            done.append({"name": item["name"]})
        return 200, {"data": done}

    def delete(self, name: str) -> None:
        """An item goes away in between."""
        for item_id in [key for key, item in self.server.items.items() if item["name"] == name]:
            del self.server.items[item_id]

    def assignment(self, path: str, query: dict[str, str], content: Any, *_: Any) -> tuple[int, Any]:
        """Items given to one person."""
        assert content["image_names"]
        folder = next(key for key, name in self.server.folders.items() if name == content["folder_name"])
        rows = self._named(folder, set(content["image_names"]))
        for item in rows:
            item["assignments"] = [{"user_id": content["assign_user_id"], "user_role": 1}]
            item["updatedAt"] = self.server.tick()
        return 200, {"successCount": len(rows)}

    def status(self, path: str, query: dict[str, str], content: Any, *_: Any) -> tuple[int, Any]:
        """A status for some items."""
        assert content["image_names"]
        for item in self._named(content["folder_id"], set(content["image_names"])):
            item["annotation_status"] = content["annotation_status"]
        return 200, {}

    def _named(self, folder: int, names: set[str]) -> list[dict[str, Any]]:
        return [row for row in self.server.items.values() if row["folder_id"] == folder and row["name"] in names]

    def annotation_classes(self, *_: Any) -> tuple[int, Any]:
        """The classes."""
        rows = [
            {"id": i, "project_id": 11, "name": name, "color": "#FF0000", "type": 1, "attribute_groups": []}
            for i, name in enumerate(self.server.classes, 1)
        ]
        return 200, {"data": rows, "count": len(rows)}

    def schema(self, *_: Any) -> tuple[int, Any]:
        """The schema that the SDK checks uploads with: anything goes."""
        return 200, {"$schema": "http://json-schema.org/draft-07/schema#", "type": "object"}

    def upload(self, path: str, query: dict[str, str], content: bytes, *_: Any) -> tuple[int, Any]:
        """Pre-annotations, one part an item."""
        kind = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode()
        for part in email.parser.BytesParser().parsebytes(kind + content).get_payload():
            document = json.loads(part.get_payload(decode=True))["data"]
            self.server.uploaded[document["metadata"]["name"]] = document
        resources: dict[str, list[str]] = {"class": [], "template": [], "attribute": [], "attributeGroup": []}
        return 200, {"failedItems": [], "missingResources": resources}

    def valid(self, *_: Any) -> tuple[int, Any]:
        """Every query is valid."""
        return 200, {"isValidQuery": True, "parsedQuery": "_"}

    def list_subsets(self, *_: Any) -> tuple[int, Any]:
        """The subsets; their position is their id."""
        rows = [{"id": i, "name": name} for i, name in enumerate(self.server.subsets)]
        return 200, {"data": rows, "count": len(rows)}

    def make_subsets(self, path: str, query: dict[str, str], content: Any, *_: Any) -> tuple[int, Any]:
        """New subsets."""
        for name in content["names"]:
            self.server.subsets[name] = set()
        return 200, [{"id": list(self.server.subsets).index(name), "name": name} for name in content["names"]]

    def change_subset(self, path: str, query: dict[str, str], content: Any, *_: Any) -> tuple[int, Any]:
        """Items into a subset."""
        list(self.server.subsets.values())[int(query["subset_id"])].update(content["item_ids"])
        return 200, {"skipped": [], "failed": []}

    def token_of_image(self, path: str, *_: Any) -> tuple[int, Any]:
        """Where an uploaded image can be fetched."""
        item_id = path.split("/")[2]
        return 200, {"original": {"url": f"{self.server.url}/photos/{item_id}.jpg", "headers": {}}}


ROUTES: list[tuple[str, str, str, Any]] = [
    ("GET", "/user/ME", "", Handler.me),
    ("POST", "/wm/api/v1/users/me", "", Handler.key),
    ("GET", "/api/v1/team/", "", Handler.team),
    ("GET", "/api/v1/projects", "", Handler.projects),
    ("GET", "/folder/getFolderByName", "", Handler.folder),
    ("POST", "/wm/api/v1/folders/search", "", Handler.folders),
    ("GET", "/wm/api/v1/workflows/", "workflowstatuses", Handler.workflow),
    ("GET", "/wm/api/v1/workflows", "", Handler.workflows),
    ("GET", "/project/", "/settings", Handler.project_settings),
    ("POST", "/item/api/v1/items/search", "", Handler.search),
    ("POST", "/assets/api/v4/items/annotations/download/method", "", Handler.method),
    ("POST", "/assets/api/v4/items/annotations/download", "", Handler.download),
    ("POST", "/assets/api/v4/items/", "/annotations/sync", Handler.synced),
    ("GET", "/assets/api/v4/items/", "/annotations/sync/status", Handler.synced),
    ("POST", "/assets/api/v3.01/items/", "/annotations/download", Handler.download_large),
    ("GET", "/assets/api/v4/items/annotations/schema", "", Handler.schema),
    ("POST", "/assets/api/v4/items/annotations/upload", "", Handler.upload),
    ("POST", "/images/updateEntropy", "", Handler.entropy),
    ("PUT", "/images/editAssignment/", "", Handler.assignment),
    ("PUT", "/image/updateAnnotationStatusBulk", "", Handler.status),
    ("GET", "/classes", "", Handler.annotation_classes),
    ("POST", "/explore/api/v1/items/parse/query", "", Handler.valid),
    ("GET", "/explore/api/v1/subsets", "", Handler.list_subsets),
    ("POST", "/explore/api/v1/subsets/change", "", Handler.change_subset),
    ("POST", "/explore/api/v1/subsets", "", Handler.make_subsets),
    ("GET", "/image/", "getAnnotationDownloadToken", Handler.token_of_image),
]
