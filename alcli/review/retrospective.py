"""How each cycle's model did on the items that were annotated after it, which it had not been trained on."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scipy.stats import spearmanr

from alcli.artifacts.predictor import ItemLoss, load_predictor
from alcli.artifacts.scores import ScoreRow, read_scores
from alcli.context import Context
from alcli.errors import WorkspaceDamaged
from alcli.items import LABELED, RANDOM, RECHECK, Item, fingerprint
from alcli.system.hashing import sha256_of_text
from alcli.vectors.rows import evenly_spaced
from alcli.workspace.records import Scored, StepRecord, Summary, Training

MOST_CYCLES = 12
MOST_ITEMS = 500
CHOSEN, CHANCE, NEITHER = "chosen", "control", ""
"""Who asked for an item: the strategy, chance, or nobody."""


@dataclass(frozen=True)
class Outcome:
    """An item annotated after a cycle: its losses under that cycle's model, and who had asked for it."""

    item_id: str
    true: float
    predicted: float
    chosen_by: str


@dataclass(frozen=True)
class Retrospective:
    """How a cycle's model did on the items that were annotated after it.

    Attributes:
        correlation: Spearman's, of predicted against true losses; None with fewer than three items, or all equal.
        chosen, control: the true losses of what the strategy asked for, and of what chance asked for.
    """

    cycle: int
    count: int
    correlation: float | None
    chosen: Sequence[float] = ()
    control: Sequence[float] = ()


@dataclass(frozen=True)
class LaterLosses(Summary):
    """The losses of a cycle's model on the items annotated after it, kept so that they are computed once."""

    step = "hindsight"
    rows: tuple[ItemLoss, ...] = ()


def outcomes(context: Context) -> dict[int, list[Outcome]]:
    """By cycle, the outcomes of the newest lists that have been annotated at least in part."""
    labeled = {item.id: item for item in context.workspace.store.pool().in_state(LABELED)}
    by_cycle = {}
    for scored_list in _lists(context):
        chosen_by = scored_list.chosen_by
        items = [labeled[item_id] for item_id in chosen_by if item_id in labeled]
        items = [item for item in items if item.id not in scored_list.still_unlabeled]
        sample = evenly_spaced(items, MOST_ITEMS)
        losses = _losses(context, scored_list.cycle, scored_list.training, sample) if sample else ()
        if losses:
            by_cycle[scored_list.cycle] = [
                Outcome(item_id, true, predicted, chosen_by[item_id]) for item_id, true, predicted in losses
            ]
    return by_cycle


def retrospectives(by_cycle: Mapping[int, Sequence[Outcome]]) -> list[Retrospective]:
    """Summarize outcomes cycle by cycle."""
    return [
        Retrospective(
            cycle,
            len(rows),
            _correlation(rows),
            [row.true for row in rows if row.chosen_by == CHOSEN],
            [row.true for row in rows if row.chosen_by == CHANCE],
        )
        for cycle, rows in sorted(by_cycle.items())
    ]


@dataclass(frozen=True)
class _ScoredList:
    """One cycle's list: the training of its model, who asked for each item, and what the next list still held."""

    cycle: int
    training: StepRecord[Training]
    chosen_by: Mapping[str, str]
    still_unlabeled: frozenset[str]


def _lists(context: Context) -> list[_ScoredList]:
    """The newest lists whose models are still the ones that made them."""
    workspace = context.workspace
    records = [record for record in workspace.all_steps(Scored) if record.file and record.file.is_file()]
    records = records[-MOST_CYCLES - 1 :]
    read = functools.cache(read_scores)
    lists = []
    for index, record in enumerate(records):
        training = workspace.step(record.summary.model_cycle, Training)
        # A model trained again since its list was made may have learned what it would be asked about.
        if training is None or training.file is None or not _same_model(record.summary, training):
            continue
        later = read(records[index + 1].file) if index + 1 < len(records) else []
        chosen_by = {row.item_id: _chosen_by(row) for row in read(record.file) if row.source != RECHECK}
        still_unlabeled = frozenset(row.item_id for row in later if row.source != RECHECK)
        lists.append(_ScoredList(record.cycle, training, chosen_by, still_unlabeled))
    return lists


def _same_model(scored: Scored, training: StepRecord[Training]) -> bool:
    # Lists of an earlier alcli do not say which file scored them.
    return scored.model_sha256 in (None, training.sha256)


def _chosen_by(row: ScoreRow) -> str:
    if not row.asked:
        return NEITHER
    return CHANCE if row.source == RANDOM else CHOSEN


def _losses(
    context: Context, cycle: int, training: StepRecord[Training], items: Sequence[Item]
) -> tuple[ItemLoss, ...]:
    """The losses of a cycle's model on these items, computed once; empty when the model is damaged."""
    workspace = context.workspace
    task = context.config.options_of("task").model_dump_json()
    inputs = sha256_of_text(str(training.sha256), task, fingerprint(items))
    record = workspace.matching_step(cycle, LaterLosses, inputs)
    if record is None:
        try:
            rows = _compute_losses(context, training, items)
        except WorkspaceDamaged as error:
            context.progress.say(f"{error.what} Cycle {cycle} could not be evaluated.")
            return ()
        record = workspace.finish_step(cycle, inputs, LaterLosses(tuple(rows)))
    return record.summary.rows


def _compute_losses(context: Context, training: StepRecord[Training], items: Sequence[Item]) -> list[ItemLoss]:
    from alcli.artifacts.examples import annotated_examples

    predictor = load_predictor(context, training)
    examples = annotated_examples(context, predictor.task, items)
    return predictor.losses(examples) if examples else []


def _correlation(rows: Sequence[Outcome]) -> float | None:
    true, predicted = [row.true for row in rows], [row.predicted for row in rows]
    if len(rows) < 3 or len(set(true)) < 2 or len(set(predicted)) < 2:
        return None
    return float(spearmanr(true, predicted).statistic)
