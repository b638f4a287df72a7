"""Figures that a benchmark can ask for: how many inputs were tried, and how many did harm."""

from __future__ import annotations

from pathlib import Path

from tests.fuzz import bit_rot, containment, names
from tests.fuzz import pickles as pickled
from tests.fuzz.subject import Row, Subject, run
from tests.fuzz.subjects import annotations, platforms, workspace

SUBJECTS: list[Subject] = [*annotations.SUBJECTS, *workspace.SUBJECTS, *platforms.SUBJECTS]


def shares(total: int) -> dict[str, int]:
    """Subject → its number of examples; together at least ``total``."""
    whole = sum(subject.share for subject in SUBJECTS)
    return {subject.name: int(total * subject.share / whole) + 1 for subject in SUBJECTS}


def fuzz(total: int, seed: int, scratch: Path) -> list[Row]:
    """Give all subjects together at least so many inputs, the same for the same seed; one row a subject."""
    return [run(subject, shares(total)[subject.name], seed, scratch) for subject in SUBJECTS]


def round_trips(count: int, seed: int, scratch: Path) -> tuple[int, int]:
    """(file names tried, names that did not come back from disk, database and lists as they were)."""
    return names.round_trip(count, seed, scratch)


def hostile_names(scratch: Path) -> tuple[int, int]:
    """(hostile names given by a platform or an annotation file, files written or left outside)."""
    tried, outside = containment.tried(scratch)
    return tried, len(outside)


def pickles(scratch: Path) -> tuple[int, int]:
    """(files that run code when unpickled, given to every reader; how many ran)."""
    tried, executed, _ = pickled.tried(scratch)
    return tried, executed


def bit_flips(count: int, seed: int, scratch: Path) -> tuple[int, int]:
    """(bits flipped in models, checkpoints, parts of a pass, scores and priorities; flips that nobody found)."""
    return bit_rot.flips(count, seed, scratch)
