from __future__ import annotations

import time
from datetime import datetime, timezone

import pytest

from alcli.system.clock import local, now, rounded, span


@pytest.fixture
def tokyo(monkeypatch):
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def test_times_for_people_are_local(tokyo):
    year = datetime.now(timezone.utc).year
    assert local(f"{year}-06-24T17:14:41Z") == "25 Jun 02:14"
    assert local("2019-11-24T17:14:41Z") == "25 Nov 2019 02:14"
    assert local("open") == "open"
    assert local(now()) != now()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (99, "99 s"), (100, "2 min"), (540, "9 min"), (9000, "2.5 h"), (200000, "2 days")],
)
def test_a_glance_needs_no_digits_after_the_first(seconds, text):
    assert rounded(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(1.0, "1 second"), (90.0, "90 seconds"), (60.0, "1 minute"), (93600.0, "26 hours"), (604800.0, "7 days"),
     (0.5, "0.5 seconds"), (0.0, "0 seconds")],
)  # fmt: skip
def test_a_span_is_said_in_its_own_unit(seconds, text):
    assert span(seconds) == text
