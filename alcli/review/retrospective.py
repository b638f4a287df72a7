"""How each cycle's model did on what was annotated after it: items that it had not been trained on."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from scipy.stats import spearmanr

from alcli.artifacts.scores import arm_of
from alcli.context import Context
from alcli.errors import WorkspaceDamaged
from alcli.items import LABELED, RANDOM, RECHECK, Item
from alcli.system.hashing import sha256_of_text
from alcli.system.tables import read
from alcli.workspace import StepRecord

STEP = "hindsight"
MOST_CYCLES = 12
MOST_ITEMS = 500
CHOSEN, CHANCE, NEITHER = "chosen", "control", ""


@dataclass(frozen=True)
class Outcome:
    """One item annotated after a cycle: its losses under that cycle's model, and who had asked for it."""

    item_id: str
    true: float
    predicted: float
    arm: str


@dataclass(frozen=True)
class Hindsight:
    """What a cycle's model made of the items that were annotated after it: nobody had trained on them.

    Attributes:
        correlation: Spearman's, of predicted against true losses; None with fewer than three items, or all equal.
        chosen, control: the true losses of what the strategy and of what chance asked for.
    """

    cycle: int
    count: int
    correlation: float | None
    chosen: Sequence[float] = ()
    control: Sequence[float] = ()


def outcomes(context: Context) -> dict[int, list[Outcome]]:
    """Of the newest cycles those whose list has been annotated in part; computed once for each model and its items."""
    lists = _lists(context)
    labeled = {item.id: item for item in context.workspace.store.pool().in_state(LABELED)}
    found = {}
    for number, (training, arms, later) in lists.items():
        items = [labeled[item_id] for item_id in arms if item_id in labeled and item_id not in later]
        items = items[:: max(1, -(-len(items) // MOST_ITEMS))]
        rows = _known(context, number, training, items) if items else []
        if rows:
            found[number] = [Outcome(item_id, *losses, arms[item_id]) for item_id, losses in rows]
    return found


def summarised(found: Mapping[int, Sequence[Outcome]]) -> list[Hindsight]:
    """The rank correlation and the losses of both arms, cycle by cycle."""
    return [
        Hindsight(
            cycle,
            len(rows),
            _correlation(rows),
            [row.true for row in rows if row.arm == CHOSEN],
            [row.true for row in rows if row.arm == CHANCE],
        )
        for cycle, rows in sorted(found.items())
    ]


def _lists(context: Context) -> dict[int, tuple[StepRecord, dict[str, str], set[str]]]:
    """cycle → (its model's training, item id → arm, ids still unlabelled in the next list)."""
    workspace = context.workspace
    records = [workspace.step(row["number"], "score") for row in workspace.store.cycles()]
    scored = [record for record in records if record and record.file and record.file.is_file()][-MOST_CYCLES - 1 :]
    rows = {record.cycle: _arms(record.file) for record in scored if record.file}
    found = {}
    for place, record in enumerate(scored):
        training = workspace.step(int(record.summary["model_cycle"]), "train")
        later = set(rows[scored[place + 1].cycle]) if place + 1 < len(scored) else set()
        same = training is not None and record.summary.get("model_sha256", training.sha256) == training.sha256
        if training is not None and training.file is not None and same:
            # Trained once more since the list was made, a model may have learnt what it would be asked about.
            found[record.cycle] = (training, rows[record.cycle], later)
    return found


def _arms(path: Path) -> dict[str, str]:
    """Of what was not annotated yet when the list was made."""
    return {row["id"]: _arm(row) for row in read(path) if arm_of(row) != RECHECK}


def _arm(row: Mapping[str, str]) -> str:
    if row["asked"] != "yes":
        return NEITHER
    return CHANCE if arm_of(row) == RANDOM else CHOSEN


def _known(
    context: Context, cycle: int, training: StepRecord, items: Sequence[Item]
) -> list[tuple[str, tuple[float, float]]]:
    workspace = context.workspace
    versions = (part for item in items for part in (item.id, item.version))
    inputs = sha256_of_text(
        str(training.sha256), json.dumps(context.config.options_of("task").model_dump(mode="json")), *versions
    )
    done = workspace.done(cycle, STEP, inputs)
    if done is None:
        try:
            rows = _computed(context, training, items)
        except WorkspaceDamaged as error:
            context.progress.say(f"{error.what} What cycle {cycle} was worth stays unknown.")
            return []
        done = workspace.finish_step(cycle, STEP, inputs, None, {"rows": rows})
    return [(item_id, (true, predicted)) for item_id, true, predicted in done.summary["rows"]]


def _computed(context: Context, training: StepRecord, items: Sequence[Item]) -> list[tuple[str, float, float]]:
    from alcli.artifacts.examples import annotated
    from alcli.artifacts.trained import load_trained
    from alcli.engine import inference

    task, model, loss_head, _ = load_trained(context, training)
    examples = annotated(context, task, items)
    if not examples:
        return []
    return inference.item_losses(task, model, loss_head, examples, context.config.score)


def _correlation(rows: Sequence[Outcome]) -> float | None:
    true, predicted = [row.true for row in rows], [row.predicted for row in rows]
    if len(rows) < 3 or len(set(true)) < 2 or len(set(predicted)) < 2:
        return None
    return float(spearmanr(true, predicted).statistic)
