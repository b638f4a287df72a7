"""A CSV file with the columns ``name`` and ``label``."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from alcli.annotations import Annotation
from alcli.errors import DataError
from alcli.formats._names import ImageNames
from alcli.items import Refusal
from alcli.system.files import SHARED, atomic_write
from alcli.system.hashing import sha256_of_text

COLUMNS = ("name", "label")


class CsvLabels:
    """A CSV of ``name,label``; an image is labeled when it is listed, and an empty label means "none of the classes".

    An image with several labels has one row for each. Other columns are ignored.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._labels: dict[str, tuple[str, ...]] = {}

    @classmethod
    def recognizes(cls, path: Path) -> bool:
        """Whether the file name ends in .csv."""
        return path.is_file() and path.suffix.lower() == ".csv"

    def labeled(self, names: Sequence[str]) -> tuple[dict[str, str], list[Refusal]]:
        """Map each listed image to a hash of its labels; also return the rows that match no or several images.

        Raises:
            DataError: the file is not a CSV with these columns; the message names the line.
        """
        images = ImageNames(names, suffixes=True)
        labels: dict[str, set[str]] = {}
        refusals: dict[str, Refusal] = {}
        for name, label in _rows(self._path):
            matches = images.find(name.removeprefix("./"))
            if len(matches) == 1:
                labels.setdefault(matches[0], set()).update({label} if label else ())
            else:
                reason = f"could belong to {' or '.join(matches)}; write its folder too" if matches else "no such image"
                refusals[name] = Refusal(f"csv:{name}", name, reason, "listed")
        self._labels = {name: tuple(sorted(classes)) for name, classes in labels.items()}
        versions = {name: sha256_of_text(*classes) for name, classes in self._labels.items()}
        return versions, list(refusals.values())

    def read(self, name: str) -> Annotation:
        """The labels of one image."""
        return Annotation(name, labels=self._labels[name])


def write(path: Path, annotations: Mapping[str, Annotation]) -> None:
    """Write the labels of each image, atomically."""
    with atomic_write(path, permissions=SHARED) as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(COLUMNS)
        for name, annotation in annotations.items():
            writer.writerows((name, label) for label in annotation.labels or ("",))


def _rows(path: Path) -> Iterator[tuple[str, str]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            rows = csv.DictReader(stream, strict=True)
            if missing := set(COLUMNS) - set(rows.fieldnames or ()):
                raise DataError(
                    f"{path.name}:1: there is no column {' or '.join(sorted(missing))}.",
                    do="The first line is name,label.",
                )
            for row in rows:
                if not row["name"] or row["label"] is None or None in row:
                    raise DataError(
                        f"{path.name}:{rows.line_num}: expected a name and a label, in as many columns as the header."
                    )
                yield row["name"].strip(), row["label"].strip()
    except (csv.Error, UnicodeDecodeError) as error:
        raise DataError(f"{path.name} is not a CSV file in UTF-8: {error}.", do="Save it as CSV UTF-8.") from None
