"""Plots of learning curves with intervals, as PNG and HTML."""

from __future__ import annotations

import io
import re
from pathlib import Path

import jinja2
import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from alcli.curves.comparison import compare, estimate
from alcli.simulation.plan import BASELINE
from alcli.simulation.results import Results, markdown, verdict
from alcli.system.files import SHARED, atomic_write

SHOWN_WIDTH, SHOWN_HEIGHT = 10.0, 4.2
COLORS = matplotlib.color_sequences["tab10"]


def draw(results: Results, title: str) -> Figure:
    """Plot the metric (left) and the paired gain over random (right) by labels; bands: 95 % intervals over runs."""
    figure = Figure(figsize=(SHOWN_WIDTH, SHOWN_HEIGHT), layout="constrained")
    left, right = figure.subplots(1, 2)
    curves = results.curves
    base = curves[curves["arm"] == BASELINE].pivot(index="seed", columns="cycle", values=results.metric).to_numpy()
    names = [arm.arm for arm in results.arms]
    for number, name in enumerate(names):
        points = curves[curves["arm"] == name]
        labels = points.groupby("cycle")["labels"].first().to_numpy()
        values = points.pivot(index="seed", columns="cycle", values=results.metric).to_numpy()  # (runs, cycles)
        color = "0.35" if name == BASELINE else COLORS[number % len(COLORS)]
        style = "--" if name == BASELINE else "-"
        _band(left, labels, [estimate(values[:, cycle]) for cycle in range(len(labels))], name, color, style)
        if name != BASELINE:
            gains = [compare(values[:, cycle], base[:, cycle]).difference for cycle in range(len(labels))]
            _band(right, labels, gains, name, color, style)
    right.axhline(0, color="0.35", linestyle="--", linewidth=1)
    left.set(xlabel="annotated images", ylabel=f"{results.metric} (%)")
    figure.suptitle(title)
    right.set(xlabel="annotated images", ylabel="points", title="gain over random, paired")
    left.legend(frameon=False, fontsize="small")
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
    return figure


def _band(axes: Axes, labels: np.ndarray, estimates: list, name: str, color: object, style: str) -> None:
    table = pd.DataFrame(estimates) * 100
    axes.plot(labels, table["mean"], style, color=color, label=name, linewidth=1.6, marker="o", markersize=3)
    axes.fill_between(labels, table["low"], table["high"], color=color, alpha=0.15, linewidth=0)


def write_pictures(folder: Path, results: Results, title: str) -> None:
    """Write ``curves.png`` and ``curves.html``, each self-contained."""
    # Fixed ids and no date, so that the same results give the same file.
    with matplotlib.rc_context({"svg.hashsalt": "alcli", "svg.fonttype": "none"}):
        figure = draw(results, title)
        png, svg = io.BytesIO(), io.StringIO()
        figure.savefig(png, format="png", dpi=150)
        figure.savefig(svg, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    with atomic_write(folder / "curves.png", "wb", SHARED) as stream:
        stream.write(png.getvalue())
    templates = jinja2.Environment(loader=jinja2.PackageLoader("alcli.simulation", "."), autoescape=True)
    picture = re.sub(r"^.*?(?=<svg)", "", svg.getvalue(), flags=re.DOTALL)
    page = templates.get_template("simulation.html").render(
        title=title, verdict=verdict(results), picture=picture, results=results, notes=_notes(results)
    )
    with atomic_write(folder / "curves.html", permissions=SHARED) as stream:
        stream.write(page)


def _notes(results: Results) -> list[str]:
    return [line for line in markdown(results).splitlines()[:2] if line]
