"""The labels of a simulation: a pool with known answers, and test images that no model is trained on."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from alcli.annotations import Annotation
from alcli.artifacts.examples import prepare_examples
from alcli.artifacts.sides import recorded_sides, split_held_out
from alcli.context import Context
from alcli.errors import UsageError
from alcli.formats import listed_names, match_listed
from alcli.items import Refusal
from alcli.simulation.costs import cost_of
from alcli.system.hashing import sha256_of_text
from alcli.tasks import Example


@dataclass(frozen=True)
class Labels:
    """Every usable annotated image of a workspace, either in the pool or in the test set.

    Attributes:
        pool, test: sorted by item id.
        classes: of all annotations, so that every model of the simulation has the same outputs.
        unit: of annotation costs: boxes, joints, pixels or labels.
    """

    pool: Sequence[Example]
    test: Sequence[Example]
    classes: tuple[str, ...]
    unit: str

    @functools.cached_property
    def costs(self) -> dict[str, int]:
        """item id → number of units of its annotation."""
        return {example.item.id: cost_of(_answer(example), self.unit) for example in self.pool}

    @functools.cached_property
    def fingerprint(self) -> str:
        """A hash of all images, annotations and their sides."""
        sides = (("pool", self.pool), ("test", self.test))
        texts = (
            part
            for side, examples in sides
            for example in examples
            for part in (side, example.item.id, example.item.version, _answer(example).to_json())
        )
        return sha256_of_text(*self.classes, *texts)

    def answers(self) -> list[tuple[Example, Annotation]]:
        """The pool with its annotations."""
        return [(example, _answer(example)) for example in self.pool]


def gather(context: Context, test: str, unit: str) -> tuple[Labels, list[Refusal]]:
    """Collect the workspace's labeled images, checked as for training, and the refused ones.

    Args:
        test: a share such as ``0.3``, drawn by content, with near-duplicates on one side; a folder such as ``test/``;
            or a file with one name per line.
    """
    examples = prepare_examples(context)
    annotated = sorted([*examples.training, *examples.held_out], key=lambda example: example.item.id)
    pool, held_out = _split(context, annotated, test)
    return Labels(pool, held_out, examples.classes, unit), list(examples.problems)


def _split(context: Context, examples: Sequence[Example], test: str) -> tuple[list[Example], list[Example]]:
    try:
        share = float(test)
    except ValueError:
        names = _names(test)
        listed, unclear = match_listed(names, [example.item.name for example in examples])
        chosen = [
            example
            for example in examples
            if example.item.name in listed or example.item.name.startswith(_folder(test))
        ]
        if not chosen:
            raise UsageError(
                f"--test {test}: this file or folder contains no labeled image.",
                do="Give a share such as 0.3, a folder of the project, or a file with one name on each line.",
            ) from None
        if unclear:
            context.progress.say(
                f"{len(unclear)} of {len(names)} names in {test} are not usable labeled images, such as {unclear[0]!r}."
            )
        test_ids = {example.item.id for example in chosen}
        return [example for example in examples if example.item.id not in test_ids], chosen
    if not 0 < share < 1:
        raise UsageError(f"--test {test}: a share lies between 0 and 1.", do="For example: --test 0.3")
    facts = {item_id: image_facts for item_id, (_, image_facts) in context.workspace.store.images().items()}
    # Drawn apart from the held-out images of cycles: otherwise no pool image would be one of those.
    return split_held_out(examples, recorded_sides(context, facts), share, "test")


def _names(test: str) -> list[str]:
    path = Path(test)
    if not path.is_file():
        return []
    try:
        return sorted(set(listed_names(path.read_text(encoding="utf-8-sig"))))
    except UnicodeDecodeError:
        raise UsageError(f"--test {test}: the file is not UTF-8 text.", do="Save it as UTF-8.") from None


def _folder(test: str) -> str:
    return test.rstrip("/") + "/"


def _answer(example: Example) -> Annotation:
    assert example.annotation is not None  # only labeled images are gathered
    return example.annotation
