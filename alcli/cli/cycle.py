"""Run one whole cycle: pull, train, score, export, push."""

from __future__ import annotations

import functools
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from alcli.cli import _options as options
from alcli.cli._console import metrics_in_words
from alcli.cli._notices import Notice, notify

if TYPE_CHECKING:
    from alcli.cycle import CycleResult
    from alcli.system.run_log import Run
    from alcli.workspace import Workspace
    from alcli.workspace.records import Pushed, Scored, Training


@click.command()
@options.budget
@options.strategy
@options.validation
@options.allow_cold_start
@options.accept_worse
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
    from alcli.curves.correlation import correlation_in_words
    from alcli.cycle import run_cycle
    from alcli.workspace.records import Training

    if dry_run:
        with session.lock_workspace(wait):
            return _dry_run(session, accept_shrink)
    notice = Notice()
    with session.lock_workspace(wait, functools.partial(_record_end, session, notice, metrics_file)) as context:
        result = run_cycle(context, accept_shrink)
        notice.fill(result, describe(result))
        code = session.exit_code(result.problems, result.collapse)
        folder = str(context.workspace.cycle_folder(result.number)) if result.number else None
        pool = context.workspace.store.counts()
    document: dict[str, Any] = {
        "cycle": result.number,
        "nothing_new": result.nothing_new,
        "pool": pool,
        "steps": {step.step: step.summary.document() for step in result.steps},
        "problems": [{"name": refusal.name, "reason": refusal.reason} for refusal in result.problems],
        "folder": folder,
    }
    text = describe(result) if result.nothing_new else f"{describe(result)}\nRanked list: {folder}/priorities.csv"
    if "report" in document["steps"]:
        text += f"\nReport: {folder}/report.html"
    session.console.problems(result.problems)
    if training := result.summary(Training):
        session.console.detail(correlation_in_words(training.metrics, training.held_out))
    session.console.result(document, text)
    return code


def _record_end(
    session: options.Session, notice: Notice, metrics_file: Path | None, workspace: Workspace, run: Run
) -> AbstractContextManager[None]:
    """When the run ends, update the heartbeat and the metrics file, and tell those who asked for it."""
    from alcli.workspace.heartbeat import Heartbeat, record_end
    from alcli.workspace.prometheus import publish

    def tell(beat: Heartbeat) -> None:
        try:
            if metrics_file is not None:
                publish(workspace, metrics_file, beat)
        finally:
            notify(notice, workspace.configuration(session.overrides), workspace, session.console.say, beat)

    return record_end(workspace.root, run, tell)


def describe(result: CycleResult) -> str:
    """What a cycle did, in three sentences."""
    from alcli.workspace.records import Pushed, Scored, Training

    if result.nothing_new:
        queue = result.summary(Pushed)
        if queue is None or not queue.changes:
            return f"Nothing new since cycle {result.number}: nothing to do."
        was = f"Nothing new since cycle {result.number}, but its queue was deleted or changed: it is put back."
        return f"{was}\n{_queue_in_words(queue)}"

    training = result.summary(Training) or Training()
    scored, pushed = result.summary(Scored) or Scored(), result.summary(Pushed) or Pushed()
    first = _first_list(scored) if training.cold_start else _training_in_words(training, scored)
    return f"Cycle {result.number}: {first}.\n{_ranking_in_words(scored)}\n{_queue_in_words(pushed)}"


def _first_list(scored: Scored) -> str:
    """What the list of a cold start is."""
    from alcli.cycle.export import first_list_in_words

    order = first_list_in_words(scored)
    return f"nothing to train on yet, the list is {order}. Annotate its first images, then run alcli cycle again"


def _ranking_in_words(scored: Scored) -> str:
    from alcli.system.text import quantity

    if not scored.asked:
        return f"Ranked {quantity(scored.scored, 'image')}; there is nothing to annotate."
    by = f", model of cycle {scored.collapse.kept}" if scored.collapse else ""
    first = "the first is" if scored.asked == 1 else f"the first {scored.asked} are"
    rechecks = f"; {quantity(len(scored.rechecks), 'annotation')} to review" if scored.rechecks else ""
    return (
        f"Ranked {quantity(scored.scored, 'image')}; {first} to be annotated "
        f"(strategy: {scored.strategy}{by}){rechecks}."
    )


def _queue_in_words(pushed: Pushed) -> str:
    from alcli.system.text import quantity

    changes = {"new": pushed.new, "taken out": pushed.leaving, "moved": pushed.moved}
    named = ", ".join(f"{count} {change}" for change, count in changes.items() if count)
    return f"Queue: {quantity(pushed.queued, 'image')}; {named or 'unchanged'}."


def _training_in_words(training: Training, scored: Scored) -> str:
    from alcli.system.text import quantity
    from alcli.workspace.records import BUILTIN

    measured = scored.collapse.measurement if scored.collapse else scored.measurement
    metrics = metrics_in_words(measured.metrics or training.metrics, measured.interval)
    text = f"trained on {quantity(training.trained_on, 'image')}"
    if training.learner != BUILTIN:
        by = "" if training.learner == "predictions" else f" by the learner {training.learner}"
        text = f"predictions of {quantity(training.predicted, 'image')}{by}"
    if metrics:
        text += f" ({metrics} on {measured.images or training.held_out} held out)"
    if training.reused_from is not None:
        text += f"; the model of cycle {training.reused_from} is reused, because nothing it depends on has changed"
    return text


def _dry_run(session: options.Session, accept_shrink: bool) -> int:
    """Pull into a copy of the database, and say which cycle would run."""
    from alcli.cycle import preview_cycle
    from alcli.cycle.pull import pull

    with session.copy_workspace() as context:
        summary = pull(context, accept_shrink=accept_shrink).summary.document()
        due = preview_cycle(context)
    text = ", ".join(f"{value} {name.replace('_', ' ')}" for name, value in summary.items() if isinstance(value, int))
    verdict = f"Cycle {due[0]} would run: {due[1]}" if due else "No cycle would run: nothing is new"
    document = {"dry_run": True, "pull": summary, "would_run": due is not None, "cycle": due and due[0]}
    session.console.result(document, f"Pull: {text}.\n{verdict}. Nothing was changed.")
    return 0
