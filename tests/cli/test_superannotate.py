"""The whole line for a SuperAnnotate team: the command, the real SDK, a local service."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from alcli import cli
from alcli.system import tables
from alcli.workspace import Workspace
from alcli.workspace.records import Scored
from tests.support.scenes import COLOURS, scene
from tests.support.superannotate_server import TOKEN, Fault, Server

SMALL = (
    "--model", "ssd-tiny", "--budget", "4", "--set", "train.epochs=1", "--set", "train.workers=0",
    "--set", "score.workers=0", "--set", "model.input_size=64", "--set", "train.batch_size=4",
    "--set", "platform.backoff=0.001", "--set", "platform.timeout=5",
)  # fmt: skip


def photographed(server: Server, number: int, folder: str, annotated: bool) -> int:
    """One scene behind an item's address, with what an annotator said about it."""
    picture, boxes = scene(number)
    item_id = server.add(f"photo_{number:02d}.jpg", folder)
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=95)
    server.images[f"{item_id}.jpg"] = stream.getvalue()
    if annotated:
        instances = [
            {"type": "bbox", "className": box.label, "points": {"x1": box.x1, "y1": box.y1, "x2": box.x2, "y2": box.y2}}
            for box in boxes
        ]
        server.annotate(item_id, instances, width=picture.width, height=picture.height)
    return item_id


def project() -> Server:
    """A project of twelve photographs in two folders, six of them annotated; always the same."""
    made = Server()
    made.classes = sorted(COLOURS)
    for number in range(12):
        photographed(made, number, "ab"[number % 2], annotated=number < 6)
    return made


@pytest.fixture
def server(monkeypatch, tmp_path):
    """The project, served; the environment points to it."""
    with project() as running:
        monkeypatch.setenv("SA_TOKEN", TOKEN)
        monkeypatch.setenv("SA_URL", running.url)
        monkeypatch.setenv("HOME", str(tmp_path / "home"))
        yield running


@pytest.fixture(scope="module")
def first_cycle(tmp_path_factory) -> tuple[Path, dict[int, float | None]]:
    """A workspace whose first cycle has run, and the priorities that it has set."""
    root = tmp_path_factory.mktemp("first") / "W"
    with project() as running, pytest.MonkeyPatch.context() as environment:
        environment.setenv("SA_TOKEN", TOKEN)
        environment.setenv("SA_URL", running.url)
        flags = ("--platform", "superannotate", "--project", "Cells/*", *SMALL)
        assert cli.run(["init", str(root), *flags]) == 0
        assert cli.run(["cycle", "-w", str(root)]) == 0
        return root, {item_id: item["entropy_value"] for item_id, item in running.items.items()}


@pytest.fixture
def team(server, first_cycle, tmp_path) -> Path:
    """A copy of that workspace before a server in the same state."""
    root, priorities_set = first_cycle
    for item_id, value in priorities_set.items():
        server.items[item_id]["entropy_value"] = value
    return Path(shutil.copytree(root, tmp_path / "W"))


def names(root: Path, cycle: int = 1) -> list[str]:
    return [row["name"] for row in tables.read(root / "cycles" / f"{cycle:04d}" / "priorities.csv")]


def test_init_and_cycle_fill_the_queue_and_a_second_run_changes_nothing(server, tmp_path):
    root = tmp_path / "W"
    outputs = []

    def alcli(*arguments: object) -> subprocess.CompletedProcess:
        command = [sys.executable, "-m", "alcli", *map(str, arguments)]
        assert TOKEN not in " ".join(command)
        done = subprocess.run(command, capture_output=True, text=True, env=dict(os.environ), timeout=300)
        outputs.extend([done.stdout, done.stderr])
        return done

    done = alcli("init", root, "--platform", "superannotate", "--project", "Cells/*", "--task", "detection", *SMALL)
    assert done.returncode == 0, done.stderr
    done = alcli("cycle", "-w", root, "--json")
    assert done.returncode == 0, done.stderr
    steps = json.loads(done.stdout)["steps"]
    assert (steps["pull"]["items"], steps["pull"]["annotations_read"], steps["push"]["new"]) == (12, 6, 6)
    assert server.queue() == names(root) and len(names(root)) == 6
    before = server.state()
    done = alcli("cycle", "-w", root)
    assert done.returncode == 0 and "Nothing new since cycle 1" in done.stdout
    assert server.state() == before
    kept = b"".join(path.read_bytes() for path in root.rglob("*") if path.is_file())
    assert TOKEN.encode() not in kept and TOKEN not in "".join(outputs)
    assert not (tmp_path / "home").exists() and (root / "logs" / "sa.log").is_file()


def test_a_second_push_changes_nothing_and_new_labels_start_a_new_cycle(server, team, alcli):
    code, out, _ = alcli("push", "-w", team, "--json")
    assert (code, json.loads(out)["changes"]) == (0, 0)
    labeled = next(item_id for item_id, item in server.items.items() if item["name"] == names(team)[0])
    server.annotate(labeled, [])
    code, out, _ = alcli("cycle", "-w", team, "--json")
    assert code == 0 and json.loads(out)["cycle"] == 2
    assert server.queue() == names(team, 2) and len(names(team, 2)) == 5


def test_the_dry_run_names_what_became_of_the_list(server, team, alcli):
    by_name = {item["name"]: item_id for item_id, item in server.items.items()}
    first, second, third, *_ = (by_name[name] for name in names(team))
    server.annotate(first, [])
    server.items[second]["assignments"] = [{"user_id": "ann@x.io", "user_role": 1}]
    del server.items[third]
    before = server.state()
    code, out, _ = alcli("push", "-w", team, "--dry-run", "--json")
    found = json.loads(out)
    assert code == 0 and server.state() == before
    assert [found[key] for key in ("queued", "already_labeled", "assigned", "vanished")] == [3, 1, 1, 1]
    code, out, _ = alcli("push", "-w", team)
    assert code == 3 and "3 left out: 1 already labeled, 1 assigned, 1 vanished" in out
    assert server.queue() == names(team)[3:]


def test_an_order_that_the_platform_lost_is_told_with_exit_3_and_mended_later(server, team, alcli):
    server.decimals = 0
    for item in server.items.values():
        item["entropy_value"] = None
    code, _, err = alcli("push", "-w", team)
    assert code == 3 and "instead of" in err and "photo_" in err
    server.decimals = None
    assert alcli("push", "-w", team)[0] == 0
    assert server.queue() == names(team)


def test_restore_puts_the_queue_back_that_was_there(server, team, alcli):
    wanted = names(team)
    by_name = {item["name"]: item for item in server.items.values()}
    for rank, name in enumerate(reversed(wanted)):
        by_name[name]["entropy_value"] = 100.0 - rank
    assert alcli("push", "-w", team)[0] == 0
    assert server.queue() == wanted
    code, out, _ = alcli("push", "-w", team, "--restore")
    assert code == 0 and out.startswith("Restored 6 images")
    assert server.queue() == list(reversed(wanted))
    assert alcli("push", "-w", team, "--restore", "--top", "2")[0] == 2


def test_annotations_to_look_at_again_wait_in_a_subset_of_their_own(server, team, alcli):
    """SuperAnnotate's queue holds what nobody has annotated; a model's pre-labels never reach a person's work."""
    wanted = names(team)
    done = next(item for item in server.items.values() if item["name"] not in wanted)
    ask_again(team, done)
    code, out, _ = alcli("push", "-w", team, "--prelabels", "--set", "platform.prelabel_score=0", "--json")
    assert (code, json.loads(out)["rechecks"]) == (0, 1)
    assert server.subsets == {"alcli: re-check": {done["id"]}}
    assert server.queue() == wanted
    assert done["name"] not in server.uploaded
    assert done["entropy_value"] is None


def ask_again(team: Path, done: dict) -> None:
    """Put an annotated item at the head of the list that the score step has left."""
    workspace = Workspace.open(team)
    record = workspace.step(1, Scored)
    with record.file.open("r", newline="") as stream:
        lines = list(csv.reader(stream))
    told = {"rank": "1", "id": str(done["id"]), "name": done["name"], "score": "4.5", "score_percentile": "100.00"}
    told |= {"asked": "yes", "arm": "recheck", "reason": "re-check: shifted box"}
    lines.insert(1, [told.get(column, "") for column in lines[0]])
    with record.file.open("w", newline="") as stream:
        csv.writer(stream, lineterminator="\n").writerows(lines)
    workspace.finish_step(1, record.inputs, record.summary, record.file)
    workspace.close()


def test_work_is_handed_over_once(server, team, alcli):
    flags = ("--assign", "ann@x.io,bob@x.io", "--subset", "cycle-0001", "--prelabels")
    flags += ("--set", "platform.prelabel_score=0")
    assert alcli("push", "-w", team, *flags)[0] == 0
    by_name = {item["name"]: item for item in server.items.values()}
    people = [by_name[name]["assignments"][0]["user_id"] for name in names(team)[:4]]
    assert people == ["ann@x.io", "bob@x.io", "ann@x.io", "bob@x.io"]
    assert not by_name[names(team)[4]]["assignments"]  # outside the budget
    assert server.subsets == {"cycle-0001": {by_name[name]["id"] for name in names(team)[:4]}}
    assert set(server.uploaded) == set(names(team)[:4])
    assert all(item["annotation_status"] in (1, 5) for item in server.items.values())
    before = server.state()
    code, out, _ = alcli("push", "-w", team, *flags, "--json")
    assert (code, json.loads(out)["changes"]) == (0, 0)
    assert server.state() == before


def test_predictions_that_nobody_should_believe_are_not_uploaded(server, team, alcli):
    assert alcli("push", "-w", team, "--prelabels", "--set", "platform.prelabel_score=1")[0] == 0
    assert server.uploaded == {}


def test_a_status_takes_the_images_asked_for_out_of_the_queue(server, team, alcli):
    assert alcli("push", "-w", team, "--status", "InProgres")[0] == 2
    assert alcli("push", "-w", team, "--status", "InProgress")[0] == 0
    assert server.queue() == names(team)[4:]
    code, out, _ = alcli("push", "-w", team, "--json")
    assert (code, json.loads(out)["changes"]) == (0, 0)


def test_the_folder_platform_has_no_people(workspace, alcli):
    assert alcli("cycle", "-w", workspace)[0] == 0
    code, _, err = alcli("push", "-w", workspace, "--assign", "ann@x.io")
    assert code == 2 and "has no people" in err


@pytest.mark.parametrize(
    ("fault", "code", "message"),
    [
        (Fault("401", "", 99), 4, "SA_TOKEN in the environment was rejected"),
        (Fault("html", "items/search", 99), 6, "web page instead of JSON"),
        (Fault("503", "items/search", 99), 6, "status 503"),
    ],
)
def test_an_error_is_told_with_its_exit_code_and_never_with_the_token(server, team, alcli, fault, code, message):
    server.faults = [fault]
    found, out, err = alcli("pull", "-w", team, "--json", "-v")
    assert found == code and message in err
    assert json.loads(out)["exit_code"] == code
    assert TOKEN not in out + err


@pytest.mark.parametrize("place", ["user/ME", "items/search", "annotations/download", "updateEntropy"])
def test_a_token_that_the_service_repeats_is_taken_out_everywhere(server, team, alcli, place):
    item = next(item_id for item_id, item in server.items.items() if item["annotation_status"] == 1)
    server.annotate(item, [])
    for row in server.items.values():
        row["entropy_value"] = None
    server.faults = [Fault("echo", place, 99)]
    command = "push" if place == "updateEntropy" else "pull"
    code, out, err = alcli(command, "-w", team, "--json", "-v")
    assert code == 6 and json.loads(out)["exit_code"] == 6
    assert TOKEN not in out + err
    assert all(TOKEN.encode() not in path.read_bytes() for path in team.rglob("*") if path.is_file())


def test_a_listing_that_shrank_by_half_is_believed_only_when_told_to(server, team, alcli):
    for item_id in list(server.items)[:6]:
        del server.items[item_id]
    for command in ("pull", "cycle"):
        code, _, err = alcli(command, "-w", team)
        assert code == 5 and "--accept-shrink" in err
    assert alcli("pull", "-w", team, "--accept-shrink")[0] == 0


def test_a_token_file_that_others_can_read_is_refused_at_once(server, tmp_path, monkeypatch, alcli):
    monkeypatch.delenv("SA_TOKEN")
    file = tmp_path / "token"
    file.write_text(TOKEN)
    file.chmod(0o644)
    flags = ("--platform", "superannotate", "--project", "Cells/a", "--token-file", file)
    code, _, err = alcli("init", tmp_path / "W", *flags)
    assert code == 4 and f"chmod 600 {file}" in err and not (tmp_path / "W").exists()
    file.chmod(0o600)
    assert alcli("init", tmp_path / "W", *flags)[0] == 0
    assert alcli("pull", "-w", tmp_path / "W")[0] == 0
    assert TOKEN not in (tmp_path / "W" / "alcli.toml").read_text()


def test_the_doctor_asks_only_when_told_to(server, team, alcli):
    server.requests.clear()
    code, out, _ = alcli("doctor", "-w", team, "--json")
    assert code == 0 and server.requests == []
    server.settings["ItemAutoAssignOrder"] = 0
    code, out, _ = alcli("doctor", "-w", team, "--online", "--json")
    checks = {row["check"]: row for row in json.loads(out)["checks"]}
    assert code == 2 and "off: priorities have no effect" in checks["Priority Score Assignment"]["found"]
    assert checks["folder a"]["found"] == "3 Completed, 3 NotStarted"
    assert checks["clock of the service"]["ok"]
    server.ahead = 4000
    late = json.loads(alcli("doctor", "-w", team, "--online", "--json")[1])["checks"]
    clock = next(row for row in late if row["check"] == "clock of the service")
    assert not clock["ok"] and clock["found"] in [f"this machine's clock is {s} s behind" for s in (3999, 4000)]
    assert "SA_TOKEN in the environment" in checks["token"]["found"] and TOKEN not in out
