"""Metrics of a workspace for Prometheus' textfile collector."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from alcli.system.files import SHARED, atomic_write
from alcli.workspace import Workspace
from alcli.workspace.heartbeat import Heartbeat
from alcli.workspace.records import Scored, Training, measurement_of


def publish(workspace: Workspace, path: Path, heartbeat: Heartbeat) -> None:
    """Write the heartbeat, the number of items by state and the newest model's metrics."""
    training, scored = workspace.newest(Training), workspace.newest(Scored)
    metrics = measurement_of(training, workspace.step(training.cycle, Scored) if training else None).metrics
    collapsed = scored is not None and scored.summary.collapse is not None
    write_metrics(path, heartbeat, workspace.store.counts(), metrics, collapsed)


def write_metrics(
    path: Path,
    heartbeat: Heartbeat,
    pool: Mapping[str, int],
    metrics: Mapping[str, float],
    collapsed: bool = False,
) -> None:
    """Write the metrics file atomically, readable by all users.

    Args:
        pool: number of items by state. metrics: the newest model's metrics by name.
        collapsed: whether the newest model was too bad to rank.
    """
    lines = [
        *_gauge("alcli_last_run_timestamp_seconds", "When the last run ended.", {"": heartbeat.ended}),
        *_gauge("alcli_last_run_exit_code", "Exit code of the last run; 0 and 3 are good.", {"": heartbeat.exit_code}),
        *_gauge("alcli_last_run_duration_seconds", "Duration of the last run.", {"": heartbeat.seconds}),
        *_gauge("alcli_last_success_timestamp_seconds", "When a run last succeeded.", {"": heartbeat.succeeded}),
        *_gauge("alcli_consecutive_failures", "Failed runs since the last success.", {"": heartbeat.failures}),
        *_gauge("alcli_pool_items", "Number of items by state.", {_label("state", k): v for k, v in pool.items()}),
        *_gauge(
            "alcli_model_metric",
            "Metrics of the newest model on held-out items.",
            {_label("name", k): v for k, v in metrics.items()},
        ),
        *_gauge("alcli_model_collapsed", "Whether the newest model was too bad to rank.", {"": int(collapsed)}),
    ]
    with atomic_write(path, permissions=SHARED) as stream:
        stream.write("\n".join(lines) + "\n")


def _label(name: str, value: str) -> str:
    """A label as Prometheus' text format writes it."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'{name}="{escaped}"'


def _gauge(name: str, text: str, values: Mapping[str, Any]) -> list[str]:
    samples = [f"{name}{{{label}}} {value}" if label else f"{name} {value}" for label, value in values.items()]
    return [f"# HELP {name} {text}", f"# TYPE {name} gauge", *samples]
