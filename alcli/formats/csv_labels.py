"""A CSV file with the columns ``name`` and ``label``."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from alcli.annotations import Annotation
from alcli.errors import DataError
from alcli.formats._files import annotation_files, encoding_of, is_file, is_folder, open_file, read_head
from alcli.formats._names import Claim, ImageNames, Matched, match_claims
from alcli.items import Refusal
from alcli.system.files import SHARED, atomic_write
from alcli.system.hashing import sha256_of_text
from alcli.system.text import readable

COLUMNS = ("name", "label")
NAME_HEADERS = (
    *(
        "name",
        "filename",
        "file_name",
        "file",
        "image_name",
        "image_path",
        "image_file",
        "filepath",
        "file_path",
        "path",
    ),
    *("image", "img", "img_name", "img_path", "image_id", "id"),
)
LABEL_HEADERS = ("label", "labels", "class", "class_name", "classname", "category", "choice", "target")
"""Headers in lower case, the preferred ones first."""
DELIMITERS = (",", ";", "\t", "|")
LARGEST_FILE = 2**29
SEPARATOR_LINE = "sep="
ROBOFLOW = "_classes.csv"
SUFFIXES = (".csv", ".tsv")
FEWEST_CLASSES = 2
"""Columns of 0 and 1 that make a table of classes; a single one could be anything."""
PRESENT = {"1": True, "1.0": True, "true": True, "0": False, "0.0": False, "false": False, "": False}


@dataclass(frozen=True)
class _Line:
    """One line of the file: an image, its labels, and what is wrong with the line."""

    name: str
    labels: tuple[str, ...] = ()
    problem: str = ""


@dataclass(frozen=True)
class _Header:
    """Where the columns are; ``classes`` (column → class) instead of ``label`` in a table of 0 and 1."""

    columns: int
    name: int
    label: int | None
    classes: Mapping[int, str]


class CsvLabels:
    """A CSV of ``name,label``; an image is labeled when it is listed, and an empty label means "none of the classes".

    An image with several labels has one row for each. Other columns are ignored. ``;`` and tabs separate columns as
    well, ``filename,class`` are the same columns, and a table with a column of 0 and 1 for each class is read, too.
    """

    title = "CSV"
    tasks = frozenset({"classification"})

    def __init__(self, path: Path) -> None:
        self._path = path
        self._matched: Matched[list[_Line]] = Matched()

    @classmethod
    def recognizes(cls, path: Path) -> bool:
        """Whether the file name ends in .csv or .tsv, or the folder holds Roboflow's tables, one for each split."""
        if is_folder(path):
            return any(map(_is_table, _tables(path)))
        return is_file(path) and path.suffix.lower() in SUFFIXES

    @property
    def notes(self) -> list[str]:
        """What was overlooked in matching names."""
        return self._matched.notes

    def labeled(self, names: Sequence[str]) -> tuple[dict[str, str], list[Refusal]]:
        """Map each listed image to a hash of its labels; also return the rows that match no or several images.

        Raises:
            DataError: the file is not a CSV with these columns; the message names the line.
        """
        claims: list[Claim[list[_Line]]] = []
        nameless: list[Refusal] = []
        for path in _tables(self._path) if is_folder(self._path) else [self._path]:
            lines: dict[str, list[_Line]] = {}
            for line in _lines(path):
                if line.name:
                    lines.setdefault(line.name, []).append(line)
                else:
                    where = line.problem.partition(": ")[0]
                    nameless.append(Refusal(f"csv:{where}", where, line.problem, "listed"))
            folder = "" if path == self._path else readable(path.parent.relative_to(self._path).as_posix())
            for name, group in lines.items():
                version = sha256_of_text(*_labels(group), *_problems(group))
                within = f"{folder}/{name}" if folder else name
                claims.append(Claim(f"csv:{within}", within, list(dict.fromkeys((within, name))), group, version))
        self._matched = match_claims(ImageNames(names, suffixes=True), claims, "no such image", "write its folder too")
        return self._matched.versions, [*self._matched.refusals, *nameless]

    def read(self, name: str) -> Annotation:
        """The labels of one image; raises DataError naming a line that is not a name and labels."""
        lines = self._matched.source(name)
        if problems := _problems(lines):
            raise DataError(problems[0])
        return Annotation(name, labels=tuple(_labels(lines)))


def write(path: Path, annotations: Mapping[str, Annotation]) -> None:
    """Write the labels of each image, atomically."""
    with atomic_write(path, permissions=SHARED) as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(COLUMNS)
        for name, annotation in annotations.items():
            writer.writerows((name, label) for label in annotation.labels or ("",))


def _tables(folder: Path) -> list[Path]:
    return [path for path in annotation_files(folder, ".csv") if path.name == ROBOFLOW]


def _is_table(path: Path) -> bool:
    """Whether a file of this name is a table of labels; Roboflow's masks have one of another kind."""
    try:
        next(_lines(path), None)
    except DataError:
        return False
    return True


def _labels(lines: Sequence[_Line]) -> list[str]:
    return sorted({label for line in lines for label in line.labels})


def _problems(lines: Sequence[_Line]) -> list[str]:
    return [line.problem for line in lines if line.problem]


def _lines(path: Path) -> Iterator[_Line]:
    """Every row with a value; the empty rows that spreadsheets leave are skipped."""
    last = 0
    try:
        # Spreadsheets save "Unicode text" in UTF-16.
        encoding = encoding_of(read_head(path, 2))
        with open_file(path, LARGEST_FILE) as content, io.TextIOWrapper(content, encoding, newline="") as stream:
            rows = csv.reader(stream, delimiter=_delimiter(stream), strict=True)
            header: _Header | None = None
            titles = [title.strip() for title in next(rows, [])]
            last = rows.line_num
            for row in rows:
                last = rows.line_num
                cells = [cell.strip() for cell in row]
                if any(cells):
                    header = header or _parse_header(path, titles, cells)
                    yield _parse_line(header, cells, f"{path.name}:{rows.line_num}")
            if header is None:
                _parse_header(path, titles, [])
    except UnicodeError as error:
        raise DataError(f"{path.name} is not a CSV file in UTF-8: {error}.", do="Save it as CSV UTF-8.") from None
    except csv.Error as error:
        raise DataError(
            f"{path.name}: after line {last}: {error}.", do="Does a quotation mark open there that nothing closes?"
        ) from None


def _delimiter(stream: IO[str]) -> str:
    """The delimiter that ``sep=`` names or the header uses most; leaves the stream at the header."""
    first = stream.readline()
    if first.lower().startswith(SEPARATOR_LINE):
        return first[len(SEPARATOR_LINE) :][:1].strip("\r\n") or DELIMITERS[0]
    stream.seek(0)
    return max(DELIMITERS, key=first.count)


def _parse_header(path: Path, titles: Sequence[str], first: Sequence[str]) -> _Header:
    """Find the columns; the first row tells a table of 0 and 1 from one without labels."""
    known = [title.lower() for title in titles]
    name = next((known.index(header) for header in NAME_HEADERS if header in known), None)
    label = next((known.index(header) for header in LABEL_HEADERS if header in known), None)
    if name is not None and label is not None:
        return _Header(len(titles), name, label, {})
    classes = {column: title for column, title in enumerate(titles) if title and column != name}
    if (
        name is not None
        and len(classes) >= FEWEST_CLASSES
        and first
        and all(_cell(first, column) in PRESENT for column in classes)
    ):
        return _Header(len(titles), name, None, classes)
    missing = [column for column, index in (("label", label), ("name", name)) if index is None]
    raise DataError(
        f"{path.name}:1: there is no column {' or '.join(missing)}.",
        do=f"The first line must be name,label; it is {','.join(titles)!r}.",
    )


def _parse_line(header: _Header, cells: Sequence[str], where: str) -> _Line:
    name = (_cell(cells, header.name) or "").removeprefix("./")
    label = _cell(cells, header.label) if header.label is not None else ""
    if not name or label is None or any(cells[header.columns :]):
        return _Line(name, (), f"{where}: expected a name and a label, in as many columns as the header")
    values = {title: _cell(cells, column) for column, title in header.classes.items()}
    if odd := [title for title, value in values.items() if value not in PRESENT]:
        return _Line(name, (), f"{where}: column {odd[0]}: expected 0 or 1, got {values[odd[0]]!r}")
    chosen = [title for title, value in values.items() if value is not None and PRESENT[value]]
    return _Line(name, tuple([label] if label else chosen))


def _cell(cells: Sequence[str], column: int) -> str | None:
    return cells[column] if column < len(cells) else None
