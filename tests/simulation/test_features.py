"""Features of a frozen network: the same from every backend."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from alcli.config import Config, ModelOptions, ScoreOptions
from alcli.items import Item
from alcli.simulation.features import extract
from alcli.system.progress import Silent
from alcli.tasks import Example
from alcli.tasks.classification import Classification


def test_openvinos_features_are_torchs_and_lie_apart(tmp_path):
    pytest.importorskip("openvino")
    examples = []
    for number in range(5):
        path = tmp_path / f"{number}.png"
        noise = np.random.default_rng(number).integers(0, 256, (40, 40, 3), dtype=np.uint8)
        Image.fromarray(noise).save(path)
        examples.append(Example(Item(path.name, path.name, "u"), path))
    cache = tmp_path / "cache"

    def features(backend: str):
        config = Config(
            task=Classification.Options(name="classification"),
            model=ModelOptions(name="mobilenet-v3-small", weights="none", input_size=64),
            score=ScoreOptions(backend=backend, precision="float32", workers=0),
        )
        return extract(config, examples, cache, Silent())

    ours, theirs = features("openvino"), features("torch")
    assert len(list(cache.glob("features/*/*"))) == 2
    assert list(cache.glob("openvino/*.safetensors"))
    assert ours.channels == theirs.channels
    assert np.allclose(ours.deep, theirs.deep, atol=2e-3)
    assert np.allclose(ours.stages, theirs.stages, atol=2e-3)
