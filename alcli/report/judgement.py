"""The report's answers to a team lead: go on or stop, better than chance or not, which class is weak."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from alcli.curves.classes import LONGEST, NAMES, ClassNumbers, metric_kinds, never_found
from alcli.curves.collapse import NAMED, collapse_in_words, remedy_in_words
from alcli.curves.comparison import headline_interval
from alcli.curves.history import CycleFacts, apart, curve
from alcli.curves.metrics import metric_in_words, percent
from alcli.curves.outlook import GO_ON, STOP, WORTH, Outlook
from alcli.curves.recipe import differences
from alcli.report import Facts
from alcli.report.verdict import FEWEST, SURE, compare_arms
from alcli.system.text import quantity, shortened

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
    """How good the model is, and whether it has got better since the model before it, also one of other settings."""
    points = curve(facts.cycles)
    if not points or points[-1].headline is None:
        return ""
    name, value = points[-1].headline
    interval = headline_interval(points[-1])
    text = f"{metric_in_words(name, value)} [90 %: {100 * interval.low:.0f} to {100 * interval.high:.0f}]"
    if facts.cycles[-1].collapse:
        text += f" (cycle {points[-1].number})"
    before = _model_before(facts.cycles, points[-1])
    if before is None or before.headline is None:
        return text
    earlier = headline_interval(before)
    clear = interval.low > earlier.high or interval.high < earlier.low
    gain = 100 * (value - before.headline[1])
    text += f", {gain:+.1f} points since cycle {before.number}{'' if clear else ' (within the noise)'}"
    if changes := differences(before.settings, points[-1].settings):
        more = f" and {len(changes) - NAMED} more" if len(changes) > NAMED else ""
        text += f"; settings have changed: {', '.join(changes[:NAMED])}{more}"
    return text


def _model_before(cycles: Sequence[CycleFacts], newest: CycleFacts) -> CycleFacts | None:
    """The cycle of the last model before this one that ranked."""
    earlier = [cycle for cycle in (*curve(cycles), *apart(cycles)) if cycle.number < newest.number]
    return max((cycle for cycle in earlier if not cycle.collapse), key=lambda cycle: cycle.number, default=None)


def stopping_in_words(facts: Facts, ahead: Outlook, target: float | None) -> str:
    """When the page will say that it is time to stop; empty where it says so already, or names a target."""
    newest = facts.cycles[-1] if facts.cycles else None
    if not facts.ranked or ahead.advice == STOP or target is not None or (newest and newest.collapse):
        return ""
    return (
        f"When a whole list would bring less than {quantity(round(100 * WORTH), 'point')}, this page says Stop. "
        "For a number of images, name a target:"
    )


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
    if facts.controls:
        when = f"not known before cycle {facts.cycle + math.ceil((FEWEST - controls) / facts.controls)}"
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
    return f"{shortened(worst.name, LONGEST)}: {number}, {quantity(worst.images, 'annotated image')}."
