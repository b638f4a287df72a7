"""Write the model's predictions as a file."""

from __future__ import annotations

from pathlib import Path

import click

from alcli.cli import _options as options


@click.command()
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="File to write: .jsonl, .jsonl.gz")
@click.option("--pool", "pool_only", is_flag=True, help="Only the images that are not annotated.")
@options.shared
def command(session: options.Session, output: Path, pool_only: bool) -> int:
    """Write what the newest model says about every image: boxes, joints or masks, probabilities, signals, embedding.

    The file is the one that the learner `predictions` reads; alcli/predictions/schema.json describes it. It works
    during a run, with the model of the newest finished training.

    \b
    Examples:
      alcli predict -w W -o preds.jsonl
      alcli predict -w W --pool -o preds.jsonl.gz
    """
    from alcli.artifacts.predictor import load_predictor
    from alcli.artifacts.trainings import newest_training
    from alcli.errors import UsageError
    from alcli.items import LABELED, UNLABELED
    from alcli.review.predictions_file import write_file
    from alcli.system.text import quantity

    with session.copy_workspace() as context:
        training = newest_training(context, max((row.number for row in context.workspace.store.cycles()), default=0))
        if training.file is None:
            raise UsageError("There is no model yet that could predict.", do="Annotate some images first.")
        pool = context.workspace.store.pool()
        items = [*pool.in_state(UNLABELED), *([] if pool_only else pool.in_state(LABELED))]
        refusals = write_file(context, load_predictor(context, training), items, output)
    session.console.problems(refusals)
    count = len(items) - len(refusals)
    session.console.result(
        {"file": str(output), "images": count, "cycle": training.cycle, "refused": len(refusals)},
        f"Wrote the predictions for {quantity(count, 'image')} of cycle {training.cycle}'s model to {output}.",
    )
    return session.exit_code(refusals)
