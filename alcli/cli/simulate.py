"""Replay your labels to test whether a strategy beats random."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import click

from alcli.cli import _options as options

if TYPE_CHECKING:
    from alcli.simulation.replay import Simulation
    from alcli.simulation.results import Results


ARMS, FROZEN_ARMS = "auto,margin,learned-loss", "auto,facility-location,foreground-random"


@click.command()
@click.option(
    "--strategies",
    multiple=True,
    help="Comma-separated; random is always included. Default: auto,margin,learned-loss; with --frozen "
    "auto,facility-location,foreground-random. NAME@plain: the loss head does not affect the network's weights.",
)
@click.option(
    "--seeds",
    type=click.IntRange(1),
    default=5,
    show_default=True,
    help="Runs of each strategy; run i starts alike for all of them.",
)
@click.option("--cycles", type=click.IntRange(1), default=5, show_default=True, help="Cycles per run.")
@click.option("--start", type=click.IntRange(1), help="Images annotated at the start. Default: a tenth of the pool.")
@click.option("--budget", type=click.IntRange(1), help="Images annotated per cycle. Default: a tenth of the pool.")
@click.option(
    "--test",
    default="0.3",
    show_default=True,
    help="Test images: a share, a folder of the project, or a file with one name per line.",
)
@click.option(
    "--frozen",
    is_flag=True,
    help="Train a small head on frozen pretrained features: seconds per training instead of minutes.",
)
@click.option(
    "--head-c",
    type=click.FloatRange(0, min_open=True),
    default=1.0,
    show_default=True,
    help="With --frozen, for classification: inverse regularization strength of the linear head.",
)
@click.option("--metric", help="The metric to compare (ap50, pck, …). Default: the first metric of the task.")
@click.option("--jobs", type=click.IntRange(1), help="Runs in parallel. Default: one per core.")
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
    """Replay active learning on the labels of this workspace, and test which strategies beat random.

    All strategies start with the same images and weights, are trained with the same settings, and are evaluated on the
    same test images. An interrupted simulation resumes where it stopped; finished runs are reused.

    \b
    Examples:
      alcli simulate -w W --strategies margin,core-set --seeds 5
      alcli simulate -w W --frozen --seeds 30 --start 50 --budget 100 --cycles 6
    """
    from alcli.simulation import replay
    from alcli.simulation.plan import arms_of
    from alcli.workspace.database import machine_errors

    arms = arms_of(strategies or (FROZEN_ARMS if frozen else ARMS,))
    request = replay.Request(arms, seeds, cycles, start, budget, test, frozen, head_c, jobs, metric)
    with session.lock_workspace() as context:
        simulation = replay.plan(context, request)
        code = session.exit_code(simulation.problems)
    with machine_errors(simulation.folder):
        results = replay.run(simulation, session.console)
    session.console.problems(simulation.problems)
    _show(session, simulation, results)
    return code


def _show(session: options.Session, simulation: Simulation, results: Results) -> None:
    """The verdict first, then the tables."""
    from alcli.simulation.results import verdict
    from alcli.simulation.tables import notes, tables

    session.console.result(_document(simulation, results), f"{verdict(results)}\n")
    for table in tables(results):
        session.console.table(table.title, table.header, table.rows)
        session.console.line(" ")
    for note in notes(results):
        session.console.line(note)
    session.console.line(f"Files: {simulation.folder}/curves.html, curves.png, curves.csv, table.md")


def _document(simulation: Simulation, results: Results) -> dict[str, Any]:
    import dataclasses

    from alcli.simulation.results import verdict

    return {
        "folder": str(simulation.folder),
        "verdict": verdict(results),
        "metric": results.metric,
        "unit": results.unit,
        "runs": results.runs,
        "targets": list(results.targets),
        "plan": simulation.plan.settings(),
        "arms": [_finite(dataclasses.asdict(arm)) for arm in results.arms],
        "points": results.curves.to_dict(orient="records"),
        "problems": [{"name": refusal.name, "reason": refusal.reason} for refusal in simulation.problems],
    }


def _finite(value: Any) -> Any:
    """Replace NaN and infinity, which JSON lacks, by null."""
    if isinstance(value, dict):
        return {key: _finite(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
