from __future__ import annotations

from pathlib import Path

import pytest

from alcli import config, plugins
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
    assert config.load(make(tmp_path, ""), [], {}).model.weights == "auto"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("train.epochs=8", 8),
        ("train.init=scratch", "scratch"),
        ("train.freeze_backbone=true", True),
        ("train.freeze_backbone=no", False),
        ("train.learning_rate=1e-2", 0.01),
        ("train.milestones=0.5,0.8", (0.5, 0.8)),
        ("train.milestones=[0.5, 0.8]", (0.5, 0.8)),
        ("train.milestones=0.7", (0.7,)),
        ("train.workers=3", 3),
        ("train.workers=", None),
        ("train.workers=none", None),
        ("train.loss_weight=none", None),
        ("model.input_size=", None),
        ("model.name=1", "1"),
        ("model.weights=imagenet", "imagenet"),
        ("task.classes=1", ("1",)),
        ("task.classes=1,2", ("1", "2")),
        ("task.classes=[1, 2]", ("1", "2")),
        ("task.classes=['a,b','c']", ("a,b", "c")),
        ("task.classes=cat, dog", ("cat", "dog")),
        ("task.classes=true", ("true",)),
        ("task.classes=", ()),
        ("report.confidence=0.5", 0.5),
    ],
)
def test_the_type_of_a_setting_reads_a_text(tmp_path, text, expected):
    section, key = text.partition("=")[0].split(".")
    variable, written = f"ALCLI_{section}_{key}".upper(), text.partition("=")[2]
    values = [
        getattr(getattr(config.load(tmp_path, overrides, environ), section), key)
        for overrides, environ in (([text], {}), ([], {variable: written}))
    ]
    assert values == [expected, expected]
    assert [type(value) for value in values] == [type(expected)] * 2


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("platform.name=superannotate", "platform.project=2024", "2024"),
        ("platform.name=superannotate", "platform.project=a=b", "a=b"),
        ("platform.name=superannotate", "platform.project='2024'", "2024"),
        ("platform.name=superannotate", "platform.project=1e3", "1e3"),
        ("platform.name=superannotate", "platform.project=none", "none"),
        ("platform.name=superannotate", "platform.project=", None),
        ("platform.name=superannotate", "platform.folders=1,2", ("1", "2")),
        ("platform.name=superannotate", "platform.timeout=7", 7.0),
        ("platform.name=folder", "platform.images=", None),
        ("task.name=pose", 'task.flip_pairs=[["a","b"]]', (("a", "b"),)),
        ("task.name=pose", "task.flip_pairs=[[1,2],[3,4]]", (("1", "2"), ("3", "4"))),
        ("task.name=pose", "task.sigmas={nose=0.03}", {"nose": 0.03}),
        ("task.name=pose", "task.subject=7", "7"),
        ("task.name=segmentation", "task.ignore_index=11", 11),
        ("task.name=classification", "task.multi_label=true", True),
    ],
)
def test_the_type_of_a_plug_ins_own_setting_reads_a_text(tmp_path, name, text, expected):
    (section, key), written = text.partition("=")[0].split("."), text.partition("=")[2]
    for overrides, environ in (
        ([name, text], {}),
        ([name], {f"ALCLI_{section}_{key}".upper(): written}),
        ([text], {f"ALCLI_{section}_NAME".upper(): name.partition("=")[2]}),
    ):
        value = getattr(getattr(config.load(tmp_path, overrides, environ), section), key)
        assert (value, type(value)) == (expected, type(expected))


def test_paths_that_look_like_numbers_are_paths(tmp_path):
    for loaded in (
        config.load(tmp_path, ["platform.images=2024"], {}),
        config.load(tmp_path, [], {"ALCLI_PLATFORM_IMAGES": "2024"}),
        config.load(make(tmp_path, "[platform]\nimages = 2024\n"), [], {}),
    ):
        assert loaded.platform.images == tmp_path / "2024"
    assert config.load(tmp_path, ["model.weights=7"], {}).model.weights == str(tmp_path / "7")


def test_the_file_is_read_by_type_too(tmp_path):
    text = "[platform]\nname = 'superannotate'\nproject = 2024\n[task]\nclasses = [1, 'b']\n[train]\nmilestones = 0.7\n"
    loaded = config.load(make(tmp_path, text), [], {})
    assert (loaded.platform.project, loaded.task.classes) == ("2024", ("1", "b"))
    assert loaded.train.milestones == (0.7,)
    with pytest.raises(UsageError, match=r"platform\.name = True"):
        config.load(make(tmp_path, "[platform]\nname = true\n"), [], {})


def test_a_flags_value_is_not_parsed_again(tmp_path):
    given = [("platform.name", "superannotate"), ("platform.project", "'a' # b"), ("task.classes", "1,2")]
    loaded = config.load(tmp_path, given, {})
    assert (loaded.platform.project, loaded.task.classes) == ("'a' # b", ("1", "2"))


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (
            ["task.flip_pairs=[['a','b']]"],
            "task.flip_pairs belongs to the task pose; this workspace has task.name = detection.",
        ),
        (
            ["task.name=pose", "task.multi_label=true"],
            "task.multi_label belongs to the task classification; this workspace has task.name = pose.",
        ),
        (
            ["platform.name=superannotate", "platform.annotations=x"],
            "platform.annotations belongs to the platform folder or oracle; this workspace has "
            "platform.name = superannotate.",
        ),
        (["task.input_size=160"], "Unknown key 'task.input_size'. Did you mean model.input_size?"),
        (["score.epochs=3"], "Unknown key 'score.epochs'. Did you mean train.epochs?"),
        (["model.batch_size=3"], "Unknown key 'model.batch_size'. Did you mean train.batch_size or score.batch_size?"),
        (["platform.image=x"], "Unknown key 'platform.image'. Did you mean images?"),
        (["platform.images=x", "platform.fromat=y"], "Unknown key 'platform.fromat'. Did you mean format?"),
    ],
)
def test_an_option_of_another_plug_in_is_refused_by_its_name(tmp_path, overrides, told):
    with pytest.raises(UsageError) as error:
        config.load(tmp_path, overrides, {})
    assert told in error.value.what


def test_a_variable_of_another_plug_in_is_refused_by_its_name(tmp_path):
    with pytest.raises(UsageError, match=r"task\.subject belongs to the task pose") as error:
        config.load(tmp_path, [], {"ALCLI_TASK_SUBJECT": "cow"})
    assert error.value.do == "Unset ALCLI_TASK_SUBJECT."


def test_paths_of_every_section_and_plug_in_start_at_the_workspace(tmp_path):
    settings = ["platform.name=superannotate", "platform.token_file=t.ini", "platform.images=/copy"]
    platform = config.load(tmp_path, settings, {}).platform
    assert (platform.token_file, platform.images) == (tmp_path / "t.ini", Path("/copy"))

    class Paths(config.Section):
        one: Path | None = None
        several: tuple[Path, ...] = ()
        named: dict[str, Path] = {}

    read = Paths(one="a", several="b,c", named={"d": "e"}).resolve_paths(tmp_path, "x")
    assert (read.one, read.several) == (tmp_path / "a", (tmp_path / "b", tmp_path / "c"))
    assert read.named == {"d": tmp_path / "e"}
    assert Paths().resolve_paths(tmp_path, "x") == Paths()


def test_a_configuration_is_completed_with_the_plug_ins_defaults(tmp_path):
    loaded = config.load(tmp_path, ["task.name=pose", "platform.name=superannotate", "task.aggregate=max"], {})
    assert "sigmas" not in loaded.model_dump()["task"]
    content = loaded.complete().model_dump(mode="json")
    assert (content["task"]["subject"], content["task"]["aggregate"]) == ("person", "max")
    assert content["platform"]["pool_statuses"] == ["NotStarted"]
    assert loaded.complete().complete() == loaded.complete()


def test_every_setting_has_a_description():
    for section in config.Config.model_fields:
        kinds = config.KINDS.get(section)
        fields = dict(config.shared_options(section).model_fields)
        for name in plugins.names(kinds) if kinds else ():
            fields |= config.fields_of_plug_in(section, name)
        for key, field in fields.items():
            assert field.description, f"{section}.{key}"


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
    with pytest.raises(UsageError, match=r"Unknown variable ALCLI_TRAIN_A\.B"):
        config.load(tmp_path, environ={"ALCLI_TRAIN_A.B": "6"})
    assert config.load(tmp_path, environ={"ALCLI_DATA": "somewhere", "ALCLIENT": "x"}).train.epochs
