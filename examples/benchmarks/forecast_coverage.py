"""How often the 90 % interval of a forecast holds what it hides: the last third of every kept learning curve.

python examples/benchmarks/forecast_coverage.py
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from alcli.forecast import CONFIDENCE, fit

KEPT = Path(__file__).parent / "results" / "simulations"
NO_METRIC = ("arm", "seed", "cycle", "labels", "cost", "at_random")
GOAL = 0.8


def hidden(curve: pd.DataFrame, metric: str) -> list[tuple[bool, float, float]]:
    """(held, error, width) of each hidden point; the last third, but at least one, and at least two are shown."""
    labels, values = curve["labels"].to_numpy(float), curve[metric].to_numpy(float)
    shown = min(len(labels) - 1, max(2, len(labels) - len(labels) // 3))
    bands = fit(labels[:shown], values[:shown]).band(labels[shown:], measured=True)
    return [
        (band.low <= value <= band.high, band.mean - value, band.high - band.low)
        for band, value in zip(bands, values[shown:], strict=True)
    ]


def main() -> None:
    """Print the coverage of every set, of single runs and of the mean over runs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=KEPT)
    folder = parser.parse_args().folder
    everything = []
    for path in sorted(folder.glob("*/curves.csv")):
        curves = pd.read_csv(path)
        metric = next(name for name in curves.columns if name not in NO_METRIC)
        found = []
        for _, curve in curves.groupby(["arm", "seed"]):
            if len(curve) >= 3:
                found += hidden(curve.sort_values("cycle"), metric)
        if not found:
            continue
        held, errors, widths = map(np.array, zip(*found, strict=True))
        everything += found
        print(
            f"{path.parent.name:<22} {metric:<7} {len(held):>5} hidden points: {100 * held.mean():5.1f} % held, "
            f"mean error {100 * errors.mean():+5.1f}, mean width {100 * widths.mean():5.1f} points"
        )
    held = np.array([row[0] for row in everything])
    print(f"{'all':<30} {len(held):>5} hidden points: {100 * held.mean():5.1f} % within {100 * CONFIDENCE:.0f} % "
          f"intervals (goal ≥ {100 * GOAL:.0f})")  # fmt: skip


if __name__ == "__main__":
    main()
