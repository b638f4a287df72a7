"""One cycle of five steps: pull, train, score, export, push; resumed where it stopped, idle when nothing is new."""

from __future__ import annotations

import contextlib
import itertools
import json
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from alcli import plugins
from alcli.annotations import passed_over_in_words
from alcli.context import Context, StepResult, describe_problems
from alcli.errors import UsageError
from alcli.items import UNLABELED, Refusal
from alcli.platforms import FileBased, QueueSharing
from alcli.strategies import make_strategy
from alcli.system.clock import local, now
from alcli.system.files import atomic_write
from alcli.system.hashing import sha256_of_text, sha256_of_texts
from alcli.workspace.measurements import Collapse
from alcli.workspace.records import Exported, Kind, Pulled, Scored, Summary, Training

WITHOUT_EFFECT: Any = {
    "train": {"workers", "checkpoint_every", "group_distance", "group_names"},
    "score": {"workers"},
    "report": True,
    "cost": True,
    "cache": True,
    "notify": True,
}
"""Settings that change neither the model nor the list."""


@dataclass(frozen=True)
class CycleResult:
    """How a cycle ended.

    Attributes:
        number: the cycle, None when nothing was new and there has never been one.
        nothing_new: the last cycle was made from exactly what is there now; at most its queue was put back.
        steps: in order, as far as they ran.
        unreported: what an earlier run of this cycle could not use, and broke off before it could say so.
    """

    number: int | None
    nothing_new: bool
    steps: Sequence[StepResult[Summary]]
    unreported: Sequence[Refusal] = ()

    def summary(self, kind: type[Kind]) -> Kind | None:
        """What one step says about itself; None when it did not run."""
        return next((step.summary for step in self.steps if isinstance(step.summary, kind)), None)

    @property
    def collapse(self) -> Collapse | None:
        """Why an earlier model made the list; None as a rule."""
        scored = self.summary(Scored)
        return scored.collapse if scored else None

    @property
    def problems(self) -> list[Refusal]:
        """What the steps could not use."""
        return [*self.unreported, *(refusal for step in self.steps for refusal in step.problems)]


def due_cycle(context: Context, inputs: str) -> tuple[int, str] | None:
    """The cycle that would run now and why; None if nothing is new.

    Args:
        inputs: of the pool, the annotations and the settings as they are now.
    """
    cycles = context.workspace.store.cycles()
    if not cycles:
        return 1, "it is the first one"
    last = cycles[-1]
    if last.finished is None:
        return last.number, "an interrupted run left it open"
    if last.inputs != inputs:
        return last.number + 1, "images, annotations or settings have changed"
    return None if _is_current(context, last.number) else (last.number, "its list is missing or changed")


def preview_cycle(context: Context) -> tuple[int, str] | None:
    """The cycle that would run after a pull and why, None if nothing is new; the context has pulled already."""
    from alcli.cycle.push import queue_differs

    _check_names(context)
    due = due_cycle(context, _inputs(context))
    last = max((record.number for record in context.workspace.store.cycles()), default=0)
    if due is None and queue_differs(context, last):
        return last, "its queue is not as it was left, and is put back"
    return due


def run_cycle(context: Context, accept_shrink: bool = False) -> CycleResult:
    """Pull, train, score, export, push; what an earlier, interrupted run finished is not done again."""
    from alcli.cycle.pull import pull

    _check_names(context)
    if isinstance(context.platform, QueueSharing):
        context.platform.check_queue()
    pulled = pull(context, accept_shrink=accept_shrink)
    if pulled.summary.annotations_read and pulled.summary.contents.passed_over:
        context.progress.say(f"Passed over: {passed_over_in_words(pulled.summary.contents.passed_over)}.")
    _check_pool(context, pulled.summary)
    cycles = context.workspace.store.cycles()
    inputs = _inputs(context)
    due = due_cycle(context, inputs)
    if due is None:
        return CycleResult(cycles[-1].number, True, (pulled, *_put_back_queue(context, cycles[-1].number)))
    number, _ = due
    if cycles and cycles[-1].finished and number == cycles[-1].number:
        context.progress.say(f"Cycle {number}'s list is missing or changed: making it again.")
    else:
        number = open_cycle(context)
    results: list[StepResult[Summary]] = [pulled]
    with _announced(context, number):
        for step in _steps():
            context.progress.detail(f"Cycle {number}: {step.__name__}")
            results.append(step(context, number))
    result = CycleResult(number, False, results)
    if cycles and cycles[-1].finished is None:
        # A time that lies ahead is of a wrong clock: better say a thing twice than never.
        since = max((time for record in cycles if (time := record.finished) and time <= now()), default="")
        result = replace(result, unreported=_find_unreported(context, since, {row.id for row in result.problems}))
        context.progress.note("untold", "left out by the run that broke off", **describe_problems(result.unreported))
    # What could not be read now may be readable tomorrow: such a cycle is never the last word.
    retry = any(refusal.transient for refusal in result.problems)
    context.workspace.store.finish_cycle(number, "" if retry else inputs, now())
    # After the cycle's end: the list is done, whatever becomes of the page about it.
    return _with_report(context, result) if context.config.report.enabled else result


@contextlib.contextmanager
def _announced(context: Context, number: int) -> Iterator[None]:
    """While a cycle runs, the page of the last one says so; after a kill, until the next run."""
    from alcli.report.publication import announce

    root = context.workspace.root
    announce(root, f"Cycle {number} has been running since {local(now())}; this page is about the one before.")
    try:
        yield
    finally:
        announce(root, "")


def _put_back_queue(context: Context, number: int) -> list[StepResult[Summary]]:
    """Push again if somebody has deleted or changed the queue since the last cycle; a queue in order is left alone."""
    from alcli.cycle.push import put_back, queue_differs

    return [put_back(context, number)] if queue_differs(context, number) else []


def _with_report(context: Context, result: CycleResult) -> CycleResult:
    # Here, so that only a cycle that wants a page pays for drawing.
    from alcli.report.gather import report

    return replace(result, steps=(*result.steps, report(context, result.number)))


def _find_unreported(context: Context, since: str, reported: Collection[str]) -> list[Refusal]:
    """Quarantined since the last finished cycle, and not among what this run reports anyway."""
    return [
        Refusal(entry.item_id, entry.name, entry.reason, entry.version)
        for entry in context.workspace.store.quarantine_entries()
        if entry.since >= since and entry.item_id not in reported
    ]


def open_cycle(context: Context) -> int:
    """The number of the cycle that is open, or of a new one; raises UsageError before the first pull."""
    store = context.workspace.store
    if not store.pool().items:
        raise UsageError("Nothing has been pulled yet.", do="Run `alcli pull`, or the whole `alcli cycle`.")
    cycles = store.cycles()
    if cycles and cycles[-1].finished is None:
        number = cycles[-1].number
    else:
        number = cycles[-1].number + 1 if cycles else 1
        store.start_cycle(number, "", now())
    with atomic_write(context.workspace.cycle_folder(number) / "config.json") as stream:
        stream.write(json.dumps(context.config.complete().model_dump(mode="json"), indent=2) + "\n")
    return number


def _check_pool(context: Context, pulled: Pulled) -> None:
    """Raise UsageError if listed images without objects empty the pool, and nobody has said what they mean.

    Only before the first list: later, an empty pool means that everything is annotated.
    """
    platform, empty = context.platform, pulled.contents.empty
    undecided = isinstance(platform, FileBased) and platform.empty_is_undecided
    if not empty or not undecided or context.workspace.store.counts()[UNLABELED]:
        return
    if any(record.summary.scored for record in context.workspace.all_steps(Scored)):
        return
    raise UsageError(
        f"All {pulled.labeled} images are listed as annotated, but {empty} of them hold no object, and no image is left"
        " to annotate.",
        kept="What was pulled is kept; the annotators' queue is unchanged.",
        do="If nobody has opened them yet: --set platform.empty=pool. If somebody has, and there is nothing in them:"
        " --set platform.empty=labeled",
    )


def _check_names(context: Context) -> None:
    """Raise UsageError for an unknown strategy or task before hours are spent, not after."""
    make_strategy(context.config.strategy.name)
    if context.config.task.name not in plugins.names("tasks"):
        plugins.load("tasks", context.config.task.name)


def _is_current(context: Context, number: int) -> bool:
    """Whether the finished cycle's files are all there, and made with the configured strategy."""
    from alcli.cycle.export import export_inputs

    workspace = context.workspace
    training, scored = workspace.intact_step(number, Training), workspace.intact_step(number, Scored)
    exported = workspace.intact_step(number, Exported)
    if training is None or scored is None or exported is None:
        return False
    same_strategy = scored.summary.configured_strategy == context.config.strategy.name
    return (same_strategy or scored.summary.cold_start) and exported.inputs == export_inputs(scored)


def _steps() -> list[Callable[[Context, int], StepResult[Summary]]]:
    # Here, so that only a cycle that does something pays for torch.
    from alcli.cycle.export import export
    from alcli.cycle.push import push
    from alcli.cycle.score import score
    from alcli.cycle.train import train

    return [train, score, export, push]


def _inputs(context: Context) -> str:
    """Changes when annotations, pool or configuration change; knows nothing of what alcli did."""
    store = context.workspace.store
    # A workspace that was moved is the same workspace.
    inside = json.dumps(f"{context.workspace.root.resolve()}/", ensure_ascii=False)[1:-1]
    return sha256_of_text(
        context.config.model_dump_json(exclude=WITHOUT_EFFECT).replace(inside, ""),
        context.config.options_of("learner").fingerprint(),
        *(part for label in store.labels_as_stored() for part in label),
        sha256_of_texts(itertools.chain.from_iterable(store.versions(UNLABELED))),
    )
