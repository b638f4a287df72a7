from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval, Params

from alcli.annotations import Annotation, Box, Keypoint
from alcli.annotations import Pose as Person
from alcli.config import ModelOptions
from alcli.engine.loading import batches
from alcli.errors import UsageError
from alcli.tasks import _crops, _skeleton
from alcli.tasks._pose_metrics import oks_ap, pck
from alcli.tasks.pose import Pose
from tests.support.drawings import CASES, JOINTS, SIZE, examples, make_task, person

CASE = CASES["pose"]
COCO_JOINTS = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow",
    "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle",
    "right_ankle",
)  # fmt: skip
LSP_JOINTS = (*COCO_JOINTS[5:], "neck", "head_top")


def moved(pose: Person, dx: float, score: float = 0.9) -> Person:
    joints = tuple(dataclasses.replace(joint, x=joint.x + dx, score=score) for joint in pose.keypoints)
    return dataclasses.replace(pose, keypoints=joints)


def test_sigmas_and_mirror_of_cocos_joints_follow_from_their_names():
    official = Params(iouType="keypoints").kpt_oks_sigmas
    assert _skeleton.sigmas(COCO_JOINTS, {}) == pytest.approx(official.tolist())
    assert _skeleton.flip_order(COCO_JOINTS, ()) == [0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15]


def test_the_schema_of_fourteen_joints_and_a_given_one():
    assert _skeleton.flip_order(LSP_JOINTS, ())[-2:] == [12, 13]
    assert _skeleton.sigmas(("neck", "tail"), {"tail": 0.5}) == [0.079, 0.5]
    assert _skeleton.flip_order(("paw1", "paw2", "tail"), (("paw1", "paw2"),)) == [1, 0, 2]
    with pytest.raises(UsageError, match="unknown joints: ear"):
        _skeleton.flip_order(("nose",), (("nose", "ear"),))


def test_a_joint_stays_on_its_dot_when_crop_and_joint_are_turned_and_mirrored():
    crop = Image.new("RGB", (48, 64))
    ImageDraw.Draw(crop).rectangle([30, 20, 33, 23], fill=(255, 255, 255))
    places, weights = torch.tensor([[32.0, 22.0], [0.0, 0.0]]), torch.tensor([1.0, 0.0])
    turned, places = _crops.rotate(crop, places, 25)
    seen, places, weights = _crops.mirror(turned, places, weights, [1, 0])
    rows, columns = np.nonzero(np.asarray(seen)[..., 0] > 100)
    assert places[1].tolist() == pytest.approx([columns.mean() + 0.5, rows.mean() + 0.5], abs=0.5)
    assert weights.tolist() == [0.0, 1.0]


def test_peaks_find_what_gaussians_paint():
    places = torch.tensor([[[17.0, 30.0], [40.3, 5.1]]])
    found, heights = _crops.peaks(_crops.gaussians(places, (16, 12)))
    assert (found - places).abs().max() <= 1.1
    assert heights.min() > 0.9
    assert _crops.gaussians(torch.tensor([[22.0, 14.0]]), (16, 12))[0, 3, 5] == 1


def test_people_are_cut_by_their_boxes_or_their_joints_or_not_at_all():
    given = Annotation("x", poses=(person(0), dataclasses.replace(person(1), box=None)))
    first, second = _crops.regions(given, SIZE, (64, 48))
    assert first.width / first.height == pytest.approx(48 / 64)
    assert first.height == pytest.approx(48 * 1.25)
    assert second.x < 15 and second.y < 17
    assert len(_crops.regions(Annotation("x", (Box("person", 0, 0, 9, 9),)), SIZE, (64, 48))) == 1
    whole = _crops.regions(None, SIZE, (64, 48))[0]
    assert whole.width == 96 and whole.height == 128 and whole.y == -24


def test_a_crop_shows_the_region_at_the_networks_size():
    picture = Image.new("RGB", (100, 100))
    picture.paste((255, 0, 0), (40, 40, 60, 60))
    crop = np.asarray(_crops.cut(picture, 1.0, _crops.Region(40, 40, 20, 20), (32, 32)))
    assert (crop[..., 0] == 255).all()


def test_rows_are_people_and_losses_are_images(tmp_path):
    task = make_task(CASE)
    batch = next(batches(task, examples(CASE, tmp_path, 2), lambda _: [[0, 1]], 0))[0]
    assert batch.images.shape == (3, 3, 64, 48)
    assert batch.owners.tolist() == [0, 1, 1]
    losses, features = task.losses(task.build_model().eval(), batch)
    assert losses.shape == (2,) and all(len(feature) == 2 for feature in features)


def test_the_loss_is_the_mean_of_people_each_the_mean_of_marked_joints(tmp_path):
    task = make_task(CASE)
    batch = next(batches(task, examples(CASE, tmp_path, 2), lambda _: [[1]], 0))[0]
    batch.targets[0]["weights"][0, 1:] = 0
    model = task.build_model().eval()
    with torch.inference_mode():
        loss = task.losses(model, batch)[0]
        heatmaps = model(task.normalize(model, batch))
        squares = (heatmaps - _crops.gaussians(batch.targets[0]["joints"], heatmaps.shape[2:])).square()
    people = torch.stack([squares[0, 0].sum(), squares[1].sum(dim=(1, 2)).mean()]) / (4 * math.pi)
    torch.testing.assert_close(loss[0], people.mean())


def test_an_image_of_nobody_trains_empty_heatmaps(tmp_path):
    task = make_task(CASE)
    example = dataclasses.replace(examples(CASE, tmp_path, 1)[0], annotation=Annotation("0", size=SIZE))
    crops, target, _ = task.load(example, "rotate")
    assert crops.shape == (1, 3, 64, 48)
    assert _crops.gaussians(target["joints"], (16, 12)).sum() == 0 and target["weights"].sum() == len(JOINTS)


def test_oks_ap_is_pycocotools_own():
    pairs = [
        (Annotation("a", size=SIZE, poses=(person(0), person(0, 30))), [moved(person(0), 1), moved(person(0, 30), 6)]),
        (Annotation("b", size=SIZE, poses=(person(1),)), [moved(person(1), 2.5, 0.7)]),
    ]
    pairs = [(truth, Annotation(truth.item_id, size=SIZE, poses=tuple(said))) for truth, said in pairs]
    sigmas = _skeleton.sigmas(JOINTS, {})
    assert oks_ap(pairs, JOINTS, sigmas) == pytest.approx(_directly(pairs, sigmas))
    assert 0 < oks_ap(pairs, JOINTS, sigmas) < 1


def _directly(pairs, sigmas) -> float:
    """pycocotools without alcli's rows."""

    def rows(side: int) -> list[dict]:
        found = []
        for image, pair in enumerate(pairs, 1):
            for pose in pair[side].poses:
                flat = [v for joint in pose.keypoints for v in (joint.x, joint.y, 2)]
                box = pose.box
                bbox = [box.x1, box.y1, box.x2 - box.x1, box.y2 - box.y1]
                score = np.mean([joint.score or 1 for joint in pose.keypoints])
                row = {"id": len(found) + 1, "image_id": image, "category_id": 1, "iscrowd": 0, "bbox": bbox}
                row |= {"keypoints": flat, "num_keypoints": len(JOINTS), "area": bbox[2] * bbox[3], "score": score}
                found.append(row)
        return found

    truth = COCO()
    truth.dataset = {"images": [{"id": 1}, {"id": 2}], "categories": [{"id": 1}], "annotations": rows(0)}
    truth.createIndex()
    evaluation = COCOeval(truth, truth.loadRes(rows(1)), "keypoints")
    evaluation.params.kpt_oks_sigmas = np.array(sigmas)
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return float(evaluation.stats[0])


def test_pck_counts_joints_within_a_fifth_of_the_torso():
    torso = math.hypot(8 + 5, 20)
    near, far = moved(person(0), 0.19 * torso), moved(person(0), 0.21 * torso)
    mixed = dataclasses.replace(far, keypoints=(*near.keypoints[:2], *far.keypoints[2:]))
    pair = (Annotation("x", poses=(person(0),)), Annotation("x", poses=(mixed,)))
    shares = pck([pair], JOINTS)
    assert shares["pck"] == pytest.approx(2 / 5)
    assert [shares[f"pck/{joint}"] for joint in JOINTS] == [1, 1, 0, 0, 0]


def test_people_without_a_torso_do_not_count_for_pck():
    head = Person("person", (Keypoint("head", 5, 5),))
    pair = (Annotation("x", poses=(head,)), Annotation("x", poses=(head,)))
    assert pck([pair], JOINTS) == {}
    assert pck([pair], ("head",)) == {"pck": 1.0, "pck/head": 1.0}


def test_a_trained_peak_is_given_back_in_pixels_of_the_image(tmp_path):
    task = make_task(CASE)
    example = examples(CASE, tmp_path, 1)[0]
    batch = next(batches(task, [example], lambda _: [[0]], 0))[0]
    heatmaps = _crops.gaussians(batch.targets[0]["joints"], (16, 12))

    class Painter(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.parameter = torch.nn.Parameter(torch.zeros(1))

        def forward(self, images):
            return heatmaps

    said = task.predictions(Painter(), batch)[0]
    metrics = task.evaluate([example], [said])
    assert {**metrics, **{f"pck/{joint}": 1.0 for joint in JOINTS}} == metrics
    assert (metrics["oks_ap"], metrics["pck"]) == (pytest.approx(1.0, abs=0.11), 1.0)


def test_input_shapes_are_those_a_network_can_add_up():
    shapes = [
        Pose(Pose.Options(), ModelOptions(name=name, input_size=size), JOINTS).input_shape
        for name, size in (("hrnet-w32", None), ("hrnet-w32", 300), ("hrnet-w18-small", 64), ("mobilenet-v2", 100))
    ]
    assert shapes == [(256, 192), (256, 192), (128, 96), (96, 72)]


def test_unknown_models_are_refused():
    with pytest.raises(UsageError, match="Pose has no model 'hrnet-w33'"):
        Pose(Pose.Options(), ModelOptions(name="hrnet-w33"), JOINTS)
