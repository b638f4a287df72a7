"""Small workspaces before a first cycle, and what must come out of it however often it was broken off."""

from __future__ import annotations

import io
import shutil
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alcli.annotations import Box
from alcli.system.files import TEMPORARY_PREFIX
from tests.faults.fork_server import ForkServer, Order
from tests.support.hashes import hashes
from tests.support.label_studio_server import LEGACY, LabelStudioServer
from tests.support.scenes import Photos, scene
from tests.support.superannotate_server import TOKEN, Server

SETTINGS = ("train.epochs=2", "train.min_steps=0", "train.batch_size=3", "train.workers=0", "score.workers=0",
            "score.shard=2", "model.input_size=64", "train.checkpoint_every=1", "train.validation=0.25")  # fmt: skip
OUTCOME = ("model.safetensors", "scores.csv", "priorities.csv", "priorities.wide.csv", "metrics.json")
NOTHING: Mapping[str, str] = {}


@dataclass
class Folder:
    """A project in a folder; each trial has a copy of everything."""

    blank: Path

    @classmethod
    def make(cls, base: Path, runs: ForkServer, images: int = 9, annotated: int = 6) -> Folder:
        """Draw the images and make the workspace."""
        photos = Photos(base / "blank/project").draw(images, annotated)
        places = ["--images", str(photos.images), "--annotations", str(photos.annotations)]
        _init(runs, base / "blank/W", [*places])
        # Relative, so that a copy is complete.
        file = base / "blank/W/alcli.toml"
        file.write_text(file.read_text().replace(str(base / "blank"), ".."))
        return cls(base / "blank")

    def fresh(self, place: Path) -> Trial:
        """One more copy."""
        shutil.copytree(self.blank, place)
        return Trial(place, {})


@dataclass
class Remote(ABC):
    """A project on a local server of a service; each trial has a server of its own."""

    blank: Path
    images: int
    annotated: int

    @classmethod
    def make(cls, base: Path, runs: ForkServer, images: int = 9, annotated: int = 6) -> Remote:
        """Make the workspace; the servers come later."""
        with cls.service() as server:
            flags = [*cls.flags(), "--set", "platform.backoff=0.001"]
            _init(runs, base / "blank/W", flags, cls.environment(server))
        return cls(base / "blank", images, annotated)

    def fresh(self, place: Path) -> Trial:
        """One more copy before a server that starts from the beginning."""
        shutil.copytree(self.blank, place)
        server = self.service()
        server.__enter__()
        for number in range(self.images):
            picture, boxes = scene(number)
            stream = io.BytesIO()
            picture.save(stream, "PNG")
            self.add(server, number, stream.getvalue(), picture.size, boxes if number < self.annotated else None)
        return Trial(place, self.environment(server), server)

    @staticmethod
    @abstractmethod
    def service() -> Server:
        """A server without images."""

    @staticmethod
    @abstractmethod
    def flags() -> list[str]:
        """Of ``alcli init``."""

    @staticmethod
    @abstractmethod
    def environment(server: Server) -> dict[str, str]:
        """What leads a run to this server."""

    @staticmethod
    @abstractmethod
    def add(server: Any, number: int, content: bytes, size: tuple[int, int], boxes: Sequence[Box] | None) -> None:
        """Put one image there, with what an annotator has drawn on it."""


class SuperAnnotate(Remote):
    """A project in SuperAnnotate."""

    @staticmethod
    def service() -> Server:
        """A server without images."""
        return Server()

    @staticmethod
    def flags() -> list[str]:
        """Of ``alcli init``."""
        return ["--platform", "superannotate", "--project", "Cells/*"]

    @staticmethod
    def environment(server: Server) -> dict[str, str]:
        """What leads a run to this server."""
        return {"SA_URL": server.url, "SA_TOKEN": TOKEN}

    @staticmethod
    def add(server: Server, number: int, content: bytes, size: tuple[int, int], boxes: Sequence[Box] | None) -> None:
        """Put one image there, with what an annotator has drawn on it."""
        item_id = server.add(f"photo_{number:02d}.png", "ab"[number % 2])
        server.images[f"{item_id}.jpg"] = content
        if boxes is not None:
            points = [{"x1": box.x1, "y1": box.y1, "x2": box.x2, "y2": box.y2} for box in boxes]
            kinds = [box.label for box in boxes]
            rows = [{"type": "bbox", "className": k, "points": p} for k, p in zip(kinds, points, strict=True)]
            server.annotate(item_id, rows)


class LabelStudio(Remote):
    """A project in Label Studio."""

    @staticmethod
    def service() -> LabelStudioServer:
        """A server without images."""
        return LabelStudioServer()

    @staticmethod
    def flags() -> list[str]:
        """Of ``alcli init``."""
        return ["--platform", "label-studio", "--project", "7", "--task", "detection"]

    @staticmethod
    def environment(server: Server) -> dict[str, str]:
        """What leads a run to this server."""
        return {"LABEL_STUDIO_URL": server.url, "LABEL_STUDIO_API_KEY": LEGACY}

    @staticmethod
    def add(
        server: LabelStudioServer, number: int, content: bytes, size: tuple[int, int], boxes: Sequence[Box] | None
    ) -> None:
        """Put one image there, with what an annotator has drawn on it."""
        name = f"photo_{number:02d}.png"
        server.images[name] = content
        task = server.add_task(name)
        if boxes is not None:
            server.answer_task(task, [_rectangle(box, size) for box in boxes])


def _rectangle(box: Box, size: tuple[int, int]) -> dict[str, Any]:
    """A result of Label Studio: percent of width and height."""
    width, height = size
    value = {
        "x": 100 * box.x1 / width, "y": 100 * box.y1 / height, "rotation": 0, "rectanglelabels": [box.label],
        "width": 100 * (box.x2 - box.x1) / width, "height": 100 * (box.y2 - box.y1) / height,
    }  # fmt: skip
    return {
        "from_name": "label", "to_name": "image", "type": "rectanglelabels", "original_width": width,
        "original_height": height, "value": value,
    }  # fmt: skip


SCENES: tuple[type[Folder | Remote], ...] = (Folder, SuperAnnotate, LabelStudio)


@dataclass
class Trial:
    """One workspace on which a cycle is run, broken off and run again."""

    place: Path
    environment: Mapping[str, str]
    server: Server | None = None

    @property
    def root(self) -> Path:
        """The workspace."""
        return self.place / "W"

    def order(self, more: Mapping[str, str] = NOTHING, **what: object) -> Order:
        """The line of cron, with ``more`` in its environment."""
        environment = {**self.environment, **more}
        return Order(("cycle", "-w", str(self.root), "--json"), environment=environment, **what)

    def outcome(self) -> dict[str, str]:
        """What the cycle made and what annotators see of it."""
        files = [*(self.root / "cycles/0001" / name for name in OUTCOME), self.root / "queue.csv"]
        found = hashes(file for file in files if file.exists())
        if self.server is not None:
            found["queue"] = self.server.seen()
        return found

    def leftovers(self) -> list[str]:
        """Temporary files and checkpoints that nobody needs any more."""
        names = (str(path.relative_to(self.place)) for path in self.place.rglob("*"))
        return [name for name in names if TEMPORARY_PREFIX in name or "/checkpoint-" in name]

    def pushed_twice(self) -> int:
        """Priorities that were sent though the platform had them already."""
        if self.server is None:
            return 0
        return self.server.given_twice()

    def close(self) -> None:
        """Stop the server and remove the copy."""
        if self.server is not None:
            self.server.__exit__()
        shutil.rmtree(self.place)


def _init(runs: ForkServer, root: Path, flags: list[str], environment: Mapping[str, str] = NOTHING) -> None:
    settings = [word for setting in SETTINGS for word in ("--set", setting)]
    arguments = ("init", str(root), "--model", "ssd-tiny", *flags, *settings, "-q")
    ended = runs.run(Order(arguments, environment=environment))
    assert ended.code == 0, ended.stderr
