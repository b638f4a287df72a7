"""Several COCO files of one folder that list the same images, as COCO itself and Datumaro write them.

``instances_train.json`` and ``person_keypoints_train.json`` say the same of a person; ``image_info_train.json`` says
nothing. Files that contradict each other are left as they are: matching then refuses the image.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from alcli.formats._coco_entries import Category, Entry

GEOMETRY = ("bbox", "segmentation", "keypoints")


@dataclass(frozen=True)
class Listing:
    """An image in one COCO file: the file's name, its folder relative to the root, the entry."""

    source: str
    folder: str
    entry: Entry


def merge_listings(listings: Iterable[Listing]) -> list[Listing]:
    """Merge the entries of one image in several files where one file holds all that the others say."""
    groups: dict[tuple[str, str], list[Listing]] = defaultdict(list)
    for listing in listings:
        groups[listing.folder, listing.entry.file_name].append(listing)
    return [listing for group in groups.values() for listing in _merge(group)]


def _merge(group: list[Listing]) -> list[Listing]:
    sources = {listing.source for listing in group}
    if len(group) == 1 or len(sources) < len(group) or any(listing.entry.problem for listing in group):
        return group
    entry = _fullest([listing.entry for listing in group])
    return [Listing(group[0].source, group[0].folder, entry)] if entry else group


def _fullest(group: list[Entry]) -> Entry | None:
    """The entry that holds all that the others say, with their keypoints; None if there is none."""
    drawn = [entry for entry in group if any(_has_geometry(raw) for _, raw, _ in entry.objects)]
    if not drawn:
        return None if any(entry.objects for entry in group) else group[0]
    fullest = max(drawn, key=lambda entry: len(entry.objects))
    merged = {_key(raw, category): (where, raw, category) for where, raw, category in fullest.objects}
    for entry in drawn:
        for where, raw, category in entry.objects:
            key = _key(raw, category)
            if key not in merged:
                return None
            if raw.get("keypoints") and not merged[key][1].get("keypoints"):
                merged[key] = (where, {**merged[key][1], **raw}, category)
    size = next((entry.size for entry in drawn if all(entry.size)), fullest.size)
    return Entry(fullest.raw_id, fullest.file_name, size, list(merged.values()))


def _has_geometry(raw: dict[str, Any]) -> bool:
    return any(raw.get(key) for key in GEOMETRY)


def _key(raw: dict[str, Any], category: Category) -> str:
    """What two files say alike of one object: its id, class and box, or its outline where it has no box."""
    return json.dumps([str(raw.get("id")), category.name, raw.get("bbox") or raw.get("segmentation")], sort_keys=True)
