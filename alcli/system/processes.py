"""Work in child processes, so that a crash there (a decoder on a malicious file) cannot take down the run."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

CHUNK = 8
MOST_WORKERS = 8
Value = TypeVar("Value")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Died:
    """Stands in for the result of a process that died.

    Attributes:
        killed: it was killed from outside, perhaps for lack of memory; its work may not be to blame.
    """

    killed: bool

    @property
    def reason(self) -> str:
        """What happened to the image that was being decoded, in words."""
        return "its decoding was killed; short of memory?" if self.killed else "the decoder crashed on it"


def map_in_processes(
    function: Callable[[Value], Result], values: Sequence[Value], workers: int
) -> Iterator[Result | Died]:
    """Apply ``function`` to each value in forked processes, in order; Died for a value that kills its process.

    When a process dies, its pending values run again, one at a time where necessary to find the culprit.
    """
    chunks = [values[start : start + CHUNK] for start in range(0, len(values), CHUNK)]
    while chunks:
        under_way = yield from _run_until_death(function, chunks, workers)
        for chunk in chunks[:under_way]:
            yield from _run_one_by_one(function, chunk)
        chunks = chunks[under_way:]


def _run_until_death(
    function: Callable[[Value], Result], chunks: list[Sequence[Value]], workers: int
) -> Generator[Result, None, int]:
    """Yield results and remove finished chunks; returns how many of the rest were running when a process died."""
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("fork"), _start_worker)
    try:
        todo = iter(list(chunks))
        under_way: deque[Future[list[Result]]] = deque()
        while chunks:
            try:
                for chunk in itertools.islice(todo, 2 * workers - len(under_way)):
                    under_way.append(pool.submit(_apply, function, chunk))
                results = under_way[0].result()
            except BrokenProcessPool:
                return min(max(len(under_way), 1), len(chunks))
            under_way.popleft()
            chunks.pop(0)
            yield from results
        return 0
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


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
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_send_results, args=(sender, function, values), daemon=True)
    process.start()
    sender.close()
    try:
        answer = receiver.recv()
    except EOFError:
        process.join()
        return Died(killed=process.exitcode == -signal.SIGKILL)
    finally:
        receiver.close()
        # It has sent its answer, or nobody is waiting for it.
        process.kill()
        process.join()
    if isinstance(answer, BaseException):
        raise answer
    return list(answer)


def end_with_parent() -> None:
    """Exit when the parent process dies; otherwise the children of a killed parent would run or wait forever."""
    if (parent := multiprocessing.parent_process()) is not None:
        threading.Thread(target=_exit_after, args=(parent,), daemon=True).start()


def _exit_after(process: BaseProcess) -> None:
    process.join()
    os._exit(1)


def _start_worker() -> None:
    # The terminal sends Ctrl-C to every process; the parent handles it. The pool ends its processes with SIGTERM.
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    end_with_parent()


def _apply(function: Callable[[Value], Result], values: Sequence[Value]) -> list[Result]:
    return [function(value) for value in values]


def _send_results(sender: Connection, function: Callable[[Any], Any], values: Sequence[Any]) -> None:
    # Ignore signals that the parent handles: if one ended this process, its value would look like the culprit.
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    end_with_parent()
    try:
        sender.send(_apply(function, values))
    except Exception as error:
        sender.send(error)


def worker_count(wanted: int | None, batches_to_load: int) -> int:
    """Number of decoding processes: ``wanted``, or one per core; at most 8 and never more than there are batches."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

    return min(cores if wanted is None else wanted, MOST_WORKERS, batches_to_load)
