from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import jaccard_score

from alcli.annotations import Annotation, Polygon
from alcli.config import ModelOptions
from alcli.engine.loading import batches
from alcli.errors import DataError, UsageError
from alcli.tasks._label_maps import IGNORE, check, class_weights, encode_mask, label_map, masks
from alcli.tasks.segmentation import Segmentation
from tests.support.drawings import CASES, SIZE, examples, half_mask, make_task

CASE = CASES["segmentation"]
CLASSES = ("a", "b")


def halves(left: str, right: str, ids: tuple[int, int] = (0, 1)) -> Annotation:
    return Annotation("x", size=SIZE, masks=(half_mask(left, True, ids[0]), half_mask(right, False, ids[1])))


def test_the_loss_of_one_image_is_the_librarys_without_ignored_pixels(tmp_path):
    task = make_task(CASE)
    batch = next(batches(task, examples(CASE, tmp_path, 1), lambda _: [[0]], 0))[0]
    batch.targets[0]["mask"][:, :20] = IGNORE
    model = task.build_model().eval()
    with torch.inference_mode():
        losses, _ = task.losses(model, batch)
        logits = F.interpolate(model(task.normalize(model, batch)), size=(64, 64), mode="bilinear")
        wanted = batch.targets[0]["mask"].long()
        torch.testing.assert_close(losses[0], F.cross_entropy(logits, wanted, ignore_index=IGNORE))
        batch.targets[0]["mask"][:] = IGNORE
        assert task.losses(model, batch)[0].tolist() == [0.0]


def test_class_weights_are_the_root_of_mean_frequency_over_frequency():
    counts = np.array([700, 0, 100, 28])
    mean = (700 + 100 + 28) / 3
    expected = [(mean / 700) ** 0.5, (mean / 28) ** 0.5, (mean / 100) ** 0.5, (mean / 28) ** 0.5]
    np.testing.assert_allclose(class_weights(counts), expected)
    assert class_weights(np.zeros(2, dtype=int)).tolist() == [1.0, 1.0]


@pytest.mark.parametrize(("setting", "weights"), [("sqrt", [(4 / 6) ** 0.5, (4 / 2) ** 0.5]), ("none", [1.0, 1.0])])
def test_pixels_of_rare_classes_train_with_more_weight_and_are_judged_alike(tmp_path, setting, weights):
    task = Segmentation(Segmentation.Options(class_weights=setting), CASE.model, CLASSES)
    # Six halves of a, two of b, and ignored pixels that must not count.
    rows = examples(CASE, tmp_path, 4)
    rows = [replace(rows[n], annotation=halves("a", ("b", "a")[n % 2]), size=SIZE) for n in range(4)]
    ignored = replace(rows[0], annotation=Annotation("x", size=SIZE, masks=(half_mask("a", True, 255),)))
    task.weigh_classes([*rows, ignored])
    batch = next(batches(task, rows, lambda _: [[0]], 0))[0]
    model = task.build_model()
    with torch.no_grad():
        torch.manual_seed(0)
        trained, _ = task.losses(model.train(), batch)
        torch.manual_seed(0)
        logits = F.interpolate(model(task.normalize(model, batch)), size=(64, 64), mode="bilinear")
        pixels = F.cross_entropy(logits, batch.targets[0]["mask"].long(), reduction="none")
        factors = torch.tensor(weights)[batch.targets[0]["mask"].long()]
        torch.testing.assert_close(trained[0], (factors * pixels).mean())
        judged, _ = task.losses(model.eval(), batch)
        logits = F.interpolate(model(task.normalize(model, batch)), size=(64, 64), mode="bilinear")
        torch.testing.assert_close(judged[0], F.cross_entropy(logits, batch.targets[0]["mask"].long()))


def test_pixels_of_the_ignored_id_neither_train_nor_count():
    task = Segmentation(Segmentation.Options(ignore_index=11), CASE.model, CLASSES)
    annotation = halves("a", "", (0, 11))
    assert Segmentation.vocabulary(annotation, Segmentation.Options(ignore_index=11)) == {"a"}
    numbers = label_map(annotation, SIZE, CLASSES, 11)
    assert (numbers[:, :48] == 0).all() and (numbers[:, 48:] == IGNORE).all()
    assert task.signal_names


def test_uncovered_pixels_are_background_where_that_is_a_class():
    square = Annotation("x", size=SIZE, polygons=(Polygon("a", ((10, 10, 30, 10, 30, 30, 10, 30),)),))
    assert Segmentation.vocabulary(square, Segmentation.Options()) == {"a", "background"}
    numbers = label_map(square, SIZE, ("a", "background"), 255)
    assert (numbers == 0).sum() == 400 and numbers[20, 20] == 0 and numbers[0, 0] == 1
    assert label_map(square, SIZE, ("a",), 255)[0, 0] == IGNORE


def test_holes_are_taken_out():
    ring = Polygon("a", ((0, 0, 40, 0, 40, 40, 0, 40),), ((10, 10, 20, 10, 20, 20, 10, 20),))
    numbers = label_map(Annotation("x", polygons=(ring,)), SIZE, ("a", "background"), 255)
    assert numbers[15, 15] == 1 and numbers[5, 5] == 0


def test_masks_and_label_maps_are_inverse():
    numbers = np.random.default_rng(0).integers(0, 3, (20, 30)).astype(np.uint8)
    rows = masks(numbers, ("x", "y", "z"))
    again = label_map(Annotation("i", masks=rows), (30, 20), ("x", "y", "z"), 255)
    assert (again == numbers).all()
    assert encode_mask(numbers == 0) == rows[0].counts


def test_miou_is_intersection_over_union(tmp_path):
    task = make_task(CASE)
    held_out = examples(CASE, tmp_path, 1)
    said = Annotation("0", size=SIZE, masks=(half_mask("a", True, 0), half_mask("a", False, 0)))
    metrics = task.evaluate(held_out, [said])
    assert metrics == {"miou": pytest.approx(0.25), "iou/a": pytest.approx(0.5), "iou/b": 0.0}
    assert next(iter(metrics)) == "miou"


def test_iou_of_each_class_is_scikit_learns(tmp_path):
    rng, names = np.random.default_rng(0), ("sky", "road", "car")
    held_out, rows, pixels = [], [], []
    for example in examples(CASE, tmp_path, 3):
        true, said = (rng.choice(3, (SIZE[1], SIZE[0]), p=(0.5, 0.4, 0.1)).astype(np.uint8) for _ in range(2))
        annotation, prediction = (
            Annotation(example.item.id, size=SIZE, masks=masks(numbers, names)) for numbers in (true, said)
        )
        held_out.append(replace(example, annotation=annotation))
        rows.append(prediction)
        pixels.append((true.ravel(), said.ravel()))
    metrics = make_task(replace(CASE, options=CASE.options.model_copy(update={"classes": names}))).evaluate(
        held_out, rows
    )
    ious = jaccard_score(*np.concatenate(pixels, axis=1), average=None)
    assert len(set(ious.tolist())) == 3
    assert metrics == {
        "miou": pytest.approx(ious.mean()),
        **{f"iou/{name}": pytest.approx(iou) for name, iou in zip(names, ious, strict=True)},
    }


def test_nothing_that_counts_is_said(tmp_path):
    task = make_task(CASE)
    with pytest.raises(DataError, match="No held-out image has a pixel"):
        task.evaluate(examples(CASE, tmp_path, 1), [])


def test_unknown_models_are_refused():
    with pytest.raises(UsageError, match="Segmentation has no model 'unet'"):
        Segmentation(Segmentation.Options(), ModelOptions(name="unet"), CLASSES)


@pytest.mark.parametrize(
    ("annotation", "why"),
    [
        (Annotation("x", polygons=(Polygon("a", ((1, 1, 1e9, 1, 5, 5),)),)), r"from 1 to 1e\+09, far outside"),
        (Annotation("x", polygons=(Polygon("a", ((1, 1, 9, 1, 5, -1e300),)),)), "far outside"),
    ],
)
def test_a_region_that_would_be_expanded_into_foreign_memory_is_refused(annotation, why):
    with pytest.raises(DataError, match=why):
        check(annotation, SIZE)
