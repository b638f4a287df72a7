"""A model that is clearly worse than the last one does not rank."""

from __future__ import annotations

import json

import pytest
from PIL import Image

from tests.support.colours import LAST, SWAPPED, label

BAD = ("--set", "train.epochs=1", "--set", "train.init=scratch", "--set", "train.learning_rate=1e-7")
EPOCHS = "train.epochs 30 → 1"


@pytest.fixture
def collapsed(alcli, colours):
    """A third cycle whose model has learned nothing; what the run printed."""
    label(colours.parent, LAST + 1, SWAPPED)
    code, out, err = alcli("cycle", "-w", colours, *BAD, "--metrics-file", colours.parent / "alcli.prom")
    assert code == 3, err
    return out, err


def test_the_earlier_model_ranks_and_everybody_is_told_why(alcli, colours, collapsed):
    out, err = collapsed
    assert "The model of cycle 3 is far below that of cycle 2 (top-1 accuracy" in err
    assert EPOCHS in err and "train.accept_worse=true" in err
    assert "model of cycle 2" in out
    wide = (colours / "cycles/0003/priorities.wide.csv").read_text()
    assert "resnet18@cycle2" in wide and "@cycle3" not in wide

    status = json.loads(alcli("status", "-w", colours, "--json")[1])
    assert (status["collapse"]["cycle"], status["collapse"]["kept"]) == (3, 2)
    assert EPOCHS in status["collapse"]["differences"]
    assert "▲ The model of cycle 3 is far below" in alcli("status", "-w", colours)[1]

    code, out, _ = alcli("health", "-w", colours, "--json")
    assert (code, json.loads(out)["healthy"]) == (3, False)
    assert "far below that of cycle 2" in alcli("health", "-w", colours)[1]

    assert "alcli_model_collapsed 1" in (colours.parent / "alcli.prom").read_text()
    metrics = json.loads((colours / "cycles/0003/metrics.json").read_text())
    assert metrics["collapse"]["kept_cycle"] == 2
    assert metrics["metrics"]["top1"] < 0.8


def test_its_point_is_outside_the_forecast(alcli, colours, collapsed):
    from alcli.curves.history import apart, curve, history
    from alcli.workspace import Workspace

    workspace = Workspace.open(colours, read_only=True)
    cycles = history(workspace)
    workspace.close()
    assert [cycle.number for cycle in curve(cycles)] == [1, 2]
    assert [cycle.number for cycle in apart(cycles)] == [3]
    assert "1 cycle with other settings does not count." in alcli("forecast", "-w", colours)[1]


def test_the_next_training_goes_on_from_the_model_that_ranked(alcli, colours, collapsed):
    label(colours.parent, LAST + 2, SWAPPED)
    code, out, err = alcli("cycle", "-w", colours, "--json")
    assert code == 0, err
    steps = json.loads(out)["steps"]
    assert steps["train"]["started_from"] == "cycle 2"
    assert "collapse" not in steps["score"]
    assert alcli("health", "-w", colours)[0] == 0


def test_whoever_accepts_the_worse_model_gets_its_list(alcli, colours, collapsed):
    code, out, err = alcli("cycle", "-w", colours, *BAD, "--accept-worse", "--json")
    assert code == 0, err
    steps = json.loads(out)["steps"]
    assert (steps["train"]["reused_from"], steps["score"]["model_cycle"]) == (3, 4)
    assert "collapse" not in steps["score"]
    assert alcli("health", "-w", colours)[0] == 0
    assert json.loads(alcli("status", "-w", colours, "--json")[1])["collapse"] is None


def test_a_model_with_the_same_settings_is_held_back_as_well(alcli, colours, collapsed):
    """A second night with the same bad settings compares with the model that ranked, not with the collapsed one."""
    label(colours.parent, LAST + 2, SWAPPED)
    code, out, _ = alcli("cycle", "-w", colours, *BAD, "--json")
    assert code == 3
    assert json.loads(out)["steps"]["score"]["collapse"]["kept"] == 2


@pytest.fixture
def predicted(alcli, tmp_path):
    """Run cycles on predictions that are right on all but some images: ``code, out, err = predicted(wrong)``."""
    names = [f"img_{number:03}.png" for number in range(125)]
    (tmp_path / "images").mkdir()
    for number, name in enumerate(names):
        Image.new("RGB", (8, 8), (number, 2 * number, 99)).save(tmp_path / "images" / name)
    truth = {name: ("cat", "dog")[number % 2] for number, name in enumerate(names)}
    lines = [f"{name},{truth[name]}" for name in names[:120]]
    (tmp_path / "labels.csv").write_text("\n".join(["name,label", *lines, ""]))
    write_predictions(tmp_path / "p.jsonl", truth, ())
    code, _, err = alcli(
        "init", tmp_path / "G", "--task", "classification", "--images", tmp_path / "images", "--annotations",
        tmp_path / "labels.csv", "--learner", "predictions", "--predictions", tmp_path / "p.jsonl", "--budget", 2,
        "--set", "train.validation=0.25", "--set", "strategy.name=entropy",
    )  # fmt: skip
    assert code == 0, err

    def run(wrong, *flags):
        write_predictions(tmp_path / "p.jsonl", truth, wrong)
        return alcli("cycle", "-w", tmp_path / "G", "--json", *flags)

    run.root = tmp_path / "G"
    return run


def write_predictions(path, truth, wrong):
    def line(name):
        right = 0.9 if name not in wrong else 0.1
        other = {"cat": "dog", "dog": "cat"}[truth[name]]
        return json.dumps({"name": name, "probabilities": {truth[name]: right, other: round(1 - right, 3)}})

    path.write_text("".join(line(name) + "\n" for name in truth))


def test_a_loss_on_the_same_images_is_noticed_although_the_intervals_overlap(alcli, predicted):
    assert predicted(())[0] == 0
    held_out = json.loads(alcli("list", "held-out", "-w", predicted.root, "--json")[1])["held_out"]
    images = [each["name"] for each in held_out]
    hard, lost = set(images[:8]), set(images[8:16])
    assert 25 <= len(images) <= 40

    # Better where the last model was wrong, and worse elsewhere: nobody can tell.
    assert predicted(hard)[0] == 3, "the first loss is so large that the intervals do not overlap"
    code, out, err = predicted(hard, "--set", "train.accept_worse=true")
    assert code == 0, err
    code, out, err = predicted(lost)
    assert code == 0 and "collapse" not in json.loads(out)["steps"]["score"], err

    code, out, err = predicted(lost | hard)
    assert code == 3, err
    collapse = json.loads(out)["steps"]["score"]["collapse"]
    assert collapse["measurement"]["interval"][1] > collapse["before"]["interval"][0]
    pair = collapse["same_images"]
    assert pair["images"] == len(images) and pair["p"] <= 0.005
    assert pair["before"] - pair["new"] == pytest.approx(8 / len(images))
    assert f"on the same {len(images)} held-out images), so the list was made by the model of cycle" in err
    assert "clearly below that of cycle" in alcli("status", "-w", predicted.root)[1]
