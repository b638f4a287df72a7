"""Requests to SuperAnnotate through its SDK; each answer is complete, or an error says what is missing."""

from __future__ import annotations

import contextlib
import functools
import importlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from alcli.errors import AlcliError, AuthError, DataError, PlatformError, UsageError
from alcli.items import Refusal
from alcli.platforms import _superannotate_sdk as sdk
from alcli.platforms._answers import AGAIN, KEPT, ROTATE
from alcli.platforms._http import OutOfTime
from alcli.platforms._key_age import remember_key
from alcli.platforms._superannotate_options import SuperannotateOptions
from alcli.platforms._superannotate_rows import Row, describe_refusal, item_key, read_row
from alcli.platforms._superannotate_token import find_credentials
from alcli.platforms._superannotate_wire import Wire, out_of_time_error, pause, register
from alcli.system.redaction import redact
from alcli.system.text import did_you_mean

PAGE = 2000
SCORES_A_CALL = 100
NAMES_A_CALL = 500
ANNOTATIONS_A_CALL = 500
PASSES = 4
CHANGED = -1
UPLOADED = 2
"""The upload state of a project with uploaded images; its items have no address of their own."""
Part = TypeVar("Part")


class Client:
    """One account and project; requests are made only when needed."""

    def __init__(self, options: SuperannotateOptions, logs: Path) -> None:
        self._options, self._logs = options, logs
        self.credentials = find_credentials(options)
        self.wire = register(Wire(self.credentials, options))
        self.refusals: list[Refusal] = []

    @functools.cached_property
    def account(self) -> Any:
        """The logged-in ``SAClient``; raises AuthError when the token is refused."""
        register(self.wire)
        with self._reporting_errors("the log-in"):
            account = sdk.log_in(self.credentials, self._logs)
        remember_key(self.credentials.token)
        return account

    @functools.cached_property
    def project(self) -> Any:
        """The configured project; raises DataError suggesting similar names if it does not exist."""
        name = project_name(self._options)
        projects = self.account.controller.service_provider.projects
        with self._reporting_errors("the project"):
            listed = projects.list(_condition("name", name)).data
            project = next((project for project in listed if project.name == name), None)
        if project is None:
            raise DataError(
                f"There is no project {name!r}, or the token has no access to it.",
                kept=KEPT,
                do=f"Was it renamed? {did_you_mean(name, self._projects())}",
            )
        return project

    @functools.cached_property
    def folders(self) -> dict[str, Any]:
        """The configured folders by name, with "" for the root; raises DataError for a missing one."""
        with self._reporting_errors("the folders"):
            everything = importlib.import_module("lib.core.jsx_conditions").EmptyQuery()
            work = self.account.controller.service_provider.work_management
            listed = work.list_folders(self.project.id, everything)
            existing = {"" if folder.is_root else _text(folder.name): folder for folder in listed.data}
            if "" not in existing:
                existing[""] = self.account.controller.get_folder(self.project, "root")
        wanted = folder_names(self._options)
        if wanted is None:
            return existing
        missing = [name for name in wanted if name not in existing]
        if missing:
            near = did_you_mean(missing[0], [name or "(root)" for name in existing])
            raise DataError(
                f"The project {self.project.name!r} has no folder {', '.join(map(repr, missing))}.",
                kept=KEPT,
                do=f"Was it renamed? {near}",
            )
        return {name: existing[name] for name in wanted}

    @functools.cached_property
    def statuses(self) -> dict[int, str]:
        """Map the number of each status in the project's workflow to its name."""
        with self._reporting_errors("the statuses"):
            work = self.account.controller.service_provider.work_management
            answer = work.list_workflow_statuses(self.project.id, self.project.workflow_id).data["data"]
            return {entry["value"]: str(entry["status"]["name"]) for entry in answer}

    def check_status(self, name: str) -> None:
        """Raise UsageError suggesting similar names if the workflow has no such status."""
        if name not in self.statuses.values():
            raise UsageError(
                f"The workflow of {self.project.name!r} has no status {name!r}.",
                do=did_you_mean(name, self.statuses.values()),
            )

    def rows(self) -> list[Row]:
        """All items of the configured folders; raises PlatformError if the list is incomplete.

        Items that the service describes in an unusable way are in ``refusals`` afterwards.
        """
        uploaded = self.project.upload_state == UPLOADED
        folders, statuses = self.folders, self.statuses
        rows: list[Row] = []
        self.refusals = []
        with self._reporting_errors("the list of items"):
            for name, folder in folders.items():
                for content in self._all(folder):
                    try:
                        rows.append(read_row(name, content, statuses, uploaded))
                    except (TypeError, ValueError, KeyError, AttributeError) as error:
                        self.refusals.append(describe_refusal(name, content, error))
        return rows

    def annotations(self, item_ids: Sequence[int]) -> dict[int, dict[str, Any]]:
        """The annotation JSON of each item by id; raises PlatformError naming items without an answer."""
        documents: dict[int, dict[str, Any]] = {}
        for attempt in range(PASSES):
            missing = [item_id for item_id in item_ids if item_id not in documents]
            if not missing:
                return documents
            if attempt:
                pause(self._options.backoff * 2**attempt)
            documents |= self._some_annotations(missing)
        missing = [item_id for item_id in item_ids if item_id not in documents]
        if not missing:
            return documents
        names = ", ".join(map(str, missing[:5])) + (" …" if len(missing) > 5 else "")
        raise PlatformError(
            f"{len(missing)} of {len(item_ids)} annotations did not arrive (items {names}) in {PASSES} attempts.",
            kept=KEPT,
            do=f"{AGAIN} If this persists, open these items on the platform and check that they are annotated.",
        )

    def set_priorities(self, folder: str, scores: Sequence[tuple[str, float]]) -> set[str]:
        """Set the priorities of at most 100 items of one folder; returns the names that the service accepted."""
        if not scores:
            return set()
        kind = importlib.import_module("lib.core.types").PriorityScoreEntity
        entities = [kind(name=name, priority=value) for name, value in scores]
        with self._reporting_errors("the priorities"):
            answer = self.account.controller.projects.upload_priority_scores(
                self.project, self.folders[folder], entities, self.project.name
            )
            return set(self._data(answer)[0])

    def assign(self, folder: str, names: Sequence[str], user: str) -> None:
        """Assign items of one folder to one person."""
        for part in parts(names, NAMES_A_CALL):
            with self._reporting_errors(f"the assignment to {user}"):
                answer = self.account.controller.projects.assign_items(
                    self.project, self.folders[folder], item_names=list(part), user=user
                )
                self._data(answer)

    def set_status(self, folder: str, names: Sequence[str], status: str) -> None:
        """Set the status of items of one folder; raises UsageError if it is not in the workflow."""
        self.check_status(status)
        for part in parts(names, NAMES_A_CALL):
            with self._reporting_errors(f"the status {status!r}"):
                answer = self.account.controller.items.set_annotation_statuses(
                    project=self.project,
                    folder=self.folders[folder],
                    annotation_status=status,
                    item_names=list(part),
                )
                self._data(answer)

    def add_to_subset(self, item_ids: Sequence[int], subset: str) -> None:
        """Add items to a named subset, which is created if missing; by the SDK's own call for it, where it has one."""
        for part in parts(item_ids, NAMES_A_CALL):
            items = [{"id": item_id} for item_id in part]
            with self._reporting_errors(f"the subset {subset!r}"):
                explore: Any = getattr(self.account, "explore", None)
                if hasattr(explore, "add_items_to_subset"):
                    explore.add_items_to_subset(self.project.name, subset, items)
                else:
                    self._data(self.account.controller.subsets.add_items(self.project, subset, items))

    def classes(self) -> set[str]:
        """Names of the project's annotation classes."""
        with self._reporting_errors("the classes"):
            answer = self.account.controller.annotation_classes.list(_condition("project_id", self.project.id))
            return {entry["name"] for entry in self._data(answer)}

    def upload_annotations(self, folder: str, documents: Sequence[dict[str, Any]]) -> set[str]:
        """Upload annotations of one folder's items, keeping statuses; returns the names that were refused."""
        refused: set[str] = set()
        for part in parts(documents, SCORES_A_CALL):
            with self._reporting_errors("the pre-annotations"):
                controller = self.account.controller
                answer = controller.annotations.upload_multiple(
                    self.project, self.folders[folder], list(part), keep_status=True, user=controller.current_user
                )
                data = self._data(answer)
            refused |= {*data["failed"], *data["skipped"]}
        return refused

    def settings(self) -> dict[str, Any]:
        """The project's settings by attribute."""
        with self._reporting_errors("the settings"):
            answer = self.account.controller.projects.list_settings(self.project)
            return {setting.attribute: setting.value for setting in self._data(answer)}

    def original(self, folder: str, item_id: int) -> tuple[str, dict[str, str]]:
        """(address, headers) for downloading an uploaded image; valid for a short time."""
        with self._reporting_errors("the image's address"):
            provider = self.account.controller.service_provider
            answer = provider.get_download_token(self.project, self.folders[folder], item_id)
            if answer.status_code == 404:
                raise DataError("the image no longer exists on the platform")
            original = answer.data["original"]
            return str(original["url"]), {
                str(key): str(value) for key, value in (original.get("headers") or {}).items()
            }

    def _all(self, folder: Any) -> list[dict[str, Any]]:
        """All items of one folder; a list that changes while it is being read is read again."""
        for attempt in range(PASSES):
            if attempt:
                pause(self._options.backoff * 2**attempt)
            contents, total = self._pages(folder)
            if len(set(map(item_key, contents))) == len(contents) == total:
                return contents
        raise PlatformError(
            f"The list of folder {folder.name!r} changed while it was being read, in {PASSES} attempts.",
            kept=KEPT,
            do=AGAIN,
        )

    def _pages(self, folder: Any) -> tuple[list[dict[str, Any]], int]:
        """(items, total number or ``CHANGED``); a short page does not count as the last one."""
        contents: list[dict[str, Any]] = []
        seen: set[str] = set()
        totals: set[int] = set()
        while True:
            page, total = self._page(folder, len(contents))
            contents += page
            new = set(map(item_key, page)) - seen
            seen |= new
            totals.add(total)
            if len(totals) > 1:
                # An item was added or removed, which shifts all later items to other pages.
                return contents, CHANGED
            if len(contents) >= total or not new:
                return contents, total

    def _page(self, folder: Any, offset: int) -> tuple[list[dict[str, Any]], int]:
        conditions = importlib.import_module("lib.core.jsx_conditions")
        http = importlib.import_module("lib.infrastructure.services.http_client")
        query = conditions.EmptyQuery() & conditions.Join("metadata", ["path"]) & conditions.Join("assignments")
        query = query & conditions.Limit(PAGE) & conditions.Offset(offset)
        context = {"team_id": self.project.team_id, "project_id": self.project.id, "folder_id": folder.id}
        with self._reporting_errors(f"the list of folder {folder.name!r}"):
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
        """The annotations that arrive; an interrupted stream gives none."""
        annotations: dict[int, dict[str, Any]] = {}
        for part in parts(item_ids, ANNOTATIONS_A_CALL):
            with self._reporting_errors("the annotations"):
                controller = self.account.controller
                answer = controller.annotations.list(self.project, None, list(part), verbose=False)
                if answer.errors and self.wire.failure:
                    raise self.wire.failure
                documents = [] if answer.errors else answer.data
            annotations |= {item_id: document for document in documents if (item_id := _item_of(document)) is not None}
        return annotations

    def _projects(self) -> list[str]:
        controller = self.account.controller
        with self._reporting_errors("the projects"):
            listed = controller.service_provider.projects.list(_condition("team_id", controller.team_id))
            return [project.name for project in listed.data]

    @staticmethod
    def _data(answer: Any) -> Any:
        """The content of an SDK response; raises PlatformError with the service's own message."""
        if answer.errors:
            raise PlatformError(redact(f"SuperAnnotate refused: {answer.errors}."), kept=KEPT, do=AGAIN)
        return answer.data

    @contextlib.contextmanager
    def _reporting_errors(self, what: str) -> Iterator[None]:
        """Replace any exception in the block by the error that the wire recorded, or by one that names ``what``."""
        self.wire.failure = None
        try:
            yield
        except AlcliError:
            raise
        except Exception as error:
            if self.wire.failure:
                raise self.wire.failure from None
            if isinstance(error, TimeoutError):
                raise out_of_time_error(what, OutOfTime(f"no whole answer in {self._options.deadline:g} s")) from None
            text = redact(f"{type(error).__name__}: {error}").strip().rstrip(".")
            if type(error).__name__ == "SAAuthError":
                raise AuthError(
                    f"The token from {self.credentials.source} was refused: {text}.",
                    do=f"Check the token and its team. If it has expired or was revoked: {ROTATE}",
                ) from None
            raise PlatformError(f"SuperAnnotate, {what}: {text}.", kept=KEPT, do=AGAIN) from None


def _text(name: Any) -> str:
    if not isinstance(name, str):
        raise TypeError(f"a folder without a name ({name!r})")
    return name


def project_name(options: SuperannotateOptions) -> str:
    """The project's name without its folder; raises UsageError if it is not configured."""
    name = (options.project or "").partition("/")[0]
    if not name:
        raise UsageError("No project is configured.", do='Set platform.project, like --project "Cells/pool".')
    return name


def folder_names(options: SuperannotateOptions) -> list[str] | None:
    """The configured folders, with "" for the root; None for all folders."""
    _, _, folder = (options.project or "").partition("/")
    if folder == "*" or "*" in options.folders:
        return None
    names = [*([folder] if folder or not options.folders else []), *options.folders]
    return list(dict.fromkeys("" if name == "root" else name for name in names))


def parts(rows: Sequence[Part], size: int) -> Iterator[Sequence[Part]]:
    """Split the rows into parts of at most ``size``; never an empty part, which the SDK would take for "all"."""
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


def _condition(key: str, value: Any) -> Any:
    conditions = importlib.import_module("lib.core.conditions")
    return conditions.Condition(key, value, conditions.CONDITION_EQ)


def _item_of(document: Any) -> int | None:
    """The id of the item that an annotation belongs to; None for anything else."""
    try:
        return int(document["metadata"]["id"])
    except (TypeError, KeyError, ValueError, IndexError, OverflowError):
        return None
