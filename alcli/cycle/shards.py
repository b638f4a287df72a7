"""Shards: a scoring pass computed in shares by several runs, on this machine or others, and joined by one.

The parts of the pass have numbers, the same on every machine; shard i of n computes those whose number leaves the rest
i − 1 when divided by n. Which pass the parts belong to is in ``shards.json`` beside them.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from alcli.artifacts.inspection import check_reachable
from alcli.artifacts.predictor import load_predictor
from alcli.artifacts.scoring_pass import COMPUTED_BY, POOL, PlannedPart, ScoringPass, count_images
from alcli.artifacts.shard import Shard
from alcli.context import Context
from alcli.cycle._start import prepare
from alcli.engine.device import has_bfloat16
from alcli.engine.training_state import environment
from alcli.errors import DataError, UsageError
from alcli.items import Refusal
from alcli.system.files import TEMPORARY_PREFIX, atomic_write
from alcli.system.text import quantity

NOTE = "shards.json"
SHOWN_DIGITS = 12


@dataclass(frozen=True)
class ShardDone:
    """What a shard has left.

    Attributes:
        parts: of the whole pass. share: of this shard. computed: by this run.
        images: in the parts computed. left_out: images that may be readable next time; their parts are missing.
    """

    cycle: int
    shard: Shard
    parts: int
    share: int
    computed: int
    images: int
    left_out: Sequence[Refusal]

    def document(self) -> dict[str, Any]:
        """The same as JSON."""
        return {**asdict(self), "shard": str(self.shard), "left_out": [refusal.name for refusal in self.left_out]}


def score_shard(context: Context, cycle: int, shard: Shard) -> ShardDone:
    """Compute the missing parts of a shard; nothing else is written.

    Raises:
        UsageError: nothing was trained yet, or the strategy asks for a signal that the task cannot give.
        DataError: other shards were started with another model, list, settings or alcli.
        PlatformError: most of the images cannot be read on this machine.
    """
    scoring, parts, identity = _plan(context, cycle)
    if parts:
        _join_others(context, _note(context, cycle), identity, shard.of)
    share = shard.share(parts)
    missing = scoring.missing(share)
    pool, labeled = _split(missing)
    unfinished = {**scoring.compute(pool), **scoring.compute(labeled)}
    left_out = [refusal for _, refused in unfinished.values() for refusal in refused if refusal.transient]
    computed = [part for part in missing if part.file not in unfinished]
    if unfinished:
        check_reachable([item for part in missing for item in part.items], left_out)
    return ShardDone(cycle, shard, len(parts), len(share), len(computed), count_images(computed), left_out)


def check_shards(context: Context, cycle: int) -> None:
    """Check that every part is there, so that joining them computes nothing of the pool.

    Raises:
        UsageError: no shard was run.
        DataError: they belong to another pass, or some are missing; the message says which.
    """
    scoring, parts, identity = _plan(context, cycle)
    missing = {part.file for part in scoring.missing(parts)}
    if not missing:
        return
    note = _note(context, cycle)
    root = shlex.quote(str(context.workspace.root))
    known = _read(note)
    if known is None:
        raise UsageError(
            f"No shard of cycle {cycle} was run here.",
            do=f"Run them: alcli score -w {root} --shard 1/4, and so on to 4/4; or all in one: alcli score -w {root}",
        )
    _compare(note, known, identity)
    of = known["shards"]
    numbers = sorted({index % of + 1 for index, part in enumerate(parts) if part.file in missing})
    listed = ",".join(map(str, numbers))
    raise DataError(
        f"{quantity(len(missing), 'part')} of {len(parts)} of the scoring pass of cycle {cycle} "
        f"{'is' if len(missing) == 1 else 'are'} missing: shard {listed} of {of} did not finish.",
        kept="The other parts are kept.",
        do=f"Run it again: alcli score -w {root} --shard {numbers[0]}/{of}. Or compute the rest here: "
        f"alcli score -w {root}",
    )


def _plan(context: Context, cycle: int) -> tuple[ScoringPass, list[PlannedPart], dict[str, str]]:
    start = prepare(context, cycle)
    predictor = load_predictor(start.context, start.training)
    plan, _ = start.plan.known_to(predictor)
    scoring = ScoringPass(start.context, cycle, predictor)
    if not plan.pool:
        return scoring, [], {}
    parts = scoring.parts(plan)
    return scoring, [*parts.pool, *parts.labeled], plan.identity(start.context, predictor)


def _split(parts: Sequence[PlannedPart]) -> tuple[list[PlannedPart], list[PlannedPart]]:
    """The parts of the pool, and those of the labeled items, whose signals are others."""
    pool = [part for part in parts if part.file.parent.name == POOL]
    return pool, [part for part in parts if part.file.parent.name != POOL]


def _note(context: Context, cycle: int) -> Path:
    return context.workspace.cycle_folder(cycle) / POOL / NOTE


def _join_others(context: Context, note: Path, identity: dict[str, str], of: int) -> None:
    """Check that the shards before this one belong to the same pass; the first one says which it is."""
    here = {**environment(), "bfloat16": str(has_bfloat16())}
    text = json.dumps({"pass": identity, "machine": here, "shards": of}, indent=2) + "\n"
    _write_first(note, text)
    known = _read(note)
    if known is None:
        raise DataError(f"{note} is not what a shard wrote.", do=f"Delete it, and start all shards again: rm {note}")
    _compare(note, known, identity)
    if differences := [f"{name} {known['machine'].get(name)} there, {value} here" for name, value in here.items()
                       if known["machine"].get(name) != value]:  # fmt: skip
        context.progress.say(f"The first shard ran elsewhere ({'; '.join(differences)}): the last digits may differ.")
    if known["shards"] != of:
        with atomic_write(note) as stream:
            stream.write(json.dumps({**known, "shards": of}, indent=2) + "\n")


def _write_first(note: Path, text: str) -> None:
    """Write the file whole unless there is one; of several at once one wins."""
    if note.exists():
        return
    descriptor, temporary = tempfile.mkstemp(prefix=TEMPORARY_PREFIX, dir=note.parent)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(descriptor)
    try:
        with contextlib.suppress(FileExistsError):
            os.link(temporary, note)
    except OSError:  # a disk without links
        Path(temporary).replace(note)
    Path(temporary).unlink(missing_ok=True)


def _read(note: Path) -> dict[str, Any] | None:
    try:
        known = json.loads(note.read_text(encoding="utf-8"))
        return {"pass": dict(known["pass"]), "machine": dict(known["machine"]), "shards": max(int(known["shards"]), 1)}
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _compare(note: Path, known: dict[str, Any], identity: dict[str, str]) -> None:
    """Raise DataError if the shards that ran before belong to another pass."""
    theirs = known["pass"]
    others = [f"{name} {_shorten(name, str(theirs.get(name)))} there, {_shorten(name, value)} here"
              for name, value in identity.items() if theirs.get(name) != value]  # fmt: skip
    if others:
        raise DataError(
            f"The shards of this cycle were started with something else: {'; '.join(others)} (SHA-256; {note}).",
            kept="Nothing was computed or changed.",
            do="Run every shard with the same model, list, settings and alcli. If those here are right, start all of "
            f"them again: rm {shlex.quote(str(note))}",
        )


def _shorten(name: str, value: str) -> str:
    return value if name == COMPUTED_BY else value[:SHOWN_DIGITS]
