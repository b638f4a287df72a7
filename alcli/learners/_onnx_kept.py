"""What the same model said about the same images in an earlier cycle: nothing has to be looked at twice."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence

from alcli.artifacts.kept_predictions import KeptPredictions
from alcli.context import Context
from alcli.errors import WorkspaceDamaged
from alcli.items import ImageFacts, Item
from alcli.predictions import ImagePrediction
from alcli.system.files import atomic_write
from alcli.workspace.records import Training

IMAGES_FILE = "onnx.looked.json"
"""In the cycle's folder: the model's key, and the hash of each image; its version may change with its annotation."""
AT_ONCE = 1000


def note_images(context: Context, cycle: int, model_key: str) -> None:
    """Note which images a cycle's predictions are of."""
    hashes = {item_id: facts.sha256 for item_id, (_, facts) in context.workspace.store.images().items()}
    path = context.workspace.cycle_folder(cycle) / IMAGES_FILE
    with atomic_write(path) as stream:
        json.dump({"model": model_key, "images": hashes}, stream, indent=0)


def kept_answers(
    context: Context, cycle: int, model_key: str, items: Sequence[Item], facts: Mapping[str, ImageFacts]
) -> Iterator[tuple[Item, ImagePrediction]]:
    """Yield the items that the newest earlier cycle's predictions hold, of the same image by the same model.

    A file that is missing or damaged gives nothing: its images are looked at again.
    """
    earlier = context.workspace.newest(Training, before=cycle)
    if earlier is None or earlier.file is None or earlier.summary.learner != "onnx":
        return
    hashes = _hashes(context, earlier.cycle, model_key)
    same = [item for item in items if item.id in facts and hashes.get(item.id) == facts[item.id].sha256]
    if not same:
        return
    try:
        kept = KeptPredictions(context.workspace.verify_file(earlier))
    except WorkspaceDamaged:
        return
    for start in range(0, len(same), AT_ONCE):
        part = same[start : start + AT_ONCE]
        answers = kept.read([item.id for item in part])
        yield from ((item, answers[item.id]) for item in part if item.id in answers)


def _hashes(context: Context, cycle: int, model_key: str) -> dict[str, str]:
    path = context.workspace.cycle_folder(cycle) / IMAGES_FILE
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return dict(content["images"]) if content["model"] == model_key else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
