"""Several processes of this machine, each with a GPU of its own if there are any."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path

from alcli.artifacts.predictor import Part, Predictor, load_predictor
from alcli.artifacts.scoring_pass import PlannedPart, compute_here, count_images
from alcli.artifacts.shard import Shard
from alcli.config import Config, ScoreOptions
from alcli.context import Context
from alcli.system.progress import Silent
from alcli.workspace import Workspace
from alcli.workspace.records import StepRecord, Training

SECONDS_BETWEEN_LOOKS = 0.2
WITHOUT_GPUS = 2


@dataclass(frozen=True)
class Work:
    """What one process has to do. ``gpu`` is the one that it may see; None where there is none."""

    root: Path
    config: Config
    record: StepRecord[Training]
    parts: Sequence[PlannedPart]
    threads: int
    gpu: int | None


class Shards:
    """Starts ``score.processes`` processes; what one of them leaves out, this process computes."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def compute(self, predictor: Predictor, parts: Sequence[PlannedPart], done: int) -> dict[Path, Part]:
        """Compute every n-th part in each process, then the rest here."""
        works = [work for work in self._divide(predictor, parts) if work.parts]
        spawn = multiprocessing.get_context("spawn")
        processes: list[BaseProcess] = [spawn.Process(target=_run, args=(work,), daemon=False) for work in works]
        with self._context.progress.track("Scoring", done + count_images(parts), start=done) as advance:
            left = list(parts)
            with _running(processes):
                while left:
                    alive = any(process.is_alive() for process in processes)
                    finished = [part for part in left if part.file.exists()]
                    advance(count_images(finished), f"{len(works)} processes")
                    left = [part for part in left if not part.file.exists()]
                    if not alive:
                        break
                    time.sleep(SECONDS_BETWEEN_LOOKS)
        left = [part for part in parts if not part.file.exists()]
        return compute_here(self._context, predictor, left, done + count_images(parts) - count_images(left))

    def _divide(self, predictor: Predictor, parts: Sequence[PlannedPart]) -> list[Work]:
        import torch

        gpus, count = torch.cuda.device_count(), process_count(self._context.config.score)
        threads = max(torch.get_num_threads() // count, 1)
        root, config = self._context.workspace.root, self._context.config
        return [
            Work(
                root, config, predictor.record, Shard(number + 1, count).share(parts), threads,
                number % gpus if gpus else None,
            )
            for number in range(count)
        ]  # fmt: skip


def process_count(options: ScoreOptions) -> int:
    """Processes that compute a pass: as many as are wanted, else one for each GPU, else two."""
    import torch

    return options.processes or torch.cuda.device_count() or WITHOUT_GPUS


@contextlib.contextmanager
def _running(processes: Sequence[BaseProcess]) -> Iterator[None]:
    """Start the processes; none of them outlives the block."""
    try:
        for process in processes:
            process.start()
        yield
    finally:
        for process in processes:
            if process.pid is not None:
                process.terminate()
        for process in processes:
            if process.pid is not None:
                process.join()


def _run(work: Work) -> None:
    if work.gpu is not None:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
        os.environ["CUDA_VISIBLE_DEVICES"] = visible.split(",")[work.gpu] if visible else str(work.gpu)
    import torch

    torch.set_num_threads(work.threads)
    workspace = Workspace.open_copy(work.root)
    with contextlib.closing(workspace):
        context = Context(workspace, work.config, Silent())
        compute_here(context, load_predictor(context, work.record), work.parts)
