"""Charts for pages: drawn by matplotlib, as SVG that takes its ink from the page, light or dark."""

from __future__ import annotations

import io
import re
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from alcli.system.text import shortened, visible

INK = "#010203"
"""Stands for the page's own text color; nothing else in a chart has it."""
LONGEST_NAME = 28
STYLE: Any = {
    **dict.fromkeys(("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), INK),
    "grid.color": INK,
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 11,
}


def make_axes(width: float, height: float) -> tuple[Figure, Axes]:
    """An empty chart of this size in inches."""
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.2)
    axes.set_axisbelow(True)
    return figure, axes


def add_legend(axes: Axes) -> None:
    """Above the chart, where it covers nothing, in as few lines as fit into the figure."""
    figure = axes.get_figure(root=True)
    assert figure is not None  # the axes have just been made
    for columns in (3, 2, 1):
        legend = axes.legend(
            frameon=False, loc="lower left", bbox_to_anchor=(0, 1), ncols=columns, borderaxespad=0, columnspacing=1.2
        )
        figure.draw_without_rendering()
        if legend.get_window_extent().x1 <= figure.bbox.x1:
            return


def plain_name(name: str) -> str:
    """A name from outside, without what matplotlib would read as mathematics."""
    return shortened(visible(name, keep=""), LONGEST_NAME).replace("$", r"\$")


def to_svg(figure: Figure, name: str) -> str:
    """SVG for the inside of a page: ids of its own, and the page's ink."""
    stream = io.StringIO()
    # Fixed ids and no date: the same facts give the same page.
    with matplotlib.rc_context({"svg.hashsalt": name}):
        figure.savefig(
            stream, format="svg", transparent=True, metadata=dict.fromkeys(("Creator", "Date", "Format", "Type"))
        )
    picture = re.sub(r"^.*?(?=<svg)", "", stream.getvalue(), flags=re.DOTALL)
    picture = re.sub(r'(\bid="|href="#|url\(#)', rf"\1{name}-", picture)
    picture = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", picture))
    return picture.replace("<svg", '<svg aria-hidden="true" focusable="false"', 1).replace(INK, "currentColor")
