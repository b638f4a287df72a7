from __future__ import annotations

import pytest
import safetensors.torch
import torch
import torch.nn.functional as F
import torchvision
from torchvision.models import segmentation

from alcli.models import segmenters

MAKERS = {
    "lraspp-mobilenet-v3-large": segmentation.lraspp_mobilenet_v3_large,
    "deeplabv3-mobilenet-v3-large": segmentation.deeplabv3_mobilenet_v3_large,
}


@pytest.mark.parametrize("name", MAKERS)
def test_the_outputs_are_torchvisions(name):
    torch.manual_seed(0)
    whole = MAKERS[name](weights=None, weights_backbone=None, num_classes=5).eval()
    model = segmenters.build(name, 5, "none").eval()
    tensors = iter(whole.state_dict().values())
    model.load_state_dict({key: next(tensors) for key in model.state_dict()})
    images = torch.randn(1, 3, 96, 96)
    with torch.inference_mode():
        features, deep = model.maps(images)
        ours = F.interpolate(model.predict(deep), size=(96, 96), mode="bilinear", align_corners=False)
        torch.testing.assert_close(ours, whole(images)["out"])
    assert len(features) == 3


def test_weights_of_the_trunk_are_loaded(tmp_path):
    source = torchvision.models.mobilenet_v3_large(weights=None)
    path = tmp_path / "weights.safetensors"
    safetensors.torch.save_file(source.state_dict(), path)
    model = segmenters.build("lraspp-mobilenet-v3-large", 5, str(path))
    torch.testing.assert_close(model.trunk["0"][0].weight, source.features[0][0].weight)
