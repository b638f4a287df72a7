"""Run one whole cycle: pull, train, score, export, push."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from alcli.cli import _options as options
from alcli.cli._console import metrics_in_words

if TYPE_CHECKING:
    from alcli.cycle import CycleResult
    from alcli.workspace import Workspace
    from alcli.workspace.heartbeat import Heartbeat


@click.command()
@options.budget
@options.strategy
@options.validation
@options.accept_shrink
@options.wait
@click.option(
    "--metrics-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write metrics for Prometheus' textfile collector, also when the run fails.",
)
@options.dry_run
@options.shared
def command(
    session: options.Session, dry_run: bool, accept_shrink: bool, wait: float, metrics_file: Path | None
) -> int:
    """Run one whole labeling cycle: pull, train, score, export, push. This is the command to run from cron.

    An interrupted cycle resumes where it stopped. If nothing is new on the platform, no cycle is started.

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
        # Translated here as well, so that a full disk is recorded with its exit code.
        with (
            record_end(root, functools.partial(_publish, context.workspace, metrics_file)) as end,
            machine_errors(root),
        ):
            result = run_cycle(context, accept_shrink)
            code = session.exit_code(result.problems)
            end(code)
        folder = str(context.workspace.cycle_folder(result.number)) if result.number else None
        pool = context.workspace.store.pool().counts()
    document: dict[str, Any] = {
        "cycle": result.number,
        "nothing_new": result.nothing_new,
        "pool": pool,
        "steps": {step.step: dict(step.summary) for step in result.steps},
        "problems": [{"name": row.name, "reason": row.reason} for row in result.problems],
        "folder": folder,
    }
    text = describe(result) if result.nothing_new else f"{describe(result)}\nRanked list: {folder}/priorities.csv"
    if "report" in document["steps"]:
        text += f"\nReport: {folder}/report.html"
    session.console.problems(result.problems)
    session.console.result(document, text)
    return code


def _publish(workspace: Workspace, metrics_file: Path | None, beat: Heartbeat) -> None:
    from alcli.workspace.prometheus import publish

    if metrics_file is not None:
        publish(workspace, metrics_file, beat)


def describe(result: CycleResult) -> str:
    """What a cycle did, in two sentences."""
    if result.nothing_new:
        return f"Nothing new since cycle {result.number}: nothing to do."
    summaries = {step.step: step.summary for step in result.steps}
    train, score, push = (summaries[name] for name in ("train", "score", "push"))
    metrics = metrics_in_words(train.get("metrics", {}))
    learned = f"trained on {train['trained_on']} images" + (
        f" ({metrics} on {train['held_out']} held out)" if metrics else ""
    )
    if train.get("cold_start"):
        learned = "no annotation to learn from: cold start"
    if "reused_from" in train:
        learned += f", the model of cycle {train['reused_from']}: nothing in it would change"
    again = f", {len(score['rechecks'])} annotations to look at again" if score.get("rechecks") else ""
    return (
        f"Cycle {result.number}: {learned}.\n"
        f"Ranked {score['scored']} images by {score['strategy']}; {score['asked']} asked for{again}; "
        f"queue: {push['new']} new, {push['moved']} moved, {push['leaving']} left."
    )


def _dry_run(session: options.Session, context: Any, accept_shrink: bool) -> int:
    from alcli.cycle.pull import pull

    summary = dict(pull(context, dry_run=True, accept_shrink=accept_shrink).summary)
    text = ", ".join(f"{value} {name.replace('_', ' ')}" for name, value in summary.items())
    session.console.result(
        {"dry_run": True, "pull": summary}, f"The cycle would start with: {text}. Nothing was changed."
    )
    return 0
