from __future__ import annotations

import timm
import torch

from alcli.models import hrnet

NINE_MAPS = [
    (64, 128, 96), (64, 64, 48), (256, 64, 48), (32, 64, 48), (64, 32, 24),
    (32, 64, 48), (64, 32, 24), (128, 16, 12), (32, 64, 48),
]  # fmt: skip


def test_hrnet_w32_taps_the_nine_maps_in_their_order():
    model = hrnet.build("hrnet-w32", 17, "none").eval()
    with torch.inference_mode():
        features, deep = model.maps(torch.zeros(1, 3, 256, 192))
        heatmaps = model.predict(deep)
    assert [tuple(feature.shape[1:]) for feature in features] == NINE_MAPS
    assert heatmaps.shape == (1, 17, 64, 48)


def test_the_trunk_computes_what_timm_computes():
    torch.manual_seed(0)
    model = hrnet.HeatmapHrnet("hrnet_w18_small", 14, "none").eval()
    whole = timm.create_model("hrnet_w18_small", pretrained=False).eval()
    kept = {name: value for name, value in whole.state_dict().items() if name in model.trunk.state_dict()}
    model.trunk.load_state_dict(kept)
    images = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        finest = model.maps(images)[0][-1]
        stem = whole.act2(whole.bn2(whole.conv2(whole.act1(whole.bn1(whole.conv1(images))))))
        torch.testing.assert_close(finest, whole.stages(stem)[0])


def test_the_light_net_has_heatmaps_of_the_same_size():
    model = hrnet.build("mobilenet-v2", 14, "none").eval()
    with torch.inference_mode():
        features, deep = model.maps(torch.zeros(1, 3, 256, 192))
        assert model.predict(deep).shape == (1, 14, 64, 48)
    assert [feature.shape[1] for feature in features] == [24, 32, 96, 1280, 64]
