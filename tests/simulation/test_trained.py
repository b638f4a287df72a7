"""The whole of `alcli simulate` with a network that trains: equal starts, resumed runs, several processes."""

from __future__ import annotations

import errno
import json
import re
import shutil

import pandas as pd
import pytest

from alcli import cli
from alcli.annotations import Annotation
from alcli.engine import inference
from alcli.items import Item
from alcli.platforms.oracle import Oracle
from alcli.simulation import replay as simulate
from alcli.simulation import runs
from alcli.simulation import trained as trained_runs
from alcli.simulation.labels import Labels
from alcli.simulation.plan import Arm, Plan
from alcli.simulation.runs import Job
from alcli.simulation.trained import prepare_answers, remove_finished
from alcli.tasks import Example
from alcli.workspace.records import Training
from tests.support.scenes import Photos
from tests.support.trunks import write_trunk

SIZES = ("--start", "4", "--budget", "3", "--cycles", "2", "--test", "0.45", "--seeds", "2")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A workspace with 30 annotated images and a network of a few thousand weights, and what its simulation printed."""
    root = tmp_path_factory.mktemp("simulation")
    photos = Photos(root / "project").draw(30, annotated=30)
    workspace = root / "W"
    settings = ("train.epochs=1", "train.workers=0", "score.workers=0", "model.input_size=64", "train.batch_size=4")
    options = ["--images", photos.images, "--annotations", photos.annotations, "--model", "ssd-tiny", "-q"]
    options += [part for setting in settings for part in ("--set", setting)]
    for arguments in (["init", workspace, *options], ["pull", "-w", workspace, "-q"]):
        assert cli.run([str(argument) for argument in arguments]) == 0
    shutil.copytree(workspace, root / "pulled")
    with pytest.MonkeyPatch.context() as patch:
        one_thread(patch)
        assert cli.run(command(workspace, "--jobs", "1", "-q")) == 0
    return root


def one_thread(patch):
    """Another number of threads gives other last digits: what is compared here runs with one, whatever the machine."""
    patch.setattr("alcli.simulation.replay.threads_for", lambda processes: 1)


def command(workspace, *more):
    return ["simulate", "-w", str(workspace), *SIZES, "--strategies", "entropy", *more]


@pytest.fixture
def fresh(made, tmp_path, monkeypatch):
    """The same workspace before anything was simulated."""
    one_thread(monkeypatch)
    shutil.copytree(made / "pulled", tmp_path / "W")
    return tmp_path / "W"


def curves_of(workspace):
    return (workspace / "simulations/0001/curves.csv").read_bytes()


def test_every_arm_starts_equal_asks_for_the_budget_and_leaves_its_curves(made):
    folder = made / "W/simulations/0001"
    curves = pd.read_csv(folder / "curves.csv")
    assert list(curves["arm"].unique()) == ["random", "entropy"]
    for _, run in curves.groupby(["arm", "seed"]):
        assert run["labels"].tolist() == [4, 7, 10]
        assert run["cost"].is_monotonic_increasing
        assert run["cost"].iloc[0] >= 4
    starts = curves[curves["cycle"] == 0]
    assert starts.groupby("seed")["map"].nunique().tolist() == [1, 1]
    assert (folder / "curves.png").read_bytes().startswith(b"\x89PNG")
    page = (folder / "curves.html").read_text()
    assert "<svg" in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert not list((folder / "workspaces").iterdir())


@pytest.fixture
def trained(monkeypatch):
    """The trainings of all runs, in their order, and the sides of their images: [(summary, {pixels: side})]."""
    trained = []

    def note(context, number):
        trained.append((context.workspace.step(number, Training).summary, context.workspace.store.sides()))
        forget(context, number)

    forget = trained_runs._forget_models
    monkeypatch.setattr(trained_runs, "_forget_models", note)
    return trained


def test_a_run_holds_out_what_the_workspaces_own_cycles_would(made, fresh, alcli, trained):
    code, _, err = alcli(*command(fresh, "--jobs", 1, "--seeds", 1, "--start", 10, "--set", "train.validation=0.5"))
    assert code == 0, err
    assert [each.held_out + each.trained_on for each, _ in trained] == [10, 13, 16] * 2
    assert all(3 <= each.held_out <= 10 for each, _ in trained)


def test_all_arms_hold_out_the_same_images_whether_or_not_their_strategy_looks_at_the_pool(
    made, fresh, alcli, trained, tmp_path
):
    write_trunk(tmp_path / "weights.safetensors")
    settings = ["model.name=ssd-mobilenet-v2", f"model.weights={tmp_path / 'weights.safetensors'}"]
    settings += ["train.validation=0.5", "train.group_distance=0.9", "train.min_steps=0"]
    options = [part for setting in settings for part in ("--set", setting)]
    last = sorted(path.name for path in made.glob("project/**/*.jpg"))[-12:]
    (tmp_path / "test.txt").write_text("\n".join(last))
    sizes = ["--jobs", 1, "--seeds", 1, "--start", 10, "--cycles", 1, "--test", tmp_path / "test.txt"]
    code, _, err = alcli(*command(fresh, *sizes, *options))
    assert code == 0, err
    (random, alone), _, (entropy, connected), _ = trained
    assert alone == connected
    assert (random.trained_on, random.held_out) == (entropy.trained_on, entropy.held_out)
    assert len(set(connected.values())) < 10, "no two images were near each other"


def test_a_run_asks_for_each_image_once(made):
    for file in (made / "W/simulations/0001/runs").iterdir():
        points = json.loads(file.read_text())
        asked = [name for point in points for name in point["asked"]]
        assert len(asked) == len(set(asked)) == 6
        assert points[-1]["asked"] == []


def test_finished_runs_are_not_run_again_and_more_arms_join(made, alcli):
    workspace = made / "W"
    threads = json.loads((workspace / "simulations/0001/plan.json").read_text())["threads"]
    before = {file: file.stat().st_mtime_ns for file in (workspace / "simulations/0001/runs").iterdir()}
    code, out, _ = alcli(*command(workspace, "--strategies", "margin@plain", "--json", "--jobs", 64))
    document = json.loads(out)
    assert code == 0
    assert [row["arm"] for row in document["arms"]] == ["random", "entropy", "margin@plain"]
    assert document["unit"] == "boxes"
    assert json.loads((workspace / "simulations/0001/plan.json").read_text())["threads"] == threads
    assert all(file.stat().st_mtime_ns == when for file, when in before.items())
    assert [path.name for path in (workspace / "simulations").iterdir()] == ["0001"]


def test_an_interrupted_simulation_ends_as_an_undisturbed_one(made, fresh, alcli, monkeypatch):
    real = runs._run
    seen = []

    def stopping(engine, job):
        for point in real(engine, job):
            seen.append(point)
            if len(seen) in (2, 6):
                raise KeyboardInterrupt
            yield point

    monkeypatch.setattr(runs, "_run", stopping)
    for _ in range(2):
        assert alcli(*command(fresh, "--jobs", 1))[0] == 130
    monkeypatch.undo()
    assert alcli(*command(fresh, "--jobs", 1))[0] == 0
    arms = pd.read_csv(made / "W/simulations/0001/curves.csv")["arm"].unique().tolist()
    text = curves_of(made / "W").decode().splitlines()
    kept = [line for line in text if arms[2:] == [] or not line.startswith(arms[2])]
    assert curves_of(fresh).decode().splitlines() == kept


def test_a_run_whose_points_or_workspace_are_gone_comes_to_the_same(made, fresh, alcli, monkeypatch):
    """Each run starts from its own earlier models, and from no others."""
    real, seen = runs._run, []

    def stopping(engine, job):
        for point in real(engine, job):
            seen.append(point)
            if len(seen) == 2:
                raise KeyboardInterrupt
            yield point

    only = [*command(fresh), "--strategies", "random", "--seeds", "1", "--jobs", "1"]
    for lost in ("runs", "workspaces"):
        seen.clear()
        with monkeypatch.context() as patch:
            patch.setattr(runs, "_run", stopping)
            assert alcli(*only)[0] == 130
        shutil.rmtree(fresh / "simulations/0001" / lost)
        assert alcli(*only)[0] == 0
        again = json.loads((fresh / "simulations/0001/runs/random-seed000.json").read_text())
        assert again == json.loads((made / "W/simulations/0001/runs/random-seed000.json").read_text())
        shutil.rmtree(fresh / "simulations")


def test_the_workspace_of_a_run_that_was_killed_at_its_very_end_goes(tmp_path):
    done, open_ = (Job(tmp_path, Arm("random"), seed, Plan(4, 2, 0)) for seed in (0, 1))
    for job in (done, open_):
        (tmp_path / f"workspaces/random-seed00{job.seed}").mkdir(parents=True)
    done.file.parent.mkdir()
    done.file.write_text(json.dumps([{"cycle": 0, "labels": 4, "cost": 4, "metrics": {"map": 0.5}}]))
    remove_finished([done, open_])
    assert [path.name for path in (tmp_path / "workspaces").iterdir()] == ["random-seed001"]


def test_images_that_have_moved_are_found(tmp_path):
    item, answer = Item("a", "a", "u"), Annotation("a", labels=("x",))
    for folder in (tmp_path / "before", tmp_path / "after"):
        prepare_answers(tmp_path, Labels([Example(item, folder / "a.png", answer, (9, 9))], [], ("x",), "labels"))
    oracle = Oracle(Oracle.Options(annotations=tmp_path / "answers.jsonl", queue=tmp_path / "q.csv"), tmp_path)
    assert [oracle.image(shown) for shown in oracle.items()] == [tmp_path / "after/a.png"]


def test_a_test_image_that_cannot_be_loaded_is_named(made, fresh, alcli, monkeypatch):
    real = inference.predictions
    monkeypatch.setattr(inference, "predictions", lambda *given: list(real(*given))[1:])
    code, _, err = alcli(*command(fresh, "--jobs", 1))
    assert code == 5
    assert re.search(r"alcli: photo_\d\d\.jpg: the image cannot be loaded", err)


def test_a_disk_that_is_full_is_the_machines_fault(fresh, alcli, monkeypatch):
    def full(simulation, results):
        raise OSError(errno.EDQUOT, "Disk quota exceeded", "curves.csv")

    monkeypatch.setattr(simulate, "write", full)
    code, _, err = alcli(*command(fresh, "--strategies", "random", "--seeds", 1, "--jobs", 1))
    assert code == 7
    assert "curves.csv: Disk quota exceeded" in err
    assert "Finished steps are kept" in err


def test_a_plan_that_cannot_be_read_is_named(fresh, alcli):
    (fresh / "simulations/0001").mkdir(parents=True)
    (fresh / "simulations/0001/plan.json").write_text('{"key')
    code, _, err = alcli(*command(fresh))
    assert code == 12
    assert "simulations/0001/plan.json was not written by a simulation" in err


def test_a_workspace_named_by_a_relative_path_comes_to_the_same(made, fresh, alcli, monkeypatch):
    monkeypatch.chdir(fresh.parent)
    code, _, err = alcli(*command("W", "--jobs", 1))
    assert code == 0, err
    for file in (fresh / "simulations/0001/runs").iterdir():
        assert file.read_bytes() == (made / "W/simulations/0001/runs" / file.name).read_bytes()


def test_several_processes_come_to_the_same(made, fresh, alcli):
    code, _, err = alcli(*command(fresh, "--jobs", 2))
    assert code == 0, err
    alone = pd.read_csv(made / "W/simulations/0001/curves.csv")
    together = pd.read_csv(fresh / "simulations/0001/curves.csv")
    alone = alone[alone["arm"] != "margin@plain"]
    pd.testing.assert_frame_equal(together, alone.reset_index(drop=True))


def test_too_few_labels_say_how_many_are_needed(alcli, fresh):
    code, out, err = alcli("simulate", "-w", fresh, "--start", 20, "--budget", 30, "--cycles", 4)
    assert code == 5
    assert "20 to start with and 4 cycles of 30 need 140" in err
    assert out == ""


def test_it_pulls_by_itself_and_says_what_is_missing(alcli, tmp_path):
    folders = tmp_path / "images", tmp_path / "labels"
    for folder in folders:
        folder.mkdir()
    assert alcli("init", tmp_path / "W", "--images", folders[0], "--annotations", folders[1], "-q")[0] == 0
    code, _, err = alcli("simulate", "-w", tmp_path / "W")
    assert code == 5
    assert "The platform has no images." in err


def test_unknown_strategies_and_missing_signals_are_named_before_anything_runs(alcli, fresh):
    code, _, err = alcli("simulate", "-w", fresh, "--strategies", "margn")
    assert code == 2
    assert "Did you mean margin" in err
    assert not (fresh / "simulations").exists()


def test_frozen_features_need_weights_that_were_trained(alcli, fresh):
    code, _, err = alcli("simulate", "-w", fresh, "--frozen", *SIZES)
    assert code == 2
    assert "random weights" in err
