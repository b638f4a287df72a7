"""Plots of learning curves with intervals, as PNG and as a page."""

from __future__ import annotations

import io
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from alcli.curves.comparison import compare, estimate
from alcli.curves.metrics import metric_name
from alcli.report.drawing import STYLE, add_legend, make_axes, to_svg
from alcli.report.frame import environment
from alcli.simulation.plan import BASELINE
from alcli.simulation.results import SURE, Results, verdict
from alcli.simulation.tables import notes, tables
from alcli.system.files import SHARED, atomic_write
from alcli.system.text import quantity

SHOWN_WIDTH, SHOWN_HEIGHT = 10.0, 4.2
COLORS = matplotlib.color_sequences["tab10"]
GREY = "#808890"


def draw(results: Results, title: str) -> Figure:
    """Plot the metric (left) and the paired gain over random (right) by labels; bands: 95 % intervals over runs."""
    figure = Figure(figsize=(SHOWN_WIDTH, SHOWN_HEIGHT), layout="constrained")
    left, right = figure.subplots(1, 2)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
    figure.suptitle(title)
    right.set(title="gain over random, paired")
    _draw_metric(left, results)
    _draw_gains(right, results)
    left.legend(frameon=False, fontsize="small")
    return figure


def _draw_metric(axes: Axes, results: Results) -> None:
    curves = results.curves
    for number, arm in enumerate(results.arms):
        labels, values = _points(curves, arm.arm, results.metric)
        style = "--" if arm.arm == BASELINE else "-"
        estimates = [estimate(values[:, cycle]) for cycle in range(len(labels))]
        _band(axes, labels, estimates, arm.arm, _color(number, arm.arm), style)
    axes.set(xlabel="annotated images", ylabel=f"{metric_name(results.metric)} (%)")


def _draw_gains(axes: Axes, results: Results) -> None:
    curves = results.curves
    _, base = _points(curves, BASELINE, results.metric)
    for number, arm in enumerate(results.arms):
        if arm.arm != BASELINE:
            labels, values = _points(curves, arm.arm, results.metric)
            gains = [compare(values[:, cycle], base[:, cycle]).difference for cycle in range(len(labels))]
            _band(axes, labels, gains, arm.arm, _color(number, arm.arm), "-")
    axes.axhline(0, color=GREY, linestyle="--", linewidth=1)
    axes.set(xlabel="annotated images", ylabel="points")


def _points(curves: pd.DataFrame, name: str, metric: str) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of labels (cycles,), and the metric (runs, cycles)."""
    points = curves[curves["arm"] == name]
    labels = points.groupby("cycle")["labels"].first().to_numpy()
    return labels, points.pivot(index="seed", columns="cycle", values=metric).to_numpy()


def _color(number: int, name: str) -> object:
    return GREY if name == BASELINE else COLORS[number % len(COLORS)]


def _band(axes: Axes, labels: np.ndarray, estimates: list, name: str, color: object, style: str) -> None:
    table = pd.DataFrame(estimates) * 100
    axes.plot(labels, table["mean"], style, color=color, label=name, linewidth=1.6, marker="o", markersize=3)
    axes.fill_between(labels, table["low"], table["high"], color=color, alpha=0.15, linewidth=0)


def write_pictures(folder: Path, results: Results, title: str) -> None:
    """Write ``curves.png`` and ``curves.html``, each self-contained."""
    # Fixed ids and no date, so that the same results give the same file.
    with matplotlib.rc_context({"svg.hashsalt": "alcli"}):
        png = io.BytesIO()
        draw(results, title).savefig(png, format="png", dpi=150)
    with atomic_write(folder / "curves.png", "wb", SHARED) as stream:
        stream.write(png.getvalue())
    with atomic_write(folder / "curves.html", permissions=SHARED) as stream:
        stream.write(_page(results, title))


def _page(results: Results, title: str) -> str:
    charts = {}
    for name, paint in (("metric", _draw_metric), ("gains", _draw_gains)):
        with matplotlib.rc_context(STYLE):
            figure, axes = make_axes(5.6, 3.6)
            paint(axes, results)
            add_legend(axes)
            charts[name] = to_svg(figure, name)
    better, worse = (
        any(arm.gain.p < SURE and sign * arm.gain.difference.mean > 0 for arm in results.others) for sign in (1, -1)
    )
    word, tone = ("Better than random", "go") if better else ("Worse than random", "stop") if worse else NO_DIFFERENCE
    return (
        environment("alcli.simulation")
        .get_template("simulation.html")
        .render(
            title=title,
            word=word,
            tone=tone,
            verdict=verdict(results),
            charts=charts,
            tables=tables(results),
            notes=notes(results),
            runs=quantity(results.runs, "run"),
        )
    )


NO_DIFFERENCE = ("No difference shown", "wait")
