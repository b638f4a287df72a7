"""Checkpoints of a training: written at intervals and when the run is told to stop, removed at the end."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from alcli.context import Context
from alcli.engine import training_state
from alcli.engine.training_state import TrainingState
from alcli.errors import DataError
from alcli.system.interruption import Stop
from alcli.workspace.records import Summary

FILES = ("checkpoint-a.safetensors", "checkpoint-b.safetensors")
"""Two in turn: until the database names the new file, the old one must stay what the database says."""


@dataclass(frozen=True)
class Checkpoint(Summary):
    """A training that is not finished; all it says is in its file."""

    step = "checkpoint"


class StepCheckpoints:
    """The checkpoints of one training in one cycle.

    Attributes:
        key: changes with everything that the weights depend on; a checkpoint with another key is never resumed.
    """

    def __init__(self, context: Context, cycle: int, key: str, stop: Stop) -> None:
        self.key = key
        self._context, self._cycle, self._stop = context, cycle, stop

    def due(self, steps: int) -> bool:
        """Every ``train.checkpoint_every`` steps, and when the run is to stop."""
        every = self._context.config.train.checkpoint_every
        return self._stop.signal is not None or (every > 0 and steps % every == 0)

    def keep(self, state: TrainingState) -> None:
        """Write the state, then stop if a signal has asked for it (raises Interrupted)."""
        workspace = self._context.workspace
        record = workspace.step(self._cycle, Checkpoint)
        used = record.file.name if record and record.file else FILES[1]
        path = self._folder / FILES[1 - FILES.index(used)]
        training_state.write(path, state)
        workspace.finish_step(self._cycle, self.key, Checkpoint(), path)
        self._stop.obey()

    def load(self) -> TrainingState | None:
        """The state at which this training was interrupted; None when it was not, or when the file is damaged."""
        record = self._context.workspace.matching_step(self._cycle, Checkpoint, self.key)
        if record is None or record.file is None:
            return None
        try:
            state = training_state.read(record.file)
        except DataError as error:
            self._context.progress.say(f"{error.what} Training starts again.")
            return None
        self._context.progress.say(f"Resuming the interrupted training in epoch {state.position.epoch + 1}.")
        if changed := state.differences():
            self._context.progress.say(
                f"The result will not match an uninterrupted training bit for bit: {'; '.join(changed)}."
            )
        return state

    @property
    def _folder(self) -> Path:
        return self._context.workspace.cycle_folder(self._cycle)


def forget(context: Context, cycle: int) -> None:
    """Remove the record and the files of a training that has ended, as far as they exist."""
    if context.workspace.step(cycle, Checkpoint) is not None:
        context.workspace.store.drop_step(cycle, Checkpoint.step)
    for name in FILES:
        (context.workspace.cycle_folder(cycle) / name).unlink(missing_ok=True)
