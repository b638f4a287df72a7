"""Which image an annotation belongs to, when both only have names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath


class ImageNames:
    """Finds images by relative path or, where that fails, by a bare name that only one image has.

    Args:
        names: relative POSIX paths of all images.
        suffixes: whether annotations name images with their suffix (``a/x.jpg``) or without (``a/x``).
    """

    def __init__(self, names: Sequence[str], suffixes: bool) -> None:
        self._keep = suffixes
        self._by_path = _group((self._key(name), name) for name in names)
        self._by_bare_name = _group((PurePosixPath(self._key(name)).name, name) for name in names)

    def find(self, key: str) -> list[str]:
        """The images that ``key`` may mean: none, the one, or several when it is ambiguous."""
        exact = self._by_path.get(key)
        if exact is not None:
            return exact
        return self._by_bare_name.get(key, []) if "/" not in key else []

    def is_exact(self, key: str, found: Sequence[str]) -> bool:
        """Whether ``key``, with or without its suffix, is the whole path of the one image found."""
        return len(found) == 1 and PurePosixPath(key).with_suffix("") == PurePosixPath(found[0]).with_suffix("")

    def _key(self, name: str) -> str:
        return name if self._keep else str(PurePosixPath(name).with_suffix(""))


def _group(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for key, name in pairs:
        groups.setdefault(key, []).append(name)
    return groups
