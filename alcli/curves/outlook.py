"""How many more labels a target takes, what the next cycle will bring, and whether to go on, in numbers and words."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from alcli.annotations import object_counts
from alcli.config import Config, CostOptions
from alcli.curves.estimate import Estimate
from alcli.curves.forecast import Bundle, Needed, fit, labels_needed
from alcli.curves.history import CycleFacts, curve
from alcli.curves.metrics import metric_name
from alcli.errors import DataError
from alcli.workspace import Workspace

GO_ON, UNSURE, STOP = "go on", "unsure", "stop"
WORTH = 0.01
"""A gain of the next cycle, in the metric's own unit, below which it is hardly worth annotating for."""
STABLE = 0.95
"""Agreement of a model with the one before it that is called stable whatever the metric."""
NEWEST, FEWEST_TIMES = 500, 5
"""Annotations that costs are taken from, and how many must tell a time."""
LIKELY = 0.5
"""Share of curves that must reach a target for it to be called reachable."""


@dataclass(frozen=True)
class Outlook:
    """What can be said about the future of a learning curve.

    Attributes:
        bundle: None where there are too few points; ``text`` then says what is needed.
        metric, value, labels: of the newest point.
        timed: annotated images from which the seconds are known; 0 where they are configured.
        needed: to the target, counted from no label; None without a target. left: unlabelled images there are.
        next_gain: of the next budget. agreement: of the newest model's predictions with the one before, in [0, 1].
        advice: go on, unsure or stop; "" where nothing can be said.
    """

    text: str
    bundle: Bundle | None = None
    metric: str = ""
    value: float = math.nan
    labels: int = 0
    points: int = 0
    target: float | None = None
    needed: Needed | None = None
    budget: int = 1
    left: int | None = None
    seconds_per_label: float | None = None
    timed: int = 0
    next_gain: Estimate | None = None
    agreement: float | None = None
    advice: str = ""

    @property
    def stable(self) -> bool:
        """Whether the newest two models agree with each other at least as much as with the annotations.

        What they get wrong, they then get wrong alike, and more of the same images will hardly teach them better. Taken
        for granted where they were not compared.
        """
        return self.agreement is None or self.agreement >= min(self.value, STABLE)

    @property
    def reached(self) -> bool:
        """Whether the newest model is there already."""
        return self.target is not None and self.value >= self.target

    @property
    def reachable(self) -> bool:
        """Whether most curves get there."""
        return self.reached or (self.needed is not None and self.needed.reachable >= LIKELY)

    def more(self, labels: float) -> float:
        """Labels still missing."""
        return max(labels - self.labels, 0.0)

    def cycles(self, labels: float) -> float:
        """The same in cycles of the budget."""
        more = self.more(labels)
        return math.ceil(more / self.budget) if math.isfinite(more) else math.inf

    def hours(self, labels: float) -> float | None:
        """The same in hours of annotators; None where costs are not configured."""
        return None if self.seconds_per_label is None else self.more(labels) * self.seconds_per_label / 3600


@dataclass(frozen=True)
class Means:
    """What there is to get further with: labels a cycle, unlabelled images, and what a label costs.

    Attributes:
        objects_per_item: annotated objects of a mean image.
        measured: the middle of the seconds that people worked on an image, as the platform told of ``timed`` ones.
    """

    budget: int
    left: int | None = None
    objects_per_item: float = 0.0
    cost: CostOptions = field(default_factory=CostOptions)
    measured: float | None = None
    timed: int = 0

    @property
    def configured(self) -> bool:
        """Whether the configuration says what annotating costs."""
        return self.cost.seconds_per_item is not None or self.cost.seconds_per_object is not None

    @property
    def seconds(self) -> float | None:
        """Of annotating a mean image: as configured, else as measured; None where neither is known."""
        if not self.configured:
            return self.measured
        return (self.cost.seconds_per_item or 0.0) + (self.cost.seconds_per_object or 0.0) * self.objects_per_item


def means_of(workspace: Workspace, config: Config, left: int) -> Means:
    """What a workspace with so many unlabelled images has to get further with; a mean image is a newest one."""
    newest = workspace.store.newest_annotations(NEWEST)
    times = [row.seconds for row in newest if row.seconds]
    known = len(times) >= FEWEST_TIMES
    return Means(
        config.selection.budget,
        left,
        sum(object_counts(newest).values()) / max(len(newest), 1),
        config.cost,
        statistics.median(times) if known else None,
        len(times) if known else 0,
    )


def outlook(cycles: Sequence[CycleFacts], target: float | None, means: Means) -> Outlook:
    """The outlook after these cycles; where there are too few points, its text says what is needed.

    Raises:
        UsageError: the target is no metric.
    """
    try:
        return projected(cycles, target, means)
    except DataError as error:
        return Outlook(f"{error.what} {error.do}".strip())


def projected(cycles: Sequence[CycleFacts], target: float | None, means: Means) -> Outlook:
    """The same; raises DataError where there are too few points."""
    points = [row for row in curve(cycles) if row.headline and math.isfinite(row.headline[1])]
    values = [row.headline[1] for row in points if row.headline]
    bundle = fit([row.labels for row in points], values, [row.held_out for row in points])
    labels = points[-1].labels
    gain = bundle.gain(labels, labels + means.budget)
    found = Outlook(
        "",
        bundle,
        points[-1].headline[0] if points[-1].headline else "",
        values[-1],
        labels,
        len(points),
        target,
        None if target is None else labels_needed(bundle, target),
        means.budget,
        means.left,
        means.seconds,
        0 if means.configured else means.timed,
        gain,
        points[-1].agreement,
    )
    found = replace(found, advice=_advice(gain, found.stable))
    return replace(found, text=_in_words(found))


def _advice(gain: Estimate, stable: bool) -> str:
    if gain.high < WORTH:
        return STOP if stable else UNSURE
    return GO_ON if gain.low >= WORTH / 2 or gain.mean >= WORTH else UNSURE


def _in_words(found: Outlook) -> str:
    gain = found.next_gain
    assert gain is not None
    next_one = (
        f"The next {found.budget} labels are expected to bring {100 * gain.mean:+.1f} points of "
        f"{metric_name(found.metric)} [90 %: {100 * gain.low:+.1f} to {100 * gain.high:+.1f}]."
    )
    return " ".join(filter(None, (_to_target(found), next_one, _stability(found))))


def _stability(found: Outlook) -> str:
    if found.agreement is None:
        return ""
    measured = f"{metric_name(found.metric)} of one against the other"
    text = f"The last two models agree to {100 * found.agreement:.0f} % ({measured})"
    return f"{text}." if found.stable else f"{text}: predictions still change."


def _to_target(found: Outlook) -> str:
    if found.target is None or found.needed is None:
        return ""
    name = f"{100 * found.target:g} % {metric_name(found.metric)}"
    if found.reached:
        return f"{name} is reached: the newest model measures {100 * found.value:.1f} %."
    if not found.reachable:
        share = 100 * found.needed.reachable
        return f"{name} is not reachable at this rate: only {share:.0f} % of the curves that fit ever get there."
    more = f"{found.more(found.needed.median):.0f} more labels [90 %: {_span(found)}]"
    parts = [more, f"{found.cycles(found.needed.median):.0f} cycles of {found.budget}"]
    hours = found.hours(found.needed.median)
    if hours is not None:
        parts.append(f"{hours:.1f} hours{f' at the pace of {found.timed} images' if found.timed else ''}")
    text = f"{name} takes about {', '.join(parts)}"
    if found.left is not None and found.more(found.needed.median) > found.left:
        return f"{text}; only {found.left} unlabelled images are left."
    return f"{text}."


def _span(found: Outlook) -> str:
    assert found.needed is not None
    low, high = found.more(found.needed.low), found.more(found.needed.high)
    return f"{low:.0f} to {f'{high:.0f}' if math.isfinite(high) else 'never'}"
