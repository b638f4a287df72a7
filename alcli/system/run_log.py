"""The log of all runs of a workspace: JSON lines in ``logs/alcli.jsonl``.

A line has ``time`` (UTC), ``run`` (the id of the run), ``level``, ``event`` and ``message``; some events have more
fields. A run without an ``end`` event was killed. A log that cannot be written never stops or fails a run.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import logging.handlers
import os
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from alcli.errors import DONE, exit_of
from alcli.system.progress import LOG
from alcli.system.redaction import redact

FILE_NAME = "alcli.jsonl"
MOST_BYTES = 5_000_000
FILES = 5
TAIL = 65_536
"""Bytes at the end of the log that hold its last whole line."""


class Run:
    """One run of a command that writes to the workspace.

    Attributes:
        id: a short random id, in every line of the log.
        exit_code: the exit code of a run that ends without an error; the command sets it.
    """

    def __init__(self) -> None:
        self.id = secrets.token_hex(4)
        self.exit_code = DONE


@contextlib.contextmanager
def log_run(folder: Path, command: Sequence[str]) -> Iterator[Run]:
    """Log the start of a run, its messages and events, and its end to a file in ``folder``.

    The caller holds the workspace's lock: two runs must not rotate the same log.
    """
    run, started = Run(), time.monotonic()
    handler = _Handler(folder / FILE_NAME, run.id)
    LOG.addHandler(handler)
    LOG.setLevel(logging.DEBUG)
    try:
        LOG.info(" ".join(["alcli", *command]), extra=_event("start", pid=os.getpid()))
        try:
            yield run
        except BaseException as error:
            code, message = exit_of(error)
            LOG.error(message, extra=_ending(code, started))
            raise
        LOG.info("", extra=_ending(run.exit_code, started))
    finally:
        LOG.setLevel(logging.NOTSET)
        LOG.removeHandler(handler)
        handler.close()


def newest_message(folder: Path) -> str:
    """The last message that the run which logs now has shown; empty if there is none, or if the last run has ended."""
    try:
        with (folder / FILE_NAME).open("rb") as file:
            file.seek(max(file.seek(0, os.SEEK_END) - TAIL, 0))
            lines = file.read().split(b"\n")
    except OSError:
        return ""
    # What follows the last line end is a line that is being written.
    for line in reversed(lines[:-1]):
        with contextlib.suppress(ValueError, TypeError, KeyError):
            record = json.loads(line)
            if record["level"] != "debug":
                return "" if record["event"] in ("start", "end") else str(record["message"])
    return ""


def _event(name: str, **facts: object) -> dict[str, Any]:
    return {"event": name, "facts": facts}


def _ending(code: int, started: float) -> dict[str, Any]:
    return _event("end", exit_code=code, seconds=round(time.monotonic() - started, 3))


class _Handler(logging.handlers.RotatingFileHandler):
    """A rotating file that only its owner can read; failures to write are ignored."""

    def __init__(self, path: Path, run_id: str) -> None:
        super().__init__(path, maxBytes=MOST_BYTES, backupCount=FILES - 1, encoding="utf-8", delay=True)
        self.setFormatter(_Lines(run_id))

    def _open(self) -> io.TextIOWrapper:
        path = Path(self.baseFilename)
        path.parent.mkdir(mode=0o700, exist_ok=True)
        # File names that are not valid Unicode are written as JSON escapes.
        stream = os.fdopen(_private(path), "a+", encoding="utf-8", errors="backslashreplace", newline="")
        if _is_unfinished(path):
            stream.write("\n")
        return stream

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 (logging's name)
        """Do nothing: a full disk must not stop the run."""

    def close(self) -> None:
        """Close the file; records that could not be written are lost."""
        with contextlib.suppress(OSError):
            super().close()


def _private(path: Path) -> int:
    # Do not follow a link, and do not wait for the reader of a pipe.
    return os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)


def _is_unfinished(path: Path) -> bool:
    """Whether a killed run left its last line incomplete."""
    with path.open("rb") as file:
        if file.seek(0, os.SEEK_END) == 0:
            return False
        file.seek(-1, os.SEEK_END)
        return file.read(1) != b"\n"


class _Lines(logging.Formatter):
    """One JSON object per line, without secrets."""

    def __init__(self, run_id: str) -> None:
        super().__init__()
        self._run_id = run_id

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line of JSON, without the line end."""
        line = {
            "time": datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="milliseconds"),
            "run": self._run_id,
            "level": record.levelname.lower(),
            "event": getattr(record, "event", "said"),
            "message": record.getMessage(),
            **getattr(record, "facts", {}),
        }
        return json.dumps(_without_secrets(line), ensure_ascii=False, default=str)


def _without_secrets(value: Any) -> Any:
    # Redact before JSON escapes anything: a secret with a quotation mark would no longer match.
    if isinstance(value, Mapping):
        return {redact(str(key)): _without_secrets(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_without_secrets(part) for part in value]
    return redact(value) if isinstance(value, str) else value
