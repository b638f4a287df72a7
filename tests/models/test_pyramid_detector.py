"""RetinaNet and FCOS on timm's networks: torchvision's losses, boxes and matches, and weights from a file."""

from __future__ import annotations

import pytest
import timm
import torch
from safetensors.torch import save_file

from alcli.config import ModelOptions, TrainOptions
from alcli.engine.recipe import build_optimizer, set_modes
from alcli.engine.training import feature_channels
from alcli.errors import DataError, UsageError
from alcli.models import detectors
from alcli.models.loss_head import LossHead
from alcli.models.pyramid_detector import PyramidDetector
from alcli.signals import UNKNOWN
from alcli.tasks import Batch
from alcli.tasks.detection import Detection

SIDE = 96
NAMES = ("retinanet-test_resnet", "fcos-test_efficientnet")
every_kind = pytest.mark.parametrize("name", NAMES)
TARGETS = [
    {"boxes": torch.tensor([[8.0, 10, 50, 60], [40, 20, 90, 70]]), "labels": torch.tensor([1, 3])},
    {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64)},
    {"boxes": torch.tensor([[30.0, 30, 62, 62]]), "labels": torch.tensor([2])},
]


def detector(name: str, side: int = SIDE) -> PyramidDetector:
    """One whose box and class layers say something that differs from place to place."""
    torch.manual_seed(0)
    model = detectors.build(name, 3, "none", side)
    assert isinstance(model, PyramidDetector)
    with torch.no_grad():
        model.net.head.classification_head.cls_logits.weight.normal_(std=0.3)
        model.net.head.regression_head.bbox_reg.weight.normal_(std=0.05)
    return model.eval()


def pictures(count: int = 3, side: int = SIDE) -> torch.Tensor:
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(1))


def normalized(model: PyramidDetector, images: torch.Tensor) -> torch.Tensor:
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in detectors.image_statistics(model))
    return (images - mean) / std


@every_kind
def test_each_images_loss_is_torchvisions_for_a_batch_of_that_image_alone(name):
    model, images = detector(name), pictures()
    with torch.no_grad():
        outputs = detectors.forward(model, normalized(model, images))
        ours = detectors.losses(model, outputs, TARGETS, False)
        model.net.train()
        for part in model.modules():  # the norms' own statistics, as in ours
            if isinstance(part, torch.nn.BatchNorm2d):
                part.eval()
        for image, target in enumerate(TARGETS):
            # torchvision's own forward pass, from pixels to the losses.
            wanted = {"boxes": target["boxes"], "labels": target["labels"] - 1}
            theirs = model.net([images[image]], [wanted])
            assert float(ours[image]) == pytest.approx(float(sum(theirs.values())), rel=1e-4)
    assert ours.shape == (3,) and len(set(ours.tolist())) == 3


@every_kind
@pytest.mark.parametrize("side", [SIDE, 100], ids=["whole", "padded"])
def test_boxes_are_torchvisions_own(name, side):
    model, images = detector(name, side), pictures(2, side)
    with torch.no_grad():
        ours = detectors.detections(model, detectors.forward(model, normalized(model, images)), (side, side))
        theirs = model.net(list(images))
    for mine, wanted in zip(ours, theirs, strict=True):
        assert len(wanted["boxes"]) > 10
        torch.testing.assert_close(mine["boxes"], wanted["boxes"], atol=1e-2, rtol=1e-4)
        torch.testing.assert_close(mine["scores"], wanted["scores"], atol=1e-5, rtol=1e-4)
        assert torch.equal(mine["labels"], wanted["labels"] + 1)


def test_probabilities_are_the_sigmoids_given_that_a_box_has_one_class_at_most():
    model = detector(NAMES[0])
    with torch.no_grad():
        outputs = detectors.forward(model, normalized(model, pictures(1)))
    single = outputs.logits[0, :, 1:].double().sigmoid()  # (anchors, classes), independent
    alone = torch.stack(
        [
            (1 - single).prod(dim=1),
            *(single[:, k] * (1 - single[:, [i for i in range(3) if i != k]]).prod(dim=1) for k in range(3)),
        ],
        dim=1,
    )
    wanted = alone / alone.sum(dim=1, keepdim=True)
    torch.testing.assert_close(outputs.logits[0].softmax(dim=1).double(), wanted, atol=1e-5, rtol=1e-4)
    of_one_class = torch.tensor([0.0, 1.3]).softmax(dim=0)[1]
    assert float(of_one_class) == pytest.approx(float(torch.tensor(1.3).sigmoid()))


def test_an_image_on_which_nothing_is_seen_is_unknown():
    task = Detection(Detection.Options(), ModelOptions(name=NAMES[0], input_size=SIDE, weights="none"), "abc")
    model = task.build_model().eval()
    with torch.no_grad():
        model.net.head.classification_head.cls_logits.bias.fill_(-20)
    blank = Batch([], torch.zeros(1, 3, SIDE, SIDE, dtype=torch.uint8), [], [(SIDE, SIDE)])
    with torch.inference_mode():
        signals, _ = task.signals(model, blank, frozenset({"entropy", "margin", "expected_objects", "embedding"}))
    assert signals["entropy"].tolist() == signals["margin"].tolist() == [UNKNOWN]
    assert signals["expected_objects"].tolist() == [0]
    assert signals["embedding"].shape == (1, 96)  # the trunk's last map has 96 channels


def test_the_loss_head_reads_the_pyramid_and_the_trunks_last_map():
    task = Detection(Detection.Options(), ModelOptions(name=NAMES[0], input_size=SIDE, weights="none"), "ab")
    assert feature_channels(task, task.build_model()) == (128, 128, 128, 128, 128, 96)


@every_kind
def test_the_trunk_learns_slowly_with_still_norms_and_can_be_frozen(name, tmp_path):
    path = tmp_path / "w.safetensors"
    save_file(timm.create_model(name.partition("-")[2]).state_dict(), path)
    task = Detection(Detection.Options(), ModelOptions(name=name, input_size=SIDE, weights=str(path)), "ab")
    model = task.build_model()
    head = LossHead(feature_channels(task, model))
    options = TrainOptions(learning_rate=0.001, trunk_rate=0.1)
    rates = {
        id(parameter): group["lr"]
        for group in build_optimizer(task, model, head, options).param_groups
        for parameter in group["params"]
    }
    trunk = {id(parameter) for parameter in model.trunk.parameters()}
    assert trunk and {rates[key] for key in trunk} == {0.0001}
    assert {rate for key, rate in rates.items() if key not in trunk} == {0.001}
    set_modes(task, model, head, options)
    norms = [part for part in model.trunk.modules() if isinstance(part, torch.nn.BatchNorm2d)]
    assert norms and not any(norm.training for norm in norms)
    assert model.net.head.training
    set_modes(task, model, head, TrainOptions(freeze_backbone=True))
    assert not model.trunk.training


@every_kind
def test_weights_fill_the_trunk_and_another_networks_are_refused_by_name(name, tmp_path):
    torch.manual_seed(3)
    trunk_name = name.partition("-")[2]
    whole = timm.create_model(trunk_name)
    path = tmp_path / "w.safetensors"
    save_file(whole.state_dict(), path)
    model = detectors.build(name, 2, str(path), SIDE).eval()
    whole.eval()
    images = torch.rand(1, 3, SIDE, SIDE)
    with torch.no_grad():
        _, maps = whole.forward_intermediates(images)
        strides = [SIDE // part.shape[-1] for part in maps]
        wanted = [maps[len(strides) - 1 - strides[::-1].index(stride)] for stride in (8, 16, 32)]
        for ours, theirs in zip(detectors.frozen_maps(model, images), wanted, strict=True):
            torch.testing.assert_close(ours, theirs)
    other = "fcos-test_resnet" if "efficientnet" in name else "retinanet-test_efficientnet"
    with pytest.raises(DataError, match=r"does not fit .*is missing"):
        detectors.build(other, 2, str(path), SIDE)


@every_kind
def test_known_classes_keep_their_weights(name):
    old, new = detector(name), detectors.build(name, 2, "none", SIDE).eval()
    assert isinstance(new, PyramidDetector)
    new.load_state_dict(detectors.transplant_classes(new, old.state_dict(), ["cat", "dog", "emu"], ["emu", "ant"]))
    images = torch.rand(1, 3, SIDE, SIDE)
    with torch.no_grad():
        before, after = detectors.forward(old, images), detectors.forward(new, images)
    torch.testing.assert_close(after.logits[..., [0, 1]], before.logits[..., [0, 3]])
    torch.testing.assert_close(after.regression, before.regression)


def test_networks_that_cannot_carry_a_detector_are_refused():
    for name, match in (
        ("retinanet-test_vit", r"test_vit has no maps at strides 8, 32, only at 16"),
        ("fcos-resnet19", "timm has no model 'resnet19'"),
    ):
        with pytest.raises(UsageError, match=match):
            detectors.build(name, 2, "none", SIDE)
    options = Detection.Options(box_weights="boxes")
    with pytest.raises(UsageError, match="is for SSD models"):
        Detection(options, ModelOptions(name="fcos-resnet18"), "ab")
    with pytest.raises(UsageError, match="Detection has no model 'retina'"):
        Detection(Detection.Options(), ModelOptions(name="retina"), "ab")


def test_a_network_of_another_kind_of_stages_carries_a_detector():
    with torch.no_grad():
        outputs = detectors.forward(
            detectors.build("fcos-test_convnext", 2, "none", 64).eval(), torch.rand(2, 3, 64, 64)
        )
    assert outputs.logits.shape[2] == 3 and torch.isfinite(outputs.regression).all()
