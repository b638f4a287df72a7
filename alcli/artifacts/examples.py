"""From the pool's labeled items to examples that a model can train on: inspected, checked, split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from alcli.annotations import Annotation
from alcli.artifacts.configured_task import class_names, make_task
from alcli.artifacts.inspection import check_reachable, inspect_images
from alcli.artifacts.local_images import local_places
from alcli.artifacts.sides import MOST_UNLABELED, assign_sides, recorded_sides, split_held_out
from alcli.context import Context
from alcli.errors import DataError
from alcli.items import LABELED, UNLABELED, ImageFacts, Item, Refusal
from alcli.strategies import make_strategy
from alcli.system.clock import now
from alcli.system.hashing import sha256_of_text
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
