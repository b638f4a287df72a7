"""Create a workspace for a project."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from alcli.cli._console import Console


@click.command()
@click.argument("workspace", type=click.Path(path_type=Path, file_okay=False))
@click.option("--task", "task__name", help="detection (default); `alcli list tasks`.")
@click.option("--platform", "platform__name", help="folder (default); `alcli list platforms`.")
@click.option("--images", "platform__images", type=click.Path(), help="Folder of images, searched recursively.")
@click.option(
    "--annotations",
    "platform__annotations",
    type=click.Path(),
    help="Folder or file of annotations; `alcli list formats`.",
)
@click.option("--project", "platform__project", help='On a remote platform: "P", "P/folder", or "P/*" for all folders.')
@click.option("--folders", "platform__folders", help="Several folders of the project, comma-separated.")
@click.option("--url", "platform__url", help="Address of the remote service; default: the public one.")
@click.option("--token-file", "platform__token_file", type=click.Path(), help="File (0600) with the platform's token.")
@click.option("--model", "model__name", help="Network; `alcli list models`.")
@click.option("--weights", "model__weights", help="none, imagenet, or a safetensors file.")
@click.option("--budget", "selection__budget", type=click.IntRange(1), help="Images asked for per cycle.")
@click.option("--classes", "task__classes", help="Class names, comma-separated; default: those annotated.")
@click.option("--set", "settings", multiple=True, metavar="SECTION.KEY=VALUE", help="Any other setting.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@click.option("-q", "--quiet", is_flag=True, help="Errors only.")
def command(workspace: Path, settings: tuple[str, ...], as_json: bool, quiet: bool, **flags: Any) -> int:
    """Make a workspace: a folder that remembers the project, its settings and every cycle.

    \b
    Examples:
      alcli init W --images photos --annotations labels
      alcli init W --task detection --platform folder --images photos --annotations coco.json \\
            --model ssd-mobilenet-v2 --weights mobilenet_v2.safetensors --budget 50 --set train.epochs=20
      alcli init W --platform superannotate --project "Cells/pool" --task detection
    """
    from alcli import config
    from alcli.workspace import Workspace

    chosen = {place.replace("__", "."): value for place, value in flags.items() if value is not None}
    chosen = {"task.name": "detection", "platform.name": "folder", **chosen}
    for place in ("platform.images", "platform.annotations", "platform.token_file", "model.weights"):
        if place in chosen and chosen[place] not in ("none", "imagenet"):
            # Given relative to where the person stands, kept independent of it.
            chosen[place] = str(Path(chosen[place]).resolve())
    if "task.classes" in chosen:
        chosen["task.classes"] = [name.strip() for name in chosen["task.classes"].split(",") if name.strip()]
    for text in settings:
        place, value = config.parse_override(text)
        chosen[place] = value
    _check(chosen, workspace)
    Workspace.create(workspace, chosen).close()
    Console(as_json, quiet, False).result(
        {"workspace": str(workspace), "settings": chosen},
        f"Made the workspace {workspace}. Settings: {workspace / config.FILE_NAME}\nNext: alcli cycle -w {workspace}",
    )
    return 0


def _check(chosen: dict[str, Any], workspace: Path) -> None:
    """Refuse before anything is made: unknown keys, plugins that do not exist, folders that are not there."""
    from alcli import config, plugins
    from alcli.errors import UsageError

    document: dict[str, dict[str, Any]] = {}
    for place, value in chosen.items():
        section, key = place.split(".")
        document.setdefault(section, {})[key] = value
    checked = config.check(document)
    platform = plugins.load("platforms", checked.platform.name)
    if checked.task.name not in plugins.names("tasks"):
        plugins.load("tasks", checked.task.name)
    for place in ("images", "annotations"):
        path = getattr(checked.platform, place)
        if path is not None and not path.exists():
            raise UsageError(f"--{place}: there is no {path}.", do="Check the path, or make the folder first.")
    if checked.platform.name == "superannotate":
        # Without asking it: the project, the token and the address are complete.
        platform(checked.platform, Path("cache"))
    for place in ("images", "annotations"):
        if checked.platform.name == "folder" and getattr(checked.platform, place) is None:
            raise UsageError(
                f"The folder platform needs --{place}.",
                do="alcli init W --images photos --annotations labels (an empty folder before the first)",
            )
    if "model.name" in chosen or "model.weights" in chosen:
        from alcli.artifacts.trained import check_model

        check_model(checked.resolved(workspace.resolve()))
