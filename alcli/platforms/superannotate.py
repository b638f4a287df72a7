"""SuperAnnotate: the order of the queue is a priority on each item, highest first."""

from __future__ import annotations

import itertools
import math
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from alcli.annotations import Annotation
from alcli.config import TaskOptions
from alcli.errors import DataError, UsageError
from alcli.formats import Purpose
from alcli.formats.superannotate import document, parse
from alcli.items import LABELED, SKIPPED, UNLABELED, Item, QueryRow, QueuedItem, Receipt, Refusal
from alcli.platforms._downloads import Downloads
from alcli.platforms._key_age import describe_age
from alcli.platforms._mirror import mirror_path
from alcli.platforms._superannotate_client import ANNOTATIONS_A_CALL, SCORES_A_CALL, Client, parts, project_name
from alcli.platforms._superannotate_options import SuperannotateOptions
from alcli.platforms._superannotate_rows import Row
from alcli.priorities import priorities
from alcli.system.clock import LARGEST_SKEW

STORED = "superannotate:"
SIGNED_SECONDS = 300.0
"""After which addresses that were refused as too old are listed once more."""
LEFT = 0.0
"""The priority of an item that has left the queue; queued items have a larger one."""
SETTINGS = (
    ("ShowEntropy", "Priority scores", "Setup → Settings → General → Priority scores"),
    ("ImageAutoAssignEnable", "Automatic assignment", "Setup → Settings → Task Request → Automatic assignment"),
    ("ItemAutoAssignOrder", "Priority Score Assignment", "Setup → Settings → Task Request → Priority Score Assignment"),
)


class Superannotate:
    """The items of one project or some of its folders; an item's id is the platform's.

    If a project assigns items automatically by priority score, annotators receive the pool's items in order of falling
    priority. The queue is therefore every item in a pool status with a priority above zero.
    """

    Options = SuperannotateOptions
    most_queued = 1_000_000
    """The largest priority that the service stores, and so the largest number of items in order."""

    @classmethod
    def check(cls, options: SuperannotateOptions) -> None:
        """Raise UsageError or AuthError unless project, token and address are complete; sends no request."""
        if options.images is not None and not options.images.exists():
            raise UsageError(f"--images: there is no {options.images}.", do="Check the path, or omit it.")
        cls(options, Path("cache"))

    def __init__(self, options: SuperannotateOptions, cache: Path) -> None:
        project_name(options)
        self._options = options
        self._client = Client(options, cache.parent / "logs")
        self._downloads = Downloads(cache / "images", options, self._client.credentials.url)
        self._listed: list[Row] | None = None
        self._listing = threading.Lock()
        self._signed: dict[str, str] = {}
        self._signed_at = -math.inf
        self._purpose = Purpose()

    def set_task(self, task: TaskOptions) -> None:
        """For detection, objects without a box give one."""
        self._purpose = Purpose(task.name, task.classes)

    # The platform's contract

    def items(self) -> Iterator[Item | Refusal]:
        """Every item of the configured folders, from a new listing; complete, or raises.

        Raises:
            UsageError: a configured status is not in the project's workflow.
        """
        for status in (*self._options.labeled_statuses, *self._options.pool_statuses):
            self._client.check_status(status)
        self._listed = self._client.rows()
        yield from self._client.refusals
        for row in self._listed:
            try:
                yield self._item(row)
            except DataError as error:
                yield Refusal(str(row.id), f"item {row.id}", error.what)

    def annotations(self, items: Sequence[Item]) -> Iterator[Annotation | Refusal]:
        """The annotation of each item, fetched in pages; an unreadable one becomes a refusal."""
        for page in parts(items, ANNOTATIONS_A_CALL):
            documents = self._client.annotations([int(item.id) for item in page])
            for item in page:
                try:
                    yield parse(item.id, documents[int(item.id)], self._purpose)
                except DataError as error:
                    yield Refusal(item.id, item.name, error.what, item.version)

    def image(self, item: Item) -> Path:
        """The item's pixels: from the mirror folder, its address, or the platform's storage.

        Raises:
            DataError: the image is missing or cannot be downloaded.
        """
        if self._options.images is not None:
            return mirror_path(self._options.images, item)
        if item.uri.startswith(STORED):
            return self._downloads.file(_key(item), lambda: self._client.original(item.folder, int(item.id)))
        addresses = itertools.chain([item.uri], self._new_addresses(item))
        return self._downloads.file(_key(item), lambda: (next(addresses), {}))

    def _new_addresses(self, item: Item) -> Iterator[str]:
        """The address of an image that the service signs anew; one listing has those of all images."""
        with self._listing:
            if time.monotonic() - self._signed_at > SIGNED_SECONDS:
                self._signed = {str(row.id): row.url for row in self._client.rows()}
                self._signed_at = time.monotonic()
        while True:
            yield self._signed.get(item.id) or item.uri

    def download_place(self, item: Item) -> Path | None:
        """Where the download lies, or will lie; None with a mirror folder."""
        return self._downloads.place(_key(item)) if self._options.images is None else None

    def drop_image(self, item: Item) -> bool:
        """Drop the download of an image that cannot be decoded; whether it will be asked for again."""
        return self._options.images is None and self._downloads.drop(_key(item))

    def push(self, query: Sequence[QueryRow]) -> Iterator[Receipt]:
        """Set the priority of every row, and zero for every other queued item; at most 100 per request."""
        current = {str(row.id): row for row in self._rows()}
        self._listed = None
        wanted = {row.item.id: float(value) for row, value in zip(query, priorities(len(query)), strict=True)}
        changes = [row for row in query if _priority(current, row.item.id) != wanted[row.item.id]]
        leaving = [row for row in current.values() if self._is_queued(row) and str(row.id) not in wanted]
        for folder, names in _by_folder((row.folder, row.name) for row in leaving):
            for part in parts(names, SCORES_A_CALL):
                self._client.set_priorities(folder, [(name, LEFT) for name in part])
        changed = {row.item.id for row in changes}
        for row in query:
            if row.item.id not in changed:
                yield Receipt(row.item.id, row.rank, accepted=True)
        for folder, rows in _by_folder((row.item.folder, row) for row in changes):
            for part in parts(rows, SCORES_A_CALL):
                known = self._client.set_priorities(folder, [(row.item.name, wanted[row.item.id]) for row in part])
                for row in part:
                    yield _receipt(row, row.item.name in known)

    def queue(self) -> Sequence[QueuedItem]:
        """The queued items by falling priority; items with equal priority share a position.

        Uses the listing of the last ``items`` call, unless a push has discarded it.
        """
        queued = [row for row in self._rows() if self._is_queued(row)]
        queued.sort(key=lambda row: (-(row.priority or 0), row.id))
        first: dict[float | None, int] = {}
        return [
            QueuedItem(first.setdefault(row.priority, position), row.name, str(row.id))
            for position, row in enumerate(queued, 1)
        ]

    # Dispatching

    def assign(self, rows: Sequence[QueryRow], users: Sequence[str]) -> None:
        """Assign the rows to the users, round robin; existing assignments are kept."""
        free = [row for row in rows if not row.item.assignees]
        for number, user in enumerate(users):
            for folder, names in _by_folder((row.item.folder, row.item.name) for row in free[number :: len(users)]):
                self._client.assign(folder, names, user)
        self._listed = None

    def set_status(self, rows: Sequence[QueryRow], status: str) -> None:
        """Set the status of the rows' items; raises UsageError if it is not in the workflow."""
        self._client.check_status(status)
        for folder, names in _by_folder((row.item.folder, row.item.name) for row in rows):
            self._client.set_status(folder, names, status)
        self._listed = None

    def add_to_subset(self, rows: Sequence[QueryRow], subset: str) -> None:
        """Add the rows' items to a named subset."""
        self._client.add_to_subset([int(row.item.id) for row in rows], subset)

    def prelabel(self, items: Sequence[Item], annotations: Sequence[Annotation]) -> list[Refusal]:
        """Upload pre-annotations, keeping statuses; returns the items that were refused.

        Raises:
            DataError: a class is not in the project.
        """
        missing = set().union(*(annotation.class_names() for annotation in annotations)) - self._client.classes()
        if missing:
            raise DataError(
                f"The project has no class {', '.join(map(repr, sorted(missing)))}.",
                kept="The queue was pushed; no pre-annotation was uploaded.",
                do="Create it on the platform, or train only on classes that exist there.",
            )
        refused: list[Refusal] = []
        pairs = zip(items, annotations, strict=True)
        for folder, members in _by_folder((item.folder, (item, annotation)) for item, annotation in pairs):
            documents = [document(item.name, annotation) for item, annotation in members]
            names = self._client.upload_annotations(folder, documents)
            refused += [
                Refusal(item.id, item.name, "its pre-annotation was refused by the platform")
                for item, _ in members
                if item.name in names
            ]
        return refused

    def checks(self) -> Iterator[tuple[str, bool | None, str]]:
        """Yield (what was checked, whether it is fine, details) for ``alcli doctor``; asks the platform."""
        client = self._client
        yield "token", True, f"from {client.credentials.source}, for {client.credentials.url}"
        team = client.account.controller.team_id
        yield "age of the key", *describe_age(client.credentials.token)
        yield "clock of the service", *_check_clock(client.wire.skew)
        yield "team", True, f"team {team}"
        yield "project", True, f"{client.project.name} (id {client.project.id})"
        counts = Counter((row.folder or "root", row.status) for row in client.rows())
        for folder in client.folders:
            name = folder or "root"
            shown = ", ".join(f"{count} {status}" for (where, status), count in sorted(counts.items()) if where == name)
            yield f"folder {name}", True, shown or "no items"
        yield from _check_settings(client)

    # Listing

    def _rows(self) -> list[Row]:
        if self._listed is None:
            self._listed = self._client.rows()
        return self._listed

    def _is_queued(self, row: Row) -> bool:
        return self._state(row) == UNLABELED and (row.priority or 0) > LEFT

    def _state(self, row: Row) -> str:
        if row.status in self._options.labeled_statuses:
            return LABELED
        return UNLABELED if row.status in self._options.pool_statuses else SKIPPED

    def _item(self, row: Row) -> Item:
        state = self._state(row)
        # Writing a priority may change the update time, so that time counts only for annotated items.
        version = f"{row.created}/{row.updated}" if state == LABELED else row.created
        uri = row.url or f"{STORED}{self._client.project.id}/{row.id}"
        return Item(str(row.id), row.name, uri, row.folder, state, version, ",".join(row.assignees))


def _key(item: Item) -> str:
    """What identifies an image: signed addresses change with each listing, but only in their query."""
    return item.uri if item.uri.startswith(STORED) else f"{item.id} {item.uri.partition('?')[0]}"


def _priority(listing: Mapping[str, Row], item_id: str) -> float | None:
    return listing[item_id].priority if item_id in listing else None


def _receipt(row: QueryRow, known: bool) -> Receipt:
    return Receipt(row.item.id, row.rank, known, "" if known else "it is no longer in its folder on the platform")


def _by_folder(pairs: Iterable[tuple[str, object]]) -> Iterable[tuple[str, list]]:
    """Group the second elements by the first, keeping their order."""
    folders: dict[str, list] = {}
    for folder, row in pairs:
        folders.setdefault(folder, []).append(row)
    return folders.items()


def _check_clock(skew: float | None) -> tuple[bool, str]:
    """(whether the clocks agree, details)."""
    if skew is None:
        return True, "the service does not send its time"
    return abs(skew) <= LARGEST_SKEW, f"this machine's clock is {abs(skew):.0f} s {'ahead' if skew > 0 else 'behind'}"


def _check_settings(client: Client) -> Iterator[tuple[str, bool, str]]:
    """Check the project settings that make priorities decide the order of annotation."""
    settings = client.settings()
    for attribute, name, where in SETTINGS:
        on = bool(settings.get(attribute))
        yield name, on, f"{attribute} = {settings[attribute]}" if on else f"off: priorities have no effect ({where})"
