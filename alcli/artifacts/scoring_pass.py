"""The scoring pass: what a model says about items, kept in parts that an interrupted run need not compute again."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from alcli import __version__, plugins
from alcli.artifacts import signal_parts
from alcli.artifacts.local_images import ArrivingExamples, ask_again, fetch_images, local_places
from alcli.artifacts.predictor import Part, Predictor
from alcli.context import Context
from alcli.items import ImageFacts, Item, Refusal, fingerprint
from alcli.signals import Signals
from alcli.strategies import QueryStrategy, needs_labeled
from alcli.system.hashing import sha256_of_text
from alcli.system.progress import Advance
from alcli.workspace.records import StepRecord, Training

NOWHERE = Path()
"""The place of an image that nobody has to look at, or that could not be fetched."""
LOCAL = "local"
"""The engine that is this process."""
POOL, LABELED = "signals", "signals-labeled"
"""The folders of a plan's passes."""
COMPUTED_BY = "computed by"
WITHOUT_EFFECT = {"workers", "engine", "processes", "ray_address"}
"""Options of a pass that do not change a signal."""


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

    @property
    def has_signals(self) -> bool:
        """Whether there is any signal to compute."""
        return bool(self.pool_signals or self.needs_labeled)

    def known_to(self, predictor: Predictor) -> tuple[ScorePlan, Sequence[Item]]:
        """The plan without the images that the model says nothing about, and these."""
        unknown = predictor.unknown(self.pool, self.needs) if self.pool_signals else ()
        if not unknown:
            return self, unknown
        ids = {item.id for item in unknown}
        return replace(self, pool=[item for item in self.pool if item.id not in ids]), unknown

    def key(self, context: Context, training: StepRecord[Training]) -> str:
        """A hash that changes whenever any signal of the pass may change."""
        return sha256_of_text(
            _key(context, training, self.pool_signals, self.pool),
            _key(context, training, self.needs_labeled, self.labeled),
        )

    def identity(self, context: Context, predictor: Predictor) -> dict[str, str]:
        """Hashes of what the parts depend on, for people: which of them differs between two machines."""
        weights, task, options = _settings(context, predictor.record)
        signals = [*sorted(self.pool_signals), "labeled", *sorted(self.needs_labeled)]
        return {
            "alcli": __version__,
            COMPUTED_BY: predictor.computed_by,
            "model": sha256_of_text(weights),
            "list": sha256_of_text(fingerprint(self.pool), fingerprint(self.labeled)),
            "settings": sha256_of_text(task, options, *signals),
        }


@dataclass(frozen=True)
class PlannedPart:
    """Some items of a pass, and the file that keeps their signals; its name is a hash of all they depend on."""

    file: Path
    names: frozenset[str]
    items: Sequence[Item]


class Engine(Protocol):
    """Where the parts of a pass over the pool are computed; constructed as ``Engine(context)``."""

    def compute(self, predictor: Predictor, parts: Sequence[PlannedPart], done: int) -> dict[Path, Part]:
        """Write the files of these parts, and return those that must not be kept, as ``compute_here`` does."""
        ...


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
        if not plan.has_signals or not plan.pool:
            empty = {name: np.zeros(0) for name in plan.pool_signals}
            return Signals([item.id for item in plan.pool], empty), []
        parts = self.parts(plan)
        name = self.context.config.score.engine
        engine: Engine | None = None if name == LOCAL else plugins.load("engines", name)(self.context)
        unfinished = self._compute_missing(parts.pool, engine)
        signals, refusals = self._join(parts.pool, plan.pool_signals, POOL, unfinished)
        if plan.needs_labeled:
            unfinished = self._compute_missing(parts.labeled, engine)
            labeled, _ = self._join(parts.labeled, plan.needs_labeled, LABELED, unfinished)
            signals = replace(signals, labeled=labeled)
        return signals, refusals

    def parts(self, plan: ScorePlan) -> PassParts:
        """The parts of a plan, in the same order on every machine; raises UsageError like ``run``."""
        self._check_signals(plan.pool_signals | plan.needs_labeled)
        pool = self._parts(plan.pool_signals, plan.pool, POOL) if plan.has_signals else []
        labeled = self._parts(plan.needs_labeled, plan.labeled, LABELED) if plan.needs_labeled and plan.pool else []
        return PassParts(pool, labeled)

    def missing(self, parts: Sequence[PlannedPart]) -> list[PlannedPart]:
        """The parts that have no whole file, or leave out images that can be fetched by now."""
        return self._inspect(parts)[0]

    def compute(self, parts: Sequence[PlannedPart]) -> dict[Path, Part]:
        """Compute on this machine what is missing of these parts; return those that must not be kept."""
        return self._compute_missing(parts, None)

    def signals(self, names: frozenset[str], items: Sequence[Item], folder: str) -> Signals:
        """Compute signals of any items; those that cannot be loaded are left out."""
        self._check_signals(names)
        parts = self._parts(names, items, folder)
        return self._join(parts, names, folder, self._compute_missing(parts, None))[0]

    def _check_signals(self, names: frozenset[str]) -> None:
        if missing := names - self.predictor.signal_names:
            raise self.predictor.lacks(missing)

    def _parts(self, names: frozenset[str], items: Sequence[Item], folder_name: str) -> list[PlannedPart]:
        folder = self.context.workspace.cycle_folder(self.cycle) / folder_name
        folder.mkdir(exist_ok=True)
        size = self.context.config.score.shard
        parts = [items[start : start + size] for start in range(0, len(items), size)]
        # A backend that was wanted may have been refused: parts of two backends never lie under one name.
        record, computed_by = self.predictor.record, self.predictor.computed_by
        hashes = (sha256_of_text(_key(self.context, record, names, part), computed_by) for part in parts)
        keys = (text[:32] for text in hashes)
        return [PlannedPart(folder / f"{key}.safetensors", names, part) for key, part in zip(keys, parts, strict=True)]

    def _inspect(self, parts: Sequence[PlannedPart]) -> tuple[list[PlannedPart], dict[str, Refusal]]:
        """The missing parts, and what still cannot be fetched of the others."""
        unfetched = {part.file: signal_parts.read_unfetched(part.file) for part in parts}
        doubtful = {item_id for ids in unfetched.values() for item_id in ids or ()}
        items = {item.id: item for part in parts for item in part.items if item.id in doubtful}
        paths, refusals = fetch_images(self.context, list(items.values())) if items else ({}, [])
        missing = [part for part in parts if (ids := unfetched[part.file]) is None or ids & paths.keys()]
        return missing, {refusal.id: refusal for refusal in refusals}

    def _compute_missing(self, parts: Sequence[PlannedPart], engine: Engine | None) -> dict[Path, Part]:
        """Write the parts that are missing; return those that must not be kept because an image may yet be readable."""
        missing = self.missing(parts)
        if not missing:
            return {}
        done = count_images(parts) - count_images(missing)
        if engine is not None:
            return engine.compute(self.predictor, missing, done)
        return compute_here(self.context, self.predictor, missing, done)

    def _join(
        self, parts: Sequence[PlannedPart], names: frozenset[str], folder_name: str, unfinished: dict[Path, Part]
    ) -> Part:
        folder = self.context.workspace.cycle_folder(self.cycle) / folder_name
        for leftover in set(folder.iterdir()) - ({part.file for part in parts} - set(unfinished)):
            leftover.unlink()
        read = (unfinished.get(part.file) or signal_parts.read(part.file, part.items) for part in parts)
        return _concatenate(read, names, folder)


@dataclass(frozen=True)
class PassParts:
    """The parts of a plan: those of the pool, and those of the labeled items where the strategy looks at them."""

    pool: Sequence[PlannedPart]
    labeled: Sequence[PlannedPart]


def count_images(parts: Sequence[PlannedPart]) -> int:
    """The number of images in these parts."""
    return sum(len(part.items) for part in parts)


def compute_here(
    context: Context, predictor: Predictor, parts: Sequence[PlannedPart], done: int = 0
) -> dict[Path, Part]:
    """Compute parts with the same signals in this process, and write their files.

    Args:
        done: images of other parts that are finished, for the progress.

    Returns:
        The parts that must not be kept: they leave out an image that may be readable next time.
    """
    unfinished: dict[Path, Part] = {}
    places = locate_images(context, predictor, parts)
    with (
        context.progress.track("Scoring", done + count_images(parts), start=done) as advance,
        contextlib.closing(compute_signals(context, predictor, parts, places, advance)) as stream,
    ):
        for part, computed in zip(parts, stream, strict=True):
            if not keep(part, computed):
                unfinished[part.file] = computed.part
    return unfinished


@dataclass(frozen=True)
class Computed:
    """The signals of one part; ``refused`` could not be decoded, ``unfetched`` could not even be fetched."""

    signals: Signals
    refused: Sequence[Refusal]
    unfetched: Sequence[Refusal]

    @property
    def part(self) -> Part:
        """The signals with every refusal."""
        return self.signals, [*self.unfetched, *self.refused]


def keep(part: PlannedPart, computed: Computed) -> bool:
    """Write the file of a part, unless it leaves out images that may be readable next time; returns whether it did."""
    away = sum(refusal.transient for refusal in computed.unfetched)
    if any(refusal.transient for refusal in computed.refused) or 2 * away > len(part.items):
        return False
    signal_parts.write(part.file, computed.signals, computed.refused, computed.unfetched)
    return True


@dataclass(frozen=True)
class Places:
    """Where the images of some parts lie, or will lie.

    Attributes:
        paths: local files by item id. remote: ids of those that are downloaded while others are looked at.
        away: why the platform cannot give others, by item id.
    """

    paths: dict[str, Path]
    remote: frozenset[str]
    away: dict[str, Refusal]


def locate_images(context: Context, predictor: Predictor, parts: Sequence[PlannedPart]) -> Places:
    """Find the images of parts with the same signals, if the signals need them."""
    items = [item for part in parts for item in part.items]
    if not parts or not predictor.needs_images(parts[0].names):
        return Places(dict.fromkeys((item.id for item in items), NOWHERE), frozenset(), {})
    paths, remote, refusals = local_places(context, items)
    return Places(paths, remote, {refusal.id: refusal for refusal in refusals})


def compute_signals(
    context: Context, predictor: Predictor, parts: Sequence[PlannedPart], places: Places, advance: Advance
) -> Generator[Computed, None, None]:
    """Yield what each part's file has to hold; of the parts, all with the same signals, only the last may be short.

    Images are downloaded while others are looked at; those of a part that is done may leave the cache.
    """
    from alcli.tasks import Example

    facts = context.workspace.store.images()
    # An image that could not be fetched keeps its place, so that the pass breaks exactly where the parts do.
    examples = [
        Example(item, places.paths.get(item.id, NOWHERE), None, _size(facts, item))
        for part in parts
        for item in part.items
    ]
    with contextlib.closing(ArrivingExamples(context, examples, places.remote)) as arriving:
        waiting = arriving if places.remote else examples
        stream = predictor.signals(waiting, parts[0].names, advance) if parts else iter(())
        done = 0
        for part, (signals, refused) in zip(parts, stream, strict=True):
            away = places.away | arriving.refused
            here = [refusal for refusal in refused if refusal.id not in away]
            unfetched = [away[item.id] for item in part.items if item.id in away]
            yield Computed(signals, ask_again(context, here), unfetched)
            done += len(part.items)
            arriving.release(done)


def _key(context: Context, training: StepRecord[Training], names: frozenset[str], items: Sequence[Item]) -> str:
    listed = fingerprint(items) if items else ""  # also without signals: a list by lot depends on them, too
    weights, task, options = _settings(context, training)
    return sha256_of_text(weights, task, options, listed, *sorted(names))


def _settings(context: Context, training: StepRecord[Training]) -> tuple[str, str, str]:
    """What every signal depends on: (weights, options of the task, options of the pass)."""
    options = context.config.score.model_dump(mode="json", exclude=WITHOUT_EFFECT)
    # The weights of a cold start are no training's.
    weights = str(training.sha256) if training.file else context.config.model.model_dump_json()
    return weights, context.config.options_of("task").model_dump_json(), json.dumps(options)


def _size(facts: dict[str, tuple[str, ImageFacts]], item: Item) -> tuple[int, int] | None:
    """(width, height) where this version of the image has been inspected."""
    if item.id not in facts or facts[item.id][0] != item.version:
        return None
    return facts[item.id][1].width, facts[item.id][1].height


def _concatenate(parts: Iterable[Part], names: frozenset[str], folder: Path) -> Part:
    """Join parts that are read one at a time: wide arrays go to disk at once, so that they need not fit into RAM."""
    ids: list[str] = []
    refusals: list[Refusal] = []
    numbers: dict[str, list[np.ndarray]] = {name: [] for name in names}
    wide: dict[str, _WideArray] = {}
    with contextlib.ExitStack() as stack:
        for signals, refused in parts:
            ids += signals.item_ids
            refusals += refused
            for name in names if len(signals) else ():
                if signals[name].ndim == 1:
                    numbers[name].append(signals[name])
                    continue
                if name not in wide:
                    wide[name] = _WideArray(folder / f"{name}.npy", signals[name])
                    stack.callback(wide[name].stream.close)
                wide[name].add(signals[name])
    arrays = {name: np.concatenate(each) if each else np.zeros(0) for name, each in numbers.items()}
    return Signals(ids, arrays | {name: each.open() for name, each in wide.items()}), refusals


class _WideArray:
    """Rows with several columns (embeddings, class scores) that are written to a file one after the other.

    Args:
        like: has the columns and the type of all rows.
    """

    def __init__(self, file: Path, like: np.ndarray) -> None:
        self.stream = file.open("wb")
        self._file, self._like, self._rows = file, like[:0], 0

    def add(self, rows: np.ndarray) -> None:
        """Append rows."""
        if rows.shape[1:] != self._like.shape[1:]:
            raise ValueError(f"rows of the shape {rows.shape[1:]} among such of {self._like.shape[1:]}")
        self.stream.write(np.ascontiguousarray(rows, self._like.dtype).data)
        self._rows += len(rows)

    def open(self) -> np.ndarray:
        """All rows, as a memory map; the file must be closed."""
        shape = (self._rows, *self._like.shape[1:])
        return np.memmap(self._file, self._like.dtype, "r+", shape=shape) if all(shape) else np.zeros(shape)
