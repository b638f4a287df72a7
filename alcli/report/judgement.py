"""The report's answers to a team lead: go on or stop, better than chance or not, which class is weak."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from alcli.curves.classes import NAMES, ClassNumbers, metric_kinds, never_found
from alcli.curves.collapse import collapse_in_words, remedy_in_words
from alcli.curves.comparison import headline_interval
from alcli.curves.history import curve
from alcli.curves.metrics import metric_in_words, percent
from alcli.curves.outlook import GO_ON, STOP, Outlook
from alcli.report import Facts
from alcli.report.verdict import FEWEST, SURE, compare_arms
from alcli.system.text import quantity

KNOWN_FROM = 3
"""Points of the curve, below which nobody can say when to stop."""
SIMULATE = "“alcli simulate” measures the gain in points, on the labels that you have."
WEAK = 0.1
"""A main metric whose whole interval lies below this belongs to a model that knows next to nothing."""


@dataclass(frozen=True)
class Judgement:
    """Whether to go on: one word, what it means, and its tone (go, stop, warn or wait)."""

    word: str
    tone: str
    text: str


def judgement(facts: Facts, ahead: Outlook) -> Judgement:
    """The one coloured verdict."""
    newest = facts.cycles[-1] if facts.cycles else None
    if newest and newest.collapse:
        text = f"{collapse_in_words(newest.collapse)} {remedy_in_words(newest.collapse)}"
        return Judgement("Collapsed model", "stop", text)
    if not facts.ranked:
        return Judgement("Done", "go", "Every usable image is annotated.")
    points = len(curve(facts.cycles))
    if not ahead.advice or points < KNOWN_FROM:
        more = KNOWN_FROM - points
        when = "after the next cycle" if more <= 1 else f"after {more} more cycles"
        held = "" if points or facts.cold_start else " No image is held out yet to measure the model on."
        return Judgement("Not known yet", "wait", f"Go on annotating; when to stop can be said {when}.{held}")
    if ahead.advice == STOP:
        return Judgement("Stop", "stop", ahead.text)
    if ahead.advice == GO_ON:
        return Judgement("Go on", "go", ahead.text)
    return Judgement("Hardly worth it", "warn", ahead.text)


def model_in_words(facts: Facts) -> str:
    """How good the model is, and whether it has got better since the cycle before."""
    points = curve(facts.cycles)
    if not points or points[-1].headline is None:
        return ""
    name, value = points[-1].headline
    interval = headline_interval(points[-1])
    text = f"{metric_in_words(name, value)} [90 %: {100 * interval.low:.0f} to {100 * interval.high:.0f}]"
    if len(points) > 1 and points[-2].headline:
        before = headline_interval(points[-2])
        apart = interval.low > before.high or interval.high < before.low
        gain = 100 * (value - points[-2].headline[1])
        text += f", {gain:+.1f} points since cycle {points[-2].number}{'' if apart else ' (within the noise)'}"
    return text


def weakness_in_words(facts: Facts) -> str:
    """That the model is too weak for its reasons to mean much; empty for a better one."""
    points = curve(facts.cycles)
    if points and headline_interval(points[-1]).high < WEAK:
        return "The model is still too weak for its reasons to mean much."
    return ""


def against_random(facts: Facts) -> str:
    """The gain over random order: as simulated, else from the images that chance chose."""
    if facts.simulated:
        return facts.simulated
    if arms := compare_arms(facts.retrospectives):
        chance = "; that may be chance" if arms.p >= SURE else ""
        text = f"the chosen images are {arms.ratio:.1f} times as hard for the model as random ones{chance}."
        return f"{text} {SIMULATE}"
    controls = sum(len(row.control) for row in facts.retrospectives if row.chosen)
    when = f"not known before cycle {KNOWN_FROM}" if facts.cycle < KNOWN_FROM else "not known yet"
    are = "are" if controls > 1 else "is"
    return f"{when}: {controls or 'none'} of the randomly drawn images {are} annotated, {FEWEST} are needed. {SIMULATE}"


def weakest_class(rows: Sequence[ClassNumbers]) -> str:
    """Which classes are never found, otherwise the one that is found worst; empty where that is unknown."""
    if told := never_found(rows):
        return told
    kinds = metric_kinds(rows)
    measured = [row for row in rows if kinds and kinds[0] in row.metrics]
    if len(measured) < 2:
        return ""
    worst = min(measured, key=lambda row: row.metrics[kinds[0]])
    number = f"{NAMES[kinds[0]]} {percent(worst.metrics[kinds[0]])}"
    return f"{worst.name}: {number}, {quantity(worst.images, 'annotated image')}."
