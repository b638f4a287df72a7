"""The maps of many images in half precision, a file for each level, written as they come and read by single rows."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from alcli.errors import DataError
from alcli.system.files import atomic_write
from alcli.system.hashing import sha256_of

if TYPE_CHECKING:
    from torch import Tensor

TYPE = np.dtype(np.float16)
LARGEST = float(np.finfo(TYPE).max)


@dataclass(frozen=True)
class MapFiles:
    """The files of all levels in one folder, the finest first.

    Attributes:
        shapes: (rows, height, width, channels) of each level. Channels come last, as the heads want them.
        hashes: SHA-256 of each file.
    """

    folder: Path
    shapes: Sequence[tuple[int, ...]]
    hashes: Sequence[str]

    @classmethod
    def of(cls, folder: Path, notes: Mapping[str, Any]) -> MapFiles:
        """Those that ``notes`` tells of."""
        return cls(folder, [tuple(shape) for shape in notes["shapes"]], notes["hashes"])

    @property
    def notes(self) -> dict[str, Any]:
        """What has to be known to read the files."""
        return {"shapes": [list(shape) for shape in self.shapes], "hashes": list(self.hashes)}

    @property
    def paths(self) -> list[Path]:
        """A file for each level; without a suffix, as ``BoundedFolder`` counts them."""
        return [_path(self.folder, level) for level in range(len(self.shapes))]

    def are_intact(self) -> bool:
        """Whether every file is there, and every bit of it is what was written."""
        with contextlib.suppress(OSError):
            return [sha256_of(path) for path in self.paths] == list(self.hashes)
        return False

    def open(self) -> list[np.ndarray]:
        """The levels, of which only those rows are read that are asked for; raises DataError if a file has gone."""
        try:
            pairs = zip(self.paths, self.shapes, strict=True)
            return [np.memmap(path, TYPE, "r", shape=shape) for path, shape in pairs]
        except FileNotFoundError:
            raise DataError(
                "Another run of alcli needed the room of this simulation's features.",
                kept="Finished runs are kept.",
                do="Run the same command again, with a larger cache.max_gb.",
            ) from None


class MapWriter:
    """Appends rows to the files of all levels; the files appear together at the end, and not after an error."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._streams: list[IO[bytes]] = []
        self._hashes: list[Any] = []
        self._sizes: list[tuple[int, ...]] = []
        self._open = contextlib.ExitStack()
        self.rows = 0

    def __enter__(self) -> MapWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.__exit__(kind, error, trace)

    @property
    def bytes_written(self) -> int:
        """So far, in all files."""
        return self.rows * TYPE.itemsize * sum(map(math.prod, self._sizes))

    def append(self, maps: Sequence[Tensor]) -> None:
        """Append the rows of a batch: [(rows, C_i, H_i, W_i)]."""
        levels = [part.clamp(-LARGEST, LARGEST).half().permute(0, 2, 3, 1).cpu().contiguous().numpy() for part in maps]
        if not self._streams:
            self._sizes, self._hashes = [level.shape[1:] for level in levels], [sha256() for _ in levels]
            paths = [_path(self._folder, level) for level in range(len(levels))]
            self._streams = [self._open.enter_context(atomic_write(path, "wb")) for path in paths]
        for stream, digest, level in zip(self._streams, self._hashes, levels, strict=True):
            stream.write(level.data)
            digest.update(level.data)
        self.rows += len(levels[0])

    def files(self) -> MapFiles:
        """What has been written; the files are there when the block has ended."""
        shapes = [(self.rows, *size) for size in self._sizes]
        return MapFiles(self._folder, shapes, [digest.hexdigest() for digest in self._hashes])


def _path(folder: Path, level: int) -> Path:
    return folder / f"map{level}"
