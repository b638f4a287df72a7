"""Replay your labels: does a strategy beat random, and how surely?"""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

import click

from alcli.cli import _options as options

if TYPE_CHECKING:
    from alcli.simulation.replay import Simulation
    from alcli.simulation.results import Results


@click.command()
@click.option(
    "--strategies",
    multiple=True,
    default=("auto,margin,learned-loss",),
    show_default=True,
    help="Comma-separated; random always takes part. NAME@plain: the loss head does not shape the network.",
)
@click.option("--seeds", type=click.IntRange(1), default=5, show_default=True, help="Paired runs of every strategy.")
@click.option("--cycles", type=click.IntRange(1), default=5, show_default=True, help="How often images are asked for.")
@click.option("--start", type=click.IntRange(1), help="Images annotated before; default: a tenth of the pool.")
@click.option("--budget", type=click.IntRange(1), help="Images asked for per cycle; default: a tenth of the pool.")
@click.option(
    "--test",
    default="0.3",
    show_default=True,
    help="To test on: a share, a folder of the project, or a file of names.",
)
@click.option("--frozen", is_flag=True, help="Classification: pretrained features once, then a linear head; seconds.")
@click.option(
    "--head-c",
    type=click.FloatRange(0, min_open=True),
    default=1.0,
    show_default=True,
    help="With --frozen: inverse strength of the head's regularisation.",
)
@click.option("--metric", help="Which of the task's metrics is compared (ap50, pck, …); default: the first.")
@click.option("--jobs", type=click.IntRange(1), help="Runs side by side; default: one per core.")
@options.shared
def command(
    session: options.Session,
    strategies: tuple[str, ...],
    seeds: int,
    cycles: int,
    start: int | None,
    budget: int | None,
    test: str,
    frozen: bool,
    head_c: float,
    metric: str | None,
    jobs: int | None,
) -> int:
    """Replay active learning on the labels of this workspace and say which strategy beats random.

    Every strategy starts from the same images and the same weights, trains by the same recipe, and is measured on the
    same test images. An interrupted simulation goes on where it stopped; what has run once is not run again.

    \b
    Examples:
      alcli simulate -w W --strategies margin,core-set --seeds 5
      alcli simulate -w W --frozen --seeds 30 --start 50 --budget 100 --cycles 6
    """
    from alcli.simulation import replay as simulate
    from alcli.simulation.plan import arms_of
    from alcli.workspace.database import machine_errors

    request = simulate.Request(arms_of(strategies), seeds, cycles, start, budget, test, frozen, head_c, jobs, metric)
    with session.writing() as context:
        planned = simulate.plan(context, request)
        code = session.exit_code(planned.problems)
    with machine_errors(planned.folder):
        results = simulate.run(planned, session.console)
    session.console.problems(planned.problems)
    session.console.result(_document(planned, results), _text(planned, results))
    return code


def _text(planned: Simulation, results: Results) -> str:
    from alcli.simulation.results import markdown, verdict

    files = f"{planned.folder}/curves.html, curves.png, curves.csv, table.md"
    return f"{markdown(results)}\n{verdict(results)}\n\nThe curves: {files}"


def _document(planned: Simulation, results: Results) -> dict[str, Any]:
    from alcli.simulation.results import verdict

    return {
        "folder": str(planned.folder),
        "verdict": verdict(results),
        "metric": results.metric,
        "unit": results.unit,
        "runs": results.runs,
        "targets": list(results.targets),
        "plan": planned.plan.settings(),
        "arms": [_finite(dataclasses.asdict(row)) for row in results.arms],
        "points": results.curves.to_dict(orient="records"),
        "problems": [{"name": row.name, "reason": row.reason} for row in planned.problems],
    }


def _finite(value: Any) -> Any:
    """JSON knows neither NaN nor infinity: null."""
    if isinstance(value, dict):
        return {key: _finite(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
