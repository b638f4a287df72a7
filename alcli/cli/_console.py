"""What the command line prints: results to stdout, everything else to stderr.

With ``--json``, stdout is exactly one JSON document, also on failure.
"""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from alcli.items import Refusal
    from alcli.system.progress import Advance

SCHEMA_VERSION = 1
SHOWN_PROBLEMS = 5
SECONDS_WORTH_A_LINE = 1.0
"""A step that took less leaves no line on a terminal."""


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
        else:
            self.line(text)

    def rows(self, key: str, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """Print texts in rows as ``result({key: [...]})`` would, and each row as it comes; nothing without ``--json``.

        A list of a million rows starts at once, and is never whole in memory. If reading one fails, stderr says that
        what stdout has is no whole document.
        """
        if not self.as_json:
            return
        import json

        run = {"run": self.run_id} if self.run_id else {}
        start = json.dumps({"schema_version": SCHEMA_VERSION, **run}, indent=2).removesuffix("\n}")
        names = [f"      {json.dumps(name)}: " for name in header]
        click.echo(f"{start},\n  {json.dumps(key)}: [", nl=False)
        separator = "\n"
        try:
            for row in rows:
                fields = ",\n".join([name + json.dumps(cell) for name, cell in zip(names, row, strict=True)])
                sys.stdout.write(f"{separator}    {{\n{fields}\n    }}")
                separator = ",\n"
        except BrokenPipeError:
            raise
        except BaseException:
            click.echo()
            click.echo(f"alcli: the list of {key} on stdout ends in the middle: do not use it.", err=True)
            raise
        sys.stdout.write("]\n}\n" if separator == "\n" else "\n  ]\n}\n")

    def line(self, text: str) -> None:
        """Print text to stdout for people; nothing with ``--json`` or ``--quiet``."""
        from alcli.cli._tables import echo

        if text and not self.as_json and not self.quiet:
            echo(text)

    def table(self, title: str, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Print a table for people; cells are shown literally, never interpreted as markup."""
        if self.as_json or self.quiet:
            return
        from alcli.cli._tables import print_table

        print_table(title, header, rows)

    def say(self, text: str) -> None:
        """Print one line to stderr, unless ``--quiet``."""
        from alcli.system.progress import LOG

        LOG.info(text)
        self._print_to_stderr(text)

    def detail(self, text: str) -> None:
        """Print one line to stderr with ``--verbose``; nothing if it is empty."""
        if not text:
            return
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
    def track(self, description: str, total: int, unit: str = "image", start: int = 0) -> Iterator[Advance]:
        """Show a step's progress on a terminal, and keep its last line; elsewhere print a line every 30 seconds."""
        from alcli.cli._progress import Tracker, show_bar, show_lines

        tracker = Tracker(description, total, unit, start)
        if self.quiet or total == 0:
            yield tracker
        elif sys.stderr.isatty():
            with show_bar(tracker):
                yield tracker
            if tracker.seconds >= SECONDS_WORTH_A_LINE:
                self._print_to_stderr(tracker.last_line())
        else:
            with show_lines(tracker):
                yield tracker

    def _print_to_stderr(self, text: str) -> None:
        from alcli.cli._tables import echo
        from alcli.system.redaction import redact
        from alcli.system.text import visible

        if not self.quiet:
            # A closed terminal must not end the run.
            with contextlib.suppress(OSError):
                echo(visible(redact(text)), err=True)


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


def metrics_in_words(metrics: Mapping[str, float], interval: tuple[float, float] | None = None) -> str:
    """The metrics of a model in one line; those of single classes (``iou/CLASS``) are only in metrics.json.

    Args:
        interval: of the first metric.
    """
    from alcli.curves.metrics import CORRELATION, interval_in_words, metric_in_words

    shown = [metric_in_words(name, metrics[name]) for name in metrics if "/" not in name and name != CORRELATION]
    return ", ".join([shown[0] + interval_in_words(interval), *shown[1:]] if shown else [])
