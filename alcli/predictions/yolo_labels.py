"""YOLO's ``labels/*.txt`` with confidences, as detectors write them: class, center x, y, width, height, confidence."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import yaml

from alcli.errors import DataError
from alcli.predictions import FRACTIONS, Boxes, ImagePrediction, Problem, Rules
from alcli.predictions.lines import check_corners, check_scores

DESCRIPTIONS = ("data.yaml", "data.yml", "dataset.yaml", "classes.txt", "obj.names")


def read_yolo(folder: Path, rules: Rules) -> Iterator[ImagePrediction | Problem]:
    """Stream a folder of label files; an image is named by its file's path below ``labels``, without suffix."""
    classes = list(rules.classes) or _classes_beside(folder)
    files = [path for path in sorted(folder.rglob("*.txt")) if path.name not in DESCRIPTIONS]
    for path in files:
        name = path.relative_to(folder).with_suffix("").as_posix().removeprefix("labels/")
        try:
            yield ImagePrediction(name, path.name, tuple(classes), FRACTIONS, boxes=_boxes(path, classes))
        except DataError as error:
            yield Problem(path.name, error.what, name)
        except (OSError, UnicodeDecodeError, ValueError) as error:
            yield Problem(path.name, f"not a label file: {error}", name)


def _boxes(path: Path, classes: Sequence[str]) -> Boxes:
    labels, corners, scores = [], [], []
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), 1):
        fields = line.split()
        if not fields:
            continue
        if len(fields) == 5:
            raise DataError(
                f"row {number} has no sixth column, the confidence; Ultralytics writes it with save_conf=True"
            )
        if len(fields) != 6:
            raise DataError(f"row {number} has {len(fields)} columns, not 6: class, x, y, width, height, confidence")
        index, x, y, width, height, score = map(float, fields)
        if not 0 <= index < len(classes) or index != int(index):
            known = f"the {len(classes)} classes, counted from 0" if classes else "the classes: nothing names them"
            raise DataError(f"row {number}: {fields[0]} is none of {known}")
        labels.append(classes[int(index)])
        corners.append([x - width / 2, y - height / 2, x + width / 2, y + height / 2])
        scores.append(score)
    table = np.array(corners, dtype=np.float64).reshape(-1, 4)
    check_corners(table, FRACTIONS)
    return Boxes(labels, table, check_scores(scores, "confidence"))


def _classes_beside(folder: Path) -> list[str]:
    """Class names from a description in the folder or above it; empty without one."""
    for place in (folder, folder.parent):
        for name in DESCRIPTIONS:
            path = place / name
            if not path.is_file():
                continue
            text = path.read_text(encoding="utf-8-sig")
            if path.suffix not in (".yaml", ".yml"):
                return [line.strip() for line in text.splitlines() if line.strip()]
            names = (yaml.safe_load(text) or {}).get("names", [])
            return [str(names[key]) for key in sorted(names)] if isinstance(names, dict) else [str(n) for n in names]
    return []
