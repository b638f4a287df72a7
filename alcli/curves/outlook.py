"""How many labels a target takes, what the next cycle will gain, and whether to go on: numbers and text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from alcli.annotations import object_counts
from alcli.config import Config
from alcli.curves.estimate import Estimate
from alcli.curves.forecast import Bundle, Needed, fit, labels_needed
from alcli.curves.history import CycleFacts, apart, curve
from alcli.curves.metrics import metric_name, percent
from alcli.curves.pace import Pace, pace_of
from alcli.curves.recipe import differences
from alcli.errors import DataError
from alcli.system.text import quantity
from alcli.workspace import Workspace

GO_ON, UNSURE, STOP = "go on", "unsure", "stop"
WORTH = 0.01
"""Gain of the next cycle, in the metric's unit, below which annotating is hardly worthwhile."""
STABLE = 0.95
"""Agreement between two models that counts as stable for any metric."""
SETTLED = 0.8
"""Agreement below which nobody would call a model settled, even if it is a weak one and agrees with people no more."""
NEWEST = 500
"""Newest annotations that costs are estimated from."""
LIKELY = 0.5
"""Share of curves that must reach a target for it to count as reachable."""


@dataclass(frozen=True)
class Outlook:
    """The forecast of a learning curve, and advice.

    Attributes:
        bundle: None if there are too few points; ``text`` then says what is missing.
        metric, value, labels: of the newest point.
        pace: how long annotators work; None if nothing says it.
        needed: total labels to the target; None without a target. left: unlabeled images.
        next_gain: of the next budget. agreement: of the newest model's predictions with the previous one's, in [0, 1].
        advice: go on, unsure or stop; "" without a forecast.
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
    pace: Pace | None = None
    next_gain: Estimate | None = None
    agreement: float | None = None
    advice: str = ""

    @property
    def stable(self) -> bool:
        """Whether the newest two models agree with each other at least as much as with the annotations.

        They then make the same mistakes, and more such images will hardly help. True if they were not compared.
        """
        return self.agreement is None or self.agreement >= min(self.value, STABLE)

    @property
    def is_reached(self) -> bool:
        """Whether the newest model has reached the target."""
        return self.target is not None and self.value >= self.target

    @property
    def reachable(self) -> bool:
        """Whether most curves reach the target."""
        return self.is_reached or (self.needed is not None and self.needed.reachable >= LIKELY)

    def more(self, labels: float) -> float:
        """Labels in addition to the present ones."""
        return max(labels - self.labels, 0.0)

    def cycles(self, labels: float) -> float:
        """The additional labels in cycles."""
        more = self.more(labels)
        return math.ceil(more / self.budget) if math.isfinite(more) else math.inf

    def hours(self, labels: float) -> float | None:
        """The additional labels in hours of annotation; None if the seconds per label are unknown."""
        return None if self.seconds_per_label is None else self.more(labels) * self.seconds_per_label / 3600


@dataclass(frozen=True)
class Means:
    """The means to continue: labels per cycle, unlabeled images, and the cost of a label.

    Attributes:
        left: unlabeled images.
        objects_per_item: mean number of annotated objects per image.
        pace: how long annotators work on an image; None if nothing says it.
    """

    budget: int
    left: int | None = None
    objects_per_item: float = 0.0
    pace: Pace | None = None

    @property
    def seconds(self) -> float | None:
        """To annotate an average image; None if nothing says how long annotators work."""
        return self.pace.seconds(self.objects_per_item) if self.pace else None


def means_of(workspace: Workspace, config: Config, left: int) -> Means:
    """The means of a workspace with ``left`` unlabeled images; averages are over its newest annotations."""
    newest = workspace.store.newest_annotations(NEWEST)
    return Means(
        config.selection.budget_of(left),
        left,
        sum(object_counts(newest).values()) / max(len(newest), 1),
        pace_of(newest, config.cost, config.task.name),
    )


def outlook(cycles: Sequence[CycleFacts], target: float | None, means: Means) -> Outlook:
    """The outlook after these cycles; if there are too few points, its text says what is missing.

    Raises:
        UsageError: the target is outside (0, 1].
    """
    try:
        return forecast_outlook(cycles, target, means)
    except DataError:
        return Outlook(_missing_in_words(cycles))


def _missing_in_words(cycles: Sequence[CycleFacts]) -> str:
    """Why there is no forecast yet."""
    if left_out := _left_out(cycles):
        return f"A forecast comes after the next cycle; it is useful after four. {left_out}"
    if curve(cycles):
        return "A forecast comes after the next cycle; it is useful after four."
    if any(cycle.trained_on and not cycle.held_out for cycle in cycles):
        return "A forecast needs models that were evaluated: set train.validation above 0, such as 0.2."
    return "A forecast comes after two cycles with annotations; it is useful after four."


def forecast_outlook(cycles: Sequence[CycleFacts], target: float | None, means: Means) -> Outlook:
    """The outlook after these cycles; raises DataError if there are too few points."""
    points = [cycle for cycle in curve(cycles) if cycle.headline and math.isfinite(cycle.headline[1])]
    headlines = [cycle.headline for cycle in points if cycle.headline]
    values = [value for _, value in headlines]
    bundle = fit(
        [cycle.labels for cycle in points],
        values,
        [round(cycle.effective_images or cycle.held_out) for cycle in points],
    )
    newest = points[-1]
    gain = bundle.gain(newest.labels, newest.labels + means.budget)
    outlook = Outlook(
        text="",
        bundle=bundle,
        metric=headlines[-1][0],
        value=values[-1],
        labels=newest.labels,
        points=len(points),
        target=target,
        needed=None if target is None else labels_needed(bundle, target),
        budget=means.budget,
        left=means.left,
        seconds_per_label=means.seconds,
        pace=means.pace,
        next_gain=gain,
        agreement=newest.agreement,
    )
    sentences = (
        _target_in_words(outlook),
        _gain_in_words(outlook, gain),
        _agreement_in_words(outlook),
        _left_out(cycles),
    )
    return replace(outlook, advice=_advice(gain, outlook.stable), text=" ".join(filter(None, sentences)))


def _left_out(cycles: Sequence[CycleFacts]) -> str:
    """How many cycles do not count, and why; empty if all do."""
    return " ".join(filter(None, (_other_settings(cycles), _without_weights(cycles))))


def _other_settings(cycles: Sequence[CycleFacts]) -> str:
    """How many cycles lie on another curve: their models were trained with other settings, or collapsed."""
    others = apart(cycles)
    if not others:
        return ""
    newest = curve(cycles)[-1].settings
    collapsed = sum(not differences(cycle.settings, newest) for cycle in others)
    why = "a collapsed model" if collapsed == len(others) else "other settings"
    return f"{quantity(len(others), 'cycle')} with {why} {'does' if len(others) == 1 else 'do'} not count."


def _without_weights(cycles: Sequence[CycleFacts]) -> str:
    """How many cycles do not count because their metric may be biased."""
    measured = [cycle for cycle in cycles if cycle.headline and not cycle.reused]
    plain = sum(not cycle.method for cycle in measured)
    if not 0 < plain < len(measured):
        return ""
    verb = "was" if plain == 1 else "were"
    return f"{quantity(plain, 'cycle')} {verb} measured without weights, perhaps too low, and {verb} left out."


def _advice(gain: Estimate, stable: bool) -> str:
    if gain.high < WORTH:
        return STOP if stable else UNSURE
    return GO_ON if gain.low >= WORTH / 2 or gain.mean >= WORTH else UNSURE


def _gain_in_words(outlook: Outlook, gain: Estimate) -> str:
    return (
        f"The next {quantity(outlook.budget, 'label')} {'is' if outlook.budget == 1 else 'are'} expected to bring "
        f"{100 * gain.mean:+.1f} points of {metric_name(outlook.metric)} "
        f"[90 %: {100 * gain.low:+.1f} to {100 * gain.high:+.1f}]."
    )


def _agreement_in_words(outlook: Outlook) -> str:
    if outlook.agreement is None:
        return ""
    agreement = f"{100 * outlook.agreement:.0f} %"
    if outlook.stable and outlook.agreement < SETTLED:
        return f"The last two models agree with each other to {agreement}, as far as with the annotations."
    if outlook.stable:
        return f"The model has settled: its predictions agree with the last cycle's to {agreement}."
    return f"The model still changes its mind a lot: its predictions agree with the last cycle's to {agreement}."


def _target_in_words(outlook: Outlook) -> str:
    if outlook.target is None or outlook.needed is None:
        return ""
    needed, name = outlook.needed, f"{100 * outlook.target:g} % {metric_name(outlook.metric)}"
    if outlook.is_reached:
        return f"{name} is reached: the newest model measures {percent(outlook.value)}."
    if not outlook.reachable or not math.isfinite(needed.median):
        return f"{name} is unlikely on this course: fewer than half of the plausible curves reach it."
    more = quantity(round(outlook.more(needed.median)), "more label")
    low, high = outlook.more(needed.low), outlook.more(needed.high)
    cycles = quantity(round(outlook.cycles(needed.median)), "cycle")
    interval = f" [90 %: {low:.0f} to {high:.0f}]" if math.isfinite(high) else ""
    parts = [f"{more}{interval}", f"{cycles} of {outlook.budget}"]
    hours = outlook.hours(needed.median)
    if hours is not None:
        parts.append(f"{hours:.1f} hours{outlook.pace.in_short if outlook.pace else ''}")
    text = ", ".join(parts)
    text = f"{name} takes about {text}" if math.isfinite(high) else f"{name}: perhaps {text}; too early to be sure"
    if outlook.left is not None and outlook.more(needed.median) > outlook.left:
        left = quantity(outlook.left, "unlabeled image")
        return f"{text}; only {left} {'is' if outlook.left == 1 else 'are'} left."
    return f"{text}."
