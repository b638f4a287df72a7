"""``alcli cycle``."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from alcli.cli import _options as options
from alcli.cli._console import measured

if TYPE_CHECKING:
    from alcli.cycle import CycleResult
    from alcli.workspace import Workspace
    from alcli.workspace.heartbeat import Heartbeat
    from alcli.workspace.records import Training


@click.command(short_help="Run one whole cycle; the line for cron.")
@options.budget
@options.strategy
@options.validation
@options.accept_shrink
@options.wait
@click.option(
    "--metrics-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write a file for Prometheus' textfile collector, also when the run fails.",
)
@options.dry_run
@options.shared
def command(
    session: options.Session, dry_run: bool, accept_shrink: bool, wait: float, metrics_file: Path | None
) -> int:
    """Run one whole labelling cycle: pull, train, score, export, push. This is the line for cron.

    An interrupted cycle goes on where it stopped. With nothing new on the platform it says so and ends.

    \b
    Examples:
      alcli cycle
      alcli cycle -w W --json
      alcli cycle -w W --wait 30m --metrics-file /var/lib/node_exporter/alcli.prom
      0 2 * * *  alcli cycle -w /srv/alcli/cells -q        (crontab: every night at two)
    """
    from alcli.cycle import run_cycle
    from alcli.workspace.database import machine_errors
    from alcli.workspace.heartbeat import record_end

    with session.writing(wait) as context:
        if dry_run:
            return _dry_run(session, context, accept_shrink)
        root = context.workspace.root
        # Inside as well: what the machine refuses is remembered with its exit code.
        with (
            record_end(root, functools.partial(_publish, context.workspace, metrics_file)) as end,
            machine_errors(root),
        ):
            result = run_cycle(context, accept_shrink)
            code = session.ending(result.problems)
            end(code)
        folder = str(context.workspace.cycle_folder(result.number)) if result.number else None
        pool = context.workspace.store.pool().counts()
    document: dict[str, Any] = {
        "cycle": result.number,
        "nothing_new": result.nothing_new,
        "pool": pool,
        "steps": {step.step: step.summary.document() for step in result.steps},
        "problems": [{"name": row.name, "reason": row.reason} for row in result.problems],
        "folder": folder,
    }
    text = describe(result) if result.nothing_new else f"{describe(result)}\nThe list: {folder}/priorities.csv"
    if "report" in document["steps"]:
        text += f"\nThe report: {folder}/report.html"
    session.console.problems(result.problems)
    session.console.result(document, text)
    return code


def _publish(workspace: Workspace, metrics_file: Path | None, beat: Heartbeat) -> None:
    from alcli.workspace.prometheus import publish

    if metrics_file is not None:
        publish(workspace, metrics_file, beat)


def describe(result: CycleResult) -> str:
    """What a cycle did, in two sentences for people."""
    if result.nothing_new:
        return f"Nothing new since cycle {result.number}: nothing to do."
    from alcli.workspace.records import Pushed, Scored, Training

    training = result.summary(Training) or Training()
    scored, pushed = result.summary(Scored) or Scored(), result.summary(Pushed) or Pushed()
    rechecks = f", {len(scored.rechecks)} annotations to look at again" if scored.rechecks else ""
    return (
        f"Cycle {result.number}: {_training_in_words(training)}.\n"
        f"Ranked {scored.scored} images by {scored.strategy}; {scored.asked} asked for{rechecks}; "
        f"queue: {pushed.new} new, {pushed.moved} moved, {pushed.leaving} left."
    )


def _training_in_words(training: Training) -> str:
    if training.cold_start:
        return "no annotation to learn from: cold start"
    metrics = measured(training.metrics)
    text = f"trained on {training.trained_on} images"
    if metrics:
        text += f" ({metrics} on {training.held_out} held out)"
    if training.reused_from is not None:
        text += f", the model of cycle {training.reused_from}: nothing in it would change"
    return text


def _dry_run(session: options.Session, context: Any, accept_shrink: bool) -> int:
    from alcli.cycle.pull import pull

    summary = pull(context, dry_run=True, accept_shrink=accept_shrink).summary.document()
    text = ", ".join(f"{value} {name.replace('_', ' ')}" for name, value in summary.items())
    session.console.result(
        {"dry_run": True, "pull": summary}, f"A cycle would start from: {text}. Nothing was changed."
    )
    return 0
