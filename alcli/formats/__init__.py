"""Annotation file formats. One file = one format."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from alcli.annotations import Annotation
from alcli.formats._files import check_source, count_files, one_look
from alcli.formats._name_lists import listed_names, match_listed
from alcli.formats._names import ImageNames, ranked_name
from alcli.formats._recognition import choose_format, recognize_format
from alcli.items import Refusal

__all__ = [
    "Format",
    "ImageNames",
    "Purpose",
    "Purposeful",
    "check_source",
    "choose_format",
    "count_files",
    "listed_names",
    "match_listed",
    "one_look",
    "ranked_name",
    "recognize_format",
]


@dataclass(frozen=True)
class Purpose:
    """What annotations are read for.

    Attributes:
        task: name of the task; empty if it is not known.
        classes: class names in the order of their numbers; empty: those of the annotations.
        crowds: whether crowd regions are read as objects.
        images: the folder of the images, where it is known.
    """

    task: str = ""
    classes: tuple[str, ...] = ()
    crowds: bool = False
    images: Path | None = None


class Format(Protocol):
    """The annotations in one file or folder, constructed as ``Format(path)``.

    Image names are paths relative to the image folder, with ``/``. A format may also have these attributes:

    Attributes:
        title: what people call it; absent: its name.
        tasks: names of the built-in tasks that can use it; absent: every task.
        looks_like: what such a folder looks like, in a few words; absent: not named as a possibility.
        lacks: called with a folder that no format recognizes; what it lacks to be in this one, or an empty text.
        notes: after ``labeled``, sentences about what was overlooked.
        listed_classes: after ``labeled``, the classes that the annotations should hold; absent: any.
    """

    @classmethod
    def recognizes(cls, path: Path) -> bool:
        """Whether the file or folder appears to be in this format."""
        ...

    def labeled(self, names: Sequence[str]) -> tuple[dict[str, str], list[Refusal]]:
        """Map each labeled image to its annotation's version; also return the annotations that match no image."""
        ...

    def read(self, name: str) -> Annotation:
        """The annotation of one labeled image, with the image's name as ``item_id``; raises DataError."""
        ...


@runtime_checkable
class Purposeful(Protocol):
    """A format that reads differently for different tasks."""

    purpose: Purpose
