"""Annotations in layouts that alcli does not read: what they are called, so that a message can name them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from alcli.errors import DataError
from alcli.formats._class_lists import first_line
from alcli.formats._coco_entries import load_json
from alcli.formats._files import annotation_files, is_folder, read_head

EXPORT = "Export it as COCO, YOLO or Pascal VOC; classes of whole images as a CSV with the columns name,label."
MOST_OPENED = 3
LARGEST = 2**26
"""Bytes of a JSON file that is parsed only to say what it is."""
CORNERS = frozenset({"xmin", "ymin", "x_min", "y_min", "x1", "bbox"})
"""Columns (in lower case) of tables of boxes."""
VIA_COLUMN = "region_shape_attributes"
"""Of the tables that the VGG Image Annotator exports."""
ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".7z", ".rar", ".xz", ".bz2")
SHEETS = (".xlsx", ".xls", ".ods")
DOTA_WORDS, YOLO_WORDS = 10, 5


def describe_packed(path: Path) -> tuple[str, str]:
    """(what an archive or spreadsheet is, what to do with it); of a folder, its only file; empty texts for others."""
    files = [file for file in annotation_files(path) if not is_folder(file)]
    file = files[0] if len(files) == 1 else path
    name = file.name.lower()
    if name.endswith(ARCHIVES):
        folder = file.with_suffix("")
        command = f"unzip {file} -d {folder}" if name.endswith(".zip") else f"into {folder}"
        return f"{file} is an archive.", f"Unpack it ({command}), then --annotations {folder}"
    return (f"{file} is a spreadsheet.", "Save it as CSV UTF-8.") if name.endswith(SHEETS) else ("", "")


def describe_foreign(path: Path) -> str:
    """What people call the layout of a file, or of the first files of a folder; empty if nobody knows."""
    files = annotation_files(path, ".json", ".csv", ".txt") if is_folder(path) else [path]
    return next(filter(None, map(_describe_file, files[:MOST_OPENED])), "")


def describe_document(document: Any) -> str:
    """What people call the layout of a JSON document; empty if nobody knows."""
    if isinstance(document, list):
        return _describe_list([entry for entry in document if isinstance(entry, dict)])
    if not isinstance(document, dict):
        return ""
    if "shapes" in document and "imagePath" in document:
        return "JSON of LabelMe"
    entries = document.get("_via_img_metadata", document)
    if isinstance(entries, dict) and any(isinstance(each, dict) and "regions" in each for each in entries.values()):
        return "JSON of the VGG Image Annotator"
    if isinstance(document.get("asset"), dict) and "regions" in document:
        return "JSON of VoTT"
    if isinstance(document.get("items"), list) and isinstance(document.get("categories"), dict):
        return "JSON of Datumaro"
    if any(isinstance(each, dict) and "geometryType" in each for each in _list(document, "objects")):
        return "JSON of Supervisely"
    if any(isinstance(each, dict) and {"title", "shape"} <= each.keys() for each in _list(document, "classes")):
        return "JSON of Supervisely"
    lacking = [key for key in ("images", "annotations", "categories") if key not in document]
    return f"COCO without its list of {lacking[0]}" if len(lacking) == 1 else ""


def _list(document: dict[str, Any], key: str) -> list[Any]:
    content = document.get(key)
    return content if isinstance(content, list) else []


def _describe_list(entries: list[dict[str, Any]]) -> str:
    first = entries[0] if entries else {}
    if {"image_id", "category_id"} <= first.keys():
        return "a list of COCO's objects without their images"
    if "annotation_id" in first or "annotator" in first:
        return "Label Studio's JSON-MIN (its format JSON is read)"
    return "JSON of CreateML" if {"image", "annotations"} <= first.keys() else ""


def _describe_file(path: Path) -> str:
    suffix = path.suffix.lower()
    if suffix == ".json":
        try:
            return describe_document(load_json(path, LARGEST))
        except DataError:
            return ""
    line = first_line(path)
    if suffix == ".csv":
        if VIA_COLUMN in line:
            return "a table of the VGG Image Annotator"
        return "a table of boxes" if CORNERS & {word.strip(' "').lower() for word in line.split(",")} else ""
    return _describe_text(path)


def _describe_text(path: Path) -> str:
    """A text whose last or first word of a line is the name of a class, among numbers."""
    for line in read_head(path, 4096).decode("utf-8-sig", "ignore").splitlines():
        words = line.split()
        numbers = sum(map(_is_number, words))
        if len(words) == DOTA_WORDS and numbers == DOTA_WORDS - 1 and not _is_number(words[-2]):
            return "text of DOTA"
        if len(words) == YOLO_WORDS and numbers == YOLO_WORDS - 1 and not _is_number(words[0]):
            return "YOLO with the names of classes instead of their numbers"
    return ""


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
