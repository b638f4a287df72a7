"""What Label Studio says of a project, its tasks and its predictions."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from alcli.errors import UsageError
from alcli.formats.label_studio import Control

UPLOAD = re.compile(r"[0-9a-f]{8}-(.+)", re.DOTALL)
"""An uploaded file's name, behind what the server puts before it."""
UNCERTAINTY = "Uncertainty sampling"
"""The sampling in which annotators receive the task with the smallest score first."""
FITTING = {
    "classification": ("Choices",),
    "detection": ("RectangleLabels", "Labels", "PolygonLabels", "EllipseLabels", "BrushLabels"),
    "pose": ("KeyPointLabels",),
    "segmentation": ("PolygonLabels", "BrushLabels", "EllipseLabels", "Labels", "RectangleLabels"),
}
"""The controls that give what a task learns."""


@dataclass(frozen=True)
class Project:
    """One project.

    Attributes:
        field: the key of a task's data with the address of its image.
        model_version: whose predictions decide the order; empty: nobody's.
        tasks, annotations, skipped: numbers that the server counts.
        overlap: how many people annotate each image.
    """

    id: int
    title: str
    field: str
    controls: tuple[Control, ...]
    sampling: str
    model_version: str
    tasks: int
    annotations: int
    skipped: int
    overlap: int

    @property
    def serves_scores(self) -> bool:
        """Whether annotators receive the tasks in the order of scores."""
        return self.sampling == UNCERTAINTY and bool(self.model_version)


@dataclass(frozen=True)
class Task:
    """One task, which shows one image.

    Attributes:
        image: the address of its image, as the task has it; empty: the task has none.
        updated: when the task or an annotation of it was last changed; scores do not count.
        annotations, cancelled: how many people annotated it, and how many skipped it.
    """

    id: int
    image: str
    created: str
    updated: str
    annotations: int
    cancelled: int

    @property
    def name(self) -> str:
        """What people call the image."""
        return image_name(self.image)


@dataclass(frozen=True)
class Prediction:
    """A score of one task, under one version of the model."""

    id: int
    task: int
    version: str
    score: float


def read_project(content: Mapping[str, Any]) -> Project:
    """The project; raises KeyError, TypeError or ValueError for a description that is not one."""
    described = content.get("parsed_label_config") or {}
    controls = tuple(
        Control(str(control["type"]), str(name), str(control["to_name"][0]), tuple(map(str, control["labels"])))
        for name, control in described.items()
    )
    images = [
        str(entry["value"])
        for control in described.values()
        for entry in control["inputs"]
        if entry["type"] == "Image" and entry.get("value")
    ]
    return Project(
        id=int(content["id"]),
        title=str(content.get("title") or ""),
        field=images[0] if images else "",
        controls=controls,
        sampling=str(content.get("sampling") or ""),
        model_version=str(content.get("model_version") or ""),
        tasks=int(content["task_number"] or 0),
        annotations=int(content["total_annotations_number"] or 0),
        skipped=int(content.get("skipped_annotations_number") or 0),
        overlap=int(content.get("maximum_annotations") or 1),
    )


def read_task(content: Mapping[str, Any], field: str) -> Task:
    """The task; raises KeyError, TypeError or ValueError for a description that is not one."""
    data = content.get("data")
    image = data.get(field) if isinstance(data, dict) else None
    return Task(
        id=int(content["id"]),
        image=image if isinstance(image, str) else "",
        created=str(content["created_at"]),
        updated=str(content["updated_at"]),
        annotations=int(content.get("total_annotations") or 0),
        cancelled=int(content.get("cancelled_annotations") or 0),
    )


def read_prediction(content: Mapping[str, Any]) -> Prediction:
    """The prediction; one without a score comes last, as it does for annotators."""
    score = content.get("score")
    value = float(score) if isinstance(score, (int, float)) and math.isfinite(score) else math.inf
    return Prediction(int(content["id"]), int(content["task"]), str(content.get("model_version") or ""), value)


def image_name(address: str) -> str:
    """The name in an address: ``/data/local-files/?d=sub/x.jpg``, ``/data/upload/4/1a2b3c4d-x.jpg``, ``s3://b/sub/x.jpg``."""
    try:
        parts = urlsplit(address)
        local = parse_qs(parts.query).get("d") if parts.path.endswith("/data/local-files/") else None
    except ValueError:
        return address
    if local:
        return local[0].lstrip("/")
    if "/data/upload/" in parts.path:
        name = unquote(parts.path.rpartition("/")[2])
        marked = UPLOAD.fullmatch(name)
        return marked[1] if marked else name
    path = unquote(parts.path) if parts.scheme in ("http", "https") else address.partition("://")[2].partition("/")[2]
    return path.lstrip("/") or address


def fitting_controls(project: Project, task: str, wanted: str) -> tuple[Control, ...]:
    """The controls whose results a task learns.

    Args:
        wanted: the name of the one control to use; empty: all that fit.

    Raises:
        UsageError: no control fits, there is none of this name, or several choices could be meant.
    """
    shown = ", ".join(f"{control.kind} {control.name!r}" for control in project.controls) or "no control"
    kinds = FITTING.get(task, tuple(kind for fitting in FITTING.values() for kind in fitting))
    fitting: Sequence[Control] = [control for control in project.controls if control.kind in kinds]
    if wanted:
        fitting = [control for control in fitting if control.name == wanted]
    if not fitting:
        which = f"of the name {wanted!r} " if wanted else ""
        raise UsageError(
            f"The labeling interface of {project.title!r} has no control {which}that fits {task}: it has {shown}.",
            do=f"Add one of these in the project's settings: {', '.join(f'<{kind}>' for kind in kinds)}.",
        )
    if task == "classification" and len(fitting) > 1:
        names = ", ".join(control.name for control in fitting)
        raise UsageError(
            f"The labeling interface of {project.title!r} has several choices: {names}.",
            do=f"Say which one counts: --set platform.control={fitting[0].name}",
        )
    return tuple(fitting)
