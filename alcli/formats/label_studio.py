"""Label Studio's JSON export: a list of tasks, with shapes in percent of the image."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from alcli.annotations import Annotation
from alcli.errors import DataError
from alcli.formats import Purpose
from alcli.formats._coco_entries import load_json
from alcli.formats._files import annotation_files, dataset_files
from alcli.formats._label_studio_results import Control, read_results, working_seconds, write_results
from alcli.formats._names import Claim, ImageNames, Matched, match_claims, without_upload_marks
from alcli.items import Refusal
from alcli.system.hashing import sha256_of_text
from alcli.system.text import is_text

__all__ = ["Control", "LabelStudio", "read_results", "working_seconds", "write_results"]


class LabelStudio:
    """One JSON file or a folder of them; an image is labeled when its task has an annotation that was not cancelled.

    What its results become, ``read_results`` says.
    """

    title = "Label Studio"
    tasks = frozenset({"classification", "detection", "pose", "segmentation"})
    looks_like = "Label Studio's JSON export"
    purpose = Purpose()

    def __init__(self, path: Path) -> None:
        self._path = path
        self._matched: Matched[list[dict[str, Any]]] = Matched()

    @classmethod
    def recognizes(cls, path: Path) -> bool:
        """Whether it is a JSON file, or a folder with one, that holds a list of tasks."""
        return any(_is_export(file) for file in annotation_files(path, ".json") if file.suffix.lower() == ".json")

    @property
    def notes(self) -> list[str]:
        """What was overlooked in matching names."""
        return self._matched.notes

    def labeled(self, names: Sequence[str]) -> tuple[dict[str, str], list[Refusal]]:
        """Map each annotated image to a hash of its annotations; also return the tasks that match no image."""
        files, refusals = dataset_files(self._path, ".json", "label-studio")
        claims = [claim for path in files for claim in _claims(path)]
        self._matched = match_claims(ImageNames(names, suffixes=True), claims)
        return self._matched.versions, [*self._matched.refusals, *refusals]

    def read(self, name: str) -> Annotation:
        """The objects of one image; raises DataError naming an invalid one, or when two people annotated it."""
        annotations = self._matched.source(name)
        if len(annotations) > 1:
            raise DataError(f"its task has {len(annotations)} annotations; keep one of them")
        return read_results(name, annotations[0].get("result"), self.purpose, working_seconds(annotations[0]))


def _tasks(path: Path) -> list[dict[str, Any]]:
    """The tasks in a file; empty for any other JSON, raises DataError for a file that cannot be read."""
    content = load_json(path)
    tasks = content if isinstance(content, list) else []
    whole = all(isinstance(task, dict) and isinstance(task.get("data"), dict) for task in tasks)
    return tasks if whole else []


def _is_export(path: Path) -> bool:
    try:
        return bool(_tasks(path))
    except DataError:
        return False


def _claims(path: Path) -> Iterator[Claim[list[dict[str, Any]]]]:
    for number, task in enumerate(_tasks(path)):
        given = task.get("annotations")
        annotations = [
            annotation
            for annotation in (given if isinstance(given, list) else [])
            if isinstance(annotation, dict) and not annotation.get("was_cancelled")
        ]
        texts = [text for text in task["data"].values() if isinstance(text, str) and is_text(text)]
        if annotations:
            version = sha256_of_text(json.dumps(annotations, sort_keys=True))
            keys = [key for text in texts for key in _image_keys(text)]
            name = texts[0] if texts else f"{path.name}: task {number}"
            yield Claim(f"label-studio:{path.name}:{number}", name, keys, annotations, version)


def _image_keys(address: str) -> list[str]:
    """Image names in an address, such as ``/data/local-files/?d=sub/x.jpg`` or ``/data/upload/1a2b3c4d-x.jpg``."""
    path = address.rpartition("?d=")[2]
    bare = without_upload_marks(path)
    return [path, bare] if bare else [path]
