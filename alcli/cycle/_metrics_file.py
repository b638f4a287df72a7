"""``metrics.json`` of a scored cycle."""

from __future__ import annotations

import json
from dataclasses import asdict

from alcli.context import Context
from alcli.curves.classes import class_numbers
from alcli.items import LABELED
from alcli.system.files import atomic_write
from alcli.workspace.records import Scored, Training


def write_metrics(context: Context, cycle: int, training: Training, scored: Scored) -> None:
    """Write the cycle's ``metrics.json``: what the training says about itself, the measurement with the pool, classes.

    The measurement is that of the training's model, even if an earlier one has ranked.
    """
    measurement = scored.collapse.measurement if scored.collapse else scored.measurement
    if not measurement.metrics:
        return
    store = context.workspace.store
    annotations = store.annotations(item.id for item in store.pool().in_state(LABELED))
    classes = class_numbers(training.classes, annotations, measurement.metrics, scored.asked_classes)
    content = {
        **training.document(),
        "metrics": measurement.metrics,
        "metric_method": measurement.method,
        "metric_images": measurement.images,
        "metric_interval": measurement.interval,
        "metrics_plain": training.metrics,
        "classes": [numbers.document() for numbers in classes],
        "reliance": scored.reliance and asdict(scored.reliance),
        "computed_by": scored.computed_by,
    }
    if scored.collapse:
        content["collapse"] = {"kept_cycle": scored.collapse.kept, "differences": scored.collapse.differences}
    with atomic_write(context.workspace.cycle_folder(cycle) / "metrics.json") as stream:
        stream.write(json.dumps(content, indent=2) + "\n")
