"""How annotations lie in files. One file = one format."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from alcli.annotations import Annotation
from alcli.items import Refusal


class Format(Protocol):
    """Annotations at one path; made as ``Format(path)``. Images are named relative to their folder, with ``/``."""

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Whether the file or folder looks like this format."""
        ...

    def labeled(self, names: Sequence[str]) -> tuple[dict[str, str], list[Refusal]]:
        """Image name → version of its annotation, for the labelled ones; and annotations that fit no image."""
        ...

    def read(self, name: str) -> Annotation:
        """The annotation of one labelled image, ``item_id`` being the image's name; raises DataError."""
        ...
