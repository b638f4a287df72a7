"""From a file of predictions to the predictions of a cycle: matched to the project's images, checked, written."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from alcli.artifacts.kept_predictions import under_id, write_predictions
from alcli.context import Context
from alcli.errors import DataError
from alcli.items import LABELED, UNLABELED, Item
from alcli.predictions import ImagePrediction, Problem, Rules
from alcli.predictions.lines import Header
from alcli.predictions.sources import read_predictions
from alcli.predictions.survey import PoolNames, Survey, foreign_classes, names_in_words, outside
from alcli.system.text import quantity

REACH = 2.0
"""Pixels by which a box may exceed its image."""


@dataclass
class Collected:
    """What a file of predictions gave for a project.

    Attributes:
        keys: how many images have each set of keys, and one of them.
        missing: names of unlabeled images without a prediction.
        extra: names that are of no image, or of several; the first of them. extras: their number.
        reaching: images with a box that reaches out of the image, of ``measured`` whose size is known.
    """

    survey: Survey = field(default_factory=Survey)
    keys: dict[frozenset[str], tuple[int, ImagePrediction]] = field(default_factory=dict)
    missing: Sequence[str] = ()
    extra: list[str] = field(default_factory=list)
    extras: int = 0
    reaching: list[str] = field(default_factory=list)
    measured: int = 0

    def say(self, context: Context, embedded: bool) -> None:
        """Name what has no prediction, what fits no image, and what reaches out of its image.

        Args:
            embedded: images without a prediction have embeddings all the same.
        """
        if self.missing:
            count, names = len(self.missing), names_in_words(self.missing, len(self.missing))
            last = "it is ranked last" if count == 1 else "they are ranked last"
            rather = ", or by coverage where the strategy reads embeddings alone" if embedded else ""
            context.progress.say(f"No prediction for {quantity(count, 'image')} ({names}); {last}{rather}.")
        if self.extras:
            names = names_in_words(self.extra, self.extras)
            context.progress.say(
                f"Left out: {quantity(self.extras, 'prediction')} of no image of the project ({names})."
            )
        if self.reaching:
            names = names_in_words(self.reaching, len(self.reaching))
            context.progress.say(f"Boxes reach out of {quantity(len(self.reaching), 'image')} ({names}).")


def collect(context: Context, source: Path, coco: Path | None, rules: Rules, path: Path) -> Collected:
    """Write the predictions of a file for the project's images to ``path``.

    Raises:
        DataError: a line cannot be used, no image of the project has a prediction, or none of the classes is known.
    """
    pool = context.workspace.store.pool()
    items = {item.id: item for item in (*pool.in_state(UNLABELED), *pool.in_state(LABELED))}
    collected = Collected()
    stream = _matched(context, source, coco, rules, items, collected)
    first = next(stream, None)
    header = Header(tuple(first.classes), first.units) if first else Header()
    with context.progress.track("Reading predictions", len(items)) as advance:

        def counted() -> Iterator[ImagePrediction]:
            for prediction in chain([first] if first else [], stream):
                advance(1)
                yield prediction
            # Before the file gets its name: what cannot be used whole must not be there.
            _check(collected, source, rules)

        write_predictions(path, header, counted())
    # Annotated images are not ranked, and those to learn from need no prediction.
    collected.missing = [item.name for item in pool.in_state(UNLABELED) if item.id not in collected.survey]
    for sentence in foreign_classes(collected.survey, rules):
        context.progress.say(sentence)
    return collected


def _matched(
    context: Context, source: Path, coco: Path | None, rules: Rules, items: Mapping[str, Item], collected: Collected
) -> Iterator[ImagePrediction]:
    names, facts = PoolNames(items.values()), context.workspace.store.images()
    for entry in read_predictions(source, rules, coco):
        if isinstance(entry, Problem):
            collected.survey.add(entry)
            continue
        ids = names.find(entry.name)
        if len(ids) != 1:
            _count_extra(collected, entry, ids, items)
            continue
        if not collected.survey.add(entry, ids[0]):
            continue
        count, sample = collected.keys.get(entry.keys, (0, entry))
        collected.keys[entry.keys] = (count + 1, sample)
        if ids[0] in facts and entry.boxes is not None and len(entry.boxes.labels):
            size = (facts[ids[0]][1].width, facts[ids[0]][1].height)
            _check_size(collected, entry, size)
        yield under_id(entry, ids[0])


def _count_extra(collected: Collected, entry: ImagePrediction, ids: Collection[str], items: Mapping[str, Item]) -> None:
    collected.extras += 1
    if len(collected.extra) < 3:
        several = f" could be {' or '.join(sorted(ids)[:2])}" if ids else ""
        collected.extra.append(entry.name + several)


def _check_size(collected: Collected, entry: ImagePrediction, size: tuple[int, int]) -> None:
    if entry.size is not None and entry.size != size:
        what = "predicted for {}×{} pixels, but the upright image has {}×{}".format(*entry.size, *size)
        collected.survey.add(Problem(entry.source, what, entry.name))
        return
    collected.measured += 1
    if outside(entry, size, REACH).any():
        collected.reaching.append(entry.name)


def _check(collected: Collected, source: Path, rules: Rules) -> None:
    """Raise DataError where the whole file cannot be used."""
    survey = collected.survey
    if not survey.images and collected.extras and not survey.broken:
        raise DataError(
            f"None of the {quantity(collected.extras, 'prediction')} in {source} is of an image of the project "
            f"({names_in_words(collected.extra, collected.extras)}).",
            kept="No list was made; the annotators' queue is unchanged.",
            do="Names are paths below the folder of images: `alcli check-predictions FILE -w W`.",
        )
    survey.check(str(source))
    foreign_classes(survey, rules)
    if collected.measured >= 5 and 2 * len(collected.reaching) > collected.measured:
        raise DataError(
            f"In {len(collected.reaching)} of {collected.measured} images, boxes in {source} reach out of the image "
            f"({names_in_words(collected.reaching, len(collected.reaching))}): they are for images of another size.",
            kept="No list was made; the annotators' queue is unchanged.",
            do='Scale them to the pixels of the upright image, or write fractions ("units": "fractions").',
        )
