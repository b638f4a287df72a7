"""Write the images to annotate next for another annotation tool."""

from __future__ import annotations

from pathlib import Path

import click

from alcli.cli import _options as options


def _complete(context: click.Context, parameter: click.Parameter, start: str) -> list[str]:
    from alcli.cycle.batch import LAYOUTS

    return [name for name in LAYOUTS if name.startswith(start)]


@click.command()
@click.option(
    "--to",
    "kind",
    required=True,
    help="list, folder, coco, yolo, label-studio, cvat or voc.",
    shell_complete=_complete,
)
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="New file or folder to write.")
@click.option("--prelabels", is_flag=True, help="Add the model's predictions for people to correct.")
@click.option("--link", is_flag=True, help="Link to the images instead of copying them (folder, yolo, voc, cvat).")
@click.option("--force", is_flag=True, help="Replace an earlier batch.")
@options.top
@options.shared
def command(
    session: options.Session, kind: str, output: Path, prelabels: bool, link: bool, force: bool, top: int | None
) -> int:
    """Write the images asked for, best first, in a form that another annotation tool imports.

    \b
    list           a text file with one path per line
    folder         copies of the images, named 0001_NAME, 0002_NAME, …
    coco           one JSON file
    yolo           data.yaml, images/, labels/; the order in batch.txt
    label-studio   tasks for the import; local files below the folder of images
    cvat           images/, manifest.jsonl (sorting method: predefined), annotations.xml
    voc            JPEGImages/, Annotations/; the order in ImageSets/Main/batch.txt

    What the tool exports afterwards goes into the folder of annotations; `alcli cycle` reads it.

    \b
    Examples:
      alcli export-batch --to label-studio -o tasks.json --prelabels
      alcli export-batch --to folder -o next --top 50
    """
    from alcli.cycle.batch import export_batch
    from alcli.system.text import quantity

    with session.lock_workspace() as context:
        written = export_batch(context, kind, output, prelabels, top, force, link)
        code = session.exit_code(written.left_out)
    session.console.problems(written.left_out)
    objects = f" with {quantity(written.objects, 'predicted object')}" if prelabels else ""
    session.console.result(
        {
            "cycle": written.cycle,
            "format": kind,
            "path": str(output),
            "images": written.images,
            "objects": written.objects,
            "problems": [{"name": each.name, "reason": each.reason} for each in written.left_out],
        },
        f"{quantity(written.images, 'image')}{objects}, best first: {output}",
    )
    return code
