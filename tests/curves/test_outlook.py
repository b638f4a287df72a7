from __future__ import annotations

import math
import re
from dataclasses import replace

import pytest

from alcli.annotations import Annotation, Box
from alcli.curves.history import CycleFacts, curve
from alcli.curves.outlook import GO_ON, STOP, UNSURE, Means, means_of, outlook
from alcli.curves.pace import MEASURED, SETTINGS, TYPICAL, Pace
from alcli.items import LABELED, Item
from alcli.workspace import Workspace


def cycles(*values, metric="map", held_out=2000, step=100):
    return [
        CycleFacts(n, "", "", labels=step * n, held_out=held_out, metrics={} if value is None else {metric: value})
        for n, value in enumerate(values, 1)
    ]


def test_a_rising_curve_is_worth_going_on_with():
    found = outlook(cycles(0.3, 0.45, 0.54, 0.6), 0.7, Means(100, left=5000))
    assert found.advice == GO_ON
    assert found.reachable
    assert "70 % mAP: perhaps " in found.text and "; too early to be sure." in found.text
    assert "cycles of 100" in found.text
    assert "hours" not in found.text


def test_a_flat_curve_says_stop():
    found = outlook(cycles(0.8, 0.801, 0.8, 0.801, 0.8, 0.801, held_out=100000), None, Means(100))
    assert found.advice == STOP
    assert found.text.startswith("The next 100 labels are expected to bring +0.")


@pytest.mark.parametrize(
    ("agreement", "advice", "words"),
    [
        (0.85, STOP, "The model has settled: its predictions agree with the last cycle's to 85 %."),
        (0.7, UNSURE, "still changes its mind a lot: its predictions agree with the last cycle's to 70 %."),
    ],
)
def test_a_flat_curve_is_no_reason_to_stop_while_predictions_change(agreement, advice, words):
    flat = cycles(0.8, 0.801, 0.8, 0.801, 0.8, 0.801, held_out=100000)
    flat[-1] = replace(flat[-1], agreement=agreement)
    found = outlook(flat, None, Means(100))
    assert found.advice == advice
    assert words in found.text


def test_a_weak_model_that_agrees_with_itself_as_far_as_with_people_has_not_settled():
    flat = cycles(0.45, 0.451, 0.45, 0.451, 0.45, 0.451, held_out=100000)
    flat[-1] = replace(flat[-1], agreement=0.6)
    words = outlook(flat, None, Means(100)).text
    assert "The last two models agree with each other to 60 %, as far as with the annotations." in words
    assert "settled" not in words


def test_a_model_near_perfection_is_stable_although_its_last_errors_move():
    rows = cycles(0.985, 0.99, 0.99, 0.991, 0.99, held_out=100000)
    rows[-1] = replace(rows[-1], agreement=0.97)
    assert outlook(rows, None, Means(100)).stable


def test_hours_come_from_what_a_label_costs():
    means = Means(100, None, 12.5, Pace(10, 4, SETTINGS))
    found = outlook(cycles(0.3, 0.45, 0.54, 0.6), 0.65, means)
    assert means.seconds == 60
    assert found.hours(found.labels + 120) == pytest.approx(2)
    assert "hours" in found.text and "pace" not in found.text


def test_hours_come_from_the_measured_pace_where_nothing_is_configured():
    measured = Means(100, None, 12.5, Pace(5.0, 2.0, MEASURED, images=57))
    found = outlook(cycles(0.3, 0.45, 0.54, 0.6), 0.65, measured)
    assert found.hours(found.labels + 120) == pytest.approx(1)
    assert "hours at the pace of 57 images" in found.text


def test_the_pace_is_that_of_the_annotations_in_the_workspace(tmp_path):
    workspace = Workspace.create(tmp_path / "W", {"platform.name": "folder", "task.name": "detection"})
    box = Box("cell", 0, 0, 5, 5)
    times = [8.0, 9.0, 10.0, 11.0, 12.0, 400.0, -1.0, math.nan, 0.0, 3 * 86400.0, *[10.0] * 5, None]
    rows = [
        (Item(f"i{n}", f"{n}.jpg", "u", state=LABELED), Annotation(f"i{n}", (box, box), seconds=seconds))
        for n, seconds in enumerate(times)
    ]
    workspace.store.replace_items([item for item, _ in rows], rows)
    found = means_of(workspace, workspace.configuration(), left=3)
    assert found.pace == Pace(10.0, None, MEASURED, images=10, idle=2)
    assert (found.seconds, found.objects_per_item, found.left) == (10.0, 2, 3)
    workspace.store.replace_items([item for item, _ in rows[:8]], rows[:8])
    usual = means_of(workspace, workspace.configuration(), left=3)
    assert usual.pace and usual.pace.source == TYPICAL
    assert usual.seconds == 53
    assert "hours at 26.5 s a box" in outlook(cycles(0.3, 0.45, 0.54, 0.6), 0.65, usual).text
    workspace.close()


def test_a_pool_that_is_too_small_is_said():
    assert "only 3 unlabeled images are left" in outlook(cycles(0.3, 0.45, 0.54, 0.6), 0.7, Means(10, left=3)).text


def test_a_reached_target_and_one_out_of_reach():
    reached = outlook(cycles(0.5, 0.6), 0.55, Means(10))
    assert reached.is_reached
    assert reached.text.startswith("55 % mAP is reached: the newest model measures 60.0 %.")
    out = outlook(cycles(0.5, 0.501, 0.502, 0.501, 0.502, held_out=100000), 0.95, Means(10))
    assert not out.reachable
    assert "95 % mAP is unlikely on this course: fewer than half of the plausible curves" in out.text
    assert math.isinf(out.cycles(math.inf))


def test_too_few_points_say_what_is_needed():
    unmeasured = [CycleFacts(1, "", "", trained_on=8)]
    for few, text in (
        ([], "A forecast comes after two cycles with annotations; it is useful after four."),
        (cycles(0.5), "A forecast comes after the next cycle; it is useful after four."),
        (cycles(None, 0.5), "A forecast comes after the next cycle; it is useful after four."),
        (cycles(0.5, math.nan), "A forecast comes after the next cycle; it is useful after four."),
        (unmeasured, "A forecast needs models that were evaluated: set train.validation above 0, such as 0.2."),
    ):
        found = outlook(few, 0.7, Means(10))
        assert (found.bundle, found.text, found.advice) == (None, text, "")


def test_a_target_within_sure_reach_has_an_interval():
    text = outlook(cycles(0.3, 0.45, 0.54, 0.6, 0.64, 0.67, held_out=100000), 0.68, Means(10)).text
    assert re.match(r"68 % mAP takes about \d+ more labels \[90 %: \d+ to \d+\], \d+ cycles of 10\.", text)


def test_only_cycles_with_a_model_of_their_own_and_the_newest_metric_are_points():
    rows = cycles(0.3, 0.4, metric="top1") + cycles(0.5, None, 0.6)
    rows[-1] = CycleFacts(9, "", "", labels=900, metrics={"map": 0.6}, reused=True)
    assert [row.headline for row in curve(rows)] == [("map", 0.5)]
    lone = CycleFacts(1, "", "", metrics={"loss_rank_correlation": 0.5})
    assert lone.headline is None
    assert lone.correlation == 0.5
    assert curve([lone]) == []
