from __future__ import annotations

import math

import numpy as np
import pytest

from alcli.curves.forecast import fit, labels_needed
from alcli.errors import DataError, UsageError

LABELS = [50, 100, 150, 200, 250, 300]


def power(labels, top=0.9, missing=0.5, rate=0.6):
    return top - missing * (np.asarray(labels) / 50) ** -rate


@pytest.mark.parametrize("rate", [0.3, 0.6, 1.2])
def test_a_power_law_is_found_again(rate):
    bundle = fit(LABELS, power(LABELS, rate=rate))
    for labels in (400, 600, 1000):
        (band,) = bundle.band([labels])
        assert band.low <= power([labels], rate=rate)[0] <= band.high
    assert bundle.band([600])[0].high - bundle.band([600])[0].low < 0.06


def test_intervals_hold_what_was_hidden_of_other_laws_too():
    rng = np.random.default_rng(0)
    held = []
    for turn in range(40):
        scale = rng.uniform(60, 300)
        values = 0.85 - 0.5 * np.exp(-(np.array(LABELS) - 50) / scale) + rng.normal(0, 0.01, 6)
        bands = fit(LABELS[:4], values[:4], seed=turn).band(LABELS[4:], measured=True)
        held += [band.low <= value <= band.high for band, value in zip(bands, values[4:], strict=True)]
    assert np.mean(held) >= 0.8


def test_no_curve_falls_or_goes_beyond_one():
    bundle = fit([100, 200], [0.95, 0.97])
    heights = bundle.at([100, 1000, 1e6, 1e9])
    assert heights.max() <= 1
    assert (np.diff(heights, axis=1) >= -1e-12).all()


def test_few_held_out_images_make_wide_intervals():
    def width(*counts):
        band = fit(LABELS, power(LABELS), counts).band([600])[0]
        return band.high - band.low

    assert width(*[20] * 6) > 2 * width(*[5000] * 6)


def test_labels_needed_lie_where_the_curve_reaches_the_target():
    needed = labels_needed(fit(LABELS, power(LABELS)), 0.8)
    true = 50 * (0.5 / 0.1) ** (1 / 0.6)
    assert needed.low <= true <= needed.high
    assert needed.low < needed.median < needed.high
    assert needed.reachable > 0.9


def test_a_target_above_the_asymptote_is_not_reached():
    needed = labels_needed(fit(LABELS, power(LABELS, top=0.6, missing=0.3, rate=1.2)), 0.95)
    assert needed.reachable < 0.1
    assert needed.median == math.inf


def test_the_inverse_of_every_law_is_the_law():
    bundle = fit(LABELS, power(LABELS))
    for number in range(3):
        for row in np.flatnonzero(bundle.laws == number)[:20].tolist():
            one = type(bundle)(bundle.first, *(field[row : row + 1] for field in (
                bundle.laws, bundle.rates, bundle.tops, bundle.missing, bundle.noises)))  # fmt: skip
            target = float(one.at([400])[0, 0])
            assert one.labels_to_reach(target)[0] == pytest.approx(400, rel=1e-6)


def test_the_same_points_give_the_same_forecast():
    assert fit(LABELS, power(LABELS)).band([500]) == fit(LABELS, power(LABELS)).band([500])


@pytest.mark.parametrize(
    ("labels", "values"),
    [([], []), ([100], [0.5]), ([100, 100], [0.5, 0.6]), ([100, 200], [0.5, math.nan]), ([0, 100], [0.1, 0.5])],
)
def test_one_point_is_no_curve(labels, values):
    with pytest.raises(DataError, match="needs two cycles with a metric"):
        fit(labels, values)


def test_a_falling_curve_gives_a_flat_forecast_not_an_error():
    bundle = fit([100, 200, 300, 400], [0.9, 0.6, 0.4, 0.2])
    assert bundle.band([800])[0].mean <= 1
    assert bundle.gain(400, 500).high < 0.1


@pytest.mark.parametrize("target", [0.0, -0.1, 1.01, 75.0, math.nan, math.inf])
def test_a_target_that_no_metric_can_have_is_refused(target):
    with pytest.raises(UsageError, match="is impossible"):
        labels_needed(fit(LABELS, power(LABELS)), target)
