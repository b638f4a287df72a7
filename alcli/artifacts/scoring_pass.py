"""The scoring pass: what a model says about items, kept in parts that an interrupted run need not compute again."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from alcli.artifacts import signal_parts
from alcli.artifacts.local_images import ArrivingExamples, ask_again, local_places
from alcli.artifacts.predictor import Part, Predictor
from alcli.context import Context
from alcli.items import ImageFacts, Item, Refusal, fingerprint
from alcli.signals import Signals
from alcli.strategies import QueryStrategy, needs_labeled
from alcli.system.arrays import is_intact
from alcli.system.hashing import sha256_of_text
from alcli.workspace.records import StepRecord, Training

if TYPE_CHECKING:
    from alcli.tasks import Example

NOWHERE = Path()
"""The place of an image that nobody has to look at."""


@dataclass(frozen=True)
class ScorePlan:
    """Which signals of which items a strategy and the reasons for its choice need.

    Attributes:
        pool: the items to rank. needs: the signals that the strategy ranks them by.
        for_reasons: further signals of the pool, for reasons and near-duplicates.
        labeled: the labeled items, where the strategy looks at them. needs_labeled: their signals.
    """

    pool: Sequence[Item]
    needs: frozenset[str]
    for_reasons: frozenset[str] = frozenset()
    labeled: Sequence[Item] = ()
    needs_labeled: frozenset[str] = frozenset()

    @classmethod
    def of(
        cls, strategy: QueryStrategy, pool: Sequence[Item], labeled: Sequence[Item], for_reasons: frozenset[str]
    ) -> ScorePlan:
        """The plan of one strategy; ``labeled`` is dropped where the strategy does not look at it."""
        theirs = needs_labeled(strategy)
        return cls(pool, strategy.needs, for_reasons, labeled if theirs else (), theirs)

    @property
    def pool_signals(self) -> frozenset[str]:
        """Every signal of the pool."""
        return self.needs | self.for_reasons

    def key(self, context: Context, training: StepRecord[Training]) -> str:
        """A hash that changes whenever any signal of the pass may change."""
        return sha256_of_text(
            _key(context, training, self.pool_signals, self.pool),
            _key(context, training, self.needs_labeled, self.labeled),
        )


@dataclass(frozen=True)
class ScoringPass:
    """Passes of one model over items, each kept in a folder of its own in the cycle's folder."""

    context: Context
    cycle: int
    predictor: Predictor

    def run(self, plan: ScorePlan) -> Part:
        """Compute the signals of a plan, and name the images of the pool that could not be loaded.

        Raises:
            UsageError: the task cannot give such a signal.
        """
        if not (plan.pool_signals | plan.needs_labeled) or not plan.pool:
            empty = {name: np.zeros(0) for name in plan.pool_signals}
            return Signals([item.id for item in plan.pool], empty), []
        self._check_signals(plan.pool_signals | plan.needs_labeled)
        signals, refusals = self._pass(plan.pool_signals, plan.pool, "signals")
        if plan.needs_labeled:
            labeled, _ = self._pass(plan.needs_labeled, plan.labeled, "signals-labeled")
            signals = replace(signals, labeled=labeled)
        return signals, refusals

    def signals(self, names: frozenset[str], items: Sequence[Item], folder: str) -> Signals:
        """Compute signals of any items; those that cannot be loaded are left out."""
        self._check_signals(names)
        return self._pass(names, items, folder)[0]

    def _check_signals(self, names: frozenset[str]) -> None:
        if missing := names - self.predictor.signal_names:
            raise self.predictor.lacks(missing)

    def _pass(self, names: frozenset[str], items: Sequence[Item], folder_name: str) -> Part:
        paths, refusals = dict.fromkeys((item.id for item in items), NOWHERE), list[Refusal]()
        remote: frozenset[str] = frozenset()
        if self.predictor.needs_images(names):
            paths, remote, refusals = local_places(self.context, items)
        folder = self.context.workspace.cycle_folder(self.cycle) / folder_name
        folder.mkdir(exist_ok=True)
        parts = self._parts(names, items, paths, folder)
        unfinished = self._compute_missing(names, parts, remote)
        for leftover in set(folder.iterdir()) - (set(parts) - set(unfinished)):
            leftover.unlink()
        return _join(
            [
                unfinished.get(file) or signal_parts.read(file, [example.item for example in part])
                for file, part in parts.items()
            ],
            names,
            refusals,
            folder,
        )

    def _parts(
        self, names: frozenset[str], items: Sequence[Item], paths: dict[str, Path], folder: Path
    ) -> dict[Path, list[Example]]:
        """The examples of each part, by the file that keeps its signals."""
        from alcli.tasks import Example

        facts = self.context.workspace.store.images()
        examples = [Example(item, paths[item.id], None, _size(facts, item)) for item in items if item.id in paths]
        size = self.context.config.score.shard
        parts = [examples[start : start + size] for start in range(0, len(examples), size)]
        record, computed_by = self.predictor.record, self.predictor.computed_by
        keys = (_key(self.context, record, names, [example.item for example in part]) for part in parts)
        # A backend that was wanted may have been refused: parts of two backends never lie under one name.
        hashes = (sha256_of_text(key, computed_by)[:32] for key in keys)
        return {folder / f"{name}.safetensors": part for name, part in zip(hashes, parts, strict=True)}

    def _compute_missing(
        self, names: frozenset[str], parts: dict[Path, list[Example]], remote: frozenset[str]
    ) -> dict[Path, Part]:
        """Write the parts that are missing; return those that must not be kept because an image may yet be readable.

        Images are downloaded while others are looked at, and none of those whose parts are there.
        """
        missing = {file: part for file, part in parts.items() if not is_intact(file)}
        rest = [example for part in missing.values() for example in part]
        arriving = ArrivingExamples(self.context, rest, remote)
        total, done = sum(map(len, parts.values())), 0
        unfinished: dict[Path, Part] = {}
        with (
            self.context.progress.track("Scoring", total, start=total - len(rest)) as advance,
            contextlib.closing(arriving),
        ):
            # Only the last part can be short: the pass over the rest breaks exactly where the parts do.
            stream = self.predictor.signals(arriving if remote else rest, names, advance)
            for (file, part), (signals, refused) in zip(missing.items(), stream, strict=True):
                refused = ask_again(self.context, [arriving.explain(refusal) for refusal in refused])
                if any(refusal.transient for refusal in refused):
                    unfinished[file] = (signals, refused)
                else:
                    signal_parts.write(file, signals, refused)
                done += len(part)
                arriving.release(done)
        return unfinished


def _key(context: Context, training: StepRecord[Training], names: frozenset[str], items: Sequence[Item]) -> str:
    options = context.config.score.model_dump(mode="json", exclude={"workers"})
    # The weights of a cold start are no training's.
    weights = str(training.sha256) if training.file else context.config.model.model_dump_json()
    listed = fingerprint(items) if names else ""
    task = context.config.options_of("task").model_dump_json()
    return sha256_of_text(weights, task, json.dumps(options), listed, *sorted(names))


def _size(facts: dict[str, tuple[str, ImageFacts]], item: Item) -> tuple[int, int] | None:
    """(width, height) where this version of the image has been inspected."""
    if item.id not in facts or facts[item.id][0] != item.version:
        return None
    return facts[item.id][1].width, facts[item.id][1].height


def _join(parts: Sequence[Part], names: frozenset[str], refusals: list[Refusal], folder: Path) -> Part:
    ids = [item_id for signals, _ in parts for item_id in signals.item_ids]
    filled = [signals for signals, _ in parts if len(signals)]
    arrays = {name: _stack([signals[name] for signals in filled], folder / f"{name}.npy") for name in names}
    return Signals(ids, arrays), refusals + [refusal for _, refused in parts for refusal in refused]


def _stack(parts: Sequence[np.ndarray], file: Path) -> np.ndarray:
    """Concatenate the parts; wide ones (embeddings, class scores) go into a memory map, which need not fit into RAM."""
    if not parts:
        return np.zeros(0)
    if parts[0].ndim == 1:
        return np.concatenate(parts)
    shape = (sum(map(len, parts)), *parts[0].shape[1:])
    return np.concatenate(parts, out=np.lib.format.open_memmap(file, "w+", parts[0].dtype, shape))
