"""Small workspaces before a first cycle, and what must come out of it however often it was broken off."""

from __future__ import annotations

import io
import shutil
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from alcli.system.files import TEMPORARY_PREFIX
from tests.faults.fork_server import ForkServer, Order
from tests.support.hashes import hashes
from tests.support.scenes import Photos, scene
from tests.support.superannotate_server import TOKEN, Server

SETTINGS = ("train.epochs=2", "train.batch_size=3", "train.workers=0", "score.workers=0", "score.shard=2",
            "model.input_size=64", "train.checkpoint_every=1", "train.validation=0.25")  # fmt: skip
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
class Remote:
    """A project on a local SuperAnnotate server; each trial has a server of its own."""

    blank: Path
    images: int
    annotated: int

    @classmethod
    def make(cls, base: Path, runs: ForkServer, images: int = 9, annotated: int = 6) -> Remote:
        """Make the workspace; the servers come later."""
        flags = ["--platform", "superannotate", "--project", "Cells/*", "--set", "platform.backoff=0.001"]
        with Server() as server:
            _init(runs, base / "blank/W", flags, {"SA_URL": server.url, "SA_TOKEN": TOKEN})
        return cls(base / "blank", images, annotated)

    def fresh(self, place: Path) -> Trial:
        """One more copy before a server that starts from the beginning."""
        shutil.copytree(self.blank, place)
        server = Server()
        server.__enter__()
        for number in range(self.images):
            picture, boxes = scene(number)
            item_id = server.add(f"photo_{number:02d}.png", "ab"[number % 2])
            stream = io.BytesIO()
            picture.save(stream, "PNG")
            server.images[f"{item_id}.jpg"] = stream.getvalue()
            if number < self.annotated:
                points = [{"x1": box.x1, "y1": box.y1, "x2": box.x2, "y2": box.y2} for box in boxes]
                kinds = [box.label for box in boxes]
                rows = [{"type": "bbox", "className": k, "points": p} for k, p in zip(kinds, points, strict=True)]
                server.annotate(item_id, rows)
        return Trial(place, {"SA_URL": server.url, "SA_TOKEN": TOKEN}, server)


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
            found["queue"] = self.server.state()
        return found

    def leftovers(self) -> list[str]:
        """Temporary files and checkpoints that nobody needs any more."""
        names = (str(path.relative_to(self.place)) for path in self.place.rglob("*"))
        return [name for name in names if TEMPORARY_PREFIX in name or "/checkpoint-" in name]

    def pushed_twice(self) -> int:
        """Priorities that were sent though the platform had them already."""
        if self.server is None:
            return 0
        return sum(count - 1 for count in Counter(self.server.given).values())

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
