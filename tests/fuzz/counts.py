"""Figures that a benchmark can ask for: how many inputs were tried, and how many did harm."""

from __future__ import annotations

from pathlib import Path

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
