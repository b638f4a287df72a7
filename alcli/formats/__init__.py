"""Annotation file formats. One file = one format."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from alcli.annotations import Annotation
from alcli.items import Refusal


class Format(Protocol):
    """The annotations in one file or folder, constructed as ``Format(path)``.

    Image names are paths relative to the image folder, with ``/``.
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
