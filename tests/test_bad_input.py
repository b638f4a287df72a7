"""Bad input: one clear message, its exit code, nothing lost."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from alcli.annotations import Box
from alcli.engine.training import Diverged
from alcli.system.tables import read


def quarantine(alcli, workspace) -> dict[str, str]:
    _, out, _ = alcli("list", "quarantine", "-w", workspace, "--json")
    return {row["name"]: row["reason"] for row in json.loads(out)["quarantine"]}


def test_no_annotation_at_all_is_a_cold_start_said_plainly(alcli, workspace, photos):
    for path in photos.annotations.glob("*.xml"):
        path.unlink()
    code, out, _ = alcli("cycle", "-w", workspace, "--accept-shrink")
    assert code == 0
    assert "Cycle 1: nothing to train on yet, the list is a random sample. Annotate its first images," in out
    first = read(workspace / "cycles/0001/priorities.wide.csv")
    assert len(first) == 12
    assert first[0]["strategy"] == "random"
    assert first[0]["reason"] == "first list: a random sample"
    assert [row["name"] for row in first] != sorted(row["name"] for row in first)
    assert alcli("cycle", "-w", workspace)[1].startswith("Nothing new")


def test_annotations_that_are_all_empty_stop_the_cycle(alcli, workspace, photos):
    for number in range(8):
        photos.annotate(number, [])
    code, out, err = alcli("cycle", "-w", workspace)
    assert (code, out) == (5, "")
    assert "None of the 8 annotations can be used: they are all empty." in err
    assert "name the classes in task.classes" in err
    assert not list(photos.root.rglob("queue.csv"))


def test_other_class_names_are_suggested(alcli, workspace, photos):
    code, _, err = alcli("cycle", "-w", workspace, "--set", "task.classes=Red,Green")
    assert code == 5
    assert "task.classes has Red, Green." in err
    assert "Did you mean --set task.classes=blue,green,red?" in err


def test_one_class_only_trains_and_is_mentioned(alcli, workspace, photos):
    for number in range(8):
        photos.annotate(number, [Box("cell", 5, 5, 40, 40)])
    code, _, err = alcli("cycle", "-w", workspace)
    assert code == 0
    assert "one class only (cell)" in err


def test_a_class_that_is_not_configured_quarantines_its_image_until_it_is(alcli, workspace, photos):
    photos.annotate(0, [Box("pink", 1, 1, 30, 30)])
    flags = ("-w", workspace, "--set", "task.classes=red,green,blue")
    code, _, err = alcli("cycle", *flags)
    assert code == 3
    assert "photo_00.jpg: class 'pink' is not one of red, green, blue" in err
    assert alcli("cycle", *flags)[:2] == (0, "Nothing new since cycle 1: nothing to do.\n")
    code, out, _ = alcli("cycle", "-w", workspace, "--set", "task.classes=red,green,blue,pink", "--json")
    assert code == 0
    train = json.loads(out)["steps"]["train"]
    assert train["trained_on"] + train["held_out"] == 8
    assert quarantine(alcli, workspace) == {}


@pytest.mark.parametrize(
    ("corners", "why"),
    [
        (("40", "5", "9", "30"), "swapped corners"),
        (("5", "5", "5", "30"), "zero area"),
        (("5", "5", "300", "30"), "reaches 204 pixels out of 96×80"),
        (("nan", "5", "9", "30"), "not finite"),
    ],
)
def test_a_broken_box_quarantines_its_image_and_the_rest_goes_on(alcli, workspace, photos, corners, why):
    original = photos.write_xml("photo_03", ("red", *corners)).read_bytes()
    code, out, _ = alcli("cycle", "-w", workspace, "--json")
    assert code == 3
    told = json.loads(out)
    assert [row["name"] for row in told["problems"]] == ["photo_03.jpg"]
    assert why in told["problems"][0]["reason"]
    assert told["pool"]["quarantined"] == 1
    assert told["steps"]["train"]["trained_on"] + told["steps"]["train"]["held_out"] == 7
    assert (photos.annotations / "photo_03.xml").read_bytes() == original
    code, out, _ = alcli("cycle", "-w", workspace)
    assert (code, out) == (0, "Nothing new since cycle 1: nothing to do.\n")
    photos.annotate(3)
    assert alcli("cycle", "-w", workspace)[0] == 0
    assert quarantine(alcli, workspace) == {}


def test_what_a_failed_run_left_out_is_told_by_the_next_one(alcli, workspace, photos, monkeypatch):
    photos.write_xml("photo_03", ("red", "5", "5", "5", "30"))

    def diverge(*arguments):
        raise Diverged

    with monkeypatch.context() as broken_training:
        broken_training.setattr("alcli.learners.builtin.run_epochs", diverge)
        code, _, err = alcli("cycle", "-w", workspace)
    assert code == 5
    assert "diverged twice" in err
    code, _, err = alcli("cycle", "-w", workspace)
    assert code == 3
    assert err.count("left out: photo_03.jpg: ") == 1
    assert alcli("cycle", "-w", workspace)[:2] == (0, "Nothing new since cycle 1: nothing to do.\n")


def test_xml_without_an_image_is_named(alcli, workspace, photos):
    photos.write_xml("lost")
    code, _, err = alcli("cycle", "-w", workspace)
    assert code == 3
    assert "lost.xml: annotation without an image" in err


def test_two_files_of_one_name_stay_two_items(alcli, workspace, photos):
    for place in ("a", "b"):
        (photos.images / place).mkdir()
    (photos.images / "photo_10.jpg").rename(photos.images / "a" / "x.jpg")
    (photos.images / "photo_11.jpg").rename(photos.images / "b" / "x.jpg")
    (photos.annotations / "a").mkdir()
    photos.write_xml("a/x", ("red", "1", "1", "20", "20"))
    assert alcli("cycle", "-w", workspace)[0] == 0
    names = {row["name"] for row in read(workspace / "cycles/0001/priorities.csv")}
    assert names == {"photo_08.jpg", "photo_09.jpg", "b/x.jpg"}


def broken(kind: str, path) -> None:
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 255, (80, 96, 3), dtype=np.uint8))
    if kind == "truncated":
        path.write_bytes(path.read_bytes()[:-200])
    elif kind == "zero bytes":
        path.write_bytes(b"")
    elif kind == "sixteen bits":
        Image.fromarray(np.linspace(0, 65535, 80 * 96).astype(np.uint16).reshape(80, 96)).save(path, "PNG")
    elif kind == "cmyk":
        picture.convert("CMYK").save(path, "JPEG")
    elif kind == "turned":
        exif = Image.Exif()
        exif[0x0112] = 6
        picture.save(path, "JPEG", exif=exif)


@pytest.mark.parametrize("kind", ["truncated", "zero bytes"])
@pytest.mark.parametrize("number", [3, 9])
def test_an_image_that_cannot_be_decoded_is_quarantined_and_the_run_goes_on(alcli, workspace, photos, kind, number):
    broken(kind, photos.images / photos.name(number))
    code, out, _ = alcli("cycle", "-w", workspace, "--json")
    assert code == 3
    assert list(quarantine(alcli, workspace)) == [photos.name(number)]
    assert json.loads(out)["steps"]["score"]["scored"] == (4 if number == 3 else 3)
    assert alcli("cycle", "-w", workspace)[0] == 0


@pytest.mark.parametrize("kind", ["sixteen bits", "cmyk"])
def test_unusual_images_are_used(alcli, workspace, photos, kind):
    for number in (3, 9):
        broken(kind, photos.images / photos.name(number))
    assert alcli("cycle", "-w", workspace)[0] == 0
    assert quarantine(alcli, workspace) == {}


def test_an_annotation_made_on_the_unturned_image_is_refused(alcli, workspace, photos):
    for number in (3, 9):
        broken("turned", photos.images / photos.name(number))
    code, _, err = alcli("cycle", "-w", workspace)
    assert code == 3
    assert "photo_03.jpg: the annotation is for 96×80 pixels, the upright image has 80×96 (turned by EXIF?)" in err
    assert len(read(workspace / "cycles/0001/priorities.csv")) == 4


def test_an_empty_folder_is_an_error_that_keeps_what_was_pulled(alcli, workspace, photos):
    alcli("pull", "-w", workspace)
    for path in photos.images.iterdir():
        path.unlink()
    code, _, err = alcli("cycle", "-w", workspace)
    assert code == 5
    assert "has no images" in err
    assert "What was pulled before is kept." in err
    assert "12" in alcli("status", "-w", workspace)[1] or "8 labeled" in alcli("status", "-w", workspace)[1]


def test_an_unknown_key_names_the_nearest(alcli, workspace):
    with (workspace / "alcli.toml").open("a") as stream:
        stream.write("\n[score]\nbatchsize = 4\n")
    text = (workspace / "alcli.toml").read_text().replace("[score] # One pass over the pool.\nworkers = 0\n", "", 1)
    (workspace / "alcli.toml").write_text(text)
    code, _, err = alcli("cycle", "-w", workspace)
    assert code == 2
    assert "Unknown key 'score.batchsize'. Did you mean batch_size?" in err


def test_weights_of_another_model_are_refused_before_training(alcli, workspace, tmp_path):
    from safetensors.torch import save_file
    from torchvision.models import mobilenet_v3_small

    state = {name: value.contiguous() for name, value in mobilenet_v3_small(weights=None).state_dict().items()}
    save_file(state, tmp_path / "w.safetensors")
    flags = ("--set", "model.name=ssd-mobilenet-v2", "--set", f"model.weights={tmp_path / 'w.safetensors'}")
    code, _, err = alcli("cycle", "-w", workspace, *flags)
    assert code == 5
    assert "does not fit MobileNetV2" in err
    assert "Choose the weights of this model" in err


def test_a_damaged_model_is_noticed_when_it_is_loaded(alcli, workspace):
    alcli("cycle", "-w", workspace)
    path = workspace / "cycles/0001/model.safetensors"
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
    code, _, err = alcli("score", "-w", workspace, "--strategy", "entropy")
    assert code == 12
    assert "SHA-256" in err


def test_scores_that_are_not_numbers_are_left_out_by_name(alcli, workspace, monkeypatch):
    import torch

    from alcli.models.loss_head import LossHead

    alcli("pull", "-w", workspace)
    alcli("train", "-w", workspace)
    monkeypatch.setattr(
        LossHead, "forward", lambda self, maps: torch.tensor([1.0, float("nan"), 2.0, 3.0])[: len(maps[0])]
    )
    code, out, err = alcli("score", "-w", workspace, "--strategy", "learned-loss", "--json")
    assert code == 3
    assert json.loads(out)["unscored"] == 1
    assert "photo_09.jpg: the signal predicted_loss is not finite" in err


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("cycle", "-w", "nowhere"), 10, "is not a workspace"),
        (("cycle", "--strategy", "entropie"), 2, "Did you mean entropy?"),
        (("cycle", "--set", "epochs=3"), 2, "section.key=value"),
        (("cycle", "--set", "train.epochs=none"), 2, "train.epochs"),
        (("cycle", "--set", "model.name=resnet"), 2, "Detection has no model"),
        (("score",), 2, "No training has been finished yet"),
        (("export-csv",), 2, "Nothing has been scored yet"),
        (("frobnicate",), 2, "No such command"),
        (("score", "--top", "0"), 2, "--top"),
    ],
)
def test_wrong_requests(alcli, workspace, monkeypatch, arguments, code, told):
    monkeypatch.chdir(workspace)
    assert alcli(*arguments)[0] == code
    found, out, _ = alcli(*arguments, "--json")
    assert found == code
    error = json.loads(out)
    assert error["exit_code"] == code
    assert told in error["error"]["what"] + error["error"]["do"]
    assert set(error["error"]) == {"what", "kept", "do"}


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (("--images", "gone"), "there is no"),
        ((), "needs --images"),
        (("--task", "detektion"), "Unknown task 'detektion'.\nNothing was changed.\nDid you mean detection?"),
        (("--platform", "foldr"), "Did you mean folder?"),
        (("--set", "train.epoch=3"), "Did you mean epochs?"),
    ],
)
def test_init_refuses_before_it_makes_anything(alcli, tmp_path, flags, told):
    code, _, err = alcli("init", tmp_path / "W", *flags)
    assert code == 2
    assert told in err
    assert not (tmp_path / "W").exists()


def test_an_internal_error_names_its_report(alcli, workspace, monkeypatch):
    from alcli.cycle import pull

    monkeypatch.setattr(pull, "pull", lambda *a: 1 / 0)
    code, _, err = alcli("pull", "-w", workspace)
    assert code == 1
    report = Path(err.split("its traceback is in ")[1].strip())
    assert "ZeroDivisionError" in report.read_text()
    report.unlink()


def test_a_workspace_that_a_killed_init_left_can_be_made(alcli, tmp_path, photos):
    root = tmp_path / "W"
    root.mkdir()
    (root / "alcli.db").write_bytes(b"half")
    assert alcli("init", root, "--images", photos.images, "--annotations", photos.annotations)[0] == 0
    assert alcli("status", "-w", root)[0] == 0


def test_a_pipe_as_output_stays_a_pipe(alcli, workspace, tmp_path):
    import os
    import threading

    alcli("cycle", "-w", workspace)
    os.mkfifo(tmp_path / "pipe")
    seen = []
    reader = threading.Thread(target=lambda: seen.append((tmp_path / "pipe").read_text()))
    reader.start()
    assert alcli("export-csv", "-w", workspace, "-o", tmp_path / "pipe")[0] == 0
    reader.join(10)
    assert seen[0].startswith("name,entropy_value\n")
    assert (tmp_path / "pipe").is_fifo()


def test_csv_and_json_do_not_fight_for_stdout(alcli, workspace):
    for command in ("score", "export-csv"):
        code, out, _ = alcli(command, "-w", workspace, "-o", "-", "--json")
        assert code == 2
        assert "cannot both go to stdout" in json.loads(out)["error"]["what"]


def test_a_list_with_umlauts_in_a_bare_locale(workspace, photos):
    import subprocess
    import sys

    (photos.images / photos.name(9)).rename(photos.images / "ä,=é.jpg")
    environ = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    environ["ALCLI_TRAIN_MIN_STEPS"] = "0"

    def run(*arguments):
        command = [sys.executable, "-m", "alcli", *arguments, "-w", str(workspace)]
        return subprocess.run(command, capture_output=True, env=environ, check=False)

    assert run("cycle").returncode == 0
    done = run("export-csv", "-o", "-")
    assert done.returncode == 0
    assert '"ä,=é.jpg"'.encode() in done.stdout
    assert "ä,=é.jpg".encode() in run("list", "items").stdout


def test_a_full_disk_is_a_full_disk(alcli, workspace, monkeypatch):
    import sqlite3

    from alcli.workspace.store import Store

    def full(self, *arguments):
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(Store, "replace_items", full)
    code, _, err = alcli("pull", "-w", workspace)
    assert code == 7
    assert "disk is full" in err
    assert "Finished steps are kept." in err
