"""Small real projects: images with coloured rectangles and their annotations."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from alcli.annotations import Annotation, Box
from alcli.formats import voc

COLOURS = {"red": (220, 40, 40), "green": (40, 200, 60), "blue": (50, 70, 230)}


def scene(number: int, width: int = 96, height: int = 80) -> tuple[Image.Image, list[Box]]:
    """One image and its boxes, the same for the same number."""
    rng = np.random.default_rng(number)
    picture = Image.fromarray(rng.integers(90, 140, (height, width, 3), dtype=np.uint8))
    boxes = []
    for _ in range(int(rng.integers(1, 4))):
        label = str(rng.choice(sorted(COLOURS)))
        x, y = int(rng.integers(0, width - 40)), int(rng.integers(0, height - 40))
        box = Box(label, x, y, x + int(rng.integers(16, 40)), y + int(rng.integers(16, 40)))
        ImageDraw.Draw(picture).rectangle((box.x1, box.y1, box.x2 - 1, box.y2 - 1), fill=COLOURS[label])
        boxes.append(box)
    return picture, boxes


class Photos:
    """A folder of images and a folder of Pascal VOC XML, made when missing."""

    def __init__(self, root: Path) -> None:
        self.root, self.images, self.annotations = root, root / "images", root / "annotations"
        self.queue = root.parent / "W" / "queue.csv"
        self.images.mkdir(parents=True, exist_ok=True)
        self.annotations.mkdir(exist_ok=True)

    def draw(self, count: int, annotated: int) -> Photos:
        """Write ``count`` images, the first of them with annotations."""
        for number in range(count):
            scene(number)[0].save(self.images / self.name(number), quality=95)
        for number in range(annotated):
            self.annotate(number)
        return self

    def annotate(self, number: int, boxes: list[Box] | None = None) -> Path:
        """Write the XML of one image; its own boxes unless others are given."""
        picture, own = scene(number)
        path = self.xml(number)
        found = Annotation(self.name(number), tuple(own if boxes is None else boxes), picture.size)
        voc.write(path, self.name(number), found)
        return path

    def xml(self, number: int) -> Path:
        """Where the annotation of an image lies, or would."""
        return self.annotations / f"photo_{number:02d}.xml"

    def write_xml(self, name: str, *objects: tuple[str, str, str, str, str], size: tuple[int, int] = (96, 80)) -> Path:
        """Write XML as given, also wrong: objects are (class, xmin, ymin, xmax, ymax) texts."""
        nodes = "".join(
            f"<object><name>{label}</name><bndbox><xmin>{a}</xmin><ymin>{b}</ymin><xmax>{c}</xmax><ymax>{d}</ymax>"
            "</bndbox></object>"
            for label, a, b, c, d in objects
        )
        path = self.annotations / f"{name}.xml"
        path.write_text(
            f"<annotation><size><width>{size[0]}</width><height>{size[1]}</height></size>{nodes}</annotation>"
        )
        return path

    def coco(self, numbers: list[int]) -> Path:
        """Write the same annotations as one COCO file."""
        names = sorted(COLOURS)
        annotations = [
            {
                "id": 100 * number + place,
                "image_id": number,
                "category_id": names.index(box.label),
                "bbox": [box.x1, box.y1, box.x2 - box.x1, box.y2 - box.y1],
            }
            for number in numbers
            for place, box in enumerate(scene(number)[1])
        ]
        document = {
            "images": [{"id": n, "file_name": self.name(n), "width": 96, "height": 80} for n in numbers],
            "categories": [{"id": place, "name": name} for place, name in enumerate(names)],
            "annotations": annotations,
        }
        path = self.root / "coco.json"
        path.write_text(json.dumps(document))
        return path

    @staticmethod
    def name(number: int) -> str:
        """File name of one image."""
        return f"photo_{number:02d}.jpg"
