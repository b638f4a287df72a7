"""Report: a cycle's list, its reasons and its course as one page; made from what the other steps have left."""

from __future__ import annotations

import importlib.metadata
import json
import platform
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

from alcli import __version__
from alcli.annotations import Annotation, in_words, object_counts
from alcli.artifacts.scores import last_scores, scored_rows
from alcli.config import ReportOptions
from alcli.context import Context, StepResult
from alcli.curves.history import CycleFacts, history
from alcli.curves.outlook import Outlook, means_of, outlook
from alcli.errors import DataError
from alcli.items import LABELED, RECHECK, UNLABELED, Item, QueryRow, Refusal
from alcli.report import Card, ClassRow, Doubt, Facts, Neighbour
from alcli.report.page import page
from alcli.report.pictures import Picture, class_colours, picture, with_doubts
from alcli.review.audit import FILE_NAME as AUDIT
from alcli.review.audit import Suspect, audit
from alcli.review.audit import write as write_audit
from alcli.review.predictions import Looked, look, nearest_labeled
from alcli.review.retrospective import Outcome, outcomes, summarised
from alcli.selection.reasons import rare_classes
from alcli.strategies import order_in_words
from alcli.system.clock import now
from alcli.system.files import SHARED, atomic_write
from alcli.workspace import StepRecord

FILE_NAME = "report.html"
DOUBTS = 12
CONTRAST = 8
"""Images from the end of the list."""
SAMPLED = 300
"""Images of the pool from which the classes in it are estimated."""
BYTES = 6_500_000
"""For all pictures together; base64 makes a third more of them, and the page must stay below 10 MB."""
LARGE, SMALL, TINY = 320, 224, 96
FEW = 150
PACKAGES = ("torch", "torchvision", "numpy", "pillow", "matplotlib")


def report(context: Context, cycle: int | None = None, target: float | None = None) -> StepResult:
    """Write ``report.html`` into the folder of a cycle, the newest that has a list by default.

    Args:
        target: the metric to reach, for the forecast; ``report.target`` by default.

    Raises:
        UsageError: nothing has been scored yet.
        WorkspaceDamaged: the list or its model is not what was written.
    """
    scored = last_scores(context, cycle)
    options = context.config.report
    cycles = [row for row in history(context.workspace) if row.number <= scored.cycle]
    desk = _Desk(context, scored, options)
    facts = desk.facts(cycles)
    wanted = target if target is not None else options.target
    ahead = outlook(cycles, wanted, means_of(context.workspace, context.config, facts.pool[UNLABELED]))
    text = page(facts, ahead.bundle, wanted, ahead.text)
    path = context.workspace.cycle_folder(scored.cycle) / FILE_NAME
    with atomic_write(path, permissions=SHARED) as stream:
        stream.write(text)
    write_audit(path.with_name(AUDIT), desk.suspects)
    return StepResult("report", scored.cycle, _summary(path, facts, ahead))


def _summary(path: Path, facts: Facts, ahead: Outlook) -> dict[str, object]:
    return {
        "file": str(path),
        "images": len(facts.cards),
        "missing": sum(card.picture is None for card in facts.cards),
        "bytes": path.stat().st_size,
        "suspicious": facts.doubted,
        "audit": str(path.with_name(AUDIT)),
        "outlook": ahead.text,
    }


class _Desk:
    """Everything that one report is made from, fetched when first asked for."""

    def __init__(self, context: Context, scored: StepRecord, options: ReportOptions) -> None:
        self.context, self.scored, self.options = context, scored, options
        self.pool = context.workspace.store.pool()
        self.rows = scored_rows(context, scored)
        self.training = context.workspace.step(int(scored.summary["model_cycle"]), "train")
        self.asked = [row for row in self.rows if row.asked][: options.gallery]
        self.contrast = [row for row in self.rows if not row.asked][-CONTRAST:][::-1]

    def facts(self, cycles: Sequence[CycleFacts]) -> Facts:
        """The page's content."""
        cold = self.scored.summary["cold_start"]
        return Facts(
            title=f"alcli: cycle {self.scored.cycle}",
            cycle=self.scored.cycle,
            made=now(),
            cards=[self._card(row) for row in self.asked],
            contrast=[self._card(row) for row in self.contrast],
            asked=sum(row.asked and row.arm != RECHECK for row in self.rows),
            again=sum(row.asked and row.arm == RECHECK for row in self.rows),
            ranked=sum(row.arm != RECHECK for row in self.rows),
            pool=self.pool.counts(),
            cycles=cycles,
            balance=self._balance(),
            hindsight=summarised(self.outcomes),
            quarantined=self._quarantined(),
            doubts=[self._doubt(row) for row in self.suspects[:DOUBTS]],
            doubted=len(self.suspects),
            put_off=int(self.scored.summary.get("put_off", 0)),
            settings=self._settings(),
            versions=_versions(),
            cold_start=order_in_words(str(self.scored.summary["strategy"])) if cold else "",
            colours=self.colours,
        )

    @cached_property
    def classes(self) -> list[str]:
        """As the model has them; those annotated where there is no model."""
        known = self.training.summary.get("classes", []) if self.training else []
        return list(known) or sorted(self.labeled)

    @cached_property
    def colours(self) -> dict[str, str]:
        """One for each class."""
        return class_colours(self.classes)

    @cached_property
    def annotations(self) -> list[Annotation]:
        """Of all annotated items."""
        return self.context.workspace.store.annotations(item.id for item in self.pool.in_state(LABELED))

    @cached_property
    def labeled(self) -> Mapping[str, int]:
        """Annotated objects by class."""
        return object_counts(self.annotations)

    @cached_property
    def outcomes(self) -> dict[int, list[Outcome]]:
        """How each cycle's model did on what was annotated after it."""
        return outcomes(self.context)

    @cached_property
    def suspects(self) -> list[Suspect]:
        """Annotations to look at again."""
        return audit(self.context, self.training, self.outcomes)

    @cached_property
    def sample(self) -> list[Item]:
        """Evenly from the whole list."""
        return [row.item for row in self.rows[:: max(1, len(self.rows) // SAMPLED)]]

    @cached_property
    def looked(self) -> Looked:
        """At every image that the page shows or counts."""
        items = {row.item.id: row.item for row in (*self.asked, *self.contrast)}
        items |= {item.id: item for item in self.sample}
        return look(self.context, self.training, list(items.values()))

    @cached_property
    def neighbours(self) -> dict[str, Neighbour]:
        """By item id; each annotated image is drawn once."""
        items = [row.item for row in (*self.asked, *self.contrast) if row.item.id in self.looked.paths]
        found = nearest_labeled(self.context, self.scored.cycle, self.training, items)
        there = {item.id: item for item in found.values()}
        paths = look(self.context, None, list(there.values())).paths
        said = {row.item_id: row for row in self.annotations}
        drawn = {key: self._neighbour(item, paths.get(key), said.get(key)) for key, item in there.items()}
        return {item_id: drawn[item.id] for item_id, item in found.items()}

    def _neighbour(self, item: Item, path: Path | None, said: Annotation | None) -> Neighbour:
        # What is relative to the image's size was never looked at: it is shown without its drawing.
        said = None if said is None or said.relative else said
        shown = self._picture(path, said, TINY, f"{item.name}, annotated") if path else None
        return Neighbour(item.name, shown if isinstance(shown, Picture) else None)

    def _card(self, row: QueryRow) -> Card:
        item = row.item
        said = self.looked.said.get(item.id)
        sure = _sure(said, self.options.confidence) if said else None
        seen = in_words(sure) if sure else ""
        path = self.looked.paths.get(item.id)
        alt = f"{item.name}: the model sees {seen}" if seen else item.name
        side = LARGE if len(self.asked) <= FEW else SMALL
        drawn = with_doubts(sure, said) if sure and said else None
        shown = self._picture(path, drawn, side, alt) if path else self.looked.missing.get(item.id, "cannot be read")
        state = self.pool.state(item)
        return Card(
            rank=row.rank,
            name=item.name,
            folder=item.folder,
            percentile=float(row.details.get("score_percentile", "nan")),
            reason=str(row.details.get("reason", "")),
            seen=seen,
            picture=shown if isinstance(shown, Picture) else None,
            missing=shown if isinstance(shown, str) else "",
            nearest=self.neighbours.get(item.id),
            state="" if state == UNLABELED or row.arm == RECHECK else state,
        )

    def _picture(self, path: Path, said: Annotation | None, side: int, alt: str) -> Picture | str:
        """The picture, or why there is none."""
        share = BYTES // (2 * (len(self.asked) + len(self.contrast) + DOUBTS))
        try:
            return picture(path, said, self.colours, side, min(share, 60_000), alt)
        except DataError as error:
            return error.what

    def _doubt(self, row: Suspect) -> Doubt:
        said = in_words(row.said)
        shown = self._picture(row.path, row.said, SMALL, f"{row.item.name}: annotated as {said}")
        kind, detail = row.difference.kind, row.difference.detail
        kept = shown if isinstance(shown, Picture) else None
        return Doubt(row.item.name, row.excess, kind, detail, said, in_words(row.seen), kept)

    def _balance(self) -> list[ClassRow]:
        counts = self.labeled
        of_pool = _shares([self.looked.said.get(item.id) for item in self.sample], self._least)
        of_asked = _shares([self.looked.said.get(row.item.id) for row in self.asked], self._least)
        total = max(sum(counts.values()), 1)
        few = rare_classes(counts, self.classes)
        return [
            ClassRow(
                name,
                counts.get(name, 0),
                counts.get(name, 0) / total,
                of_pool.get(name, 0.0) if of_pool else None,
                of_asked.get(name, 0.0) if of_asked else None,
                name in few,
            )
            for name in self.classes
        ]

    @property
    def _least(self) -> float:
        return self.options.confidence

    def _quarantined(self) -> list[Refusal]:
        rows = self.context.workspace.store.quarantined()
        return [Refusal(row["item_id"], row["name"], row["reason"]) for row in rows]

    def _settings(self) -> dict[str, str]:
        """As they were when the cycle ran."""
        path = self.context.workspace.cycle_folder(self.scored.cycle) / "config.json"
        kept = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        return {
            f"{section}.{key}": json.dumps(value, ensure_ascii=False)
            for section, values in kept.items()
            for key, value in values.items()
            if value not in (None, [], {}, "")
        }


def _sure(said: Annotation, least: float) -> Annotation:
    """Without what a model proposes and hardly believes; a label always stays, however unsure."""
    return said if said.labels else said.confident(least)


def _shares(said: Sequence[Annotation | None], least: float) -> dict[str, float]:
    counts = object_counts(_sure(row, least) for row in said if row is not None)
    total = sum(counts.values())
    return {name: count / total for name, count in counts.items()} if total else {}


def _versions() -> dict[str, str]:
    packages = {name: importlib.metadata.version(name) for name in PACKAGES}
    return {"alcli": __version__, "Python": platform.python_version(), **packages}
