"""The predictions of one cycle as a file of the workspace: written whole, read image by image."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from alcli.errors import WorkspaceDamaged
from alcli.predictions import ImagePrediction, Rules
from alcli.predictions.lines import Header, parse_line, to_line, write_header
from alcli.system.files import atomic_write

NAME = re.compile(rb'\{"name": ("(?:[^"\\]|\\.)*")')


def write_predictions(path: Path, header: Header, predictions: Iterable[ImagePrediction]) -> None:
    """Write a predictions file whose names are item ids, whole or not at all."""
    with atomic_write(path) as stream:
        write_header(stream, header)
        for prediction in predictions:
            stream.write(to_line(prediction, header.classes) + "\n")


class KeptPredictions:
    """The file that ``write_predictions`` wrote, with the place of each item's line.

    Raises:
        WorkspaceDamaged: the file is not what was written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._places: dict[str, int] = {}
        with path.open("rb") as stream:
            content = json.loads(stream.readline() or b"{}")
            self.header = Header(tuple(content.get("classes", ())), content.get("units", "pixels"))
            place = stream.tell()
            for line in stream:
                match = NAME.match(line)
                if match is None:
                    raise WorkspaceDamaged(f"{path} is not what was written.", do="Run `alcli train` again.")
                self._places[json.loads(match[1])] = place
                place += len(line)

    def __contains__(self, item_id: str) -> bool:
        return item_id in self._places

    def __len__(self) -> int:
        return len(self._places)

    def read(self, item_ids: Sequence[str]) -> dict[str, ImagePrediction]:
        """The predictions of these items, by id; those without one are left out."""
        rules = Rules(several_labels=True)  # checked before they were written
        answers = {}
        with self._path.open("rb") as stream:
            for item_id in item_ids:
                if item_id in self._places:
                    stream.seek(self._places[item_id])
                    answers[item_id] = parse_line(stream.readline(), self.header, rules, self._path.name)
        return answers


def under_id(prediction: ImagePrediction, item_id: str) -> ImagePrediction:
    """The same prediction under the id of its item."""
    return prediction if prediction.name == item_id else replace(prediction, name=item_id)
