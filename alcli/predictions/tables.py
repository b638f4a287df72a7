"""Tables of class probabilities (CSV, Parquet), and ``.npz`` files of embeddings with names."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from alcli.errors import DataError, UsageError
from alcli.predictions import ImagePrediction, Problem, Rules
from alcli.predictions.lines import check_probabilities

if TYPE_CHECKING:
    import pandas as pd

NAMES = ("name", "names", "filename", "file_name", "image", "image_name", "image_path", "path", "file")
ROWS = 50_000
"""Rows that are read at a time."""


def read_table(path: Path, rules: Rules) -> Iterator[ImagePrediction | Problem]:
    """Stream a table with one row per image: a column of names, and one of probabilities for each class.

    Raises:
        DataError: the file is no such table. UsageError: reading Parquet needs a package that is missing.
    """
    first = 0
    for part in _parts(path):
        names, classes = _columns(path, part)
        try:
            table = part[classes].to_numpy(dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise DataError(f"{path} holds a probability that is not a number: {error}.", do="Correct it.") from None
        for row, name in enumerate(part[names].astype(str)):
            source = f"{path.name}, row {first + row + 2}"
            try:
                if not np.isfinite(table[row]).all():
                    raise DataError("a probability is missing or not finite")
                check_probabilities(table[row : row + 1], rules.several_labels)
                yield ImagePrediction(name, source, tuple(classes), probabilities=table[row])
            except DataError as error:
                yield Problem(source, error.what, name)
        first += len(part)


def read_embeddings(path: Path) -> Iterator[ImagePrediction | Problem]:
    """Stream an ``.npz`` file with the arrays ``names`` (n,) and ``embeddings`` (n, d); raises DataError."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            if not {"names", "embeddings"} <= set(arrays.files):
                raise DataError(
                    f"{path} has the arrays {', '.join(arrays.files)}; needed are names and embeddings.",
                    do="np.savez(path, names=names, embeddings=vectors)",
                )
            names, vectors = arrays["names"], arrays["embeddings"]
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise DataError(
            f"{path} is not a file of arrays: {error}.", do="np.savez(path, names=…, embeddings=…)"
        ) from None
    if vectors.ndim != 2 or names.ndim != 1 or len(names) != len(vectors):
        raise DataError(f"{path}: {names.shape} names do not fit embeddings of the shape {vectors.shape}.")
    for row, name in enumerate(names.astype(str).tolist()):
        source = f"{path.name}, row {row}"
        if np.isfinite(vectors[row]).all():
            yield ImagePrediction(name, source, embedding=vectors[row].astype(np.float32))
        else:
            yield Problem(source, "embedding holds a number that is not finite", name)


def _columns(path: Path, part: pd.DataFrame) -> tuple[str, list[str]]:
    """(the column of names, the columns of classes)."""
    columns = [str(column) for column in part.columns]
    names = next((column for column in columns if column.strip().lower() in NAMES), None)
    classes = [column for column in columns if column != names]
    if names is None or not classes:
        raise DataError(
            f"{path} has the columns {', '.join(columns[:8])}: a column name and one for each class are needed.",
            do="The first line of such a file: name,cat,dog",
        )
    return names, classes


def _parts(path: Path) -> Iterator[pd.DataFrame]:
    import pandas as pd

    if path.suffix.lower() == ".parquet":
        try:
            yield pd.read_parquet(path)
        except ImportError:
            raise UsageError("Reading Parquet needs pyarrow.", do="pip install 'alcli[parquet]'") from None
        except (OSError, ValueError) as error:
            raise DataError(f"{path} is not Parquet: {error}.", do="Write it again, or as CSV.") from None
        return
    separator = "\t" if path.suffix.lower() == ".tsv" else ","
    try:
        yield from pd.read_csv(path, sep=separator, chunksize=ROWS, dtype={0: str}, encoding="utf-8-sig")
    except (ValueError, UnicodeDecodeError, OSError) as error:
        raise DataError(f"{path} is not a table: {' '.join(str(error).split())}.", do="Write it again.") from None
