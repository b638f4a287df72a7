"""What the command line prints: results to stdout, everything else to stderr.

With ``--json``, stdout is exactly one JSON document, also on failure.
"""

from __future__ import annotations

import contextlib
import logging
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from alcli.items import Refusal

SCHEMA_VERSION = 1
SECONDS_BETWEEN_LINES = 30
SHOWN_PROBLEMS = 5


class Console:
    """The output of one invocation; steps report to it as their ``Progress``."""

    def __init__(self, as_json: bool, quiet: bool, verbose: bool) -> None:
        self.as_json, self.quiet, self.verbose = as_json, quiet, verbose
        self.run_id = ""
        _show_warnings(self)

    def result(self, document: dict[str, Any], text: str = "") -> None:
        """Print the document with ``--json``; otherwise print the text, unless ``--quiet``."""
        if self.as_json:
            import json

            run = {"run": self.run_id} if self.run_id else {}
            click.echo(json.dumps({"schema_version": SCHEMA_VERSION, **run, **document}, indent=2, default=str))
        elif text and not self.quiet:
            click.echo(text)

    def table(self, title: str, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Print a table for people; cells are shown literally, never interpreted as markup."""
        if self.as_json or self.quiet:
            return
        from rich.console import Console as RichConsole
        from rich.table import Table
        from rich.text import Text

        from alcli.system.text import visible

        table = Table(box=None, pad_edge=False, header_style="bold")
        for column in header:
            is_numeric = bool(rows) and all(_is_number(row[header.index(column)]) for row in rows)
            table.add_column(column, justify="right" if is_numeric else "left", overflow="fold")
        for row in rows:
            table.add_row(*(Text(visible(str(cell), keep="")) for cell in row))
        out = RichConsole(width=None if sys.stdout.isatty() else 120, highlight=False)
        out.print(Text(title, style="bold"))
        out.print(table if rows else "  none")

    def say(self, text: str) -> None:
        """Print one line to stderr, unless ``--quiet``."""
        from alcli.system.progress import LOG

        LOG.info(text)
        self._print_to_stderr(text)

    def detail(self, text: str) -> None:
        """Print one line to stderr with ``--verbose``."""
        from alcli.system.progress import LOG

        LOG.debug(text)
        if self.verbose:
            self._print_to_stderr(text)

    def note(self, event: str, message: str, **facts: object) -> None:
        """Write a line to the log only."""
        from alcli.system.progress import LOG

        LOG.info(message, extra={"event": event, "facts": facts})

    def problems(self, refusals: Sequence[Refusal]) -> None:
        """Print why images could not be used, one line per reason."""
        from alcli.system.text import visible

        groups: dict[str, list[str]] = {}
        for refusal in refusals:
            groups.setdefault(refusal.reason, []).append(refusal.name)
        for reason, names in list(groups.items())[:SHOWN_PROBLEMS]:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            # Escaped: a line break in a file name must not start a line that looks like alcli's own.
            self.say(f"  left out: {visible(names[0], keep='')}{more}: {visible(reason, keep='')}")
        hidden = sum(map(len, list(groups.values())[SHOWN_PROBLEMS:]))
        if hidden or len(refusals) > len(groups):
            self.say(f"  {f'… and {hidden} more' if hidden else 'Every name'}: alcli list quarantine")

    @contextlib.contextmanager
    def track(self, description: str, total: int) -> Iterator[Callable[[int], None]]:
        """Show a progress bar with rate and remaining time; without a terminal, print a line every 30 seconds."""
        if self.quiet or total == 0:
            yield lambda units: None
        elif sys.stderr.isatty():
            with self._bar(description, total) as advance:
                yield advance
        else:
            yield _ProgressLines(description, total)

    def _print_to_stderr(self, text: str) -> None:
        from alcli.system.redaction import redact
        from alcli.system.text import visible

        if not self.quiet:
            # A closed terminal must not end the run.
            with contextlib.suppress(OSError):
                click.echo(visible(redact(text)), err=True)

    @contextlib.contextmanager
    def _bar(self, description: str, total: int) -> Iterator[Callable[[int], None]]:
        from rich import progress
        from rich.console import Console as RichConsole

        columns = (
            progress.TextColumn("{task.description}"),
            progress.BarColumn(),
            progress.MofNCompleteColumn(),
            progress.TextColumn("{task.fields[rate]}"),
            progress.TimeRemainingColumn(),
        )
        with progress.Progress(*columns, console=RichConsole(stderr=True), transient=True) as bar:
            task = bar.add_task(description, total=total, rate="")
            started = time.monotonic()

            def advance(units: int) -> None:
                bar.advance(task, units)
                seconds = max(time.monotonic() - started, 1e-9)
                bar.update(task, rate=f"{bar.tasks[0].completed / seconds:.0f}/s")

            yield advance


class _Warnings(logging.Handler):
    """Shows what is said where no ``Progress`` is at hand."""

    def __init__(self, console: Console) -> None:
        super().__init__(logging.WARNING)
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        """Show one line."""
        if record.levelno == logging.WARNING:
            self._console._print_to_stderr(record.getMessage())


def _show_warnings(console: Console) -> None:
    from alcli.system.progress import LOG

    for handler in [handler for handler in LOG.handlers if isinstance(handler, _Warnings)]:
        LOG.removeHandler(handler)
    LOG.addHandler(_Warnings(console))


class _ProgressLines:
    """Progress without a terminal: a line every 30 seconds, so that a log stays short."""

    def __init__(self, description: str, total: int) -> None:
        self._description, self._total, self._done = description, total, 0
        self._started = self._last = time.monotonic()

    def __call__(self, units: int) -> None:
        self._done += units
        now = time.monotonic()
        if now - self._last < SECONDS_BETWEEN_LINES:
            return
        self._last = now
        rate = self._done / (now - self._started)
        remaining = (self._total - self._done) / max(rate, 1e-9)
        click.echo(f"{self._description}: {self._done}/{self._total}, {rate:.1f}/s, {remaining:.0f} s left", err=True)


def metrics_in_words(metrics: Mapping[str, float]) -> str:
    """The metrics of a model in one line; metrics of single classes (``iou/CLASS``) are only in metrics.json."""
    from alcli.curves.metrics import metric_name

    return ", ".join(f"{metric_name(name)} {value:.3f}" for name, value in metrics.items() if "/" not in name)


def _is_number(value: object) -> bool:
    try:
        float(str(value))
    except ValueError:
        return False
    return True
