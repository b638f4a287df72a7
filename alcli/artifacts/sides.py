"""Which side of the held-out line each labeled image is on; a side stays for ever once it is recorded.

An image's side is drawn from the hash of one image's pixels: its own, or those of the first image of its group. Images
that show nearly the same are one group: a model would remember the one and be praised for the other.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from alcli.context import Context
from alcli.errors import DataError
from alcli.items import ImageFacts, Item
from alcli.selection.groups import connect, near_pairs, pairs_of_equals, typical_distance
from alcli.selection.near_duplicates import group_of
from alcli.system.arrays import Arrays, read_arrays, write_arrays
from alcli.system.hashing import sha256_of_text
from alcli.system.text import quantity

if TYPE_CHECKING:
    from alcli.tasks import Example

FULL_CIRCLE = 16**8
FEWEST_COMPARED = 10
"""Images from which on the typical distance of two of them means something."""


def split_held_out(
    examples: Sequence[Example], facts: Mapping[str, ImageFacts], share: float
) -> tuple[list[Example], list[Example]]:
    """Split into (training, held-out) by ``ImageFacts.side`` alone: copies never end up on both sides.

    Args:
        facts: by item id, as ``recorded_sides`` or ``assign_sides`` returns them.
    """

    def is_held_out(example: Example) -> bool:
        # Hash the hash: a data set may itself have been split by the hashes of its files.
        digest = sha256_of_text("held out", facts[example.item.id].side)
        return int(digest[:8], 16) < share * FULL_CIRCLE

    flags = [is_held_out(example) for example in examples]
    training = list(itertools.compress(examples, (not flag for flag in flags)))
    return training, list(itertools.compress(examples, flags))


def recorded_sides(context: Context, facts: Mapping[str, ImageFacts]) -> dict[str, ImageFacts]:
    """The facts with ``side`` replaced by the recorded one; an image without a record keeps its own."""
    own, anchors = _own_sides(context, facts), context.workspace.store.sides()
    return {item_id: replace(image, side=anchors.get(own[item_id], own[item_id])) for item_id, image in facts.items()}


def assign_sides(
    context: Context, examples: Sequence[Example], facts: Mapping[str, ImageFacts], classes: Sequence[str]
) -> dict[str, ImageFacts]:
    """Record a side for each labeled image that has none, and return the facts as ``recorded_sides`` does.

    An image joins the group of its nearest labeled image, if that is a near-duplicate (``train.group_distance``) or a
    frame of the same video (``train.group_names``). Distances are between features of the starting weights, which no
    training changes. With random weights only copies and names count.
    """
    if context.config.train.validation == 0:
        return recorded_sides(context, facts)
    own, anchors = _own_sides(context, facts), context.workspace.store.sides()
    examples = list({own[example.item.id]: example for example in examples}.values())  # one of each set of copies
    keys = [own[example.item.id] for example in examples]
    new = np.array([index for index, key in enumerate(keys) if key not in anchors], dtype=np.int64)
    if len(new):
        pairs = _similar_pairs(context, examples, keys, new, classes)
        context.workspace.store.put_sides(_choose_anchors(context, keys, anchors, new, pairs))
    return recorded_sides(context, facts)


Pairs = tuple[np.ndarray, np.ndarray, np.ndarray]


def _own_sides(context: Context, facts: Mapping[str, ImageFacts]) -> dict[str, str]:
    """Item id → hash of the pixels; for images that an earlier alcli split by their files, and copies, that hash."""
    first = context.workspace.store.first_hashes()
    hashes = set(first.values())
    return {
        item_id: first.get(item_id) or (image.sha256 if image.sha256 in hashes else image.side)
        for item_id, image in facts.items()
    }


def _choose_anchors(
    context: Context, keys: Sequence[str], anchors: Mapping[str, str], new: np.ndarray, pairs: Pairs
) -> dict[str, str]:
    """The image that decides the side of each new image: the nearest group's, or the first of a new group."""
    ones, others, distances = pairs
    both = np.isin(others, new)
    groups = connect(len(keys), ones[both], others[both])
    nearest: dict[int, tuple[float, str]] = {}
    torn: dict[int, set[str]] = {}
    for one, other, distance in zip(
        ones[~both].tolist(), others[~both].tolist(), distances[~both].tolist(), strict=True
    ):
        group, anchor = int(groups[one]), anchors[keys[other]]
        nearest[group] = min(nearest.get(group, (np.inf, "")), (distance, anchor))
        torn.setdefault(group, set()).add(anchor)
    chosen: dict[str, str] = {}
    for index in sorted(new.tolist(), key=lambda index: keys[index]):
        group = int(groups[index])
        chosen[keys[index]] = nearest.setdefault(group, (0.0, keys[index]))[1]
    if several := sum(len(group) > 1 for group in torn.values()):
        context.progress.detail(
            f"{quantity(several, 'new group')} of similar images resemble several older ones: each joins the nearest."
        )
    return chosen


def _similar_pairs(
    context: Context, examples: Sequence[Example], keys: Sequence[str], new: np.ndarray, classes: Sequence[str]
) -> Pairs:
    """Pairs whose first image is new; frames of one video come before everything that only looks like them."""
    named = pairs_of_equals(_name_groups(context, [example.item for example in examples]))
    firsts, seconds = np.concatenate(named), np.concatenate(named[::-1])
    is_new = np.isin(firsts, new)
    near = _near(context, examples, keys, new, classes)
    distances = np.concatenate([np.full(int(is_new.sum()), -1.0), near[2]])
    return np.concatenate([firsts[is_new], near[0]]), np.concatenate([seconds[is_new], near[1]]), distances


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


def _near(
    context: Context, examples: Sequence[Example], keys: Sequence[str], new: np.ndarray, classes: Sequence[str]
) -> Pairs:
    nothing = np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0)
    options = context.config.train
    if options.group_distance == 0 or len(examples) < FEWEST_COMPARED:
        return nothing
    if context.config.model.weights == "none":
        context.progress.detail(
            "The starting weights are random, so near-duplicates cannot be recognized: of similar images, only exact"
            " copies are kept on one side of the held-out line (train.group_names keeps frames of a video together)."
        )
        return nothing
    vectors = _embeddings(context, examples, keys, classes)
    typical = typical_distance(vectors[np.isfinite(vectors).all(axis=1)])
    if typical == 0:
        context.progress.say("The features of all labeled images are equal: no near-duplicates can be recognized.")
        return nothing
    return _without_chains(len(keys), near_pairs(vectors, new, options.group_distance * typical))


def _without_chains(count: int, pairs: Pairs) -> Pairs:
    """Leave out the more distant pairs until no chain of them connects more than half of the images."""
    while len(pairs[0]) and 2 * np.bincount(connect(count, pairs[0], pairs[1])).max() > count:
        nearer = pairs[2] < np.quantile(pairs[2], 0.9)
        pairs = pairs[0][nearer], pairs[1][nearer], pairs[2][nearer]
    return pairs


def _embeddings(
    context: Context, examples: Sequence[Example], keys: Sequence[str], classes: Sequence[str]
) -> np.ndarray:
    """(n, d) features of the starting weights, kept in the cache; NaN for images that cannot be loaded."""
    from alcli.artifacts.starting_weights import weights_of

    model = context.config.model.model_dump_json(exclude={"weights"})
    task, precision = context.config.task.name, context.config.score.precision
    name = sha256_of_text("sides", task, model, weights_of(context.config), precision)[:32]
    path = context.workspace.root / "cache" / f"{name}.safetensors"
    known = _read(path)
    missing = {key: example for key, example in zip(keys, examples, strict=True) if key not in known}
    if missing:
        known |= _compute(context, missing, classes)
        kept = sorted(known)
        write_arrays(path, Arrays({"embedding": np.stack([known[key] for key in kept])}, {"images": kept}))
    width = len(next(iter(known.values()), np.zeros(1)))
    blank = np.full(width, np.nan, np.float16)
    return np.stack([known.get(key, blank) for key in keys])


def _read(path: object) -> dict[str, np.ndarray]:
    try:
        content = read_arrays(path)  # type: ignore[arg-type]
        return dict(zip(content.notes["images"], content.arrays["embedding"], strict=True))
    except (OSError, DataError, KeyError, ValueError, TypeError):
        return {}  # what the cache has lost is computed again


def _compute(context: Context, examples: Mapping[str, Example], classes: Sequence[str]) -> dict[str, np.ndarray]:
    # Here, because only a training with pretrained weights needs the network.
    from alcli.artifacts.trained import starting_model
    from alcli.engine import inference

    task, model, loss_head = starting_model(context.config, classes)
    key_of = {example.item.id: key for key, example in examples.items()}
    vectors: dict[str, np.ndarray] = {}
    plain = [replace(example, annotation=None) for example in examples.values()]
    with context.progress.track("Comparing", len(plain)) as advance:
        for signals, _ in inference.signals(
            task, model, loss_head, plain, frozenset({"embedding"}), context.config.score, advance
        ):
            if len(signals):
                vectors |= {key_of[i]: row for i, row in zip(signals.item_ids, signals["embedding"], strict=True)}
    return vectors
