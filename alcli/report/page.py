"""From facts to one HTML file that needs nothing else: no request, and everything readable without its script."""

from __future__ import annotations

import base64
import csv
import io
from collections import Counter
from collections.abc import Sequence

from alcli.curves.classes import NAMES, metric_kinds, never_found
from alcli.curves.comparison import headline_interval
from alcli.curves.correlation import reliance_in_words
from alcli.curves.forecast import Bundle
from alcli.curves.history import apart, curve
from alcli.curves.outlook import Outlook
from alcli.report import Facts, charts, verdict
from alcli.report.frame import environment
from alcli.report.judgement import (
    against_random,
    judgement,
    model_in_words,
    stopping_in_words,
    weakest_class,
    weakness_in_words,
)
from alcli.selection.reasons import ON_BOX
from alcli.system.clock import local
from alcli.system.redaction import redact
from alcli.system.text import visible

MATRIX = 12
"""Classes, up to which a confusion matrix is shown."""
CONFUSED, CHOICES = 5, 60
"""Pairs of confused classes that are named, and classes to filter by."""


def page(facts: Facts, ahead: Outlook, target: float | None = None) -> str:
    """The whole file; every name is escaped, control characters are shown as such.

    Args:
        ahead: how the learning curve may go on. target: the metric to reach.
    """
    templates = environment("alcli.report")
    templates.filters["local"] = local
    points, others = curve(facts.cycles), apart(facts.cycles)
    text = templates.get_template("report.html").render(
        facts=facts,
        verdict=verdict.verdict(facts),
        judgement=judgement(facts, ahead),
        model=model_in_words(facts),
        against=_sentence(against_random(facts)),
        weakest=weakest_class(facts.classes),
        weakness=weakness_in_words(facts),
        missed=never_found(facts.classes),
        ranking=f"{verdict.ranking_in_words(facts.retrospectives)} {_reliance(facts)}".strip(),
        arms=verdict.arms_in_words(facts.retrospectives),
        outlook=ahead.text,
        stopping=stopping_in_words(facts, ahead, target),
        points=points,
        others=others,
        rows_of_curve=sorted([*points, *others], key=lambda row: row.number),
        tied=any(ON_BOX in row.reason for row in facts.cards),
        interval=headline_interval,
        pictures=_pictures(facts, ahead.bundle, target),
        kinds=metric_kinds(facts.classes),
        kind_names=NAMES,
        matrix=_matrix(facts),
        confused=_confused(facts),
        class_choices=_class_choices(facts),
        kind_choices=sorted({row.kind for row in facts.cards if row.kind}),
        list_file=_list_file(facts),
    )
    return redact(text)


def _pictures(facts: Facts, bundle: Bundle | None, target: float | None) -> dict[str, str]:
    """The charts as SVG; empty texts for those that have nothing to show."""
    points = curve(facts.cycles)
    reach = _reach(facts, bundle, target)
    return {
        "curve": charts.learning_curve(points, apart(facts.cycles), bundle, target, reach) if points else "",
        "balance": charts.class_balance(facts.balance) if facts.balance else "",
        "health": charts.ranking_health(facts.cycles, facts.retrospectives) if _has_health(facts) else "",
    }


def _reach(facts: Facts, bundle: Bundle | None, target: float | None) -> float:
    """How far the forecast is drawn: to the target, or twice the labels; never beyond what there is."""
    points = curve(facts.cycles)
    now = points[-1].labels if points else 0
    wanted = 2.0 * now
    if bundle is not None and target is not None:
        middle = float(bundle.labels_to_reach(target)[len(bundle.laws) // 2])
        wanted = max(wanted, min(1.2 * middle, 10 * now))
    return min(wanted, now + facts.ranked)


def _reliance(facts: Facts) -> str:
    return reliance_in_words(facts.cycles[-1].reliance) if facts.cycles else ""


def _has_health(facts: Facts) -> bool:
    correlations = [row.correlation for row in facts.retrospectives] + [row.correlation for row in facts.cycles]
    return any(value is not None for value in correlations)


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _matrix(facts: Facts) -> list[list[int]]:
    """(classes, classes) images by annotated and predicted class; empty with too many classes."""
    count = len(facts.classes)
    if not facts.confusions or count > MATRIX:
        return []
    table = [[0] * count for _ in range(count)]
    for true, guess, images in facts.confusions:
        table[true][guess] = images
    return table


def _confused(facts: Facts) -> list[tuple[str, str, int]]:
    """The most frequent confusions."""
    wrong = sorted((row for row in facts.confusions if row[0] != row[1]), key=lambda row: (-row[2], row))
    return [(facts.classes[true].name, facts.classes[guess].name, images) for true, guess, images in wrong[:CONFUSED]]


def _class_choices(facts: Facts) -> Sequence[str]:
    """The classes that the model sees on the images asked for, the most frequent first."""
    return [name for name, _ in Counter(name for row in facts.cards for name in row.classes).most_common(CHOICES)]


def _list_file(facts: Facts) -> str:
    """The list as a CSV file that the page itself holds."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["rank", "name", "reason"])
    writer.writerows([row.rank, visible(row.name, keep=""), visible(row.reason, keep="")] for row in facts.cards)
    return f"data:text/csv;charset=utf-8;base64,{base64.b64encode(stream.getvalue().encode()).decode('ascii')}"
