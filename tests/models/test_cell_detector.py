"""The detector with one anchor per cell."""

from __future__ import annotations

import pytest
import torch

from alcli.models import ssd
from alcli.models.cell_detector import CellDetector, match_cells

SHAPES = [(2, 8, 8), (3, 4, 4)]
SIZE = (32, 32)


@pytest.fixture
def model():
    torch.manual_seed(0)
    detector = CellDetector(SHAPES, 0, 2, SIZE).eval()
    detector.backbone.trunk.maps = [torch.randn(2, *shape) for shape in SHAPES]
    return detector


def outputs(model):
    return ssd.forward(model, torch.zeros(2, 3, *SIZE))


def target(*boxes, labels=None):
    return {
        "boxes": torch.tensor(boxes, dtype=torch.float32).view(-1, 4),
        "labels": torch.tensor(labels or [1] * len(boxes), dtype=torch.int64),
    }


def test_every_cell_has_one_anchor_around_its_center(model):
    anchors = outputs(model).anchors
    assert anchors.shape == (64, 4)
    assert anchors[0].tolist() == [-6, -6, 10, 10]  # cells of 4 pixels: center (2, 2), side 16
    assert anchors[63].tolist() == [22, 22, 38, 38]


def test_an_object_has_the_cells_in_its_middle_half_and_the_smaller_one_goes_first(model):
    anchors = outputs(model).anchors
    big, small, tiny = [0.0, 0.0, 32.0, 32.0], [8.0, 8.0, 24.0, 24.0], [29.0, 1.0, 31.0, 3.0]
    owners = match_cells(anchors, torch.tensor([[big, small, tiny]]), torch.tensor([3])).view(8, 8)
    # Middle halves: 8 to 24 of the big one, 12 to 20 of the small one; the tiny one has its nearest cell.
    assert owners[3:5, 3:5].tolist() == [[1, 1], [1, 1]]
    assert (owners[2:6, 2:6] == 0).sum() == 12
    assert owners[0, 7] == 2
    assert (owners == -1).sum() == 64 - 16 - 1


def test_every_object_weighs_the_same_however_many_cells_it_has(model):
    out = outputs(model)
    both = model.losses(out.logits * 0, out.regression * 0, out.anchors, [target([0, 0, 32, 32], [29, 1, 31, 3])] * 2)
    certain = torch.zeros_like(out.logits)
    certain[..., 0] = 50.0  # background cells cost nothing, objects 50 each
    losses = model.losses(certain, out.regression * 0, out.anchors, [target([0, 0, 32, 32], [29, 1, 31, 3])] * 2)
    assert torch.isfinite(both).all()
    offsets = [
        torch.nn.functional.smooth_l1_loss(model.box_coder.encode_single(box, anchors), torch.zeros(len(anchors), 4))
        * 4
        for box, anchors in (
            (torch.tensor([[0.0, 0, 32, 32]]).expand(16, 4), out.anchors.view(8, 8, 4)[2:6, 2:6].reshape(-1, 4)),
            (torch.tensor([[29.0, 1, 31, 3]]), out.anchors.view(8, 8, 4)[0, 7:8]),
        )
    ]
    assert losses[0].item() == pytest.approx(50 + float(sum(offsets)) / 2, rel=1e-4)


def test_each_loss_depends_on_its_own_image_and_an_image_without_objects_trains_background(model):
    out = outputs(model)
    alone = model.losses(out.logits[:1], out.regression[:1], out.anchors, [target([4, 4, 20, 20])])
    pair = model.losses(out.logits, out.regression, out.anchors, [target([4, 4, 20, 20]), target()])
    assert pair[0].item() == pytest.approx(alone[0].item(), rel=1e-6)
    hardest = torch.nn.functional.cross_entropy(out.logits[1], torch.zeros(64, dtype=torch.int64), reduction="none")
    assert pair[1].item() == pytest.approx(hardest.topk(3).values.sum().item(), rel=1e-5)
    nothing = model.losses(out.logits, out.regression, out.anchors, [target(), target()])
    assert torch.isfinite(nothing).all() and nothing[1].item() == pytest.approx(pair[1].item(), rel=1e-6)


def test_what_it_has_learned_comes_back_as_boxes(model):
    torch.manual_seed(0)
    detector = CellDetector(SHAPES, 0, 2, SIZE).train()
    maps = [torch.randn(4, *shape) for shape in SHAPES]
    targets = [target([4, 4, 20, 20], labels=[1]), target([8, 2, 30, 26], labels=[2])] * 2
    optimizer = torch.optim.AdamW(detector.parameters(), 1e-2)
    for _ in range(150):
        detector.backbone.trunk.maps = maps
        out = ssd.forward(detector, torch.zeros(4, 3, *SIZE))
        loss = ssd.multibox_losses(detector, out, targets).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    detector.eval()
    found = ssd.detections(detector, ssd.forward(detector, torch.zeros(4, 3, *SIZE)), SIZE)
    for detected, truth in zip(found, targets, strict=True):
        assert detected["labels"][0] == truth["labels"][0]
        assert detected["boxes"][0].tolist() == pytest.approx(truth["boxes"][0].tolist(), abs=2.5)
