"""The one place where errors become messages and exit codes."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

import click

from alcli.errors import DONE, AlcliError, Ending, Interrupted, MachineError

USAGE = 2
READER_GONE = 141
"""The exit code that a shell reports for a process killed by SIGPIPE."""


def run(arguments: list[str] | None = None) -> int:
    """Run the command line; every error becomes one message and its exit code."""
    from alcli.cli import cli

    arguments = sys.argv[1:] if arguments is None else arguments
    as_json = "--json" in arguments
    _install_signal_handlers()
    _use_utf8()
    try:
        code = cli.main(arguments, prog_name="alcli", standalone_mode=False, obj=arguments)
        sys.stdout.flush()
        return code if isinstance(code, int) else DONE
    except click.exceptions.Exit as error:
        return error.exit_code
    except click.ClickException as error:
        _drop_distant_suggestions(error)
        parts = {"what": error.format_message(), "kept": "Nothing was changed.", "do": ""}
        _report(parts, USAGE, as_json, error.show)
        return USAGE
    except (KeyboardInterrupt, click.Abort):
        return _fail(Interrupted(signal.SIGINT), as_json)
    except (AlcliError, Interrupted) as error:
        return _fail(error, as_json)
    except BrokenPipeError:
        return _ignore_closed_pipe()
    except SystemExit as error:
        # click and rich exit with 1 when a pipe is closed. Shell completion has its own reasons to exit with 1.
        if error.code != 1 or "_ALCLI_COMPLETE" in os.environ:
            raise
        return _ignore_closed_pipe()
    except OSError as error:
        if error.errno != errno.ENOSPC:
            return _fail_with_report(error, as_json)
        what, kept = f"The output cannot be written: {error.strerror}.", "What the command did is kept."
        return _fail(MachineError(what, kept=kept, do="Free some space."), False)
    except Exception as error:
        return _fail_with_report(error, as_json)


def _drop_distant_suggestions(error: click.ClickException) -> None:
    """Click suggests --json for --open."""
    from alcli.system.text import similar_names

    if isinstance(error, click.NoSuchOption) and isinstance(error.possibilities, list):
        error.possibilities[:] = similar_names(error.option_name, error.possibilities)


def _ignore_closed_pipe() -> int:
    """The reader of a pipe, such as `head`, has closed it: discard what Python would flush at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return READER_GONE


def _fail_with_report(error: Exception, as_json: bool) -> int:
    from alcli.system.crash_reports import internal_error

    return _fail(internal_error(error), as_json)


def _fail(error: Ending, as_json: bool) -> int:
    from alcli.cli._tables import echo

    _report(error.parts(), error.exit_code, as_json, lambda: echo(_message(error), err=True))
    return error.exit_code


def _message(error: Ending) -> str:
    from alcli.system.redaction import redact
    from alcli.system.text import visible

    return visible(redact("\n".join(part for part in (f"alcli: {error.what}", error.kept, error.do) if part)))


def _report(parts: dict[str, str], code: int, as_json: bool, show: Callable[[], Any]) -> None:
    show()
    if as_json:
        import json

        from alcli.cli._console import SCHEMA_VERSION
        from alcli.system.redaction import redact

        document = {"schema_version": SCHEMA_VERSION, "error": parts, "exit_code": code}
        click.echo(redact(json.dumps(document, indent=2)))


def _use_utf8() -> None:
    """Write UTF-8 in every locale: cron sets none, and the first umlaut in a file name must not end a run."""
    for stream, errors in ((sys.stdout, "surrogateescape"), (sys.stderr, "backslashreplace")):
        if reconfigure := getattr(stream, "reconfigure", None):  # a test may have put another stream here
            reconfigure(encoding="utf-8", errors=errors)


def _install_signal_handlers() -> None:
    def stop(number: int, frame: object) -> None:
        raise Interrupted(number)

    with contextlib.suppress(ValueError):  # Python allows it only in the main thread; some tests run in another
        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGHUP, stop)
