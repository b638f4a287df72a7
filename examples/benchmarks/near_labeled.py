"""Does a strategy go back to what is labeled already? Of a simulation's picks, how many lie close to a labeled image.

For each strategy and cycle: the share of picks whose nearest labeled image is nearer than the median distance of the
pool's images to their nearest neighbor. Random order is the measure: a strategy above it asks for the same again.

    alcli simulate -w W --frozen --start 60 --budget 60 --cycles 5 --seeds 5 --strategies auto,facility-location
    python examples/benchmarks/near_labeled.py W/simulations/0001 W/cache/features/KEY
"""

from __future__ import annotations

import argparse
import json
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from alcli.simulation.dense_maps import DenseMaps
from alcli.simulation.plan import Plan
from alcli.vectors.coverage import unit_rows

RUN = re.compile(r"(?P<arm>.+)-seed(?P<seed>\d+)\.json")


def shares(simulation: Path, embeddings: Mapping[str, np.ndarray]) -> dict[str, list[list[float]]]:
    """Strategy → per complete run, the share of close picks in each cycle, in percent."""
    runs = sorted((simulation / "runs").glob("*.json"))
    points = {run: json.loads(run.read_text()) for run in runs}
    plan = json.loads((simulation / "plan.json").read_text())
    pool = list(embeddings)[: plan["pool"]]  # the test images follow
    rows = dict(zip(pool, unit_rows(np.stack([embeddings[item_id] for item_id in pool])), strict=True))
    limit = median_distance(np.stack(list(rows.values())))
    result: dict[str, list[list[float]]] = defaultdict(list)
    for run in runs:
        match = RUN.fullmatch(run.name)
        if match is None or len(points[run]) <= plan["cycles"]:
            continue
        sizes = Plan(plan["start"], plan["budget"], plan["cycles"], True)
        labeled = sizes.start_set(pool, int(match["seed"]))
        result[match["arm"]].append([])
        for point in points[run][:-1]:
            near = distances(stack(rows, point["asked"]), stack(rows, labeled)).min(axis=1) < limit
            result[match["arm"]][-1].append(100 * float(near.mean()))
            labeled += point["asked"]
    return result


def stack(rows: Mapping[str, np.ndarray], item_ids: Sequence[str]) -> np.ndarray:
    """(k, d) rows of these items."""
    return np.stack([rows[item_id] for item_id in item_ids])


def distances(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(n, m) Euclidean distances of rows of length 1."""
    return np.sqrt(np.maximum(2 - 2 * first @ second.T, 0))


def median_distance(rows: np.ndarray) -> float:
    """The median over rows of the distance to the nearest other row."""
    table = distances(rows, rows)
    np.fill_diagonal(table, np.inf)
    return float(np.median(table.min(axis=1)))


def main() -> None:
    """Print one line per strategy: the mean over runs, and its 95 % interval, for each cycle."""
    parser = argparse.ArgumentParser()
    parser.add_argument("simulation", type=Path)
    parser.add_argument("features", type=Path)
    given = parser.parse_args()
    for arm, runs in shares(given.simulation, DenseMaps(given.features).embeddings).items():
        table = np.array(runs)  # (runs, cycles)
        error = 1.96 * table.std(axis=0, ddof=1) / np.sqrt(len(table)) if len(table) > 1 else np.zeros(table.shape[1])
        cells = " ".join(f"{mean:5.1f} ± {half:.1f}" for mean, half in zip(table.mean(axis=0), error, strict=True))
        print(f"{arm:20} {len(table)} runs: {cells}")


if __name__ == "__main__":
    main()
