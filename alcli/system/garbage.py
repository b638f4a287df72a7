"""Python's search for garbage, which walks through all records that there are."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator

RARELY = 50_000
"""New objects after which the youngest are searched; Python's own number is 700."""


@contextlib.contextmanager
def rare_searches() -> Iterator[None]:
    """Search rarely while a million records are made that all stay; also a decorator.

    Not around what computes with tensors: those that only a circle of objects holds would take up memory for longer.
    """
    before = gc.get_threshold()
    gc.set_threshold(RARELY, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
