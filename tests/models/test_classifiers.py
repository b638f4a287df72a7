from __future__ import annotations

import pytest
import safetensors.torch
import torch
import torchvision

from alcli.errors import DataError
from alcli.models import classifiers


def test_resnet18_taps_its_four_stages():
    model = classifiers.build("resnet18", 3, "none", 64).eval()
    features, deep = model.maps(torch.zeros(2, 3, 64, 64))
    assert [tuple(feature.shape[1:]) for feature in features] == [(64, 16, 16), (128, 8, 8), (256, 4, 4), (512, 2, 2)]
    assert deep[0].shape == (2, 512)
    assert model.predict(deep).shape == (2, 3)


@pytest.mark.parametrize("name", ["mobilenet-v3-small", "mobilenet_v2", "efficientnet_lite0", "vit_tiny_patch16_224"])
def test_names_of_both_libraries_work(name):
    model = classifiers.build(name, 3, "none", 224).eval()
    with torch.inference_mode():
        features, deep = model.maps(torch.zeros(1, 3, 224, 224))
        assert model.predict(deep).shape == (1, 3)
    assert len(features) == 4 and all(feature.dim() == 4 for feature in features)


def test_a_weights_file_fills_everything_but_the_new_last_layer(tmp_path):
    source = torchvision.models.mobilenet_v2(weights=None)
    path = tmp_path / "weights.safetensors"
    safetensors.torch.save_file({key: value.half() for key, value in source.state_dict().items()}, path)
    model = classifiers.build("mobilenet-v2", 3, str(path), 64)
    kept = model.trunk.features[0][0].weight
    torch.testing.assert_close(kept, source.features[0][0].weight.half().float())
    with pytest.raises(DataError, match="does not fit"):
        classifiers.build("resnet18", 3, str(path), 64)
