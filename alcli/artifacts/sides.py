"""Which side of the held-out line each labeled image is on; a side stays for ever once it is recorded.

An image's side is drawn from the hash of one image's pixels: its own, or those of the first image of its group. Images
that show nearly the same are one group: a model would remember the one and be praised for the other.
"""

from __future__ import annotations

import contextlib
import itertools
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from alcli.artifacts.local_images import ArrivingExamples
from alcli.artifacts.starting_weights import has_pretrained, settle_weights
from alcli.context import CACHE, Context
from alcli.items import ImageFacts, Item
from alcli.selection.groups import connect, near_pairs, pairs_of_equals, typical_distance
from alcli.selection.near_duplicates import group_of
from alcli.system.hashing import sha256_of_text
from alcli.system.text import quantity

if TYPE_CHECKING:
    from alcli.tasks import Example

FULL_CIRCLE = 16**8
MOST_UNLABELED = 20_000
"""Unlabeled images that may connect labeled ones; comparing more with each other would take minutes."""
FEWEST_COMPARED = 10
"""Images from which on the typical distance of two of them means something."""


def split_held_out(
    examples: Sequence[Example], facts: Mapping[str, ImageFacts], share: float, draw: str = "held out"
) -> tuple[list[Example], list[Example]]:
    """Split into (training, held-out) by ``ImageFacts.side`` alone: copies never end up on both sides.

    Args:
        facts: by item id, as ``recorded_sides`` or ``assign_sides`` returns them.
        draw: splits by different names are independent of each other.
    """

    def is_held_out(example: Example) -> bool:
        # Hash the hash: a data set may itself have been split by the hashes of its files.
        digest = sha256_of_text(draw, facts[example.item.id].side)
        return int(digest[:8], 16) < share * FULL_CIRCLE

    flags = [is_held_out(example) for example in examples]
    training = list(itertools.compress(examples, (not flag for flag in flags)))
    return training, list(itertools.compress(examples, flags))


def recorded_sides(context: Context, facts: Mapping[str, ImageFacts]) -> dict[str, ImageFacts]:
    """The facts with ``side`` replaced by the recorded one; an image without a record keeps its own."""
    own, anchors = _own_sides(context, facts), context.workspace.store.sides()
    return {item_id: replace(image, side=anchors.get(own[item_id], own[item_id])) for item_id, image in facts.items()}


def assign_sides(
    context: Context,
    examples: Sequence[Example],
    facts: Mapping[str, ImageFacts],
    classes: Sequence[str],
    unlabeled: Callable[[], Sequence[Example]] = list,
) -> dict[str, ImageFacts]:
    """Record a side for each labeled image that has none, and return the facts as ``recorded_sides`` does.

    An image joins the group of its nearest labeled image, if that is a near-duplicate (``train.group_distance``) or a
    frame of the same video (``train.group_names``). Distances are between features of the starting weights, which no
    training changes. With random weights only copies and names count.

    Args:
        unlabeled: the pool, at most ``MOST_UNLABELED`` of it, asked for where distances count. Two images that an
            unlabeled one connects are one group: otherwise, once it is labeled, it would resemble both sides.
    """
    if context.config.train.validation == 0:
        return recorded_sides(context, facts)
    own, anchors = _own_sides(context, facts), context.workspace.store.sides()
    examples = list({own[example.item.id]: example for example in examples}.values())  # one of each set of copies
    keys = [own[example.item.id] for example in examples]
    if set(keys) - anchors.keys():
        pool = unlabeled() if _compares(context, len(examples)) else []
        nodes = _Nodes([*examples, *pool], keys, anchors)
        chosen = _choose_anchors(context, nodes, _similar_pairs(context, nodes, classes))
        context.workspace.store.put_sides(chosen)
    return recorded_sides(context, facts)


Pairs = tuple[np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True)
class _Nodes:
    """Images to be grouped: labeled ones, then unlabeled ones.

    Attributes:
        keys: of the labeled ones. anchors: recorded sides by key.
    """

    examples: Sequence[Example]
    keys: Sequence[str]
    anchors: Mapping[str, str]

    @cached_property
    def free(self) -> np.ndarray:
        """Indices of those without a recorded side."""
        labeled = [index for index, key in enumerate(self.keys) if key not in self.anchors]
        return np.array([*labeled, *range(len(self.keys), len(self.examples))], dtype=np.int64)

    def anchor(self, index: int) -> str:
        """The recorded side of a labeled image."""
        return self.anchors[self.keys[index]]


def _own_sides(context: Context, facts: Mapping[str, ImageFacts]) -> dict[str, str]:
    """Item id → hash of the pixels; for images that an earlier alcli split by their files, and copies, that hash."""
    first = context.workspace.store.first_hashes()
    hashes = set(first.values())
    return {
        item_id: first.get(item_id) or (image.sha256 if image.sha256 in hashes else image.side)
        for item_id, image in facts.items()
    }


def _choose_anchors(context: Context, nodes: _Nodes, pairs: Pairs) -> dict[str, str]:
    """The image that decides the side of each new labeled one: the nearest group's, or the first of a new group."""
    ones, others, _ = pairs
    both = np.isin(others, nodes.free)
    groups = connect(len(nodes.examples), ones[both], others[both])
    nearest: dict[int, tuple[float, str]] = {}
    torn: dict[int, set[str]] = {}
    older = (part[~both].tolist() for part in pairs)
    for one, other, distance in zip(*older, strict=True):
        group, anchor = int(groups[one]), nodes.anchor(other)
        nearest[group] = min(nearest.get(group, (np.inf, "")), (distance, anchor))
        torn.setdefault(group, set()).add(anchor)
    chosen: dict[str, str] = {}
    new = [index for index in nodes.free.tolist() if index < len(nodes.keys)]
    for index in sorted(new, key=lambda index: nodes.keys[index]):
        key = nodes.keys[index]
        chosen[key] = nearest.setdefault(int(groups[index]), (0.0, key))[1]
    if several := sum(len(group) > 1 for group in torn.values()):
        context.progress.detail(
            f"{quantity(several, 'new group')} of similar images resemble several older ones: each joins the nearest."
        )
    return chosen


def _similar_pairs(context: Context, nodes: _Nodes, classes: Sequence[str]) -> Pairs:
    """Pairs whose first image has no side; frames of one video come before everything that only looks like them."""
    named = pairs_of_equals(_name_groups(context, [example.item for example in nodes.examples]))
    firsts, seconds = np.concatenate(named), np.concatenate(named[::-1])
    is_free = np.isin(firsts, nodes.free)
    near = _near(context, nodes, classes)
    distances = np.concatenate([np.full(int(is_free.sum()), -1.0), near[2]])
    return np.concatenate([firsts[is_free], near[0]]), np.concatenate([seconds[is_free], near[1]]), distances


def _name_groups(context: Context, items: Sequence[Item]) -> Sequence[tuple[str, ...] | None]:
    how = context.config.train.group_names
    if how == "none":
        return []
    groups = [group_of(item) if how == "numbered" else (item.folder, item.name.rpartition("/")[0]) for item in items]
    (largest, count), *_ = Counter(groups).most_common(1)
    if 2 * count <= len(items):
        return groups
    context.progress.say(
        f"train.group_names: more than half of the labeled images ({count} of {len(items)}) are one group"
        f" ({'/'.join(filter(None, largest)) or 'no folder'}), so it is not kept together."
    )
    return [None if group == largest else group for group in groups]


def _compares(context: Context, count: int) -> bool:
    """Whether features of so many labeled images are compared; says why not."""
    if context.config.train.group_distance == 0 or count < FEWEST_COMPARED:
        return False
    if has_pretrained(context):
        return True
    context.progress.detail(
        "The starting weights are random, so near-duplicates cannot be recognized: of similar images, only exact"
        " copies are kept on one side of the held-out line (train.group_names keeps frames of a video together)."
    )
    return False


def _near(context: Context, nodes: _Nodes, classes: Sequence[str]) -> Pairs:
    if not _compares(context, len(nodes.keys)):
        return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0)
    vectors = _embeddings(settle_weights(context), nodes, classes)
    typical = typical_distance(vectors[np.isfinite(vectors).all(axis=1)])
    if typical == 0:
        context.progress.say("The features of all images are equal: no near-duplicates can be recognized.")
    limit = context.config.train.group_distance * typical
    return _without_chains(len(nodes.examples), near_pairs(vectors, nodes.free, limit))


def _without_chains(count: int, pairs: Pairs) -> Pairs:
    """Leave out the more distant pairs until no chain of them connects more than half of the images."""
    while len(pairs[0]) and 2 * np.bincount(connect(count, pairs[0], pairs[1])).max() > count:
        nearer = pairs[2] < np.quantile(pairs[2], 0.9)
        pairs = pairs[0][nearer], pairs[1][nearer], pairs[2][nearer]
    return pairs


def _embeddings(context: Context, nodes: _Nodes, classes: Sequence[str]) -> np.ndarray:
    """(n, d) features of the starting weights; NaN for images that cannot be loaded."""
    # Here, because only a training with pretrained weights needs the network.
    from alcli.artifacts.frozen_features import FrozenFeatures, computed_by_torch
    from alcli.artifacts.trained import starting_model

    task, model, _ = starting_model(context.config, classes)
    computed_by, cache = computed_by_torch(context.config.score), context.workspace.root / CACHE
    frozen = FrozenFeatures.open(context.config, task, model, model, computed_by, cache, context.progress)
    plain = [replace(example, annotation=None) for example in nodes.examples]
    remote = frozenset(each.item.id for each in plain if context.download_place(each.item) is not None)
    arriving = ArrivingExamples(context, plain, remote)
    vectors: list[np.ndarray | None] = []
    with context.progress.track("Comparing", len(plain)) as advance, contextlib.closing(arriving):
        for rows, _ in frozen.read(arriving if remote else plain, advance):
            vectors += [None if row is None else row["embedding"].copy() for row in rows]
            arriving.release(len(vectors))
    blank = np.full(next((len(vector) for vector in vectors if vector is not None), 1), np.nan, np.float16)
    return np.stack([blank if vector is None else vector for vector in vectors])
