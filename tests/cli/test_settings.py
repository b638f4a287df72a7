"""Settings on the command line: flags are values, `--set` and variables are texts, `list settings` names them all."""

from __future__ import annotations

import json

import pytest

from alcli import config


def listed(alcli):
    code, out, _ = alcli("list", "settings", "--json")
    assert code == 0
    return json.loads(out)["settings"]


def test_list_settings_names_type_default_and_description_of_each(alcli):
    rows = {(row["name"], row["plugin"]): row for row in listed(alcli)}
    assert rows["train.epochs", ""] == {
        "name": "train.epochs",
        "type": "whole number",
        "default": 30,
        "description": "passes over the annotated items",
        "plugin": "",
    }
    assert rows["train.init", ""]["type"] == "warm | scratch"
    assert rows["task.flip_pairs", "pose"]["type"] == "list of [text, text]"
    assert rows["platform.pool_statuses", "superannotate"]["default"] == ["NotStarted"]
    assert ("platform.images", "folder") in rows and ("platform.images", "superannotate") in rows
    assert all(row["description"] for row in rows.values())
    assert {name.split(".")[0] for name, _ in rows} == set(config.Config.model_fields)


def test_list_settings_groups_options_below_their_plug_in(alcli):
    code, out, _ = alcli("list", "settings")
    assert code == 0
    lines = out.splitlines()
    assert lines.index("task") < lines.index("task, only for classification") < lines.index("task, only for pose")
    pose = lines[lines.index("task, only for pose") : lines.index("task, only for segmentation")]
    assert [line.split()[0] for line in pose[2:]] == ["task.subject", "task.flip_pairs", "task.sigmas"]


def test_init_keeps_values_of_flags_and_texts_by_their_type(alcli, photos, tmp_path):
    (tmp_path / "empty").mkdir()
    places = ("--images", photos.images, "--annotations", tmp_path / "empty")
    more = (
        "--classes",
        "1,2",
        "--set",
        "model.input_size=",
        "--set",
        "train.milestones=0.5",
        "--set",
        "train.epochs=3",
    )
    code, out, err = alcli("init", tmp_path / "W", *places, *more, "--json")
    assert code == 0, err
    said = json.loads(out)["settings"]
    assert said["task.classes"] == ["1", "2"]
    assert (said["train.milestones"], said["train.epochs"]) == ([0.5], 3)
    assert said["platform.images"] == str(photos.images)
    loaded = config.load(tmp_path / "W", [], {})
    assert (loaded.task.classes, loaded.train.milestones, loaded.model.input_size) == (("1", "2"), (0.5,), None)


def test_a_projects_name_may_look_like_anything(alcli, tmp_path, monkeypatch):
    monkeypatch.setenv("SA_TOKEN", "t" * 40)
    for number, name in enumerate(("2024", "'quoted'", "1e3", "true", "a # b")):
        root = tmp_path / str(number)
        code, _, err = alcli("init", root, "--platform", "superannotate", "--project", name, "--folders", "1,2")
        assert code == 0, err
        platform = config.load(root, [], {}).platform
        assert (platform.project, platform.folders) == (name, ("1", "2"))


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (("--folders", "a,b"), "platform.folders belongs to the platform superannotate"),
        (("--set", "task.subject=cow"), "task.subject belongs to the task pose; this workspace has task.name = detect"),
        (("--images", "nowhere"), "--images: there is no"),
        (("--set", "train.epoch=3"), "Unknown key 'train.epoch'. Did you mean epochs?"),
        (("--platform", "superannotate"), "platform.annotations belongs to the platform folder or oracle"),
    ],
)
def test_init_refuses_what_does_not_belong_together(alcli, photos, tmp_path, flags, told):
    places = ("--images", photos.images, "--annotations", photos.annotations)
    code, _, err = alcli("init", tmp_path / "W", *places, *flags)
    assert code == 2
    assert told in err
    assert not (tmp_path / "W").exists()


def test_superannotate_without_a_project_makes_no_workspace(alcli, tmp_path, monkeypatch):
    monkeypatch.setenv("SA_TOKEN", "t" * 40)
    code, _, err = alcli("init", tmp_path / "W", "--platform", "superannotate")
    assert code == 2
    assert "No project is configured" in err
    assert not (tmp_path / "W").exists()


def test_a_relative_folder_in_set_starts_at_the_workspace(alcli, photos, tmp_path):
    root = tmp_path / "W"
    root.mkdir()
    (root / "photos").symlink_to(photos.images)
    flags = ("--annotations", photos.annotations, "--set", "platform.images=photos")
    assert alcli("init", root, *flags)[0] == 0
    assert 'images = "photos"' in (root / "alcli.toml").read_text()


def test_flags_of_a_run_are_values(alcli, workspace):
    flags = ["--budget", 3, "--strategy", "random", "--set", "task.classes=1", "--allow-cold-start"]
    assert alcli("cycle", "-w", workspace, *flags)[0] == 3
    kept = json.loads((workspace / "cycles/0001/config.json").read_text())
    assert (kept["selection"]["budget"], kept["strategy"]["name"], kept["task"]["classes"]) == (3, "random", ["1"])
    assert {"images", "annotations", "format", "queue", "prelabel_score"} <= set(kept["platform"])


LABEL_STUDIO = ("--platform", "label-studio", "--project", "Cells")


def test_init_takes_from_the_environment_what_no_flag_gives(alcli, tmp_path, monkeypatch):
    for name in ("LABEL_STUDIO_URL", "LABEL_STUDIO_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    token = tmp_path / "token"
    token.write_text("0123456789abcdef0123456789abcdef01234567")
    token.chmod(0o600)
    flags = (*LABEL_STUDIO, "--token-file", token)
    code, _, err = alcli("init", tmp_path / "W", *flags)
    assert code == 2 and "address" in err and not (tmp_path / "W").exists()
    monkeypatch.setenv("ALCLI_PLATFORM_URL", "http://127.0.0.1:8080")
    assert alcli("init", tmp_path / "W", *flags)[0] == 0
    # It stays where it is: the environment of a later run decides anew.
    assert "8080" not in (tmp_path / "W/alcli.toml").read_text()
    monkeypatch.setenv("ALCLI_PLATFORM_URL", "nonsense")
    assert alcli("init", tmp_path / "V", *flags)[0] == 2
    assert alcli("init", tmp_path / "V", *flags, "--url", "http://127.0.0.1:8081")[0] == 0
    assert "8081" in (tmp_path / "V/alcli.toml").read_text()


def test_init_reads_which_plug_in_from_the_environment_and_writes_it(alcli, tmp_path, monkeypatch):
    monkeypatch.setenv("ALCLI_PLATFORM_NAME", "label-studio")
    monkeypatch.setenv("ALCLI_PLATFORM_URL", "http://127.0.0.1:8080")
    token = tmp_path / "token"
    token.write_text("0123456789abcdef0123456789abcdef01234567")
    token.chmod(0o600)
    assert alcli("init", tmp_path / "W", "--project", "Cells", "--token-file", token)[0] == 0
    assert 'name = "label-studio"' in (tmp_path / "W/alcli.toml").read_text()
    monkeypatch.setenv("ALCLI_PLATFORM_ULR", "x")
    code, _, err = alcli("init", tmp_path / "V", "--project", "Cells", "--token-file", token)
    assert code == 2 and "platform.ulr" in err
