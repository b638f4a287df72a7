"""Whether a new model is clearly worse than the one before it, and what is said about it."""

from __future__ import annotations

from collections.abc import Sequence

from alcli.curves.comparison import share_interval
from alcli.curves.estimate import Estimate
from alcli.curves.metrics import CORRELATION, metric_name, percent
from alcli.workspace.measurements import Collapse, Measurement

NAMED = 3
"""Settings named in a sentence."""


def is_clearly_worse(new: Measurement, before: Measurement) -> bool:
    """Whether the 90 % interval of the new model's main metric lies below that of the earlier model's, as a whole."""
    pair = [_headline(measurement) for measurement in (new, before)]
    if pair[0] is None or pair[1] is None or pair[0][0] != pair[1][0]:
        return False
    return _interval(new, pair[0][1]).high < _interval(before, pair[1][1]).low


def collapse_in_words(collapse: Collapse) -> str:
    """What happened, what ranked, and why: two sentences."""
    new, before = _headline(collapse.measurement), _headline(collapse.before)
    numbers = f" ({metric_name(new[0])} {percent(new[1])} against {percent(before[1])})" if new and before else ""
    return (
        f"The model of cycle {collapse.cycle} is far below that of cycle {collapse.kept}{numbers}, so the list was "
        f"made by the model of cycle {collapse.kept}. {_causes(collapse.differences)}"
    )


def remedy_in_words(collapse: Collapse) -> str:
    """What to do about it."""
    mend = "Set them back" if collapse.differences else "Check what was annotated last"
    return f"{mend}, or rank with the new model all the same: --set train.accept_worse=true"


def _causes(differences: Sequence[str]) -> str:
    if not differences:
        return "Their settings are the same."
    more = f" and {len(differences) - NAMED} more" if len(differences) > NAMED else ""
    return f"Its settings differ: {', '.join(differences[:NAMED])}{more}."


def _headline(measurement: Measurement) -> tuple[str, float] | None:
    return next(((name, value) for name, value in measurement.metrics.items() if name != CORRELATION), None)


def _interval(measurement: Measurement, value: float) -> Estimate:
    if measurement.interval:
        return Estimate(value, *measurement.interval)
    return share_interval(value, measurement.images, 0.9)
