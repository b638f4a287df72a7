from __future__ import annotations

import pytest

from alcli import plugins
from alcli.annotations import Annotation, Box, Keypoint, Mask, Polygon, Pose
from alcli.config import Config, ModelOptions
from alcli.errors import DataError, UsageError
from alcli.simulation.costs import cost_of, unit_of
from alcli.simulation.plan import Arm, Plan, arms_of, check_arms, check_frozen
from alcli.tasks.classification import Classification


def test_random_always_takes_part_and_every_arm_once():
    assert [arm.name for arm in arms_of(["margin, entropy", "margin", "random"])] == ["random", "margin", "entropy"]


def test_an_arm_may_train_plainly_or_wrap():
    arm = Arm.parse("diverse:margin@plain")
    assert (arm.strategy, arm.plain, arm.name) == ("diverse:margin", True, "diverse:margin@plain")
    assert "/" not in arm.file_name
    assert ":" not in arm.file_name
    with pytest.raises(UsageError, match="'margn'"):
        arms_of(["margn"])


def test_sizes_follow_from_the_pool():
    assert Plan.of(300, 50, None, None, 5, False) == Plan(30, 30, 5)
    assert Plan.of(300, 50, 10, None, 5, False).labels == 160


@pytest.mark.parametrize(("pool", "test"), [(649, 50), (650, 9)])
def test_too_few_labels_say_how_many_it_takes(pool, test):
    with pytest.raises(DataError, match="50 to start with and 6 cycles of 100 need 650"):
        Plan.of(pool, test, 50, 100, 6, False)


def test_the_start_set_depends_on_the_seed_alone():
    ids = [str(number) for number in range(50)]
    plan = Plan(5, 5, 2)
    assert plan.start_set(ids, 3) == plan.start_set(ids[::-1], 3)
    assert len({tuple(plan.start_set(ids, seed)) for seed in range(10)}) == 10
    assert len(set(plan.start_set(ids, 0))) == 5


def test_a_signal_that_cannot_be_given_is_named():
    with pytest.raises(UsageError, match="badge needs class_scores, which the task depth cannot compute") as error:
        check_arms([Arm("random"), Arm("badge")], frozenset({"embedding"}), "the task depth")
    assert error.value.do.startswith("Tasks that can: classification, detection, pose, segmentation.")


def test_costs_count_what_people_make():
    box = Box("cat", 0, 0, 4, 4)
    pose = Pose("person", (Keypoint("a", 1, 1), Keypoint("b", 2, 2)))
    square = Polygon("road", ((0, 0, 10, 0, 10, 10, 0, 10),), ((2, 2, 4, 2, 4, 4, 2, 4),))
    assert cost_of(Annotation("i", (box, box)), unit_of(plugins.load("tasks", "detection"))) == 2
    assert cost_of(Annotation("i", poses=(pose, pose)), unit_of(plugins.load("tasks", "pose"))) == 4
    assert cost_of(Annotation("i", labels=("cat",)), unit_of(plugins.load("tasks", "classification"))) == 1
    assert cost_of(Annotation("i", polygons=(square,)), unit_of(plugins.load("tasks", "segmentation"))) == 96
    assert cost_of(Annotation("i"), unit_of(object())) == 1


def test_pixels_of_masks_are_counted_without_those_to_ignore():
    import numpy as np
    from pycocotools import mask

    def coded(rows):
        return mask.encode(np.asfortranarray(rows, dtype=np.uint8))["counts"].decode()

    rows = np.zeros((4, 6))
    rows[:2] = 1
    annotation = Annotation("i", masks=(Mask("sky", coded(rows), (6, 4)), Mask("", coded(1 - rows), (6, 4))))
    assert cost_of(annotation, "pixels") == 12


@pytest.mark.parametrize(
    ("task", "weights", "why"),
    [
        (Classification.Options(name="classification"), "none", "random weights"),
        (Classification.Options(name="classification", multi_label=True), "imagenet", "task.multi_label"),
    ],
)
def test_frozen_features_are_for_one_label_per_image(task, weights, why):
    with pytest.raises(UsageError, match=why):
        check_frozen(Config(task=task, model=ModelOptions(weights=weights)))
