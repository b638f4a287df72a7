"""Check a file of predictions from another model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from alcli.cli import _options as options
from alcli.errors import DataError

if TYPE_CHECKING:
    from alcli.predictions import Rules
    from alcli.predictions.survey import PoolNames, Survey

MOST_SHOWN = 20


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--classes", help="Class names, comma-separated; default: those of the workspace or of the file.")
@click.option("--multi-label", is_flag=True, help="Probabilities of an image are independent and need not sum to 1.")
@click.option("--coco", type=click.Path(path_type=Path), help="COCO file that names the ids in COCO results.")
@options.shared
def command(session: options.Session, file: Path, classes: str | None, multi_label: bool, coco: Path | None) -> int:
    """Check predictions made elsewhere: every line, and with -w whether they fit the project's images and classes.

    FILE is JSON Lines (.jsonl, .jsonl.gz), COCO results, a folder of YOLO labels with confidences, CSV or Parquet with
    a column of names and one per class, or .npz with names and embeddings. A line for each image:

    \b
      {"name": "a.jpg", "boxes": [[10, 20, 110, 220]], "scores": [0.9], "labels": ["cat"]}
      {"name": "a.jpg", "probabilities": {"cat": 0.9, "dog": 0.1}, "embedding": [0.1, 0.7]}

    \b
    Examples:
      alcli check-predictions preds.jsonl
      alcli check-predictions results.json --coco instances.json
      alcli check-predictions preds.jsonl -w W
    """
    from alcli.predictions import Rules

    rules, names = Rules(), None
    if session.given is not None:
        rules, names = _project(session)
    if classes:
        rules = Rules(tuple(classes.split(",")), rules.several_labels, rules.joints)
    if multi_label:
        rules = Rules(rules.classes, True, rules.joints)
    survey, extra = _look(file, rules, coco, names)
    sentences, wrong = _verdict(survey, rules, file)
    document = {
        "file": str(file),
        "images": survey.images,
        "keys": dict(sorted(survey.keys.items())),
        "classes": survey.classes,
        "problems": [problem.in_words() for problem in survey.problems[:MOST_SHOWN]],
        "broken": survey.broken,
        "without_image": extra,
    }
    session.console.result(document, "\n".join(_lines(document, sentences)))
    return DataError.exit_code if wrong else 0


def _project(session: options.Session) -> tuple[Rules, PoolNames | None]:
    """What the reader must know of the project, and the names of its images; None before the first pull."""
    from alcli.artifacts.examples import class_names
    from alcli.predictions import Rules
    from alcli.predictions.survey import PoolNames

    with session.open_workspace() as workspace:
        config = workspace.configuration(session.overrides)
        items = workspace.store.pool().items
        known = class_names(config, workspace.store.annotations(items))
        several = bool(getattr(config.options_of("task"), "multi_label", False))
        return Rules(known, several, config.task.name == "pose"), PoolNames(items.values()) if items else None


def _look(file: Path, rules: Rules, coco: Path | None, names: PoolNames | None) -> tuple[Survey, int]:
    """Survey the file; also the number of predictions that belong to no image of the project."""
    from alcli.predictions import ImagePrediction
    from alcli.predictions.sources import read_predictions
    from alcli.predictions.survey import Survey

    survey, extra = Survey(), 0
    for entry in read_predictions(file, rules, coco):
        item_ids = []
        if names is not None and isinstance(entry, ImagePrediction):
            item_ids = names.find(entry.name)
            extra += not item_ids
        survey.add(entry, item_ids[0] if len(item_ids) == 1 else None)
    return survey, extra


def _verdict(survey: Survey, rules: Rules, file: Path) -> tuple[Sequence[str], bool]:
    """Sentences about the whole file, and whether it cannot be used."""
    from alcli.predictions.survey import foreign_classes

    try:
        sentences = foreign_classes(survey, rules)
        survey.check(str(file))
    except DataError as error:
        return ([] if survey.broken else [f"{error.what} {error.do}"]), True
    return sentences, False


def _lines(document: dict[str, Any], sentences: Sequence[str]) -> list[str]:
    from alcli.system.text import quantity

    lines = [f"{document['file']}: {quantity(document['images'], 'image')}"]
    lines += [f"  {key}: {count:,}" for key, count in document["keys"].items()]
    if document["classes"]:
        more = len(document["classes"]) - 10
        lines.append(f"  classes: {', '.join(document['classes'][:10])}{f' and {more} more' if more > 0 else ''}")
    lines += document["problems"]
    if document["broken"] > MOST_SHOWN:
        lines.append(f"… and {document['broken'] - MOST_SHOWN} more.")
    if document["without_image"]:
        lines.append(f"{quantity(document['without_image'], 'prediction')} without an image in the project.")
    return [*lines, *sentences]
