"""One place where alcli reads something, and the tool that gives it many inputs and counts what comes of them."""

from __future__ import annotations

import contextlib
import resource
import shutil
import signal
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from alcli.errors import AlcliError

SLOWEST = 5.0
"""Seconds of the processor that one input may take; on a busy machine the clock says nothing about it."""
LONGEST = 60.0
"""Seconds on the clock after which an input hangs."""
MEMORY = 2**30
"""Bytes by which the process may grow while it reads."""
SHOWN = 3
Use = Callable[[Any], object]


@dataclass(frozen=True)
class Subject:
    """What is read, and with which inputs.

    Attributes:
        prepared: makes, in a new folder, the function that reads one input.
        share: of all examples, compared with the other subjects.
    """

    name: str
    inputs: st.SearchStrategy[Any]
    prepared: Callable[[Path], contextlib.AbstractContextManager[Use]]
    share: float = 1.0


@dataclass
class Row:
    """What came of one subject.

    Attributes:
        refused: inputs that ended in an AlcliError, which is as good as reading them.
        faults: how many ended in anything else. shown: the first of those.
        slowest: seconds of the processor for the slowest input. seconds: for all, with the making of them.
    """

    name: str
    examples: int = 0
    refused: int = 0
    faults: int = 0
    slowest: float = 0.0
    seconds: float = 0.0
    shown: list[str] = field(default_factory=list)


class TooSlow(BaseException):
    """One input took longer than it may; no Exception, so that nobody takes it for a broken file."""


def run(subject: Subject, examples: int, number: int, scratch: Path) -> Row:
    """Give the subject so many inputs, the same for the same number; nothing is raised, everything is counted."""
    row = Row(subject.name)
    folder = scratch / subject.name
    folder.mkdir(parents=True)
    started = time.process_time()
    with warnings.catch_warnings(), subject.prepared(folder) as use, _limits():
        warnings.simplefilter("ignore")

        @seed(number)
        @settings(
            max_examples=examples, deadline=None, database=None, phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(subject.inputs)
        def fuzzed(example: Any) -> None:
            _try(row, use, example)

        fuzzed()
    row.seconds = time.process_time() - started
    shutil.rmtree(folder, ignore_errors=True)
    return row


def _try(row: Row, use: Use, example: Any) -> None:
    row.examples += 1
    started = time.process_time()
    signal.setitimer(signal.ITIMER_PROF, SLOWEST)
    signal.setitimer(signal.ITIMER_REAL, LONGEST)
    try:
        use(example)
    except AlcliError:
        row.refused += 1
    except (Exception, TooSlow) as error:
        row.faults += 1
        if len(row.shown) < SHOWN:
            place = traceback.extract_tb(error.__traceback__)[-1]
            row.shown.append(f"{type(error).__name__}: {str(error)[:300]} ({place.name}) from {repr(example)[:600]}")
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        row.slowest = max(row.slowest, time.process_time() - started)


@contextlib.contextmanager
def _limits() -> Iterator[None]:
    """As long as the block runs, memory ends at ``MEMORY`` more than now, and a slow input is broken off."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MEMORY, before[1]))
    handlers = {number: signal.signal(number, _too_slow) for number in (signal.SIGALRM, signal.SIGPROF)}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        resource.setrlimit(resource.RLIMIT_AS, before)


def _too_slow(*_: object) -> None:
    raise TooSlow
