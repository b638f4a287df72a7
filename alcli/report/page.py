"""From facts to one HTML file that needs nothing else: no script, no request."""

from __future__ import annotations

import jinja2

from alcli.curves.comparison import headline_interval
from alcli.curves.forecast import Bundle
from alcli.curves.history import curve
from alcli.curves.metrics import metric_name, reliance_in_words
from alcli.report import Facts, charts, verdict
from alcli.selection.reasons import ON_BOX
from alcli.system.redaction import redact
from alcli.system.text import visible


def page(facts: Facts, bundle: Bundle | None = None, target: float | None = None, outlook: str = "") -> str:
    """The whole file; every name is escaped, control characters are shown as such.

    Args:
        bundle: how the learning curve may go on. target: the metric to reach. outlook: what both mean, in words.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("alcli.report", "."), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["shown"] = lambda text: visible(str(text), keep="")
    environment.filters["metric"] = metric_name
    points = curve(facts.cycles)
    pictures = {
        "curve": charts.learning_curve(points, bundle, target, _reach(facts, bundle, target)) if points else "",
        "balance": charts.class_balance(facts.balance) if facts.balance else "",
        "health": charts.ranking_health(facts.cycles, facts.retrospectives) if _has_health(facts) else "",
    }
    text = environment.get_template("report.html").render(
        facts=facts,
        verdict=verdict.verdict(facts),
        ranking=f"{verdict.ranking_in_words(facts.retrospectives)} {_reliance(facts)}".strip(),
        arms=verdict.arms_in_words(facts.retrospectives),
        outlook=outlook,
        points=points,
        tied=any(ON_BOX in row.reason for row in facts.cards),
        interval=headline_interval,
        pictures=pictures,
    )
    return redact(text)


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
