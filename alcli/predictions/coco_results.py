"""COCO results: a JSON list of ``{"image_id", "category_id", "bbox", "score"}``, one entry per object."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from alcli.annotations import Mask
from alcli.errors import DataError
from alcli.predictions import Boxes, ImagePrediction, Problem, Rules
from alcli.predictions.lines import check_corners, check_scores, open_lines


@dataclass
class _Listing:
    """Names behind ids: of images, of categories, and the joints of each category."""

    images: dict[Any, tuple[str, tuple[int, int] | None]] = field(default_factory=dict)
    categories: dict[Any, str] = field(default_factory=dict)
    joints: dict[Any, Sequence[str]] = field(default_factory=dict)


def read_coco(path: Path, rules: Rules, coco: Path | None) -> Iterator[ImagePrediction | Problem]:
    """Yield the predictions of each image; the file is read whole.

    Args:
        coco: the annotation file that names images and categories; without it an ``image_id`` is the image's name, and
            categories are the project's classes, counted from 1.

    Raises:
        DataError: the file is not JSON, or not such a list.
    """
    content = _load(path)
    listing = _Listing()
    for each in [content] if isinstance(content, dict) else []:
        _list_names(each, listing)
    if coco is not None:
        _list_names(_load(coco), listing)
    if not listing.categories:
        listing.categories = dict(enumerate(rules.classes, 1))
    entries = content.get("annotations", []) if isinstance(content, dict) else content
    groups: dict[Any, list[Mapping[str, Any]]] = {image_id: [] for image_id in listing.images}
    for number, entry in enumerate(entries):
        if not isinstance(entry, dict) or "image_id" not in entry:
            yield Problem(f"{path.name}, entry {number}", "it has no image_id")
            continue
        groups.setdefault(entry["image_id"], []).append(entry)
    for image_id, group in groups.items():
        name, size = listing.images.get(image_id, (str(image_id), None))
        source = f"{path.name}, image_id {image_id}"
        try:
            if listing.images and image_id not in listing.images:
                raise DataError("the COCO file lists no image with this id")
            yield _prediction(name, source, size, group, listing)
        except DataError as error:
            yield Problem(source, error.what, name)
        except (TypeError, ValueError, KeyError) as error:
            yield Problem(source, f"an entry has a value of the wrong kind ({error})", name)


def _load(path: Path) -> Any:
    try:
        with open_lines(path) as stream:
            content = json.loads(stream.read())
    except (OSError, EOFError, ValueError, RecursionError) as error:
        raise DataError(f"{path} is not JSON: {error}.", do="Was it written to its end?") from None
    if not isinstance(content, dict | list):
        raise DataError(f"{path} holds no list of results.", do="See `alcli check-predictions --help`.")
    return content


def _list_names(content: Any, listing: _Listing) -> None:
    if not isinstance(content, dict):
        raise DataError("The COCO file is a list of results; the annotation file with images is needed.")
    for image in content.get("images", []):
        size = (image["width"], image["height"]) if "width" in image and "height" in image else None
        listing.images[image["id"]] = (str(image["file_name"]), size)
    for category in content.get("categories", []):
        listing.categories[category["id"]] = str(category["name"])
        listing.joints[category["id"]] = category.get("keypoints", [])


def _prediction(
    name: str, source: str, size: tuple[int, int] | None, group: Sequence[Mapping[str, Any]], listing: _Listing
) -> ImagePrediction:
    classes = tuple(listing.categories.values())
    labels = [_category(entry, listing) for entry in group]
    parts: dict[str, Any] = {}
    if not group or any("bbox" in entry for entry in group):
        parts["boxes"] = _boxes(group, labels)
    if any("keypoints" in entry for entry in group):
        parts["people"] = [_joints(entry, listing) for entry in group if "keypoints" in entry]
    if any("segmentation" in entry for entry in group):
        parts["masks"] = _masks(group, labels)
    return ImagePrediction(name, source, classes, size=size, **parts)


def _category(entry: Mapping[str, Any], listing: _Listing) -> str:
    number = entry.get("category_id")
    if number not in listing.categories:
        raise DataError(f"category {number} is not known: name the COCO file with the categories (--coco)")
    return listing.categories[number]


def _boxes(group: Sequence[Mapping[str, Any]], labels: Sequence[str]) -> Boxes:
    corners, scores, kept = [], [], []
    for entry, label in zip(group, labels, strict=True):
        if "bbox" not in entry:
            continue
        if "score" not in entry:
            raise DataError("an entry has no score: are these annotations, and not predictions?")
        x, y, width, height = map(float, entry["bbox"])
        corners.append([x, y, x + width, y + height])
        scores.append(float(entry["score"]))
        kept.append(label)
    table = np.array(corners, dtype=np.float64).reshape(-1, 4)
    check_corners(table, "pixels")
    return Boxes(kept, table, check_scores(scores))


def _joints(entry: Mapping[str, Any], listing: _Listing) -> dict[str, tuple[float, float, float]]:
    names = listing.joints.get(entry.get("category_id"), [])
    flat = [float(value) for value in entry["keypoints"]]
    if len(flat) != 3 * len(names):
        raise DataError(f"{len(flat) // 3} keypoints, but the COCO file names {len(names)} (--coco)")
    triples = zip(names, flat[::3], flat[1::3], flat[2::3], strict=True)
    # COCO's third number is a visibility of up to 2; detectors write a score there.
    return {name: (x, y, min(max(score, 0.0), 1.0)) for name, x, y, score in triples}


def _masks(group: Sequence[Mapping[str, Any]], labels: Sequence[str]) -> dict[str, Mask]:
    """One mask per class: instances of a class are joined."""
    from pycocotools import mask as coco_mask

    by_class: dict[str, list[Any]] = {}
    for entry, label in zip(group, labels, strict=True):
        part = entry.get("segmentation")
        if isinstance(part, dict) and isinstance(part.get("counts"), str):
            height, width = part["size"]
            Mask(label, part["counts"], (width, height))  # pycocotools does not check lengths
            by_class.setdefault(label, []).append({"size": [height, width], "counts": part["counts"].encode("ascii")})
    joined = {label: coco_mask.merge(parts) for label, parts in by_class.items()}
    return {
        label: Mask(label, rle["counts"].decode("ascii"), (rle["size"][1], rle["size"][0]))
        for label, rle in joined.items()
    }
