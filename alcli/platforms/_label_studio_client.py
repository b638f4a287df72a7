"""What alcli asks of one Label Studio project; each answer is complete, or an error says what is missing."""

from __future__ import annotations

import base64
import functools
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from alcli.errors import DataError, PlatformError, UsageError
from alcli.platforms._answers import AGAIN, KEPT
from alcli.platforms._label_studio_options import LabelStudioOptions
from alcli.platforms._label_studio_records import (
    UNCERTAINTY,
    Prediction,
    Project,
    Task,
    read_prediction,
    read_project,
    read_task,
)
from alcli.platforms._label_studio_token import find_credentials
from alcli.platforms._label_studio_wire import SERVICE, Gone, Wire
from alcli.system.text import did_you_mean

TASKS_A_PAGE = 1000
PROJECTS_A_PAGE = 100
ANNOTATIONS_A_CALL = 200
SCORES_A_CALL = 1000
FIELDS = "id,data,created_at,updated_at,total_annotations,cancelled_annotations"


class Client:
    """One account and project; requests are made only when needed."""

    def __init__(self, options: LabelStudioOptions) -> None:
        self._options = options
        self.wire = Wire(find_credentials(options), options)

    @functools.cached_property
    def project_id(self) -> int:
        """The number of the configured project; raises DataError suggesting similar titles if there is none."""
        wanted = self._options.project or ""
        projects = self._projects()
        same = [number for number, title in projects if title == wanted]
        if not same and wanted.isdecimal():
            same = [number for number, _ in projects if number == int(wanted)]
        if len(same) > 1:
            raise UsageError(
                f"{len(same)} projects are called {wanted!r}.",
                do=f"Name one by its number: {', '.join(map(str, sorted(same)))}.",
            )
        if not same:
            raise DataError(
                f"There is no project {wanted!r}, or the token has no access to it.",
                kept=KEPT,
                do=f"Was it renamed? {did_you_mean(wanted, [title for _, title in projects])}",
            )
        return same[0]

    def create_project(self, title: str, interface: str) -> bool:
        """Make a project with a labeling interface in XML; False if there is one of this title."""
        if any(title == each for _, each in self._projects()):
            return False
        self.wire.send("POST", "/api/projects/", {"title": title, "label_config": interface}, repeat=False)
        return True

    def upload_images(self, images: Sequence[tuple[str, bytes]]) -> None:
        """Upload images by name; each becomes a task."""
        files = [(f"file{number}", image) for number, image in enumerate(images)]
        self.wire.upload(f"/api/projects/{self.project_id}/import", files)

    def project(self) -> Project:
        """The project as it is now."""
        try:
            return read_project(self._dictionary(self.wire.get(f"/api/projects/{self.project_id}/"), "the project"))
        except Gone:
            raise DataError(
                f"There is no project {self._options.project!r} any more.", kept=KEPT, do="Was it deleted?"
            ) from None
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise self._odd("the project", error) from None

    def user(self) -> str:
        """The email of the account."""
        content = self._dictionary(self.wire.get("/api/current-user/whoami"), "the account")
        return str(content.get("email") or content.get("username") or "")

    def tasks(self, field: str, since: str = "") -> Iterator[Task]:
        """Every task, or every one that was changed since then; complete, or raises.

        Args:
            field: the key of a task's data with the address of its image.
            since: a moment as the server writes it.
        """
        query: dict[str, Any] = {"ordering": ["tasks:id"]}
        if since:
            changed = {"filter": "filter:tasks:updated_at", "operator": "greater", "type": "Datetime", "value": since}
            query["filters"] = {"conjunction": "and", "items": [changed]}
        page, count, total = 1, 0, 1
        while count < total:
            content = self._page(page, query)
            tasks, total = content["tasks"], content["total"]
            if not tasks and count < total:
                break
            count += len(tasks)
            page += 1
            try:
                yield from [read_task(task, field) for task in tasks]
            except (KeyError, TypeError, ValueError) as error:
                raise self._odd("a task", error) from None
        if count != total:
            raise PlatformError(
                f"The list of tasks changed while it was read: {count} of {total}.", kept=KEPT, do=AGAIN
            )

    def annotations(self, ids: Sequence[int]) -> dict[int, list[dict[str, Any]]]:
        """The annotations of each task; raises PlatformError naming tasks that are missing."""
        documents: dict[int, list[dict[str, Any]]] = {}
        for start in range(0, len(ids), ANNOTATIONS_A_CALL):
            part = ids[start : start + ANNOTATIONS_A_CALL]
            answer = self.wire.get(
                f"/api/projects/{self.project_id}/export",
                exportType="JSON",
                download_all_tasks="true",
                **{"ids[]": part},
            )
            for task in answer if isinstance(answer, list) else []:
                if isinstance(task, dict) and isinstance(task.get("annotations"), list):
                    documents[int(task["id"])] = [each for each in task["annotations"] if isinstance(each, dict)]
        missing = [number for number in ids if number not in documents]
        if missing:
            raise PlatformError(
                f"{len(missing)} of {len(ids)} annotations did not arrive (tasks {', '.join(map(str, missing[:5]))}).",
                kept=KEPT,
                do=f"{AGAIN} If this persists, open these tasks in Label Studio.",
            )
        return documents

    def versions(self) -> dict[str, int]:
        """How many predictions each version of a model has."""
        answer = self.wire.get(f"/api/projects/{self.project_id}/model-versions/", extended="true")
        static = self._dictionary(answer, "the model versions").get("static") or []
        return {str(each["model_version"]): int(each["count"]) for each in static}

    def predictions(self) -> list[Prediction]:
        """Every prediction of the project."""
        answer = self.wire.get("/api/predictions/", project=self.project_id)
        try:
            return [read_prediction(content) for content in answer]
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise self._odd("a prediction", error) from None

    def add_scores(self, scores: Mapping[int, float], version: str) -> int:
        """Add a prediction with a score from 0 to 1 to each task; returns how many the server made.

        It is sent once: the same again would make two of each.
        """
        rows = [
            {"task": task, "model_version": version, "score": score, "result": []} for task, score in scores.items()
        ]
        answer = self.wire.send("POST", f"/api/projects/{self.project_id}/import/predictions", rows, repeat=False)
        return int(self._dictionary(answer, "the import of scores").get("created") or 0)

    def serve_scores(self, version: str) -> None:
        """Switch annotators to the order of these scores, at once."""
        order = {"sampling": UNCERTAINTY, "model_version": version}
        self.wire.send("PATCH", f"/api/projects/{self.project_id}/", order)

    def put_results(self, prediction: int, results: Sequence[Mapping[str, Any]]) -> None:
        """Give a prediction shapes; its score stays."""
        self.wire.send("PATCH", f"/api/predictions/{prediction}/", {"result": list(results)})

    def remove_prediction(self, prediction: int) -> None:
        """Remove one prediction; one that is gone already is no error."""
        try:
            self.wire.send("DELETE", f"/api/predictions/{prediction}/", None)
        except Gone:
            return

    def remove_version(self, version: str) -> None:
        """Remove all predictions of a version; on SQLite, nobody can submit an annotation meanwhile."""
        self.wire.send("DELETE", f"/api/projects/{self.project_id}/model-versions/", {"model_version": version})

    def assign(self, tasks: Sequence[int], users: Sequence[int]) -> None:
        """Assign tasks to people; raises UsageError in the community edition, which knows no assignments."""
        chosen = {"all": False, "included": list(tasks)}
        content = {"users": list(users), "selectedItems": chosen, "type": "AN"}
        try:
            self.wire.send("POST", f"/api/projects/{self.project_id}/tasks/assignees", content)
        except Gone:
            raise UsageError(
                "This edition of Label Studio has no assignments.", do="Leave --assign out; annotators share one queue."
            ) from None

    def users(self) -> dict[str, int]:
        """The number of each person, by email."""
        return {str(user["email"]): int(user["id"]) for user in self.wire.get("/api/users/")}

    def show_tab(self, title: str, tasks: Sequence[int]) -> None:
        """Make a tab of the Data Manager that shows these tasks, or change the tab of this title."""
        chosen = {"filter": "filter:tasks:id", "operator": "in_list", "type": "List", "value": list(tasks)}
        data = {"title": title, "filters": {"conjunction": "and", "items": [chosen]}}
        tabs = self.wire.get("/api/dm/views/", project=self.project_id)
        same = [tab["id"] for tab in tabs if (tab.get("data") or {}).get("title") == title]
        content = {"project": self.project_id, "data": data}
        if same:
            self.wire.send("PUT", f"/api/dm/views/{same[0]}/", content)
        else:
            self.wire.send("POST", "/api/dm/views/", content, repeat=False)

    def image_source(self, task: Task) -> tuple[str, dict[str, str]]:
        """(address, headers) of a task's image; the token goes to the server alone.

        Images in a bucket are asked of the server, which knows the bucket's secrets.
        """
        base, address = self.wire.credentials.url, task.image
        if address.startswith("/"):
            return base + address, self.wire.headers()
        if urlsplit(address).scheme in ("http", "https"):
            own = address.startswith(f"{base}/")
            return address, self.wire.headers() if own else {}
        quoted = base64.urlsafe_b64encode(address.encode()).decode()
        return f"{base}/tasks/{task.id}/resolve/?fileuri={quoted}", self.wire.headers()

    def _projects(self) -> list[tuple[int, str]]:
        """(number, title) of every project."""
        projects: list[tuple[int, str]] = []
        page, more = 1, True
        while more:
            answer = self.wire.get("/api/projects/", page=page, page_size=PROJECTS_A_PAGE, include="id,title")
            content = self._dictionary(answer, "the projects")
            projects += [(int(each["id"]), str(each.get("title") or "")) for each in content.get("results") or []]
            page, more = page + 1, bool(content.get("next"))
        return projects

    def _page(self, page: int, query: Mapping[str, Any]) -> dict[str, Any]:
        """One page of tasks."""
        answer = self.wire.get(
            "/api/tasks/", project=self.project_id, page=page, page_size=TASKS_A_PAGE, fields="task_only",
            include=FIELDS, resolve_uri="false", query=json.dumps(query),
        )  # fmt: skip
        content = self._dictionary(answer, "the list of tasks")
        if not isinstance(content.get("tasks"), list) or not isinstance(content.get("total"), int):
            raise self._odd("the list of tasks", KeyError("tasks"))
        return content

    def _dictionary(self, answer: Any, what: str) -> dict[str, Any]:
        if not isinstance(answer, dict):
            raise self._odd(what, TypeError(type(answer).__name__))
        return answer

    def _odd(self, what: str, error: Exception) -> PlatformError:
        return PlatformError(
            f"{SERVICE} describes {what} in a way that alcli does not know ({type(error).__name__}: {error}).",
            kept=KEPT,
            do=f"Is {self.wire.credentials.url} a Label Studio server of version 1.20 or later?",
        )
