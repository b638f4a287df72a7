"""Writers of a batch: one function for each form that annotation tools import."""

from __future__ import annotations

import json
import shutil
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote

import numpy as np

from alcli.annotations import Annotation, Box, Mask
from alcli.formats import coco, label_studio, ranked_name, voc, yolo
from alcli.images import inspect
from alcli.items import QueryRow
from alcli.system.files import SHARED, atomic_write

Size = tuple[int, int]


@dataclass(frozen=True)
class Batch:
    """The images of a batch, best first.

    Attributes:
        rows: ranks 1..n.
        paths: absolute paths of the image files, by item id.
        sizes: (width, height) of the upright images in pixels, by item id.
        annotations: predictions in pixels by item id; empty without pre-labels.
        classes: all classes of the project.
        model: ``NAME@cycleN``.
        link: whether images are linked instead of copied.
    """

    rows: Sequence[QueryRow]
    paths: Mapping[str, Path]
    sizes: Mapping[str, Size]
    annotations: Mapping[str, Annotation]
    classes: Sequence[str]
    model: str
    task: str
    link: bool = False

    def each(self) -> Iterator[tuple[QueryRow, Path, Annotation]]:
        """Yield each image with its predictions, which are empty without pre-labels; best first."""
        for row in self.rows:
            size = self.sizes[row.item.id]
            predicted = self.annotations.get(row.item.id, Annotation(row.item.id))
            yield row, self.paths[row.item.id], replace(predicted.in_pixels(*size), size=size)

    def by_name(self) -> dict[str, Annotation]:
        """The predictions by image name, best first."""
        return {row.item.name: annotation for row, _, annotation in self.each()}


def image_size(path: Path) -> Size:
    """(width, height) of the upright image; raises DataError if it cannot be decoded."""
    facts = inspect(path)
    return facts.width, facts.height


def write_list(batch: Batch, path: Path) -> None:
    """One absolute path per line, best first."""
    with atomic_write(path, permissions=SHARED) as stream:
        stream.writelines(f"{each}\n" for _, each, _ in batch.each())


def write_folder(batch: Batch, root: Path) -> None:
    """The images, named so that they sort by rank; annotations of them find their images by these names, too."""
    for row, path, _ in batch.each():
        _put(path, root / ranked_name(row.rank, row.item.name), batch.link)


def write_coco(batch: Batch, path: Path) -> None:
    """One JSON file; ids of images are ranks."""
    classes = () if batch.task == "pose" else batch.classes
    coco.write(path, batch.by_name(), classes)


def write_yolo(batch: Batch, root: Path) -> None:
    """``data.yaml``, ``images/``, ``labels/`` where there are predictions, and ``batch.txt`` with the order."""
    names = {name: each for name, each in batch.by_name().items() if batch.annotations}
    yolo.write(root, names, batch.classes, "batch.txt")
    _put_images(batch, root / yolo.IMAGES)
    with atomic_write(root / "batch.txt", permissions=SHARED) as stream:
        stream.writelines(f"./{yolo.IMAGES}/{row.item.name}\n" for row in batch.rows)


def write_voc(batch: Batch, root: Path) -> None:
    """``JPEGImages/``, ``Annotations/`` where there are predictions, ``ImageSets/Main/batch.txt`` with the order."""
    _put_images(batch, root / "JPEGImages")
    for name, annotation in batch.by_name().items() if batch.annotations else ():
        path = (root / "Annotations" / name).with_suffix(".xml")
        path.parent.mkdir(parents=True, exist_ok=True)
        voc.write(path, PurePosixPath(name).name, annotation)
    order = root / "ImageSets" / "Main" / "batch.txt"
    order.parent.mkdir(parents=True)
    with atomic_write(order, permissions=SHARED) as stream:
        stream.writelines(f"{PurePosixPath(row.item.name).with_suffix('')}\n" for row in batch.rows)


CONTROLS = (
    label_studio.Control("Choices", "choice", "image"),
    label_studio.Control("RectangleLabels", "label", "image"),
)


def write_label_studio(batch: Batch, path: Path) -> None:
    """Tasks for the import, with predictions for controls called ``label`` (boxes) and ``choice`` of ``image``."""
    tasks = []
    for row, _, annotation in batch.each():
        address = row.item.uri if row.item.uri.startswith("http") else f"/data/local-files/?d={quote(row.item.name)}"
        task: dict[str, Any] = {"data": {"image": address, "rank": row.rank, "reason": row.reason}}
        if batch.annotations:
            results = label_studio.write_results(annotation, batch.sizes[row.item.id], CONTROLS)
            scores = [result["score"] for result in results if "score" in result]
            task["predictions"] = [
                {"model_version": batch.model, "score": float(np.mean(scores)) if scores else 0.0, "result": results}
            ]
        tasks.append(task)
    with atomic_write(path, permissions=SHARED) as stream:
        json.dump(tasks, stream, ensure_ascii=False)


def write_cvat(batch: Batch, root: Path) -> None:
    """``images/``, ``manifest.jsonl`` with the order (sorting method: predefined), and ``annotations.xml`` 1.1."""
    _put_images(batch, root / "images")
    lines: list[dict[str, Any]] = [{"version": "1.1"}, {"type": "images"}]
    document = ElementTree.Element("annotations")
    ElementTree.SubElement(document, "version").text = "1.1"
    labels = ElementTree.SubElement(ElementTree.SubElement(document, "meta"), "task")
    ElementTree.SubElement(labels, "size").text = str(len(batch.rows))
    labels = ElementTree.SubElement(labels, "labels")
    for name in batch.classes:
        ElementTree.SubElement(ElementTree.SubElement(labels, "label"), "name").text = name
    for row, _, annotation in batch.each():
        width, height = batch.sizes[row.item.id]
        stem, dot, suffix = row.item.name.rpartition(".")
        lines.append({"name": stem, "extension": f"{dot}{suffix}", "width": width, "height": height})
        attributes = {"id": str(row.rank - 1), "name": row.item.name, "width": str(width), "height": str(height)}
        image = ElementTree.SubElement(document, "image", attributes)
        for tag, content in _shapes(annotation):
            ElementTree.SubElement(image, tag, {"source": "auto", **content})
    with atomic_write(root / "manifest.jsonl", permissions=SHARED) as stream:
        stream.writelines(f"{json.dumps(line, ensure_ascii=False)}\n" for line in lines)
    if batch.annotations:
        ElementTree.indent(document)
        with atomic_write(root / "annotations.xml", permissions=SHARED) as stream:
            stream.write(ElementTree.tostring(document, encoding="unicode", xml_declaration=True) + "\n")


def _shapes(annotation: Annotation) -> Iterator[tuple[str, dict[str, str]]]:
    for label in annotation.labels:
        yield "tag", {"label": label}
    for box in annotation.boxes:
        yield "box", _corners(box)
    for mask in annotation.masks:
        if content := _run_lengths(mask):
            yield "mask", content


def _corners(box: Box) -> dict[str, str]:
    corners = zip(("xtl", "ytl", "xbr", "ybr"), (box.x1, box.y1, box.x2, box.y2), strict=True)
    return {"label": box.label, "occluded": "0", **{key: f"{value:.2f}" for key, value in corners}, "z_order": "0"}


def _run_lengths(mask: Mask) -> dict[str, str]:
    """Runs of background and object, row by row, within the mask's own rectangle; empty for an empty mask."""
    pixels = mask.pixels()  # (height, width)
    rows, columns = np.flatnonzero(pixels.any(axis=1)), np.flatnonzero(pixels.any(axis=0))
    if not len(rows):
        return {}
    inside = pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].astype(np.int8)
    flat = inside.ravel()
    ends = np.append(np.flatnonzero(np.diff(flat)) + 1, len(flat))
    runs = np.diff(ends, prepend=0).tolist()
    runs = [0, *runs] if flat[0] else runs
    place = {"left": columns[0], "top": rows[0], "width": inside.shape[1], "height": inside.shape[0]}
    texts = {key: str(int(value)) for key, value in place.items()}
    return {"label": mask.label, "occluded": "0", "rle": ", ".join(map(str, runs)), **texts, "z_order": "0"}


def _put_images(batch: Batch, root: Path) -> None:
    root.mkdir(parents=True, exist_ok=True)
    for row, path, _ in batch.each():
        target = root / row.item.name
        target.parent.mkdir(parents=True, exist_ok=True)
        _put(path, target, batch.link)


def _put(path: Path, target: Path, link: bool) -> None:
    if link:
        target.symlink_to(path)
    else:
        shutil.copyfile(path, target)
