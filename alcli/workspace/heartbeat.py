"""What the last runs of a workspace came to, for monitors that ask whether all is well."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from alcli.errors import DONE, PARTIAL, exit_of
from alcli.system.files import atomic_write
from alcli.system.redaction import redact

FILE_NAME = "heartbeat.json"
LATEST = 2.0**37
"""Seconds since 1970 that a date can still say."""


@dataclass(frozen=True)
class Heartbeat:
    """The ends of runs, newest last.

    Attributes:
        ended: when the last run ended, seconds since 1970. exit_code: how. seconds: how long it took.
        succeeded: when a run last ended with 0 or 3; 0.0 for never.
        failures: how many runs have failed since.
        message: what the last failure said.
    """

    ended: float = 0.0
    exit_code: int = DONE
    seconds: float = 0.0
    succeeded: float = 0.0
    failures: int = 0
    message: str = ""

    def is_sound(self) -> bool:
        """Whether every value is of its kind; a file that somebody else wrote may hold anything."""
        moments = (self.ended, self.seconds, self.succeeded)
        return (
            all(isinstance(value, (int, float)) and 0 <= value < LATEST for value in moments)
            and isinstance(self.exit_code, int)
            and isinstance(self.failures, int)
            and isinstance(self.message, str)
        )

    def after(self, ended: float, exit_code: int, seconds: float, message: str = "") -> Heartbeat:
        """The heartbeat with one more run."""
        good = exit_code in (DONE, PARTIAL)
        return Heartbeat(
            ended,
            exit_code,
            seconds,
            ended if good else self.succeeded,
            0 if good else self.failures + 1,
            "" if good else message,
        )

    def age(self, now: float) -> float:
        """Seconds since a run last succeeded; infinite when none has."""
        return now - self.succeeded if self.succeeded else float("inf")


def read(root: Path) -> Heartbeat:
    """The workspace's heartbeat; an empty one when no run has ended, or when the file is not what was written."""
    try:
        found = Heartbeat(**json.loads((root / FILE_NAME).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, RecursionError):
        return Heartbeat()
    return found if found.is_sound() else Heartbeat()


def write(root: Path, heartbeat: Heartbeat) -> None:
    """Keep the heartbeat in the workspace."""
    with atomic_write(root / FILE_NAME) as stream:
        json.dump(asdict(heartbeat), stream)


@contextlib.contextmanager
def record_end(root: Path, publish: Callable[[Heartbeat], None] = lambda beat: None) -> Iterator[Callable[[int], None]]:
    """Remember in the workspace how a run ends, whether well or not; the block says the exit code of a good end.

    Args:
        publish: given the new heartbeat, also when the run fails.
    """
    started, code, message = time.monotonic(), 1, ""

    def end(exit_code: int) -> None:
        nonlocal code
        code = exit_code

    try:
        yield end
    except BaseException as error:
        code, message = exit_of(error)
        raise
    finally:
        beat = read(root).after(time.time(), code, time.monotonic() - started, redact(message))
        # A full disk must not hide what went wrong before.
        with contextlib.suppress(OSError):
            write(root, beat)
            publish(beat)
