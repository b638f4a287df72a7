"""Features of frozen networks on disk, by the content of images: what cycles and simulations have computed once.

A folder for each network, in it parts of some hundred images, each written whole or not at all.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from alcli.config import CacheOptions
from alcli.context import GB
from alcli.errors import DataError
from alcli.system.arrays import Arrays, read_arrays, read_notes, write_arrays
from alcli.system.bounded_folder import BoundedFolder
from alcli.system.files import remove_leftovers
from alcli.system.hashing import sha256_of, sha256_of_text
from alcli.system.progress import Progress

if TYPE_CHECKING:
    import numpy as np

    from alcli.tasks import Example

FOLDER = "features"
"""In the workspace's cache."""
SHARE = 0.1
"""Of ``cache.max_gb``: what the features of all networks take at most, in addition to the images."""
LOCAL = "file:"
Row = Mapping[str, "np.ndarray"]
"""The features of one image, by name: (d,) each."""


class FeatureCache:
    """The features of one network; several runs may use it at the same time.

    Args:
        cache: the workspace's folder. network: a hash of all that the features depend on apart from the image.
    """

    def __init__(self, cache: Path, network: str, options: CacheOptions, progress: Progress) -> None:
        self._folder, self._progress = cache / FOLDER / network, progress
        self._bounded = bounded_features(cache, options)
        self._parts: dict[str, tuple[Path, int]] = {}  # content → (file, row)
        self._contents: dict[str, str] = {}  # version of an item → content
        self._said: set[str] = set()
        remove_leftovers(self._folder)
        for path in sorted(self._folder.iterdir()) if self._folder.is_dir() else ():
            self._enter(path)

    def content_of(self, example: Example) -> str | None:
        """The hash of the image's content if features of it may be kept; None if it has to be computed anyway.

        A file is read only if it is not known under this name, with this size and time.
        """
        version = version_of(example)
        if version in self._contents:
            return self._contents[version]
        return _hash(example.path) if self._parts else None

    def is_kept(self, example: Example) -> bool:
        """Whether features of this version of an image are kept; nothing is read."""
        return self._contents.get(version_of(example)) in self._parts

    def read(self, contents: Iterable[str | None]) -> dict[str, Row]:
        """The features of those images that are kept, by content; damaged ones are dropped, and this is said once."""
        wanted: dict[Path, list[str]] = {}
        for content in contents:
            if content in self._parts:
                wanted.setdefault(self._parts[content][0], []).append(content)
        rows: dict[str, Row] = {}
        for path, hashes in wanted.items():
            self._bounded.use(path)
            try:
                arrays = read_arrays(path).arrays
                rows |= {text: {name: array[self._parts[text][1]] for name, array in arrays.items()} for text in hashes}
            except (DataError, IndexError):
                self._drop_damaged(path)
            except OSError:
                self._forget(path)  # another run has made room
            finally:
                self._bounded.release([path])
        return rows

    def keep(self, examples: Sequence[Example], versions: Sequence[str], arrays: Mapping[str, np.ndarray]) -> None:
        """Keep the features (n, d) of n images, by name, as one part.

        Args:
            versions: from ``version_of``, before the images were read. One that was replaced meanwhile is not kept.
        """
        hashes = [_hash(example.path) for example in examples]
        same = [
            row
            for row, example in enumerate(examples)
            if hashes[row] is not None and version_of(example) == versions[row]
        ]
        if not same:
            return
        contents = [str(hashes[row]) for row in same]
        notes = {"contents": contents, "versions": [versions[row] for row in same]}
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = self._folder / sha256_of_text(*contents)[:32]
        self._bounded.use(path)
        write_arrays(path, Arrays({name: array[same] for name, array in arrays.items()}, notes))
        removed = self._bounded.measure(path)
        self._bounded.release([path])
        removed += self._bounded.make_room()
        if removed:
            self._say_once("The cache of features is full (a tenth of cache.max_gb): the least recently used go.")
        self._enter(path)

    def _enter(self, path: Path) -> None:
        if path.name.startswith("."):
            return
        try:
            notes = read_notes(path)
            parts = {str(content): (path, row) for row, content in enumerate(notes["contents"])}
            contents = dict(zip(map(str, notes["versions"]), map(str, notes["contents"]), strict=True))
        except OSError:
            return
        except (DataError, KeyError, TypeError, ValueError):
            self._drop_damaged(path)
            return
        self._parts |= parts
        self._contents |= contents

    def _drop_damaged(self, path: Path) -> None:
        self._say_once("Kept features were damaged: they are computed again.")
        self._forget(path)
        with contextlib.suppress(OSError):
            path.unlink()

    def _forget(self, path: Path) -> None:
        self._parts = {content: (file, row) for content, (file, row) in self._parts.items() if file != path}

    def _say_once(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            self._progress.say(text)


def bounded_features(cache: Path, options: CacheOptions) -> BoundedFolder:
    """The features of all networks in the workspace's cache, and the share of the disk that they may take."""
    return BoundedFolder(cache / FOLDER, round(options.max_gb * GB * SHARE) or None)


def version_of(example: Example) -> str:
    """What changes whenever the image does, without a look at its pixels.

    Of a local file neither state nor annotation are part of it; a download's time is that of its last use.
    """
    item = example.item
    with contextlib.suppress(OSError):
        if item.uri.startswith(LOCAL):
            facts = example.path.stat()
            return sha256_of_text(os.fspath(example.path.absolute()), str(facts.st_size), str(facts.st_mtime_ns))
    return sha256_of_text(item.id, item.version, item.uri.partition("?")[0])


def _hash(path: Path) -> str | None:
    try:
        return sha256_of(path)
    except OSError:
        return None
