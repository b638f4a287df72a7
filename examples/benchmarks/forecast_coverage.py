"""How often the 90 % interval of a forecast holds what it hides: the last third of every kept learning curve.

    python examples/benchmarks/forecast_coverage.py

Beside it, on the same points, what a bootstrap would have said: resampled points, the best of the same three laws by
least squares, and a resampled residual on top.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from alcli.curves.forecast import CONFIDENCE, LAWS, RATES, fit

KEPT = Path(__file__).parent / "results" / "simulations"
NO_METRIC = ("arm", "seed", "cycle", "labels", "cost", "at_random")
GOAL = 0.8
RESAMPLES = 300
Row = tuple[bool, float, float]


def hidden(curve: pd.DataFrame, metric: str) -> tuple[list[Row], list[Row]]:
    """(held, error, width) of each hidden point, by the forecast and by a bootstrap.

    The last third is hidden, but at least one point, and at least two are shown.
    """
    labels, values = curve["labels"].to_numpy(float), curve[metric].to_numpy(float)
    shown = min(len(labels) - 1, max(2, len(labels) - len(labels) // 3))
    bands = fit(labels[:shown], values[:shown]).band(labels[shown:], measured=True)
    spans = np.array([(band.low, band.mean, band.high) for band in bands])
    others = bootstrapped(labels[:shown], values[:shown], labels[shown:])
    return rows(spans, values[shown:]), rows(others, values[shown:])


def rows(spans: np.ndarray, values: np.ndarray) -> list[Row]:
    """Of (k, 3) low, middle, high and the (k,) values measured there."""
    return [
        (low <= value <= high, middle - value, high - low)
        for (low, middle, high), value in zip(spans.tolist(), values.tolist(), strict=True)
    ]


def bootstrapped(labels: np.ndarray, values: np.ndarray, ahead: np.ndarray) -> np.ndarray:
    """(k, 3) low, middle and high of resampled points' best curves, at k numbers of labels."""
    rng = np.random.default_rng(0)
    residuals = values - best(labels, values, labels, labels[0])
    heights = []
    for _ in range(RESAMPLES):
        drawn = rng.integers(0, len(labels), len(labels))
        if len(set(drawn.tolist())) > 1:
            curve = best(labels[drawn], values[drawn], ahead, labels[0])
            heights.append(curve + rng.choice(residuals, len(ahead)))
    return np.quantile(heights, [(1 - CONFIDENCE) / 2, 0.5, (1 + CONFIDENCE) / 2], axis=0).T


def best(labels: np.ndarray, values: np.ndarray, ahead: np.ndarray, first: float) -> np.ndarray:
    """The curve with the least squared error, at other numbers of labels; it ends at 1 at most and never falls."""
    found: tuple[float, np.ndarray] = (np.inf, np.full(len(ahead), values.mean()))
    for law in LAWS:
        for rate in RATES:
            shape, later = law(labels / first, rate), law(ahead / first, rate)
            spread = shape - shape.mean()
            slope = max(-(spread @ (values - values.mean())) / max(spread @ spread, 1e-12), 0.0)
            end = min(values.mean() + slope * shape.mean(), 1.0)
            error = float(((end - slope * shape - values) ** 2).sum())
            if error < found[0]:
                found = (error, end - slope * later)
    return found[1]


def told(found: list[Row]) -> str:
    """One method's line."""
    held, errors, widths = map(np.array, zip(*found, strict=True))
    return (
        f"{100 * held.mean():5.1f} % held, mean error {100 * errors.mean():+5.1f}, "
        f"mean width {100 * widths.mean():5.1f} points"
    )


def main() -> None:
    """Print the coverage of every set, of single runs and of the mean over runs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=KEPT)
    folder = parser.parse_args().folder
    everything: tuple[list[Row], list[Row]] = ([], [])
    for path in sorted(folder.glob("*/curves.csv")):
        curves = pd.read_csv(path)
        metric = next(name for name in curves.columns if name not in NO_METRIC)
        found: tuple[list[Row], list[Row]] = ([], [])
        for _, curve in curves.groupby(["arm", "seed"]):
            if len(curve) >= 3:
                for kept, new in zip(found, hidden(curve.sort_values("cycle"), metric), strict=True):
                    kept += new
        if not found[0]:
            continue
        for kept, new in zip(everything, found, strict=True):
            kept += new
        print(f"{path.parent.name:<22} {metric:<7} {len(found[0]):>5} hidden points: {told(found[0])}", flush=True)
        print(f"{'':<36} by a bootstrap: {told(found[1])}", flush=True)
    print(f"{'all':<30} {len(everything[0]):>5} hidden points: {told(everything[0])} (goal ≥ {100 * GOAL:.0f} %)")
    print(f"{'':<36} by a bootstrap: {told(everything[1])}")


if __name__ == "__main__":
    main()
