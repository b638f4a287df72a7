from __future__ import annotations

from pathlib import Path

import pytest

from alcli import config
from alcli.errors import UsageError


def make(tmp_path: Path, text: str) -> Path:
    (tmp_path / "alcli.toml").write_text(text, encoding="utf-8")
    return tmp_path


def test_flag_beats_environment_beats_file_beats_default(tmp_path):
    root = make(tmp_path, "[train]\nepochs = 5\nbatch_size = 3\nseed = 1\n")
    environ = {"ALCLI_TRAIN_EPOCHS": "6", "ALCLI_TRAIN_SEED": "2"}
    loaded = config.load(root, ["train.epochs=7"], environ)
    assert (loaded.train.epochs, loaded.train.seed, loaded.train.batch_size, loaded.train.margin) == (7, 2, 3, 1.0)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[train]\nepoch = 5\n", "Unknown key 'train.epoch'. Did you mean epochs?"),
        ("[trian]\nepochs = 5\n", "Unknown section 'trian'. Did you mean train?"),
        ("[train]\nepochs = 0\n", "train.epochs = 0"),
        ("[train]\nepochs = 'many'\n", "train.epochs = 'many'"),
        ("[train]\ninit = 'hot'\n", "train.init = 'hot'"),
        ("[train\n", "not valid TOML"),
        ("[train]\nepochs = 1\nepochs = 2\n", "not valid TOML"),
        ("train = 3\n", "train = 3"),
        ("[train]\nlearning_rate = nan\n", "train.learning_rate"),
    ],
)
def test_a_wrong_file_is_refused_with_the_place(tmp_path, text, told):
    with pytest.raises(UsageError) as error:
        config.load(make(tmp_path, text), [], {})
    assert told in error.value.what


def test_relative_paths_start_at_the_workspace(tmp_path):
    root = make(tmp_path, "[platform]\nimages = 'photos'\n[model]\nweights = 'w.safetensors'\n")
    loaded = config.load(root, [], {})
    assert loaded.platform.images == tmp_path / "photos"
    assert loaded.model.weights == str(tmp_path / "w.safetensors")
    assert config.load(make(tmp_path, ""), [], {}).model.weights == "none"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("train.epochs=8", ("train.epochs", 8)),
        ("train.init=warm", ("train.init", "warm")),
        ("task.classes=['a','b']", ("task.classes", ["a", "b"])),
        ("platform.project=a=b", ("platform.project", "a=b")),
    ],
)
def test_overrides(text, expected):
    assert config.parse_override(text) == expected


@pytest.mark.parametrize("text", ["epochs=8", "train.epochs", "a.b.c=1"])
def test_an_override_needs_section_and_key(text):
    with pytest.raises(UsageError, match=r"section\.key=value"):
        config.parse_override(text)


def test_classes_may_be_one_comma_separated_text(tmp_path):
    assert config.load(make(tmp_path, ""), ["task.classes=cat, dog"], {}).task.classes == ("cat", "dog")


def test_a_written_file_is_read_back_with_its_comments(tmp_path):
    config.write(tmp_path / "alcli.toml", {"train.epochs": 3, "platform.images": Path("/a b"), "task.classes": ["x"]})
    loaded = config.load(tmp_path, [], {})
    assert (loaded.train.epochs, loaded.platform.images, loaded.task.classes) == (3, Path("/a b"), ("x",))
    assert "# One training run" in (tmp_path / "alcli.toml").read_text()


def test_a_byte_order_mark_does_no_harm(tmp_path):
    (tmp_path / "alcli.toml").write_bytes(b"\xef\xbb\xbf[train]\nepochs = 4\n")
    assert config.load(tmp_path, [], {}).train.epochs == 4


def test_a_variable_that_is_nearly_one_is_refused_by_name(tmp_path):
    with pytest.raises(UsageError, match="Unknown variable ALCLI_TRAIN_EPOCH") as error:
        config.load(tmp_path, environ={"ALCLI_TRAIN_EPOCH": "6"})
    assert "ALCLI_TRAIN_EPOCHS" in error.value.do
    assert config.load(tmp_path, environ={"ALCLI_DATA": "somewhere", "ALCLIENT": "x"}).train.epochs
