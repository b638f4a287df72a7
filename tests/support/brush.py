"""Write the run lengths in which Label Studio stores painted masks, for tests of the reader."""

from __future__ import annotations

import itertools

WIDTHS = (2, 6, 11, 16)
"""Bits of a run's length, the first that is enough."""


def encode_brush(values: bytes) -> list[int]:
    """The bytes of these values; runs of one value as such, at most 65536 long."""
    bits = f"{len(values):032b}{7:05b}" + "".join(f"{width - 1:04b}" for width in WIDTHS)
    for value, group in itertools.groupby(values):
        count = len(list(group))
        while count:
            run = min(count, 1 << WIDTHS[-1])
            choice = next(number for number, width in enumerate(WIDTHS) if run <= 1 << width)
            bits += f"1{choice:02b}{run - 1:0{WIDTHS[choice]}b}{value:08b}"
            count -= run
    bits += "0" * (-len(bits) % 8)
    return [int(bits[start : start + 8], 2) for start in range(0, len(bits), 8)]
