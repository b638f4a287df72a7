"""Work in processes of its own, so that what dies there (a decoder, on a malicious file) takes nothing with it."""

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
from typing import Any, TypeVar

CHUNK = 8
Value = TypeVar("Value")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Died:
    """What comes back instead of a result.

    Attributes:
        killed: somebody or the system, short of memory, killed the process; its work may be innocent.
    """

    killed: bool

    @property
    def reason(self) -> str:
        """For people: what happened to the image that was being decoded."""
        return "its decoding was killed; short of memory?" if self.killed else "the decoder crashed on it"


def in_processes(function: Callable[[Value], Result], values: Sequence[Value], workers: int) -> Iterator[Result | Died]:
    """``function`` of each value, in order, worked out by forked processes; Died where it kills its process.

    What was under way in a process that died is done again, value by value where that is needed to find the culprit.
    """
    chunks = [values[start : start + CHUNK] for start in range(0, len(values), CHUNK)]
    while chunks:
        under_way = yield from _while_they_live(function, chunks, workers)
        for chunk in chunks[:under_way]:
            yield from _one_by_one(function, chunk)
        chunks = chunks[under_way:]


def _while_they_live(
    function: Callable[[Value], Result], chunks: list[Sequence[Value]], workers: int
) -> Generator[Result, None, int]:
    """Takes what it has done from the chunks; returns how many of the rest were under way when a process died."""
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("fork"), _begin)
    try:
        todo = iter(list(chunks))
        under_way: deque[Future[list[Result]]] = deque()
        while chunks:
            try:
                for chunk in itertools.islice(todo, 2 * workers - len(under_way)):
                    under_way.append(pool.submit(_each, function, chunk))
                results = under_way[0].result()
            except BrokenProcessPool:
                return min(max(len(under_way), 1), len(chunks))
            under_way.popleft()
            chunks.pop(0)
            yield from results
        return 0
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _one_by_one(function: Callable[[Value], Result], values: Sequence[Value]) -> Iterator[Result | Died]:
    together = attempt(function, values)
    if not isinstance(together, Died):
        yield from together
        return
    for value in values:
        alone = attempt(function, [value])
        yield alone if isinstance(alone, Died) else alone[0]


def attempt(function: Callable[[Value], Result], values: Sequence[Value]) -> list[Result] | Died:
    """``function`` of all values in one forked process; raises what it raises."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_answer, args=(sender, function, values), daemon=True)
    process.start()
    sender.close()
    try:
        answer = receiver.recv()
    except EOFError:
        process.join()
        return Died(killed=process.exitcode == -signal.SIGKILL)
    finally:
        receiver.close()
        # It has said all it will say, or nobody listens any more.
        process.kill()
        process.join()
    if isinstance(answer, BaseException):
        raise answer
    return list(answer)


def end_with_parent() -> None:
    """A parent that is killed tells its children nothing: they would work on unseen, or wait for ever."""
    threading.Thread(target=_wait_for_parent, daemon=True).start()


def _wait_for_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _begin() -> None:
    # A terminal's Ctrl-C goes to all; the parent answers it. Its pool ends its processes with SIGTERM.
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    end_with_parent()


def _each(function: Callable[[Value], Result], values: Sequence[Value]) -> list[Result]:
    return [function(value) for value in values]


def _answer(sender: Connection, function: Callable[[Any], Any], values: Sequence[Any]) -> None:
    # Deaf to all that the parent hears as well: only its work may end it, or it would look guilty.
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    end_with_parent()
    try:
        sender.send(_each(function, values))
    except Exception as error:
        sender.send(error)


def worker_count(wanted: int | None, batches_to_load: int) -> int:
    """Decoding processes: as wanted, else one a core up to 8; never more than there are batches."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores if wanted is None else wanted, MOST_WORKERS, batches_to_load)


MOST_WORKERS = 8
