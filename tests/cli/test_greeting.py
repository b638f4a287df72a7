"""What `init`, `pull` and `doctor` say that they found, and what `init` refuses."""

from __future__ import annotations

import json

import pytest

from alcli import config
from alcli.cli import _greeting

FOUND = "12 images, 8 annotated (Pascal VOC) · red 8 · blue 6 · green 6"
MODEL = "ssd-mobilenet-v2, untrained weights: usually 10 to 20 points of AP50 less, --set model.weights=imagenet"


@pytest.fixture
def init(alcli, photos, tmp_path):
    def call(*flags, images=photos.images, annotations=photos.annotations):
        return alcli("init", tmp_path / "new", "--images", images, "--annotations", annotations, *flags)

    return call


def test_init_ends_with_what_was_found(init, tmp_path):
    code, out, _ = init()
    root = tmp_path / "new"
    assert code == 0
    created = f"Created workspace {root}. Settings: {root}/alcli.toml"
    assert out.splitlines() == [created, FOUND, MODEL, f"Next: alcli cycle -w {root}"]


def test_pull_and_doctor_end_with_the_same(init, alcli, tmp_path):
    init()
    root = tmp_path / "new"
    code, out, _ = alcli("pull", "-w", root)
    assert code == 0
    assert out.splitlines() == [
        "12 new, 0 vanished, 8 annotations read.", FOUND, MODEL, f"Next: alcli cycle -w {root}"]  # fmt: skip
    assert alcli("pull", "-w", root)[1].splitlines()[1] == FOUND
    assert alcli("doctor", "-w", root)[1].splitlines()[-3:] == [FOUND, MODEL, f"Next: alcli cycle -w {root}"]
    found = json.loads(alcli("pull", "-w", root, "--json")[1])["found"]
    assert found == {"images": 12, "annotated": 8, "format": "Pascal VOC", "annotations_read": 8, "unusable": 0,
                     "classes": {"red": 8, "blue": 6, "green": 6}}  # fmt: skip
    assert alcli("pull", "-w", root, "--dry-run")[1] == (
        "12 images, 8 annotated; 0 new, 0 vanished, 0 annotations read. Nothing was changed.\n"
    )


def test_a_large_set_is_counted_as_far_as_the_time_allows(init, monkeypatch):
    monkeypatch.setattr(_greeting, "SECONDS", -1.0)
    code, out, _ = init()
    assert code == 0
    assert "8 annotated (Pascal VOC)" in out and "counted in 1 of them" in out


def test_what_cannot_be_used_is_counted(init, photos, alcli, tmp_path):
    (photos.annotations / "photo_00.xml").write_text("<annotation>")
    assert "1 cannot be used" in init()[1].splitlines()[1]
    assert "1 cannot be used" in alcli("pull", "-w", tmp_path / "new")[1].splitlines()[1]


def test_no_annotation_is_no_format(init, tmp_path):
    (tmp_path / "empty").mkdir()
    assert init(annotations=tmp_path / "empty")[1].splitlines()[1] == "12 images, 0 annotated"


def test_the_last_training_cycle_says_how_long_it_took(alcli, workspace):
    assert alcli("cycle", "-w", workspace)[0] == 0
    assert alcli("pull", "-w", workspace)[1].splitlines()[2] == (
        "ssd-tiny, untrained weights: usually 10 to 20 points of AP50 less · "
        "the last training cycle took under a minute"
    )


@pytest.mark.parametrize(
    ("wrong", "complaint", "remedy"),
    [
        ("swapped", "holds no images, but --annotations", "Swapped? --images"),
        ("video", "is a video, not a folder of images", "ffmpeg -i"),
        ("file", "is a file, not a folder of images", "Name the folder of images"),
        ("classes", "None of the classes Red, Bleu occurs in the annotations", "Did you mean --classes red,blue?"),
    ],
)
def test_init_refuses_and_leaves_nothing(init, photos, tmp_path, wrong, complaint, remedy):
    (tmp_path / "clip.mp4").write_bytes(b"")
    code, out, err = {
        "swapped": lambda: init(images=photos.annotations, annotations=photos.images),
        "video": lambda: init(images=tmp_path / "clip.mp4"),
        "file": lambda: init(images=photos.images / "photo_00.jpg"),
        "classes": lambda: init("--classes", "Red,Bleu"),
    }[wrong]()
    assert (code, out) == (2, "")
    assert complaint in err and remedy in err
    assert not (tmp_path / "new").exists()
    assert not list(tmp_path.rglob("queue.csv"))


def test_one_class_that_occurs_is_enough(init):
    assert init("--classes", "red,purple")[0] == 0


def test_the_settings_that_people_change_stand_there_as_comments(init, tmp_path):
    init("--set", "train.epochs=7")
    text = (tmp_path / "new/alcli.toml").read_text()
    assert "epochs = 7" in text and "# epochs" not in text
    for line in ('# weights = "auto"  # ', "# input_size = 320  # ", '# name = "auto"  # ', "# budget = 50  # "):
        assert line in text
    for name in ("weights", "input_size", "budget"):
        text = text.replace(f"# {name} =", f"{name} =")
    (tmp_path / "new/alcli.toml").write_text(text)
    loaded = config.load(tmp_path / "new", [], {})
    assert (loaded.model.input_size, loaded.selection.budget, loaded.train.epochs) == (320, 50, 7)


def test_the_queue_lies_in_the_workspace_and_not_among_the_labels(init, alcli, tmp_path, photos):
    flags = (
        "--set",
        "train.epochs=1",
        "--set",
        "model.input_size=64",
        "--set",
        "train.workers=0",
        "--model",
        "ssd-tiny",
    )
    assert init(*flags, "--set", "score.workers=0")[0] == 0
    assert alcli("cycle", "-w", tmp_path / "new")[0] == 0
    assert (tmp_path / "new/queue.csv").read_text().count("\n") == 5
    assert sorted(path.suffix for path in photos.annotations.iterdir()) == [".xml"] * 8


def test_here_is_said_by_its_name(alcli, photos, tmp_path, monkeypatch):
    (tmp_path / "cells").mkdir()
    monkeypatch.chdir(tmp_path / "cells")
    out = alcli("init", ".", "--images", photos.images, "--annotations", photos.annotations)[1].splitlines()
    assert (out[0], out[-1]) == ("Created workspace cells. Settings: alcli.toml", "Next: alcli cycle")


@pytest.mark.parametrize(
    ("arguments", "said", "unsaid"),
    [
        (("cyle",), "No such command 'cyle'. Did you mean cycle?", "quickstart"),
        (("frobnicate",), "No such command 'frobnicate'. `alcli help` lists all.", "Did you mean"),
        (("status", "--open"), "No such option '--open'.", "--json"),
        (("status", "--model"), "No such option '--model'.", "Did you mean"),
        (("cycle", "--buget", "3"), "Did you mean '--budget'?", "--json"),
    ],
)
def test_a_typing_error_gets_a_suggestion_and_a_distant_word_none(alcli, arguments, said, unsaid):
    code, _, err = alcli(*arguments)
    assert code == 2
    assert said in err and unsaid not in err


def test_list_and_help_alone_say_what_there_is(alcli):
    code, out, _ = alcli("list")
    assert code == 0 and "quarantine" in out and "every setting with type" in out
    names = [row["name"] for row in json.loads(alcli("list", "--json")[1])["lists"]]
    assert names[0] == "strategies" and len(names) == 12
    code, out, _ = alcli("help")
    assert code == 0 and "export-csv" in out and out.endswith("Topics: alcli help cron\n")


def test_a_missing_list_of_names_is_a_missing_file(alcli, workspace):
    alcli("pull", "-w", workspace)
    code, out, err = alcli("skip", "-w", workspace, "nolist.txt")
    assert (code, out) == (2, "")
    assert "There is no file nolist.txt." in err
    assert alcli("skip", "-w", workspace, "nophoto.jpg")[0] == 3


@pytest.mark.parametrize(("pool", "budget"), [(4, 10), (244, 24), (5000, 100)])
def test_the_default_budget_is_a_tenth_of_the_pool(pool, budget):
    assert config.SelectionOptions().budget_of(pool) == budget
    assert config.SelectionOptions(budget=3).budget_of(pool) == 3


def test_a_cycle_asks_for_the_default_budget(alcli, workspace, photos):
    photos.draw(40, annotated=8)
    text = (workspace / "alcli.toml").read_text()
    (workspace / "alcli.toml").write_text(text.replace("budget = 2\n", ""))
    code, out, _ = alcli("cycle", "-w", workspace, "--json")
    assert code == 0
    assert json.loads(out)["steps"]["score"]["asked"] == 10
    assert (workspace / "queue.csv").read_text().count(",yes") == 10
