"""Clocks, files and numbers that are not as expected: a run ends with the right result, or says what to do."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from alcli import config, plugins
from alcli.config import Config
from alcli.errors import MachineError, WorkspaceLocked
from alcli.items import Item, QueryRow
from alcli.platforms.superannotate import Superannotate
from alcli.priorities import Origin, as_text, priorities, write_files
from alcli.system import files, lock, tables
from alcli.workspace import Workspace, heartbeat
from alcli.workspace.database import machine_errors
from alcli.workspace.heartbeat import Heartbeat
from alcli.workspace.prometheus import write_metrics
from tests.cli.test_superannotate import first_cycle, server, team  # noqa: F401 (fixtures)
from tests.platforms.conftest import connect  # noqa: F401 (fixture)

YEAR = 365 * 86400.0


@pytest.fixture
def cycled(alcli, workspace):
    assert alcli("cycle", "-w", workspace)[0] == 0
    return workspace


def annotate(photos, *numbers: int) -> None:
    for number in numbers:
        photos.annotate(number)


# Times


@pytest.mark.parametrize(("ahead", "code"), [(YEAR, 6), (600.0, 6), (200.0, 0)])
def test_a_run_that_ended_in_the_future_is_not_healthy(alcli, workspace, ahead, code):
    heartbeat.write(workspace, Heartbeat().after(time.time() + ahead, 0, 1.0))
    found, out, _ = alcli("health", "-w", workspace, "--max-age", "26h", "--json")
    assert (found, json.loads(out)["healthy"]) == (code, code == 0)
    assert ("lies in the future" in alcli("health", "-w", workspace)[1]) is (code == 6)


def test_a_failure_keeps_its_own_code_whatever_the_clock_said(alcli, workspace):
    heartbeat.write(workspace, Heartbeat().after(time.time() + YEAR, 0, 1.0).after(time.time(), 5, 1.0, "No images."))
    code, out, _ = alcli("health", "-w", workspace)
    assert code == 5 and "No images." in out
    assert alcli("cycle", "-w", workspace)[0] == 0
    assert alcli("health", "-w", workspace)[0] == 0


# Backups


def test_a_backup_is_on_the_disk_before_it_has_its_name(alcli, cycled, tmp_path, monkeypatch):
    synced, events = set(), []
    real_sync, real_rename = os.fsync, Path.rename

    def sync(descriptor):
        synced.add(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        real_sync(descriptor)

    def rename(path, target):
        if Path(target) == tmp_path / "copy":
            inside = {str(each) for each in (path, *path.rglob("*"))}
            events.append(inside - synced)
        return real_rename(path, target)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(Path, "rename", rename)
    assert alcli("backup", "-w", cycled, tmp_path / "copy")[0] == 0
    assert events == [set()] and str(tmp_path) in synced


def test_a_backup_leaves_folders_alone_that_only_look_like_its_own(alcli, cycled, tmp_path):
    (tmp_path / "copy.unfinished").mkdir()
    (tmp_path / "copy.unfinished/notes").write_text("mine")
    assert alcli("backup", "-w", cycled, tmp_path / "copy")[0] == 0
    assert (tmp_path / "copy.unfinished/notes").read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir() if "copy" in path.name) == ["copy", "copy.unfinished"]


def test_a_model_of_an_earlier_cycle_that_is_gone_stops_no_cycle_and_the_advice_for_its_backup_works(
    alcli, cycled, photos, tmp_path
):
    annotate(photos, 8)
    assert alcli("cycle", "-w", cycled)[0] == 0
    (cycled / "cycles/0001/model.safetensors").unlink()
    annotate(photos, 9)
    code, _, err = alcli("cycle", "-w", cycled)
    assert code == 0, err
    code, _, err = alcli("backup", "-w", cycled, tmp_path / "copy")
    assert code == 12 and not (tmp_path / "copy").exists()
    assert "alcli train" not in err
    flag = re.search(r"add (--\S+)", err)[1]
    code, out, _ = alcli("backup", "-w", cycled, tmp_path / "copy", flag)
    assert code == 3 and "cycles/0001/model.safetensors" in out
    assert alcli("restore", tmp_path / "copy", "-w", tmp_path / "new")[0] == 0
    code, out, _ = alcli("cycle", "-w", tmp_path / "new")
    assert code == 0 and out.startswith("Nothing new since cycle 3")
    assert alcli("status", "-w", tmp_path / "new")[0] == 0


# The queue before


def test_restore_puts_back_what_was_asked_for_and_the_queue_before_the_first_push(alcli, cycled, photos):
    queue = cycled / "queue.csv"
    before = tables.read(queue)
    assert [row["asked"] for row in before] == ["yes", "yes", "no", "no"]
    annotate(photos, 0)
    (photos.annotations / "photo_00.xml").write_text((photos.annotations / "photo_01.xml").read_text())
    assert alcli("cycle", "-w", cycled, "--strategy", "random", "--set", "selection.seed=5")[0] == 0
    assert alcli("push", "-w", cycled, "--top", 1)[0] == 0
    assert len(tables.read(queue)) == 1
    assert alcli("push", "-w", cycled, "--restore")[0] == 0
    assert tables.read(queue) == before
    kept = sorted(path.name for path in (cycled / "cycles/0002").glob("queue-before*"))
    assert kept == ["queue-before.csv"]


def test_what_others_made_of_the_queue_between_two_pushes_comes_back(alcli, cycled):
    queue = cycled / "queue.csv"
    header, first, *rest = queue.read_text().splitlines(keepends=True)
    queue.write_text("".join([header, *rest]))
    changed = [row["name"] for row in tables.read(queue)]
    assert alcli("push", "-w", cycled)[0] == 0
    assert first in queue.read_text()
    assert (cycled / "cycles/0001/queue-before-2.csv").is_file()
    assert alcli("push", "-w", cycled, "--restore")[0] == 0
    assert [row["name"] for row in tables.read(queue)] == changed


# Lists


def test_a_spreadsheet_runs_nothing_of_the_wide_file_and_programs_find_the_exact_names(tmp_path):
    names = ['=HYPERLINK("http://x")', "+1", "-1", "@x", "\ttab", "\rcr", "'quoted", "plain", "a=b", "＝x"]
    rows = [QueryRow(rank, Item(name, name, "u", name), 1.0, True, reason=name) for rank, name in enumerate(names, 1)]
    wide = write_files(tmp_path / "list.csv", rows, Origin(1, "s", "m"))
    for name, row in zip(names, tables.read(wide), strict=True):
        for column in ("name", "folder", "id", "reason"):
            assert row[column] == (name if name in ("plain", "a=b") else f"'{name}")
    assert [row["name"] for row in tables.read(tmp_path / "list.csv")] == names
    assert as_text("") == ""


def test_any_number_of_images_has_an_order_and_a_platform_says_what_it_keeps():
    values = [float(text) for text in priorities(1_000_001)]
    assert values[0] == 1_000_001 and values[-1] == 1
    assert Superannotate.most_queued == 1_000_000


def test_a_list_longer_than_the_platform_keeps_is_queued_as_far_as_it_goes(alcli, workspace, monkeypatch):
    monkeypatch.setattr("alcli.platforms.folder.Folder.most_queued", 3, raising=False)
    code, _, err = alcli("cycle", "-w", workspace)
    assert code == 0 and "The list has 4 images, and the platform keeps 3 in order" in err
    assert len(tables.read(workspace / "queue.csv")) == 3
    assert alcli("push", "-w", workspace)[1].startswith("Pushed 3 images: 0 changes")


# Metrics


def test_a_class_with_quotes_and_line_ends_leaves_the_metrics_valid(tmp_path):
    name = 'ap_a"b\\c\nd'
    write_metrics(tmp_path / "a.prom", Heartbeat(), {}, {name: 0.5})
    lines = (tmp_path / "a.prom").read_text().splitlines()
    sample = re.compile(r'[a-z_]+(\{[a-z]+="([^"\\\n]|\\["\\n])*"\})? [-+0-9.e]+')
    assert all(line.startswith("# ") or sample.fullmatch(line) for line in lines)
    assert r'alcli_model_metric{name="ap_a\"b\\c\nd"} 0.5' in lines


# Files


def test_what_another_push_is_writing_is_not_removed(tmp_path):
    with files.atomic_write(tmp_path / "a") as stream:
        stream.write("first")
        files.remove_leftovers(tmp_path)
    assert (tmp_path / "a").read_text() == "first"


def test_a_run_whose_lock_was_deleted_still_holds_its_workspace(tmp_path):
    code = (
        "import sys; from pathlib import Path; from alcli.system import lock\n"
        "with lock.hold(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    )
    path = tmp_path / "alcli.lock"
    command = [sys.executable, "-c", code, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        path.unlink()
        with pytest.raises(WorkspaceLocked, match=r"alcli\.lock was deleted"), lock.hold(path):
            pass
        process.communicate("")
    with lock.hold(path):
        pass


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a second user")
def test_another_user_sees_what_a_run_has_written(alcli, workspace):
    place = Path(tempfile.mkdtemp())
    try:
        root = Path(shutil.copytree(workspace, place / "W"))
        for path in (place, *root.rglob("*"), root):
            path.chmod(0o755 if path.is_dir() else 0o644)
        running = Workspace.open(root)
        running.store.replace_items([Item("a", "a", "file:///a"), Item("b", "b", "file:///b")], [])
        code = (
            "import os, sys; from pathlib import Path; from alcli.workspace import Workspace; import alcli.config\n"
            "os.setuid(65534); print(Workspace.open(Path(sys.argv[1]), read_only=True).store.counts()['unlabeled'])"
        )
        done = subprocess.run([sys.executable, "-c", code, str(root)], capture_output=True, text=True)
        assert done.stdout == "2\n", done.stderr
        running.close()
    finally:
        shutil.rmtree(place)


def test_an_annotation_edited_to_the_same_size_and_time_is_read_again(alcli, cycled, photos):
    path = photos.annotations / "photo_00.xml"
    facts, text = path.stat(), path.read_text()
    color = re.search("<name>(red|green|blue)</name>", text)[1]
    other = {"red": "sea", "green": "brown", "blue": "pink"}[color]
    path.write_text(text.replace(f"<name>{color}</name>", f"<name>{other}</name>"))
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (facts.st_size, facts.st_mtime_ns)
    code, out, _ = alcli("pull", "-w", cycled, "--json")
    assert code == 0 and json.loads(out)["annotations_read"] == 1
    workspace = Workspace.open(cycled, read_only=True)
    assert other in {box.label for box in workspace.store.annotations(["photo_00.jpg"])[0].boxes}
    workspace.close()


# The service


def test_an_item_without_an_id_is_left_out_and_the_others_are_pulled(server, team, alcli):  # noqa: F811
    first = next(iter(server.items))
    broken = {**server.items[first], "id": None, "name": "nameless.jpg"}
    server.items[10**9] = broken
    code, out, err = alcli("pull", "-w", team, "--json")
    assert code == 3, err
    assert json.loads(out)["items"] == 12
    assert "without an id" in out + err


# Settings


@pytest.mark.parametrize(
    "setting",
    [
        f"train.seed={10**23}", "train.learning_rate=1e308", "train.learning_rate=inf", "train.learning_rate=nan",
        "train.weight_decay=1e308", "train.margin=1e300", f"selection.budget={10**30}", f"train.epochs={10**19}",
        f"selection.seed={2**63}", "cost.seconds_per_item=1e300", f"train.batch_size={10**12}",
    ],
)  # fmt: skip
def test_a_number_that_nothing_can_use_is_refused_with_its_range(alcli, workspace, setting):
    code, _, err = alcli("train", "-w", workspace, "--set", setting)
    assert code == 2 and setting.partition("=")[0] in err
    assert "less than or equal to" in err or "finite number" in err


def test_every_number_has_a_largest_value():
    sections = [type(field.default) for field in Config.model_fields.values()]
    for section, kind in config.KINDS.items():
        sections += [config.own_options(section, name) for name in plugins.names(kind)]
    for section in sections:
        for name, field in section.model_fields.items():
            if field.annotation in (int, float, int | None, float | None):
                limits = {type(limit).__name__ for limit in field.metadata}
                assert limits & {"Le", "Lt"} and limits & {"Ge", "Gt"}, f"{section.__name__}.{name}"


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not limit the address space")
@pytest.mark.parametrize("command", ["cycle", "doctor"])
def test_too_little_memory_is_an_error_of_the_machine(workspace, command):
    """torch cannot even be loaded in 900 MB of address space."""
    limited = ("sh", "-c", 'ulimit -v 900000; exec "$@"', "sh", sys.executable, "-m", "alcli")
    run = subprocess.run([*limited, command, "-w", workspace], capture_output=True, text=True)
    assert run.returncode == 7, run.stderr
    assert "alcli: The memory that this process may use is not enough: " in run.stderr
    assert "ulimit -v" in run.stderr


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("Unable to allocate 9 TiB"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
        RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"),
    ],
)
def test_what_numpy_and_torch_say_without_memory_is_an_error_of_the_machine(tmp_path, error):
    with pytest.raises(MachineError, match="memory"), machine_errors(tmp_path):
        raise error


def test_other_errors_of_libraries_stay_bugs(tmp_path):
    with pytest.raises(RuntimeError, match="shapes"), machine_errors(tmp_path):
        raise RuntimeError("shapes do not match")
