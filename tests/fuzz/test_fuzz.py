"""No input, however broken, ends in anything but a result or an AlcliError."""

from __future__ import annotations

import resource

import pytest

from tests.fuzz.counts import SUBJECTS, shares
from tests.fuzz.subject import SLOWEST, run

EXAMPLES, SEED = 21_000, 1
LARGEST = 2**30
"""Bytes by which the process may grow, whatever other tests left in it."""


@pytest.mark.parametrize("subject", SUBJECTS, ids=lambda subject: subject.name.replace(" ", "-"))
def test_any_input_is_read_or_refused(subject, tmp_path):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    row = run(subject, shares(EXAMPLES)[subject.name], SEED, tmp_path)
    assert not row.faults, "\n".join(row.shown)
    assert row.slowest < SLOWEST
    # Hypothesis stops early only where it has tried everything.
    assert row.examples >= 0.9 * shares(EXAMPLES)[subject.name]
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < LARGEST


def test_there_are_many_subjects_and_every_run_tries_twenty_thousand_inputs():
    assert len(SUBJECTS) >= 12 and len({subject.name for subject in SUBJECTS}) == len(SUBJECTS)
    assert sum(shares(EXAMPLES).values()) >= 20_000
