"""The runs of a simulation: one arm with one seed each; side by side, on disk after every cycle, never done twice."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

import threadpoolctl

from alcli.errors import WorkspaceDamaged
from alcli.simulation.plan import Arm, Plan
from alcli.system.files import atomic_write
from alcli.system.processes import end_with_parent
from alcli.system.progress import Progress

SECONDS_BETWEEN_LOOKS = 1.0
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass(frozen=True)
class Point:
    """What one cycle of one run came to.

    Attributes:
        cycle: from 0, the start set. labels: images annotated so far.
        cost: what annotators made for them (boxes, joints, pixels or labels).
        metrics: on the test images, the headline first.
        asked: ids of the images asked for next, first come first; empty at the end.
        at_random: how many of those chance chose.
    """

    cycle: int
    labels: int
    cost: int
    metrics: Mapping[str, float]
    asked: Sequence[str] = ()
    at_random: int = 0


@dataclass(frozen=True)
class Job:
    """One run."""

    folder: Path
    arm: Arm
    seed: int
    plan: Plan

    @property
    def file(self) -> Path:
        """Where its points are."""
        return self.folder / "runs" / f"{self.arm.file_name}-seed{self.seed:03d}.json"

    def points(self) -> list[Point]:
        """The cycles that are done; raises WorkspaceDamaged when their file is not what a run wrote."""
        if not self.file.is_file():
            return []
        try:
            return [Point(**row) for row in json.loads(self.file.read_text(encoding="utf-8"))]
        except (ValueError, TypeError):
            raise WorkspaceDamaged(
                f"{self.file} is not what a run wrote.", do="Delete it: that run is then done again."
            ) from None

    @property
    def done(self) -> bool:
        """Whether the last cycle is there."""
        return len(self.points()) == self.plan.cycles + 1


class Engine(Protocol):
    """Goes through the cycles of a job; made once in each process."""

    def turns(self, job: Job, points: Sequence[Point]) -> Iterator[Point]:
        """The points that are missing after those given."""
        ...


def execute(
    jobs: Sequence[Job], make_engine: Callable[[], Engine], processes: int, threads: int, progress: Progress
) -> None:
    """Do every job that is not done; an interrupted call goes on where it stopped.

    Args:
        threads: of each run, the same for all of a simulation: the last digits of sums depend on their number.
        make_engine: called once in each process; must survive pickling where there are several.
    """
    todo = [job for job in jobs if not job.done]
    total = sum(job.plan.cycles + 1 for job in jobs)
    with progress.track("Simulating cycles", total) as advance:
        advance(sum(len(job.points()) for job in jobs))
        if processes == 1 or len(todo) <= 1:
            engine = make_engine() if todo else None
            with _threads_here(threads):
                for job in todo:
                    assert engine is not None
                    for _ in _run(engine, job):
                        advance(1)
            return
        with _threads_of_children(threads):
            _in_processes(todo, make_engine, min(processes, len(todo)), advance)


def _in_processes(
    todo: Sequence[Job], make_engine: Callable[[], Engine], processes: int, advance: Callable[[int], None]
) -> None:
    seen = sum(len(job.points()) for job in todo)
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"), _begin, (make_engine,)) as pool:
        try:
            pending: set[Future[None]] = {pool.submit(_whole, job) for job in todo}
            while pending:
                done, pending = wait(pending, SECONDS_BETWEEN_LOOKS, FIRST_COMPLETED)
                now = sum(len(job.points()) for job in todo)
                advance(now - seen)
                seen = now
                for future in done:
                    future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for child in multiprocessing.active_children():
                # What is half done is on disk and will be gone on with.
                child.terminate()
            raise


def threads_for(processes: int) -> int:
    """Threads for each of so many processes; two with all cores each would wait for one another at every barrier."""
    share = max((os.cpu_count() or 1) // processes, 1)
    given = os.environ.get(THREADS[0], "")
    return min(share, int(given)) if given.isdecimal() and int(given) else share


@contextlib.contextmanager
def _threads_here(count: int) -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    with threadpoolctl.threadpool_limits(count):
        torch.set_num_threads(count)
        try:
            yield
        finally:
            torch.set_num_threads(before)


@contextlib.contextmanager
def _threads_of_children(count: int) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in THREADS}
    os.environ.update(dict.fromkeys(THREADS, str(count)))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


_engine: Engine | None = None


def _begin(make_engine: Callable[[], Engine]) -> None:
    global _engine
    # The parent hears the terminal's Ctrl-C too, and ends its children itself.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent()
    _engine = make_engine()


def _whole(job: Job) -> None:
    assert _engine is not None
    for _ in _run(_engine, job):
        pass


def _run(engine: Engine, job: Job) -> Iterator[Point]:
    points = job.points()
    job.file.parent.mkdir(parents=True, exist_ok=True)
    for point in engine.turns(job, tuple(points)):
        points.append(point)
        with atomic_write(job.file) as stream:
            json.dump([asdict(row) for row in points], stream)
        yield point
