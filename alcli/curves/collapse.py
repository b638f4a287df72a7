"""Whether a new model is clearly worse than the one before it, and what is said about it."""

from __future__ import annotations

from collections.abc import Sequence

from alcli.curves.comparison import share_interval
from alcli.curves.estimate import Estimate
from alcli.curves.metrics import CORRELATION, metric_name, percent
from alcli.system.text import quantity
from alcli.workspace.measurements import Collapse, Measurement, SameImages

NAMED = 3
"""Settings named in a sentence."""
LEAST_LOSS = 0.05
"""A smaller loss of the main metric on the same images is not worth a person's attention, however sure it is."""
SURE = 0.005
"""Two equally good models are one night in 200 as far apart as that."""


def is_clearly_worse(new: Measurement, before: Measurement) -> bool:
    """Whether the 90 % interval of the new model's main metric lies below that of the earlier model's, as a whole."""
    pair = [_headline(measurement) for measurement in (new, before)]
    if pair[0] is None or pair[1] is None or pair[0][0] != pair[1][0]:
        return False
    return _interval(new, pair[0][1]).high < _interval(before, pair[1][1]).low


def is_worse_on_same_images(pair: SameImages) -> bool:
    """Whether the new model has lost enough on the same images, and that is no chance."""
    return pair.before - pair.new >= LEAST_LOSS and pair.p <= SURE


def collapse_in_words(collapse: Collapse) -> str:
    """What happened, what ranked, and why: two sentences."""
    far = "clearly" if collapse.same_images else "far"
    return (
        f"The model of cycle {collapse.cycle} is {far} below that of cycle {collapse.kept}{_numbers(collapse)}, so the "
        f"list was made by the model of cycle {collapse.kept}. {_causes(collapse.differences)}"
    )


def remedy_in_words(collapse: Collapse) -> str:
    """What to do about it."""
    mend = "Set them back" if collapse.differences else "Check what was annotated last"
    return f"{mend}, or rank with the new model all the same: --set train.accept_worse=true"


def _numbers(collapse: Collapse) -> str:
    new, before = _headline(collapse.measurement), _headline(collapse.before)
    if not new or not before:
        return ""
    pair = collapse.same_images
    if pair is None:
        return f" ({metric_name(new[0])} {percent(new[1])} against {percent(before[1])})"
    where = f"on the same {quantity(pair.images, 'held-out image')}"
    return f" ({metric_name(new[0])} {percent(pair.new)} against {percent(pair.before)} {where})"


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
