"""From the pool's labeled items to examples that a model can train on: inspected, checked, split."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from alcli import images
from alcli.annotations import Annotation
from alcli.artifacts.configured_task import class_names, make_task
from alcli.artifacts.local_images import ask_again, fetch_images, local_places
from alcli.artifacts.sides import MOST_UNLABELED, assign_sides, recorded_sides, split_held_out
from alcli.context import Context
from alcli.errors import DataError, PlatformError, Unreadable
from alcli.items import LABELED, UNLABELED, ImageFacts, Item, Refusal
from alcli.strategies import make_strategy
from alcli.system.clock import now
from alcli.system.hashing import sha256_of_text
from alcli.system.processes import CHUNK, Died, map_in_processes, worker_count
from alcli.tasks import Example, Task


@dataclass(frozen=True)
class Examples:
    """The labeled items, ready for training.

    Attributes:
        training, held_out: examples in the order of their ids; an image never changes sides.
        classes: names in the order of the model's outputs.
        fingerprint: changes when any of this changes.
        problems: what could not be used and was not known before.
    """

    training: Sequence[Example]
    held_out: Sequence[Example]
    classes: tuple[str, ...]
    fingerprint: str
    problems: Sequence[Refusal]


def prepare_examples(context: Context) -> Examples:
    """Check every labeled image and annotation; what is broken goes to quarantine with its reason."""
    store = context.workspace.store
    items = store.pool(forgiving=("encoding", "training")).in_state(LABELED)
    annotations = {row.item_id: row for row in store.annotations(item.id for item in items)}
    items = [item for item in items if item.id in annotations]
    paths, facts, broken = inspect_images(context, items)
    check_reachable(items, broken)
    problems = store.quarantine("image", broken, now(), complete=False)
    classes = class_names(context.config, annotations.values())
    task = make_task(context.config, classes)
    examples, refusals = _encode(task, items, paths, facts, annotations)
    problems += store.quarantine("encoding", refusals, now(), complete=True)
    grouped = assign_sides(context, examples, facts, classes, lambda: _unlabeled(context))
    training, held_out = split_held_out(examples, grouped, context.config.train.validation)
    fingerprint = sha256_of_text(
        *classes,
        *(part for row in examples for part in (row.item.id, facts[row.item.id].sha256, _text(row))),
        *(f"{row.item.id} is with {grouped[row.item.id].side}" for row in examples if _joined(facts, grouped, row)),
    )
    return Examples(training, held_out, classes, fingerprint, problems)


def _unlabeled(context: Context) -> list[Example]:
    """The pool, with images that may have to be downloaded yet; nothing where no scoring pass will need its images."""
    is_wanted = make_strategy(context.config.strategy.name).needs or getattr(context.platform, "compares_pool", False)
    if not is_wanted:
        return []
    items = context.workspace.store.pool().in_state(UNLABELED)[:MOST_UNLABELED]
    paths, _, _ = local_places(context, items)  # the scoring pass reports the others
    return [Example(item, paths[item.id], None, None) for item in items if item.id in paths]


def annotated_examples(context: Context, task: Task, items: Sequence[Item]) -> list[Example]:
    """Make examples of the items whose image and annotation the task can use; skip the others."""
    annotations = {row.item_id: row for row in context.workspace.store.annotations(item.id for item in items)}
    items = [item for item in items if item.id in annotations]
    paths, facts, _ = inspect_images(context, items)
    return _encode(task, items, paths, facts, annotations)[0]


def held_out_examples(context: Context, task: Task, share: float) -> list[Example]:
    """The annotated images that a training with this held-out share never sees, in the order of their ids."""
    items = context.workspace.store.pool(forgiving=("encoding", "training")).in_state(LABELED)
    annotations = {row.item_id: row for row in context.workspace.store.annotations(item.id for item in items)}
    items = [item for item in items if item.id in annotations]
    paths, facts, _ = inspect_images(context, items)
    return split_held_out(_encode(task, items, paths, facts, annotations)[0], recorded_sides(context, facts), share)[1]


def check_reachable(items: Sequence[Item], refusals: Sequence[Refusal]) -> None:
    """Raise PlatformError when more than half of the images cannot be read now: a disk or a host is missing then.

    A list of the others would replace a queue that is better.
    """
    missing = [refusal for refusal in refusals if refusal.transient]
    if 2 * len(missing) > len(items):
        count = "None" if len(missing) == len(items) else f"Only {len(items) - len(missing)}"
        raise PlatformError(
            f"{count} of {len(items)} images can be read ({missing[0].reason}).",
            kept="What is known about them is kept, and the annotators' queue is unchanged.",
            do="Is the disk mounted, does the host of the images answer? Then run the same command again.",
        )


def inspect_images(
    context: Context, items: Sequence[Item]
) -> tuple[dict[str, Path], dict[str, ImageFacts], list[Refusal]]:
    """Fetch and decode images; returns local files and facts by item id, and what cannot be read or decoded."""
    paths, unreachable = fetch_images(context, items)
    facts, undecodable = _decode_images(context, [item for item in items if item.id in paths], paths)
    return paths, facts, [*unreachable, *undecodable]


def _decode_images(
    context: Context, items: Sequence[Item], paths: dict[str, Path]
) -> tuple[dict[str, ImageFacts], list[Refusal]]:
    """Collect facts by item id, and refusals; each version of an image is decoded once in its life."""
    known = context.workspace.store.images()
    facts = {item.id: known[item.id][1] for item in items if known.get(item.id, ("",))[0] == item.version}
    new = [item for item in items if item.id not in facts]
    refusals: list[Refusal] = []
    inspected: list[tuple[Item, ImageFacts]] = []
    with context.progress.track("Inspecting", len(new)) as advance:
        # At least one process: a decoder that crashes on an image must not take the run with it.
        workers = max(worker_count(None, math.ceil(len(new) / CHUNK)), 1)
        for item, answer in zip(
            new, map_in_processes(_inspect, [paths[item.id] for item in new], workers), strict=True
        ):
            if isinstance(answer, ImageFacts):
                inspected.append((item, answer))
            else:
                reason, transient = (answer.reason, answer.killed) if isinstance(answer, Died) else answer
                refusals.append(Refusal(item.id, item.name, reason, item.version, transient))
            advance(1)
    context.workspace.store.put_images(inspected)
    facts |= {item.id: answer for item, answer in inspected}
    return facts, ask_again(context, refusals)


def _inspect(path: Path) -> ImageFacts | tuple[str, bool]:
    """What the image is, or (why it cannot be used, whether that may be temporary)."""
    try:
        return images.inspect(path)
    except DataError as error:
        return error.what, isinstance(error, Unreadable)


def _encode(
    task: Task,
    items: Sequence[Item],
    paths: dict[str, Path],
    facts: dict[str, ImageFacts],
    annotations: dict[str, Annotation],
) -> tuple[list[Example], list[Refusal]]:
    examples, refusals = [], []
    for item in items:
        if item.id in facts:
            try:
                examples.append(task.encode(item, paths[item.id], facts[item.id], annotations[item.id]))
            except DataError as error:
                refusals.append(Refusal(item.id, item.name, error.what, item.version))
    return examples, refusals


def _joined(facts: dict[str, ImageFacts], grouped: dict[str, ImageFacts], example: Example) -> bool:
    """Whether another image decides this one's side."""
    return facts[example.item.id].side != grouped[example.item.id].side


def _text(example: Example) -> str:
    return example.annotation.to_json() if example.annotation else ""
