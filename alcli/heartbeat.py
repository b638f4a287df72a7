"""What the last runs of a workspace came to, for monitors that ask whether all is well."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from alcli.errors import DONE, PARTIAL, exit_of
from alcli.files import SHARED, atomic_write
from alcli.redaction import redacted
from alcli.workspace import Workspace

FILE_NAME = "heartbeat.json"
LARGEST_SKEW = 300.0
"""Seconds by which clocks may differ before anybody should care."""
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
def recorded(workspace: Workspace, metrics_file: Path | None = None) -> Iterator[Callable[[int], None]]:
    """Remember how a run ends, whichever way it does; the block says the exit code of a good end.

    Args:
        metrics_file: for Prometheus, written also when the run fails.
    """
    started, code, message = time.monotonic(), 1, ""

    def ended(exit_code: int) -> None:
        nonlocal code
        code = exit_code

    try:
        yield ended
    except BaseException as error:
        code, message = exit_of(error)
        raise
    finally:
        beat = read(workspace.root).after(time.time(), code, time.monotonic() - started, redacted(message))
        # A full disk must not hide what went wrong before.
        with contextlib.suppress(OSError):
            write(workspace.root, beat)
            if metrics_file is not None:
                write_metrics(metrics_file, beat, workspace.store.pool().counts(), _newest_metrics(workspace))


def _newest_metrics(workspace: Workspace) -> dict[str, float]:
    cycle = workspace.store.last_step("train")
    record = workspace.step(cycle, "train") if cycle is not None else None
    metrics: dict[str, float] = record.summary.get("metrics", {}) if record else {}
    return metrics


def shown(moment: float) -> str:
    """A moment in UTC, RFC 3339; "never" for 0."""
    return datetime.fromtimestamp(moment, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ") if moment else "never"


def write_metrics(path: Path, heartbeat: Heartbeat, pool: Mapping[str, int], metrics: Mapping[str, float]) -> None:
    """Write a file for Prometheus' textfile collector, whole or not at all, readable by all.

    Args:
        pool: items by state. metrics: of the newest model, by name.
    """
    lines = [
        *_gauge("alcli_last_run_timestamp_seconds", "When the last run ended.", {"": heartbeat.ended}),
        *_gauge("alcli_last_run_exit_code", "How the last run ended; 0 and 3 are good.", {"": heartbeat.exit_code}),
        *_gauge("alcli_last_run_duration_seconds", "How long the last run took.", {"": heartbeat.seconds}),
        *_gauge("alcli_last_success_timestamp_seconds", "When a run last ended well.", {"": heartbeat.succeeded}),
        *_gauge("alcli_consecutive_failures", "Failed runs since the last good one.", {"": heartbeat.failures}),
        *_gauge("alcli_pool_items", "Items of the project by state.", {f'state="{k}"': v for k, v in pool.items()}),
        *_gauge(
            "alcli_model_metric", "The newest model on held-out items.", {f'name="{k}"': v for k, v in metrics.items()}
        ),
    ]
    with atomic_write(path, permissions=SHARED) as stream:
        stream.write("\n".join(lines) + "\n")


def _gauge(name: str, text: str, values: Mapping[str, Any]) -> list[str]:
    rows = [f"{name}{{{label}}} {value}" if label else f"{name} {value}" for label, value in values.items()]
    return [f"# HELP {name} {text}", f"# TYPE {name} gauge", *rows]
