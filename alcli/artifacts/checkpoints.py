"""Half-done trainings of a workspace: written now and then and when the run is told to stop, forgotten at the end."""

from __future__ import annotations

from pathlib import Path

from alcli.context import Context
from alcli.engine import training_state
from alcli.engine.training_state import TrainingState
from alcli.errors import DataError
from alcli.system.interruption import Stop

STEP = "checkpoint"
FILES = ("checkpoint-a.safetensors", "checkpoint-b.safetensors")
"""Two in turn: until the row of the new file is written, the old file must stay what its row says."""


class StepCheckpoints:
    """The checkpoints of one training in one cycle.

    Attributes:
        key: changes with everything that the weights depend on; what another training left is never gone on with.
    """

    def __init__(self, context: Context, cycle: int, key: str, stop: Stop) -> None:
        self.key = key
        self._context, self._cycle, self._stop = context, cycle, stop

    def due(self, steps: int) -> bool:
        """Every ``train.checkpoint_every`` steps, and when the run is to stop."""
        every = self._context.config.train.checkpoint_every
        return self._stop.signal is not None or (every > 0 and steps % every == 0)

    def keep(self, state: TrainingState) -> None:
        """Write the state, then stop if somebody has asked for it (Interrupted)."""
        workspace = self._context.workspace
        record = workspace.step(self._cycle, STEP)
        used = record.file.name if record and record.file else FILES[1]
        path = self._folder / FILES[1 - FILES.index(used)]
        training_state.write(path, state)
        workspace.finish_step(self._cycle, STEP, self.key, path)
        self._stop.obey()

    def load(self) -> TrainingState | None:
        """Where this very training was interrupted; None when it was not, or when the file is damaged."""
        record = self._context.workspace.done(self._cycle, STEP, self.key)
        if record is None or record.file is None:
            return None
        try:
            state = training_state.read(record.file)
        except DataError as error:
            self._context.progress.say(f"{error.what} Training starts again.")
            return None
        place = state.position
        self._context.progress.say(f"Going on with the interrupted training in epoch {place.epoch + 1}.")
        if changed := state.differences():
            self._context.progress.say(f"Not bit for bit what an uninterrupted training gives: {'; '.join(changed)}.")
        return state

    @property
    def _folder(self) -> Path:
        return self._context.workspace.cycle_folder(self._cycle)


def forget(context: Context, cycle: int) -> None:
    """Remove the row and the files of a training that has ended, as far as they are there."""
    if context.workspace.step(cycle, STEP) is not None:
        context.workspace.store.drop_step(cycle, STEP)
    for name in FILES:
        (context.workspace.cycle_folder(cycle) / name).unlink(missing_ok=True)
