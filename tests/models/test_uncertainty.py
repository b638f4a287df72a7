from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import mutual_info_score

from alcli.config import TaskOptions
from alcli.models import uncertainty
from alcli.signals import DESCRIPTIONS, UNKNOWN

SURE, TORN = [0.98, 0.01, 0.01], [0.4, 0.4, 0.2]
VALUES = torch.tensor([0.5, 2.0, 1.0])


@pytest.mark.parametrize("name", uncertainty.UNCERTAINTIES)
def test_high_means_uncertain(name):
    sure, torn = uncertainty.UNCERTAINTIES[name](torch.tensor([SURE, TORN])).tolist()
    assert 0 < sure < torn
    assert "high = uncertain" in DESCRIPTIONS[name]


def test_every_signal_is_described():
    assert set(DESCRIPTIONS) >= uncertainty.SIGNALS


def test_the_measures_are_the_textbooks():
    torn = torch.tensor(TORN)
    assert float(uncertainty.entropy(torn)) == pytest.approx(-sum(p * np.log(p) for p in TORN), rel=1e-6)
    assert float(uncertainty.margin(torch.tensor([0.7, 0.1, 0.2]))) == pytest.approx(0.5)
    assert float(uncertainty.least_confidence(torch.tensor([0.7, 0.1, 0.2]))) == pytest.approx(0.3)
    assert float(uncertainty.margin(torch.ones(1))) == 0


@pytest.mark.parametrize(("how", "whole"), [("mean", 3.5 / 3), ("sum", 3.5), ("max", 2.0), ("top-k", 1.5)])
def test_many_become_one_as_the_option_says(how, whole):
    expected = torch.tensor([4.0, 0.2])
    options = TaskOptions(aggregate=how, top_k=2)
    numbers = uncertainty.aggregate([VALUES, VALUES[:0]], expected, options)
    assert numbers.tolist() == pytest.approx([whole, UNKNOWN])
    divided = uncertainty.aggregate([VALUES, VALUES], expected, options.model_copy(update={"count_power": 0.5}))
    assert divided.tolist() == pytest.approx([whole / 2, whole])


def test_mutual_information_is_what_scikit_learn_computes():
    passes = torch.tensor([[0.9, 0.1], [0.2, 0.8]])
    found = uncertainty.mutual_information(iter(passes.unsqueeze(1)))
    joint = (passes / 2).numpy()
    assert float(found[0]) == pytest.approx(mutual_info_score(None, None, contingency=joint * 1e6), rel=1e-4)
    assert float(uncertainty.mutual_information(iter([passes, passes])).max()) == pytest.approx(0, abs=1e-6)


def test_dropout_drops_the_same_channels_for_every_image():
    parts = [torch.ones(3, 200), torch.ones(2, 40, 4, 4)]
    passes = list(uncertainty.dropout_samples(parts, TaskOptions(dropout=0.25, dropout_passes=3)))
    assert len(passes) == 3
    vectors, maps = passes[0]
    assert sorted(vectors.unique().tolist()) == pytest.approx([0.0, 1 / 0.75])
    assert torch.equal(vectors[0], vectors[2]) and torch.equal(maps[0], maps[1])
    assert 0.6 < float((vectors[0] > 0).float().mean()) < 0.9
    assert not torch.equal(passes[0][0], passes[1][0])


def test_projected_embeddings_keep_distances():
    points = torch.randn(20, 2000, generator=torch.Generator().manual_seed(0))
    small = uncertainty.embedding(points)
    assert small.shape == (20, 256) and small.dtype == torch.float16
    ratio = torch.pdist(small.float()) / torch.pdist(points)
    assert float(ratio.min()) > 0.8 and float(ratio.max()) < 1.2
    assert uncertainty.embedding(points[:, :9]).shape == (20, 9)
