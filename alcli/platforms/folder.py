"""A folder of images and a folder or file of annotations: the embedded default platform."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from alcli.annotations import Annotation
from alcli.config import PlatformOptions, TaskOptions
from alcli.errors import DataError, PlatformError, Unreadable, UsageError
from alcli.formats import (
    Format,
    Purpose,
    Purposeful,
    check_source,
    choose_format,
    count_files,
    one_look,
    recognize_format,
)
from alcli.items import LABELED, UNLABELED, Item, Refusal, uri_to_path
from alcli.platforms._buckets import Bucket, as_address, check_address
from alcli.platforms._image_files import Apart, Listing, has_images, is_folder, list_images
from alcli.platforms._queue_file import QueueFile, queue_effects
from alcli.system.folders import KEPT

VIDEOS = frozenset({".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm", ".wmv"})
Address = Annotated[str, AfterValidator(as_address)]
"""Where images are in a store."""
NO_IMAGE = ("without an image", "no such image")
"""How reasons end if no image has the annotation's name."""
WITHOUT_CLASS_FOLDERS = frozenset({"detection", "pose", "segmentation"})
"""Tasks whose annotations are never the images themselves, sorted into folders."""


class Folder(QueueFile):
    """Images in a folder and its sub-folders; an item's id and name are its path relative to that folder.

    Pushing writes ``platform.queue``, by `alcli init` a file in the workspace; the whole file is replaced atomically.
    """

    fresh: ClassVar = {"queue": "queue.csv"}

    class Options(PlatformOptions):
        """Where the images and annotations are, and in which format."""

        images: Annotated[Address | Path | None, Field(union_mode="left_to_right")] = Field(
            None, description="folder of images, searched recursively, or its address: s3://bucket/photos"
        )
        annotations: Path | None = Field(None, description="folder or file of annotations")
        format: str = Field("auto", description="annotation format, `alcli list formats`; auto recognizes it")
        queue: Path | None = Field(None, description="where push writes; default: queue.csv next to the annotations")
        crowds: Literal["ignore", "objects"] = Field(
            "ignore", description="what COCO's crowd regions are; CVAT writes every brush mask as one"
        )
        empty: Literal["ask", "labeled", "pool"] = Field(
            "ask", description="what a listed image without objects is: looked at (labeled), or not yet (pool)"
        )

        def outside_effects(self, workspace: Path) -> dict[str, str]:
            """The queue is not a CSV file below the workspace, the images or the annotations."""
            # Behind a closed door it counts as a folder; the listing says that the door is closed.
            is_file = self.annotations is not None and os.path.isfile(self.annotations)  # noqa: PTH113
            labels = self.annotations.parent if self.annotations and is_file else self.annotations
            if isinstance(self.images, Path) or self.images is None:
                return queue_effects(self.queue, workspace, self.images, labels)
            store = {"images": f"{self.images} would be read with this machine's credentials."}
            return queue_effects(self.queue, workspace, labels) | store

    @classmethod
    def check(cls, options: Options) -> None:
        """Raises UsageError unless there are images and a place for annotations."""
        for key, path in (("images", options.images), ("annotations", options.annotations)):
            if path is None:
                raise UsageError(
                    f"The folder platform needs --{key}.",
                    do="alcli init W --images photos --annotations labels. If nothing is annotated yet, name an empty "
                    "folder.",
                )
            if isinstance(path, Path) and not path.exists():
                raise UsageError(f"--{key}: there is no {path}.", do="Check the path, or make the folder first.")
        if isinstance(options.images, str):
            check_address(options.images)
        elif options.images and options.annotations:
            _check_images(options.images, options.annotations)

    def __init__(self, options: Options, cache: Path) -> None:
        if options.images is None:
            raise UsageError("The folder platform needs a folder of images.", do="Set platform.images.")
        self._images = options.images if isinstance(options.images, Path) else None
        self._bucket = Bucket(options.images, cache / "images") if isinstance(options.images, str) else None
        self._annotations = options.annotations
        self._format = options.format
        self._queue = options.queue or _beside(options.annotations or self._images or cache.parent)
        self._empty = options.empty
        self._crowds = options.crowds == "objects"
        self._workspace = self._own = cache.parent
        self._labels: Format | None = None
        self._purpose = Purpose(crowds=self._crowds, images=self._images)
        self._formats: Mapping[str, str] = {}
        self._recognized = ""
        self._orphans: Sequence[Refusal] = ()
        self._passed_over: Sequence[str] = ()

    @property
    def notes(self) -> Sequence[str]:
        """What was overlooked in the last listing and reading, one sentence for each kind."""
        return [*self._passed_over, *getattr(self._labels, "notes", ())]

    @property
    def orphans(self) -> Sequence[Refusal]:
        """All annotations, if none of them belonged to an image in the last listing."""
        return self._orphans

    @property
    def listed_classes(self) -> Sequence[str]:
        """The classes of a class list."""
        return getattr(self._labels, "listed_classes", ())

    @property
    def empty_is_undecided(self) -> bool:
        """Whether ``platform.empty`` is not set."""
        return self._empty == "ask"

    @property
    def title(self) -> str:
        """What people call the format of the annotations."""
        labels = type(self._open_labels())
        return str(getattr(labels, "title", labels.__name__))

    def set_task(self, task: TaskOptions) -> None:
        """Read only formats and parts that the task can use; ``task.classes`` name numbered classes."""
        self._purpose = Purpose(task.name, task.classes, self._crowds, self._images)
        self._labels = None

    def recall_formats(self, formats: Mapping[str, str]) -> None:
        """A folder that is empty now still has the format in which annotations were found there before."""
        self._formats = formats
        self._labels = None

    def formats(self) -> Mapping[str, str]:
        """The format that was recognized last; none if ``platform.format`` is set."""
        return {self._source: self._recognized} if self._recognized else {}

    def label_folders(self) -> Mapping[str, int]:
        """The number of files below each folder of annotations; raises PlatformError if one cannot be entered."""
        return count_files(self._annotations) if self._annotations else {}

    def items(self) -> Iterator[Item | Refusal]:
        """Every image in the folder; raises PlatformError if it does not exist, or a folder in it cannot be read."""
        listing = self._list_images()
        self._passed_over = listing.notes
        names = sorted(listing.images)
        with one_look():
            versions, orphans = self._match(names) if self._annotations else ({}, [])
        orphans = [_name_unread(orphan, listing.unread_names) for orphan in orphans]
        self._orphans = () if versions else orphans
        # The setting changes what is read from the same file.
        stamp = "/crowds" if self._crowds else ""
        for name in names:
            address, version = listing.images.pop(name)  # so that a million are not held twice
            state = LABELED if name in versions and not self._is_unopened(name) else UNLABELED
            suffix = stamp if name in versions else ""
            yield Item(name, name, address, "", state, f"{version}/{versions.get(name, '')}{suffix}")
        yield from listing.refusals
        yield from orphans

    def annotations(self, items: Sequence[Item]) -> Iterator[Annotation | Refusal]:
        """The annotation of each item, read from its file; an unreadable one becomes a refusal."""
        if self._labels is None:
            # Annotation files are matched to images while listing.
            for _ in self.items():
                pass
        labels = self._open_labels()
        for item in items:
            try:
                yield labels.read(item.id)
            except DataError as error:
                yield Refusal(item.id, item.name, error.what, item.version, isinstance(error, Unreadable))

    def image(self, item: Item) -> Path:
        """The image file itself, or its download."""
        if self._bucket is None:
            return uri_to_path(item.uri)
        return self._bucket.file(item.uri, item.version.partition("/")[0])

    def download_place(self, item: Item) -> Path | None:
        """Where a download lies, or will lie; None for a local file."""
        return self._bucket.place(item.uri, item.version.partition("/")[0]) if self._bucket else None

    def drop_image(self, item: Item) -> bool:
        """Drop a download that cannot be decoded; a local file stays."""
        return self._bucket is not None and self._bucket.drop(item.uri, item.version.partition("/")[0])

    def _list_images(self) -> Listing:
        if self._bucket is not None:
            return self._bucket.list_images()
        assert self._images is not None
        return list_images(self._images, self._kept_apart(self._images))

    def _kept_apart(self, images: Path) -> list[Apart]:
        """The folders below the images that hold masks, sorted copies and alcli's own files."""
        root, workspace = images.resolve(), self._own.resolve()
        own = [workspace / name for name in ("cache", "cycles", "logs")] if workspace == root else [workspace]
        apart = [Apart(folder, f"the workspace {workspace}") for folder in own]
        if self._annotations and is_folder(self._annotations):
            # People may also move images into class folders; a task of another package may read these, too.
            moved = self._purpose.task not in WITHOUT_CLASS_FOLDERS
            apart.append(Apart(self._annotations, f"the folder of annotations {self._annotations}", moved))
        return apart

    def _is_unopened(self, name: str) -> bool:
        """Whether a listed image holds nothing because nobody has opened it."""
        if self._empty != "pool":
            return False
        try:
            annotation = self._open_labels().read(name)
        except DataError:
            return False
        return annotation.is_empty and not annotation.passed_over

    @property
    def _source(self) -> str:
        return f"{self._purpose.task}:{self._annotations}"

    def _match(self, names: Sequence[str]) -> tuple[dict[str, str], list[Refusal]]:
        try:
            return self._open_labels().labeled(names)
        except UsageError as error:
            if self._source not in self._formats:
                raise
            # The same settings have worked before: it is the files that have changed.
            raise DataError(error.what, kept=KEPT, do=error.do) from None

    def _open_labels(self) -> Format:
        if self._labels is None:
            path = self._annotations
            if path is None:
                raise PlatformError("There are no annotations.", do="See platform.annotations.")
            check_source(path)
            task, before = self._purpose.task, self._formats.get(self._source, "")
            self._recognized = recognize_format(path, task, before) if self._format == "auto" else ""
            labels: Format = choose_format(path, self._recognized or self._format, task)(path)
            if isinstance(labels, Purposeful):
                labels.purpose = self._purpose
            self._labels = labels
        return self._labels


def _name_unread(orphan: Refusal, unread: Mapping[str, str]) -> Refusal:
    """Say so if an annotation's image is there, in a kind that is not read."""
    path = PurePosixPath(orphan.name)
    image = next((unread[stem] for stem in (path.stem, PurePosixPath(path.stem).stem) if stem in unread), "")
    reason = f"{image} is of a kind that alcli does not read; convert it to JPEG or PNG"
    return replace(orphan, reason=reason) if image and orphan.reason.endswith(NO_IMAGE) else orphan


def _check_images(images: Path, annotations: Path) -> None:
    if not images.is_dir():
        is_video = images.suffix.lower() in VIDEOS
        raise UsageError(
            f"--images: {images} is a {'video' if is_video else 'file'}, not a folder of images.",
            do="Extract its frames first: ffmpeg -i VIDEO photos/%06d.jpg"
            if is_video
            else "Name the folder of images.",
        )
    if not has_images(images) and annotations.is_dir() and has_images(annotations):
        raise UsageError(
            f"--images: {images} holds no images, but --annotations: {annotations} does.",
            do=f"Swapped? --images {annotations} --annotations {images}",
        )


def _beside(annotations: Path) -> Path:
    folder = annotations if annotations.is_dir() else annotations.parent
    return folder / "queue.csv"
