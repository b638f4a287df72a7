from __future__ import annotations

import time

import pytest

from alcli.cli._progress import Tracker, show_lines
from alcli.cli._tables import break_lines, column_widths
from alcli.system.progress import LOG


class Clock:
    """A clock that a test sets."""

    now = 1000.0


@pytest.fixture
def clock(monkeypatch):
    monkeypatch.setattr(time, "monotonic", lambda: Clock.now)
    monkeypatch.setattr(Clock, "now", 1000.0)
    return Clock


def test_progress_says_of_what_it_counts_and_what_is_left(clock):
    scoring = Tracker("Scoring", 2040, "image")
    assert scoring.line() == "Scoring: 0 of 2040 images"
    clock.now += 10
    scoring(204)
    assert scoring.line() == "Scoring: 204 of 2040 images · 90 s left"
    clock.now += 90
    scoring(1836)
    assert scoring.last_line() == "Scoring: 2040 images · took 2 min"


def test_an_epoch_and_its_loss_replace_the_number_of_images(clock):
    training = Tracker("Training", 30 * 93, "image")
    training(0, "epoch 1/30")
    clock.now += 60
    assert training.line() == "Training: epoch 1/30"
    training(5 * 93, "epoch 5/30 · loss 3.2")
    assert training.line() == "Training: epoch 5/30 · loss 3.2 · 5 min left"


def test_no_time_is_guessed_before_anything_is_done_and_earlier_runs_are_no_pace(clock):
    resumed = Tracker("Scoring", 1000, "image", start=900)
    clock.now += 40
    resumed(0)
    assert resumed.line() == "Scoring: 900 of 1000 images"
    resumed(50)
    assert resumed.line() == "Scoring: 950 of 1000 images · 40 s left"


def test_without_a_terminal_there_is_a_line_every_30_seconds(clock, capsys):
    tracker = Tracker("Fetching", 4, "image")
    with show_lines(tracker):
        for _ in range(4):
            clock.now += 20
            tracker(1)
    assert capsys.readouterr().err.splitlines() == [
        "Fetching: 2 of 4 images · 40 s left", "Fetching: 4 of 4 images · 0 s left",
    ]  # fmt: skip


def test_the_log_is_told_at_most_every_ten_seconds(clock, caplog):
    LOG.addHandler(caplog.handler)
    LOG.setLevel("INFO")
    try:
        tracker = Tracker("Pushing", 100, "image")
        for _ in range(5):
            clock.now += 4
            tracker(1)
    finally:
        LOG.removeHandler(caplog.handler)
        LOG.setLevel("NOTSET")
    assert [record.facts["done"] for record in caplog.records] == [1, 4]


def test_lines_break_between_words():
    text = "alcli: None of the 120 annotations can be used\n  left out: a.jpg and 3 more\nNext:   alcli cycle -w a/path"
    assert break_lines(text, 25).split("\n") == [
        "alcli: None of the 120",
        "annotations can be used",
        "  left out: a.jpg and 3",
        "  more",
        "Next:   alcli cycle -w a/path",
    ]
    assert break_lines("averyveryverylongname.jpg is left out", 10) == "averyveryverylongname.jpg\nis left\nout"


def test_columns_never_break_a_word_where_they_fit():
    lines = [
        ("name", "what it does"),
        ("cluster-margin", "Take one item of each cluster by turns, the smallest first."),
    ]
    assert column_widths(lines, 100) == [None, None]
    assert column_widths(lines, 40) == [14, 24]
    assert column_widths(lines, 18) == [None, None]
