"""COCO's compressed run lengths, counted before pycocotools expands them: it fills up what is missing with whatever
the memory holds."""

from __future__ import annotations

from alcli.errors import DataError

LONGEST = 2**32


def pixels(counts: str) -> int:
    """How many pixels the code describes; raises DataError when it is none."""
    runs: list[int] = []
    value = shift = 0
    for character in counts:
        digit = ord(character) - 48
        if not 0 <= digit < 64 or shift > 35:
            raise DataError("its run lengths are no run-length code")
        value |= (digit & 31) << shift
        shift += 5
        if digit & 32:
            continue
        if digit & 16:
            value -= 1 << shift
        # From the fourth on each is written as its difference to the last but one.
        value += runs[-2] if len(runs) > 2 else 0
        if not 0 <= value < LONGEST:
            raise DataError("its run lengths are no run-length code")
        runs.append(value)
        value = shift = 0
    if shift:
        raise DataError("its run lengths break off")
    return sum(runs)
