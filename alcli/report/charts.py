"""The report's charts: drawn by matplotlib, as SVG that takes its ink from the page, light or dark."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from alcli.curves.comparison import headline_interval
from alcli.curves.forecast import Bundle
from alcli.curves.history import CycleFacts
from alcli.curves.metrics import metric_name
from alcli.report import ClassRow
from alcli.report.drawing import INK, STYLE, add_legend, make_axes, plain_name, to_svg
from alcli.review.retrospective import Retrospective

MAIN, SECOND, THIRD = "#2b7bd6", "#c2620a", "#1d8a5f"
"""Each at least 3 : 1 against white and against the dark ground."""
GREY = "#808890"
MOST_CLASSES = 20
TICKS = 12


def learning_curve(
    cycles: Sequence[CycleFacts],
    others: Sequence[CycleFacts],
    bundle: Bundle | None,
    target: float | None,
    reach: float,
) -> str:
    """The metric over annotated images with its interval, and how it may go on up to ``reach`` labels.

    Args:
        others: cycles of other settings, or with a collapsed model; they are grey.
    """
    points = [row for row in cycles if row.headline]
    labels = [row.labels for row in points]
    name = next(row.headline[0] for row in points if row.headline)
    with matplotlib.rc_context(STYLE):
        figure, axes = make_axes(5.6, 3.1)
        if bundle is not None and reach > labels[-1]:
            ahead = np.linspace(labels[-1], reach, 40)
            band = np.array([[e.mean, e.low, e.high] for e in bundle.band(ahead.tolist())]) * 100
            axes.plot(ahead, band[:, 0], "--", color=SECOND, label="forecast")
            axes.fill_between(ahead, band[:, 1], band[:, 2], color=SECOND, alpha=0.2, linewidth=0)
        if others:
            _measured(axes, others, "o", GREY, "not comparable")
        _measured(axes, points, "o-", MAIN, "measured [90 %]")
        if target is not None:
            axes.axhline(100 * target, color=THIRD, linestyle=":", linewidth=2, label="target")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=7, min_n_ticks=1))
        if bundle is None and len({row.labels for row in (*points, *others)}) == 1:
            axes.set(xlim=(0, 2 * labels[-1]), xticks=[0, labels[-1], 2 * labels[-1]])
        axes.set(xlabel="annotated images", ylabel=f"{plain_name(metric_name(name))} (%)", ylim=(0, None))
        add_legend(axes)
        return to_svg(figure, "curve")


def _measured(axes: Axes, cycles: Sequence[CycleFacts], style: str, color: str, label: str) -> None:
    """Points with their intervals."""
    table = np.array([[e.mean, e.low, e.high] for e in map(headline_interval, cycles)]) * 100
    reaches = np.abs(np.nan_to_num(table[:, 1:] - table[:, :1])).T
    axes.errorbar(
        [cycle.labels for cycle in cycles], table[:, 0], reaches, fmt=style, color=color, capsize=3, label=label
    )


def class_balance(rows: Sequence[ClassRow]) -> str:
    """The shares of each class: annotated, expected in the pool, among the images asked for."""
    rows = sorted(rows, key=lambda row: -row.labeled_share)
    shown = [*rows[: MOST_CLASSES // 2], *rows[MOST_CLASSES // 2 :][-MOST_CLASSES // 2 :]][::-1]
    places = np.arange(len(shown))
    kinds = (
        ("annotated", [row.labeled_share for row in shown], MAIN),
        ("in the pool, by the model", [row.pool_share for row in shown], THIRD),
        ("asked for, by the model", [row.asked_share for row in shown], SECOND),
    )
    known = [kind for kind in kinds if any(value is not None for value in kind[1])]
    with matplotlib.rc_context(STYLE):
        figure, axes = make_axes(7.2, 1.4 + 0.42 * len(shown))
        for turn, (name, values, color) in enumerate(known):
            heights = [100 * (value or 0) for value in values]
            axes.barh(places - (turn - (len(known) - 1) / 2) * 0.27, heights, 0.25, color=color, label=name)
        names = [plain_name(row.name) + ("  (rare)" if row.rare else "") for row in shown]
        axes.set_yticks(places, names)
        axes.set(xlabel="share of objects (%)")
        add_legend(axes)
        return to_svg(figure, "balance")


def ranking_health(cycles: Sequence[CycleFacts], retrospectives: Sequence[Retrospective]) -> str:
    """How well predicted losses ranked true ones, cycle by cycle: on held-out images, and on those annotated since."""
    held = [(row.number, row.correlation) for row in cycles if row.correlation is not None]
    since = [(row.cycle, row.correlation) for row in retrospectives if row.correlation is not None]
    with matplotlib.rc_context(STYLE):
        figure, axes = make_axes(7.2, 3.0)
        for points, color, style, name in (
            (since, MAIN, "o-", "images annotated since"),
            (held, SECOND, "s--", "held-out images"),
        ):
            if points:
                axes.plot(*zip(*points, strict=True), style, color=color, label=name)
        axes.axhline(0, color=INK, linewidth=1, alpha=0.6)
        axes.set(xlabel="cycle", ylabel="rank correlation", ylim=(-1.05, 1.05))
        numbers = sorted({number for number, _ in (*held, *since)})
        if len(numbers) <= TICKS:
            axes.set_xticks(numbers)
        else:
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        add_legend(axes)
        return to_svg(figure, "health")
