"""The run lengths in which Label Studio stores painted masks."""

from __future__ import annotations

import numpy as np

from alcli.errors import DataError

HEADER_BITS = 32 + 5 + 4 * 4
WORD = 8
"""Bits of a value that is written."""
WIDTHS = (2, 6, 11, 16)
"""Bits of a run's length less one that is written, the first that is enough."""
LONGEST_RUN = 1 << WIDTHS[-1]


def decode_brush(content: bytes, expected: int) -> np.ndarray:
    """Decode to (expected,) uint8.

    The bits hold the number of values (32), the bits of a value less one (5), and four widths less one (4 each). Then
    come runs: one bit whether all values of the run are equal, two bits that choose a width, the run's length less one
    in that width, and the value or the values.

    Raises:
        DataError: the bits do not hold exactly ``expected`` values.
    """
    bits = np.unpackbits(np.frombuffer(content, dtype=np.uint8))
    reader = _Bits(bits)
    if len(bits) < HEADER_BITS or reader.number(32) != expected:
        raise DataError("its run lengths do not cover the image")
    word = reader.number(5) + 1
    widths = [reader.number(4) + 1 for _ in range(4)]
    values = np.zeros(expected, dtype=np.uint8)
    start = 0
    while start < expected:
        equal = reader.number(1)
        length = reader.number(widths[reader.number(2)]) + 1
        if start + length > expected:
            raise DataError("its run lengths exceed the image")
        values[start : start + length] = reader.numbers(1 if equal else length, word)
        start += length
    return values


def encode_brush(values: np.ndarray) -> list[int]:
    """Encode (n,) uint8 as bytes that ``decode_brush`` reads: runs of equal values, at most ``LONGEST_RUN`` long."""
    ends = np.flatnonzero(np.diff(values)) + 1
    starts = np.concatenate([[0], ends]) if len(values) else np.empty(0, dtype=int)
    lengths = np.diff(np.append(starts, len(values)))
    bits = [f"{len(values):032b}{WORD - 1:05b}", *(f"{width - 1:04b}" for width in WIDTHS)]
    for value, length in zip(values[starts].tolist(), lengths.tolist(), strict=True):
        for run in [LONGEST_RUN] * (length // LONGEST_RUN) + [length % LONGEST_RUN] * (length % LONGEST_RUN > 0):
            choice = next(number for number, width in enumerate(WIDTHS) if run <= 1 << width)
            bits.append(f"1{choice:02b}{run - 1:0{WIDTHS[choice]}b}{value:0{WORD}b}")
    text = "".join(bits)
    text += "0" * (-len(text) % 8)
    return [int(text[start : start + 8], 2) for start in range(0, len(text), 8)]


class _Bits:
    """Reads numbers from a row of bits, the most significant bit first; raises DataError at the end of the bits."""

    def __init__(self, bits: np.ndarray) -> None:
        self._bits, self._position = bits, 0

    def number(self, width: int) -> int:
        value = 0
        for bit in self._take(width).tolist():
            value = 2 * value + bit
        return value

    def numbers(self, count: int, width: int) -> np.ndarray:
        """(count,) numbers of this width, of which uint8 keeps the lowest eight bits."""
        low = self._take(count * width).reshape(count, width)[:, -8:]
        return low @ (1 << np.arange(low.shape[1])[::-1])

    def _take(self, count: int) -> np.ndarray:
        part = self._bits[self._position : self._position + count]
        if len(part) < count:
            raise DataError("its run lengths are truncated")
        self._position += count
        return part
