"""The README is true: its commands exist and run, and its tables and outputs are those of the code."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path

import click
import pytest
from PIL import Image

from alcli import config
from alcli.cli import cli
from alcli.errors import EXIT_CODES
from alcli.simulation import quickstart
from alcli.system.typed_values import type_in_words
from tests.support.scenes import COLOURS, Photos, scene

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = cli.list_commands(click.Context(cli))
NUMBER = re.compile(r"[-+−]?\d[\d,]*(?:\.\d+)?")
QUICK = {"train.epochs": 1, "train.workers": 0, "score.workers": 0, "model.input_size": 64}


def between(text: str, start: str, end: str) -> str:
    return text.split(start)[1].split(end)[0]


def block(name: str, text: str = README) -> list[str]:
    """The lines between a pair of comments, without the fences of code."""
    lines = between(text, f"<!-- {name} -->", f"<!-- /{name} -->").strip().splitlines()
    return [line for line in lines if not line.startswith("```")]


def table(name: str, text: str = README) -> list[list[str]]:
    """The cells of a table's rows below its header; ``\\|`` is a bar inside a cell."""
    rows = [line.strip().strip("|") for line in block(name, text) if line.startswith("|")]
    return [[cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", row)] for row in rows[2:]]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_in_the_readme(name):
    assert re.search(rf"alcli {name}\b", README)


def test_the_readme_stays_short():
    assert len(README.splitlines()) < 250


def test_every_command_line_in_the_readme_parses():
    blocks = re.findall(r"```sh\n(.*?)```", README, re.S)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    calls = [shlex.split(part, comments=True) for line in lines for part in line.split("&&")]
    calls = [words for words in calls if words and words[0].endswith("alcli")]
    assert len(calls) >= 20
    for _, name, *arguments in calls:
        command = cli.get_command(click.Context(cli), name)
        assert command is not None, name
        command.make_context(name, arguments, resilient_parsing=False)


def test_the_readmes_test_command_is_what_ci_runs():
    assert ".venv/bin/python -m pytest" in README
    script = (ROOT / ".ci" / "run").read_text()
    assert "install -q '.[test]'" in script
    assert script.rstrip().endswith('"$venv/bin/python" -m pytest')


@pytest.mark.parametrize("path", sorted(set(re.findall(r"\b(?:tests|examples)/[\w./-]*\w", README))))
def test_every_path_in_the_readme_exists(path):
    assert (ROOT / path).exists()


def without_numbers(lines: list[str]) -> list[str]:
    """What stays the same in every run: no numbers, no progress, no folder."""
    kept = [line for line in lines if not line.endswith(" left")]
    return [NUMBER.sub("#", line).rstrip() for line in kept]


def test_the_quickstarts_output_is_current(alcli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, value in (("START", 30), ("BUDGET", 5), ("POOL", 45), ("TEST", 6)):
        monkeypatch.setattr(quickstart, name, value)
    quick = {"train.epochs": 2, "selection.budget": 5, "train.workers": 0}
    monkeypatch.setattr(quickstart, "SETTINGS", {**quickstart.SETTINGS, **quick})
    code, out, err = alcli("quickstart")
    assert code == 0, err
    assert without_numbers(block("quickstart")) == without_numbers([*err.splitlines(), *out.splitlines()])


@pytest.fixture
def own_images(photos: Photos, monkeypatch) -> Path:
    """The same photographs with labels in every format that the README names, in the current folder."""
    root, numbers = photos.root, range(8)
    monkeypatch.chdir(root)
    (root / "images").rename("photos")
    (root / "annotations").rename("labels")
    photos.coco(list(numbers)).rename("instances.json")
    shutil.copytree("photos", "dataset/images")
    for folder in ("dataset/labels", "sorted/odd", "sorted/even", "masks"):
        Path(folder).mkdir(parents=True)
    names = sorted(COLOURS)
    Path("dataset/data.yaml").write_text(f"names: [{', '.join(names)}]\n")
    Path("masks/classes.txt").write_text("\n".join(["background", *names]) + "\n")
    for number in numbers:
        picture, boxes = scene(number)
        write_yolo(Path(f"dataset/labels/photo_{number:02d}.txt"), picture, boxes)
        mask = Image.new("L", picture.size)
        for box in boxes:
            mask.paste(names.index(box.label) + 1, (int(box.x1), int(box.y1), int(box.x2), int(box.y2)))
        mask.save(f"masks/photo_{number:02d}.png")
        shutil.copy(Path("photos", photos.name(number)), Path("sorted", "odd" if number % 2 else "even"))
    rows = [f"{photos.name(number)},{'odd' if number % 2 else 'even'}\n" for number in numbers]
    Path("labels.csv").write_text("name,label\n" + "".join(rows))
    Path("people.json").write_text(json.dumps(people(photos)))
    return root


def write_yolo(path: Path, picture: Image.Image, boxes: list) -> None:
    width, height = picture.size
    lines = [
        f"{sorted(COLOURS).index(box.label)} {(box.x1 + box.x2) / 2 / width} {(box.y1 + box.y2) / 2 / height} "
        f"{(box.x2 - box.x1) / width} {(box.y2 - box.y1) / height}\n"
        for box in boxes
    ]
    path.write_text("".join(lines))


def people(photos: Photos) -> dict:
    """COCO keypoints: the corners of each photograph's first rectangle are its joints."""
    boxes = [scene(number)[1][0] for number in range(8)]
    category = {"id": 1, "name": "person", "keypoints": ["left_hip", "right_hip"]}
    return {
        "images": [{"id": n, "file_name": photos.name(n), "width": 96, "height": 80} for n in range(8)],
        "categories": [category],
        "annotations": [
            {
                "id": n, "image_id": n, "category_id": 1, "num_keypoints": 2,
                "bbox": [box.x1, box.y1, box.x2 - box.x1, box.y2 - box.y1],
                "keypoints": [box.x1, box.y1, 2, box.x2, box.y2, 2],
            }
            for n, box in enumerate(boxes)
        ],
    }  # fmt: skip


def quick_words(line: str) -> list[str]:
    """A command of the README that neither downloads weights nor takes minutes."""
    words = ["none" if word == "imagenet" else word for word in shlex.split(line, comments=True)[1:]]
    if words[0] == "init":
        words += ["--model", "ssd-tiny"] if "--task" not in words else []
        words += [flag for key, value in QUICK.items() for flag in ("--set", f"{key}={value}")]
    return words


def test_the_readmes_first_commands_on_own_images_work(own_images, alcli):
    lines = next(each for each in re.findall(r"```sh\n(.*?)```", README, re.S) if "alcli init W --images" in each)
    for command in lines.replace(" && ", "\n").strip().splitlines():
        code, _, err = alcli(*quick_words(command))
        assert code == 0, err
    assert len((own_images / "priorities.csv").read_text().splitlines()) == 5
    assert (own_images / "priorities.wide.csv").exists() and (own_images / "W/queue.csv").exists()


@pytest.mark.parametrize("line", block("formats"))
def test_every_format_of_the_readme_works(line, own_images, alcli):
    code, _, err = alcli(*quick_words(line))
    assert code == 0, err
    code, out, err = alcli("cycle", "-w", "W")
    assert code == 0, err
    assert "Ranked 4 images; the first 4 are to be annotated (strategy: auto)." in out


def default_in_words(value: object) -> str:
    """A default as `--set` would take it; empty for none."""
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None or value == () else str(value)


def settings_that_differ(readme: str) -> list[str]:
    """The settings of the README's table that are not those of ``alcli.config``."""
    wrong = []
    for name, kind, default, _ in table("settings", readme):
        section, _, key = name.strip("`").partition(".")
        options = config.Config.model_fields.get(section)
        field = type(options.default).model_fields.get(key) if options else None
        if field is None or (kind, default) != (type_in_words(field.annotation), default_in_words(field.default)):
            wrong.append(name.strip("`"))
    return wrong


def test_the_table_of_settings_is_that_of_the_configuration():
    assert len(table("settings")) >= 7
    assert settings_that_differ(README) == []


@pytest.mark.parametrize(
    ("right", "wrong", "setting"),
    [
        ("`train.epochs` | whole number | 30 |", "`train.epochs` | whole number | 31 |", "train.epochs"),
        ("`train.epochs` | whole number |", "`train.epochs` | number |", "train.epochs"),
        ("`train.epochs`", "`train.epoch`", "train.epoch"),
        ("`task.classes`", "`tasks.classes`", "tasks.classes"),
        (r"warm \| scratch | warm", r"warm \| scratch | scratch", "train.init"),
    ],
)
def test_a_wrong_table_of_settings_is_noticed(right, wrong, setting):
    before, separator, after = README.partition("<!-- settings -->")
    assert right in after
    assert settings_that_differ(before + separator + after.replace(right, wrong)) == [setting]


def test_the_exit_codes_are_those_of_the_code():
    codes = {int(code): meaning for code, meaning in table("exit codes")}
    assert codes == {code: EXIT_CODES.get(code) for code in codes} and len(codes) >= 5


def test_the_plug_in_is_that_of_the_example():
    example = (ROOT / "examples/third_party_strategy/surprising_count.py").read_text(encoding="utf-8").splitlines()
    lines = [line.removesuffix(" ...") for line in block("plug-in") if line]
    assert len(lines) >= 3
    assert [line for line in lines if line not in example] == []


def test_every_figure_of_the_readme_is_in_the_results_that_it_links():
    measured = between(README, "## Measured", "## Contributing")
    results = "".join((ROOT / link).read_text(encoding="utf-8") for link in re.findall(r"\]\((.*?)\)", measured))
    figures = re.findall(r"\*\*(.+?)\*\*", measured)
    assert len(figures) >= 3
    assert [figure for figure in figures if figure not in results] == []
    outside = re.sub(r"\*\*.+?\*\*|\(.*?\)|\[.*?\]|`.*?`|\b\d+ paired runs|95 % intervals|top-1|AP50", "", measured)
    assert not re.search(r"\d", outside), "figures are bold"


def test_the_changelog_keeps_its_form():
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert text.startswith("# Changelog")
    assert "## [Unreleased]" in text


def test_the_top_level_is_as_agreed():
    agreed = {"alcli", "tests", "examples", "setup.cfg", "pyproject.toml", "README.md", "CHANGELOG.md", "LICENSE"}
    built = {"build", "alcli.egg-info", "alcli-quickstart"}  # what the README's first command leaves
    assert {path.name for path in ROOT.iterdir() if not path.name.startswith(".")} - built == agreed
