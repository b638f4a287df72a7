"""A small Label Studio: its protocol on 127.0.0.1 as version 1.23 speaks it, and faults on demand."""

from __future__ import annotations

import base64
import copy
import email
import itertools
import json
import os
import re
import signal
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.support.superannotate_server import Fault, Handler
from tests.support.superannotate_server import Server as FaultyServer

LEGACY = "0123456789abcdef0123456789abcdef01234567"
PERSONAL = "eyJhbGciOiJIUzI1NiJ9.eyJ0b2tlbl90eXBlIjoicmVmcmVzaCJ9.Canary-signature_of_tests"
SCORES_AT_ONCE = 500
BOXES = {
    "label": {
        "type": "RectangleLabels",
        "to_name": ["image"],
        "inputs": [{"type": "Image", "valueType": None, "value": "image"}],
        "labels": ["cat", "dog"],
    }
}
Answer = tuple[int, Any]


class LabelStudioServer(FaultyServer):
    """One account with one project of the number 7; ``with LabelStudioServer() as server`` serves until the end."""

    def __init__(self, title: str = "Cells", controls: dict[str, Any] = BOXES) -> None:
        super().__init__(token=f"Token {LEGACY}")
        self.RequestHandlerClass = LabelStudioHandler
        self.settings_of_project: dict[str, Any] = {
            "id": 7, "title": title, "sampling": "Sequential sampling", "model_version": "", "maximum_annotations": 1,
            "parsed_label_config": copy.deepcopy(controls),
        }  # fmt: skip
        self.tasks: dict[int, dict[str, Any]] = {}
        self.predictions: dict[int, dict[str, Any]] = {}
        self.tabs: dict[int, dict[str, Any]] = {}
        self.users = {"ann@example.com": 1, "bob@example.com": 2}
        self.numbers = itertools.count(1)
        self.bought = 0
        self.most_scores = 10**9
        self.bucket = ""
        self.kind_of_form = ""
        self.client, self.kill_at, self.kills_after = 0, 0, False

    def add_task(self, image: str, **data: Any) -> int:
        """One more task; ``image`` is an address, or a name below the server's own images."""
        number = next(self.numbers)
        address = image if "/" in image else f"/data/local-files/?d={image}"
        moment = self.tick()
        self.tasks[number] = {
            "id": number, "data": {"image": address, **data}, "created_at": moment, "updated_at": moment,
            "annotations": [],
        }  # fmt: skip
        return number

    def answer_task(self, number: int, results: list[dict[str, Any]], **facts: Any) -> dict[str, Any]:
        """What an annotator does."""
        task = self.tasks[number]
        task["updated_at"] = self.tick()
        annotation = {
            "id": next(self.numbers), "completed_by": 1, "result": results, "was_cancelled": False,
            "ground_truth": False, "updated_at": task["updated_at"], "lead_time": 12.5, **facts,
        }  # fmt: skip
        task["annotations"].append(annotation)
        return annotation

    def touch(self, number: int) -> None:
        """A task was changed."""
        self.tasks[number]["updated_at"] = self.tick()

    def served(self) -> list[int]:
        """The tasks in the order in which annotators receive them; random orders are empty."""
        settings = self.settings_of_project
        if settings["sampling"] != "Uncertainty sampling":
            return sorted(number for number, task in self.tasks.items() if not task["annotations"])
        current = [each for each in self.predictions.values() if each["model_version"] == settings["model_version"]]
        current.sort(key=lambda each: each["score"])
        return [each["task"] for each in current if not self.tasks[each["task"]]["annotations"]]

    def state(self) -> str:
        """Everything annotators would notice, for comparison."""
        scores = sorted((each["model_version"], each["task"], each["score"]) for each in self.predictions.values())
        return json.dumps([self.settings_of_project, self.served(), scores], sort_keys=True)

    def seen(self) -> str:
        """The settings and the order; scores that no task is served by, which a killed run leaves, are not seen."""
        return json.dumps([self.settings_of_project, self.served()], sort_keys=True)

    def given_twice(self) -> int:
        """Scores of one task under one version, after the first."""
        scores = [(each["task"], each["model_version"]) for each in self.predictions.values()]
        return len(scores) - len(set(scores))


def counted(task: dict[str, Any]) -> dict[str, Any]:
    """A task as lists show it."""
    cancelled = sum(each["was_cancelled"] for each in task["annotations"])
    shown = {key: task[key] for key in ("id", "data", "created_at", "updated_at")}
    return {**shown, "total_annotations": len(task["annotations"]) - cancelled, "cancelled_annotations": cancelled}


class LabelStudioHandler(Handler):
    """One request."""

    server: LabelStudioServer

    def _gives_image(self, path: str) -> bool:
        if path == "/api/token/refresh/":
            self._json(*self._sell())
            return True
        if not path.startswith(("/data/", "/tasks/")):
            return super()._gives_image(path)
        parameters = parse_qs(urlsplit(self.path).query)
        if self.headers.get("Authorization") != self.server.token:
            self._json({"detail": "no token"}, 401)
        elif path.startswith("/tasks/"):
            address = base64.urlsafe_b64decode(parameters["fileuri"][0]).decode()
            target = f"{self.server.bucket or self.server.url}/photos/{address.rpartition('/')[2]}"
            self._send(b"", "text/plain", 303, {"Location": target})
        else:
            name = parameters["d"][0] if "d" in parameters else path.rpartition("/")[2]
            content = self.server.images.get(name)
            self._send(content or b"", "image/jpeg", 200 if content else 404)
        return True

    def _sell(self) -> tuple[Any, int]:
        if self.last_body.get("refresh") != PERSONAL:
            return {"detail": "no such token"}, 401
        self.server.bought += 1
        claims = {"iat": 1000, "exp": 1300, "number": self.server.bought}
        body = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
        access = f"eyJhbGciOiJIUzI1NiJ9.{body}.short-lived"
        self.server.token = f"Bearer {access}"
        return {"access": access}, 200

    @property
    def last_body(self) -> dict[str, Any]:
        """The request's JSON."""
        content: dict[str, Any] = json.loads(self.body or b"{}")
        return content

    def _route(self, path: str, query: dict[str, str], body: bytes, fault: Fault | None) -> Answer:
        for method, pattern, answer in ROUTES:
            match = re.fullmatch(pattern, path)
            if method == self.command and match:
                is_form = "form-data" in self.headers.get("Content-Type", "")
                self.server.kind_of_form = self.headers.get("Content-Type", "")
                content: Any = body if is_form else json.loads(body) if body else {}
                kills = self._counts_down() if method != "GET" else False
                if kills and not self.server.kills_after:
                    return 503, {}
                return answer(self.server, {**parse_qs(urlsplit(self.path).query)}, content, *map(int, match.groups()))
        return 404, {"detail": f"no route {self.command} {path}"}

    def _counts_down(self) -> bool:
        """Kill the client at the change that is its turn."""
        self.server.kill_at -= 1
        if self.server.kill_at:
            return False
        os.kill(self.server.client, signal.SIGKILL)
        return True


def list_projects(server: LabelStudioServer, query: dict[str, list[str]], content: Any) -> Answer:
    settings = server.settings_of_project
    return 200, {"count": 1, "next": None, "results": [{key: settings[key] for key in ("id", "title")}]}


def create_project(server: LabelStudioServer, query: dict[str, list[str]], content: Any) -> Answer:
    server.settings_of_project |= {"title": content["title"], "label_config": content["label_config"]}
    return 201, server.settings_of_project


def import_files(server: LabelStudioServer, query: dict[str, list[str]], content: Any, number: int) -> Answer:
    """A form with files: each one is kept under a name of the server's own, and becomes a task."""
    form = b"Content-Type: " + server.kind_of_form.encode() + b"\r\n\r\n" + content
    names = [part.get_filename() or "" for part in email.message_from_bytes(form).get_payload()]
    for name in names:
        server.add_task(f"/data/upload/7/1a2b3c4d-{name}")
    return 201, {"task_count": len(names)}


def show_project(server: LabelStudioServer, query: dict[str, list[str]], content: Any, number: int) -> Answer:
    if number != 7:
        return 404, {"detail": "No Project matches the given query."}
    tasks = [counted(task) for task in server.tasks.values()]
    return 200, {
        **server.settings_of_project,
        "task_number": len(tasks),
        "total_annotations_number": sum(task["total_annotations"] for task in tasks),
        "skipped_annotations_number": sum(task["cancelled_annotations"] for task in tasks),
    }


def change_project(server: LabelStudioServer, query: dict[str, list[str]], content: Any, number: int) -> Answer:
    server.settings_of_project |= content
    return show_project(server, query, content, number)


def list_tasks(server: LabelStudioServer, query: dict[str, list[str]], content: Any) -> Answer:
    wanted = json.loads(query["query"][0])
    items = wanted.get("filters", {}).get("items", [])
    since = items[0]["value"] if items else ""
    tasks = [counted(task) for number, task in sorted(server.tasks.items()) if task["updated_at"] > since]
    size, page = int(query["page_size"][0]), int(query["page"][0])
    part = tasks[(page - 1) * size : page * size]
    if page > 1 and not part:
        return 404, {"detail": "Invalid page."}
    return 200, {"tasks": part, "total": len(tasks), "total_annotations": 0, "total_predictions": 0}


def export(server: LabelStudioServer, query: dict[str, list[str]], content: Any, number: int) -> Answer:
    wanted = [int(each) for each in query["ids[]"]]
    return 200, [server.tasks[each] for each in wanted if each in server.tasks]


def list_versions(server: LabelStudioServer, query: dict[str, list[str]], content: Any, number: int) -> Answer:
    names = [each["model_version"] for each in server.predictions.values()]
    return 200, {"static": [{"model_version": name, "count": names.count(name)} for name in sorted(set(names))]}


def remove_version(server: LabelStudioServer, query: dict[str, list[str]], content: Any, number: int) -> Answer:
    gone = [key for key, each in server.predictions.items() if each["model_version"] == content["model_version"]]
    for key in gone:
        del server.predictions[key]
    if server.settings_of_project["model_version"] == content["model_version"]:
        server.settings_of_project["model_version"] = ""
    return 200, {"deleted_predictions": len(gone)}


def add_scores(server: LabelStudioServer, query: dict[str, list[str]], content: Any, number: int) -> Answer:
    """Rows in parts: an unknown task refuses the rest, a score outside of [0, 1] is dropped without a word."""
    if len(content) > server.most_scores:
        return 413, {"detail": "too large"}
    created = 0
    for row in content:
        if row["task"] not in server.tasks:
            return 400, {"validation_errors": {"non_field_errors": [f"{row} contains an unknown task"]}}
        if 0 <= row["score"] <= 1:
            key = next(server.numbers)
            server.predictions[key] = {"id": key, **row}
            created += 1
    return 201, {"created": created}


def list_predictions(server: LabelStudioServer, query: dict[str, list[str]], content: Any) -> Answer:
    return 200, list(server.predictions.values())


def change_prediction(server: LabelStudioServer, query: dict[str, list[str]], content: Any, number: int) -> Answer:
    server.predictions[number] |= content
    server.touch(server.predictions[number]["task"])
    return 200, server.predictions[number]


def remove_prediction(server: LabelStudioServer, query: dict[str, list[str]], content: Any, number: int) -> Answer:
    if number not in server.predictions:
        return 404, {"detail": "gone"}
    server.touch(server.predictions.pop(number)["task"])
    return 204, None


def list_tabs(server: LabelStudioServer, query: dict[str, list[str]], content: Any) -> Answer:
    return 200, list(server.tabs.values())


def add_tab(server: LabelStudioServer, query: dict[str, list[str]], content: Any) -> Answer:
    key = next(server.numbers)
    server.tabs[key] = {"id": key, **content}
    return 201, server.tabs[key]


def change_tab(server: LabelStudioServer, query: dict[str, list[str]], content: Any, number: int) -> Answer:
    server.tabs[number] |= content
    return 200, server.tabs[number]


def list_users(server: LabelStudioServer, query: dict[str, list[str]], content: Any) -> Answer:
    return 200, [{"id": number, "email": email} for email, number in server.users.items()]


def show_user(server: LabelStudioServer, query: dict[str, list[str]], content: Any) -> Answer:
    return 200, {"id": 1, "email": "ann@example.com"}


ROUTES: list[tuple[str, str, Callable[..., Answer]]] = [
    ("GET", "/api/projects/", list_projects),
    ("POST", "/api/projects/", create_project),
    ("POST", r"/api/projects/(\d+)/import", import_files),
    ("GET", r"/api/projects/(\d+)/", show_project),
    ("PATCH", r"/api/projects/(\d+)/", change_project),
    ("GET", "/api/tasks/", list_tasks),
    ("GET", r"/api/projects/(\d+)/export", export),
    ("GET", r"/api/projects/(\d+)/model-versions/", list_versions),
    ("DELETE", r"/api/projects/(\d+)/model-versions/", remove_version),
    ("POST", r"/api/projects/(\d+)/import/predictions", add_scores),
    ("GET", "/api/predictions/", list_predictions),
    ("PATCH", r"/api/predictions/(\d+)/", change_prediction),
    ("DELETE", r"/api/predictions/(\d+)/", remove_prediction),
    ("GET", "/api/dm/views/", list_tabs),
    ("POST", "/api/dm/views/", add_tab),
    ("PUT", r"/api/dm/views/(\d+)/", change_tab),
    ("GET", "/api/users/", list_users),
    ("GET", "/api/current-user/whoami", show_user),
]
