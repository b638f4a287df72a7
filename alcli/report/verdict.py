"""The report's first sentences: what to do next, and whether it is working."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import stats

from alcli.curves.comparison import share_interval
from alcli.curves.history import curve
from alcli.curves.metrics import metric_name
from alcli.report import Facts
from alcli.review.retrospective import Retrospective

SURE = 0.05
FEWEST = 5
"""Images in each arm, below which nothing is said about them."""


def verdict(facts: Facts) -> str:
    """One sentence for the head of the page."""
    again = f" and look at {facts.again} annotations again" if facts.again else ""
    if not facts.ranked:
        left = f"look at {facts.again} annotations again" if facts.again else "there is nothing left to ask for"
        return f"Every usable image is annotated: {left}."
    return f"Annotate these {facts.asked} of {facts.ranked} images next{again}{_standing(facts)}."


def _standing(facts: Facts) -> str:
    if facts.cold_start:
        return f": without any annotation yet, they were chosen as {facts.cold_start}"
    points = curve(facts.cycles)
    if not points or points[-1].headline is None:
        return "; how good the model is cannot be said, for no image is held out to measure it on"
    name, value = points[-1].headline
    interval = share_interval(value, points[-1].held_out)
    spans = f"[95 %: {100 * interval.low:.0f} to {100 * interval.high:.0f}]"
    text = f": the model is at {100 * value:.1f} % {metric_name(name)} {spans}"
    if len(points) > 1 and points[-2].headline:
        text += f", {100 * (value - points[-2].headline[1]):+.1f} points since cycle {points[-2].number}"
    return text


def ranking_in_words(retrospectives: Sequence[Retrospective]) -> str:
    """How far predicted losses can be believed, from the images that nobody had trained on."""
    known = [(cycle, cycle.correlation) for cycle in retrospectives if cycle.correlation is not None]
    if not known:
        return (
            "Not known yet: it takes at least three images that were annotated after a cycle had ranked them. "
            "Annotate some of the list and run the next cycle."
        )
    last, correlation = known[-1]
    # Half the width of a 95 % interval of Spearman's correlation (Bonett & Wright, Psychometrika 2000).
    reach = 1.96 * np.sqrt((1 + correlation**2 / 2) / max(last.count - 3, 1))
    low, high = np.tanh(np.arctanh(np.clip(correlation, -0.999, 0.999)) + np.array([-reach, reach]))
    measured = f"{correlation:+.2f} [{low:+.2f}, {high:+.2f}]"
    text = f"Cycle {last.cycle}: {measured} on {last.count} images annotated since. "
    if low > 0:
        return text + "The predicted loss ranks images better than chance here."
    if high < 0:
        return text + "The predicted loss ranks images worse than chance here: do not rank by it."
    return text + "Whether the predicted loss ranks images better than chance cannot be said from so few."


def arms_in_words(retrospectives: Sequence[Retrospective]) -> str:
    """Whether what the strategy asked for was harder for the model than what chance asked for."""
    pairs = [(row.chosen, row.control) for row in retrospectives if row.chosen and row.control]
    control = [loss for _, losses in pairs for loss in losses]
    if len(control) < FEWEST:
        return (
            f"Nothing can be said yet: {len(control)} images drawn at random have been annotated, at least {FEWEST} "
            "are needed. strategy.random_share sets how many of each list are."
        )
    # Losses of different cycles come from different models: each is put in relation to its own cycle's middle.
    ours: list[float] = []
    theirs: list[float] = []
    for chosen, chance in pairs:
        middle = float(np.median([*chosen, *chance])) or 1.0
        ours += [loss / middle for loss in chosen]
        theirs += [loss / middle for loss in chance]
    p = float(stats.mannwhitneyu(ours, theirs).pvalue)
    ratio = float(np.mean(ours)) / max(float(np.mean(theirs)), 1e-9)
    counts = f"{len(ours)} chosen images was {ratio:.2f} times that on {len(theirs)} random ones"
    text = f"The model's loss on the {counts}"
    if p >= SURE:
        return f"{text}; that may be chance (p = {p:.2f}, Mann–Whitney)."
    side = "harder" if ratio > 1 else "easier"
    sure = f"p = {p:.3f}" if p >= 0.001 else "p < 0.001"
    return f"{text} ({sure}, Mann–Whitney): the strategy finds images that are {side} for the model than chance."
