"""``alcli.toml``, environment and flags → one checked object.

Precedence: flag > ``ALCLI_SECTION_KEY`` in the environment > ``alcli.toml`` > default. Relative paths in the file are
relative to the workspace. An unknown key is an error that names the nearest one.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import pydantic
import tomlkit
import tomlkit.exceptions
from pydantic import BaseModel, ConfigDict, Field

from alcli.errors import MachineError, UsageError
from alcli.system.files import atomic_write
from alcli.system.text import did_you_mean

FILE_NAME = "alcli.toml"


class Section(BaseModel):
    """One table of ``alcli.toml``; unknown keys are refused and values never change after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def comma_separated(value: Any) -> Any:
    """``--classes cat,dog`` and ``ALCLI_TASK_CLASSES=cat,dog`` arrive as one text; a list stays as it is."""
    return [name.strip() for name in value.split(",") if name.strip()] if isinstance(value, str) else value


class PlatformOptions(Section):
    """Where items and annotations live and where the list goes."""

    name: str = "folder"
    images: Path | None = Field(None, description="folder of images, searched recursively")
    annotations: Path | None = Field(None, description="folder or file of annotations; `alcli list formats`")
    format: str = Field("auto", description="annotation format; auto recognises it")
    queue: Path | None = Field(None, description="where push writes; default: queue.csv beside the annotations")
    project: str | None = Field(None, description='remote platform: "Project", "Project/folder" or "Project/*" (all)')
    folders: tuple[str, ...] = Field((), description="several folders of the project; root is its root")
    url: str = Field("", description="address of the remote service; empty: the public one, or SA_URL")
    token_file: Path | None = Field(None, description="file with the token, readable by its owner only")
    labeled_statuses: tuple[str, ...] = Field(("Completed",), description="statuses of annotated items")
    pool_statuses: tuple[str, ...] = Field(("NotStarted",), description="statuses of items to rank; others are skipped")
    prelabel_score: float = Field(0.3, ge=0, le=1, description="boxes predicted with less are not uploaded")
    timeout: float = Field(60, gt=0, description="seconds without a byte after which a request has failed")
    deadline: float = Field(120, gt=0, description="seconds for which a failing request is repeated")
    backoff: float = Field(0.5, ge=0, description="seconds before the first repetition; doubled each time, with jitter")

    @pydantic.field_validator("folders", "labeled_statuses", "pool_statuses", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return comma_separated(value)


class TaskOptions(Section):
    """What the model has to learn."""

    name: str = "detection"
    classes: tuple[str, ...] = Field((), description="class names; empty: those found in the annotations")
    aggregate: Literal["mean", "sum", "max", "top-k"] = Field(
        "mean", description="how the uncertainties of boxes, joints or pixels become one number"
    )
    top_k: int = Field(10, ge=1, description="aggregate = top-k: the mean of that many largest")
    count_power: float = Field(0.0, ge=0, le=1, description="divide by the expected objects to this power")
    dropout: float = Field(0.5, gt=0, lt=1, description="mutual_information: share of channels dropped")
    dropout_passes: int = Field(10, ge=2, description="mutual_information: number of thinned networks")
    multi_label: bool = Field(False, description="classification: an image may have several labels, or none")
    ignore_index: int = Field(255, ge=0, description="segmentation: pixels of this id neither train nor count")
    subject: str = Field("person", description="pose: the class of what is found")
    flip_pairs: tuple[tuple[str, str], ...] = Field(
        (), description="pose: joints that change places in a mirror; empty: left… and right… by name"
    )
    sigmas: dict[str, float] = Field({}, description="pose: OKS sigmas by joint; default: COCO's and CrowdPose's")

    @pydantic.field_validator("classes", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return comma_separated(value)


class ModelOptions(Section):
    """Which network, and what it starts from."""

    name: str = Field("", description="empty: the task's light model")
    weights: str = Field("none", description="none, imagenet, or a path to a safetensors file")
    input_size: int | None = Field(None, ge=64, le=2048, description="side in pixels; default: the model's own")


class TrainOptions(Section):
    """One training run; the learned-loss part follows Yoo & Kweon (CVPR 2019)."""

    epochs: int = Field(30, ge=1)
    batch_size: int = Field(16, ge=1)
    optimizer: Literal["adamw", "sgd"] = "adamw"
    learning_rate: float = Field(1e-3, gt=0)
    momentum: float = Field(0.9, ge=0, lt=1, description="SGD only")
    weight_decay: float = Field(5e-4, ge=0)
    schedule: Literal["cosine", "steps"] = "cosine"
    warmup: float = Field(0.1, ge=0, lt=1, description="share of all steps with a rising learning rate")
    milestones: tuple[float, ...] = Field((0.8,), description="schedule = steps: shares after which the rate is ×0.1")
    loss_weight: float | None = Field(
        None, ge=0, description="λ, weight of the loss-prediction term (eq. 3); default: the task's own; 0 turns it off"
    )
    margin: float = Field(1.0, gt=0, description="ξ of the ranking loss (eq. 2)")
    detach_after: float = Field(
        0.6, ge=0, le=1, description="share of epochs after which the head stops shaping the model"
    )
    init: Literal["warm", "scratch"] = Field("warm", description="warm: start from the previous cycle's model")
    freeze_backbone: bool = False
    validation: float = Field(0.2, ge=0, lt=1, description="held-out share of the annotated items")
    augment: Literal["ssd", "flip", "crop", "rotate", "none"] = Field(
        "flip",
        description="ssd: detection; crop: classification, segmentation; rotate: pose; what a task lacks means flip",
    )
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="auto: bfloat16 on a GPU that has it, else float32"
    )
    gradient_clip: float = Field(10.0, gt=0, description="largest gradient norm")
    workers: int | None = Field(
        None, ge=0, description="processes that decode images; default: one per core, at most 8"
    )
    checkpoint_every: int = Field(
        100, ge=0, description="steps between checkpoints, from which a killed training goes on; 0: only when stopped"
    )
    seed: int = Field(0, ge=0)


class ScoreOptions(Section):
    """One pass over the pool."""

    batch_size: int = Field(16, ge=1)
    shard: int = Field(512, ge=1, description="items per resumable part of the pass")
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    workers: int | None = Field(None, ge=0)


class StrategyOptions(Section):
    """How signals become acquisition scores."""

    name: str = "auto"
    random_share: float | None = Field(
        None, ge=0, le=1, description="share of the budget drawn at random as a control; default: 0.05 for auto, else 0"
    )
    cold_start: Literal["auto", "random", "typiclust"] = Field(
        "auto", description="order before the first annotation; auto: typiclust with pretrained weights, else random"
    )

    @property
    def control_share(self) -> float:
        """The random share, for this strategy."""
        if self.random_share is not None:
            return self.random_share
        return 0.05 if self.name == "auto" else 0.0


class SelectionOptions(Section):
    """How many items are asked for per cycle."""

    budget: int = Field(100, ge=1)
    seed: int = Field(0, ge=0)
    recheck_share: float = Field(
        0.0, ge=0, le=0.5, description="share of the budget for suspicious annotations, to be looked at once more"
    )
    min_distance: float = Field(
        0.0,
        ge=0,
        le=2,
        description="cosine distance of features below which two images are near-duplicates; networks differ, try 0.01",
    )
    per_group: int = Field(
        0, ge=0, description="most images asked for of one group (folder, and name without its last number); 0: any"
    )


class ReportOptions(Section):
    """The page of a cycle."""

    enabled: bool = Field(False, description="whether every cycle ends by writing its report")
    gallery: int = Field(500, ge=1, le=500, description="most images of the list that are shown")
    target: float | None = Field(None, gt=0, le=1, description="the metric to reach, for the forecast")


class CostOptions(Section):
    """What annotating takes, for forecasts in hours."""

    seconds_per_item: float | None = Field(None, ge=0, description="to open, look at and submit one image")
    seconds_per_object: float | None = Field(None, ge=0, description="for each label, box, region or joint")


class Config(Section):
    """Everything one run needs to know."""

    platform: PlatformOptions = PlatformOptions()
    task: TaskOptions = TaskOptions()
    model: ModelOptions = ModelOptions()
    train: TrainOptions = TrainOptions()
    score: ScoreOptions = ScoreOptions()
    strategy: StrategyOptions = StrategyOptions()
    selection: SelectionOptions = SelectionOptions()
    report: ReportOptions = ReportOptions()
    cost: CostOptions = CostOptions()

    def resolved(self, workspace: Path) -> Config:
        """The same with every relative path taken from the workspace; raises UsageError for what is no path."""
        platform = self.platform.model_copy(
            update={
                key: _resolved(workspace, f"platform.{key}", value)
                for key in ("images", "annotations", "queue", "token_file")
                if (value := getattr(self.platform, key)) is not None
            }
        )
        weights = self.model.weights
        if weights not in ("none", "imagenet"):
            weights = str(_resolved(workspace, "model.weights", Path(weights)))
        model = self.model.model_copy(update={"weights": weights})
        return self.model_copy(update={"platform": platform, "model": model})


def load(workspace: Path, overrides: Iterable[str] = (), environ: Mapping[str, str] = os.environ) -> Config:
    """The configuration of a workspace, paths resolved.

    Args:
        workspace: the folder with ``alcli.toml``.
        overrides: ``section.key=value`` texts that win over file and environment.
        environ: searched for ``ALCLI_SECTION_KEY``.

    Raises:
        UsageError: unreadable file, unknown key, wrong type or value.
    """
    document = _read(workspace / FILE_NAME)
    for place, value in [*_from_environment(environ), *map(parse_override, overrides)]:
        _put(document, place, value)
    return check(document).resolved(workspace)


def check(document: Mapping[str, Any]) -> Config:
    """The document as a Config; raises UsageError naming every bad key and the nearest good one."""
    try:
        return Config.model_validate(document)
    except pydantic.ValidationError as error:
        complaints = [_complaint(detail) for detail in error.errors()]
        raise UsageError(
            "The configuration cannot be used: " + " ".join(complaints),
            do=f"Correct {FILE_NAME}, the ALCLI_ variables or the flags.",
        ) from None


def _resolved(workspace: Path, key: str, path: Path) -> Path:
    try:
        return (workspace / path).resolve()
    except (ValueError, RuntimeError, OSError) as error:
        # A NUL, or links that lead round in a circle.
        raise UsageError(f"{key} = {str(path)!r} is no path: {error}.", do="Correct it.") from None


def parse_override(text: str) -> tuple[str, Any]:
    """``"train.epochs=8"`` → ``("train.epochs", 8)``; a value that is not TOML is taken as text.

    Raises:
        UsageError: there is no ``section.key=``.
    """
    place, separator, value = text.partition("=")
    if not separator or place.count(".") != 1:
        raise UsageError(f"{text!r} is not of the form section.key=value.", do="For example: --set train.epochs=8")
    return place.strip(), _value(value.strip())


def write(path: Path, settings: Mapping[str, Any]) -> None:
    """Write ``section.key`` settings as a new ``alcli.toml`` with every section's purpose beside it."""
    document = tomlkit.document()
    document.add(tomlkit.comment("alcli: active learning for this annotation project. `alcli --help`"))
    for name, field in Config.model_fields.items():
        keys = {place.split(".")[1]: value for place, value in settings.items() if place.split(".")[0] == name}
        if not keys:
            continue
        table = tomlkit.table()
        table.comment(str((field.annotation.__doc__ or "").splitlines()[0]) if field.annotation else "")
        for key, value in keys.items():
            table.add(key, str(value) if isinstance(value, Path) else value)
        document.add(name, table)
    text = tomlkit.dumps(document)
    with atomic_write(path) as stream:
        stream.write(text)


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomlkit.parse(path.read_text(encoding="utf-8-sig")).unwrap()
    except tomlkit.exceptions.TOMLKitError as error:
        raise UsageError(f"{path} is not valid TOML: {error}.", do="Correct that line.") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path} is not UTF-8 text.", do="Save it as UTF-8.") from None
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise MachineError(f"{path} cannot be read: {error.strerror}.", do="Check its permissions.") from None


def _from_environment(environ: Mapping[str, str]) -> list[tuple[str, Any]]:
    """``ALCLI_TRAIN_EPOCHS=8`` → ("train.epochs", 8); raises UsageError for another variable of a section."""
    places = {
        f"ALCLI_{name}_{key}".upper(): f"{name}.{key}"
        for name, section in Config.model_fields.items()
        for key in _keys(section.annotation)
    }
    sections = tuple(f"ALCLI_{name}_".upper() for name in Config.model_fields)
    for variable in environ:
        if variable.startswith(sections) and variable not in places:
            raise UsageError(f"Unknown variable {variable}.", do=did_you_mean(variable, places))
    return [(place, _value(environ[variable])) for variable, place in places.items() if variable in environ]


def _keys(section: Any) -> list[str]:
    return list(section.model_fields)


def _value(text: str) -> Any:
    try:
        return tomlkit.parse(f"value = {text}").unwrap()["value"]
    except tomlkit.exceptions.TOMLKitError:
        return text


def _put(document: dict[str, Any], place: str, value: Any) -> None:
    section, key = place.split(".")
    table = document.setdefault(section, {})
    if isinstance(table, dict):
        table[key] = value


def _complaint(detail: Any) -> str:
    place = [str(part) for part in detail["loc"]]
    shown = ".".join(place)
    if detail["type"] != "extra_forbidden":
        return f"{shown} = {detail['input']!r}: {detail['msg'].lower()}."
    if len(place) == 1:
        return f"Unknown section {shown!r}. {did_you_mean(shown, Config.model_fields)}"
    known = _keys(Config.model_fields[place[0]].annotation)
    return f"Unknown key {shown!r}. {did_you_mean(place[1], known)}"
