from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from alcli.curves.comparison import area, compare, effort_to_reach, estimate, holm, level, saving


def test_area_is_the_mean_height_over_uneven_budgets():
    assert area([10, 20, 40], np.array([[0.0, 1.0, 1.0], [0.5, 0.5, 0.5]])).tolist() == pytest.approx([25 / 30, 0.5])
    assert area([10], np.array([[0.3]])).tolist() == [0.3]


def test_the_interval_is_students():
    values = np.array([1.0, 2.0, 4.0, 4.5])
    low, high = stats.t.interval(0.95, 3, loc=values.mean(), scale=stats.sem(values))
    found = estimate(values)
    assert (found.mean, found.low, found.high) == pytest.approx((2.875, low, high))
    assert math.isnan(estimate(np.array([1.0])).low)


def test_differences_are_paired():
    # Runs differ by far more than arms do: only pairing sees the difference.
    base = np.array([0.1, 0.5, 0.9, 0.3])
    better = base + np.array([0.010, 0.012, 0.009, 0.011])
    found = compare(better, base)
    assert found.p == pytest.approx(stats.ttest_rel(better, base).pvalue)
    assert found.p < 0.001
    assert stats.ttest_ind(better, base).pvalue > 0.9


def test_equal_arms_do_not_differ_and_a_constant_gain_is_sure():
    values = np.array([0.1, 0.2, 0.3])
    assert compare(values, values).p == 1.0
    assert compare(values + 0.5, values).difference.mean == pytest.approx(0.5)
    # Coarse metrics give the same difference twice by accident: two coins that both show heads prove nothing.
    assert compare(values[:2] + 0.5, values[:2]).p == 0.5
    assert compare(np.tile(values, 4) + 0.5, np.tile(values, 4)).p == pytest.approx(2 * 0.5**12)
    assert math.isnan(compare(values[:1], values[:1]).p)


def test_holm_by_hand():
    # Sorted 0.01, 0.02, 0.03, 0.5: times 4, 3, 2, 1, never falling.
    assert holm([0.03, 0.01, 0.5, 0.02]) == pytest.approx([0.06, 0.04, 0.5, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    found = holm([math.nan, 0.02])
    assert math.isnan(found[0])
    assert found[1] == 0.02
    assert holm([]) == []


def test_reaching_a_target_is_linear_between_points():
    curve = np.array([0.2, 0.4, 0.3, 0.8])
    assert effort_to_reach([10, 20, 30, 40], curve, 0.3) == 15
    assert effort_to_reach([10, 20, 30, 40], curve, 0.55) == pytest.approx(35)
    assert effort_to_reach([10, 20, 30, 40], curve, 0.1) == 10
    assert effort_to_reach([10, 20, 30, 40], curve, 0.9) == math.inf


def test_savings_are_shares_of_the_baselines_effort():
    efforts = np.array([[10.0, 20.0, 30.0]] * 3)
    base = np.array([[0.0, 0.5, 1.0]] * 3)
    fast = np.array([[0.0, 1.0, 1.0]] * 3)
    slow = np.array([[0.0, 0.1, 0.2]] * 3)
    assert saving(efforts, fast, efforts, base, 1.0).mean == pytest.approx(1 / 3)
    assert saving(efforts, base, efforts, base, 0.7).mean == 0
    assert saving(efforts, slow, efforts, base, 1.0).mean == -math.inf
    assert saving(efforts, slow, efforts, base, 1.0).high == -math.inf
    # Twice the boxes for the same images: half of the saving is lost, and more.
    assert saving(2 * efforts, fast, efforts, base, 1.0).mean == pytest.approx(1 - 40 / 30)


def test_a_bootstrap_interval_holds_the_estimate_and_narrows_with_runs():
    rng = np.random.default_rng(0)
    efforts = np.tile([10.0, 20.0, 30.0, 40.0], (40, 1))
    base = np.array([0.0, 0.4, 0.6, 0.7]) + rng.normal(0, 0.03, (40, 4))
    fast = np.array([0.0, 0.6, 0.7, 0.75]) + rng.normal(0, 0.03, (40, 4))
    many = saving(efforts, fast, efforts, base, 1.0)
    few = saving(efforts[:5], fast[:5], efforts[:5], base[:5], 1.0)
    assert many.low < many.mean < many.high
    assert many.high - many.low < few.high - few.low


def test_a_target_that_needs_no_effort_is_no_saving():
    # Images without boxes: the start set can have cost nothing.
    efforts, level = np.array([[0.0, 3.0, 6.0]] * 3), np.zeros((3, 3))
    assert saving(efforts, level, efforts, level, 0.0).mean == 0
    assert saving(efforts + 2, level, efforts, level, 0.0).mean == -math.inf


def test_the_baseline_reaches_its_own_end_in_every_resample():
    rng = np.random.default_rng(1)
    efforts = np.tile([10.0, 20.0, 30.0, 40.0, 50.0], (20, 1))
    base, alike = (np.array([0.3, 0.45, 0.55, 0.6, 0.63]) + rng.normal(0, 0.02, (20, 5)) for _ in range(2))
    assert saving(efforts, alike, efforts, base, 1.0).high < 0.5
    # Where the sum of start and gain is rounded up, too.
    ends = rng.random((2000, 2)) * [0.4, 1.0]
    assert all(level(curve, 1.0) == curve[-1] for curve in ends)
