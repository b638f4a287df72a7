from __future__ import annotations

import json

import numpy as np
import pytest
import torchvision
from PIL import Image
from safetensors.torch import save_file

from alcli.system.tables import read


def test_images_known_to_be_broken_are_not_asked_for_at_random(alcli, workspace, photos):
    for number in (9, 10):
        (photos.images / photos.name(number)).write_bytes(b"")
    assert alcli("cycle", "-w", workspace)[0] == 3
    code, out, _ = alcli("score", "-w", workspace, "--strategy", "random", "--json")
    assert (code, json.loads(out)["scored"]) == (0, 2)
    assert alcli("push", "-w", workspace)[0] == 0
    assert {row["name"] for row in read(photos.queue)} == {photos.name(8), photos.name(11)}


def test_a_try_with_another_strategy_is_undone_by_the_next_cycle(alcli, workspace, photos):
    alcli("cycle", "-w", workspace)
    before = photos.queue.read_bytes()
    alcli("score", "-w", workspace, "--strategy", "entropy")
    alcli("push", "-w", workspace)
    code, out, err = alcli("cycle", "-w", workspace, "--json")
    assert code == 0
    assert "making it again" in err
    assert json.loads(out)["cycle"] == 1
    assert photos.queue.read_bytes() == before
    assert alcli("cycle", "-w", workspace)[1].startswith("Nothing new")


def test_a_list_that_is_gone_is_made_again(alcli, workspace):
    alcli("cycle", "-w", workspace)
    expected = (workspace / "cycles/0001/scores.csv").read_bytes()
    (workspace / "cycles/0001/scores.csv").unlink()
    assert alcli("cycle", "-w", workspace)[0] == 0
    assert (workspace / "cycles/0001/scores.csv").read_bytes() == expected


def test_a_kill_between_a_file_and_its_row_is_healed_by_the_next_cycle(alcli, workspace, monkeypatch):
    from alcli.workspace import Workspace

    alcli("cycle", "-w", workspace)
    real = Workspace.finish_step

    def killed(self, cycle, inputs, summary, *rest):
        if summary.step == "score":
            raise KeyboardInterrupt
        return real(self, cycle, inputs, summary, *rest)

    monkeypatch.setattr(Workspace, "finish_step", killed)
    assert alcli("score", "-w", workspace, "--strategy", "random")[0] == 130
    monkeypatch.undo()
    code, _, err = alcli("export-csv", "-w", workspace, "-o", "-")
    assert code == 2
    assert "Nothing has been scored yet" in err
    assert alcli("cycle", "-w", workspace)[0] == 0
    assert alcli("export-csv", "-w", workspace, "-o", "-")[0] == 0


def test_more_workers_are_nothing_new(alcli, workspace):
    alcli("cycle", "-w", workspace)
    assert alcli("cycle", "-w", workspace, "--set", "score.workers=1")[1].startswith("Nothing new")


def test_a_share_of_autos_list_is_a_random_control_that_says_so(alcli, workspace):
    code, _, err = alcli("cycle", "-w", workspace, "--set", "strategy.random_share=0.5", "--set", "selection.budget=4")
    assert code == 0, err
    rows = read(workspace / "cycles/0001/priorities.wide.csv")
    control = [row for row in rows if row["reason"] == "drawn at random, to measure the gain"]
    assert len(control) == 2
    assert all(row["asked"] == "yes" and row["strategy"] == "auto" for row in control)
    assert [row["rank"] for row in rows] == ["1", "2", "3", "4"]
    assert alcli("cycle", "-w", workspace, "--set", "strategy.random_share=0.5", "--set", "selection.budget=4")[
        1
    ].startswith("Nothing new")


def test_without_annotations_pretrained_features_choose_typical_images(alcli, tmp_path):
    rng = np.random.default_rng(0)
    (tmp_path / "images").mkdir()
    for number in range(24):
        pixels = rng.integers(0, 60, (40, 40, 3), dtype=np.uint8)
        pixels[..., number % 3] += 150
        Image.fromarray(pixels).save(tmp_path / f"images/{number:02}.png")
    (tmp_path / "labels.csv").write_text("name,label\n")
    save_file(torchvision.models.mobilenet_v3_small().state_dict(), tmp_path / "weights.safetensors")
    code, _, err = alcli(
        "init", tmp_path / "W", "--task", "classification", "--images", tmp_path / "images", "--annotations",
        tmp_path / "labels.csv", "--weights", tmp_path / "weights.safetensors", "--budget", 3,
        "--set", "model.input_size=64", "--set", "score.workers=0",
    )  # fmt: skip
    assert code == 0, err
    code, out, err = alcli("cycle", "-w", tmp_path / "W")
    assert code == 0, err
    assert "the list is typical images, one of each kind." in out
    rows = read(tmp_path / "W/cycles/0001/priorities.wide.csv")
    assert len(rows) == 24
    assert {row["strategy"] for row in rows} == {"facility-location"}
    assert {row["reason"] for row in rows} == {"first list: typical images, one of each kind"}
    # Three colours, three images asked for: one of each.
    assert len({int(row["name"][:2]) % 3 for row in rows if row["asked"] == "yes"}) == 3
    assert alcli("cycle", "-w", tmp_path / "W")[1].startswith("Nothing new")
    assert alcli("cycle", "-w", tmp_path / "W", "--set", "strategy.cold_start=random")[0] == 0
    assert read(tmp_path / "W/cycles/0002/priorities.wide.csv")[0]["strategy"] == "random"


def test_near_duplicates_are_put_off_and_counted(alcli, workspace, photos):
    # One pixel apart, so that no hash would find them.
    for number in (9, 10):
        copy = Image.open(photos.images / photos.name(8))
        copy.putpixel((number, 0), (0, 0, 0))
        copy.save(photos.images / photos.name(number), quality=95)
    flags = ("--set", "selection.min_distance=0.15", "--set", "strategy.random_share=0", "--strategy", "margin")
    code, out, err = alcli("cycle", "-w", workspace, "--json", "--budget", 3, *flags)
    assert code == 0, err
    rows = read(workspace / "cycles/0001/priorities.wide.csv")
    asked = {row["name"] for row in rows if row["asked"] == "yes"}
    copies = {photos.name(number) for number in (8, 9, 10)}
    assert len(asked) == 2
    assert len(asked & copies) == 1
    told = json.loads(out)["steps"]["score"]
    assert (told["asked"], told["put_off"]) == (2, 2)
    put_off = [row["reason"] for row in rows if row["reason"].startswith("near-duplicate")]
    assert put_off and all(any(name in reason for name in asked) for reason in put_off)
    assert "near-duplicates moved below the budget" in err


def test_a_group_gives_no_more_than_its_share(alcli, workspace, photos):
    alcli("cycle", "-w", workspace, "--set", "selection.per_group=1", "--set", "strategy.random_share=0")
    rows = read(workspace / "cycles/0001/priorities.wide.csv")
    assert [row["asked"] for row in rows] == ["yes", "no", "no", "no"]
    assert all(row["reason"] == "group photo_ has its 1" for row in rows[1:])


@pytest.mark.parametrize(
    "arguments", [("cycle",), ("cycle", "--strategy", "random"), ("score", "--strategy", "random")]
)
@pytest.mark.parametrize("annotated", [True, False])
def test_no_image_is_asked_for_that_cannot_be_decoded(alcli, workspace, photos, arguments, annotated):
    if not annotated:
        for path in photos.annotations.glob("*.xml"):
            path.unlink()
    alcli("pull", "-w", workspace, "--accept-shrink")
    if arguments[0] == "score":
        alcli("train", "-w", workspace)
    broken = {photos.name(number) for number in (8, 9)}
    for name in broken:
        (photos.images / name).write_bytes(b"")
    alcli("pull", "-w", workspace)
    # The whole pool is asked for, so that the broken ones must be among it.
    code, _, err = alcli(*arguments, "-w", workspace, "--budget", 12)
    assert code == 3, err
    assert all(f"{name}: empty file" in err or "and 1 more: empty file" in err for name in broken)
    rows = read(max(workspace.glob("cycles/*/scores.csv")))
    assert len(rows) == (2 if annotated else 10)
    assert not broken & {row["name"] for row in rows}
    # What is known to be broken stays away, and is not reported again.
    code, _, err = alcli(*arguments, "-w", workspace, "--budget", 11)
    assert code == 0, err
    assert not broken & {row["name"] for row in read(max(workspace.glob("cycles/*/scores.csv")))}


def test_others_take_the_place_of_broken_images(alcli, workspace, photos):
    for number in (8, 9, 10):
        (photos.images / photos.name(number)).write_bytes(b"")
    _, out, _ = alcli("cycle", "-w", workspace, "--strategy", "random", "--budget", 1, "--json")
    assert json.loads(out)["steps"]["score"]["asked"] == 1
    asked = [row["name"] for row in read(photos.queue) if row["asked"] == "yes"]
    assert asked == [photos.name(11)]


def test_a_list_by_lot_is_made_again_when_the_pool_has_grown(alcli, workspace, photos):
    options = ("--strategy", "random", "--set", "selection.budget=2")
    alcli("cycle", "-w", workspace, *options)
    assert json.loads(alcli("score", "-w", workspace, *options, "--json")[1])["scored"] == 4
    photos.draw(20, 0)
    assert alcli("pull", "-w", workspace)[0] == 0
    code, out, _ = alcli("score", "-w", workspace, *options, "--json")
    assert (code, json.loads(out)["scored"]) == (0, 12)
    assert {row["name"] for row in read(workspace / "cycles/0001/scores.csv")} >= {photos.name(19)}
