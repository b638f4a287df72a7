"""Lists of image names, one per line, as people and data sets write them: ``ImageSets/Main/test.txt``, ``val.txt``."""

from __future__ import annotations

from collections.abc import Sequence

from alcli.formats._names import ImageNames


def listed_names(text: str) -> list[str]:
    """The names in a text, one per line, without empty lines; from any editor, with or without a byte order mark."""
    # Split at line feeds only, because a name may contain other characters that str.splitlines splits at.
    lines = (line.removesuffix("\r") for line in text.removeprefix("\ufeff").split("\n"))
    return [line for line in lines if line]


def match_listed(names: Sequence[str], images: Sequence[str]) -> tuple[set[str], list[str]]:
    """(images that the names refer to, names that refer to none or to several).

    A name may lack the suffix (Pascal VOC's lists) or have further folders in front (YOLO's lists).
    """
    search = ImageNames(images, suffixes=True)
    answers = {name: search.find(name) for name in names}
    unclear = [name for name, answer in answers.items() if len(answer) != 1]
    return {answer[0] for answer in answers.values() if len(answer) == 1}, unclear
