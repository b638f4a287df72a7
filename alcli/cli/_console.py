"""What the command line prints, and the one place where errors become exit codes.

Results go to stdout, everything else to stderr; with ``--json`` stdout is one JSON document, also on failure.
"""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import click

from alcli.curves.metrics import metric_name
from alcli.errors import DONE, AlcliError, Ending, Interrupted, MachineError
from alcli.system.crash_reports import internal_error
from alcli.system.progress import LOG
from alcli.system.redaction import redact
from alcli.system.text import visible

SCHEMA_VERSION = 1
SECONDS_BETWEEN_LINES = 30
SHOWN_PROBLEMS = 5


class Console:
    """Where one invocation's output goes; it is the steps' Progress."""

    def __init__(self, as_json: bool, quiet: bool, verbose: bool) -> None:
        self.as_json, self.quiet, self.verbose = as_json, quiet, verbose
        self.run_id = ""

    def result(self, document: dict[str, Any], text: str = "") -> None:
        """Print the outcome: the document with ``--json``, else the text; nothing with ``--quiet``."""
        if self.as_json:
            run = {"run": self.run_id} if self.run_id else {}
            click.echo(json.dumps({"schema_version": SCHEMA_VERSION, **run, **document}, indent=2, default=str))
        elif text and not self.quiet:
            click.echo(text)

    def table(self, title: str, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """A table for people; data is shown as it is, never read as markup."""
        if self.as_json or self.quiet:
            return
        from rich.console import Console as RichConsole
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, pad_edge=False, header_style="bold")
        for column in header:
            numbers = bool(rows) and all(_is_number(row[header.index(column)]) for row in rows)
            table.add_column(column, justify="right" if numbers else "left", overflow="fold")
        for row in rows:
            table.add_row(*(Text(visible(str(cell), keep="")) for cell in row))
        out = RichConsole(width=None if sys.stdout.isatty() else 120, highlight=False)
        out.print(Text(title, style="bold"))
        out.print(table if rows else "  none")

    def say(self, text: str) -> None:
        """One line on stderr."""
        LOG.info(text)
        self._say(text)

    def _say(self, text: str) -> None:
        if not self.quiet:
            # A lost terminal is no reason to lose the run.
            with contextlib.suppress(OSError):
                click.echo(visible(redact(text)), err=True)

    def detail(self, text: str) -> None:
        """One line on stderr with ``--verbose``."""
        LOG.debug(text)
        if self.verbose:
            self._say(text)

    def note(self, event: str, message: str, **facts: object) -> None:
        """A line of the log that the terminal does not show."""
        LOG.info(message, extra={"event": event, "facts": facts})

    def problems(self, refusals: Sequence[Any]) -> None:
        """Name what could not be used, the first few with their reasons."""
        for refusal in refusals[:SHOWN_PROBLEMS]:
            # A line end in a name must not look like a line of ours.
            self.say(f"  left out: {visible(refusal.name, keep='')}: {visible(refusal.reason, keep='')}")
        if len(refusals) > SHOWN_PROBLEMS:
            self.say(f"  … and {len(refusals) - SHOWN_PROBLEMS} more: alcli list quarantine")

    @contextlib.contextmanager
    def track(self, description: str, total: int) -> Iterator[Callable[[int], None]]:
        """A progress bar with rate and time left on a terminal; elsewhere a line every half minute."""
        if self.quiet or total == 0:
            yield lambda units: None
        elif sys.stderr.isatty():
            with self._bar(description, total) as advance:
                yield advance
        else:
            yield _Lines(description, total)

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


class _Lines:
    """Progress without a terminal: a line now and then, so that a log stays short."""

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
        left = (self._total - self._done) / max(rate, 1e-9)
        click.echo(f"{self._description}: {self._done}/{self._total}, {rate:.1f}/s, {left:.0f} s left", err=True)


def measured(metrics: Mapping[str, float]) -> str:
    """A model's metrics in one line, without their parts (``iou/CLASS``), which ``--json`` and metrics.json have."""
    return ", ".join(f"{metric_name(name)} {value:.3f}" for name, value in metrics.items() if "/" not in name)


def run(arguments: list[str] | None = None) -> int:
    """Run the command line; every error becomes one message and its exit code."""
    from alcli.cli import cli

    arguments = sys.argv[1:] if arguments is None else arguments
    as_json = "--json" in arguments
    _listen_to_signals()
    _speak_utf8()
    try:
        code = cli.main(arguments, prog_name="alcli", standalone_mode=False, obj=arguments)
        sys.stdout.flush()
        return code if isinstance(code, int) else DONE
    except click.exceptions.Exit as error:
        return error.exit_code
    except click.ClickException as error:
        _report({"what": error.format_message(), "kept": "Nothing was changed.", "do": ""}, 2, as_json, error.show)
        return 2
    except (KeyboardInterrupt, click.Abort):
        return _fail(Interrupted(signal.SIGINT), as_json)
    except (AlcliError, Interrupted) as error:
        return _fail(error, as_json)
    except BrokenPipeError:
        return _nobody_reads()
    except SystemExit as error:
        # So click and rich answer a closed pipe, and nothing else but a shell's completion.
        if error.code != 1 or "_ALCLI_COMPLETE" in os.environ:
            raise
        return _nobody_reads()
    except OSError as error:
        if error.errno != errno.ENOSPC:
            return _fail(internal_error(error), as_json)
        what, kept = f"The output cannot be written: {error.strerror}.", "What the command did is kept."
        return _fail(MachineError(what, kept=kept, do="Free some space."), False)
    except Exception as error:
        return _fail(internal_error(error), as_json)


def _nobody_reads() -> int:
    """The reader of a pipe has seen enough; what Python would flush at exit goes nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return 141


def _fail(error: Ending, as_json: bool) -> int:
    _report(error.parts(), error.exit_code, as_json, lambda: click.echo(_sentences(error), err=True))
    return error.exit_code


def _sentences(error: Ending) -> str:
    return visible(redact("\n".join(part for part in (f"alcli: {error.what}", error.kept, error.do) if part)))


def _report(parts: dict[str, str], code: int, as_json: bool, show: Callable[[], Any]) -> None:
    show()
    if as_json:
        document = {"schema_version": SCHEMA_VERSION, "error": parts, "exit_code": code}
        click.echo(redact(json.dumps(document, indent=2)))


def _speak_utf8() -> None:
    """UTF-8 whatever the locale: cron has none, and a list must not break off at the first umlaut."""
    for stream, errors in ((sys.stdout, "surrogateescape"), (sys.stderr, "backslashreplace")):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors=errors)


def _listen_to_signals() -> None:
    def stop(number: int, frame: object) -> None:
        raise Interrupted(number)

    with contextlib.suppress(ValueError):  # not in the main thread, as in some tests
        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGHUP, stop)


def _is_number(value: object) -> bool:
    try:
        float(str(value))
    except ValueError:
        return False
    return True
