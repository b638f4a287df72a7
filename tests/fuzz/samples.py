"""Small valid documents of every kind that alcli reads; fuzzing starts from them."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image

VOC = [
    """<?xml version="1.0" encoding="UTF-8"?><annotation><filename>x.jpg</filename><size><width>64</width>
    <height>48</height><depth>3</depth></size><object><name>cat</name><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>30</xmax>
    <ymax>40</ymax></bndbox></object></annotation>""",
    "<annotation><object><name>dog</name><bndbox><xmin>1.5</xmin><ymin>2e0</ymin><xmax>30</xmax><ymax>40</ymax></bndbox>"
    "</object></annotation>",
]
_FRAME: dict[str, Any] = {
    "images": [{"id": 1, "file_name": "x.jpg", "width": 8, "height": 6}, {"id": 2, "file_name": "./sub/y.jpg"}],
    "categories": [{"id": 1, "name": "cat", "keypoints": ["nose", "tail"]}, {"id": "b", "name": "dog"}],
}
COCO = [
    {**_FRAME, "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 3.5, 4]},
                               {"id": 2, "image_id": 2, "category_id": "b", "bbox": [0, 0, 3, 4], "iscrowd": 0}]},
    {**_FRAME, "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "segmentation": [[1, 1, 5, 1, 5, 5]]},
                               {"id": 2, "image_id": 2, "category_id": "b", "iscrowd": 1,
                                "segmentation": [[0, 0, 3, 0, 3, 3.5, 0, 3], [5, 5, 6, 5, 6, 6]]}]},
    {**_FRAME, "annotations": [{"id": 1, "image_id": 1, "category_id": 1,
                                "segmentation": {"size": [6, 8], "counts": [10, 20, 18]}},
                               {"id": 2, "image_id": 2, "category_id": "b", "iscrowd": 1,
                                "segmentation": {"size": [2, 2], "counts": "04"}}]},
    {**_FRAME, "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "keypoints": [1, 2, 2, 3, 4, 1],
                                "num_keypoints": 2, "bbox": [0, 0, 5, 5]}]},
]  # fmt: skip
SUPERANNOTATE = [
    {
        "metadata": {"id": 7, "name": "x.jpg", "width": 64, "height": 48, "status": "Completed"},
        "instances": [
            {"type": "bbox", "className": "cat", "points": {"x1": 1, "y1": 2, "x2": 30, "y2": 40}, "probability": 90,
             "creationType": "Preannotation"},
            {"type": "rbbox", "className": "cat", "points": {"x1": 1, "y1": 2, "x2": 9, "y2": 2, "x3": 9, "y3": 9,
             "x4": 1, "y4": 9}},
            {"type": "polygon", "className": "dog", "points": [1, 1, 9, 1, 9, 9], "exclude": [[2, 2, 3, 2, 3, 3]],
             "groupId": 3},
        ],
        "tags": ["wet"], "comments": [],
    },
    {
        "metadata": {"name": "x.jpg"},
        "instances": [
            {"type": "polyline", "className": "road", "points": [1, 1, 5, 5, 9, 1]},
            {"type": "point", "className": "nose", "x": 3, "y": 4},
            {"type": "ellipse", "className": "eye", "cx": 9, "cy": 9, "rx": 4, "ry": 2, "angle": 30},
            {"type": "template", "className": "man", "points": [{"id": 1, "x": 1, "y": 2}, {"id": 2, "x": 3, "y": 4}],
             "pointLabels": {"0": "nose"}, "connections": []},
            {"type": "tag", "className": "wet"},
            {"type": "cuboid", "className": "car"},
        ],
    },
]  # fmt: skip
YOLO_LABELS = [
    "0 0.5 0.5 0.2 0.2\n1 0.25 0.25 0.1 0.1\n",
    "1 0.1 0.1 0.9 0.1 0.9 0.9\n\n0 0.5 0.5 1 1\n",
]
YOLO_YAML = [
    "path: .\ntrain: images\nnames: [cat, dog]\n",
    "names:\n  0: cat\n  1: dog\nnc: 2\n",
    "names: {0: a, 1: b}\nkpt_shape: [1, 3]\nkpt_names: {0: [nose]}\n",
    "names: [a, b]\nkpt_shape: [1, 2]\nkpt_names: [nose]\n",
]


def picture(kind: str, mode: str = "RGB", **options: Any) -> bytes:
    """A small picture as a file."""
    values = np.random.default_rng(0).integers(0, 255, (16, 20, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(values).convert(mode).save(stream, kind, **options)
    return stream.getvalue()


def _exif() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif.tobytes()


PICTURES = [picture("JPEG"), picture("JPEG", exif=_exif()), picture("PNG"), picture("PNG", "P"), picture("PNG", "RGBA"),
            picture("GIF"), picture("BMP"), picture("TIFF"), picture("TIFF", compression="tiff_lzw"), picture("WEBP"),
            picture("JPEG", "CMYK"), picture("PNG", "I;16"), picture("TIFF", "F")]  # fmt: skip


def _mask() -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.arange(48, dtype=np.uint8).reshape(6, 8) % 3).save(stream, "PNG")
    return stream.getvalue()


PNG_MASK = _mask()
