"""The platform of a simulation, whose annotators already know every answer."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import Field

from alcli.annotations import Annotation
from alcli.config import PlatformOptions
from alcli.errors import DataError, UsageError, WorkspaceDamaged
from alcli.items import LABELED, UNLABELED, Item, Refusal, path_to_uri, uri_to_path
from alcli.platforms._queue_file import QueueFile, queue_effects
from alcli.system.files import atomic_write
from alcli.system.hashing import sha256_of_text


class Oracle(QueueFile):
    """Items whose annotations are all in one file; each annotation is hidden until its item is revealed.

    ``platform.annotations`` is a file from ``write_answers``, which several runs may share. ``platform.queue`` is the
    run's own queue; the list of revealed items is next to it. Item names are ids, so the queue identifies items.
    """

    class Options(PlatformOptions):
        """What a simulation sets for each run."""

        annotations: Path | None = Field(None, description="the answers, as `alcli simulate` writes them")
        queue: Path | None = Field(None, description="where push writes; each run has its own")

        def outside_effects(self, workspace: Path) -> dict[str, str]:
            """The queue is not a CSV file below the workspace."""
            return queue_effects(self.queue, workspace)

    compares_pool = True
    """The pool connects near-duplicates whatever the strategy looks at, so that all arms hold out the same images."""

    def __init__(self, options: Options, cache: Path) -> None:
        if options.annotations is None or options.queue is None:
            raise UsageError(
                "The oracle needs its answers and a queue.", do="Run `alcli simulate`, which creates both for each run."
            )
        self._answers = options.annotations
        self._queue = options.queue
        self._revealed = options.queue.with_name("revealed.json")

    def items(self) -> Iterator[Item | Refusal]:
        """Every item; the revealed ones are labeled."""
        revealed = self.visible_ids()
        for item, _ in self._answers_by_item():
            yield _with_state(item, item.id in revealed)

    def annotations(self, items: Sequence[Item]) -> Iterator[Annotation | Refusal]:
        """The answer for each item; items that are not revealed are refused."""
        answers = {item.id: answer for item, answer in self._answers_by_item()}
        revealed = self.visible_ids()
        for item in items:
            if item.id in revealed:
                yield Annotation.from_json(item.id, answers[item.id])
            else:
                yield Refusal(item.id, item.name, "not annotated yet", item.version)

    def image(self, item: Item) -> Path:
        """The image file itself."""
        return uri_to_path(item.uri)

    def visible_ids(self) -> frozenset[str]:
        """Ids of the items whose annotations are visible."""
        if not self._revealed.is_file():
            return frozenset()
        with _damage_errors(self._revealed):
            return frozenset(map(str, _check_list(json.loads(self._revealed.read_text(encoding="utf-8")))))

    def reveal(self, item_ids: Iterable[str]) -> None:
        """Make the annotations of exactly these items visible; raises DataError for an unknown item."""
        wanted = sorted(set(item_ids))
        if unknown := set(wanted) - {item.id for item, _ in self._answers_by_item()}:
            raise DataError(f"The oracle has no item {min(unknown)!r}.")
        with atomic_write(self._revealed) as stream:
            json.dump(wanted, stream)

    def batch(self) -> list[str]:
        """Ids of the items within the budget, in queue order."""
        return [item.item_id for item in sorted(self.queue(), key=lambda item: item.position) if item.asked]

    def _answers_by_item(self) -> Iterator[tuple[Item, str]]:
        with _damage_errors(self._answers), self._answers.open(encoding="utf-8") as stream:
            for line in stream:
                answer = json.loads(line)
                if not all(isinstance(answer[key], str) for key in ("id", "uri", "version", "annotation")):
                    raise TypeError("a value is not a string")
                yield Item(answer["id"], answer["id"], answer["uri"], version=answer["version"]), answer["annotation"]


@contextlib.contextmanager
def _damage_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise WorkspaceDamaged(
            f"{path} is damaged, or a simulation did not write it: {error}.",
            do="Move the simulation's folder away, then run it again.",
        ) from None


def _check_list(content: Any) -> list[Any]:
    if not isinstance(content, list):
        raise TypeError("expected a list")
    return content


def _with_state(item: Item, revealed: bool) -> Item:
    state = LABELED if revealed else UNLABELED
    return replace(item, state=state, version=f"{item.version}/{state}")


def write_answers(path: Path, answers: Iterable[tuple[Item, Path, Annotation]]) -> None:
    """Write an oracle's file of answers, one JSON line per (item, its local image, its annotation)."""
    with atomic_write(path) as stream:
        for item, image, annotation in answers:
            text = annotation.to_json()
            version = sha256_of_text(item.version, text)[:16]
            answer = {"id": item.id, "uri": path_to_uri(image), "version": version, "annotation": text}
            stream.write(json.dumps(answer) + "\n")
