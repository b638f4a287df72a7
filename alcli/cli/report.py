"""Write a cycle as one HTML page: images, reasons, learning curve."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from alcli.cli import _options as options

if TYPE_CHECKING:
    from alcli.context import StepResult
    from alcli.workspace.records import Reported


@click.command()
@click.option(
    "--cycle", type=click.IntRange(1), help="Number of the cycle. Default: the newest one with a ranked list."
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Also write the page to this file, which all users may read; the workspace itself is private.",
)
@click.option("--open", "show", is_flag=True, help="Open the page in the browser.")
@click.option(
    "--target", type=options.Share(), help="Metric value to reach, for the forecast: 75% or 0.75.  [report.target]"
)
@options.wait
@options.shared
def command(
    session: options.Session,
    cycle: int | None,
    output: Path | None,
    show: bool,
    target: float | None,
    wait: float,
) -> int:
    """Write the page of a cycle, one self-contained HTML file: cycles/NNNN/report.html.

    The newest page also is W/report.html, which the workspace's group may read (report.mode). While another run holds
    the workspace, the page is about the newest finished cycle, and says so.

    It shows whether to go on, the learning curve and its forecast, and what is known of the gain over random order; the
    selected images with the model's predictions, the reason and the most similar annotated image; and the classes.

    \b
    Examples:
      alcli report --open
      alcli report -w W --target 75%
      alcli report -w W -o /srv/www/cells.html
      alcli report --cycle 3 --set report.gallery=100
    """
    from alcli.curves.forecast import check_target
    from alcli.system.text import quantity

    if target is not None:
        check_target(target)
    result = _write(session, cycle, target, wait)
    summary = result.summary
    if output is not None:
        _publish(Path(summary.file), output)
    images, file = quantity(summary.images, "image"), output or summary.file
    document = {"cycle": result.cycle, **summary.document(), "output": str(output) if output else None}
    session.console.result(
        document,
        f"Cycle {result.cycle}, {images}: {file}\n{summary.outlook}".strip(),
    )
    if show:
        _show(session, Path(file))
    if summary.missing:
        missing = quantity(summary.missing, "image")
        session.console.say(f"{missing} cannot be read now; the page has a note in place of each.")
    return 0


def _write(session: options.Session, cycle: int | None, target: float | None, wait: float) -> StepResult[Reported]:
    """Write the page; during another run from a copy of the database, so that the run is not disturbed."""
    from alcli.report.gather import report

    with session.open_workspace() as workspace:
        holder = workspace.holder()
        finished = [record.number for record in workspace.store.cycles() if record.finished]
    if not holder or wait:
        with session.lock_workspace(wait) as context:
            return report(context, cycle, target)
    if not finished or (cycle is not None and cycle not in finished):
        from alcli.errors import WorkspaceLocked

        raise WorkspaceLocked(
            f"{f'Cycle {cycle}' if cycle else 'The first cycle'} is not finished, and another run holds this "
            f"workspace: {holder}.",
            do="Wait for it to end (--wait 30m).",
        )
    with session.copy_workspace() as context:
        return report(context, cycle or finished[-1], target, f"A run is working on the next cycle: {holder}.")


def _show(session: options.Session, page: Path) -> None:
    import webbrowser

    if not webbrowser.open(page.resolve().as_uri()):
        session.console.say(f"There is no browser here. Open this file in one: {page.resolve()}")


def _publish(page: Path, output: Path) -> None:
    """Copy the page out of the private workspace into a file that every user may read."""
    from alcli.system.files import SHARED, atomic_write
    from alcli.workspace.database import machine_errors

    with machine_errors(output), atomic_write(output, permissions=SHARED) as stream:
        stream.write(page.read_text(encoding="utf-8"))
