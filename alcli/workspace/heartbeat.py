"""How the last runs of a workspace ended, for monitoring."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from alcli.errors import DONE, PARTIAL, AlcliError, exit_of
from alcli.system.clock import LARGEST_SKEW
from alcli.system.files import atomic_write
from alcli.system.redaction import redact
from alcli.system.run_log import Run
from alcli.workspace.database import database_errors

FILE_NAME = "heartbeat.json"
LATEST = 2.0**37
"""Upper limit of a valid time, in seconds since 1970; beyond it, dates cannot be formatted."""


@dataclass(frozen=True)
class Heartbeat:
    """How the last run ended, and whether it succeeded.

    Attributes:
        ended: when the last run ended, in seconds since 1970.
        exit_code: its exit code.
        seconds: its duration.
        succeeded: when a run last exited with 0 or 3, in seconds since 1970; 0.0 for never.
        failures: the number of failed runs since then.
        message: the message of the last failure.
    """

    ended: float = 0.0
    exit_code: int = DONE
    seconds: float = 0.0
    succeeded: float = 0.0
    failures: int = 0
    message: str = ""

    def is_valid(self) -> bool:
        """Whether every value has the right type and range; the file may have been edited."""
        moments = (self.ended, self.seconds, self.succeeded)
        return (
            all(isinstance(value, (int, float)) and 0 <= value < LATEST for value in moments)
            and isinstance(self.exit_code, int)
            and isinstance(self.failures, int)
            and isinstance(self.message, str)
        )

    def after(self, ended: float, exit_code: int, seconds: float, message: str = "") -> Heartbeat:
        """The heartbeat after one more run."""
        good = exit_code in (DONE, PARTIAL)
        return Heartbeat(
            ended,
            exit_code,
            seconds,
            ended if good else self.succeeded,
            0 if good else self.failures + 1,
            "" if good else message,
        )

    def is_ahead(self, now: float) -> bool:
        """Whether a time lies in the future: then the clock was wrong, and no age can be trusted."""
        return max(self.ended, self.succeeded) > now + LARGEST_SKEW

    def age(self, now: float) -> float:
        """Seconds since a run last succeeded; infinite if none has."""
        return now - self.succeeded if self.succeeded else float("inf")


def read(root: Path) -> Heartbeat:
    """The workspace's heartbeat; the default one if there is no valid file."""
    try:
        beat = Heartbeat(**json.loads((root / FILE_NAME).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, RecursionError):
        return Heartbeat()
    return beat if beat.is_valid() else Heartbeat()


def write(root: Path, heartbeat: Heartbeat) -> None:
    """Write the heartbeat to the workspace, atomically."""
    with atomic_write(root / FILE_NAME) as stream:
        json.dump(asdict(heartbeat), stream)


@contextlib.contextmanager
def record_end(root: Path, run: Run, publish: Callable[[Heartbeat], None] = lambda beat: None) -> Iterator[None]:
    """Update the workspace's heartbeat when the block ends, with or without an error.

    Args:
        run: holds the exit code of a run that ends without an error.
        publish: called with the new heartbeat, even if the run fails.
    """
    started, message = time.monotonic(), ""
    code = 1
    try:
        yield
        code = run.exit_code
    except BaseException as error:
        code, message = exit_of(error)
        raise
    finally:
        beat = read(root).after(time.time(), code, time.monotonic() - started, redact(message))
        # A full disk or a damaged database must not hide an earlier error.
        with contextlib.suppress(OSError, AlcliError), database_errors(root):
            write(root, beat)
            publish(beat)
