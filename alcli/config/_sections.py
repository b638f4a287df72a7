"""The sections of ``alcli.toml``: what all plug-ins of a kind share, and the sections that no plug-in extends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import pydantic
from pydantic import BaseModel, ConfigDict, Field
from pydantic.fields import FieldInfo

from alcli.errors import UsageError
from alcli.system.hashing import sha256_of_text
from alcli.system.typed_values import read_value

LARGEST_SEED = 2**63 - 1
MANY = 1_000_000_000
"""The upper limit of counts that nothing else limits."""


@dataclass(frozen=True)
class PathUnless:
    """Marks a text setting as a path unless it is one of these words."""

    words: tuple[str, ...]


class Section(BaseModel):
    """One table of ``alcli.toml``; unknown keys are refused and values never change after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @pydantic.model_validator(mode="before")
    @classmethod
    def _read_by_type(cls, table: Any) -> Any:
        if not isinstance(table, Mapping):
            return table
        fields = cls.model_fields
        return {key: read_value(fields[key].annotation, value) if key in fields else value
                for key, value in table.items()}  # fmt: skip

    def resolve_paths(self, workspace: Path, name: str) -> Any:
        """A copy with every relative path resolved against the workspace; raises UsageError for an invalid path."""
        update = {}
        for key, field in type(self).model_fields.items():
            value = getattr(self, key)
            path = _resolve(workspace, f"{name}.{key}", field, value)
            if path is not value:
                update[key] = path
        return self.model_copy(update=update)


class OutsideOptions(Section):
    """A section whose settings may do something outside the workspace."""

    def outside_effects(self, workspace: Path) -> dict[str, str]:
        """What the settings do outside the workspace that its owner must have confirmed: a sentence by key.

        Such a setting is refused if only ``alcli.toml`` says it; see ``alcli.config.trusted``. Paths are resolved.
        """
        return {}

    def confirmed_value(self, key: str, workspace: Path) -> str:
        """What the owner confirms of such a setting; another one has to be confirmed again."""
        return str(getattr(self, key))


class PlatformOptions(OutsideOptions):
    """Where items and annotations come from, and where the list goes."""

    name: str = Field("folder", description="`alcli list platforms`")
    prelabel_score: float = Field(0.3, ge=0, le=1, description="boxes with a lower score are not uploaded")


class LearnerOptions(OutsideOptions):
    """Who learns, and who looks at the pool."""

    name: str = Field("builtin", description="`alcli list learners`; builtin trains alcli's own networks")

    def in_words(self) -> str:
        """Who learns, for `alcli init`: ``predictions from preds.jsonl``."""
        return f"learner {self.name}"

    def fingerprint(self) -> str:
        """A hash of the files outside the workspace that a learner reads; a change makes a new cycle due."""
        return ""


class TaskOptions(Section):
    """What the model has to learn."""

    name: str = Field("detection", description="`alcli list tasks`")
    classes: tuple[str, ...] = Field((), description="class names; empty: those in the annotations")
    aggregate: Literal["mean", "sum", "max", "top-k"] = Field(
        "mean", description="how the uncertainties of boxes, joints or pixels become one number"
    )
    top_k: int = Field(10, ge=1, le=MANY, description="aggregate = top-k: average this many of the largest")
    count_power: float = Field(0.0, ge=0, le=1, description="divide by the expected objects to this power")
    dropout: float = Field(0.5, gt=0, lt=1, description="mutual_information: share of channels dropped")
    dropout_passes: int = Field(10, ge=2, le=10000, description="mutual_information: number of thinned networks")

    def before_any_class(self) -> TaskOptions:
        """The options for a network built before the classes are known: without settings that name classes."""
        return self


class ModelOptions(Section):
    """Which network, and its initial weights."""

    name: str = Field("", description="`alcli list models`; empty: the task's light model")
    weights: Annotated[str, PathUnless(("auto", "none", "imagenet"))] = Field(
        "auto", description="auto: imagenet if it can be had, else none; none, imagenet, or a safetensors file"
    )
    input_size: int | None = Field(None, ge=64, le=2048, description="side in pixels; default: the model's own")


class TrainOptions(Section):
    """One training run; the learned-loss part follows Yoo & Kweon (CVPR 2019)."""

    epochs: int = Field(30, ge=1, le=1000000, description="passes over the annotated items")
    min_steps: int = Field(
        400, ge=0, le=MANY, description="least updates; with few images epochs is raised until they are reached"
    )
    batch_size: int | None = Field(
        None,
        ge=1,
        le=100000,
        description="images per training step; default: 16, or 8 if 16 would make fewer than min_steps updates",
    )
    optimizer: Literal["adamw", "sgd"] = Field("adamw", description="AdamW, or SGD with momentum")
    learning_rate: float = Field(1e-3, gt=0, le=1e3, description="the largest rate of the schedule")
    trunk_rate: float = Field(1.0, gt=0, le=1, description="rate of the part that may be pretrained ÷ learning_rate")
    still_norms: Literal["auto", "never"] = Field(
        "auto", description="auto: batch norms of a pretrained part keep their statistics if trunk_rate is below 1"
    )
    ema: float = Field(
        0.99, ge=0, lt=1, description="decay of the moving average of the weights, which becomes the model; 0: none"
    )
    momentum: float = Field(0.9, ge=0, lt=1, description="SGD only")
    weight_decay: float = Field(5e-4, ge=0, le=1e3, description="decoupled in AdamW, an L2 penalty in SGD")
    schedule: Literal["cosine", "steps"] = Field("cosine", description="how the learning rate falls after the warm-up")
    warmup: float = Field(0.1, ge=0, lt=1, description="share of all steps with a rising learning rate")
    milestones: tuple[float, ...] = Field((0.8,), description="schedule = steps: shares after which the rate is ×0.1")
    loss_weight: float | None = Field(
        None,
        ge=0,
        le=1e6,
        description="λ, weight of the loss-prediction term (eq. 3); default: the task's own; 0 turns it off",
    )
    loss_head: Literal["published", "detached"] = Field(
        "published",
        description="detached: the loss head never shapes the model, and learns from all pairs of a batch, margin 0.1",
    )
    margin: float = Field(1.0, gt=0, le=1e6, description="loss_head = published: ξ of the ranking loss (eq. 2)")
    detach_after: float = Field(
        0.6,
        ge=0,
        le=1,
        description="loss_head = published: share of epochs after which the head stops shaping the model",
    )
    init: Literal["warm", "scratch"] = Field("warm", description="warm: start from the previous cycle's model")
    freeze_backbone: bool = Field(False, description="train only the layers after the pretrained part")
    freeze_stem: bool = Field(
        False,
        description="do not train the first layers, until maps are an eighth as wide: a third less time and memory",
    )
    accept_worse: bool = Field(
        False, description="rank with a new model although it is clearly worse than the last one"
    )
    allow_cold_start: bool = Field(False, description="rank without a model although no annotation can be used")
    validation: float = Field(0.2, ge=0, lt=1, description="held-out share of the annotated items")
    group_distance: float = Field(
        0.1,
        ge=0,
        lt=1,
        description="images nearer than this share of the typical distance are all trained on, or all held out; 0: off",
    )
    group_names: Literal["none", "numbered", "folder"] = Field(
        "none",
        description="which images are all trained on, or all held out, as frames of one video; numbered: those whose "
        "names differ in their last number only; folder: those of one folder",
    )
    augment: Literal["ssd", "flip", "crop", "rotate", "none"] = Field(
        "flip",
        description="ssd: detection; crop: classification, segmentation; rotate: pose; a task without it uses flip",
    )
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="auto: bfloat16 on a GPU that has it, else float32"
    )
    gradient_clip: float = Field(10.0, gt=0, le=1e9, description="largest gradient norm")
    workers: int | None = Field(
        None, ge=0, le=1024, description="processes that decode images; default: one per core, at most 8"
    )
    checkpoint_every: int = Field(
        100,
        ge=0,
        le=MANY,
        description="steps between checkpoints for resuming; 0: only when a signal stops the training",
    )
    seed: int = Field(
        0, ge=0, le=LARGEST_SEED, description="seed of the initial weights, the order of images and the augmentation"
    )


class ScoreOptions(OutsideOptions):
    """One pass over the pool."""

    batch_size: int = Field(16, ge=1, le=100000, description="images per forward pass")
    shard: int = Field(512, ge=1, le=MANY, description="items per resumable part of the pass")
    backend: Literal["auto", "torch", "openvino"] = Field(
        "auto",
        description="who computes on a processor; auto: openvino if it is installed (alcli[fast]) and the images are "
        "many enough to pay for the conversion, else torch",
    )
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto",
        description="auto: bfloat16 where the device multiplies it, else float32; with openvino only if 200 images "
        "are ranked as in float32",
    )
    workers: int | None = Field(
        None, ge=0, le=1024, description="processes that decode images; default: one per core, at most 8"
    )
    engine: Literal["local", "shards", "ray"] = Field(
        "local", description="where the pass runs: this process, score.processes of this machine, a Ray cluster"
    )
    processes: int | None = Field(
        None,
        ge=1,
        le=1024,
        description="engine = shards; default: one per GPU, else 2; also Ray on this machine alone; default: its cores",
    )
    ray_address: str = Field(
        "", description="engine = ray: address of the cluster; empty: RAY_ADDRESS, else this machine alone"
    )

    def outside_effects(self, workspace: Path) -> dict[str, str]:
        """The model goes to a cluster, and this machine runs what comes back."""
        if not self.ray_address:
            return {}
        return {"ray_address": f"The model would be sent to the Ray cluster at {self.ray_address}, which is trusted."}


class CacheOptions(Section):
    """Downloaded images and the features of frozen networks, which are kept for the next cycle."""

    max_gb: float = Field(
        50.0, ge=0, le=1e6,
        description="when the images take more, the least recently used go; those in use stay; 0: all are kept; the "
        "features of frozen networks take a tenth of it at most, in addition",
    )  # fmt: skip


class StrategyOptions(Section):
    """How signals become acquisition scores."""

    name: str = Field("auto", description="`alcli list strategies`; outer:inner wraps one in another")
    random_share: float | None = Field(
        None, ge=0, le=1, description="share of the budget drawn at random as a control; default: the strategy's own"
    )
    cold_start: Literal["auto", "random", "facility-location", "typiclust"] = Field(
        "auto",
        description="order before the first annotation; auto: facility-location with pretrained weights, else random",
    )


class SelectionOptions(Section):
    """Which items are selected, and how many per cycle."""

    budget: int | None = Field(
        None, ge=1, le=MANY, description="images to annotate per cycle; default: a tenth of the pool, from 10 to 100"
    )
    seed: int = Field(0, ge=0, le=LARGEST_SEED, description="seed of all random choices in the list")
    recheck_share: float = Field(
        0.0, ge=0, le=0.5, description="share of the budget for reviewing suspicious annotations"
    )
    min_distance: float = Field(
        0.0,
        ge=0,
        le=2,
        description="cosine distance of features below which two images are near-duplicates; networks differ, try 0.01",
    )
    per_group: int = Field(
        0,
        ge=0,
        le=MANY,
        description="most images selected per group (folder, and name without its last number); 0: no limit",
    )

    def budget_of(self, pool: int) -> int:
        """The budget for a pool of this many unlabeled images."""
        return self.budget or min(100, max(10, pool // 10))


class ReportOptions(Section):
    """The page of a cycle."""

    enabled: bool = Field(False, description="write the report at the end of every cycle")
    mode: str = Field(
        "0640", pattern="^0?[0-7]{3}$", description="permissions of W/report.html; 0644: all users may read it"
    )
    gallery: int = Field(500, ge=1, le=500, description="largest number of images to show")
    target: float | None = Field(None, gt=0, le=1, description="the metric to reach, for the forecast")
    confidence: float = Field(
        0.3, ge=0, le=1, description="boxes predicted with less are not drawn or counted in the report"
    )


class NotifyOptions(OutsideOptions):
    """Who is told when a cycle is done, has failed, or is hardly worth it any more."""

    webhook: str = Field("", description="address that gets a POST of JSON")
    secret_file: Path | None = Field(None, description="file (0600) with the key that signs what the webhook gets")
    urls_file: Path | None = Field(None, description="file (0600) with addresses of Apprise, one a line; alcli[notify]")
    events: tuple[Literal["list", "failure", "enough"], ...] = Field(
        ("list", "failure", "enough"),
        description="list: annotators have a new one; failure: any other end; enough: the advice is to stop",
    )
    seconds: float = Field(10, gt=0, le=300, description="after which a run does not wait for an answer")

    def outside_effects(self, workspace: Path) -> dict[str, str]:
        """Results are sent to others, files are read as addresses or keys."""
        effects = {}
        if self.webhook:
            # Its path may be a secret.
            effects["webhook"] = f"The results of each cycle would be sent to {urlsplit(self.webhook).netloc}."
        if self.secret_file:
            effects["secret_file"] = f"{self.secret_file} would be read as a key."
        if self.urls_file:
            effects["urls_file"] = f"The results of each cycle would be sent to the addresses in {self.urls_file}."
        return effects

    def confirmed_value(self, key: str, workspace: Path) -> str:
        """Of the webhook a hash, since its path may be a secret."""
        value = super().confirmed_value(key, workspace)
        return sha256_of_text(value) if key == "webhook" else value


class CostOptions(Section):
    """Annotation times, for forecasts in hours."""

    seconds_per_item: float | None = Field(None, ge=0, le=1e6, description="to open, look at and submit one image")
    seconds_per_object: float | None = Field(None, ge=0, le=1e6, description="for each label, box, region or joint")


def _resolve(workspace: Path, key: str, field: FieldInfo, value: Any) -> Any:
    """The value with its relative paths resolved against the workspace; the value itself if it holds no path."""
    if isinstance(value, Path):
        return _absolute(workspace, key, value)
    if isinstance(value, tuple | list) and any(isinstance(entry, Path) for entry in value):
        return type(value)(_resolve(workspace, key, field, entry) for entry in value)
    if isinstance(value, dict) and any(isinstance(entry, Path) for entry in value.values()):
        return {name: _resolve(workspace, key, field, entry) for name, entry in value.items()}
    marks = [mark for mark in field.metadata if isinstance(mark, PathUnless)]
    if marks and isinstance(value, str) and value not in marks[0].words:
        return str(_absolute(workspace, key, Path(value)))
    return value


def _absolute(workspace: Path, key: str, path: Path) -> Path:
    try:
        return (workspace / path).resolve()
    except (ValueError, RuntimeError, OSError) as error:
        # A NUL byte, or a cycle of symbolic links.
        raise UsageError(f"{key} = {str(path)!r} is not a valid path: {error}.", do="Correct it.") from None
