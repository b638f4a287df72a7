from __future__ import annotations

import pytest
import safetensors.torch
import timm
import torch
import torchvision

from alcli.errors import DataError, UsageError
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


@pytest.mark.parametrize("name", ["test_vit", "test_vit2", "test_vit3"], ids=["class token", "mean", "attention"])
def test_a_transformer_takes_weights_from_a_file_and_gives_pooled_tokens_and_maps_of_patches(name, tmp_path):
    torch.manual_seed(0)
    source = timm.create_model(name).eval()
    path = tmp_path / "weights.safetensors"
    safetensors.torch.save_file(source.state_dict(), path)
    model = classifiers.build(f"timm:{name}", 3, str(path), 160).eval()
    images = torch.rand(2, 3, 160, 160)
    with torch.inference_mode():
        maps, deep = model.maps(images)
        pooled = source.forward_head(source.forward_features(images), pre_logits=True)
        tokens = source.forward_features(images)[:, source.num_prefix_tokens :]  # (rows, patches, channels)
        assert model.predict(deep).shape == (2, 3)
    torch.testing.assert_close(deep[0], pooled)
    assert maps[-1].shape == (2, source.num_features, 10, 10)
    # Patch 23 lies in the third line, at the fourth place.
    with torch.inference_mode():
        torch.testing.assert_close(source.norm(maps[-1][:, :, 2, 3]), tokens[:, 23])
    assert model.image_statistics == ([0.5] * 3, [0.5] * 3)
    with pytest.raises(DataError, match=r"does not fit .*(is missing|is not known|has shape)"):
        classifiers.build("test_vit4", 3, str(path), 160)


def test_positions_are_interpolated_to_another_input_size_or_refused_plainly(tmp_path):
    torch.manual_seed(0)
    source = timm.create_model("test_vit")
    path = tmp_path / "weights.safetensors"
    safetensors.torch.save_file(source.state_dict(), path)
    model = classifiers.build("test_vit", 3, str(path), 96)
    resampled = timm.create_model("test_vit")
    resampled.load_state_dict(source.state_dict())
    resampled.set_input_size(img_size=(96, 96))
    torch.testing.assert_close(model.trunk.pos_embed, resampled.pos_embed)
    assert model.maps(torch.zeros(1, 3, 96, 96))[0][-1].shape[2:] == (6, 6)
    # What was trained is loaded into the same shapes again.
    again = classifiers.build("test_vit", 3, "none", 96)
    again.load_state_dict(model.state_dict())
    with pytest.raises(UsageError, match="patches of 16 pixels; 100 is no multiple") as refused:
        classifiers.build("test_vit", 3, str(path), 100)
    assert "model.input_size=96" in refused.value.do


def test_a_name_of_both_libraries_is_timms_on_request():
    assert isinstance(classifiers.build("timm:resnet18", 2, "none", 64), classifiers.TimmClassifier)
    assert isinstance(classifiers.build("resnet18", 2, "none", 64), classifiers.TorchvisionClassifier)
    with pytest.raises(UsageError, match="no model 'timm:resnet19'"):
        classifiers.build("timm:resnet19", 2, "none", 64)
