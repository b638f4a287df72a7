"""Forked processes that work on what they are sent, and send back the results.

Everything goes through two pipes per process. Without shared memory, semaphores and sockets, neither a small
``/dev/shm`` nor a long path of the temporary folder matters, and a dead process leaves no lock behind.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import io
import multiprocessing
import os
import pickle
import queue
import select
import signal
import struct
import threading
from collections import deque
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.pool import ExceptionWithTraceback  # type: ignore[attr-defined]
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from alcli.system.progress import LOG

SILENT_SECONDS = 120.0
"""Without a sign of life for so long, a process is given up."""
LOOK_SECONDS = 1.0
DEATH_SECONDS = 2.0
DESCRIPTORS_EACH = 4
SPARE_DESCRIPTORS = 8
PIPE_BYTES = 2**20
PROCESS_NAME = "alcli worker"
HEADER = struct.Struct("<QQ")
SIGN_OF_LIFE = HEADER.pack(0, 0)
SignLife = Callable[[], None]
Work = Callable[[Any, SignLife], Any]
"""What a process does with a value; it gives a sign of life after each part of it."""


class WorkerDied(Exception):
    """A process died while it was working.

    Attributes:
        exit_code: negative for a signal.
    """

    def __init__(self, exit_code: int | None) -> None:
        super().__init__(f"a process ended with {exit_code}")
        self.exit_code = exit_code


class WorkerStuck(WorkerDied):
    """A process gave no sign of life for too long, and was killed.

    Attributes:
        done: signs of life that it gave for the value it was working on.
    """

    def __init__(self, done: int, seconds: float) -> None:
        Exception.__init__(self, f"a process gave no sign of life for {seconds:.0f} s")
        self.exit_code, self.done, self.seconds = None, done, seconds


class Workers:
    """A number of processes; values go to them in turn, results come in the order of the values.

    Args:
        prepare: called once in each process.
        pickler: pickles the results; large buffers travel as they are.
        silent: seconds without a sign of life after which a process is given up.
    """

    def __init__(
        self,
        work: Work,
        count: int,
        prepare: Callable[[], None] = lambda: None,
        pickler: type[pickle.Pickler] = pickle.Pickler,
        silent: float | None = None,
    ) -> None:
        self._silent = SILENT_SECONDS if silent is None else silent
        self._workers: list[_Worker] = []
        self._turns: deque[_Worker] = deque()
        self._sent = 0
        affordable = min(count, free_descriptors() // DESCRIPTORS_EACH)
        reason = "too few files may be open; see ulimit -n" if affordable < count else ""
        try:
            while len(self._workers) < affordable:
                self._workers.append(_Worker(work, prepare, pickler))
        except OSError as error:
            reason = error.strerror or type(error).__name__
        if reason:
            _say_fewer(len(self._workers), count, reason)

    def __len__(self) -> int:
        return len(self._workers)

    @property
    def pending(self) -> int:
        """Number of values whose results have not been received."""
        return len(self._turns)

    def send(self, value: object) -> None:
        """Give a value to the next process; raises WorkerDied if that process is dead."""
        worker = self._workers[self._sent % len(self._workers)]
        worker.send(value)
        self._sent += 1
        self._turns.append(worker)

    def receive(self) -> Any:
        """Wait for the result of the oldest value; an exception raised in the process is raised here.

        Raises:
            WorkerDied, WorkerStuck: the process that works on it.
        """
        result = self._turns[0].receive(self._silent)
        self._turns.popleft()
        if isinstance(result, _Failure):
            raise result.error
        return result

    def close(self) -> None:
        """End the processes; must be called."""
        for worker in self._workers:
            worker.process.kill()
        for worker in self._workers:
            worker.close()


class _Failure:
    """An exception raised in a process; with a traceback it arrives as the exception that the traceback caused."""

    def __init__(self, error: Any) -> None:
        self.error = error


class _Worker:
    """One process, as its parent sees it."""

    def __init__(self, work: Work, prepare: Callable[[], None], pickler: type[pickle.Pickler]) -> None:
        context = multiprocessing.get_context("fork")
        their_requests, self._requests = context.Pipe(duplex=False)
        self._results, their_results = context.Pipe(duplex=False)
        _widen(self._results)
        arguments = (work, prepare, pickler, their_requests, their_results)
        self.process: BaseProcess = context.Process(target=_serve, args=arguments, name=PROCESS_NAME, daemon=True)
        self.process.start()
        # Closed before the next fork: otherwise other processes would keep a dead one's pipe open.
        their_requests.close()
        their_results.close()
        os.set_blocking(self._results.fileno(), False)

    def send(self, value: object) -> None:
        try:
            self._requests.send(value)
        except OSError:
            raise self._death() from None

    def receive(self, silent: float) -> Any:
        """The next result; raises WorkerDied or WorkerStuck."""
        clock, signs = _Patience(silent), 0
        try:
            while True:
                header = self._read(HEADER.size, clock)
                length, count = HEADER.unpack(header)
                if length:
                    break
                signs += 1
            sizes = struct.unpack(f"<{count}Q", self._read(8 * count, clock))
            content = self._read(length, clock)
            return pickle.loads(content, buffers=[self._read(size, clock) for size in sizes])
        except EOFError:
            raise self._death() from None
        except TimeoutError:
            self.process.kill()
            raise WorkerStuck(signs, silent) from None

    def _read(self, size: int, clock: _Patience) -> bytearray:
        content = bytearray(size)
        view = memoryview(content)
        while view:
            try:
                count = os.readv(self._results.fileno(), [view])
            except BlockingIOError:
                clock.wait(self._results.fileno())
                continue
            if count == 0:
                raise EOFError
            clock.restart()
            view = view[count:]
        return content

    def _death(self) -> WorkerDied:
        self.process.join(DEATH_SECONDS)
        return WorkerDied(self.process.exitcode)

    def close(self) -> None:
        self._requests.close()
        self._results.close()
        # Not for ever: a process that waits for a disk that is gone cannot be killed.
        self.process.join(DEATH_SECONDS)


class _Patience:
    """Counts the seconds without news; time during which this process was stopped does not count."""

    def __init__(self, seconds: float) -> None:
        self._seconds = self._left = seconds

    def restart(self) -> None:
        self._left = self._seconds

    def wait(self, descriptor: int) -> None:
        """Wait until there is something to read; raises TimeoutError. Signals are handled meanwhile."""
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        while self._left > 0:
            seconds = min(LOOK_SECONDS, self._left)
            if poll.poll(1000 * seconds):
                return
            self._left -= seconds
        raise TimeoutError


def free_descriptors() -> int:
    """How many files this process may still open, less a reserve."""
    import resource

    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    try:
        count = sum(1 for _ in Path("/dev/fd").iterdir())
    except OSError:
        return SPARE_DESCRIPTORS * DESCRIPTORS_EACH
    return max(limit - count - SPARE_DESCRIPTORS, 0)


@functools.cache
def _say_fewer(started: int, wanted: int, reason: str) -> None:
    """Say once that there are fewer processes than wanted."""
    how = f"only {started} of {wanted} processes decode images" if started else "images are decoded in the main process"
    LOG.warning(f"{how[0].upper()}{how[1:]}: {reason}.")


def _widen(pipe: Connection) -> None:
    """Let a pipe hold more than 64 KiB, so that fewer wake-ups are needed; where that is not possible, it stays."""
    with contextlib.suppress(OSError, AttributeError):
        fcntl.fcntl(pipe.fileno(), fcntl.F_SETPIPE_SZ, PIPE_BYTES)


def ignore_signals() -> None:
    """Ignore the signals that the parent handles: if one ended this process, its value would look like the culprit."""
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def end_with_parent() -> None:
    """Exit when the parent process dies; otherwise the children of a killed parent would run or wait forever."""
    if (parent := multiprocessing.parent_process()) is not None:
        threading.Thread(target=_exit_after, args=(parent,), daemon=True).start()


def _exit_after(process: BaseProcess) -> None:
    process.join()
    os._exit(1)


def _serve(
    work: Work, prepare: Callable[[], None], pickler: type[pickle.Pickler], requests: Connection, results: Connection
) -> None:
    """The life of a process."""
    ignore_signals()
    end_with_parent()
    prepare()
    outbox: queue.SimpleQueue[list[bytes | memoryview]] = queue.SimpleQueue()
    # A thread of its own: the next value is worked on while the parent has no time to read.
    threading.Thread(target=_post, args=(results.fileno(), outbox), daemon=True).start()
    while True:
        try:
            value = requests.recv()
        except EOFError:
            return
        try:
            result = work(value, lambda: outbox.put([SIGN_OF_LIFE]))
        except Exception as error:
            result = _Failure(ExceptionWithTraceback(error, error.__traceback__))
        outbox.put(_message(result, pickler))


def _post(descriptor: int, outbox: queue.SimpleQueue[list[bytes | memoryview]]) -> None:
    while True:
        for piece in outbox.get():
            view = memoryview(piece)
            while view:
                view = view[os.write(descriptor, view) :]


def _message(result: object, pickler: type[pickle.Pickler]) -> list[bytes | memoryview]:
    """Header, sizes of the buffers, content, buffers."""
    stream, buffers = io.BytesIO(), list[memoryview]()
    try:
        pickler(stream, protocol=5, buffer_callback=lambda buffer: buffers.append(buffer.raw())).dump(result)
    except Exception as error:  # an exception with content that cannot be pickled
        if not isinstance(result, _Failure):
            return _message(_Failure(error), pickle.Pickler)
        return _message(_Failure(RuntimeError(f"{type(error).__name__}: {error}")), pickle.Pickler)
    content = stream.getvalue()
    sizes = struct.pack(f"<{len(buffers)}Q", *(buffer.nbytes for buffer in buffers))
    return [HEADER.pack(len(content), len(buffers)), sizes, content, *buffers]
