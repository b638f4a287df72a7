"""Try alcli on generated images of handwritten digits: start here."""

from __future__ import annotations

from pathlib import Path

import click

from alcli.cli._console import Console


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), default=Path("alcli-quickstart"))
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON document.")
@click.option("-q", "--quiet", is_flag=True, help="Print errors only.")
def command(folder: Path, as_json: bool, quiet: bool) -> int:
    """Run two labeling cycles on generated images of handwritten digits: no network, no account, no GPU.

    FOLDER is created; it must not exist yet or be empty.

    \b
    Examples:
      alcli quickstart
      alcli quickstart /tmp/digits
    """
    from alcli.cli.cycle import describe
    from alcli.curves.metrics import percent
    from alcli.errors import UsageError
    from alcli.simulation import quickstart

    console = Console(as_json, quiet, False)
    if folder.exists() and any(folder.iterdir()):
        raise UsageError(f"{folder} is not empty.", do="Name another folder: alcli quickstart FOLDER")
    pool, test, start, budget = quickstart.POOL, quickstart.TEST, quickstart.START, quickstart.BUDGET
    console.say(f"Generating {pool} images of handwritten digits in {folder}/images, {start} of them annotated,")
    console.say(
        f"and {test} test images. Two cycles follow; in between, the queue's first {budget} images are labeled."
    )
    project = quickstart.make_project(folder)
    workspace = quickstart.make_workspace(project)
    try:
        (_, before), (last, after) = quickstart.run(
            project, workspace, console, lambda result: console.say(describe(result))
        )
    finally:
        workspace.close()
    csv = folder / "cycles" / f"{last.number:04d}" / "priorities.csv"
    document = {"folder": str(folder), "map_before": before, "map_after": after, "csv": str(csv)}
    console.result(
        document,
        f"\nmAP on {test} test images: {percent(before)} with {start} annotated images, "
        f"{percent(after)} with {start + budget} ({100 * (after - before):+.1f} points).\n"
        "(One run shows that the cycle works, not that this order is better than another.)\n\n"
        f"Ranked list:         {csv}\n"
        f"Annotators' queue:   {folder}/queue.csv\n"
        f"HTML report:         alcli report -w {folder}    (writes {csv.parent}/report.html)\n"
        f"Next:                alcli status -w {folder}\n"
        f"                     alcli score -w {folder} --strategy entropy --top 20\n"
        f"                     move files from {project.answers} to {project.annotations}, then:\n"
        f"                     alcli cycle -w {folder}\n"
        "Your own images:     alcli init W --images photos --annotations labels && alcli cycle -w W",
    )
    return 0
