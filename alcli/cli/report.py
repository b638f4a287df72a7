"""Write a cycle as one HTML page: images, reasons, learning curve."""

from __future__ import annotations

import click

from alcli.cli import _options as options


@click.command()
@click.option(
    "--cycle", type=click.IntRange(1), help="Number of the cycle. Default: the newest one with a ranked list."
)
@click.option("--target", type=float, help="Metric value to reach, for the forecast, such as 0.75.  [report.target]")
@options.wait
@options.shared
def command(session: options.Session, cycle: int | None, target: float | None, wait: float) -> int:
    """Write cycles/NNNN/report.html, one self-contained HTML file.

    It shows the selected images with the model's predictions, the reason and the nearest annotated image; the
    learning curve and its forecast; the classes; and how well predicted losses ranked the images annotated since.

    \b
    Examples:
      alcli report
      alcli report -w W --target 0.75
      alcli report --cycle 3 --set report.gallery=100
    """
    from alcli.curves.forecast import check_target
    from alcli.report.gather import report

    if target is not None:
        check_target(target)
    with session.lock_workspace(wait) as context:
        result = report(context, cycle, target)
    summary = result.summary
    session.console.result(
        {"cycle": result.cycle, **summary.document()},
        f"Cycle {result.cycle}, {summary.images} images: {summary.file}\n{summary.outlook}".strip(),
    )
    if summary.missing:
        session.console.say(f"{summary.missing} images cannot be read now; the page shows a note in place of each.")
    return 0
