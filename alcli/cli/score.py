"""Rank the images that are not annotated yet."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from alcli.cli import _options as options
from alcli.errors import DONE, PARTIAL

if TYPE_CHECKING:
    from alcli.artifacts.shard import Shard

SHOWN = 10
MOST_DIGITS = 6


class ShardType(click.ParamType):
    """``3/16`` as the third of sixteen shards."""

    name = "i/n"

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> Shard:
        """The shard; fails with a usage error if the text names none."""
        from alcli.artifacts.shard import Shard

        number, _, of = str(value).strip().partition("/")
        if not (number.isascii() and number.isdigit() and of.isascii() and of.isdigit()) or len(of) > MOST_DIGITS:
            self.fail(f"{value!r} is not a shard; examples: 1/4, 4/4.", parameter, context)
        if not 1 <= int(number) <= int(of):
            self.fail(f"{value!r}: of {of} shards the first is 1/{of}, the last {of}/{of}.", parameter, context)
        return Shard(int(number), int(of))


@click.command()
@options.strategy
@options.budget
@options.top
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="Also write the list as CSV; - is stdout."
)
@click.option("--shard", type=ShardType(), metavar="I/N", help="Only compute share I of N of the scoring pass.")
@click.option("--merge", is_flag=True, help="Rank from the shards; an error if one is missing.")
@options.wait
@options.shared
def command(
    session: options.Session, top: int | None, output: Path | None, shard: Shard | None, merge: bool, wait: float
) -> int:
    """Rank the images that are not annotated yet, with the model of the last finished training.

    \b
    Examples:
      alcli score
      alcli score --strategy entropy --top 20
      alcli score -o - | head
      alcli score --shard 3/16      # also on other machines; then, once: alcli score --merge
    """
    if shard is not None:
        if merge or top or output:
            raise click.UsageError("--shard only computes: --merge, --top and -o belong to the run that joins.")
        return _compute_shard(session, shard, wait)
    from alcli.artifacts.scores import current_list, last_scores, start_of_list
    from alcli.cli.export_csv import check_output, head, write
    from alcli.cycle.export import origin
    from alcli.cycle.score import score
    from alcli.system.text import quantity

    check_output(session.console, output)
    with session.lock_workspace(wait) as context:
        cycles = context.workspace.store.cycles()
        number = cycles[-1].number if cycles else 0
        if merge:
            from alcli.cycle.shards import check_shards

            check_shards(context, number)
        result = score(context, number)
        code = session.exit_code(result.problems, result.summary.collapse)
        scored = last_scores(context, number)
        if output is None and top is None:
            rows, count = start_of_list(context, scored, SHOWN)
        else:
            rows = current_list(context, scored, top)
            count = len(rows)
    session.console.problems(result.problems)
    document = {"cycle": number, **result.summary.document(), "head": head(rows, SHOWN)}
    if output is not None:
        write(session.console, output, rows, origin(scored), document)
    else:
        session.console.result(document)
        session.console.table(
            f"The first {min(SHOWN, count)} of {quantity(count, 'image')}, ranked by "
            f"{result.summary.strategy}, cycle {number}",
            ("rank", "name", "score"),
            [(row.rank, row.item.name, f"{row.score:.6g}") for row in rows[:SHOWN]],
        )
    return code


def _compute_shard(session: options.Session, shard: Shard, wait: float) -> int:
    from alcli.cycle.shards import score_shard
    from alcli.system.text import quantity

    with session.share_workspace(wait) as context:
        cycles = context.workspace.store.cycles()
        done = score_shard(context, cycles[-1].number if cycles else 0, shard)
    session.console.problems(done.left_out)
    session.console.result(done.document())
    earlier = done.share - done.computed
    session.console.say(
        f"Shard {shard} of cycle {done.cycle}: {quantity(done.computed, 'part')} computed "
        f"({quantity(done.images, 'image')}), {earlier} {'missing' if done.left_out else 'there before'}; "
        f"the pass has {quantity(done.parts, 'part')}."
    )
    return PARTIAL if done.left_out else DONE
