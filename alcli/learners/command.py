"""Run your own program in each cycle: it trains, and writes predictions that alcli ranks with."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import IO, TYPE_CHECKING

from alcli.artifacts.examples import Examples
from alcli.config import trusted
from alcli.context import Context
from alcli.errors import DataError, UsageError
from alcli.items import LABELED, UNLABELED
from alcli.learners import Learned
from alcli.learners._command_options import CommandOptions
from alcli.learners._exchange import PREDICTIONS, WEIGHTS, write_exchange
from alcli.learners.predictions import Sources, keep_predictions, load_predictions
from alcli.system.files import atomic_write
from alcli.system.hashing import sha256_of, sha256_of_text
from alcli.system.redaction import without_secrets
from alcli.workspace.records import StepRecord, Training

if TYPE_CHECKING:
    from alcli.learners._given import GivenPredictions

FOLDER = "command"
DONE = "finished.json"
LOG = "command.log"
LAST_LINES = 5
WATCH = """
import os, signal, sys, time
sys.stdin.buffer.read()
for number in (signal.SIGTERM, signal.SIGKILL):
    try:
        os.killpg(int(sys.argv[1]), number)
    except OSError:
        break
    time.sleep(2)
"""
"""Waits until the process at the other end of its pipe is gone, then ends a group of processes."""
MERCY = 5.0
"""Seconds between SIGTERM and SIGKILL."""


class Command:
    """Runs your own program on a documented folder, and reads the predictions that it writes there.

    A finished program is not run again on the same inputs; a killed one is. Its output is kept in
    ``cycles/N/command/command.log`` and in the run's log. `examples/own_models` says what the folder holds.
    """

    Options = CommandOptions

    def __init__(self, context: Context) -> None:
        self.context = context

    @cached_property
    def options(self) -> CommandOptions:
        """The settings of this learner, paths resolved."""
        options: CommandOptions = self.context.config.options_of("learner")
        return options

    def check(self) -> None:
        """Raises UsageError without a command, AuthError if only the workspace's own file says what to run."""
        try:
            words = self.options.words()
        except ValueError as error:
            raise UsageError(f"learner.command cannot be read: {error}.", do="Close the quotation.") from None
        if not words:
            raise UsageError("The learner command needs a command.", do='Name it: --command "python my_model.py"')
        trusted.check(self.context.config, self.context.workspace.root, "learner")

    def can_learn(self, examples: Examples) -> bool:
        """Whether there are an image to train on and a class."""
        return bool(examples.training and examples.classes)

    def inputs(self, examples: Examples) -> str:
        """The command, the task's settings, and which images there are."""
        pool = self.context.workspace.store.pool()
        items = sorted(f"{item.id} {item.version}" for state in (LABELED, UNLABELED) for item in pool.in_state(state))
        config = self.context.config
        own = self.options.model_dump_json(exclude={"deadline"})
        return sha256_of_text(own, config.options_of("task").model_dump_json(), str(config.train.seed), *items)

    def learn(self, cycle: int, inputs: str, examples: Examples) -> Learned:
        """Run the program unless it has finished on these inputs, then keep its predictions.

        Raises:
            DataError: it failed, took too long, wrote nothing, or wrote what cannot be used.
        """
        folder = self.context.workspace.cycle_folder(cycle) / FOLDER
        if not _has_finished(folder, inputs):
            write_exchange(self.context, folder, cycle, examples, self._previous_weights(cycle))
            self._run(folder)
            self._mark_finished(folder, inputs)
        sources = Sources(folder / PREDICTIONS, self.options.embeddings)
        try:
            learned = keep_predictions(self.context, cycle, inputs, examples, sources, "command")
            shutil.rmtree(folder / "images", ignore_errors=True)  # links, of no use to anybody now
            return learned
        except DataError:
            # A repaired program must be run again, although nothing that alcli knows has changed.
            (folder / DONE).unlink(missing_ok=True)
            raise

    def load(self, record: StepRecord[Training]) -> GivenPredictions:
        """The predictions that a cycle has kept."""
        return load_predictions(self.context, record, self.options.embeddings)

    def signal_names(self, training: Training) -> frozenset[str]:
        """What the program's predictions give."""
        from alcli.learners._given import signals_of

        return signals_of(training)

    def _previous_weights(self, cycle: int) -> Path | None:
        folders = sorted((self.context.workspace.root / "cycles").glob(f"*/{FOLDER}/{WEIGHTS}"), reverse=True)
        earlier = (folder for folder in folders if int(folder.parent.parent.name) < cycle)
        return next((folder for folder in earlier if any(folder.iterdir())), None)

    def _run(self, folder: Path) -> None:
        options, progress = self.options, self.context.progress
        words = [*options.words(), str(folder)]
        progress.say(f"Running {options.command} {folder}")
        where = options.directory or self.context.workspace.root
        with (folder / LOG).open("wb") as log:
            try:
                process = subprocess.Popen(
                    words, cwd=where, env=without_secrets(os.environ), stdin=subprocess.DEVNULL, stdout=log,
                    stderr=log, start_new_session=True,
                )  # fmt: skip
            except OSError as error:
                raise DataError(
                    f"The command cannot be started: {words[0]}: {error.strerror}.",
                    kept="No list was made; the annotators' queue is unchanged.",
                    do="Correct learner.command, or learner.directory, in which it runs.",
                ) from None
            with _guarded(process):
                code = self._wait(process, folder / LOG)
        if code != 0:
            raise self._failure(folder, f"ended with exit code {code}" if code > 0 else f"was killed by signal {-code}")
        if not (folder / PREDICTIONS).is_file():
            raise self._failure(folder, f"wrote no {PREDICTIONS}")

    def _wait(self, process: subprocess.Popen[bytes], log: Path) -> int:
        """Wait for the end, and pass what the program prints to the run's log."""
        end = time.monotonic() + self.options.deadline
        with log.open("rb") as stream:
            while True:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(min(0.2, max(end - time.monotonic(), 0.0)))
                self._pass_on(stream)
                if process.returncode is not None:
                    return process.returncode
                if time.monotonic() >= end:
                    _end_group(process)
                    raise self._failure(
                        log.parent, f"did not end within {self.options.deadline:g} s (learner.deadline)"
                    )

    def _pass_on(self, stream: IO[bytes]) -> None:
        for line in stream.read().decode("utf-8", "replace").splitlines():
            self.context.progress.note("command", line)
            self.context.progress.detail(line)

    def _failure(self, folder: Path, what: str) -> DataError:
        lines = (folder / LOG).read_text(encoding="utf-8", errors="replace").splitlines()[-LAST_LINES:]
        said = " Its last lines: " + " | ".join(lines) if lines else ""
        return DataError(
            f"The command {what}: {self.options.command}.{said}",
            kept="No list was made; the annotators' queue is unchanged.",
            do=f"Its output is in {folder / LOG}. Correct it, then run the same command of alcli again.",
        )

    def _mark_finished(self, folder: Path, inputs: str) -> None:
        with atomic_write(folder / DONE) as stream:
            stream.write(json.dumps({"inputs": inputs, "predictions": sha256_of(folder / PREDICTIONS)}) + "\n")


def _has_finished(folder: Path, inputs: str) -> bool:
    try:
        content = json.loads((folder / DONE).read_text(encoding="utf-8"))
        return bool(content == {"inputs": inputs, "predictions": sha256_of(folder / PREDICTIONS)})
    except (OSError, ValueError):
        return False


@contextlib.contextmanager
def _guarded(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Whatever happens to this run, even kill -9, nothing of the program outlives it."""
    watcher = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", WATCH, str(process.pid)], stdin=subprocess.PIPE, start_new_session=True
    )
    try:
        yield
    finally:
        _end_group(process)
        watcher.kill()
        watcher.wait()
        if watcher.stdin is not None:
            watcher.stdin.close()


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """End the program and all that it has started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(MERCY)
        if process.poll() is not None and not _group_lives(process.pid):
            return


def _group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True
