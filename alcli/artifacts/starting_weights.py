"""Settle ``model.weights = auto`` once per workspace and network: ImageNet if it can be had, else untrained.

What was settled is recorded. A later cycle uses the record, whether or not the network has come back.
"""

from __future__ import annotations

from pathlib import Path

from alcli import plugins
from alcli.config import Config
from alcli.context import Context
from alcli.models.pretrained import FILES, LIGHT, cached, obtain, offline
from alcli.system.hashing import sha256_of
from alcli.workspace import Workspace
from alcli.workspace.records import WORKSPACE_CYCLE, StartingWeights, Training

AUTO, NONE, IMAGENET = "auto", "none", "imagenet"
LOSSES = {"detection": "usually 10 to 20 points of AP50 less"}
"""What untrained weights cost when labels are few, by task."""
REMEDY = "--set model.weights=imagenet"


def settle_weights(context: Context) -> Context:
    """The context with ``auto`` replaced by what was recorded or, at the first call, by what can be had now."""
    config = context.config
    if config.model.weights != AUTO:
        return context
    weights = recorded_weights(context.workspace, config)
    if not weights:
        weights, reason = _choose(config)
        if reason:
            context.progress.say(f"Starting from untrained weights: {reason}.{_consequence(config)}")
        known = context.workspace.step(WORKSPACE_CYCLE, StartingWeights)
        chosen = {**(known.summary.chosen if known else {}), _key(config): weights}
        context.workspace.finish_step(WORKSPACE_CYCLE, "", StartingWeights(chosen))
    return context.with_settings(model=config.model.model_copy(update={"weights": weights}))


def weights_of(config: Config) -> str:
    """The starting weights: the hash of a file's content, since its name may later refer to another file."""
    file = Path(config.model.weights)
    return sha256_of(file) if file.is_file() else config.model.weights


def has_pretrained(context: Context) -> bool:
    """Whether the task's network has pretrained weights at hand, without a download and without saying anything."""
    weights = context.config.model.weights
    if weights != AUTO:
        return weights != NONE
    file = FILES.get(_key(context.config))
    return recorded_weights(context.workspace, context.config) == IMAGENET or bool(file and cached(file))


def recorded_weights(workspace: Workspace, config: Config) -> str:
    """What ``auto`` stands for in this workspace; empty before the first training with this network."""
    record = workspace.step(WORKSPACE_CYCLE, StartingWeights)
    weights = record.summary.chosen.get(_key(config), "") if record else ""
    if weights:
        return weights
    # A workspace that trained before there was an auto keeps what it started from.
    trainings = [step.summary for step in workspace.all_steps(Training) if step.summary.model == model_name(config)]
    return next((each.started_from for each in trainings if each.started_from in (NONE, IMAGENET)), "")


def model_name(config: Config) -> str:
    """The network's name; of a task from another package the class has to be imported."""
    task = config.task.name
    return config.model.name or LIGHT.get(task) or str(plugins.load("tasks", task).light_model)


def weights_in_words(config: Config, weights: str) -> tuple[str, bool]:
    """Describe starting weights, and whether they are certainly pretrained.

    Args:
        weights: what ``model.weights`` is, ``auto`` already replaced if that is recorded.
    """
    loss = LOSSES.get(config.task.name, "usually less accurate with few labels")
    file = FILES.get(_key(config))
    if weights == AUTO and file and cached(file):
        return "ImageNet weights", True
    if weights == AUTO and file and not offline():
        return f"ImageNet weights if they can be downloaded (untrained: {loss})", False
    if weights in (AUTO, NONE):
        return f"untrained weights: {loss}" + (f", {REMEDY}" if file else ""), False
    return ("ImageNet weights" if weights == IMAGENET else f"weights from {weights}"), True


def _key(config: Config) -> str:
    return f"{config.task.name}/{model_name(config)}"


def _choose(config: Config) -> tuple[str, str]:
    """``imagenet``, or ``none`` and the reason."""
    file = FILES.get(_key(config)) or _torchvision_file(config)
    if not file:
        return NONE, f"auto knows no pretrained ones for {model_name(config)}"
    reason = obtain(file)
    return (NONE, reason) if reason else (IMAGENET, "")


def _torchvision_file(config: Config) -> str:
    """The file of a classifier that only torchvision knows."""
    if config.task.name != "classification":
        return ""
    import torchvision

    name = model_name(config).replace("-", "_")
    if name not in torchvision.models.list_models(module=torchvision.models):
        return ""
    return str(torchvision.models.get_model_weights(name).DEFAULT.url).rpartition("/")[2]


def _consequence(config: Config) -> str:
    if not FILES.get(_key(config)):
        return ""
    loss = LOSSES.get(config.task.name, "usually less accurate with few labels")
    return f" That is {loss}. Once online: {REMEDY}, or name a safetensors file."
