"""Create a workspace for a project."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from alcli.cli._console import Console
from alcli.cli._greeting import Inventory, describe, next_command, scan
from alcli.cli._options import complete_names

if TYPE_CHECKING:
    from alcli.config import Config


FROM_HERE = click.Path(resolve_path=True)
"""A path relative to the current folder, made absolute."""


class Weights(click.ParamType):
    """``auto``, ``none``, ``imagenet``, or the path of a file, made absolute."""

    name = "text"

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> Any:
        """The word itself, or the absolute path."""
        return value if value in ("auto", "none", "imagenet") else FROM_HERE.convert(value, parameter, context)


class Images(click.ParamType):
    """The path of a folder, made absolute, or the address of a store, such as ``s3://bucket/photos``."""

    name = "path"

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> Any:
        """The address as it stands, or the absolute path."""
        return value if "://" in value else FROM_HERE.convert(value, parameter, context)


@click.command()
@click.argument("workspace", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--task",
    "task__name",
    help="detection (default); `alcli list tasks`.",
    shell_complete=complete_names("tasks"),
)
@click.option(
    "--platform",
    "platform__name",
    help="folder (default); `alcli list platforms`.",
    shell_complete=complete_names("platforms"),
)
@click.option(
    "--images",
    "platform__images",
    type=Images(),
    help="Folder of images, searched recursively; or where they are: s3://bucket/photos.",
)
@click.option(
    "--annotations",
    "platform__annotations",
    type=FROM_HERE,
    help="Folder or file of annotations; `alcli list formats`.",
)
@click.option("--project", "platform__project", help='On a remote platform: "P", "P/folder", or "P/*" for all folders.')
@click.option("--folders", "platform__folders", help="Several folders of the project, comma-separated.")
@click.option("--url", "platform__url", help="Address of the remote service; default: the public one.")
@click.option("--token-file", "platform__token_file", type=FROM_HERE, help="File (0600) with the platform's token.")
@click.option(
    "--learner",
    "learner__name",
    help="builtin (default); `alcli list learners`.",
    shell_complete=complete_names("learners"),
)
@click.option(
    "--predictions", "learner__predictions", type=FROM_HERE, help="Learner predictions: file or folder of predictions."
)
@click.option("--command", "learner__command", help="Learner command: your own program, run in each cycle.")
@click.option("--embeddings", "learner__embeddings", type=FROM_HERE, help="Other learners: .npz of embeddings.")
@click.option("--model", "model__name", help="Network; `alcli list models`.")
@click.option(
    "--weights",
    "model__weights",
    type=Weights(),
    help="auto (default), none, imagenet, or a safetensors file; learner onnx: the exported model.",
)
@click.option("--budget", "selection__budget", type=click.IntRange(1), help="Images to annotate per cycle.")
@click.option("--classes", "task__classes", help="Class names, comma-separated; default: the annotated ones.")
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="SECTION.KEY=VALUE",
    help="Any other setting; `alcli list settings`.",
)
@click.option("--create", is_flag=True, help="Make the project on the platform, with --classes and --images.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON document.")
@click.option("-q", "--quiet", is_flag=True, help="Print errors only.")
def command(workspace: Path, settings: tuple[str, ...], create: bool, as_json: bool, quiet: bool, **flags: Any) -> int:
    """Create a workspace: the folder that keeps a project's settings, labels, models and cycles.

    What was found in local folders is shown; a remote platform is first contacted by `pull` and `cycle`, or by
    `--create`.

    \b
    Examples:
      alcli init W --images photos --annotations labels
      alcli init W --task detection --platform folder --images photos --annotations coco.json \\
            --model ssd-mobilenet-v2 --weights mobilenet_v2.safetensors --budget 50 --set train.epochs=20
      alcli init W --platform superannotate --project "Cells/pool" --task detection
      alcli init W --images photos --annotations labels --learner predictions --predictions preds.jsonl
      alcli init W --images photos --annotations labels --learner onnx --weights best.onnx
      alcli init W --platform label-studio --url http://127.0.0.1:8080 --project Cells --token-file token
      alcli init W --platform label-studio --url http://127.0.0.1:8080 --project Cells --token-file token \\
            --create --classes cat,dog --images photos
    """
    from alcli.workspace.database import machine_errors

    console = Console(as_json, quiet, False)
    with machine_errors(workspace):
        document, text = _create(workspace, flags, settings, create, console)
    console.result(document, text)
    return 0


def _create(
    workspace: Path, flags: Mapping[str, Any], settings: Sequence[str], create: bool, console: Console
) -> tuple[dict[str, Any], str]:
    """Create the workspace; returns the result for programs and for people."""
    from alcli import config
    from alcli.cycle.pull import remember_first_look
    from alcli.workspace import Workspace

    requested: dict[str, Any] = {"task.name": "detection", "platform.name": "folder"}
    # Which settings there are depends on the plug-ins, so these two are written even if the environment says them.
    requested |= {setting: value for setting, value in config.environment().items() if setting in requested}
    requested |= {setting.replace("__", "."): value for setting, value in flags.items() if value is not None}
    requested |= dict(config.parse_override(text) for text in settings)
    if "learner.command" in requested:
        # Typed here, so it means files of this folder, wherever cron starts alcli.
        requested.setdefault("learner.directory", str(Path.cwd()))
    _give_weights_to_learner(requested)
    checked, resolved = _check_settings(requested, workspace)
    if create:
        _check_creating(resolved)
    inventory = _look(resolved, workspace)
    if inventory:
        _check_classes(checked.task.classes, inventory)
    content = checked.model_dump(mode="json")
    values = {setting: content[setting.split(".")[0]][setting.split(".")[1]] for setting in requested}
    chosen = {setting: value for setting, value in values.items() if value is not None}
    created = Workspace.create(workspace, chosen)
    try:
        if inventory:
            remember_first_look(created, inventory.images, inventory.annotated)
        end = describe(inventory, resolved, created, workspace) if inventory else next_command(workspace)
    finally:
        created.close()
    title = workspace.resolve().name if str(workspace) == "." else workspace
    _confirm(checked.resolve_all(workspace.resolve()), workspace, console)
    if create:
        console.say(_create_project(resolved, workspace))
    return (
        {"workspace": str(workspace), "settings": chosen, "found": inventory and inventory.document()},
        f"Created workspace {title}. Settings: {workspace / config.FILE_NAME}\n{end}",
    )


def _give_weights_to_learner(requested: dict[str, Any]) -> None:
    """A file named by ``--weights`` is the learner's, if it has weights of its own."""
    from alcli import config, plugins

    learner = requested.get("learner.name")
    if "/" in str(requested.get("model.weights", "")) and learner in plugins.names("learners"):
        own = config.own_options("learner", learner).model_fields
        if "weights" in own and "learner.weights" not in requested:
            requested["learner.weights"] = requested.pop("model.weights")


def _check_creating(resolved: Config) -> None:
    """Raise UsageError unless the platform can make a project."""
    from alcli import plugins
    from alcli.errors import UsageError
    from alcli.platforms import Creating

    if not issubclass(plugins.load("platforms", resolved.platform.name), Creating):
        raise UsageError(f"alcli cannot make a project on {resolved.platform.name}.", do="Leave --create out.")


def _create_project(resolved: Config, workspace: Path) -> str:
    """Make the project on its platform; returns what was done."""
    from alcli import plugins

    platform = plugins.load("platforms", resolved.platform.name)(
        resolved.options_of("platform"), workspace.resolve() / "cache"
    )
    return str(platform.create(resolved.options_of("task")))


def _confirm(resolved: Config, workspace: Path, console: Console) -> None:
    """Whoever creates a workspace confirms its addresses and paths; without a home, each run must give them again."""
    from alcli.config import trusted
    from alcli.errors import AuthError, MachineError

    try:
        trusted.confirm(resolved, workspace)
    except (AuthError, MachineError) as error:
        console.say(f"Not confirmed for later runs: {error.what} {error.do}")


def _look(resolved: Config, workspace: Path) -> Inventory | None:
    """What there is; None on another machine."""
    from alcli import plugins
    from alcli.platforms import Examinable, TaskAware

    platform = plugins.load("platforms", resolved.platform.name)
    if issubclass(platform, Examinable):
        return None
    local = platform(resolved.options_of("platform"), workspace.resolve() / "cache")
    if isinstance(local, TaskAware):
        local.set_task(resolved.task)
    return scan(local, resolved.task.name)


def _check_classes(wanted: Sequence[str], inventory: Inventory) -> None:
    """Raise UsageError if the annotations name classes, and none of these."""
    from alcli.errors import UsageError
    from alcli.system.text import similar_names

    if (
        not wanted
        or not inventory.counts
        or inventory.read < inventory.annotated
        or inventory.counts.keys() & set(wanted)
    ):
        return
    near = [name for each in wanted for name in similar_names(each, inventory.counts)[:1]]
    names = ", ".join(f"{name} {count:,}×" for name, count in inventory.classes[:10])
    raise UsageError(
        f"None of the classes {', '.join(wanted)} occurs in the annotations. Their classes: {names}.",
        do=f"Did you mean --classes {','.join(dict.fromkeys(near)) or ','.join(sorted(inventory.counts))}?",
    )


def _check_settings(requested: dict[str, Any], workspace: Path) -> tuple[Config, Config]:
    """The settings as given, and those that a run from here has: with the environment's, paths resolved.

    Checked before anything is created; raises UsageError for unknown keys, plug-ins and folders."""
    from alcli import config, plugins

    document: dict[str, Any] = {}
    for setting, value in requested.items():
        config.put(document, setting, value)
    checked = config.check(document)
    if checked.task.name not in plugins.names("tasks"):
        plugins.load("tasks", checked.task.name)
    platform = plugins.load("platforms", checked.platform.name)
    for key, value in getattr(platform, "fresh", {}).items():
        if requested.setdefault(f"platform.{key}", value) == value:
            config.put(document, f"platform.{key}", value)
    checked = config.check(document)
    for setting, value in config.environment().items():
        if setting not in requested:
            config.put(document, setting, value)
    resolved = config.check(document).resolve_all(workspace.resolve())
    if checked.learner.name not in plugins.names("learners"):
        plugins.load("learners", checked.learner.name)
    check = getattr(platform, "check", None)
    if check is not None:
        check(resolved.options_of("platform"))
    if "model.name" in requested or "model.weights" in requested:
        from alcli.artifacts.trained import check_model

        check_model(resolved)
    return checked, resolved
