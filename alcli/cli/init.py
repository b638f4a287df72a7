"""Create a workspace for a project."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from alcli.cli._console import Console
from alcli.cli._options import complete_names

if TYPE_CHECKING:
    from alcli.config import Config


FROM_HERE = click.Path(resolve_path=True)
"""A path relative to the current folder, made absolute."""


class Weights(click.ParamType):
    """``none``, ``imagenet``, or the path of a file, made absolute."""

    name = "text"

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> Any:
        """The word itself, or the absolute path."""
        return value if value in ("none", "imagenet") else FROM_HERE.convert(value, parameter, context)


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
@click.option("--images", "platform__images", type=FROM_HERE, help="Folder of images, searched recursively.")
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
@click.option("--model", "model__name", help="Network; `alcli list models`.")
@click.option("--weights", "model__weights", type=Weights(), help="none, imagenet, or a safetensors file.")
@click.option("--budget", "selection__budget", type=click.IntRange(1), help="Images to annotate per cycle.")
@click.option("--classes", "task__classes", help="Class names, comma-separated; default: the annotated ones.")
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="SECTION.KEY=VALUE",
    help="Any other setting; `alcli list settings`.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON document.")
@click.option("-q", "--quiet", is_flag=True, help="Print errors only.")
def command(workspace: Path, settings: tuple[str, ...], as_json: bool, quiet: bool, **flags: Any) -> int:
    """Create a workspace: the folder that keeps a project's settings, labels, models and cycles.

    \b
    Examples:
      alcli init W --images photos --annotations labels
      alcli init W --task detection --platform folder --images photos --annotations coco.json \\
            --model ssd-mobilenet-v2 --weights mobilenet_v2.safetensors --budget 50 --set train.epochs=20
      alcli init W --platform superannotate --project "Cells/pool" --task detection
    """
    from alcli import config
    from alcli.workspace import Workspace

    requested: dict[str, Any] = {"task.name": "detection", "platform.name": "folder"}
    requested |= {setting.replace("__", "."): value for setting, value in flags.items() if value is not None}
    requested |= dict(config.parse_override(text) for text in settings)
    checked = _check_settings(requested, workspace)
    content = checked.model_dump(mode="json")
    values = {setting: content[setting.split(".")[0]][setting.split(".")[1]] for setting in requested}
    chosen = {setting: value for setting, value in values.items() if value is not None}
    Workspace.create(workspace, chosen).close()
    console = Console(as_json, quiet, False)
    _confirm(checked, workspace, console)
    console.result(
        {"workspace": str(workspace), "settings": chosen},
        f"Created workspace {workspace}. Settings: {workspace / config.FILE_NAME}\nNext: alcli cycle -w {workspace}",
    )
    return 0


def _confirm(checked: Config, workspace: Path, console: Console) -> None:
    """Whoever creates a workspace confirms its addresses and paths; without a home, each run must give them again."""
    from alcli.config import trusted
    from alcli.errors import AuthError, MachineError

    try:
        trusted.confirm(checked.resolve_all(workspace.resolve()), workspace)
    except (AuthError, MachineError) as error:
        console.say(f"Not confirmed for later runs: {error.what} {error.do}")


def _check_settings(requested: dict[str, Any], workspace: Path) -> Config:
    """Check the settings before anything is created; raises UsageError for unknown keys, plug-ins and folders."""
    from alcli import config, plugins

    document: dict[str, Any] = {}
    for setting, value in requested.items():
        config.put(document, setting, value)
    checked = config.check(document)
    if checked.task.name not in plugins.names("tasks"):
        plugins.load("tasks", checked.task.name)
    resolved = checked.resolve_all(workspace.resolve())
    check = getattr(plugins.load("platforms", checked.platform.name), "check", None)
    if check is not None:
        check(resolved.options_of("platform"))
    if "model.name" in requested or "model.weights" in requested:
        from alcli.artifacts.trained import check_model

        check_model(resolved)
    return checked
