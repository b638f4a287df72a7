"""The scoring pass: what the model says about items, kept in parts that an interrupted run need not compute again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from alcli.artifacts import signal_parts
from alcli.context import Context
from alcli.errors import UsageError
from alcli.items import Item, Refusal
from alcli.signals import Signals
from alcli.strategies import QueryStrategy, needs_labeled, tasks_giving
from alcli.system.hashing import sha256_of_text
from alcli.workspace import StepRecord

if TYPE_CHECKING:
    from torch import nn

    from alcli.models.loss_head import LossHead
    from alcli.tasks import Task

COMPARING = "output_discrepancy"


@dataclass(frozen=True)
class Listed:
    """The items that a strategy looks at: those to rank, and the annotated ones where it asks for them."""

    pool: Sequence[Item]
    labeled: Sequence[Item]


def pass_key(
    context: Context, training: StepRecord, strategy: QueryStrategy, listed: Listed, told: frozenset[str] = frozenset()
) -> str:
    """Changes when any signal of the pass may change."""
    return sha256_of_text(
        _key(context, training, strategy.needs | told, listed.pool),
        _key(context, training, needs_labeled(strategy), listed.labeled),
    )


def scoring_pass(
    context: Context,
    cycle: int,
    training: StepRecord,
    strategy: QueryStrategy,
    listed: Listed,
    told: frozenset[str] = frozenset(),
) -> tuple[Signals, list[Refusal]]:
    """The signals that the strategy asks for, and the images of the pool that could not be loaded.

    Args:
        told: signals of the pool that are wanted beside, to tell people why.

    Raises:
        UsageError: the task cannot give such a signal.
    """
    needs, of_labeled = strategy.needs | told, needs_labeled(strategy)
    if not (needs | of_labeled) or not listed.pool:
        return Signals([item.id for item in listed.pool], {name: np.zeros(0) for name in needs}), []
    models = _models(context, training, needs | of_labeled)
    signals, refusals = _passed(context, cycle, training, models, needs, listed.pool, "signals")
    if not of_labeled:
        return signals, refusals
    labeled, _ = _passed(context, cycle, training, models, of_labeled, listed.labeled, "signals-labeled")
    return replace(signals, labeled=labeled), refusals


def signals_beside(
    context: Context, cycle: int, training: StepRecord, needs: frozenset[str], items: Sequence[Item], place: str
) -> Signals:
    """Signals of other items by the same model, kept in the cycle's folder ``place``; without what cannot be loaded."""
    models = _models(context, training, needs)
    return _passed(context, cycle, training, models, needs, items, place)[0]


@dataclass(frozen=True)
class _Models:
    task: Task
    model: nn.Module
    loss_head: LossHead
    previous: nn.Module | None


def _models(context: Context, training: StepRecord, needs: frozenset[str]) -> _Models:
    from alcli.artifacts.trained import before_any_label, load_previous, load_trained

    if training.file is None:
        task, model, loss_head = before_any_label(context.config)
    else:
        task, model, loss_head, _ = load_trained(context, training)
    if missing := needs - task.signal_names:
        raise UsageError(
            f"The task {context.config.task.name} has no signal {', '.join(sorted(missing))}.",
            do=f"{tasks_giving(missing)} Or choose another strategy: `alcli list strategies`.",
        )
    previous = load_previous(context, training.cycle, task, training.sha256) if COMPARING in needs else None
    if COMPARING in needs and previous is None:
        context.progress.say(f"There is no earlier model to compare with: {COMPARING} is 0.")
    return _Models(task, model, loss_head, previous)


def _key(context: Context, training: StepRecord, needs: frozenset[str], items: Sequence[Item]) -> str:
    options = context.config.score.model_dump(mode="json", exclude={"workers"})
    # The weights of a cold start are no training's.
    weights = str(training.sha256) if training.file else context.config.model.model_dump_json()
    listed = (part for item in items for part in (item.id, item.version)) if needs else ()
    return sha256_of_text(
        weights, context.config.options_of("task").model_dump_json(), json.dumps(options), *sorted(needs), *listed
    )


def _passed(
    context: Context,
    cycle: int,
    training: StepRecord,
    models: _Models,
    needs: frozenset[str],
    items: Sequence[Item],
    place: str,
) -> tuple[Signals, list[Refusal]]:
    from alcli.artifacts.examples import fetch
    from alcli.engine import inference
    from alcli.tasks import Example

    paths, refusals = fetch(context, items)
    facts = context.workspace.store.images()
    examples = [Example(item, paths[item.id], None, _size(facts, item)) for item in items if item.id in paths]
    folder = context.workspace.cycle_folder(cycle) / place
    folder.mkdir(exist_ok=True)
    size = context.config.score.shard
    parts = [examples[start : start + size] for start in range(0, len(examples), size)]
    keys = (_key(context, training, needs, [example.item for example in part])[:32] for part in parts)
    files = [folder / f"{key}.safetensors" for key in keys]
    todo = [(file, part) for file, part in zip(files, parts, strict=True) if not signal_parts.is_intact(file)]
    rest = [example for _, part in todo for example in part]
    unfinished: dict[Path, tuple[Signals, list[Refusal]]] = {}
    with context.progress.track("Scoring", len(examples)) as advance:
        advance(len(examples) - len(rest))
        # Only the last part can be short: the pass over the rest breaks exactly where the parts do.
        stream = inference.signals(
            models.task, models.model, models.loss_head, rest, needs, context.config.score, advance, models.previous
        )
        for (file, _), (signals, refused) in zip(todo, stream, strict=True):
            if any(refusal.passing for refusal in refused):
                # Not for keeping: what could not be read now is tried again by the next run.
                unfinished[file] = (signals, refused)
            else:
                signal_parts.write(file, signals, refused)
    for leftover in set(folder.iterdir()) - (set(files) - set(unfinished)):
        leftover.unlink()
    found = [
        unfinished.get(file) or signal_parts.read(file, [example.item for example in part])
        for file, part in zip(files, parts, strict=True)
    ]
    return _joined(found, needs, refusals, folder)


def _size(facts: dict, item: Item) -> tuple[int, int] | None:
    version, found = facts.get(item.id, ("", None))
    return (found.width, found.height) if found and version == item.version else None


def _joined(
    parts: Sequence[tuple[Signals, list[Refusal]]], needs: frozenset[str], refusals: list[Refusal], folder: Path
) -> tuple[Signals, list[Refusal]]:
    ids = [item_id for signals, _ in parts for item_id in signals.item_ids]
    filled = [signals for signals, _ in parts if len(signals)]
    arrays = {name: _stacked([signals[name] for signals in filled], folder / f"{name}.npy") for name in needs}
    return Signals(ids, arrays), refusals + [refusal for _, part in parts for refusal in part]


def _stacked(parts: Sequence[np.ndarray], file: Path) -> np.ndarray:
    """The parts below each other; wide ones (embeddings, class scores) in a memory map, which need not fit into RAM."""
    if not parts:
        return np.zeros(0)
    if parts[0].ndim == 1:
        return np.concatenate(parts)
    shape = (sum(map(len, parts)), *parts[0].shape[1:])
    return np.concatenate(parts, out=np.lib.format.open_memmap(file, "w+", parts[0].dtype, shape))
