"""One turn of the five steps; resumed where it stopped, and idle when there is nothing new."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

from alcli import plugins
from alcli.context import Context, StepResult, left_out
from alcli.errors import UsageError
from alcli.items import LABELED, UNLABELED, Refusal
from alcli.strategies import make_strategy
from alcli.system.clock import now
from alcli.system.files import atomic_write
from alcli.system.hashing import sha256_of_text

UNSHAPING: Any = {
    "train": {"workers", "checkpoint_every"},
    "score": {"workers"},
    "report": True,
    "cost": True,
}
"""Settings that change neither a weight nor the list."""


@dataclass(frozen=True)
class CycleResult:
    """How a cycle ended.

    Attributes:
        number: the cycle, None when nothing was new and there has never been one.
        nothing_new: the last cycle already stands on all that is there now.
        steps: in order, as far as they ran.
        untold: what an earlier run of this cycle could not use, and broke off before it could say so.
    """

    number: int | None
    nothing_new: bool
    steps: Sequence[StepResult]
    untold: Sequence[Refusal] = ()

    @property
    def problems(self) -> list[Refusal]:
        """What the steps could not use."""
        return [*self.untold, *(refusal for step in self.steps for refusal in step.problems)]


def run_cycle(context: Context, accept_shrink: bool = False) -> CycleResult:
    """Pull, train, score, export, push: what an earlier, interrupted run finished is not done again."""
    from alcli.cycle.pull import pull

    _check_names(context)
    pulled = pull(context, accept_shrink=accept_shrink)
    cycles = context.workspace.store.cycles()
    inputs = _inputs(context)
    if cycles and cycles[-1]["finished"] and cycles[-1]["inputs"] == inputs:
        number = int(cycles[-1]["number"])
        if _stands(context, number):
            return CycleResult(number, True, (pulled,))
        context.progress.say(f"Cycle {number}'s list is not there as it was made: making it again.")
    else:
        number = open_cycle(context)
    results = [pulled]
    for name, step in _steps():
        context.progress.detail(f"Cycle {number}: {name}")
        results.append(step(context, number))
    result = CycleResult(number, False, results)
    if cycles and cycles[-1]["finished"] is None:
        since = max((row["finished"] for row in cycles if row["finished"]), default="")
        result = replace(result, untold=_untold(context, since, {row.id for row in result.problems}))
        context.progress.note("untold", "left out by the run that broke off", **left_out(result.untold))
    # What could not be read now may be readable tomorrow: such a cycle is never the last word.
    passing = any(refusal.passing for refusal in result.problems)
    context.workspace.store.finish_cycle(number, "" if passing else inputs, now())
    # After the cycle's end: the list stands, whatever becomes of the page about it.
    return _with_report(context, result) if context.config.report.enabled else result


def _with_report(context: Context, result: CycleResult) -> CycleResult:
    # Here, so that only a cycle that wants a page pays for drawing.
    from alcli.report.gather import report

    return replace(result, steps=(*result.steps, report(context, result.number)))


def _untold(context: Context, since: str, told: Collection[str]) -> list[Refusal]:
    """Quarantined since the last finished cycle, and not among what this run tells anyway."""
    return [
        Refusal(row["item_id"], row["name"], row["reason"], row["version"])
        for row in context.workspace.store.quarantined()
        if row["since"] >= since and row["item_id"] not in told
    ]


def open_cycle(context: Context) -> int:
    """The number of the cycle that is open, or of a new one; raises UsageError before the first pull."""
    store = context.workspace.store
    if not store.pool().items:
        raise UsageError("Nothing has been pulled yet.", do="Run `alcli pull`, or the whole `alcli cycle`.")
    cycles = store.cycles()
    if cycles and cycles[-1]["finished"] is None:
        number = int(cycles[-1]["number"])
    else:
        number = int(cycles[-1]["number"]) + 1 if cycles else 1
        store.start_cycle(number, "", now())
    with atomic_write(context.workspace.cycle_folder(number) / "config.json") as stream:
        stream.write(json.dumps(context.config.complete().model_dump(mode="json"), indent=2) + "\n")
    return number


def _check_names(context: Context) -> None:
    """Raises UsageError for an unknown strategy or task before hours are spent, not after."""
    make_strategy(context.config.strategy.name)
    if context.config.task.name not in plugins.names("tasks"):
        plugins.load("tasks", context.config.task.name)


def _stands(context: Context, number: int) -> bool:
    """Whether the finished cycle's files are all there, and made with the configured strategy."""
    records = {name: context.workspace.step(number, name) for name in ("train", "score", "export")}
    for record in records.values():
        if record is None or context.workspace.done(number, record.step, record.inputs) is None:
            return False
    score, export = records["score"], records["export"]
    assert score is not None and export is not None
    made_with = score.summary.get("configured_strategy", score.summary["strategy"])
    strategy = made_with == context.config.strategy.name or score.summary["cold_start"]
    return bool(strategy) and export.inputs == sha256_of_text(str(score.sha256))


def _steps() -> list[tuple[str, Callable[[Context, int], StepResult]]]:
    # Here, so that only a cycle that does something pays for torch.
    from alcli.cycle.export import export
    from alcli.cycle.push import push
    from alcli.cycle.score import score
    from alcli.cycle.train import train

    return [("train", train), ("score", score), ("export", export), ("push", push)]


def _inputs(context: Context) -> str:
    """Changes when annotations, pool or configuration change; knows nothing of what alcli did."""
    pool = context.workspace.store.pool()
    labeled = [item.id for item in pool.items.values() if item.state == LABELED]
    annotations = context.workspace.store.annotations(sorted(labeled))
    unlabeled = sorted((item.id, item.version) for item in pool.items.values() if item.state == UNLABELED)
    return sha256_of_text(
        context.config.model_dump_json(exclude=UNSHAPING),
        *(part for row in annotations for part in (row.item_id, row.to_json())),
        *(part for pair in unlabeled for part in pair),
    )
