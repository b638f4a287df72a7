"""A new Label Studio project: its labeling interface for a task, and the upload of a folder of images."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

from alcli.config import TaskOptions
from alcli.errors import UsageError
from alcli.items import uri_to_path
from alcli.platforms._image_files import list_images

FILES_A_CALL = 50
BYTES_A_CALL = 50 * 2**20
"""The server refuses a request with more than 100 files, or more than 250 MiB."""
DROPPED = re.compile(r"[^-\w.]")
"""Characters that the server leaves out of the name of an uploaded file, after it has made spaces underscores."""
SHORTEST_TITLE, LONGEST_TITLE = 3, 50


def labeling_interface(options: TaskOptions) -> str:
    """The XML of an interface that gives what the task learns.

    Raises:
        UsageError: the classes are not set, or the task is of another package.
    """
    if not options.classes:
        raise UsageError("A new project needs class names.", do="--classes cat,dog; for pose, the names of the joints.")
    view = ET.Element("View")
    ET.SubElement(view, "Image", name="image", value="$image", zoom="true")
    if options.name == "classification":
        several = bool(getattr(options, "multi_label", False))
        control = ET.SubElement(
            view, "Choices", name="label", toName="image", choice="multiple" if several else "single"
        )
        _offer(control, "Choice", options.classes)
    elif options.name == "detection":
        _offer(ET.SubElement(view, "RectangleLabels", name="label", toName="image"), "Label", options.classes)
    elif options.name == "segmentation":
        _offer(ET.SubElement(view, "BrushLabels", name="brush", toName="image"), "Label", options.classes)
        _offer(ET.SubElement(view, "PolygonLabels", name="outline", toName="image"), "Label", options.classes)
    elif options.name == "pose":
        subject = str(getattr(options, "subject", "person"))
        _offer(ET.SubElement(view, "RectangleLabels", name="box", toName="image"), "Label", [subject])
        _offer(ET.SubElement(view, "KeyPointLabels", name="joint", toName="image"), "Label", options.classes)
    else:
        raise UsageError(
            f"alcli knows no labeling interface for {options.name}.", do="Make the project in Label Studio."
        )
    return ET.tostring(view, encoding="unicode")


def check_title(title: str) -> None:
    """Raise UsageError unless the server takes this title."""
    if not SHORTEST_TITLE <= len(title) <= LONGEST_TITLE:
        raise UsageError(
            f"A project's title has {SHORTEST_TITLE} to {LONGEST_TITLE} characters, {title!r} has {len(title)}.",
            do="Choose another --project.",
        )


def missing_images(folder: Path, known: Mapping[str, str]) -> dict[str, Path]:
    """The images of a folder that the project does not have, by the name that the server gives them.

    Args:
        known: names of images in the project.

    Raises:
        UsageError: two images would have one name: the server keeps no folders.
    """
    images: dict[str, Path] = {}
    for name, (address, _) in sorted(list_images(folder).images.items()):
        path = uri_to_path(address)
        uploaded = uploaded_name(PurePosixPath(name).name)
        if uploaded in images:
            raise UsageError(
                f"Two images would be called {uploaded!r}, {images[uploaded]} and {path}: the server keeps no folders.",
                do="Rename one of them, or import the images into Label Studio in another way.",
            )
        images[uploaded] = path
    return {name: path for name, path in images.items() if name not in known}


def uploaded_name(name: str) -> str:
    """What the server makes of the name of an uploaded file."""
    return DROPPED.sub("", name.strip().replace(" ", "_"))


def parts_to_upload(images: Mapping[str, Path]) -> Iterator[list[tuple[str, bytes]]]:
    """(name, content) of some images at a time, as many as one request may have."""
    part: list[tuple[str, bytes]] = []
    size = 0
    for name, path in images.items():
        content = path.read_bytes()
        if part and (len(part) == FILES_A_CALL or size + len(content) > BYTES_A_CALL):
            yield part
            part, size = [], 0
        part.append((name, content))
        size += len(content)
    if part:
        yield part


def _offer(control: ET.Element, tag: str, values: Sequence[str]) -> None:
    for value in values:
        ET.SubElement(control, tag, value=value)
