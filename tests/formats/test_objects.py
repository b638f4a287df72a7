"""For detection, every reader gives the bounding box of every object that has a shape and no box."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from alcli.annotations import CROWD, IGNORED, Annotation, Box, PassedOver
from alcli.errors import DataError
from alcli.formats import Purpose
from alcli.formats.coco import Coco
from alcli.formats.cvat import Cvat
from alcli.formats.label_studio import LabelStudio
from alcli.formats.superannotate import Superannotate, document, parse
from alcli.formats.voc import Voc
from alcli.formats.yolo import Yolo
from tests.support.brush import encode_brush

WIDTH, HEIGHT = 96, 64
NAME = "a.jpg"


def coco(root: Path, *objects: dict) -> Coco:
    entries = [{"id": number, "image_id": 1, "category_id": 1, **entry} for number, entry in enumerate(objects)]
    category = {"id": 1, "name": "cat", "keypoints": ["nose", "tail"]}
    image = {"id": 1, "file_name": NAME, "width": WIDTH, "height": HEIGHT}
    path = root / "coco.json"
    path.write_text(json.dumps({"images": [image], "annotations": entries, "categories": [category]}))
    return Coco(path)


def cvat(root: Path, *objects: str) -> Cvat:
    image = f'<image id="0" name="{NAME}" width="{WIDTH}" height="{HEIGHT}">{"".join(objects)}</image>'
    (root / "annotations.xml").write_text(f"<annotations>{image}</annotations>")
    return Cvat(root)


def label_studio(root: Path, *results: dict) -> LabelStudio:
    size = {"original_width": WIDTH, "original_height": HEIGHT}
    task = {"data": {"image": NAME}, "annotations": [{"result": [{**size, **result} for result in results]}]}
    path = root / "project.json"
    path.write_text(json.dumps([task]))
    return LabelStudio(path)


def superannotate(root: Path, *instances: dict) -> Superannotate:
    content = {
        "metadata": {"name": NAME, "width": WIDTH, "height": HEIGHT},
        "instances": [{"className": "cat", **instance} for instance in instances],
    }
    (root / f"{NAME}.json").write_text(json.dumps(content))
    return Superannotate(root)


def voc(root: Path, *objects: str) -> Voc:
    size = f"<size><width>{WIDTH}</width><height>{HEIGHT}</height></size>"
    nodes = "".join(f"<object><name>cat</name>{content}</object>" for content in objects)
    (root / "a.xml").write_text(f"<annotation>{size}{nodes}</annotation>")
    return Voc(root)


def yolo(root: Path, *lines: str) -> Yolo:
    (root / "data.yaml").write_text("names: [cat]\n")
    (root / "a.txt").write_text("".join(f"0 {line}\n" for line in lines))
    return Yolo(root)


def read(reader, task: str = "detection", crowds: bool = False) -> Annotation:
    reader.purpose = Purpose(task, crowds=crowds)
    assert reader.labeled([NAME])[1] == []
    return reader.read(NAME)


PIXELS = np.zeros((HEIGHT, WIDTH), dtype=np.uint8, order="F")
PIXELS[20:50, 10:40] = 1
RUNS = {"size": [HEIGHT, WIDTH], "counts": coco_mask.encode(PIXELS)["counts"].decode()}
PAINT = np.repeat(PIXELS.reshape(-1) * 255, 4).tobytes()
RING = [10, 20, 40, 20, 40, 50]
SPOT = "10,20;40,20;40,50"
CUBOID = " ".join(f'x{corner}="{x}" y{corner}="{y}"' for corner, x, y in (
    ("tl1", 10, 30), ("bl1", 10, 50), ("tr1", 30, 30), ("br1", 30, 50),
    ("tl2", 20, 20), ("bl2", 20, 40), ("tr2", 40, 20), ("br2", 40, 40)))  # fmt: skip
JOINTS = '<points label="nose" points="10,20"/><points label="tail" points="40,50"/>'
OUTSIDE = '<points label="ear" points="0,0" outside="1"/>'


def percent(*values: float) -> list[float]:
    return [100 * value / (HEIGHT if number % 2 else WIDTH) for number, value in enumerate(values)]


def points(*values: float) -> list[list[float]]:
    flat = percent(*values)
    return [list(pair) for pair in zip(flat[::2], flat[1::2], strict=True)]


def shares(*values: float) -> str:
    return " ".join(str(value / 100) for value in percent(*values))


def rbox(**corners: float) -> str:
    return "<robndbox>" + "".join(f"<{key}>{value}</{key}>" for key, value in corners.items()) + "</robndbox>"


def bndbox(*corners: float) -> str:
    keys = zip(("xmin", "ymin", "xmax", "ymax"), corners, strict=True)
    return "<bndbox>" + "".join(f"<{key}>{value}</{key}>" for key, value in keys) + "</bndbox>"


def ellipse(x: float, y: float, rx: float, ry: float, rotation: float) -> dict:
    (left, top), (across, down) = percent(x, y), percent(rx, ry)
    value = {"x": left, "y": top, "radiusX": across, "radiusY": down, "rotation": rotation, "ellipselabels": ["cat"]}
    return {"type": "ellipselabels", "value": value}


def rectangle(x: float, y: float, width: float, height: float, rotation: float) -> dict:
    keys = zip(("x", "y", "width", "height"), percent(x, y, width, height), strict=True)
    return {"type": "rectanglelabels", "value": {**dict(keys), "rotation": rotation, "rectanglelabels": ["cat"]}}


HULL = (10, 20, 40, 50)
TURNED = "<attributes><attribute><name>rotation</name><value>45</value></attribute></attributes>"
SHAPES: dict[str, tuple[Callable, object]] = {
    "coco polygon": (coco, {"segmentation": [RING]}),
    "coco polygon in parts": (coco, {"segmentation": [[10, 20, 15, 20, 10, 25], [40, 50, 35, 50, 40, 45]]}),
    "coco polygon, empty box": (coco, {"segmentation": [RING], "bbox": []}),
    "coco run lengths": (coco, {"segmentation": RUNS}),
    "coco keypoints": (coco, {"keypoints": [10, 20, 2, 40, 50, 1]}),
    "coco turned box": (coco, {"bbox": [10, 28.786797, 30, 12.426407], "attributes": {"rotation": 45}}),
    "cvat turned box": (cvat, '<box label="cat" xtl="10" ytl="28.786797" xbr="40" ybr="41.213203" rotation="45"/>'),
    "cvat polygon": (cvat, f'<polygon label="cat" points="{SPOT}"/>'),
    "cvat polyline": (cvat, f'<polyline label="cat" points="{SPOT}"/>'),
    "cvat points": (cvat, f'<points label="cat" points="{SPOT}"/>'),
    "cvat ellipse": (cvat, '<ellipse label="cat" cx="25" cy="35" rx="15" ry="15"/>'),
    "cvat mask": (cvat, '<mask label="cat" rle="0, 900" left="10" top="20" width="30" height="30"/>'),
    "cvat skeleton": (cvat, f'<skeleton label="cat">{JOINTS}{OUTSIDE}</skeleton>'),
    "cvat cuboid": (cvat, f'<cuboid label="cat" {CUBOID}/>'),
    "label studio polygon": (
        label_studio, {"type": "polygonlabels", "value": {"points": points(*RING), "polygonlabels": ["cat"]}},
    ),
    "label studio turned rectangle": (label_studio, rectangle(40, 20, 30, 30, 90)),
    "label studio ellipse": (label_studio, ellipse(25, 35, 15, 15, 0)),
    "label studio brush": (
        label_studio, {"type": "brushlabels", "value": {"rle": encode_brush(PAINT), "brushlabels": ["cat"]}},
    ),
    "superannotate polygon": (superannotate, {"type": "polygon", "points": RING}),
    "superannotate rbbox": (
        superannotate,
        {"type": "rbbox", "points": dict(zip(("x1", "y1", "x2", "y2", "x3", "y3", "x4", "y4"),
                                            (25, 20, 40, 35, 25, 50, 10, 35), strict=True))},
    ),
    "superannotate ellipse": (superannotate, {"type": "ellipse", "cx": 25, "cy": 35, "rx": 15, "ry": 15, "angle": 0}),
    "superannotate polyline": (superannotate, {"type": "polyline", "points": RING}),
    "superannotate template": (
        superannotate, {"type": "template", "points": [{"id": 1, "x": 10, "y": 20}, {"id": 2, "x": 40, "y": 50}]},
    ),
    "superannotate cuboid": (
        superannotate,
        {"type": "cuboid", "points": {"f1": {"x": 10, "y": 30}, "f2": {"x": 30, "y": 50},
                                      "r1": {"x": 20, "y": 20}, "r2": {"x": 40, "y": 40}}},
    ),
    "voc polygon": (voc, "<polygon><x1>10</x1><y1>20</y1><x2>40</x2><y2>20</y2><x3>40</x3><y3>50</y3></polygon>"),
    "voc polygon of points": (
        voc, "<polygon>" + "".join(f"<pt><x>{x}</x><y>{y}</y></pt>" for x, y in ((10, 20), (40, 20), (40, 50)))
        + "</polygon>",
    ),
    "voc turned box of roLabelImg": (voc, rbox(cx=25, cy=35, w=30, h=12.426407, angle=math.pi / 4)),
    "voc turned box of CVAT": (voc, bndbox(10, 28.786797, 40, 41.213203) + TURNED),
    "yolo polygon": (yolo, shares(*RING)),
    "yolo oriented box": (yolo, shares(25, 20, 40, 35, 25, 50, 10, 35)),
}  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES)
def test_an_object_without_a_box_gives_its_hull(tmp_path, shape):
    reader, content = SHAPES[shape]
    annotation = read(reader(tmp_path, content)).in_pixels(WIDTH, HEIGHT)
    (box,) = annotation.boxes
    assert box.label == "cat"
    assert (box.x1, box.y1, box.x2, box.y2) == pytest.approx(HULL, abs=1e-4)
    assert annotation.passed_over == ()


OVER = {
    "coco": (coco, {"segmentation": [[-10, 20, 40, 20, 40, 50]]}),
    "cvat": (cvat, '<polygon label="cat" points="-10,20;40,20;40,50"/>'),
    "label studio": (label_studio, {
        "type": "polygonlabels", "value": {"points": points(-10, 20, 40, 20, 40, 50), "polygonlabels": ["cat"]}}),
    "superannotate": (superannotate, {"type": "polygon", "points": [-10, 20, 40, 20, 40, 50]}),
    "voc": (voc, rbox(cx=15, cy=35, w=50, h=30, angle=0)),
    "yolo": (yolo, shares(-10, 20, 40, 20, 40, 50)),
}  # fmt: skip


@pytest.mark.parametrize("reader", OVER)
def test_a_hull_is_cut_at_the_border(tmp_path, reader):
    make, content = OVER[reader]
    (box,) = read(make(tmp_path, content)).in_pixels(WIDTH, HEIGHT).boxes
    assert (box.x1, box.y1, box.x2, box.y2) == pytest.approx((0, 20, 40, 50))


POINT = {"x": 10, "y": 10, "width": 1, "keypointlabels": ["cat"]}
WITHOUT_AREA = {
    "coco": (coco, {"keypoints": [10, 20, 2, 0, 0, 0]}, "point"),
    "cvat point": (cvat, '<points label="cat" points="10,20"/>', "point"),
    "cvat line": (cvat, '<polyline label="cat" points="10,20;40,20"/>', "line"),
    "cvat mask": (cvat, '<mask label="cat" rle="6" left="5" top="7" width="3" height="2"/>', "empty region"),
    "label studio": (label_studio, {"type": "keypointlabels", "value": POINT}, "point"),
    "superannotate": (superannotate, {"type": "point", "x": 10, "y": 20}, "point"),
    "superannotate comment": (superannotate, {"type": "comment"}, "comment"),
    "yolo": (yolo, shares(100, 20, 120, 20, 120, 50), "empty region"),
}


@pytest.mark.parametrize("case", WITHOUT_AREA)
def test_what_has_no_area_is_passed_over_and_counted(tmp_path, case):
    make, content, kind = WITHOUT_AREA[case]
    annotation = read(make(tmp_path, content, content))
    assert annotation.boxes == ()
    assert annotation.passed_over == (PassedOver(kind, 2),)
    assert annotation.is_empty


def test_crowd_regions_are_passed_over_or_objects(tmp_path):
    crowd = {"iscrowd": 1, "segmentation": RUNS}
    annotation = read(coco(tmp_path, crowd, crowd, {"bbox": [1, 2, 3, 4]}))
    assert annotation.boxes == (Box("cat", 1, 2, 4, 6),)
    assert annotation.passed_over == (PassedOver(CROWD, 2),)
    assert [mask.label for mask in annotation.masks] == [IGNORED, IGNORED]
    annotation = read(coco(tmp_path, crowd, {**crowd, "bbox": [1, 2, 3, 4]}), crowds=True)
    assert annotation.boxes == (Box("cat", *HULL), Box("cat", 1, 2, 4, 6))
    assert annotation.passed_over == ()
    assert [mask.label for mask in annotation.masks] == ["cat", "cat"]


def test_an_angle_must_be_finite(tmp_path):
    with pytest.raises(DataError, match="object 0: the angle is not finite"):
        read(voc(tmp_path, rbox(cx=25, cy=35, w=30, h=30, angle=math.inf)))


def test_a_detector_of_another_package_gets_boxes_and_keeps_points(tmp_path):
    point = {"type": "point", "x": 1, "y": 2}
    annotation = read(superannotate(tmp_path, point, {"type": "polygon", "points": RING}), "my-detector")
    assert annotation.boxes == (Box("cat", *HULL),)
    assert len(annotation.poses) == 1 and annotation.passed_over == ()


def test_the_parts_of_an_object_are_counted(tmp_path):
    annotation = read(voc(tmp_path, bndbox(*HULL) + f"<part><name>head</name>{bndbox(1, 2, 3, 4)}</part>"))
    assert annotation.boxes == (Box("cat", *HULL),)
    assert annotation.passed_over == (PassedOver("part"),)


BOX_AND_OUTLINE = {
    "coco": (coco, {"bbox": [1, 2, 3, 4]}, {"segmentation": [RING]}),
    "cvat": (cvat, '<box label="cat" xtl="1" ytl="2" xbr="4" ybr="6"/>', f'<polygon label="cat" points="{SPOT}"/>'),
    "superannotate": (
        superannotate, {"type": "bbox", "points": {"x1": 1, "y1": 2, "x2": 4, "y2": 6}},
        {"type": "polygon", "points": RING},
    ),
    "yolo": (yolo, "0.5 0.5 0.1 0.1", shares(*RING)),
}  # fmt: skip


@pytest.mark.parametrize("case", BOX_AND_OUTLINE)
def test_segmentation_refuses_a_box_among_outlines(tmp_path, case):
    make, *contents = BOX_AND_OUTLINE[case]
    with pytest.raises(DataError, match="1 box has no outline: boxes cannot train pixels"):
        read(make(tmp_path, *contents), "segmentation")


def test_segmentation_counts_points_and_lines(tmp_path):
    point, line = {"type": "point", "x": 1, "y": 2}, {"type": "polyline", "points": RING}
    annotation = read(superannotate(tmp_path, point, line, {"type": "polygon", "points": RING}), "segmentation")
    assert annotation.passed_over == (PassedOver("line"), PassedOver("point"))
    assert len(annotation.polygons) == 1 and annotation.poses == ()


def test_hulls_are_not_written_as_objects_of_their_own():
    content = {"metadata": {}, "instances": [{"className": "cat", "type": "polyline", "points": RING}]}
    annotation = parse("1", content, Purpose("detection"))
    assert len(annotation.boxes) == 1
    assert [instance["type"] for instance in document(NAME, annotation)["instances"]] == ["polyline"]


def test_broken_brush_strokes_are_refused(tmp_path):
    whole = encode_brush(PAINT)
    for rle, why in ((whole[:-1], "truncated"), ([0, 0, 0, 1], "do not cover"), ("abc", "not a list")):
        value = {"rle": rle, "brushlabels": ["cat"]}
        with pytest.raises(DataError, match=why):
            read(label_studio(tmp_path, {"type": "brushlabels", "value": value}))
