"""Runs in datumaro's own environment: ``write FORMAT FOLDER`` (from standard input) or ``read FORMAT FOLDER``.

The document maps an image's name to its ``size`` [width, height] and ``boxes`` [label, x1, y1, x2, y2], in pixels.
"""

import json
import sys
from pathlib import Path

import datumaro
import numpy as np
from datumaro.components.media import Image


def write(kind: str, folder: str, document: dict) -> None:
    labels = sorted({box[0] for image in document.values() for box in image["boxes"]})
    items = [
        datumaro.DatasetItem(
            Path(name).stem,
            subset=("train", "val")[order % 2],
            media=Image.from_numpy(np.zeros((image["size"][1], image["size"][0], 3), np.uint8), ext=".png"),
            annotations=[
                datumaro.Bbox(x1, y1, x2 - x1, y2 - y1, label=labels.index(label), id=number, group=number)
                for number, (label, x1, y1, x2, y2) in enumerate(image["boxes"], 1)
            ],
            attributes={"id": order},
        )
        for order, (name, image) in enumerate(document.items(), 1)
    ]
    datumaro.Dataset.from_iterable(items, categories=labels).export(folder, kind, save_media=True)


def read(kind: str, folder: str) -> dict:
    dataset = datumaro.Dataset.import_from(folder, kind)
    labels = dataset.categories()[datumaro.AnnotationType.label]
    return {
        item.id: [
            [labels[box.label].name, *(float(value) for value in box.points)]
            for box in item.annotations
            if isinstance(box, datumaro.Bbox)
        ]
        for item in dataset
    }


if __name__ == "__main__":
    action, kind, folder = sys.argv[1:]
    if action == "write":
        write(kind, folder, json.load(sys.stdin))
    else:
        print(json.dumps(read(kind, folder)))
