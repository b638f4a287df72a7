"""The main path through the command line, on real files, with a real (tiny) model."""

from __future__ import annotations

import functools
import json
import os
import shutil

import pytest

from alcli.annotations import Box
from alcli.system.tables import read

NOISE = {"finished", "started"}


def queue(photos) -> list[str]:
    return [row["name"] for row in read(photos.queue)]


def test_from_a_folder_to_a_priority_list(alcli, workspace, photos, tmp_path):
    code, out, err = alcli("cycle", "-w", workspace, "--json")
    assert code == 0, err
    told = json.loads(out)
    assert told["schema_version"] == 1
    assert told["cycle"] == 1
    assert told["pool"] == {"labeled": 8, "unlabeled": 4, "skipped": 0, "quarantined": 0}
    assert told["steps"]["train"]["classes"] == ["blue", "green", "red"]
    assert told["steps"]["train"]["trained_on"] + told["steps"]["train"]["held_out"] == 8

    csv = tmp_path / "priorities.csv"
    assert alcli("export-csv", "-w", workspace, "-o", csv)[0] == 0
    rows = read(csv)
    assert sorted(row["name"] for row in rows) == [photos.name(number) for number in range(8, 12)]
    values = [float(row["entropy_value"]) for row in rows]
    assert values == sorted(values, reverse=True)
    assert len(set(values)) == 4
    assert queue(photos) == [row["name"] for row in rows]
    scores = [float(row["score"]) for row in read(csv.with_suffix(".wide.csv"))]
    assert scores == sorted(scores, reverse=True)
    assert csv.read_bytes() == (workspace / "cycles/0001/priorities.csv").read_bytes()


def test_nothing_new_is_said_and_changes_nothing(alcli, workspace):
    alcli("cycle", "-w", workspace)
    before = {path: path.read_bytes() for path in workspace.rglob("*.csv")}
    code, out, _ = alcli("cycle", "-w", workspace)
    assert (code, out) == (0, "Nothing new since cycle 1: nothing to do.\n")
    assert {path: path.read_bytes() for path in workspace.rglob("*.csv")} == before


def test_new_annotations_start_a_cycle_that_goes_on_from_the_last_model(alcli, workspace, photos):
    alcli("cycle", "-w", workspace)
    for number in (8, 9):
        photos.annotate(number)
    code, out, err = alcli("cycle", "-w", workspace, "--json")
    assert code == 0, err
    told = json.loads(out)
    assert told["cycle"] == 2
    assert told["steps"]["pull"]["annotations_read"] == 2
    assert told["steps"]["train"]["started_from"] == "cycle 1"
    assert told["steps"]["push"]["leaving"] == 2
    assert sorted(queue(photos)) == [photos.name(10), photos.name(11)]


def test_new_images_alone_are_scored_without_training_again(alcli, workspace, photos):
    alcli("cycle", "-w", workspace)
    shutil.copy(photos.images / photos.name(11), photos.images / "new.jpg")
    _, out, _ = alcli("cycle", "-w", workspace, "--json")
    told = json.loads(out)
    assert told["steps"]["train"]["reused_from"] == 1
    assert told["steps"]["score"]["scored"] == 5
    assert "new.jpg" in queue(photos)


def test_a_touched_annotation_is_read_again_but_nothing_else_happens(alcli, workspace, photos):
    alcli("cycle", "-w", workspace)
    os.utime(photos.annotations / "photo_00.xml", ns=(1, 1))
    _, out, _ = alcli("cycle", "-w", workspace)
    assert out.startswith("Nothing new")


def test_the_same_inputs_give_the_same_bytes(alcli, photos, tmp_path):
    outcomes = []
    for name, workers in (("A", 0), ("B", 2)):
        root = tmp_path / name
        alcli("init", root, "--images", photos.images, "--annotations", photos.annotations, "--model", "ssd-tiny",
              "--set", "train.epochs=1", "--set", f"train.workers={workers}", "--set", f"score.workers={workers}",
              "--set", "model.input_size=64", "--set", f"platform.queue={tmp_path / name}.csv")  # fmt: skip
        assert alcli("cycle", "-w", root)[0] == 0
        outcomes.append(
            [(root / f"cycles/0001/{file}").read_bytes() for file in ("model.safetensors", "priorities.csv")]
        )
    assert outcomes[0] == outcomes[1]


@pytest.mark.parametrize("stop_after", ["pull", "train", "score", "export", "push"])
def test_an_interrupted_cycle_goes_on_where_it_stopped(alcli, workspace, photos, monkeypatch, stop_after):
    from alcli import cycle as cycle_module
    from alcli.cycle import train as train_module

    real_steps = cycle_module._steps()
    done = []

    def interrupted():
        for step in real_steps:

            def run(context, number, step=step):
                if stop_after == "pull":
                    raise KeyboardInterrupt
                result = step(context, number)
                done.append(step.__name__)
                if step.__name__ == stop_after:
                    raise KeyboardInterrupt
                return result

            yield functools.wraps(step)(run)

    monkeypatch.setattr(cycle_module, "_steps", lambda: list(interrupted()))
    assert alcli("cycle", "-w", workspace)[0] == 130
    monkeypatch.undo()
    trained = []
    real_train = train_module._train
    monkeypatch.setattr(train_module, "_train", lambda *a: trained.append(1) or real_train(*a))
    code, out, err = alcli("cycle", "-w", workspace, "--json")
    assert code == 0, err
    assert json.loads(out)["cycle"] == 1
    assert len(trained) == (0 if "train" in done else 1)
    assert alcli("cycle", "-w", workspace)[1].startswith("Nothing new")


def test_an_interrupted_pass_computes_only_the_missing_parts(alcli, workspace, monkeypatch):
    from alcli.engine import inference

    alcli("train", "-w", workspace)
    assert alcli("pull", "-w", workspace)[0] == 0
    assert alcli("train", "-w", workspace)[0] == 0
    real, passed = inference.signals, []

    def stops_after_one(*arguments):
        for number, part in enumerate(real(*arguments)):
            if number:
                raise KeyboardInterrupt
            yield part

    monkeypatch.setattr(inference, "signals", stops_after_one)
    assert alcli("score", "-w", workspace, "--set", "score.shard=2")[0] == 130
    monkeypatch.setattr(inference, "signals", lambda *a: passed.append(len(a[3])) or real(*a))
    code, out, _ = alcli("score", "-w", workspace, "--set", "score.shard=2", "--json")
    assert (code, passed) == (0, [2, 8])  # the second half of the pool, then the labeled images
    assert json.loads(out)["scored"] == 4


def test_each_step_stands_alone(alcli, workspace, photos, tmp_path):
    assert alcli("pull", "-w", workspace)[0] == 0
    assert alcli("train", "-w", workspace, "--epochs", 2)[0] == 0
    code, out, _ = alcli("score", "-w", workspace, "--strategy", "entropy", "--budget", 3, "--top", 2)
    assert code == 0
    assert "The first 2 of 2 images, ranked by entropy, cycle 1" in out
    code, out, _ = alcli("export-csv", "-w", workspace, "--top", 3, "-o", "-")
    assert (code, out.count("\n"), out.splitlines()[0]) == (0, 4, "name,entropy_value")
    code, out, _ = alcli("push", "-w", workspace, "--dry-run")
    assert "Would push 4 images: 4 changes (4 new" in out
    assert not photos.queue.exists()
    assert "Pushed 4 images: 4 changes" in alcli("push", "-w", workspace)[1]
    assert "0 changes" in alcli("push", "-w", workspace)[1]
    _, out, _ = alcli("score", "-w", workspace, "-o", "-", "--strategy", "random")
    assert out.splitlines()[0] == "name,entropy_value"
    _, out, _ = alcli("status", "-w", workspace, "--json")
    assert json.loads(out)["cycles"][0]["steps_done"] == ["train", "score", "push"]


def test_items_annotated_since_the_pull_are_left_out_of_the_push(alcli, workspace, photos):
    alcli("cycle", "-w", workspace)
    photos.annotate(9)
    (photos.images / photos.name(10)).unlink()
    code, _, err = alcli("push", "-w", workspace)
    assert code == 3
    assert "photo_09.jpg: labeled since the pull" in err
    assert "photo_10.jpg: vanished from the platform since the pull" in err
    assert sorted(queue(photos)) == [photos.name(8), photos.name(11)]


def test_everything_annotated_is_no_error(alcli, workspace, photos):
    for number in range(8, 12):
        photos.annotate(number)
    code, _, err = alcli("cycle", "-w", workspace)
    assert code == 0, err
    assert (workspace / "cycles/0001/priorities.csv").read_text() == "name,entropy_value\n"


def test_a_new_class_between_cycles_keeps_what_was_learned(alcli, workspace, photos):
    alcli("cycle", "-w", workspace)
    photos.annotate(8, [Box("amber", 1, 1, 30, 30)])
    code, out, err = alcli("cycle", "-w", workspace, "--json")
    assert code == 0, err
    told = json.loads(out)["steps"]["train"]
    assert told["classes"] == ["amber", "blue", "green", "red"]
    assert told["started_from"] == "cycle 1"


def test_another_model_starts_afresh_and_says_so(alcli, workspace, photos):
    alcli("cycle", "-w", workspace)
    code, _, err = alcli(
        "cycle", "-w", workspace, "--set", "model.name=ssd-mobilenet-v2", "--set", "model.input_size=128"
    )
    assert code == 0, err
    assert "cannot be fine-tuned (model is 'ssd-tiny', expected 'ssd-mobilenet-v2'" in err


def test_a_corrected_annotation_replaces_the_old_one(alcli, workspace, photos):
    alcli("cycle", "-w", workspace)
    photos.annotate(0, [])
    _, out, _ = alcli("cycle", "-w", workspace, "--json")
    assert json.loads(out)["steps"]["pull"]["annotations_read"] == 1
    assert json.loads(out)["cycle"] == 2
    (photos.annotations / "photo_00.xml").unlink()
    _, out, _ = alcli("cycle", "-w", workspace, "--json")
    assert json.loads(out)["pool"]["unlabeled"] == 5
