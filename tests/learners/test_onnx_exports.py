"""Detectors that torchvision itself exported to ONNX: the learner's boxes are torchvision's."""

from __future__ import annotations

import warnings

import numpy as np
import onnx
import pytest
import torch
from PIL import Image

from alcli.learners._onnx_model import OnnxModel
from alcli.learners._onnx_options import OnnxOptions
from alcli.models import detectors

SIDE = 64


@pytest.mark.parametrize("name", ["retinanet-test_resnet", "fcos-test_resnet"])
def test_boxes_of_an_export_are_those_of_torchvision(name, tmp_path):
    torch.manual_seed(0)
    net = detectors.build(name, 4, "none", SIDE).net.eval()
    with torch.no_grad():
        net.head.classification_head.cls_logits.weight.normal_(std=0.05)
        # Torchvision's own detectors call the background 0, and never predict it.
        net.head.classification_head.cls_logits.weight.unflatten(0, (-1, 4))[:, 0] = 0
        net.head.classification_head.cls_logits.bias.unflatten(0, (-1, 4))[:, 0] = -20
        net.head.regression_head.bbox_reg.weight.normal_(std=0.01)
    net.detections_per_img, net.score_thresh = 40, 0.005
    pixels = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    tensor = torch.from_numpy(pixels).permute(2, 0, 1).float() / 255
    path = tmp_path / "detector.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch's tracer, about its own detectors
        torch.onnx.export(
            net,
            ([tensor],),
            str(path),
            opset_version=17,
            dynamo=False,
            input_names=["image"],
            output_names=["boxes", "scores", "labels"],
        )
    names = ("ant", "bee", "cat", "dog")
    content = onnx.load(str(path))
    onnx.helper.set_model_props(content, {"names": str(["__background__", *names[1:]])})
    onnx.save(content, str(path))
    with torch.no_grad():
        wanted = net([tensor])[0]
    answer = OnnxModel(path, OnnxOptions(threshold=0.005, classes=("bee", "cat", "dog")), "detection").predict(
        Image.fromarray(pixels), "a.jpg"
    )
    boxes = answer.boxes
    # Boxes that lie outside are empty once they are clipped; the learner leaves them out.
    real = (wanted["boxes"][:, 2:] > wanted["boxes"][:, :2]).all(dim=1)
    assert boxes is not None and len(boxes.labels) == int(real.sum()) > 5
    np.testing.assert_allclose(boxes.scores, wanted["scores"][real], atol=1e-4)
    np.testing.assert_allclose(boxes.corners, wanted["boxes"][real], atol=0.05)
    assert list(boxes.labels) == [names[label] for label in wanted["labels"][real].tolist()]
