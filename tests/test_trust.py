"""A workspace is not trusted like its owner: its files decide neither where a token goes nor what is written."""

from __future__ import annotations

import csv
import json
import os
import shlex
import shutil
from pathlib import Path

import pytest

from alcli.config import trusted
from alcli.platforms.folder import Folder
from alcli.system import lock
from tests.cli.test_superannotate import SMALL, first_cycle, project, server, team  # noqa: F401 (fixtures)
from tests.support.superannotate_server import TOKEN

SECRET = "Another.secret_of_its_owner=778"


@pytest.fixture
def received(server, team, monkeypatch):  # noqa: F811
    """A workspace from somebody else, whose alcli.toml names a host of theirs."""
    monkeypatch.delenv("SA_URL")
    text = (team / "alcli.toml").read_text()
    (team / "alcli.toml").write_text(text.replace("[platform]", f'[platform]\nurl = "{server.url}"', 1))
    assert server.url in (team / "alcli.toml").read_text()
    return team


def advised(message: str) -> list[str]:
    """The first command that a message tells people to run."""
    command = message.partition("run this once: alcli ")[2].partition(". For a single run")[0]
    return shlex.split(command)


@pytest.mark.parametrize("command", [("pull",), ("cycle",), ("push",), ("push", "--dry-run"), ("doctor", "--online")])
def test_a_host_that_only_the_workspace_names_gets_no_request(server, received, alcli, command):  # noqa: F811
    code, out, err = alcli(*command, "-w", received)
    assert code == 4 or (command[0] == "doctor" and code != 0), err
    assert server.requests == [] and TOKEN not in out + err
    assert f"token would be sent to {server.url}" in out + err


def test_the_advice_works_for_this_workspace_in_this_place_and_for_this_host(server, received, alcli, tmp_path):  # noqa: F811
    _, _, err = alcli("pull", "-w", received)
    assert advised(err) == ["trust", "-w", str(received)]
    assert alcli(*advised(err), "--dry-run")[1].endswith("Nothing was confirmed.\n")
    assert alcli("pull", "-w", received)[0] == 4
    assert alcli(*advised(err))[0] == 0
    assert alcli("pull", "-w", received)[0] == 0 and server.requests
    assert alcli(*advised(err))[1] == "There is nothing to confirm.\n"
    server.requests.clear()
    shutil.copytree(received, tmp_path / "elsewhere")
    assert alcli("pull", "-w", tmp_path / "elsewhere")[0] == 4
    text = (received / "alcli.toml").read_text().replace(server.url, server.url.replace("127.0.0.1", "localhost"))
    (received / "alcli.toml").write_text(text)
    assert alcli("pull", "-w", received)[0] == 4
    assert server.requests == []


def test_a_flag_and_the_environment_say_it_for_one_run(server, received, alcli, monkeypatch):  # noqa: F811
    assert alcli("pull", "-w", received, "--set", f"platform.url={server.url}")[0] == 0
    assert alcli("pull", "-w", received)[0] == 4
    monkeypatch.setenv("ALCLI_PLATFORM_URL", server.url)
    assert alcli("pull", "-w", received)[0] == 0


def test_whoever_creates_a_workspace_confirms_what_they_give(server, tmp_path, alcli, monkeypatch):  # noqa: F811
    monkeypatch.delenv("SA_URL")
    flags = ("--platform", "superannotate", "--project", "Cells/*", "--url", server.url, *SMALL)
    assert alcli("init", tmp_path / "mine", *flags)[0] == 0
    assert alcli("pull", "-w", tmp_path / "mine")[0] == 0
    assert (trusted.confirmed_file().stat().st_mode & 0o777) == 0o600


def test_a_file_that_only_the_workspace_names_is_not_sent_as_a_token(server, team, alcli, monkeypatch, tmp_path):  # noqa: F811
    monkeypatch.delenv("SA_TOKEN")
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    secret.chmod(0o600)
    text = (team / "alcli.toml").read_text()
    (team / "alcli.toml").write_text(text.replace("[platform]", f'[platform]\ntoken_file = "{secret}"', 1))
    code, _, err = alcli("pull", "-w", team)
    assert code == 4 and f"{secret} would be sent to" in err and server.requests == []
    assert SECRET not in err
    assert alcli("pull", "-w", team, "--set", f"platform.token_file={secret}")[0] == 4  # the service refuses it
    assert server.requests != []


@pytest.mark.parametrize("mode", [0o666, 0o660])
def test_confirmations_that_others_can_change_do_not_count(server, received, alcli, mode, monkeypatch, tmp_path):  # noqa: F811
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    assert alcli("trust", "-w", received)[0] == 0
    (tmp_path / "config/alcli/trusted.toml").chmod(mode)
    code, _, err = alcli("pull", "-w", received)
    assert code == 4 and "Other users can change" in err and "chmod 600" in err
    assert server.requests == []


def test_without_a_home_nothing_is_confirmed_and_the_message_says_what_to_set(server, received, alcli, monkeypatch):  # noqa: F811
    def homeless():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CONFIG_HOME")
    monkeypatch.setattr(Path, "home", homeless)
    code, _, err = alcli("trust", "-w", received)
    assert code == 7 and f"ALCLI_PLATFORM_URL={server.url}" in err
    assert alcli("pull", "-w", received)[0] == 4 and server.requests == []


def test_init_still_creates_a_workspace_without_a_home(server, alcli, monkeypatch, tmp_path):  # noqa: F811
    def homeless():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CONFIG_HOME")
    monkeypatch.setattr(Path, "home", homeless)
    flags = ("--platform", "superannotate", "--project", "Cells/*", "--url", server.url, *SMALL)
    code, _, err = alcli("init", tmp_path / "mine", *flags)
    assert code == 0 and "Not confirmed for later runs" in err


# The queue and other files outside


@pytest.mark.parametrize("place", ["../.ssh/authorized_keys", "../.ssh/x.csv", "project/images/.bash_profile"])
def test_a_queue_that_only_the_workspace_names_stays_among_the_users_data(workspace, alcli, tmp_path, place):
    target = (tmp_path / "home" / place).resolve()
    target.parent.mkdir(parents=True, exist_ok=True)
    images = next(line for line in (workspace / "alcli.toml").read_text().splitlines() if line.startswith("images"))
    if place.startswith("project"):
        target = Path(images.partition('"')[2].rstrip('"')) / ".bash_profile"
    text = (workspace / "alcli.toml").read_text()
    (workspace / "alcli.toml").write_text(text.replace('queue = "queue.csv"', f'queue = "{target}"', 1))
    code, _, err = alcli("cycle", "-w", workspace)
    assert (code, target.exists()) == (4, False), err
    assert f"queue would be written to {target}" in err
    assert alcli(*advised(err))[0] == 0
    assert alcli("cycle", "-w", workspace)[0] == 0
    assert target.read_text().startswith("position,name,entropy_value,asked\n1,")


@pytest.mark.parametrize("kind", ["link", "folder", "pipe"])
def test_a_queue_is_a_regular_file_or_absent(workspace, alcli, tmp_path, kind):
    queue, victim = workspace / "queue.csv", tmp_path / "victim"
    victim.write_text("precious\n")
    {"link": lambda: queue.symlink_to(victim), "folder": queue.mkdir, "pipe": lambda: os.mkfifo(queue)}[kind]()
    code, _, err = alcli("cycle", "-w", workspace)
    # A path in alcli.toml is followed first: a link out of the workspace is a queue outside.
    assert (code, str(victim if kind == "link" else queue) in err) == (4 if kind == "link" else 2, True)
    assert victim.read_text() == "precious\n" and (kind != "link" or queue.is_symlink())


@pytest.mark.parametrize(
    "place", ["cycles", "cycles/0001", "cycles/0001/signals", "logs", "alcli.lock", "logs/alcli.jsonl"]
)
def test_a_run_never_writes_through_a_link_in_a_workspace(workspace, alcli, tmp_path, place):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "config.json").write_text("precious")
    path = workspace / place
    shutil.rmtree(path, ignore_errors=True)
    path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(outside if path.suffix == "" else outside / "config.json")
    code, _, err = alcli("cycle", "-w", workspace)
    assert code == 2 and f"{path} is a link to" in err, err
    assert [(file.name, file.read_text()) for file in outside.iterdir()] == [("config.json", "precious")]


def test_a_lock_is_not_written_through_a_dangling_link(workspace, tmp_path):
    (tmp_path / "lock").symlink_to(tmp_path / "new")
    with pytest.raises(OSError), lock.hold(tmp_path / "lock"):
        pass
    assert not (tmp_path / "new").exists()


def test_a_name_with_line_ends_is_one_record_in_every_list(workspace, photos, alcli):
    hostile = b'x",y\n1,photo_00.jpg,1.00000,yes\r\nssh-rsa AAAA me\x85\xe2\x80\xa8.jpg'
    os.rename(photos.images / "photo_11.jpg", os.path.join(os.fsencode(photos.images), hostile))  # noqa: PTH104, PTH118
    assert alcli("cycle", "-w", workspace)[0] == 0
    named = {item.name for item in Folder(Folder.Options(images=photos.images), workspace / "cache").items()}
    pool = sorted(name for name in named if name not in {f"photo_{number:02d}.jpg" for number in range(8)})
    lists = [workspace / f"cycles/0001/{name}.csv" for name in ("priorities", "priorities.wide", "scores")]
    for path in (workspace / "queue.csv", *lists):
        with path.open(encoding="utf-8", newline="") as stream:
            records = list(csv.DictReader(stream, strict=True))
        assert sorted(record["name"] for record in records) == pool, path
        assert len(records) == 4


def test_what_a_workspace_did_not_ask_is_a_document(workspace, alcli):
    code, out, _ = alcli("trust", "-w", workspace, "--json")
    assert (code, json.loads(out)["open"]) == (0, [])
