"""Match annotations to images by name."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath


class ImageNames:
    """Finds images by relative path or, failing that, by file name without its folder.

    Args:
        names: relative POSIX paths of all images.
        suffixes: whether annotations name images with a suffix (``a/x.jpg``) or without (``a/x``).
    """

    def __init__(self, names: Sequence[str], suffixes: bool) -> None:
        self._keep = suffixes
        self._by_path = _group((self._key(name), name) for name in names)
        self._by_bare_name = _group((PurePosixPath(self._key(name)).name, name) for name in names)

    def find(self, key: str) -> list[str]:
        """The images that ``key`` may refer to: none, one, or several when it is ambiguous."""
        exact = self._by_path.get(key)
        if exact is not None:
            return exact
        return self._by_bare_name.get(key, []) if "/" not in key else []

    def is_exact(self, key: str, matches: Sequence[str]) -> bool:
        """Whether ``matches`` is a single image whose path equals ``key``, suffixes aside."""
        return len(matches) == 1 and PurePosixPath(key).with_suffix("") == PurePosixPath(matches[0]).with_suffix("")

    def _key(self, name: str) -> str:
        return name if self._keep else str(PurePosixPath(name).with_suffix(""))


def _group(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for key, name in pairs:
        groups.setdefault(key, []).append(name)
    return groups
