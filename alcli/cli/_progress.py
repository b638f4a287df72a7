"""The progress of one step: counted, shown on a terminal or in a log, and noted for ``alcli status``."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

import click

from alcli.system.clock import rounded
from alcli.system.progress import LOG
from alcli.system.text import quantity

SECONDS_BETWEEN_LINES = 30
SECONDS_BETWEEN_NOTES = 10
BAR_WIDTH = 20


class Tracker:
    """Counts completed units of one step; calling it adds some.

    Attributes:
        unit: what is counted, in the singular. start: units that an earlier run completed.
        show: called after each change.
    """

    def __init__(self, description: str, total: int, unit: str, start: int = 0) -> None:
        self.description, self.total, self.unit = description, total, unit
        self.done = self.start = start
        self.show: Callable[[], None] = lambda: None
        self._note = ""
        self._began = time.monotonic()
        self._noted = float("-inf")

    def __call__(self, units: int, note: str = "") -> None:
        """Add completed units; ``note`` is shown instead of their number."""
        self.done += units
        self._note = note or self._note
        if time.monotonic() - self._noted >= SECONDS_BETWEEN_NOTES:
            self._noted = time.monotonic()
            LOG.info(self.line(), extra={"event": "progress", "facts": {"done": self.done, "total": self.total}})
        self.show()

    @property
    def seconds(self) -> float:
        """Since the step began."""
        return time.monotonic() - self._began

    def state(self) -> str:
        """How far the step is: ``epoch 5/30 · loss 3.2 · 9 min left``; no time before anything is completed."""
        count = self._note or f"{self.done} of {quantity(self.total, self.unit)}"
        completed = self.done - self.start
        if completed <= 0:
            return count
        return f"{count} · {rounded((self.total - self.done) * self.seconds / completed)} left"

    def line(self) -> str:
        """The step and how far it is."""
        return f"{self.description}: {self.state()}"

    def last_line(self) -> str:
        """What the step did and how long it took."""
        count = self._note or quantity(self.done, self.unit)
        return f"{self.description}: {count} · took {rounded(self.seconds)}"


@contextlib.contextmanager
def show_bar(tracker: Tracker) -> Iterator[None]:
    """Show a bar on the terminal; it disappears at the end."""
    from rich import progress
    from rich.console import Console as RichConsole
    from rich.text import Text

    class State(progress.ProgressColumn):
        """Computed anew at each refresh, because time passes between two calls."""

        def render(self, task: progress.Task) -> Text:
            return Text(tracker.state())

    columns = (progress.TextColumn("{task.description}"), progress.BarColumn(BAR_WIDTH), State())
    with progress.Progress(*columns, console=RichConsole(stderr=True), transient=True) as bar:
        task = bar.add_task(tracker.description, total=tracker.total, completed=tracker.done)
        tracker.show = lambda: bar.update(task, completed=tracker.done)
        yield


@contextlib.contextmanager
def show_lines(tracker: Tracker) -> Iterator[None]:
    """Print a line every 30 seconds, so that a log stays short."""
    last = time.monotonic()

    def show() -> None:
        nonlocal last
        if time.monotonic() - last >= SECONDS_BETWEEN_LINES:
            last = time.monotonic()
            click.echo(tracker.line(), err=True)

    tracker.show = show
    yield
