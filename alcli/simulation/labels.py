"""The labels that a simulation plays with: a pool whose answers are known, and a test share nobody learns from."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from alcli.annotations import Annotation
from alcli.artifacts.examples import prepare_examples, split_held_out
from alcli.config import Config
from alcli.context import Context
from alcli.errors import UsageError
from alcli.items import Refusal
from alcli.simulation.costs import cost_of
from alcli.system.hashing import sha256_of, sha256_of_text
from alcli.tasks import Example


@dataclass(frozen=True)
class Labels:
    """Every usable annotated image of a workspace, on one of two sides for ever.

    Attributes:
        pool, test: in the order of their ids.
        classes: of all annotations, so that every model of the simulation has the same outputs.
        unit: what an annotator makes: boxes, joints, pixels or labels.
    """

    pool: Sequence[Example]
    test: Sequence[Example]
    classes: tuple[str, ...]
    unit: str

    @functools.cached_property
    def costs(self) -> dict[str, int]:
        """item id → how many units its annotation has."""
        return {example.item.id: cost_of(_answer(example), self.unit) for example in self.pool}

    @functools.cached_property
    def fingerprint(self) -> str:
        """Changes when an image, an annotation or its side changes."""
        sides = (("pool", self.pool), ("test", self.test))
        texts = (
            part
            for side, rows in sides
            for row in rows
            for part in (side, row.item.id, row.item.version, _answer(row).to_json())
        )
        return sha256_of_text(*self.classes, *texts)

    def answers(self) -> list[tuple[Example, Annotation]]:
        """The pool with its annotations."""
        return [(example, _answer(example)) for example in self.pool]


def gather(context: Context, test: str, unit: str) -> tuple[Labels, list[Refusal]]:
    """The workspace's labelled images, checked as for training, and those that cannot be used.

    Args:
        test: a share such as ``0.3``, drawn by content; a folder such as ``test/``; or a file with a name on each line.
    """
    everything = context.config.model_copy(
        update={"train": context.config.train.model_copy(update={"validation": 0.0})}
    )
    examples = prepare_examples(Context(context.workspace, everything, context.progress))
    rows = sorted(examples.training, key=lambda row: row.item.id)
    pool, held_out = _split(context, rows, test)
    return Labels(pool, held_out, examples.classes, unit), list(examples.problems)


def weights_of(config: Config) -> str:
    """What the network starts from: the content of a file, whose name may come to stand for another one."""
    file = Path(config.model.weights)
    return sha256_of(file) if file.is_file() else config.model.weights


def _split(context: Context, rows: Sequence[Example], test: str) -> tuple[list[Example], list[Example]]:
    try:
        share = float(test)
    except ValueError:
        names = _names(test)
        chosen = [row for row in rows if row.item.name in names or row.item.name.startswith(_folder(test))]
        if not chosen:
            raise UsageError(
                f"--test {test}: no labelled image is named there or lies there.",
                do="Give a share such as 0.3, a folder of the project, or a file with one name on each line.",
            ) from None
        if unknown := sorted(names - {row.item.name for row in chosen}):
            context.progress.say(
                f"{len(unknown)} of {len(names)} names in {test} are no labelled image that can be used, "
                f"as {unknown[0]!r}."
            )
        kept = {row.item.id for row in chosen}
        return [row for row in rows if row.item.id not in kept], chosen
    if not 0 < share < 1:
        raise UsageError(f"--test {test}: a share lies between 0 and 1.", do="For example: --test 0.3")
    facts = {item_id: found for item_id, (_, found) in context.workspace.store.images().items()}
    return split_held_out(rows, facts, share)


def _names(test: str) -> set[str]:
    path = Path(test)
    if not path.is_file():
        return set()
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise UsageError(f"--test {test}: the file is not UTF-8 text.", do="Save it as UTF-8.") from None
    # At line feeds only (reading has made them of all others): a name may hold what else Python takes for a line's end.
    return {name for name in text.split("\n") if name}


def _folder(test: str) -> str:
    return test.rstrip("/") + "/"


def _answer(example: Example) -> Annotation:
    assert example.annotation is not None  # only labelled images are gathered
    return example.annotation
