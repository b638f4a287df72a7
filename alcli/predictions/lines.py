"""The predictions file: JSON Lines, one line per image, gzip too; streamed, and each line checked.

The first line may be a header: ``{"alcli_predictions": 1, "classes": ["cat", "dog"], "units": "fractions"}``.
``schema.json`` describes both kinds of lines.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import numpy as np

from alcli.annotations import Mask
from alcli.errors import DataError
from alcli.predictions import FRACTIONS, PIXELS, Boxes, ImagePrediction, Problem, Rules
from alcli.signals import DESCRIPTIONS
from alcli.system.text import did_you_mean, is_text

VERSION = 1
HEADER = "alcli_predictions"
HEADER_KEYS = (HEADER, "classes", "units", "model")
KEYS = (
    "name",
    "size",
    "boxes",
    "scores",
    "labels",
    "box_probabilities",
    "support",
    "keypoints",
    "masks",
    "shares",
    "probabilities",
    "embedding",
    "signals",
)
SUM = 0.02
"""How far the sum of probabilities may lie from 1: half precision rounds."""
GZIP = b"\x1f\x8b"


@dataclass(frozen=True)
class Header:
    """What a file says once: the order of classes in lists of probabilities, and the units of coordinates."""

    classes: tuple[str, ...] = ()
    units: str = PIXELS


def open_lines(path: Path) -> IO[bytes]:
    """Open a file for reading, decompressed if it is gzip; raises OSError."""
    with path.open("rb") as stream:
        magic = stream.read(len(GZIP))
    return gzip.open(path) if magic == GZIP else path.open("rb")  # type: ignore[return-value]


def read_lines(path: Path, rules: Rules) -> Iterator[ImagePrediction | Problem]:
    """Stream a predictions file; a line that cannot be used is a Problem, and the rest is read all the same."""
    header = Header(tuple(rules.classes))
    try:
        with open_lines(path) as stream:
            for number, line in enumerate(stream, 1):
                source = f"{path.name}, line {number}"
                if not line.strip():
                    continue
                try:
                    content = _DECODER.decode(line.decode("utf-8-sig" if number == 1 else "utf-8"))
                    if number == 1 and isinstance(content, dict) and HEADER in content:
                        header = _header(content, header)
                        continue
                    yield _line(content, header, rules, source)
                except _Broken as error:
                    yield Problem(source, error.args[0], error.name)
                except DataError as error:
                    yield Problem(source, error.what, _name_of(content))
                except UnicodeDecodeError:
                    yield Problem(source, "the line is not UTF-8")
                except (ValueError, RecursionError) as error:
                    half = "" if line.endswith(b"\n") else "; the file ends in the middle of it"
                    yield Problem(source, f"the line is not JSON ({error}){half}")
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        yield Problem(path.name, f"the gzip file is damaged or only half written ({error})")


class _Broken(ValueError):
    """A value of a line that cannot be used."""

    def __init__(self, what: str, name: str = "") -> None:
        super().__init__(what)
        self.name = name


def _refuse_constant(text: str) -> float:
    raise _Broken(f"{text} is not a number that can be ranked; leave the key out, or the image")


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)


def _name_of(content: Any) -> str:
    name = content.get("name") if isinstance(content, dict) else ""
    return name if isinstance(name, str) else ""


def _header(content: Mapping[str, Any], header: Header) -> Header:
    for key in content:
        if key not in HEADER_KEYS:
            raise _Broken(f"the header has an unknown key {key!r}. {did_you_mean(key, HEADER_KEYS)}")
    if content[HEADER] != VERSION:
        raise _Broken(f"the file is of version {content[HEADER]!r}; this alcli reads version {VERSION}")
    units = content.get("units", PIXELS)
    if units not in (PIXELS, FRACTIONS):
        raise _Broken(f"units is {units!r}, not {PIXELS!r} or {FRACTIONS!r}")
    classes = content.get("classes", header.classes)
    if not all(isinstance(name, str) for name in classes) or len(set(classes)) != len(classes):
        raise _Broken("classes is not a list of different names")
    return replace(header, classes=tuple(classes), units=units)


def _line(content: Any, header: Header, rules: Rules, source: str) -> ImagePrediction:
    name, classes = _name_of(content), header.classes
    if not name or not is_text(name):
        raise _Broken('the line has no "name": the path of the image below its folder')
    for key in content:
        if key not in KEYS:
            raise _Broken(f"unknown key {key!r}. {did_you_mean(key, KEYS)}", name)
    try:
        probabilities = None
        if "probabilities" in content:
            classes, probabilities = _image_probabilities(content["probabilities"], header, rules)
        return ImagePrediction(
            name,
            source,
            classes,
            header.units,
            _size(content.get("size")),
            _boxes(content, header) if "boxes" in content else None,
            probabilities,
            _people(content["keypoints"]) if "keypoints" in content else None,
            {label: _mask(label, part) for label, part in content["masks"].items()} if "masks" in content else None,
            _shares(content["shares"]) if "shares" in content else None,
            _vector("embedding", content["embedding"], np.float32) if "embedding" in content else None,
            {key: _signal(key, value) for key, value in content.get("signals", {}).items()},
        )
    except _Broken as error:
        raise _Broken(error.args[0], name) from None
    except (TypeError, ValueError, KeyError, AttributeError, OverflowError) as error:
        raise _Broken(f"the line has a value of the wrong kind ({error})", name) from None


def _vector(key: str, values: Any, dtype: Any = np.float64) -> np.ndarray:
    array = np.asarray(values, dtype=dtype)
    if array.ndim != 1:
        raise _Broken(f"{key} is not a list of numbers")
    if not np.isfinite(array).all():
        raise _Broken(f"{key} holds a number that is not finite")
    return array


def _size(value: Any) -> tuple[int, int] | None:
    if value is None:
        return None
    width, height = value
    if not (isinstance(width, int) and isinstance(height, int) and width > 0 and height > 0):
        raise _Broken(f"size is {value!r}, not [width, height] in pixels")
    return width, height


def _boxes(content: Mapping[str, Any], header: Header) -> Boxes:
    listed = content["boxes"]
    count = len(listed)
    for key in ("scores", "labels") if count else ():
        if key not in content:
            raise _Broken(f'boxes without "{key}"')
        if len(content[key]) != count:
            raise _Broken(f"{count} boxes, but {len(content[key])} {key}")
    if not count:
        return Boxes()
    corners = np.array(listed, dtype=np.float64)
    if corners.shape != (count, 4):
        raise _Broken("a box is not a list of four numbers: x1, y1, x2, y2")
    check_corners(corners, header.units)
    table = content.get("box_probabilities")
    probabilities = None if table is None else _box_probabilities(table, count, header)
    support = None if "support" not in content else _vector("support", content["support"])
    if support is not None and (len(support) != count or (support < 0).any()):
        raise _Broken(f"support is not a list of {count} numbers from 0")
    labels = [_label(label, header) for label in content["labels"]]
    return Boxes(labels, corners, check_scores(content["scores"]), probabilities, support)


def check_corners(corners: np.ndarray, units: str) -> None:
    """Raise DataError for boxes (k, 4) that are not finite, have swapped corners, or cannot be in these units."""
    # Plain floats: on a handful of boxes numpy's reductions would take most of the time.
    for x1, y1, x2, y2 in corners.tolist():
        if not -1e9 < x1 <= x2 < 1e9 or not -1e9 < y1 <= y2 < 1e9:
            raise DataError(
                f"box ({x1:g}, {y1:g}, {x2:g}, {y2:g}) is not x1, y1, x2, y2 with x1 < x2 and y1 < y2;"
                " is it x, y, width, height?"
            )
        if units == FRACTIONS and (x1 < -0.05 or y1 < -0.05 or x2 > 1.05 or y2 > 1.05):
            raise DataError(
                f"box ({x1:g}, {y1:g}, {x2:g}, {y2:g}) lies outside the image;"
                f' the file says "units": "{FRACTIONS}", these look like pixels'
            )


def check_scores(values: Any, key: str = "score") -> np.ndarray:
    """(k,) scores as float64; raises DataError for one that is not in [0, 1]."""
    for value in values:
        if not 0 <= value <= 1:
            hint = "; are these percent?" if 1 < value <= 100 else "; are these logits?"
            raise DataError(f"{key} {value:g} is not in [0, 1]{hint}")
    return np.array(values, dtype=np.float64)


def _label(label: Any, header: Header) -> str:
    if isinstance(label, str):
        return label
    if isinstance(label, bool) or not isinstance(label, int):
        raise _Broken(f"label {label!r} is neither a class name nor the number of a class")
    if not 0 <= label < len(header.classes):
        raise _Broken(f"label {label} is not the number of one of {len(header.classes)} classes, counted from 0")
    return header.classes[label]


def _box_probabilities(table: Any, count: int, header: Header) -> np.ndarray:
    values = np.array(table, dtype=np.float64)
    if values.shape != (count, len(header.classes)):
        shape = "×".join(str(side) for side in values.shape)
        raise _Broken(f"box_probabilities is {shape}, not {count} boxes × {len(header.classes)} classes")
    if not np.isfinite(values).all() or values.min() < 0 or (values.sum(axis=1) > 1 + SUM).any():
        raise _Broken("box_probabilities of a box are negative or sum to more than 1; are they logits or sigmoids?")
    return values


def _image_probabilities(value: Any, header: Header, rules: Rules) -> tuple[tuple[str, ...], np.ndarray]:
    """(classes, their probabilities): a list is in the order of the header's classes, an object names its own."""
    classes = tuple(value) if isinstance(value, dict) else header.classes
    values = _vector("probabilities", list(value.values()) if isinstance(value, dict) else value)
    if not classes:
        raise _Broken(f'nothing says which classes these are: begin the file with {{"{HEADER}": 1, "classes": […]}}')
    if len(values) != len(classes):
        raise _Broken(f"{len(values)} probabilities for {len(classes)} classes: {', '.join(classes)}")
    check_probabilities(values[None], rules.several_labels)
    return classes, values


def check_probabilities(table: np.ndarray, several_labels: bool) -> None:
    """Raise DataError for rows (n, classes) that are no probabilities."""
    sums = table.sum(axis=1)
    if (table < 0).any() or (table > 1).any():
        bad = table[((table < 0) | (table > 1)).any(axis=1)][0]
        shown = ", ".join(f"{value:g}" for value in bad[:5])
        raise DataError(f"probabilities {shown} are not in [0, 1]: logits? Apply softmax before you write them")
    if not several_labels and (np.abs(sums - 1) > SUM).any():
        worst = sums[np.abs(sums - 1).argmax()]
        raise DataError(
            f"probabilities sum to {worst:.3g}, not 1; if an image may have several labels, set task.multi_label"
        )


def _people(value: Sequence[Mapping[str, Any]]) -> list[dict[str, tuple[float, float, float]]]:
    people = []
    for person in value:
        joints = {}
        for name, (x, y, score) in person.items():
            check_scores([score], f"score of {name}")
            joints[name] = (float(x), float(y), float(score))
        people.append(joints)
    return people


def _mask(label: str, part: Mapping[str, Any]) -> Mask:
    height, width = part["size"]
    return Mask(label, part["counts"], (width, height))


def _shares(value: Mapping[str, Any]) -> dict[str, float]:
    shares = {name: float(share) for name, share in value.items()}
    check_scores(list(shares.values()), "share")
    return shares


def _signal(name: str, value: Any) -> np.ndarray:
    if name not in DESCRIPTIONS:
        raise _Broken(f"unknown signal {name!r}. {did_you_mean(name, DESCRIPTIONS)}")
    array = np.asarray(value, dtype=np.float32)
    if array.ndim > 1 or not np.isfinite(array).all():
        raise _Broken(f"signal {name} is not a finite number, or a list of them")
    return array


def write_header(stream: IO[str], header: Header, model: str = "") -> None:
    """Write the first line of a predictions file."""
    content: dict[str, Any] = {HEADER: VERSION, "classes": list(header.classes), "units": header.units}
    stream.write(json.dumps({**content, **({"model": model} if model else {})}) + "\n")


def parse_line(line: bytes, header: Header, rules: Rules, source: str) -> ImagePrediction:
    """The prediction of one line that was checked before; raises ValueError or DataError for any other line."""
    return _line(_DECODER.decode(line.decode("utf-8")), header, rules, source)


def to_line(prediction: ImagePrediction, classes: Sequence[str]) -> str:
    """One line for ``read_lines``, without its line end; floats keep all their digits.

    Args:
        classes: of the file's header; other classes of probabilities are named.
    """
    content: dict[str, Any] = {"name": prediction.name}
    if prediction.size:
        content["size"] = list(prediction.size)
    if prediction.boxes is not None:
        content |= _boxes_content(prediction.boxes)
    if prediction.probabilities is not None:
        values = prediction.probabilities.tolist()
        same = tuple(prediction.classes) == tuple(classes)
        content["probabilities"] = values if same else dict(zip(prediction.classes, values, strict=True))
    if prediction.people is not None:
        content["keypoints"] = [{name: list(joint) for name, joint in person.items()} for person in prediction.people]
    if prediction.masks is not None:
        content["masks"] = {
            name: {"size": [mask.size[1], mask.size[0]], "counts": mask.counts}
            for name, mask in prediction.masks.items()
        }
    if prediction.shares is not None:
        content["shares"] = dict(prediction.shares)
    if prediction.embedding is not None:
        content["embedding"] = prediction.embedding.tolist()
    if prediction.signals:
        content["signals"] = {name: array.tolist() for name, array in prediction.signals.items()}
    return json.dumps(content)


def _boxes_content(boxes: Boxes) -> dict[str, Any]:
    content: dict[str, Any] = {
        "boxes": boxes.corners.tolist(),
        "scores": boxes.scores.tolist(),
        "labels": list(boxes.labels),
    }
    if boxes.probabilities is not None:
        content["box_probabilities"] = boxes.probabilities.tolist()
    if boxes.support is not None:
        content["support"] = boxes.support.tolist()
    return content
