"""``alcli status``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from alcli.cli import options

if TYPE_CHECKING:
    from alcli.workspace import Workspace


@click.command(short_help="Show pool, cycles and the next command.")
@options.shared
def command(session: options.Session) -> int:
    """Show the pool, the cycles and the next command.

    \b
    Examples:
      alcli status
      alcli status -w W --json
    """
    with session.reading() as workspace:
        counts = workspace.store.pool().counts()
        cycles = [_cycle(workspace, row) for row in workspace.store.cycles()]
        refused = len(workspace.store.quarantined())
    document: dict[str, Any] = {
        "workspace": str(session.root),
        "pool": counts,
        "cycles": cycles,
        "left_out": refused,
    }
    document["next"] = _next(document)
    shown = ", ".join(f"{count} {state}" for state, count in counts.items())
    session.console.result(document, f"{session.root}: {shown}")
    session.console.table(
        "Cycles",
        ("cycle", "finished", "trained on", "metric", "strategy", "ranked"),
        [
            (
                row["cycle"],
                row["finished"] or "open",
                row["trained_on"],
                _metric(row),
                row["strategy"],
                row["ranked"],
            )
            for row in cycles
        ],
    )
    if not session.console.as_json and not session.console.quiet:
        if refused:
            click.echo(f"{refused} left out with a reason: alcli list quarantine")
        click.echo(f"Next: {document['next']}")
    return 0


def _cycle(workspace: Workspace, row: Any) -> dict[str, Any]:
    steps = {name: workspace.step(row["number"], name) for name in ("train", "score", "export", "push")}
    train, score = (steps[name].summary if steps[name] else {} for name in ("train", "score"))  # type: ignore[union-attr]
    return {
        "cycle": row["number"],
        "started": row["started"],
        "finished": row["finished"],
        "steps_done": [name for name, record in steps.items() if record],
        "trained_on": train.get("trained_on", ""),
        "metrics": train.get("metrics", {}),
        "strategy": score.get("strategy", ""),
        "ranked": score.get("scored", ""),
    }


def _metric(row: dict[str, Any]) -> str:
    return next((f"{name} {value:.3f}" for name, value in row["metrics"].items()), "")


def _next(document: dict[str, Any]) -> str:
    cycles = document["cycles"]
    if cycles and cycles[-1]["finished"] is None:
        return "alcli cycle    (goes on with the open cycle)"
    if not cycles:
        return "alcli cycle"
    return "annotate the head of the queue, then: alcli cycle"
