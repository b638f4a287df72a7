"""Platforms hold items and annotations, and receive the priority list. One file = one platform."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from alcli.annotations import Annotation
from alcli.config import TaskOptions
from alcli.items import Item, QueryRow, QueuedItem, Receipt, Refusal


class Platform(Protocol):
    """What alcli needs from a platform; constructed as ``Platform(options: PlatformOptions, cache: Path)``.

    A platform may have ``most_queued``, the largest number of items that its queue keeps in order.

    A platform may have ``Options``, a subclass of ``PlatformOptions`` with its own settings; ``options`` is then an
    instance of it.
    """

    def items(self) -> Iterator[Item | Refusal]:
        """Yield every item, and a refusal for each image that cannot be used; complete, or raises."""
        ...

    def annotations(self, items: Sequence[Item]) -> Iterator[Annotation | Refusal]:
        """Yield one annotation or refusal per item, in order; raises an error naming any that are missing."""
        ...

    def image(self, item: Item) -> Path:
        """A local file with the item's pixels; an image on another machine is downloaded once."""
        ...

    def push(self, query: Sequence[QueryRow]) -> Iterator[Receipt]:
        """Make these rows the queue; idempotent."""
        ...

    def queue(self) -> Sequence[QueuedItem]:
        """The items that annotators will receive, in order."""
        ...


@runtime_checkable
class Dispatching(Protocol):
    """A platform that can also hand out work. Every method is idempotent."""

    def assign(self, rows: Sequence[QueryRow], users: Sequence[str]) -> None:
        """Assign the rows to the users, round robin; existing assignments are kept."""
        ...

    def set_status(self, rows: Sequence[QueryRow], status: str) -> None:
        """Set the status of the rows' items; it must be in the platform's workflow."""
        ...

    def add_to_subset(self, rows: Sequence[QueryRow], subset: str) -> None:
        """Add the rows' items to a named subset."""
        ...

    def prelabel(self, items: Sequence[Item], annotations: Sequence[Annotation]) -> list[Refusal]:
        """Upload pre-annotations for annotators to correct, keeping statuses; returns the refusals."""
        ...


@runtime_checkable
class Downloading(Protocol):
    """A platform that keeps downloads."""

    def drop_image(self, item: Item) -> bool:
        """Drop the download of an image that cannot be decoded; whether it will be asked for again."""
        ...


@runtime_checkable
class Placing(Protocol):
    """A platform that knows where a download will lie, so that a pass can begin before all images are there."""

    def download_place(self, item: Item) -> Path | None:
        """The file that ``image`` returns, there or not; None if it is no download."""
        ...


@runtime_checkable
class TaskAware(Protocol):
    """A platform whose annotations are read differently for different tasks."""

    def set_task(self, task: TaskOptions) -> None:
        """Called once, before anything is listed."""
        ...


@runtime_checkable
class FileBased(Protocol):
    """A platform whose annotations are files, which may name other images and classes than those that occur."""

    @property
    def orphans(self) -> Sequence[Refusal]:
        """After a listing, all annotations if none of them belongs to an image; else empty."""
        ...

    @property
    def listed_classes(self) -> Sequence[str]:
        """After a listing, the classes that the annotations should hold; empty: any."""
        ...

    @property
    def empty_is_undecided(self) -> bool:
        """Whether nobody has said what a listed image without objects means."""
        ...


@runtime_checkable
class Recognizing(Protocol):
    """A platform that recognizes the format of its annotations, and keeps to what it once recognized."""

    def recall_formats(self, formats: Mapping[str, str]) -> None:
        """Called once, before anything is listed, with what ``formats`` returned in earlier runs."""
        ...

    def formats(self) -> Mapping[str, str]:
        """After a listing, the name of the format by task and place; empty if the settings name it."""
        ...


@runtime_checkable
class Creating(Protocol):
    """A platform that can make the configured project; ``alcli init --create``."""

    def create(self, task: TaskOptions) -> str:
        """Make the project and import the images that it lacks; returns what was done, in one sentence. Idempotent."""
        ...


@runtime_checkable
class Foldered(Protocol):
    """A platform whose annotations lie in folders, of which one can be gone."""

    def label_folders(self) -> Mapping[str, int]:
        """The number of files below each folder below the annotations, by its path; none for a single file."""
        ...


@runtime_checkable
class QueueSharing(Protocol):
    """A platform whose queue another workspace could write, too."""

    def check_queue(self) -> None:
        """Raise UsageError if the queue belongs to another workspace."""
        ...


@runtime_checkable
class QueueHashing(Protocol):
    """A platform whose queue is a file, so that comparing hashes is enough to know that nobody has changed it.

    Attributes:
        queue_sha256: of the file that ``queue`` has read last; empty if it read none.
    """

    queue_sha256: str

    def hash_queue(self) -> str:
        """SHA-256 of the file as it is now; empty if there is none."""
        ...


class Checking(Protocol):
    """A platform whose options `alcli init` checks before it creates a workspace.

    Attributes:
        fresh: settings that `alcli init` writes for a new workspace unless they are given; absent: none.
    """

    @classmethod
    def check(cls, options: Any) -> None:
        """Raise UsageError if no cycle can start with these options (paths resolved); contacts no other machine."""
        ...


@runtime_checkable
class Examinable(Protocol):
    """A platform on another machine, which ``alcli doctor --online`` can check."""

    def checks(self) -> Iterator[tuple[str, bool | None, str]]:
        """Yield (what was checked, whether it is fine, details); None is a warning."""
        ...
