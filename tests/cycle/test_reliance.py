"""How far uncertainties are trusted follows from the held-out images; `auto` covers the pool evenly where they err."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.stats import norm

from alcli.curves.correlation import FEWEST_FOR_TRUST, reliance_in_words, trust_of
from alcli.cycle._reliance import correlate
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


def test_trust_is_how_surely_the_correlation_is_above_zero():
    # Bonett & Wright: the variance of Fisher's z is (1 + r²/2) / (n − 3).
    expected = 2 * norm.cdf(np.arctanh(0.3) / np.sqrt((1 + 0.045) / 27)) - 1
    assert trust_of(0.3, 30) == pytest.approx(expected) == pytest.approx(0.884, abs=0.01)
    assert trust_of(0.3, 10) < trust_of(0.3, 30) < trust_of(0.3, 300) < 1
    assert trust_of(0.0, 30) == trust_of(-0.5, 30) == trust_of(float("nan"), 30) == 0
    assert 0.99 < trust_of(1.0, 10) <= 1


def test_too_few_images_equal_values_and_no_numbers_are_never_trusted():
    few = FEWEST_FOR_TRUST - 1
    rising = np.arange(40.0)
    assert correlate({"margin": rising[:few]}, IDS[:few], losses(rising)).trust == {"margin": 0.0}
    assert correlate({"margin": np.ones(40)}, IDS, losses(rising)).correlations == {}
    assert correlate({"margin": rising}, IDS, losses(np.ones(40))).trust == {"margin": 0.0}
    unknown = np.where(rising < 35, np.nan, rising)
    assert correlate({"margin": unknown}, IDS, losses(rising)) == Reliance(5, {}, {"margin": 0.0})
    some = np.where(rising < 20, np.nan, rising)
    assert correlate({"margin": some}, IDS, losses(rising)).images == 20
    assert correlate({"margin": rising}, IDS, {}).images == 0


def test_sentences_say_the_share_and_its_reason():
    assert reliance_in_words(None) == ""
    few = reliance_in_words(Reliance(4, {}, {"margin": 0.0}, "margin"))
    assert few == (
        "Whether uncertainties follow errors is unknown with fewer than 10 held-out images: "
        "the pool is covered without them."
    )
    equal = reliance_in_words(Reliance(12, {}, {"margin": 0.0}))
    assert equal == "The uncertainties of the 12 held-out images are all equal."
    text = reliance_in_words(
        Reliance(30, {"class_uncertainty": 0.3}, {"class_uncertainty": 0.884}, "class_uncertainty")
    )
    assert "class uncertainty +0.30 [95 %: -0.08 to +0.60]" in text
    assert text.endswith("Images weigh 88 % by class uncertainty, 12 % equally.")


def test_a_cycle_says_and_records_how_far_uncertainties_are_trusted(alcli, workspace):
    code, out, err = alcli("cycle", "-w", workspace, "--validation", "0.8", "-v", "--json")
    assert code == 0, err
    assert "unknown with fewer than 10 held-out images: the pool is covered without them" in err
    scored = json.loads(out)["steps"]["score"]
    assert scored["reliance"]["weighs"] == "class_uncertainty"
    assert not any(scored["reliance"]["trust"].values())
    written = json.loads((workspace / "cycles/0001/metrics.json").read_text())
    assert written["reliance"] == scored["reliance"]
    assert alcli("report", "-w", workspace)[0] == 0
    assert "unknown with fewer than 10 held-out images" in (workspace / "cycles/0001/report.html").read_text()
