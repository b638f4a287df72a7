from __future__ import annotations

import pytest
import torch

from alcli.errors import DataError, UsageError
from alcli.models import ssd

SIZES = {"ssd300-vgg16": 300, "ssdlite320-mobilenet-v3": 320, "ssd-mobilenet-v2": 96, "ssd-tiny": 64}


def targets(counts: list[int], side: int) -> list[dict[str, torch.Tensor]]:
    generator = torch.Generator().manual_seed(1)
    found = []
    for count in counts:
        corner = torch.rand(count, 2, generator=generator) * side * 0.6
        extent = torch.rand(count, 2, generator=generator) * side * 0.3 + side * 0.1
        labels = torch.randint(1, 4, (count,), generator=generator)
        found.append({"boxes": torch.cat([corner, corner + extent], 1), "labels": labels})
    return found


def outputs_of(name: str, count: int) -> tuple[ssd.SSD, ssd.Outputs]:
    torch.manual_seed(0)
    model = ssd.build(name, 3, "none", SIZES[name]).eval()
    with torch.no_grad():
        return model, ssd.forward(model, torch.randn(count, 3, SIZES[name], SIZES[name]))


@pytest.mark.parametrize("name", ["ssd-tiny", "ssd-mobilenet-v2", "ssdlite320-mobilenet-v3", "ssd300-vgg16"])
def test_the_weighted_mean_of_image_losses_is_torchvisions_batch_loss(name):
    model, outputs = outputs_of(name, 3)
    wanted = targets([2, 5, 1], SIZES[name])
    matched = [ssd.match(model, outputs.anchors, target["boxes"]) for target in wanted]
    heads = {"bbox_regression": outputs.regression, "cls_logits": outputs.logits}
    theirs = model.compute_loss(wanted, heads, [outputs.anchors] * 3, matched)
    ours = ssd.multibox_losses(model, outputs, wanted)
    weights = torch.stack([(found >= 0).sum() for found in matched]).float()
    assert ours.shape == (3,)
    mean = (ours * weights).sum() / weights.sum()
    assert float(mean) == pytest.approx(float(sum(theirs.values())), rel=1e-5)


def test_an_image_without_objects_trains_as_background():
    model, outputs = outputs_of("ssd-tiny", 2)
    outputs.logits.requires_grad_()
    losses = ssd.multibox_losses(model, outputs, targets([0, 2], 64))
    losses[0].backward()
    assert float(losses[0].detach()) > 0
    assert int((outputs.logits.grad[0].abs().sum(dim=1) > 0).sum()) == 3
    assert float(outputs.logits.grad[1].abs().sum()) == 0


def test_each_loss_depends_on_its_own_image_alone():
    model, outputs = outputs_of("ssd-tiny", 3)
    wanted = targets([2, 4, 0], 64)
    together = ssd.multibox_losses(model, outputs, wanted)
    for row in range(3):
        alone = ssd.Outputs([], outputs.logits[row : row + 1], outputs.regression[row : row + 1], outputs.anchors)
        assert torch.allclose(ssd.multibox_losses(model, alone, wanted[row : row + 1])[0], together[row])


def test_more_objects_than_background_anchors_is_no_error():
    model, outputs = outputs_of("ssd-tiny", 1)
    everything = {"boxes": outputs.anchors.clamp(0, 64), "labels": torch.ones(len(outputs.anchors), dtype=torch.int64)}
    everything["boxes"][:, 2:] += 1
    assert torch.isfinite(ssd.multibox_losses(model, outputs, [everything])).all()


def test_our_ssdlite_is_torchvisions():
    from torchvision.models.detection import ssdlite320_mobilenet_v3_large

    ours = ssd.build("ssdlite320-mobilenet-v3", 3, "none", None)
    theirs = ssdlite320_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=4)
    assert {k: v.shape for k, v in ours.state_dict().items()} == {k: v.shape for k, v in theirs.state_dict().items()}
    ours.load_state_dict(theirs.state_dict())
    ours.eval(), theirs.eval()
    picture = torch.rand(1, 3, 320, 320)
    with torch.no_grad():
        outputs = ssd.forward(ours, (picture - 0.5) / 0.5)
        found = ssd.detections(ours, outputs, (320, 320))[0]
        wanted = theirs([picture[0]])[0]
    assert torch.allclose(found["scores"], wanted["scores"], atol=1e-5)
    assert torch.allclose(found["boxes"], wanted["boxes"], atol=1e-2)


@pytest.mark.parametrize(
    ("name", "strides"), [("ssd-mobilenet-v2", [8, 16, 32, 64, 128, 256]), ("ssd-tiny", [8, 16, 32, 64])]
)
def test_source_maps_lie_at_their_strides(name, strides):
    model = ssd.build(name, 2, "none", 256).eval()
    with torch.no_grad():
        maps = ssd.source_maps(model, torch.zeros(1, 3, 256, 256))
    assert [256 // found.shape[-1] for found in maps] == strides


def test_confident_boxes_are_distinct_confident_and_sorted():
    model, outputs = outputs_of("ssd-tiny", 2)
    found = ssd.confident_boxes(outputs, model, threshold=0.0, most=50)
    assert len(found) == 2
    for boxes, probabilities in found:
        assert 0 < len(boxes) == len(probabilities) <= 50
        assert torch.allclose(probabilities.sum(dim=1), torch.ones(len(boxes)))
        foreground = 1 - probabilities[:, 0]
        assert (foreground.diff() <= 1e-6).all()
    assert all(len(boxes) == 0 for boxes, _ in ssd.confident_boxes(outputs, model, threshold=1.1, most=50))


def test_known_classes_keep_their_rows_when_classes_change():
    torch.manual_seed(0)
    old = ssd.build("ssd-tiny", 2, "none", 64).eval()
    new = ssd.build("ssd-tiny", 3, "none", 64).eval()
    new.load_state_dict(ssd.transplant_classes(new, old.state_dict(), ["cat", "dog"], ["ant", "cat", "dog"]))
    picture = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        before, after = ssd.forward(old, picture), ssd.forward(new, picture)
    assert torch.allclose(after.logits[..., [0, 2, 3]], before.logits, rtol=1e-3, atol=1e-8)
    assert torch.allclose(after.regression, before.regression, rtol=1e-3, atol=1e-8)


def test_trunk_weights_are_really_loaded(tmp_path):
    from safetensors.torch import save_file
    from torchvision.models import mobilenet_v2, vgg16

    for make, name in ((mobilenet_v2, "ssd-mobilenet-v2"), (vgg16, "ssd300-vgg16")):
        trunk = make(weights=None)
        first, last = trunk.features[0], [m for m in trunk.features.modules() if isinstance(m, torch.nn.Conv2d)][-1]
        path = tmp_path / f"{name}.safetensors"
        save_file({key: value.contiguous().half() for key, value in trunk.state_dict().items()}, path)
        model = ssd.build(name, 2, str(path), 300)
        found = {
            tuple(m.weight.flatten()[:20].tolist()) for m in model.backbone.modules() if isinstance(m, torch.nn.Conv2d)
        }
        convolution = first[0] if isinstance(first, torch.nn.Sequential) else first
        for layer in (convolution, last):
            assert tuple(layer.weight.half().float().flatten()[:20].tolist()) in found


def test_weights_that_do_not_fit(tmp_path):
    from safetensors.torch import save_file

    path = tmp_path / "w.safetensors"
    save_file({"features.0.0.weight": torch.zeros(1)}, path)
    with pytest.raises(DataError, match=r"does not fit MobileNetV2: .* is missing"):
        ssd.build("ssd-mobilenet-v2", 2, str(path), None)
    with pytest.raises(UsageError, match="no pretrained weights"):
        ssd.build("ssd-tiny", 2, "imagenet", None)
