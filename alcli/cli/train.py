"""``alcli train``."""

from __future__ import annotations

import click

from alcli.cli import _options as options
from alcli.cli._console import measured


@click.command(short_help="Train the model and its loss head.")
@options.validation
@options.setting("--epochs", "train.epochs", "Passes over the annotated images.", type=click.IntRange(1))
@options.wait
@options.shared
def command(session: options.Session, wait: float) -> int:
    """Train the model and its learned-loss head on the annotated images that were pulled.

    The model of the previous cycle is the start, unless train.init is "scratch".

    \b
    Examples:
      alcli train
      alcli train --epochs 50 --set train.optimizer=sgd --set train.learning_rate=0.01
    """
    from alcli.cycle import open_cycle
    from alcli.cycle.train import train

    with session.writing(wait) as context:
        number = open_cycle(context)
        result = train(context, number)
        code = session.ending(result.problems)
    metrics = measured(result.summary.metrics)
    session.console.problems(result.problems)
    session.console.result(
        {"cycle": number, "already_done": result.already_done, **result.summary.document()},
        f"Cycle {number}: {'already trained' if result.already_done else 'trained'} "
        f"on {result.summary.trained_on} images. {metrics or 'No metric.'}\nNext: alcli score",
    )
    return code
