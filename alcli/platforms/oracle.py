"""A platform whose annotators know every answer already: a simulation's."""

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
from alcli.items import LABELED, UNLABELED, Item, Refusal
from alcli.platforms._queue_file import QueueFile
from alcli.platforms.folder import path_to_uri, uri_to_path
from alcli.system.files import atomic_write
from alcli.system.hashing import sha256_of_text


class Oracle(QueueFile):
    """Items whose annotations are all in one file, each shown only once its item has been revealed.

    ``platform.annotations`` is the file that ``write_answers`` made, many runs may share it. ``platform.queue`` is the
    run's own queue; which items are revealed stands beside it. Names are ids, so that the queue names items.
    """

    class Options(PlatformOptions):
        """What a simulation sets for each run."""

        annotations: Path | None = Field(None, description="the answers, as `alcli simulate` writes them")
        queue: Path | None = Field(None, description="where push writes; each run has its own")

    def __init__(self, options: Options, cache: Path) -> None:
        if options.annotations is None or options.queue is None:
            raise UsageError(
                "The oracle needs its answers and a queue.", do="Run `alcli simulate`: it makes both for each run."
            )
        self._answers = options.annotations
        self._queue = options.queue
        self._revealed = options.queue.with_name("revealed.json")

    def items(self) -> Iterator[Item | Refusal]:
        """Every item; those revealed are labeled."""
        revealed = self.revealed()
        for item, _ in self._rows():
            yield _shown(item, item.id in revealed)

    def annotations(self, items: Sequence[Item]) -> Iterator[Annotation | Refusal]:
        """The answer for each item; an item that is not revealed is refused."""
        answers = {item.id: answer for item, answer in self._rows()}
        revealed = self.revealed()
        for item in items:
            if item.id in revealed:
                yield Annotation.from_json(item.id, answers[item.id])
            else:
                yield Refusal(item.id, item.name, "not annotated yet", item.version)

    def image(self, item: Item) -> Path:
        """The image file itself."""
        return uri_to_path(item.uri)

    def revealed(self) -> frozenset[str]:
        """Ids of the items whose annotation can be seen."""
        if not self._revealed.is_file():
            return frozenset()
        with _written_here(self._revealed):
            return frozenset(map(str, _listed(json.loads(self._revealed.read_text(encoding="utf-8")))))

    def reveal(self, item_ids: Iterable[str]) -> None:
        """Show the annotations of exactly these items; raises DataError for one that the oracle does not know."""
        wanted = sorted(set(item_ids))
        if unknown := set(wanted) - {item.id for item, _ in self._rows()}:
            raise DataError(f"The oracle has no item {min(unknown)!r}.")
        with atomic_write(self._revealed) as stream:
            json.dump(wanted, stream)

    def asked(self) -> list[str]:
        """Ids of the items that the queue asks for, first come first."""
        return [place.item_id for place in sorted(self.queue(), key=lambda place: place.position) if place.asked]

    def _rows(self) -> Iterator[tuple[Item, str]]:
        with _written_here(self._answers), self._answers.open(encoding="utf-8") as stream:
            for line in stream:
                row = json.loads(line)
                if not all(isinstance(row[key], str) for key in ("id", "uri", "version", "annotation")):
                    raise TypeError("a value is no text")
                yield Item(row["id"], row["id"], row["uri"], version=row["version"]), row["annotation"]


@contextlib.contextmanager
def _written_here(path: Path) -> Iterator[None]:
    try:
        yield
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise WorkspaceDamaged(
            f"{path} is not what a simulation wrote: {error}.",
            do="Move the simulation's folder away, then run it again.",
        ) from None


def _listed(content: Any) -> list[Any]:
    if not isinstance(content, list):
        raise TypeError("expected a list")
    return content


def _shown(item: Item, revealed: bool) -> Item:
    state = LABELED if revealed else UNLABELED
    return replace(item, state=state, version=f"{item.version}/{state}")


def write_answers(path: Path, answers: Iterable[tuple[Item, Path, Annotation]]) -> None:
    """Write the file of an oracle: (item, its local image, its annotation), one line each."""
    with atomic_write(path) as stream:
        for item, image, annotation in answers:
            text = annotation.to_json()
            version = sha256_of_text(item.version, text)[:16]
            row = {"id": item.id, "uri": path_to_uri(image), "version": version, "annotation": text}
            stream.write(json.dumps(row) + "\n")
