from __future__ import annotations

import pytest
import torch
from torchvision.ops import box_iou

from alcli.errors import DataError, UsageError
from alcli.models import detectors, ssd

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


def test_each_object_has_the_same_weight_however_many_anchors_it_matches():
    objects = torch.tensor([2, 0, 2, 2, 2])  # object 1 matched none
    assert ssd.box_weights(objects).tolist() == [0.625, 2.5, 0.625, 0.625, 0.625]
    assert ssd.box_weights(objects[:0]).tolist() == []


def test_a_small_box_pulls_as_hard_as_a_large_one():
    model, outputs = outputs_of("ssd-tiny", 1)
    large, small = torch.tensor([2.0, 2.0, 60.0, 60.0]), torch.tensor([40.0, 40.0, 48.0, 48.0])
    wanted = [{"boxes": torch.stack([large, small]), "labels": torch.tensor([1, 2])}]
    matched = ssd.match(model, outputs.anchors, wanted[0]["boxes"])
    counts = [int((matched == number).sum()) for number in (0, 1)]
    assert counts[0] > counts[1] > 0
    # With all logits equal, each anchor's gradient is its weight times the same vector.
    flat = ssd.Outputs([], torch.zeros_like(outputs.logits, requires_grad=True), outputs.regression, outputs.anchors)
    ssd.multibox_losses(model, flat, wanted, equal_boxes=True)[0].backward()
    pulls = [float(flat.logits.grad[0][matched == number, 1 + number].sum()) for number in (0, 1)]
    assert pulls[0] == pytest.approx(pulls[1], rel=1e-5) == pytest.approx(-0.75 / 2, rel=1e-5)


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


def test_confident_anchors_are_distinct_confident_and_sorted():
    model, outputs = outputs_of("ssd-tiny", 2)
    chosen = detectors.confident_anchors(outputs, model, threshold=0.0, most=50)
    boxes = detectors.boxes_at(model, outputs, chosen)
    assert len(chosen) == len(boxes) == 2
    for image, (rows, corners) in enumerate(zip(chosen, boxes, strict=True)):
        assert 0 < len(rows) == len(corners) <= 50
        foreground = 1 - outputs.logits[image, rows].softmax(dim=1)[:, 0]
        assert (foreground.diff() <= 1e-6).all()
        overlaps = box_iou(corners, corners).fill_diagonal_(0)
        assert overlaps.max() <= model.nms_thresh
    assert all(len(rows) == 0 for rows in detectors.confident_anchors(outputs, model, threshold=1.1, most=50))


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


@pytest.mark.parametrize("name", ["ssd-tiny", "ssd300-vgg16"])
@pytest.mark.parametrize("new", [["ant", "cat"], ["dog", "cat"], ["cat"]], ids=str)
def test_rows_follow_their_class_also_when_the_number_of_classes_stays(name, new):
    torch.manual_seed(0)
    known = ["cat", "dog"]
    old, fresh = ssd.build(name, 2, "none", SIZES[name]), ssd.build(name, len(new), "none", SIZES[name])
    moved = ssd.transplant_classes(fresh, old.state_dict(), known, new)
    for key in ssd._class_keys(fresh):
        was, now = old.state_dict()[key].unflatten(0, (-1, 3)), moved[key].unflatten(0, (-1, 1 + len(new)))
        start = fresh.state_dict()[key].unflatten(0, (-1, 1 + len(new)))
        assert torch.equal(now[:, 0], was[:, 0])
        for place, label in enumerate(new, 1):
            wanted = was[:, 1 + known.index(label)] if label in known else start[:, place]
            assert torch.equal(now[:, place], wanted)
