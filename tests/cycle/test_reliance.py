"""Uncertainties are trusted at first, and then as far as the held-out images say that they follow errors."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.stats import norm

from alcli.curves.correlation import FEWEST_FOR_TRUST, reliance_in_words, trust_of
from alcli.cycle._reliance import correlate, measure_reliance
from alcli.signals import Signals
from alcli.workspace.measurements import Reliance

IDS = [f"i{number:02}" for number in range(40)]


def losses(values) -> dict[str, float]:
    return dict(zip(IDS, np.asarray(values, float).tolist(), strict=False))


def test_an_uncertainty_that_follows_the_loss_is_trusted_and_one_that_opposes_it_is_not():
    rng = np.random.default_rng(0)
    true = rng.random(40)
    signals = {"margin": true + 0.1 * rng.random(40), "entropy": -true, "least_confidence": rng.random(40)}
    reliance = correlate(signals, IDS, losses(true), "margin")
    assert reliance.images == 40 and reliance.weighs == "margin"
    assert reliance.correlations["margin"] > 0.9 and reliance.trust["margin"] > 0.99
    assert reliance.correlations["entropy"] == pytest.approx(-1) and reliance.trust["entropy"] == 0
    assert abs(reliance.correlations["least_confidence"]) < 0.4


def test_trust_starts_high_and_moves_to_what_the_held_out_images_show():
    # A normal prior on Fisher's z: mean atanh(0.55), weight 10; by Bonett & Wright 30 images weigh 27 / (1 + r²/2).
    weight = 27 / (1 + 0.3**2 / 2)
    total = 10 + weight
    mean = (10 * np.arctanh(0.55) + weight * np.arctanh(0.3)) / total
    assert trust_of(0.3, 30) == pytest.approx(2 * norm.cdf(mean * np.sqrt(total)) - 1)
    assert trust_of(float("nan"), 30) == trust_of(0.3, 0) == trust_of(-0.9, FEWEST_FOR_TRUST - 1)
    assert trust_of(0.3, 0) == pytest.approx(0.95, abs=0.002)
    assert trust_of(0.0, 10) > trust_of(0.0, 30) > trust_of(0.0, 300) > 0.2
    assert trust_of(-0.35, 10) == pytest.approx(0.65, abs=0.01)
    assert trust_of(-0.35, 30) == 0
    assert trust_of(0.3, 30) < trust_of(0.3, 300) < 1
    assert 0.99 < trust_of(1.0, 10) <= 1


def test_too_few_images_leave_the_trust_where_it_starts_and_equal_values_take_it_away():
    few = FEWEST_FOR_TRUST - 1
    rising = np.arange(40.0)
    start = trust_of(float("nan"), 0)
    assert correlate({"margin": -rising[:few]}, IDS[:few], losses(rising)).trust == {"margin": start}
    assert correlate({"margin": rising}, IDS, {}) == Reliance(0, {}, {"margin": start})
    unknown = np.where(rising < 35, np.nan, rising)
    assert correlate({"margin": unknown}, IDS, losses(rising)) == Reliance(5, {}, {"margin": start})
    assert correlate({"margin": np.ones(40)}, IDS, losses(rising)) == Reliance(40, {}, {"margin": 0.0})
    assert correlate({"margin": rising}, IDS, losses(np.ones(40))).trust == {"margin": 0.0}
    some = np.where(rising < 20, np.nan, rising)
    assert correlate({"margin": some}, IDS, losses(rising)).images == 20


def test_a_sum_over_objects_is_trusted_whatever_its_correlation():
    rising = np.arange(40.0)
    both = {"class_uncertainty": -rising, "margin": -rising}
    reliance = correlate(both, IDS, losses(rising), "class_uncertainty", sums=True)
    assert reliance.correlations == pytest.approx({"class_uncertainty": -1, "margin": -1})
    assert reliance.trust == {"class_uncertainty": trust_of(float("nan"), 0), "margin": 0}
    assert reliance.sums
    assert correlate(both, IDS, losses(rising), "class_uncertainty").trust == {"class_uncertainty": 0, "margin": 0}


def test_without_a_held_out_image_the_strategy_still_weighs_by_its_uncertainty():
    nothing = Signals([], {})
    reliance = measure_reliance(SimpleNamespace(task=object()), nothing, [], "margin")
    assert reliance == Reliance(0, {}, {"margin": trust_of(float("nan"), 0)}, "margin")
    assert measure_reliance(SimpleNamespace(task=object()), nothing, [], "") is None


def test_sentences_say_the_share_and_its_reason():
    assert reliance_in_words(None) == ""
    assert reliance_in_words(Reliance(4, {}, {"margin": 0.949}, "margin")) == (
        "Whether uncertainties follow errors is unknown with fewer than 10 held-out images. "
        "Images weigh 95 % by margin, 5 % equally."
    )
    equal = reliance_in_words(Reliance(12, {}, {"margin": 0.0}))
    assert equal == "The uncertainties of the 12 held-out images are all equal."
    shown, trusted = {"class_uncertainty": 0.3}, {"class_uncertainty": 0.884}
    text = reliance_in_words(Reliance(30, shown, trusted, "class_uncertainty"))
    assert "class uncertainty +0.30 [95 %: -0.08 to +0.60]" in text
    assert text.endswith("+0.60]. Images weigh 88 % by class uncertainty, 12 % equally.")
    sums = reliance_in_words(Reliance(30, shown, trusted, "class_uncertainty", sums=True))
    assert "That of class uncertainty does not count: where the model sees nothing, it errs most, and" in sums


def test_a_cycle_says_and_records_how_far_uncertainties_are_trusted(alcli, workspace):
    code, out, err = alcli("cycle", "-w", workspace, "--validation", "0.8", "-v", "--json")
    assert code == 0, err
    assert "unknown with fewer than 10 held-out images. Images weigh 95 % by class uncertainty, 5 % equally." in err
    scored = json.loads(out)["steps"]["score"]
    assert scored["reliance"]["weighs"] == "class_uncertainty"
    assert scored["reliance"]["trust"]["class_uncertainty"] == pytest.approx(0.95, abs=0.002)
    assert scored["reliance"]["sums"]
    written = json.loads((workspace / "cycles/0001/metrics.json").read_text())
    assert written["reliance"] == scored["reliance"]
    assert alcli("report", "-w", workspace)[0] == 0
    assert "unknown with fewer than 10 held-out images" in (workspace / "cycles/0001/report.html").read_text()
