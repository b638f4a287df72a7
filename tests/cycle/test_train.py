from __future__ import annotations

import json

import pytest
import torch

from alcli.annotations import Annotation
from alcli.artifacts.sides import split_held_out
from alcli.config import ModelOptions, TaskOptions
from alcli.items import ImageFacts, Item
from alcli.models import storage
from alcli.tasks import Example


def examples(count: int) -> tuple[list[Example], dict[str, ImageFacts]]:
    found = [Example(Item(f"i{n}", f"i{n}", "u"), None, Annotation(f"i{n}"), (8, 8)) for n in range(count)]
    return found, {row.item.id: ImageFacts(f"file {row.item.id}", 8, 8, f"pixels {row.item.id}") for row in found}


def ids(rows: list[Example]) -> set[str]:
    return {row.item.id for row in rows}


def test_an_image_keeps_its_side_whatever_is_annotated_later():
    everything, facts = examples(400)
    _, held_out = split_held_out(everything, facts, 0.2)
    assert 50 < len(held_out) < 110
    few_training, few_held_out = split_held_out(everything[:100], facts, 0.2)
    assert ids(few_held_out) == ids(held_out) & ids(everything[:100])
    assert not ids(few_held_out) & ids(few_training)
    assert ids(split_held_out(everything, facts, 0.1)[1]) < ids(held_out)
    assert split_held_out(everything, facts, 0)[1] == []


def test_copies_of_an_image_stand_on_one_side():
    everything, facts = examples(50)
    same = {item_id: ImageFacts(f"file {item_id}", 8, 8, "the same pixels") for item_id in facts}
    assert sorted(map(len, split_held_out(everything, same, 0.5))) == [0, 50]


def test_a_larger_held_out_share_never_goes_on_from_a_model_that_saw_it(alcli, workspace):
    assert alcli("cycle", "-w", workspace, "--validation", "0")[0] == 0
    code, out, err = alcli("cycle", "-w", workspace, "--validation", "0.6", "--json")
    assert code == 0
    assert "train.validation has grown since cycle 1: training starts from scratch." in err
    assert json.loads(out)["steps"]["train"]["started_from"] == "none"


def test_a_model_is_compared_with_the_one_before_where_that_is_still_there(alcli, workspace, photos):
    share = ("--set", "train.validation=0.8", "--set", "train.epochs=20", "--set", "train.learning_rate=0.01", "--json")
    _, first, _ = alcli("cycle", "-w", workspace, *share)
    photos.annotate(8)
    _, second, _ = alcli("cycle", "-w", workspace, *share)
    first, second = (json.loads(out)["steps"]["train"] for out in (first, second))
    assert first["held_out"] and first["agreement"] is None
    assert 0 <= second["agreement"] <= 1
    assert json.loads(alcli("status", "-w", workspace, "--json")[1])["outlook"]["agreement"] == second["agreement"]
    (workspace / "cycles/0002/model.safetensors").unlink()
    photos.annotate(9)
    code, _, err = alcli("train", "-w", workspace, *share, "--set", "train.init=scratch")
    assert code == 0
    assert "The model of cycle 2 is missing: it cannot be compared with the new one." in err


def test_weights_that_are_no_numbers_are_never_kept(alcli, workspace, photos):
    assert alcli("cycle", "-w", workspace)[0] == 0
    queue = photos.queue.read_bytes()
    photos.annotate(8)
    # Plain SGD multiplies every weight by 1 − rate · decay, here a million, in every step.
    rates = ("learning_rate=1e3", "weight_decay=1e3", "optimizer=sgd", "batch_size=1", "epochs=2", "warmup=0")
    flags = [word for rate in rates for word in ("--set", f"train.{rate}")]
    code, _, err = alcli("cycle", "-w", workspace, *flags)
    assert code == 5
    assert "Training diverged twice" in err
    assert photos.queue.read_bytes() == queue
    code, out, _ = alcli("cycle", "-w", workspace, "--json")
    assert code == 0
    assert json.loads(out)["steps"]["train"]["started_from"] == "cycle 1"
    state, _, _ = storage.read(workspace / "cycles/0002/model.safetensors")
    assert all(torch.isfinite(value).all() for value in state.values())


def test_images_on_a_disk_that_is_not_there_are_not_forgotten(alcli, workspace, photos):
    assert alcli("pull", "-w", workspace)[0] == 0
    away = photos.images.with_name("away")
    photos.images.rename(away)
    photos.images.mkdir()
    code, _, err = alcli("train", "-w", workspace)
    assert code == 6
    assert "None of 8 images can be read" in err
    photos.images.rmdir()
    away.rename(photos.images)
    code, out, _ = alcli("cycle", "-w", workspace, "--json")
    assert code == 0
    assert json.loads(out)["pool"]["quarantined"] == 0
    assert "cold_start" not in json.loads(out)["steps"]["train"]


def test_an_image_that_cannot_be_read_now_is_scored_by_the_next_run(alcli, workspace, photos):
    alcli("pull", "-w", workspace)
    alcli("train", "-w", workspace)
    hidden = photos.images / "hidden"
    (photos.images / photos.name(9)).rename(hidden)
    code, out, _ = alcli("score", "-w", workspace, "--json")
    assert (code, json.loads(out)["scored"]) == (3, 3)
    hidden.rename(photos.images / photos.name(9))
    code, out, _ = alcli("score", "-w", workspace, "--json")
    assert (code, json.loads(out)["scored"]) == (0, 4)


def test_images_lost_after_they_were_looked_at_are_reported(alcli, workspace, photos):
    alcli("pull", "-w", workspace)
    alcli("train", "-w", workspace)
    for number in range(3):
        (photos.images / photos.name(number)).unlink()
    code, out, err = alcli("train", "-w", workspace, "--epochs", 2, "--json")
    assert code == 3
    told = json.loads(out)
    assert told["trained_on"] + told["held_out"] <= 8
    assert "No such file" in err
    assert told["trained_on"] <= 7


def test_few_images_train_longer_and_the_line_says_so(alcli, workspace):
    alcli("pull", "-w", workspace)
    few = ("--set", "train.min_steps=5", "--set", "train.batch_size=4", "--validation", "0")
    code, out, err = alcli("train", "-w", workspace, *few, "-v", "--json")
    assert (code, json.loads(out)["trained_on"]) == (0, 8)
    assert "Training ssd-tiny on 8 images, 3 epochs (train.min_steps asks for 5 updates)." in err
    assert "epoch 3/3: loss" in err and "epoch 4" not in err


@pytest.mark.parametrize(
    "change", ["train.ema=0", "train.trunk_rate=0.5", "train.still_norms=never", "train.min_steps=3"]
)
def test_another_recipe_is_another_training(alcli, workspace, change):
    alcli("pull", "-w", workspace)
    assert alcli("train", "-w", workspace, "--json")[0] == 0
    assert json.loads(alcli("train", "-w", workspace, "--json")[1])["already_done"]
    assert not json.loads(alcli("train", "-w", workspace, "--set", change, "--json")[1])["already_done"]


def test_training_before_pulling_is_said(alcli, workspace):
    code, _, err = alcli("train", "-w", workspace)
    assert code == 2
    assert "Nothing has been pulled yet" in err


@pytest.mark.parametrize("flag", ["--strategy=entropie", "--set=task.name=detektion"])
def test_a_wrong_name_is_found_before_anything_is_trained(alcli, workspace, flag):
    assert alcli("cycle", "-w", workspace, flag)[0] == 2
    assert not list((workspace / "cycles").iterdir())


def test_options_reach_the_task():
    from alcli.artifacts.configured_task import make_task
    from alcli.config import Config

    config = Config(task=TaskOptions(aggregate="max"), model=ModelOptions(name="ssd-tiny", input_size=64))
    assert make_task(config, ("a",)).input_shape == (64, 64)
