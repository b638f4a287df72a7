from __future__ import annotations

import math
import random

import pytest

from alcli.annotations import Annotation, Box, Polygon
from alcli.config import CostOptions
from alcli.curves.pace import MEASURED, SETTINGS, TYPICAL, measure_pace, pace_of

COUNTS = [1, 2, 3, 5, 8, 13, 2, 3, 1, 21, 4, 6]
HONEST = [(count, 8.0 + 4.0 * count) for count in COUNTS]


def annotations(pairs, kind="box"):
    box, outline = Box("cell", 0, 0, 5, 5), Polygon("cell", ((0.0, 0.0, 5.0, 0.0, 5.0, 5.0),))
    part = {"boxes": box} if kind == "box" else {"polygons": outline}
    return [
        Annotation(f"i{n}", **{key: (value,) * count for key, value in part.items()}, seconds=seconds)
        for n, (count, seconds) in enumerate(pairs)
    ]


def test_seconds_per_image_and_per_object_are_told_apart():
    pace = measure_pace(HONEST)
    assert (pace.per_image, pace.per_object) == (pytest.approx(8), pytest.approx(4))
    assert (pace.source, pace.images, pace.idle) == (MEASURED, 12, 0)
    assert pace.seconds(10) == pytest.approx(48)


def test_a_browser_left_open_is_cut_and_counted():
    left_open = [(3, 3600.0), (2, 7 * 3600.0), (1, 3 * 86400.0)]
    pace = measure_pace(HONEST + left_open)
    assert (pace.per_image, pace.per_object) == (pytest.approx(8), pytest.approx(4))
    assert (pace.images, pace.idle) == (12, 3)
    assert pace.in_words == (
        "Hours assume 8.0 s an image and 4.0 s an object, measured on 12 images; 3 more with idle time left out."
    )


def test_a_crowded_image_is_not_idle():
    assert measure_pace([*HONEST, (200, 808.0)]).idle == 0


@pytest.mark.parametrize("bad", [None, 0.0, -5.0, math.nan, math.inf, -math.inf])
def test_what_is_no_duration_is_no_measurement(bad):
    pace = measure_pace([(4, bad)] * 20 + HONEST)
    assert (pace.per_image, pace.per_object) == (pytest.approx(8), pytest.approx(4))
    assert (pace.images, pace.idle) == (12, 0)


def test_noisy_times_come_out_near_the_truth():
    rng = random.Random(1)
    counts = [rng.randint(0, 20) for _ in range(300)]
    pairs = [(count, (8 + 4 * count) * rng.lognormvariate(0, 0.3)) for count in counts]
    pairs += [(rng.randint(0, 20), 5000.0) for _ in range(40)]
    pace = measure_pace(pairs)
    assert 6 < pace.per_image < 10 and 3.5 < pace.per_object < 4.5
    assert pace.idle >= 40


def test_images_with_the_same_number_of_objects_give_no_share_of_an_object():
    alike = [(1, float(n)) for n in range(1, 12)]
    pace = measure_pace([*alike, *[(2, 20.0)] * 4])
    assert (pace.per_image, pace.per_object) == (8.0, None)
    assert pace.seconds(3) == 8.0
    assert pace.in_words == "Hours assume 8.0 s an image, measured on 15 images."


def test_a_share_of_the_image_is_never_negative():
    pace = measure_pace([(count, float(count * count)) for count in range(1, 13)])
    assert (pace.per_image, pace.per_object) == (0.0, 6.5)
    falling = measure_pace([(count, 40.0 - count) for count in range(12)])
    assert (falling.per_image, falling.per_object) == (34.5, 0.0)


def test_too_few_measurements_give_the_usual_time_of_a_box_and_name_its_source():
    pace = pace_of(annotations(HONEST[:9]), CostOptions(), "detection")
    assert (pace.source, pace.per_image, pace.per_object, pace.images) == (TYPICAL, 0.0, 26.5, 9)
    assert pace.in_words.startswith("Hours assume 26.5 s a box (professional annotators, end to end;")
    assert "only 9 images have a measured time, 10 are needed" in pace.in_words
    assert "no image has a measured time" in pace_of([], CostOptions(), "detection").in_words
    assert "only 1 image has" in pace_of(annotations(HONEST[:1]), CostOptions(), "detection").in_words
    assert pace_of(annotations(HONEST), CostOptions(), "detection").source == MEASURED


def test_an_outline_takes_longer_and_for_other_tasks_nothing_is_assumed():
    assert pace_of(annotations([(2, None)], "outline"), CostOptions(), "segmentation").seconds(2) == 158.4
    for task in ("classification", "pose", "somebody-elses"):
        assert pace_of([], CostOptions(), task) is None


def test_settings_win_over_measurements():
    pace = pace_of(annotations(HONEST), CostOptions(seconds_per_item=10), "detection")
    assert (pace.source, pace.per_image, pace.per_object, pace.in_short) == (SETTINGS, 10, 0, "")
    assert "as set (cost.seconds_per_item" in pace.in_words
