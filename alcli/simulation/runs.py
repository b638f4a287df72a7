"""The runs of a simulation, each one arm with one seed: in parallel, saved after every cycle, never repeated."""

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
from alcli.system.progress import Advance, Progress
from alcli.system.workers import end_with_parent

SECONDS_BETWEEN_LOOKS = 1.0
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass(frozen=True)
class Point:
    """The result of one cycle of one run.

    Attributes:
        cycle: from 0, the start set. labels: images annotated so far.
        cost: boxes, joints, pixels or labels annotated so far.
        metrics: on the test images, the headline first.
        asked: ids of the images requested next, in order; empty at the end.
        at_random: how many of these were drawn at random.
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
        """The file of its points."""
        return self.folder / "runs" / f"{self.arm.file_name}-seed{self.seed:03d}.json"

    def points(self) -> list[Point]:
        """The finished cycles; raises WorkspaceDamaged if no run wrote their file."""
        if not self.file.is_file():
            return []
        try:
            return [Point(**fields) for fields in json.loads(self.file.read_text(encoding="utf-8"))]
        except (ValueError, TypeError):
            raise WorkspaceDamaged(
                f"{self.file} was not written by a run.", do="Delete it; the run is then repeated."
            ) from None

    @property
    def is_complete(self) -> bool:
        """Whether the last cycle is finished."""
        return len(self.points()) == self.plan.cycles + 1


class Engine(Protocol):
    """Executes the cycles of a job; constructed once per process."""

    def turns(self, job: Job, points: Sequence[Point]) -> Iterator[Point]:
        """Yield the points after ``points``."""
        ...


def execute(
    jobs: Sequence[Job], make_engine: Callable[[], Engine], processes: int, threads: int, progress: Progress
) -> None:
    """Execute every unfinished job; an interrupted job resumes after its last finished cycle.

    Args:
        threads: of each run, the same for all runs of a simulation, because the last digits of sums depend on it.
        make_engine: called once per process; must be picklable if there are several.
    """
    todo = [job for job in jobs if not job.is_complete]
    total = sum(job.plan.cycles + 1 for job in jobs)
    done = sum(len(job.points()) for job in jobs)
    with progress.track("Simulating", total, "training", done) as advance:
        if processes == 1 or len(todo) <= 1:
            _run_here(todo, make_engine, threads, advance)
        else:
            with _threads_of_children(threads):
                _run_in_processes(todo, make_engine, min(processes, len(todo)), advance)


def _run_here(todo: Sequence[Job], make_engine: Callable[[], Engine], threads: int, advance: Advance) -> None:
    if not todo:
        return
    engine = make_engine()
    with _threads_here(threads):
        for job in todo:
            for _ in _run(engine, job):
                advance(1)


def _run_in_processes(todo: Sequence[Job], make_engine: Callable[[], Engine], processes: int, advance: Advance) -> None:
    reported = sum(len(job.points()) for job in todo)
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"), _begin, (make_engine,)) as pool:
        try:
            pending: set[Future[None]] = {pool.submit(_run_in_child, job) for job in todo}
            while pending:
                done, pending = wait(pending, SECONDS_BETWEEN_LOOKS, FIRST_COMPLETED)
                now = sum(len(job.points()) for job in todo)
                advance(now - reported)
                reported = now
                for future in done:
                    future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for child in multiprocessing.active_children():
                # Finished cycles are on disk; the next call resumes after them.
                child.terminate()
            raise


def threads_for(processes: int) -> int:
    """Threads per process: if every process used all cores, they would wait for each other at every barrier."""
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


_engine: Engine
"""The engine of a child process."""


def _begin(make_engine: Callable[[], Engine]) -> None:
    global _engine
    # The parent also receives the terminal's Ctrl-C and terminates its children itself.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent()
    _engine = make_engine()


def _run_in_child(job: Job) -> None:
    for _ in _run(_engine, job):
        pass


def _run(engine: Engine, job: Job) -> Iterator[Point]:
    points = job.points()
    job.file.parent.mkdir(parents=True, exist_ok=True)
    for point in engine.turns(job, tuple(points)):
        points.append(point)
        with atomic_write(job.file) as stream:
            json.dump([asdict(point) for point in points], stream)
        yield point
