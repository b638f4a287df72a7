"""The container of ``examples/docker``: its files agree, and its user, mounts and limits hold a whole cycle."""

from __future__ import annotations

import datetime
import importlib.util
import os
import re
import shlex
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
import yaml

from tests.support.scenes import Photos

ROOT = Path(__file__).parent.parent
DOCKER = ROOT / "examples/docker"
USER = 10001
WORKSPACE, PHOTOS = "/mnt/data/W", "/mnt/project"
SMALL = ("--model", "ssd-tiny", "--budget", "2", "--set", "train.epochs=1", "--set", "model.input_size=64",
         "--set", "train.batch_size=4", "--set", "train.workers=1", "--set", "score.workers=1")  # fmt: skip

nightly_file = importlib.util.spec_from_file_location("nightly", DOCKER / "nightly.py")
nightly = importlib.util.module_from_spec(nightly_file)
nightly_file.loader.exec_module(nightly)


@pytest.fixture(scope="module")
def services():
    return yaml.safe_load((DOCKER / "compose.yaml").read_text())["services"]


def instructions() -> list[tuple[str, str]]:
    """(keyword, arguments) of the Dockerfile; lines that end with a backslash go on."""
    text = re.sub(r"\\\n", " ", (DOCKER / "Dockerfile").read_text())
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(line.split()[0], line.partition(" ")[2].strip()) for line in lines]


# The files


def test_the_image_runs_alcli_as_a_user_without_rights_and_copies_what_exists():
    steps = instructions()
    users = [value for key, value in steps if key == "USER"]
    assert users == [f"{USER}:{USER}"] and [key for key, _ in steps].index("USER") > 5
    assert dict(steps)["ENTRYPOINT"] == '["alcli"]' and dict(steps)["VOLUME"] == "/data"
    for key, value in steps:
        if key == "COPY" and "--from" not in value:
            for source in value.split()[:-1]:
                assert (ROOT / source).exists(), source
    # No index of packages, and no secret, is part of the image.
    assert "://" not in (DOCKER / "Dockerfile").read_text() and "TOKEN" not in (DOCKER / "Dockerfile").read_text()


@pytest.mark.parametrize("name", ["alcli", "cron"])
def test_every_service_is_read_only_without_rights_and_ends_gently(services, name):
    service = services[name]
    assert service["user"] == f"{USER}:{USER}" and service["read_only"] is True and service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"] and service["tmpfs"] == ["/tmp:size=1g,mode=1777"]
    assert service["shm_size"] == "64mb" and service["init"] is True
    assert int(service["stop_grace_period"].rstrip("s")) > 10
    targets = [volume.rsplit("}", 1)[-1].split(":", 1)[-1] for volume in service["volumes"]]
    assert targets == ["/data", "/images:ro", "/annotations:ro"]
    assert (ROOT / service["build"]["dockerfile"]).is_file()
    assert (DOCKER / service["build"]["context"]).resolve() == ROOT


def test_the_commands_of_the_services_exist(services, alcli):
    lines = [services["cron"]["command"], services["cron"]["healthcheck"]["test"][1:]]
    lines += [shlex.split(line)[-7:] for line in re.findall(r"run --rm (alcli .*)", (DOCKER / "README.md").read_text())]
    lines += [["alcli", *yaml.safe_load(dict(instructions())["CMD"])]]
    assert len(lines) == 5
    for words in lines:
        words = words[words.index("alcli") + 1 :] if "alcli" in words else words
        code, out, _ = alcli(words[0], "--help")
        assert code == 0
        for flag in (word for word in words if word.startswith("--")):
            assert flag in out, flag


# The clock


def test_the_next_night_is_at_most_a_day_away():
    now = datetime.datetime(2026, 3, 31, 1, 59, 30)
    assert nightly.seconds_until("02:00", now) == 30
    assert nightly.seconds_until("01:59", now) == 86_400 - 30
    assert nightly.seconds_until("02:00", now.replace(hour=2, minute=0, second=0)) == 86_400


@pytest.mark.parametrize("busy", [False, True])
def test_a_signal_ends_waiting_and_working_nights(tmp_path, busy):
    code = f"import sys; sys.path.insert(0, {str(DOCKER)!r}); import nightly, time\n"
    code += "nightly.seconds_until = lambda *_: 0.01\n" if busy else ""
    work = f"import pathlib, time; pathlib.Path({str(tmp_path / 'started')!r}).touch(); time.sleep(60)"
    code += f"sys.exit(nightly.main('02:00', sys.executable, '-c', {work!r}))"
    with subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 30
        while busy and not (tmp_path / "started").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(0 if busy else 2)
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=20)
    assert process.returncode == 0
    assert ("exit -15" in err) is busy


# The user, the mounts and the limits

SETUP = """
set -e
mount --bind "$VOLUME" /mnt
for folder in $CLOSED; do
    # The interpreter lies in a folder that only its owner can enter; an image has none like that.
    mkdir -p "$VOLUME/interpreter"; mount --bind "$PREFIX" "$VOLUME/interpreter"
    mount -t tmpfs -o mode=755 tmpfs "$folder"; mkdir -p "$PREFIX"; mount --bind "$VOLUME/interpreter" "$PREFIX"
done
mount -o remount,bind,ro /
mount -t tmpfs -o size=256m,mode=1777 tmpfs /tmp
mount -t tmpfs -o size=64k,ro tmpfs /dev/shm
mount --bind /mnt/project /mnt/project
mount -o remount,bind,ro /mnt/project
ulimit -n 256
cd /
exec setpriv --reuid "$WHO" --regid "$WHO" --clear-groups --no-new-privs --bounding-set=-all --inh-caps=-all \
    env -i PATH=/usr/bin:/bin PYTHONPATH="$CODE" OMP_NUM_THREADS=1 TORCH_HOME=/mnt/data/weights ALCLI_OFFLINE=1 \
    XDG_CONFIG_HOME=/mnt/data/config MPLCONFIGDIR=/tmp/matplotlib $MORE "$PYTHON" "$@"
"""


def closed_folders() -> list[str]:
    """The outermost folder around the interpreter that other users cannot enter, if there is one."""
    parents = [parent for parent in reversed(Path(sys.base_prefix).parents) if not parent.stat().st_mode & stat.S_IXOTH]
    return [str(parent) for parent in parents[:1]]


def contained(volume: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run Python as the container would: its user, a read-only root, no home, a full and read-only ``/dev/shm``."""
    environment = {
        **os.environ, "VOLUME": str(volume), "CLOSED": " ".join(closed_folders()), "PREFIX": sys.base_prefix,
        "WHO": str(USER), "CODE": str(ROOT), "PYTHON": sys.executable,
        "MORE": " ".join(f"{name}={value}" for name, value in more.items()),
    }  # fmt: skip
    command = ["unshare", "--mount", "--propagation", "private", "--ipc", "sh", "-c", SETUP, "sh", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)


@pytest.fixture
def volume():
    """What is mounted at /mnt: photographs of somebody else, and an empty folder of the container's user."""
    if not all(map(shutil.which, ("unshare", "setpriv", "mount"))):
        pytest.skip("unshare, setpriv or mount is missing")
    folder = Path(tempfile.mkdtemp(prefix="alcli-container-"))
    folder.chmod(0o755)
    Photos(folder / "project").draw(12, annotated=8)
    (folder / "data").mkdir()
    try:
        os.chown(folder / "data", USER, USER)
        probe = contained(folder, "-c", "import torch")
        if probe.returncode:
            pytest.skip(f"no namespace with another user here: {probe.stderr.strip()[-200:]}")
        yield folder
    except PermissionError as error:
        pytest.skip(f"no files of another user here: {error}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.parametrize("home", [{}, {"HOME": "/root"}, {"HOME": "/nonexistent"}], ids=["unset", "closed", "missing"])
def test_a_whole_cycle_runs_as_the_containers_user_on_a_read_only_machine(volume, home):
    code = (
        "import os; print(os.getuid(), *(os.access(p, os.W_OK) for p in ('/', '/dev/shm', os.environ['PYTHONPATH'])))"
    )
    assert contained(volume, "-c", code, **home).stdout.split() == [str(USER), "False", "False", "False"]
    images = ("--images", f"{PHOTOS}/images", "--annotations", f"{PHOTOS}/annotations")
    run = contained(volume, "-m", "alcli", "init", WORKSPACE, *images, *SMALL, **home)
    assert run.returncode == 0, run.stderr
    run = contained(volume, "-m", "alcli", "cycle", "-w", WORKSPACE, **home)
    assert run.returncode == 0 and "Cycle 1: " in run.stdout, run.stderr
    queue = volume / "data/W/queue.csv"
    assert len(queue.read_text().splitlines()) == 5 and queue.stat().st_uid == USER
    run = contained(volume, "-m", "alcli", "cycle", "-w", WORKSPACE, **home)
    assert (run.returncode, run.stdout) == (0, "Nothing new since cycle 1: nothing to do.\n"), run.stderr
    assert contained(volume, "-m", "alcli", "health", "-w", WORKSPACE, "--max-age", "26h", **home).returncode == 0
    assert sorted(path.name for path in (volume / "project").iterdir()) == ["annotations", "images"]
