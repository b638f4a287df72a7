"""What alcli asks of SuperAnnotate, through the SDK: each question complete, or an error that says what is missing."""

from __future__ import annotations

import contextlib
import functools
import importlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from alcli.errors import AlcliError, AuthError, DataError, PlatformError, UsageError
from alcli.platforms import _superannotate_sdk as sdk
from alcli.platforms._superannotate_options import SuperannotateOptions
from alcli.platforms._superannotate_token import find
from alcli.platforms._superannotate_wire import AGAIN, KEPT, Wire, lay, pause
from alcli.system.redaction import redacted
from alcli.system.text import did_you_mean

PAGE = 2000
SCORES_A_CALL = 100
NAMES_A_CALL = 500
ANNOTATIONS_A_CALL = 500
PASSES = 4
CHANGED = -1
UPLOADED = 2
"""The upload state of a project whose images were uploaded; its items have no address of their own."""
Part = TypeVar("Part")


@dataclass(frozen=True)
class Row:
    """One item as the service lists it.

    Attributes:
        status: the name of its status in the project's workflow, "" when the workflow does not know it.
        priority: what orders the queue, None when the item has none.
        url: where its pixels are, "" for images that were uploaded.
        assignees: ids of the people it is assigned to, sorted.
    """

    id: int
    name: str
    folder: str
    status: str
    priority: float | None
    url: str
    assignees: tuple[str, ...]
    created: str
    updated: str


class Client:
    """One account and project; nothing is asked before it is needed."""

    def __init__(self, options: SuperannotateOptions, logs: Path) -> None:
        self._options, self._logs = options, logs
        self.credentials = find(options)
        self.wire = lay(Wire(self.credentials, options))

    @functools.cached_property
    def account(self) -> Any:
        """The logged-in ``SAClient``; raises AuthError when the token is refused."""
        lay(self.wire)
        with self._asking("the log-in"):
            return sdk.log_in(self.credentials, self._logs)

    @functools.cached_property
    def project(self) -> Any:
        """The configured project; raises DataError naming the nearest when there is none of this name."""
        name = project_name(self._options)
        projects = self.account.controller.service_provider.projects
        with self._asking("the project"):
            listed = projects.list(_condition("name", name)).data
            found = next((project for project in listed if project.name == name), None)
        if found is None:
            raise DataError(
                f"There is no project {name!r}, or this token may not see it.",
                kept=KEPT,
                do=f"Was it renamed? {did_you_mean(name, self._projects())}",
            )
        return found

    @functools.cached_property
    def folders(self) -> dict[str, Any]:
        """The configured folders by name, the root as ""; raises DataError naming the nearest for a missing one."""
        with self._asking("the folders"):
            everything = importlib.import_module("lib.core.jsx_conditions").EmptyQuery()
            work = self.account.controller.service_provider.work_management
            listed = work.list_folders(self.project.id, everything)
            there = {"" if folder.is_root else _text(folder.name): folder for folder in listed.data}
            if "" not in there:
                there[""] = self.account.controller.get_folder(self.project, "root")
        wanted = folder_names(self._options)
        if wanted is None:
            return there
        missing = [name for name in wanted if name not in there]
        if missing:
            near = did_you_mean(missing[0], [name or "(root)" for name in there])
            raise DataError(
                f"The project {self.project.name!r} has no folder {', '.join(map(repr, missing))}.",
                kept=KEPT,
                do=f"Was it renamed? {near}",
            )
        return {name: there[name] for name in wanted}

    @functools.cached_property
    def statuses(self) -> dict[int, str]:
        """Number → name of every status in the project's workflow."""
        with self._asking("the statuses"):
            work = self.account.controller.service_provider.work_management
            answer = work.list_workflow_statuses(self.project.id, self.project.workflow_id).data["data"]
            return {row["value"]: str(row["status"]["name"]) for row in answer}

    def check_status(self, name: str) -> None:
        """Raises UsageError naming the nearest when the workflow has no such status."""
        if name not in self.statuses.values():
            raise UsageError(
                f"The workflow of {self.project.name!r} has no status {name!r}.",
                do=did_you_mean(name, self.statuses.values()),
            )

    def rows(self) -> list[Row]:
        """Every item of the configured folders, complete."""
        uploaded = self.project.upload_state == UPLOADED
        folders, statuses = self.folders, self.statuses
        with self._asking("the list of items"):
            return [
                _row(name, content, statuses, uploaded)
                for name, folder in folders.items()
                for content in self._all(folder)
            ]

    def annotations(self, item_ids: Sequence[int]) -> dict[int, dict[str, Any]]:
        """The annotation JSON of every item asked for; raises PlatformError naming the missing."""
        found: dict[int, dict[str, Any]] = {}
        for attempt in range(PASSES):
            missing = [item_id for item_id in item_ids if item_id not in found]
            if not missing:
                return found
            if attempt:
                pause(self._options.backoff * 2**attempt)
            found |= self._some_annotations(missing)
        missing = [item_id for item_id in item_ids if item_id not in found]
        if not missing:
            return found
        shown = ", ".join(map(str, missing[:5])) + (" …" if len(missing) > 5 else "")
        raise PlatformError(
            f"{len(missing)} of {len(item_ids)} annotations did not arrive (items {shown}), {PASSES} times.",
            kept=KEPT,
            do=f"{AGAIN} If it stays: open these items on the platform; are they annotated at all?",
        )

    def set_priorities(self, folder: str, scores: Sequence[tuple[str, float]]) -> set[str]:
        """Write priorities of at most 100 items of one folder; returns the names that the service knew."""
        if not scores:
            return set()
        kind = importlib.import_module("lib.core.types").PriorityScoreEntity
        entities = [kind(name=name, priority=value) for name, value in scores]
        with self._asking("the priorities"):
            answer = self.account.controller.projects.upload_priority_scores(
                self.project, self.folders[folder], entities, self.project.name
            )
            return set(self._data(answer)[0])

    def assign(self, folder: str, names: Sequence[str], user: str) -> None:
        """Assign items of one folder to one person."""
        for part in parts(names, NAMES_A_CALL):
            with self._asking(f"the assignment to {user}"):
                answer = self.account.controller.projects.assign_items(
                    self.project, self.folders[folder], item_names=list(part), user=user
                )
                self._data(answer)

    def set_status(self, folder: str, names: Sequence[str], status: str) -> None:
        """Give items of one folder a status of the workflow."""
        self.check_status(status)
        for part in parts(names, NAMES_A_CALL):
            with self._asking(f"the status {status!r}"):
                answer = self.account.controller.items.set_annotation_statuses(
                    project=self.project,
                    folder=self.folders[folder],
                    annotation_status=status,
                    item_names=list(part),
                )
                self._data(answer)

    def add_to_subset(self, item_ids: Sequence[int], subset: str) -> None:
        """Put items into a named subset, which is made when missing."""
        for part in parts(item_ids, NAMES_A_CALL):
            with self._asking(f"the subset {subset!r}"):
                answer = self.account.controller.subsets.add_items(
                    self.project, subset, [{"id": item_id} for item_id in part]
                )
                self._data(answer)

    def classes(self) -> set[str]:
        """Names of the project's annotation classes."""
        with self._asking("the classes"):
            answer = self.account.controller.annotation_classes.list(_condition("project_id", self.project.id))
            return {row["name"] for row in self._data(answer)}

    def upload_annotations(self, folder: str, documents: Sequence[dict[str, Any]]) -> set[str]:
        """Write annotations of one folder's items, statuses kept; returns the names that were refused."""
        refused: set[str] = set()
        for part in parts(documents, SCORES_A_CALL):
            with self._asking("the pre-annotations"):
                controller = self.account.controller
                answer = controller.annotations.upload_multiple(
                    self.project, self.folders[folder], list(part), keep_status=True, user=controller.current_user
                )
                data = self._data(answer)
            refused |= {*data["failed"], *data["skipped"]}
        return refused

    def settings(self) -> dict[str, Any]:
        """The project's settings by attribute."""
        with self._asking("the settings"):
            answer = self.account.controller.projects.list_settings(self.project)
            return {row.attribute: row.value for row in self._data(answer)}

    def original(self, folder: str, item_id: int) -> tuple[str, dict[str, str]]:
        """(address, headers) under which an uploaded image can be fetched for a short time."""
        with self._asking("the image's address"):
            provider = self.account.controller.service_provider
            answer = provider.get_download_token(self.project, self.folders[folder], item_id)
            if answer.status_code == 404:
                raise DataError("the platform has no such image any more")
            original = answer.data["original"]
            return str(original["url"]), {
                str(key): str(value) for key, value in (original.get("headers") or {}).items()
            }

    def _all(self, folder: Any) -> list[dict[str, Any]]:
        """Every item of one folder; a listing that moved while it was read is read again."""
        for attempt in range(PASSES):
            if attempt:
                pause(self._options.backoff * 2**attempt)
            contents, total = self._pages(folder)
            if len({content["id"] for content in contents}) == len(contents) == total:
                return contents
        raise PlatformError(
            f"The list of folder {folder.name!r} changed each time it was read, {PASSES} times.",
            kept=KEPT,
            do=AGAIN,
        )

    def _pages(self, folder: Any) -> tuple[list[dict[str, Any]], int]:
        """(items, how many there are, or ``CHANGED``); a short page is never taken for the end."""
        found: list[dict[str, Any]] = []
        seen: set[int] = set()
        totals: set[int] = set()
        while True:
            page, total = self._page(folder, len(found))
            found += page
            new = {content["id"] for content in page} - seen
            seen |= new
            totals.add(total)
            if len(totals) > 1:
                # Something came or went, and everything behind it has moved to another page.
                return found, CHANGED
            if len(found) >= total or not new:
                return found, total

    def _page(self, folder: Any, offset: int) -> tuple[list[dict[str, Any]], int]:
        conditions = importlib.import_module("lib.core.jsx_conditions")
        http = importlib.import_module("lib.infrastructure.services.http_client")
        query = conditions.EmptyQuery() & conditions.Join("metadata", ["path"]) & conditions.Join("assignments")
        query = query & conditions.Limit(PAGE) & conditions.Offset(offset)
        context = {"team_id": self.project.team_id, "project_id": self.project.id, "folder_id": folder.id}
        with self._asking(f"the list of folder {folder.name!r}"):
            service = self.account.controller.service_provider.item_service
            answer = service.client.request(
                service.URL_LIST,
                "post",
                data=query.body_builder(),
                headers={"x-sa-entity-context": http.encode_entity_context(**context)},
                dispatcher="data",
            )
            return answer.data, int(answer.total_count or 0)

    def _some_annotations(self, item_ids: Sequence[int]) -> dict[int, dict[str, Any]]:
        """What arrives of the annotations; a stream that broke gives nothing."""
        found: dict[int, dict[str, Any]] = {}
        for part in parts(item_ids, ANNOTATIONS_A_CALL):
            with self._asking("the annotations"):
                controller = self.account.controller
                answer = controller.annotations.list(self.project, None, list(part), verbose=False)
                if answer.errors and self.wire.failure:
                    raise self.wire.failure
                documents = [] if answer.errors else answer.data
            found |= {number: document for document in documents if (number := _item_of(document)) is not None}
        return found

    def _projects(self) -> list[str]:
        controller = self.account.controller
        with self._asking("the projects"):
            listed = controller.service_provider.projects.list(_condition("team_id", controller.team_id))
            return [project.name for project in listed.data]

    @staticmethod
    def _data(answer: Any) -> Any:
        """The content of an answer of the SDK; raises PlatformError with the service's own words."""
        if answer.errors:
            raise PlatformError(redacted(f"SuperAnnotate refused: {answer.errors}."), kept=KEPT, do=AGAIN)
        return answer.data

    @contextlib.contextmanager
    def _asking(self, what: str) -> Iterator[None]:
        """What goes wrong inside becomes the error that the wire saw, or one that names ``what``."""
        self.wire.failure = None
        try:
            yield
        except AlcliError:
            raise
        except Exception as error:
            if self.wire.failure:
                raise self.wire.failure from None
            text = redacted(f"{type(error).__name__}: {error}").strip().rstrip(".")
            if type(error).__name__ == "SAAuthError":
                raise AuthError(
                    f"The token from {self.credentials.source} was refused: {text}.", do="Check the token and its team."
                ) from None
            raise PlatformError(f"SuperAnnotate, {what}: {text}.", kept=KEPT, do=AGAIN) from None


def _text(name: Any) -> str:
    if not isinstance(name, str):
        raise TypeError(f"a folder without a name ({name!r})")
    return name


def project_name(options: SuperannotateOptions) -> str:
    """The project's name without its folder; raises UsageError when none is configured."""
    name = (options.project or "").partition("/")[0]
    if not name:
        raise UsageError("Which project?", do='Set platform.project, like --project "Cells/pool".')
    return name


def folder_names(options: SuperannotateOptions) -> list[str] | None:
    """The configured folders, "" being the root; None for all of them."""
    _, _, folder = (options.project or "").partition("/")
    if folder == "*" or "*" in options.folders:
        return None
    names = [*([folder] if folder or not options.folders else []), *options.folders]
    return list(dict.fromkeys("" if name == "root" else name for name in names))


def parts(rows: Sequence[Part], size: int) -> Iterator[Sequence[Part]]:
    """The rows in parts of at most ``size``; never an empty part, which the SDK would read as "everything"."""
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


def _condition(key: str, value: Any) -> Any:
    conditions = importlib.import_module("lib.core.conditions")
    return conditions.Condition(key, value, conditions.CONDITION_EQ)


def _item_of(document: Any) -> int | None:
    """The id of the item that an annotation belongs to; None for what is no annotation."""
    try:
        return int(document["metadata"]["id"])
    except (TypeError, KeyError, ValueError, IndexError, OverflowError):
        return None


def _row(folder: str, content: dict[str, Any], statuses: dict[int, str], uploaded: bool) -> Row:
    assignees = sorted(str(person.get("user_id", "")) for person in content.get("assignments") or ())
    url = "" if uploaded else (content.get("metadata") or {}).get("path") or content.get("url") or ""
    priority = content.get("entropy_value")
    if priority is not None and not math.isfinite(priority):
        raise ValueError(f"the priority of item {content['id']} is {priority}")
    return Row(
        id=int(content["id"]),
        name=str(content.get("name") or ""),
        folder=folder,
        status=statuses.get(content.get("annotation_status"), ""),  # type: ignore[arg-type]
        priority=priority,
        url=str(url),
        assignees=tuple(assignees),
        created=str(content.get("createdAt") or ""),
        updated=str(content.get("updatedAt") or ""),
    )
