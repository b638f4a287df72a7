"""Which kind of predictions a file or folder holds, and one stream over all kinds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from alcli.errors import DataError, UsageError
from alcli.predictions import ImagePrediction, Problem, Rules
from alcli.predictions.coco_results import read_coco
from alcli.predictions.lines import open_lines, read_lines
from alcli.predictions.tables import read_embeddings, read_table
from alcli.predictions.yolo_labels import read_yolo

JSON_LINES, COCO, YOLO, TABLE, EMBEDDINGS = "JSON Lines", "COCO results", "YOLO labels", "table", "embeddings"
READ = "JSON Lines (.jsonl, .jsonl.gz), COCO results, a folder of YOLO labels, CSV or Parquet, .npz"
SUFFIXES = (".jsonl", ".jsonl.gz", ".ndjson", ".ndjson.gz")
TABLES = (".csv", ".tsv", ".parquet")


def kind_of(path: Path) -> str:
    """What a file or folder of predictions is.

    Raises:
        UsageError: there is no such file, or it cannot be read.
        DataError: it is of no kind that is read.
    """
    try:
        if path.is_dir():
            return _kind_of_folder(path)
        if path.suffix.lower() == ".npz":
            return EMBEDDINGS
        if path.suffix.lower() in TABLES:
            return TABLE
        with open_lines(path) as stream:
            first = stream.readline(1 << 20).lstrip(b"\xef\xbb\xbf \t\r\n")
    except FileNotFoundError:
        raise UsageError(f"There is no {path}.", do="Name a file or folder of predictions.") from None
    except (OSError, EOFError) as error:
        raise UsageError(f"{path} cannot be read: {error}.", do="Check its permissions; write it again.") from None
    if first.startswith(b"[") or b'"annotations"' in first or first.rstrip() == b"{":
        return COCO
    if first.startswith(b"{") or path.name.lower().endswith(SUFFIXES):
        return JSON_LINES
    raise DataError(f"{path} holds no predictions in a known form.", do=f"Read are: {READ}.")


def files_of(path: Path) -> list[Path]:
    """The files that a file or folder of predictions consists of, in the order of their names."""
    if not path.is_dir():
        return [path]
    return sorted(file for file in path.rglob("*") if file.is_file() and not file.name.startswith("."))


def read_predictions(path: Path, rules: Rules, coco: Path | None = None) -> Iterator[ImagePrediction | Problem]:
    """Stream the predictions of a file or folder, whatever its kind; what cannot be used is a Problem.

    Args:
        coco: the file whose image and category ids COCO results refer to.

    Raises:
        UsageError, DataError: as ``kind_of``; or the whole file cannot be used.
    """
    kind = kind_of(path)
    if kind == JSON_LINES:
        for file in [path] if path.is_file() else [file for file in files_of(path) if _is_lines(file)]:
            yield from read_lines(file, rules)
    elif kind == COCO:
        yield from read_coco(path, rules, coco)
    elif kind == YOLO:
        yield from read_yolo(path, rules)
    elif kind == TABLE:
        yield from read_table(path, rules)
    else:
        yield from read_embeddings(path)


def _is_lines(path: Path) -> bool:
    return path.name.lower().endswith(SUFFIXES)


def _kind_of_folder(path: Path) -> str:
    files = files_of(path)
    if any(_is_lines(file) for file in files):
        return JSON_LINES
    if any(file.suffix == ".txt" for file in files):
        return YOLO
    what = "is empty" if not files else f"holds no predictions, only files like {files[0].name}"
    raise DataError(f"The folder {path} {what}.", do=f"Read are: {READ}.")
