"""The report's first sentences: what to do next, and whether it is working."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from alcli.curves.correlation import rank_correlation_interval
from alcli.report import Facts
from alcli.review.retrospective import Retrospective
from alcli.system.text import quantity

SURE = 0.05
FEWEST = 5
"""Images in each arm, below which nothing is said about them."""


def verdict(facts: Facts) -> str:
    """One sentence for the head of the page."""
    rechecks = f"look at {quantity(facts.again, 'annotation')} again" if facts.again else ""
    if not facts.ranked:
        return f"Every usable image is annotated: {rechecks or 'there is nothing left to annotate'}."
    again = f" and {rechecks}" if rechecks else ""
    chosen = f": without any annotation yet, they were chosen as {facts.cold_start}" if facts.cold_start else ""
    return f"Annotate these {facts.asked} of {quantity(facts.ranked, 'image')} next{again}{chosen}."


def ranking_in_words(retrospectives: Sequence[Retrospective]) -> str:
    """How far predicted losses can be believed, from the images that nobody had trained on."""
    known = [(cycle, cycle.correlation) for cycle in retrospectives if cycle.correlation is not None]
    if not known:
        return (
            "Not known yet: at least three images must be annotated after a cycle has ranked them. "
            "Annotate some of the list and run the next cycle."
        )
    last, correlation = known[-1]
    low, high = rank_correlation_interval(correlation, last.count)
    measured = f"{correlation:+.2f} [{low:+.2f}, {high:+.2f}]"
    text = f"Cycle {last.cycle}: {measured} on {last.count} images annotated since. "
    if low > 0:
        return text + "The predicted loss ranks images better than chance here."
    if high < 0:
        return text + "The predicted loss ranks images worse than chance here: do not rank by it."
    return text + "Whether the predicted loss ranks images better than chance cannot be said from so few."


@dataclass(frozen=True)
class Arms:
    """How hard what the strategy chose was for the model, in relation to what chance chose.

    Attributes:
        ratio: of the mean losses. p: of the Mann–Whitney test. chosen, control: numbers of images.
    """

    ratio: float
    p: float
    chosen: int
    control: int


def compare_arms(retrospectives: Sequence[Retrospective]) -> Arms | None:
    """Compare the losses of both; None with too few images that chance chose."""
    pairs = [(row.chosen, row.control) for row in retrospectives if row.chosen and row.control]
    if sum(len(losses) for _, losses in pairs) < FEWEST:
        return None
    # Losses of different cycles come from different models: each is put in relation to its own cycle's middle.
    ours: list[float] = []
    theirs: list[float] = []
    for chosen, chance in pairs:
        middle = float(np.median([*chosen, *chance])) or 1.0
        ours += [loss / middle for loss in chosen]
        theirs += [loss / middle for loss in chance]
    ratio = float(np.mean(ours)) / max(float(np.mean(theirs)), 1e-9)
    return Arms(ratio, float(stats.mannwhitneyu(ours, theirs).pvalue), len(ours), len(theirs))


def arms_in_words(retrospectives: Sequence[Retrospective]) -> str:
    """Whether what the strategy asked for was harder for the model than what chance asked for; empty if unknown."""
    arms = compare_arms(retrospectives)
    if arms is None:
        return ""
    counts = f"{arms.chosen} chosen images was {arms.ratio:.2f} times that on {arms.control} random ones"
    text = f"The model's loss on the {counts}"
    if arms.p >= SURE:
        return f"{text}; that may be chance (p = {arms.p:.2f}, Mann–Whitney)."
    side = "harder" if arms.ratio > 1 else "easier"
    sure = f"p = {arms.p:.3f}" if arms.p >= 0.001 else "p < 0.001"
    return f"{text} ({sure}, Mann–Whitney): the strategy finds images that are {side} for the model than chance."
