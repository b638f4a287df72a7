"""Gathers the content of a cycle's page from what the other steps have left, and writes the page."""

from __future__ import annotations

import importlib.metadata
import json
import platform
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

from alcli import __version__
from alcli.annotations import Annotation, Box, image_counts, in_words, object_counts
from alcli.artifacts.predictor import Predictor, load_predictor
from alcli.artifacts.scores import last_scores, read_list
from alcli.config import ReportOptions
from alcli.context import Context, StepResult
from alcli.curves.classes import ClassNumbers, class_numbers
from alcli.curves.history import CycleFacts, history
from alcli.curves.outlook import Outlook, means_of, outlook
from alcli.errors import DataError
from alcli.items import LABELED, RANDOM, RECHECK, UNLABELED, Item, QueryRow, Refusal
from alcli.report import Card, ClassRow, Doubt, Facts, Neighbour
from alcli.report.page import page
from alcli.report.pictures import Picture, class_colors, picture, with_doubts
from alcli.report.publication import FILE_NAME, publish
from alcli.report.simulated import simulated_gain
from alcli.review.audit import FILE_NAME as AUDIT
from alcli.review.audit import Suspect, audit, is_credible, write_audit
from alcli.review.predictions import Predictions, nearest_labeled, predict
from alcli.review.retrospective import Outcome, outcomes, retrospectives
from alcli.selection.reasons import kind_of_reason, rare_classes
from alcli.strategies import order_in_words
from alcli.system.clock import now
from alcli.system.files import SHARED, atomic_write
from alcli.vectors.rows import evenly_spaced
from alcli.workspace.records import Reported, Scored, StepRecord, Training, measurement_of

DOUBTS = 12
CONTRAST = 8
"""Images from the end of the list."""
SAMPLED = 300
"""Images of the pool from which the classes in it are estimated."""
BYTES = 6_500_000
"""For all pictures together; base64 makes a third more of them, and the page must stay below 10 MB."""
SIDES = ((40, 640), (100, 480), (200, 320), (500, 224))
"""Number of images → longer side of their pictures in pixels."""
DOUBT_SIDE, TINY = 480, 160
PACKAGES = ("torch", "torchvision", "numpy", "pillow", "matplotlib")


def report(
    context: Context, cycle: int | None = None, target: float | None = None, running: str = ""
) -> StepResult[Reported]:
    """Write ``report.html`` into the folder of a cycle; by default of the newest that has a list.

    The page of the newest list also lies at the top of the workspace, for others to read.

    Args:
        target: the metric to reach, for the forecast; ``report.target`` by default.
        running: what another run is doing now, for the page.

    Raises:
        UsageError: nothing has been scored yet.
        WorkspaceDamaged: the list or its model is not what was written.
    """
    scored = last_scores(context, cycle)
    options = context.config.report
    cycles = [facts for facts in history(context.workspace) if facts.number <= scored.cycle]
    material = _Material(context, scored, options, running)
    facts = material.facts(cycles)
    target = target if target is not None else options.target
    ahead = outlook(cycles, target, means_of(context.workspace, context.config, facts.pool[UNLABELED]))
    text = page(facts, ahead, target)
    path = context.workspace.cycle_folder(scored.cycle) / FILE_NAME
    with atomic_write(path, permissions=SHARED) as stream:
        stream.write(text)
    newest = context.workspace.newest(Scored)
    if newest and newest.cycle == scored.cycle:
        publish(context.workspace.root, text, options.mode)
    write_audit(path.with_name(AUDIT), material.suspects)
    return StepResult(scored.cycle, _summarize(path, facts, ahead))


def _summarize(path: Path, facts: Facts, ahead: Outlook) -> Reported:
    return Reported(
        file=str(path),
        images=len(facts.cards),
        missing=sum(card.picture is None for card in facts.cards),
        bytes=path.stat().st_size,
        suspicious=facts.doubted,
        audit=str(path.with_name(AUDIT)),
        outlook=ahead.text,
    )


class _Material:
    """Everything that one report is made from, computed when first asked for."""

    def __init__(self, context: Context, scored: StepRecord[Scored], options: ReportOptions, running: str = "") -> None:
        self.context, self.scored, self.options, self.running = context, scored, options, running
        self.pool = context.workspace.store.pool()
        self.rows = read_list(context, scored)
        self.training = context.workspace.step(scored.summary.model_cycle, Training)
        self.asked = [row for row in self.rows if row.asked][: options.gallery]
        self.contrast = [row for row in self.rows if not row.asked][-CONTRAST:][::-1]

    def facts(self, cycles: Sequence[CycleFacts]) -> Facts:
        """The page's content."""
        scored = self.scored.summary
        cards = self._cards()
        return Facts(
            title=f"{self.context.workspace.root.resolve().name}: cycle {self.scored.cycle}",
            cycle=self.scored.cycle,
            made=now(),
            cards=cards[: len(self.asked)],
            contrast=cards[len(self.asked) :],
            asked=sum(row.asked and row.source != RECHECK for row in self.rows),
            again=sum(row.asked and row.source == RECHECK for row in self.rows),
            controls=sum(row.asked and row.source == RANDOM for row in self.rows),
            ranked=sum(row.source != RECHECK for row in self.rows),
            pool=self.pool.counts(),
            cycles=cycles,
            balance=self._balance(),
            retrospectives=retrospectives(self.outcomes),
            quarantined=self._refusals(),
            doubts=[self._doubt(suspect) for suspect in self.suspects[:DOUBTS]],
            doubted=len(self.suspects),
            put_off=scored.put_off,
            settings=self._settings(),
            versions=_versions(),
            classes=self.class_numbers,
            rare=rare_classes(image_counts(self.annotations), self.classes),
            confusions=self.training.summary.confusion if self.training else (),
            shared=scored.shared_reasons,
            drawn=any(map(_is_drawn, self.predictions.annotations.values())),
            credible=self.training is not None and is_credible(self.training.summary.metrics),
            simulated=simulated_gain(self.context.workspace.root, scored.strategy),
            running=self.running,
            cold_start=order_in_words(scored.strategy) if scored.cold_start else "",
            colors=self.colors,
        )

    @cached_property
    def model(self) -> Predictor | None:
        """The model that made the list; None before the first one."""
        if self.training is None or self.training.file is None:
            return None
        return load_predictor(self.context, self.training)

    @cached_property
    def classes(self) -> list[str]:
        """In the order of the model's outputs; without a model, those that are annotated."""
        known = self.training.summary.classes if self.training else ()
        return list(known) or sorted(self.labeled)

    @cached_property
    def colors(self) -> dict[str, str]:
        """One for each class."""
        return class_colors(self.classes)

    @cached_property
    def annotations(self) -> list[Annotation]:
        """Of all labeled items."""
        return self.context.workspace.store.annotations(item.id for item in self.pool.in_state(LABELED))

    @cached_property
    def labeled(self) -> Mapping[str, int]:
        """Annotated objects by class."""
        return object_counts(self.annotations)

    @cached_property
    def class_numbers(self) -> list[ClassNumbers]:
        """The numbers of each class, with the metrics of the model that made the list."""
        made_in = self.context.workspace.step(self.training.cycle, Scored) if self.training else None
        metrics = measurement_of(self.training, made_in).metrics
        return class_numbers(self.classes, self.annotations, metrics, self.scored.summary.asked_classes)

    @cached_property
    def outcomes(self) -> dict[int, list[Outcome]]:
        """How each cycle's model did on what was annotated after it."""
        return outcomes(self.context)

    @cached_property
    def suspects(self) -> list[Suspect]:
        """Labels to look at again."""
        return audit(self.context, self.model, self.outcomes)

    @cached_property
    def sample(self) -> list[Item]:
        """Evenly spaced in the whole list."""
        return [row.item for row in evenly_spaced(self.rows, SAMPLED)]

    @cached_property
    def predictions(self) -> Predictions:
        """For every image that the page shows or counts."""
        items = {row.item.id: row.item for row in (*self.asked, *self.contrast)}
        items |= {item.id: item for item in self.sample}
        return predict(self.context, self.model, list(items.values()))

    @cached_property
    def neighbours(self) -> dict[str, Neighbour]:
        """The nearest labeled image by item id; each one is drawn once."""
        items = [row.item for row in (*self.asked, *self.contrast) if row.item.id in self.predictions.paths]
        nearest = nearest_labeled(self.context, self.scored.cycle, self.model, items)
        labeled = {item.id: item for item in nearest.values()}
        paths = predict(self.context, None, list(labeled.values())).paths
        annotations = {annotation.item_id: annotation for annotation in self.annotations}
        cards = {key: self._neighbour(item, paths.get(key), annotations.get(key)) for key, item in labeled.items()}
        return {item_id: cards[item.id] for item_id, item in nearest.items()}

    def _neighbour(self, item: Item, path: Path | None, annotation: Annotation | None) -> Neighbour:
        # Relative coordinates need the image's size, which nobody has read: the image is shown without its drawing.
        annotation = None if annotation is None or annotation.relative else annotation
        shown = self._picture(path, annotation, TINY, f"{item.name}, annotated", words=False) if path else None
        return Neighbour(item.name, shown if isinstance(shown, Picture) else None)

    def _cards(self) -> list[Card]:
        """Of all images that the page shows: first those asked for."""
        rows = [*self.asked, *self.contrast]
        self.neighbours  # noqa: B018 (what the cards need has its own progress)
        cards = []
        with self.context.progress.track("Drawing", len(rows)) as advance:
            for row in rows:
                cards.append(self._card(row))
                advance(1)
        return cards

    def _card(self, row: QueryRow) -> Card:
        item = row.item
        prediction = self.predictions.annotations.get(item.id)
        likely = prediction.without_unlikely_objects(self._least) if prediction else None
        predicted = in_words(likely) if likely else ""
        path = self.predictions.paths.get(item.id)
        alt = f"{item.name}: the model sees {predicted}" if predicted else item.name
        drawing = with_doubts(likely, prediction) if likely and prediction else None
        missing = self.predictions.missing.get(item.id, "cannot be read")
        shown = self._picture(path, drawing, self._side, alt) if path else missing
        state = self.pool.state(item)
        return Card(
            rank=row.rank,
            name=item.name,
            folder=item.folder,
            percentile=float("nan") if row.percentile is None else row.percentile,
            reason=row.reason,
            predicted=predicted,
            picture=shown if isinstance(shown, Picture) else None,
            missing=shown if isinstance(shown, str) else "",
            nearest=self.neighbours.get(item.id),
            state="" if state == UNLABELED or row.source == RECHECK else state,
            classes=sorted(object_counts([likely], joints=False)) if likely else (),
            kind=kind_of_reason(row.reason),
        )

    @property
    def _side(self) -> int:
        """The longer side of a picture: the fewer there are, the larger they may be."""
        return next(side for most, side in SIDES if len(self.asked) <= most)

    def _picture(
        self,
        path: Path,
        annotation: Annotation | None,
        side: int,
        alt: str,
        instead: Box | None = None,
        words: bool = True,
    ) -> Picture | str:
        """The picture, or why there is none."""
        share = BYTES // (2 * (len(self.asked) + len(self.contrast) + DOUBTS))
        try:
            return picture(path, annotation, self.colors, side, min(share, 60_000), alt, instead, words)
        except DataError as error:
            return error.what

    def _doubt(self, suspect: Suspect) -> Doubt:
        annotated = in_words(suspect.annotation)
        alt = f"{suspect.item.name}: annotated as {annotated}"
        shown = self._picture(suspect.path, suspect.annotation, DOUBT_SIDE, alt, suspect.difference.box)
        return Doubt(
            name=suspect.item.name,
            excess=suspect.excess,
            kind=suspect.difference.kind,
            detail=suspect.difference.detail,
            annotated=annotated,
            predicted=in_words(suspect.prediction),
            picture=shown if isinstance(shown, Picture) else None,
        )

    def _balance(self) -> list[ClassRow]:
        counts, predictions = self.labeled, self.predictions.annotations
        of_pool = _shares([predictions.get(item.id) for item in self.sample], self._least)
        of_asked = _shares([predictions.get(row.item.id) for row in self.asked], self._least)
        total = max(sum(counts.values()), 1)
        rare = rare_classes(image_counts(self.annotations), self.classes)
        return [
            ClassRow(
                name,
                counts.get(name, 0),
                counts.get(name, 0) / total,
                of_pool.get(name, 0.0) if of_pool else None,
                of_asked.get(name, 0.0) if of_asked else None,
                name in rare,
            )
            for name in self.classes
        ]

    @property
    def _least(self) -> float:
        return self.options.confidence

    def _refusals(self) -> list[Refusal]:
        entries = self.context.workspace.store.quarantine_entries()
        return [Refusal(entry.item_id, entry.name, entry.reason) for entry in entries]

    def _settings(self) -> dict[str, str]:
        """As they were when the cycle ran."""
        path = self.context.workspace.cycle_folder(self.scored.cycle) / "config.json"
        sections = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        return {
            f"{section}.{key}": json.dumps(value, ensure_ascii=False)
            for section, values in sections.items()
            for key, value in values.items()
            if value not in (None, [], {}, "")
        }


def _is_drawn(prediction: Annotation) -> bool:
    return bool(prediction.boxes or prediction.polygons or prediction.masks or prediction.poses)


def _shares(predictions: Sequence[Annotation | None], least: float) -> dict[str, float]:
    known = (prediction for prediction in predictions if prediction is not None)
    counts = object_counts(prediction.without_unlikely_objects(least) for prediction in known)
    total = sum(counts.values())
    return {name: count / total for name, count in counts.items()} if total else {}


def _versions() -> dict[str, str]:
    packages = {name: importlib.metadata.version(name) for name in PACKAGES}
    return {"alcli": __version__, "Python": platform.python_version(), **packages}
