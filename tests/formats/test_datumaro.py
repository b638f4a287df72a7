"""Datumaro, in an environment of its own, and alcli read each other's COCO, VOC and YOLO: equal boxes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from alcli.annotations import Annotation, Box
from alcli.formats import Purpose, coco, voc, yolo
from alcli.formats._recognition import choose_format

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).parents[1] / "support" / "datumaro_script.py"
PIXELS = 1e-3
SIZE = (640, 480)


@pytest.fixture(scope="module")
def datumaro(tmp_path_factory) -> Callable[..., str]:
    """Run the script in datumaro's environment; what it prints."""
    environment = tmp_path_factory.mktemp("datumaro")
    subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    python = environment / "bin" / "python"
    installed = subprocess.run([python, "-m", "pip", "install", "-q", "datumaro>=1.10"], capture_output=True, text=True)
    if installed.returncode:
        pytest.skip(f"datumaro cannot be installed: {installed.stderr[-200:]}")

    def run(*arguments: object, document: Mapping[str, Any] | None = None) -> str:
        command = [str(python), str(SCRIPT), *map(str, arguments)]
        ended = subprocess.run(command, input=json.dumps(document), capture_output=True, text=True, timeout=300)
        assert ended.returncode == 0, ended.stderr[-2000:]
        return ended.stdout.splitlines()[-1] if ended.stdout else ""

    return run


@pytest.fixture(scope="module")
def annotations() -> dict[str, Annotation]:
    rng = np.random.default_rng(7)
    boxes = {}
    for number in range(12):
        corners = rng.uniform((0, 0), (400, 300), (number % 4, 2))
        opposite = corners + rng.uniform(5, 150, corners.shape)
        name = f"photo_{number:02}.png"
        # Two decimals, as CVAT writes them.
        corners = np.hstack([corners, opposite]).round(2).tolist()
        parts = [Box(("cat", "dog", "white cell")[i % 3], *corner) for i, corner in enumerate(corners)]
        boxes[name] = Annotation(name, tuple(parts), SIZE)
    return boxes


def draw(folder: Path, names: Mapping[str, Annotation]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        Image.new("RGB", SIZE).save(folder / name)


def lay_out_coco(folder: Path, annotations: Mapping[str, Annotation]) -> str:
    draw(folder / "images" / "train", annotations)
    (folder / "annotations").mkdir()
    coco.write(folder / "annotations" / "instances_train.json", annotations)
    return "coco"


def lay_out_voc(folder: Path, annotations: Mapping[str, Annotation]) -> str:
    draw(folder / "JPEGImages", annotations)
    (folder / "Annotations").mkdir()
    for name, annotation in annotations.items():
        voc.write(folder / "Annotations" / f"{Path(name).stem}.xml", name, annotation)
    (folder / "ImageSets" / "Main").mkdir(parents=True)
    (folder / "ImageSets" / "Main" / "train.txt").write_text("".join(f"{Path(name).stem}\n" for name in annotations))
    labels = sorted({box.label for annotation in annotations.values() for box in annotation.boxes})
    (folder / "labelmap.txt").write_text("# label:color_rgb:parts:actions\n" + "".join(f"{n}:::\n" for n in labels))
    return "voc_detection"


def lay_out_yolo(folder: Path, annotations: Mapping[str, Annotation]) -> str:
    draw(folder / "images", annotations)
    yolo.write(folder, annotations)
    return "yolo"


@pytest.mark.parametrize("lay_out", [lay_out_coco, lay_out_voc, lay_out_yolo])
def test_datumaro_reads_what_alcli_wrote(datumaro, annotations, tmp_path, lay_out):
    kind = lay_out(tmp_path, annotations)
    boxes = json.loads(datumaro("read", kind, tmp_path))
    assert set(boxes) == {Path(name).stem for name in annotations}
    for name, annotation in annotations.items():
        compare(boxes[Path(name).stem], annotation)


@pytest.mark.parametrize("kind", ["coco", "voc_detection", "yolo", "yolo_ultralytics", "cvat"])
def test_alcli_reads_what_datumaro_wrote(datumaro, annotations, tmp_path, kind):
    document = {
        name: {"size": SIZE, "boxes": [[box.label, box.x1, box.y1, box.x2, box.y2] for box in annotation.boxes]}
        for name, annotation in annotations.items()
    }
    datumaro("write", kind, tmp_path / "export", document=document)
    labels = choose_format(tmp_path / "export", "auto", "detection")(tmp_path / "export")
    labels.purpose = Purpose("detection")
    versions, refusals = labels.labeled(list(annotations))
    assert refusals == []
    assert set(versions) >= {name for name, annotation in annotations.items() if annotation.boxes}
    for name in versions:
        boxes = labels.read(name).in_pixels(*SIZE).boxes
        compare([[box.label, box.x1, box.y1, box.x2, box.y2] for box in boxes], annotations[name])


def compare(boxes: list[list[Any]], annotation: Annotation) -> None:
    theirs, ours = sorted(boxes), sorted([b.label, b.x1, b.y1, b.x2, b.y2] for b in annotation.boxes)
    assert [box[0] for box in theirs] == [box[0] for box in ours]
    for one, other in zip(theirs, ours, strict=True):
        np.testing.assert_allclose(one[1:], other[1:], atol=PIXELS)
