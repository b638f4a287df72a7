"""Work in child processes, so that a crash there (a decoder on a malicious file) cannot take down the run."""

from __future__ import annotations

import functools
import itertools
import os
import signal
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from alcli.system.workers import SignLife, WorkerDied, Workers, WorkerStuck

CHUNK = 8
MOST_WORKERS = 8
Value = TypeVar("Value")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Died:
    """Stands in for the result of a process that died.

    Attributes:
        killed: it was killed from outside, perhaps for lack of memory; its work may not be to blame.
        silent: it was killed after so many seconds without a sign of life; 0 otherwise.
    """

    killed: bool
    silent: float = 0.0

    @classmethod
    def of(cls, death: WorkerDied) -> Died:
        """How a process of ``Workers`` ended."""
        if isinstance(death, WorkerStuck):
            return cls(killed=True, silent=death.seconds)
        return cls(killed=death.exit_code == -signal.SIGKILL)

    @property
    def reason(self) -> str:
        """What happened to the image that was being decoded, in words."""
        if self.silent:
            return f"its decoding took longer than {self.silent:.0f} s"
        return "its decoding was killed; short of memory?" if self.killed else "the decoder crashed on it"


def map_in_processes(
    function: Callable[[Value], Result], values: Sequence[Value], workers: int
) -> Iterator[Result | Died]:
    """Apply ``function`` to each value in forked processes, in order; Died for a value that kills its process.

    When a process dies, its pending values run again, one at a time where necessary to find the culprit. Where no
    process can be started, this one does the work.
    """
    chunks = [values[start : start + CHUNK] for start in range(0, len(values), CHUNK)]
    while chunks:
        death, under_way = yield from _run_until_death(function, chunks, workers)
        if isinstance(death, WorkerStuck):
            chunk, culprit = chunks.pop(0), death.done
            yield from _run_one_by_one(function, chunk[:culprit])
            yield Died.of(death)
            chunks[:0] = [chunk[culprit + 1 :]]
            continue
        for chunk in chunks[:under_way]:
            yield from _run_one_by_one(function, chunk)
        chunks = chunks[under_way:]


def _run_until_death(
    function: Callable[[Value], Result], chunks: list[Sequence[Value]], workers: int
) -> Generator[Result, None, tuple[WorkerDied | None, int]]:
    """Yield results and remove finished chunks; returns what died, and how many of the rest were running then."""
    pool = Workers(functools.partial(_apply, function), workers)
    try:
        todo = iter(list(chunks))
        while chunks:
            try:
                for chunk in itertools.islice(todo, 2 * len(pool) - pool.pending):
                    pool.send(chunk)
                results = pool.receive() if len(pool) else _apply(function, chunks[0])
            except WorkerDied as death:
                return death, min(max(pool.pending, 1), len(chunks))
            chunks.pop(0)
            yield from results
        return None, 0
    finally:
        pool.close()


def _run_one_by_one(function: Callable[[Value], Result], values: Sequence[Value]) -> Iterator[Result | Died]:
    together = run_in_child(function, values)
    if not isinstance(together, Died):
        yield from together
        return
    for value in values:
        alone = run_in_child(function, [value])
        yield alone if isinstance(alone, Died) else alone[0]


def run_in_child(function: Callable[[Value], Result], values: Sequence[Value]) -> list[Result] | Died:
    """Apply ``function`` to all values in one forked process; an exception raised there is raised here."""
    child = Workers(functools.partial(_apply, function), 1)
    try:
        if not len(child):
            return _apply(function, values)
        child.send(values)
        return list(child.receive())
    except WorkerDied as death:
        return Died.of(death)
    finally:
        child.close()


def _apply(
    function: Callable[[Value], Result], values: Sequence[Value], sign_life: SignLife = lambda: None
) -> list[Result]:
    results = []
    for value in values:
        results.append(function(value))
        sign_life()
    return results


def worker_count(wanted: int | None, batches_to_load: int) -> int:
    """Number of decoding processes: ``wanted``, or one per core; at most 8 and never more than there are batches."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

    return min(cores if wanted is None else wanted, MOST_WORKERS, batches_to_load)
