"""Score: one pass of the newest model over the unlabelled items, then the strategy's order."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import safetensors
import safetensors.numpy

from alcli import plugins
from alcli.errors import DataError, UsageError
from alcli.files import atomic_write, sha256_of_text
from alcli.items import UNLABELED, Item, QueryRow, Refusal
from alcli.priorities import plain, read, write_rows
from alcli.selection import Query, seed_of, select
from alcli.signals import DESCRIPTIONS, Signals
from alcli.steps import Context, StepResult
from alcli.strategies import QueryStrategy
from alcli.workspace import StepRecord, now

COLUMNS = ("rank", "id", "name", "score", "score_percentile", "asked")
COLD_START = "random"
UNFINISHED = ""
"""Inputs of a pass that has to be tried again; no other inputs are equal to them."""
COMPARING = "output_discrepancy"


def score(context: Context, cycle: int) -> StepResult:
    """Rank every unlabelled item with the model of the last finished training.

    The pass is kept in parts: after an interruption only the missing parts are computed.

    Raises:
        UsageError: nothing was trained yet, or the strategy asks for a signal that the task cannot give.
        WorkspaceDamaged: the model's file is not what training wrote.
    """
    store = context.workspace.store
    training = _last_training(context, cycle)
    cold = bool(training.summary.get("cold_start"))
    name = COLD_START if cold else context.config.strategy.name
    strategy: QueryStrategy = plugins.load("strategies", name)()
    # Images known to be broken are tried again: the list then does not depend on what an earlier run found out.
    # A strategy that looks at no image cannot find out: there they stay away.
    items = store.pool(forgiving="image" if strategy.needs else "").in_state(UNLABELED)
    selection = context.config.selection
    inputs = sha256_of_text(
        name, str(selection.budget), str(selection.seed), _pass_key(context, training, strategy.needs, items)
    )
    done = context.workspace.done(cycle, "score", inputs)
    if done:
        return StepResult("score", cycle, done.summary, already_done=True)
    signals, refusals = _signals(context, cycle, training, strategy.needs, items)
    by_id = {item.id: item for item in items}
    query = select(strategy, signals, by_id, selection.budget, seed_of(selection.seed, cycle))
    _check_reach(items, refusals)
    if query.unscored and not query.rows:
        raise DataError(
            f"Not one of {len(items)} images got a score that is a number.",
            kept="The queue and the earlier list are kept.",
            do="Train again: alcli train --set train.init=scratch",
        )
    problems = store.quarantine("image", refusals, now(), complete=False)
    if any(refusal.passing for refusal in refusals):
        inputs = UNFINISHED
    store.drop_step(cycle, "score")
    path = context.workspace.cycle_folder(cycle) / "scores.csv"
    _write(path, query, signals)
    summary = {
        "strategy": name,
        "model": str(training.summary.get("model", "none")),
        "model_cycle": training.cycle,
        "cold_start": cold,
        "scored": len(query.rows),
        "asked": min(selection.budget, len(query.rows)),
        "unscored": len(query.unscored),
        "quarantined": len(refusals),
        "all_scores_equal": query.all_equal,
    }
    if query.all_equal and not cold:
        context.progress.say("All scores are equal: the order is that of the names and means nothing.")
    record = context.workspace.finish_step(cycle, "score", inputs, path, summary)
    return StepResult("score", cycle, record.summary, problems=[*problems, *query.unscored])


def scored_rows(context: Context, record: StepRecord) -> list[QueryRow]:
    """The ranked list of a finished score step, best first; items that have left the pool since are left out."""
    items = context.workspace.store.pool(forgiving="image").items
    return [
        QueryRow(
            int(row["rank"]),
            items[row["id"]],
            float(row["score"]),
            row["asked"] == "yes",
            {"score_percentile": row["score_percentile"]},
        )
        for row in read(context.workspace.verified_file(record))
        if row["id"] in items
    ]


def _last_training(context: Context, cycle: int) -> StepRecord:
    numbers = [row["number"] for row in context.workspace.store.cycles() if row["number"] <= cycle]
    records = (context.workspace.step(number, "train") for number in reversed(numbers))
    record = next((record for record in records if record), None)
    if record is None:
        raise UsageError("No training has been finished yet.", do="Run `alcli train`, or the whole `alcli cycle`.")
    return record


def _pass_key(context: Context, training: StepRecord, needs: frozenset[str], items: Sequence[Item]) -> str:
    """Changes when any signal of the pass may change."""
    options = context.config.score.model_dump(mode="json", exclude={"workers"})
    task = context.config.task.model_dump_json()
    listed = (part for item in items for part in (item.id, item.version))
    return sha256_of_text(str(training.sha256), task, json.dumps(options), *sorted(needs), *listed)


def _signals(
    context: Context, cycle: int, training: StepRecord, needs: frozenset[str], items: Sequence[Item]
) -> tuple[Signals, list[Refusal]]:
    if not needs or not items:
        return Signals([item.id for item in items], {name: np.zeros(0) for name in needs}), []
    from alcli.steps.examples import fetch
    from alcli.steps.train import load_previous, load_trained
    from alcli.tasks import Example

    task, model, loss_head, _ = load_trained(context, training)
    if missing := needs - task.signal_names:
        raise UsageError(
            f"The task {context.config.task.name} has no signal {', '.join(sorted(missing))}.",
            do=f"It has: {', '.join(sorted(task.signal_names))}. See `alcli list strategies`.",
        )
    previous = load_previous(context, training, task) if COMPARING in needs else None
    if COMPARING in needs and previous is None:
        context.progress.say(f"There is no earlier model to compare with: {COMPARING} is 0.")
    paths, refusals = fetch(context, items)
    facts = context.workspace.store.images()
    examples = [Example(item, paths[item.id], None, _size(facts, item)) for item in items if item.id in paths]
    folder = context.workspace.cycle_folder(cycle) / "signals"
    folder.mkdir(exist_ok=True)
    from alcli import inference

    size = context.config.score.shard
    parts = [examples[start : start + size] for start in range(0, len(examples), size)]
    files = [folder / f"{_part_key(context, training, needs, part)}.safetensors" for part in parts]
    todo = [(file, part) for file, part in zip(files, parts, strict=True) if not _intact(file)]
    rest = [example for _, part in todo for example in part]
    unfinished: dict[Path, tuple[Signals, list[Refusal]]] = {}
    with context.progress.track("Scoring", len(examples)) as advance:
        advance(len(examples) - len(rest))
        # Only the last part can be short: the pass over the rest breaks exactly where the parts do.
        stream = inference.signals(task, model, loss_head, rest, needs, context.config.score, advance, previous)
        for (file, _), (signals, refused) in zip(todo, stream, strict=True):
            if any(refusal.passing for refusal in refused):
                # Not for keeping: what could not be read now is tried again by the next run.
                unfinished[file] = (signals, refused)
            else:
                _write_part(file, signals, refused)
    for leftover in set(folder.iterdir()) - (set(files) - set(unfinished)):
        leftover.unlink()
    found = [unfinished.get(file) or _read_part(file, part) for file, part in zip(files, parts, strict=True)]
    return _joined(found, needs, refusals, folder)


def _check_reach(items: Sequence[Item], refusals: Sequence[Refusal]) -> None:
    from alcli.steps.examples import check_reach

    check_reach(items, refusals)


def _size(facts: dict, item: Item) -> tuple[int, int] | None:
    version, found = facts.get(item.id, ("", None))
    return (found.width, found.height) if found and version == item.version else None


def _part_key(context: Context, training: StepRecord, needs: frozenset[str], part: Sequence) -> str:
    return _pass_key(context, training, needs, [example.item for example in part])[:32]


def _write_part(file: Path, signals: Signals, refusals: Sequence[Refusal]) -> None:
    notes = json.dumps({"ids": list(signals.item_ids), "refused": {row.id: row.reason for row in refusals}})
    arrays = {name: np.ascontiguousarray(array) for name, array in signals.arrays.items()}
    with atomic_write(file, "wb") as stream:
        stream.write(safetensors.numpy.save(arrays, {"alcli": notes}))


def _intact(file: Path) -> bool:
    try:
        with safetensors.safe_open(file, framework="np") as stream:
            return "alcli" in (stream.metadata() or {})
    except (OSError, safetensors.SafetensorError):
        return False


def _read_part(file: Path, part: Sequence) -> tuple[Signals, list[Refusal]]:
    with safetensors.safe_open(file, framework="np") as stream:
        notes = json.loads(stream.metadata()["alcli"])
        arrays = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118 (not a dict)
    items = {example.item.id: example.item for example in part}
    refusals = [
        Refusal(item_id, items[item_id].name, reason, items[item_id].version)
        for item_id, reason in notes["refused"].items()
    ]
    return Signals(notes["ids"], arrays), refusals


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


def _write(path: Path, query: Query, signals: Signals) -> None:
    shown = [name for name in DESCRIPTIONS if name in signals.arrays and signals[name].ndim == 1]
    position = {item_id: row for row, item_id in enumerate(signals.item_ids)}

    def lines() -> Iterator[list[str]]:
        for row in query.rows:
            values = [plain(signals[name][position[row.item.id]]) for name in shown]
            asked = "yes" if row.asked else "no"
            percentile = row.details["score_percentile"]
            yield [str(row.rank), row.item.id, row.item.name, plain(row.score), percentile, asked, *values]

    with atomic_write(path) as stream:
        write_rows(stream, (*COLUMNS, *shown), lines())
