"""Train the model on the annotated images."""

from __future__ import annotations

import os

import click

from alcli.cli import _options as options
from alcli.cli._console import metrics_in_words

STARTED_BY_TORCHRUN = "TORCHELASTIC_RUN_ID"


@click.command()
@options.validation
@options.allow_cold_start
@options.setting("--epochs", "train.epochs", "Passes over the annotated training images.", type=click.IntRange(1))
@options.wait
@options.shared
def command(session: options.Session, wait: float) -> int:
    """Train the model and its learned-loss head on the annotated images.

    Training starts from the model of the previous cycle, unless train.init is "scratch".

    \b
    Examples:
      alcli train
      alcli train --epochs 50 --set train.optimizer=sgd --set train.learning_rate=0.01
      torchrun --standalone --nproc-per-node 2 -m alcli train -w W     # a process for each GPU
    """
    if STARTED_BY_TORCHRUN not in os.environ:
        return _train(session, wait)
    from alcli.engine import distributed

    if distributed.rank():
        return _help_rank_0()
    distributed.connect()
    code = _train(session, wait)
    distributed.announce(None)
    return code


def _help_rank_0() -> int:
    """Compute a share of each batch; what torchrun stops, rank 0 stops: after its step, with a checkpoint."""
    import signal

    from alcli.learners.builtin import follow

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    follow()
    return 0


def _train(session: options.Session, wait: float) -> int:
    from alcli.curves.correlation import correlation_in_words
    from alcli.cycle import open_cycle
    from alcli.cycle.train import train
    from alcli.system.text import quantity

    with session.lock_workspace(wait) as context:
        number = open_cycle(context)
        result = train(context, number)
        code = session.exit_code(result.problems)
    metrics = metrics_in_words(result.summary.metrics)
    # The score step knows the pool; only then can the held-out images be weighted.
    plain = f" (plain, on {quantity(result.summary.held_out, 'held-out image')})" if metrics else ""
    session.console.detail(correlation_in_words(result.summary.metrics, result.summary.held_out))
    session.console.problems(result.problems)
    session.console.result(
        {"cycle": number, "already_done": result.already_done, **result.summary.document()},
        f"Cycle {number}: {'already trained' if result.already_done else 'trained'} "
        f"on {quantity(result.summary.trained_on, 'image')}. {metrics or 'No metric.'}{plain}\nNext: alcli score",
    )
    return code
