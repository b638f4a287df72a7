"""What alcli does, frozen: two cycles of every task and a simulation, compared with the files in ``tests/golden``.

The tests read only the command line's output, files and the database, so they survive any move of code.
The environment variable ``ALCLI_GOLDEN`` chooses one of three modes:

* unset: decisions must be equal; numbers may differ by 1 %, and items with scores that close may swap ranks, because
  processors round differently. Descriptions for people may be reworded. On another kind of processor or release of
  torch, where a training takes another course, only files, columns, names and keys are compared;
* ``exact``: everything must be equal byte for byte, to check a refactoring on one machine;
* ``write``: write the golden files anew, after an intended change of behavior.

Paths, times and checksums are replaced by a word first.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
import sqlite3
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image, ImageDraw
from safetensors.torch import save_file

MODE = os.environ.get("ALCLI_GOLDEN", "")
GOLDEN = Path(__file__).parent / "golden"
CLOSE = 1e-2
SIZE = (96, 80)
TOO_LITTLE_DATA = 5
"""Exit code of a forecast when only one cycle has a metric."""
RANK_COLUMNS = ("rank", "score_percentile", "asked", "cycle", "strategy", "model", "entropy_value")
"""Columns that belong to a rank; the others belong to the item."""
PROSE = {"reason", "text", "verdict", "message", "outlook", "detail"}
"""Keys of sentences that contain numbers."""
DESCRIPTIONS = {"what it does", "meaning"}
"""Keys of texts that describe alcli itself and may be reworded."""
RANK_KEYS = {"rank", "percentile", "loss_rank_correlation"}
"""Keys of documents whose values change when two items swap ranks."""
TRAINING = (
    "model.weights=none", "train.workers=0", "score.workers=0", "model.input_size=64", "train.batch_size=8",
    "train.validation=0.3",
    "train.optimizer=sgd", "train.learning_rate=0.01", "train.precision=float32", "score.precision=float32",
    "cost.seconds_per_item=5", "cost.seconds_per_object=2",
)  # fmt: skip
"""SGD, because Adam turns the last digit of a gradient near zero into a whole step."""


# --- Small projects. Images are BMP files: the same bytes on every machine.


@dataclass(frozen=True)
class Project:
    """One task: how its images are drawn and annotated, and what its two cycles do.

    Attributes:
        names: of all images, in order.
        labeled: numbers of the images annotated before each cycle; the second set includes requested ones.
        wrong: numbers of the images with a wrong annotation.
        cycles: further arguments of each cycle.
        explained: numbers of the images to explain.
    """

    names: tuple[str, ...]
    draw: Callable[[int], Image.Image]
    annotate: Callable[[Path, dict[str, int], Collection[int]], Path]
    labeled: tuple[Collection[int], Collection[int]]
    settings: tuple[str, ...]
    explained: tuple[int, ...]
    wrong: tuple[int, ...] = ()
    cycles: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())


def draw_noise(number: int, low: int = 90, high: int = 140) -> Image.Image:
    """A grey picture of noise, different for each number."""
    rng = np.random.default_rng(number)
    return Image.fromarray(rng.integers(low, high, (SIZE[1], SIZE[0], 3), dtype=np.uint8))


def draw_shades(number: int) -> Image.Image:
    """Even numbers are dark, odd ones bright, in shades; 49, 53 and 57 are copies, so their scores are equal."""
    copy = number - 1 if number >= 48 and number % 4 == 1 else number
    level = 10 * (copy % 7) + 150 * (copy % 2)
    return draw_noise(copy, level, level + 40)


def write_classes(folder: Path, numbers: dict[str, int], wrong: Collection[int]) -> Path:
    """A CSV of ``name,label``."""
    lines = [f"{name},{('dark', 'bright')[number % 2 != (number in wrong)]}" for name, number in numbers.items()]
    (folder / "labels.csv").write_text("\n".join(["name,label", *lines, ""]))
    return folder / "labels.csv"


def boxes(number: int) -> list[tuple[str, int, int, int, int]]:
    """One to three draw_rectangles: class, left, top, right, bottom."""
    rng = np.random.default_rng(1000 + number)
    corners = [(*rng.integers(0, 40, 2).tolist(), *rng.integers(16, 40, 2).tolist()) for _ in range(1 + number % 3)]
    return [("red", x, y, x + w, y + h) if w > h else ("blue", x, y, x + w, y + h) for x, y, w, h in corners]


def draw_rectangles(number: int) -> Image.Image:
    """The boxes, drawn on noise."""
    picture = draw_noise(number)
    for label, *corners in boxes(number):
        ImageDraw.Draw(picture).rectangle(corners, fill={"red": (220, 40, 40), "blue": (50, 70, 230)}[label])
    return picture


def write_voc(folder: Path, numbers: dict[str, int], wrong: Collection[int]) -> Path:
    """A folder of Pascal VOC XML."""
    for name, number in numbers.items():
        objects = "".join(
            f"<object><name>{label}</name><bndbox><xmin>{x1}</xmin><ymin>{y1}</ymin><xmax>{x2}</xmax>"
            f"<ymax>{y2}</ymax></bndbox></object>"
            for label, x1, y1, x2, y2 in boxes(number)
        )
        path = (folder / "labels" / name).with_suffix(".xml")
        path.parent.mkdir(parents=True, exist_ok=True)
        size = f"<size><width>{SIZE[0]}</width><height>{SIZE[1]}</height></size>"
        path.write_text(f"<annotation>{size}{objects}</annotation>")
    return folder / "labels"


def joints(number: int) -> dict[str, tuple[int, int]]:
    """Where the joints of a figure are."""
    x, y = 20 + 7 * number % 50, 14 + 5 * number % 24
    return {"head": (x, y), "left_hand": (x + 12, y + 16), "right_hand": (x - 12, y + 16), "foot": (x, y + 34)}


def draw_figure(number: int) -> Image.Image:
    """The joints of a figure, drawn on noise."""
    picture = draw_noise(number)
    for joint, (x, y) in enumerate(joints(number).values()):
        ImageDraw.Draw(picture).ellipse((x - 4, y - 4, x + 4, y + 4), fill=(255, 60 * joint, 255 - 60 * joint))
    return picture


def write_coco(folder: Path, numbers: dict[str, int], wrong: Collection[int]) -> Path:
    """One COCO file with keypoints."""
    images = [
        {"id": number, "file_name": name, "width": SIZE[0], "height": SIZE[1]} for name, number in numbers.items()
    ]
    people = [
        {
            "id": number,
            "image_id": number,
            "category_id": 1,
            "bbox": [joints(number)["head"][0] - 16, joints(number)["head"][1] - 8, 32, 50],
            "num_keypoints": 4,
            "keypoints": [part for x, y in joints(number).values() for part in (x, y, 2)],
        }
        for number in numbers.values()
    ]
    categories = [{"id": 1, "name": "person", "keypoints": list(joints(0))}]
    (folder / "coco.json").write_text(json.dumps({"images": images, "annotations": people, "categories": categories}))
    return folder / "coco.json"


def stripe(number: int) -> tuple[int, int]:
    """Left and right edge of the second class in pixels."""
    return 10 + 9 * number % 40, 50 + 11 * number % 40


def draw_stripe(number: int) -> Image.Image:
    """A stripe of another color, on noise."""
    picture = draw_noise(number, 20 * (number % 3), 80 + 20 * (number % 3))
    left, right = stripe(number)
    ImageDraw.Draw(picture).rectangle((left, 0, right - 1, SIZE[1]), fill=(200, 40 * (number % 4), 60))
    return picture


def write_masks(folder: Path, numbers: dict[str, int], wrong: Collection[int]) -> Path:
    """A folder of PNG masks with their list of classes."""
    for name, number in numbers.items():
        pixels = np.zeros(SIZE[::-1], dtype=np.uint8)
        left, right = stripe(number)
        pixels[:, left:right] = 1
        path = (folder / "masks" / name).with_suffix(".png")
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    (folder / "masks/classes.txt").write_text("ground\nstripe\n")
    return folder / "masks"


def numbered_names(count: int, *stems: str) -> tuple[str, ...]:
    """Image names that use these stems in turn."""
    return tuple(f"{stems[number % len(stems)]}{number:02}.bmp" for number in range(count))


PROJECTS = {
    "classification": Project(
        numbered_names(60, "img_"), draw_shades, write_classes, (range(28), range(44)),
        wrong=(33, 38), explained=(33, 50),
        settings=("model.name=resnet18", "train.epochs=4", "strategy.name=margin", "strategy.random_share=0.25",
                  "selection.budget=8", "selection.recheck_share=0.25", "selection.min_distance=0.0003"),
        cycles=(("--set", "selection.recheck_share=0"), ()),
    ),
    "detection": Project(
        numbered_names(20, "north_", "south_", "east_"), draw_rectangles, write_voc, (range(10), range(13)),
        explained=(11, 15),
        settings=("model.name=ssd-tiny", "train.epochs=2", "strategy.name=learned-loss", "selection.budget=4",
                  "selection.per_group=1"),
    ),
    "pose": Project(
        numbered_names(16, "img_"), draw_figure, write_coco, (range(8), range(11)), explained=(9, 12),
        settings=("model.name=mobilenet-v2", "train.epochs=6", "strategy.name=entropy",
                  "selection.budget=3"),
        cycles=((), ("--strategy", "output-discrepancy")),
    ),
    "segmentation": Project(
        numbered_names(18, "day/img_", "night/img_"), draw_stripe, write_masks, (range(8), (*range(8), 11, 13, 14)),
        explained=(11, 16),
        settings=("model.name=mobilenet-v2", "train.epochs=6", "train.learning_rate=0.05",
                  "strategy.name=entropy", "task.aggregate=top-k", "task.top_k=1000",
                  "selection.budget=3"),
    ),
}  # fmt: skip


# --- The comparison.


@dataclass
class Play:
    """One workspace: runs commands and collects their documents and files."""

    alcli: Callable[..., tuple[int, str, str]]
    folder: Path

    def __post_init__(self) -> None:
        self.workspace = self.folder / "W"
        self.documents: dict[str, Any] = {}
        self.files: dict[str, str] = {}

    def run(self, name: str, *arguments: object) -> None:
        """Run a command with ``--json`` and record its exit code and document."""
        code, out, err = self.alcli(*arguments, "--json")
        assert code in (0, TOO_LITTLE_DATA), err
        self.documents[name] = {"exit_code": code, "document": json.loads(out)}

    def run_here(self, command: str, *arguments: object, name: str = "") -> None:
        """Run a command in the workspace and record it."""
        self.run(name or command, command, *arguments, "-w", self.workspace)

    def keep(self, name: str, path: Path) -> None:
        """Record the text of a file."""
        self.files[name] = path.read_text(encoding="utf-8")

    def compare(self, folder: str) -> None:
        """Compare everything recorded with the golden files of a folder, or write them."""
        texts = {name: self.scrub(text) for name, text in self.files.items()}
        if self.documents:
            texts["documents.json"] = self.scrub(json.dumps(self.documents, indent=1, ensure_ascii=False)) + "\n"
        if MODE == "write":
            write_golden(GOLDEN / folder, texts)
            return
        golden = {path.name: path.read_text(encoding="utf-8") for path in (GOLDEN / folder).iterdir()}
        assert sorted(golden) == sorted(texts)
        compare = exact_differences if MODE == "exact" else differences if same_arithmetic() else outline_differences
        assert not [line for name in sorted(golden) for line in compare(name, golden, texts)]

    def scrub(self, text: str) -> str:
        """Replace what differs from run to run by a word."""
        text = text.replace(str(self.folder), "FOLDER")
        for pattern, word in VOLATILE:
            text = re.sub(pattern, word, text)
        return text


VOLATILE = (
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[\d.]*(Z|[+-]\d\d:\d\d)?", "TIME"),
    (r"\b[0-9a-f]{32,64}\b", "CHECKSUM"),
    (r'"run": "[0-9a-f]{8}"', '"run": "RUN"'),
    (r'"bytes": \d+', '"bytes": "COUNT"'),
)


def arithmetic() -> str:
    """What decides how a training rounds: the release of torch and the instructions that it uses."""
    return f"torch {'.'.join(torch.__version__.split('.')[:2])}, {torch.backends.cpu.get_cpu_capability()}\n"


def same_arithmetic() -> bool:
    """Whether the golden numbers come from arithmetic like this machine's."""
    return (GOLDEN / "arithmetic.txt").read_text(encoding="utf-8") == arithmetic()


def write_golden(folder: Path, texts: dict[str, str]) -> None:
    """Replace the golden files of one folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        path.unlink()
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    (GOLDEN / "arithmetic.txt").write_text(arithmetic(), encoding="utf-8")


def exact_differences(name: str, golden: dict[str, str], texts: dict[str, str]) -> list[str]:
    """The lines of one file that changed."""
    before, after = golden[name].splitlines(keepends=True), texts[name].splitlines(keepends=True)
    lines = [f"{name}:{n}: {a!r}, not {b!r}" for n, (b, a) in enumerate(zip(before, after, strict=False), 1) if a != b]
    return lines + [f"{name}: {len(after)} lines, not {len(before)}"] * (len(after) != len(before))


def outline_differences(name: str, golden: dict[str, str], texts: dict[str, str]) -> list[str]:
    """The differences in one file that no rounding explains: columns, names of items, keys."""
    if name == "documents.json":
        return list(key_differences(name, json.loads(golden[name]), json.loads(texts[name])))
    if not name.endswith(".csv"):
        return exact_differences(name, golden, texts)
    before, after = csv_lines(golden[name]), csv_lines(texts[name])
    same = before[0].keys() == after[0].keys() and names_of(before) == names_of(after)
    return [] if same else [f"{name}: other columns or items"]


def names_of(lines: list[dict[str, Any]]) -> list[str]:
    """The names of the items, or of the strategies of a simulation, sorted."""
    return sorted(line["name"] if "name" in line else line["arm"] for line in lines)


def key_differences(where: str, golden: Any, value: Any) -> Iterator[str]:
    """The differences in the keys of two documents; of lists, the first entries are compared."""
    if isinstance(golden, dict) and isinstance(value, dict):
        if golden.keys() != value.keys():
            yield f"{where}: the keys are {list(value)}, not {list(golden)}"
        for key in golden.keys() & value.keys():
            yield from key_differences(f"{where}.{key}", golden[key], value[key])
    elif isinstance(golden, list) and isinstance(value, list) and golden and value:
        yield from key_differences(f"{where}[0]", golden[0], value[0])


def differences(name: str, golden: dict[str, str], texts: dict[str, str]) -> list[str]:
    """The differences in one file beyond rounding."""
    if name == "documents.json":
        return list(value_differences(name, json.loads(golden[name]), json.loads(texts[name])))
    if not name.endswith(".csv"):
        return exact_differences(name, golden, texts)
    before, after = csv_lines(golden[name]), csv_lines(texts[name])
    if name == "curves.csv":
        return list(value_differences(name, before, after))
    full = f"{name[:2]}scores.csv"
    scores = {line["name"]: float(line["score"]) for line in csv_lines(golden[full])}
    return list(list_differences(name, before, after, scores))


def csv_lines(text: str) -> list[dict[str, Any]]:
    """The lines of a CSV file; decimal numbers become floats."""
    lines = csv.DictReader(io.StringIO(text))
    return [{key: float(value) if "." in value and is_number(value) else value for key, value in line.items()}
            for line in lines]  # fmt: skip


def is_number(text: str) -> bool:
    """Whether the text is a number."""
    try:
        return bool(text) and float(text) == float(text)
    except ValueError:
        return False


def list_differences(name: str, before: list, after: list, scores: dict[str, float]) -> Iterator[str]:
    """The differences of two ranked lists; rank columns are compared by rank, the others by item."""
    headers = ([list(line) for line in lines[:1]] for lines in (before, after))
    names = (sorted(line["name"] for line in lines) for lines in (before, after))
    yield from value_differences(f"{name} header", *headers)
    yield from value_differences(f"{name} names", *names)
    known = {line["name"]: line for line in before}
    for golden, line in zip(before, after, strict=False):
        where, item = f"{name} {line['name']}", known.get(line["name"], golden)
        for key in line.keys() & {*RANK_COLUMNS, "arm"}:
            yield from value_differences(f"{where}.{key}", golden.get(key), line[key])
        if not close(scores[item["name"]], scores[golden["name"]]):
            yield f"{where} has the rank of {golden['name']}"
        # Requested items have more reasons.
        passed_over = {"reason"} if item.get("asked") != line.get("asked") else set()
        for key in line.keys() - set(RANK_COLUMNS) - passed_over:
            yield from value_differences(f"{where}.{key}", item.get(key), line[key])


def value_differences(where: str, golden: Any, value: Any) -> Iterator[str]:
    """The differences of two documents, each with its path; the order of keys is free, as JSON's is."""
    key = where.rpartition(".")[2]
    if kind(golden) is not kind(value):
        yield f"{where}: {value!r}, not {golden!r}"
    elif isinstance(golden, dict):
        if golden.keys() != value.keys():
            yield f"{where}: the keys are {list(value)}, not {list(golden)}"
        for part in golden.keys() & value.keys():
            yield from value_differences(f"{where}.{part}", golden[part], value[part])
    elif isinstance(golden, list):
        if len(golden) != len(value):
            yield f"{where}: {len(value)} entries, not {len(golden)}"
        elif golden and isinstance(golden[0], dict) and {"name", "score"} <= golden[0].keys():
            yield from head_differences(where, golden, value)
        else:
            for number, (before, after) in enumerate(zip(golden, value, strict=True)):
                yield from value_differences(f"{where}[{number}]", before, after)
    elif not equal(key, golden, value):
        yield f"{where}: {value!r}, not {golden!r}"


def head_differences(where: str, golden: list[dict], value: list[dict]) -> Iterator[str]:
    """The differences of two lists cut to their first items; the last may have swapped with one not shown."""
    scores = {entry["name"]: entry["score"] for entry in golden}
    for before, after in zip(golden, value, strict=True):
        if before.keys() != after.keys() or before["rank"] != after["rank"]:
            yield f"{where}: {after}, not {before}"
        elif not close(before["score"], scores.get(after["name"], after["score"])):
            yield f"{where}: {after['name']} has the rank of {before['name']}"


def equal(key: str, golden: Any, value: Any) -> bool:
    """Whether two plain values are equal up to rounding."""
    if key in RANK_KEYS or key in DESCRIPTIONS:
        return True
    if kind(golden) is float:
        return close(golden, value)
    if key in PROSE:
        return without_numbers(golden) == without_numbers(value)
    return bool(golden == value)


def kind(value: Any) -> type:
    """The type of a value as JSON sees it: 5 and 5.0 are both numbers, true is not."""
    return float if type(value) is int else type(value)


def close(golden: float, value: float) -> bool:
    """Whether two numbers are equal up to rounding."""
    return bool(abs(golden - value) <= CLOSE * max(1.0, abs(golden)))


def without_numbers(text: str) -> str:
    """A sentence with each number replaced by a sign."""
    text = re.sub(r"(top|lowest) \d+ %", "# %", text)
    text = text.replace("far from everything labeled: nearest is", "nearest labeled:")
    return re.sub(r"[-+]?\d+(\.\d+)?(e-?\d+)?", "#", text)


# --- The tests.


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    """The golden numbers come from one CPU thread in single precision."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("task", PROJECTS)
def test_two_cycles(task, alcli, tmp_path):
    project, play = PROJECTS[task], Play(alcli, tmp_path)
    make_workspace(play, task, project)
    for number, labeled in enumerate(project.labeled, 1):
        annotate(play, project, labeled)
        play.run_here("cycle", "--dry-run", name=f"cycle {number} --dry-run")
        play.run_here("cycle", *project.cycles[number - 1], name=f"cycle {number}")
        folder = play.workspace / f"cycles/{number:04}"
        for name in ("priorities.csv", "priorities.wide.csv", "scores.csv"):
            play.keep(f"{number}.{name}", folder / name)
    run_queries(play, project)
    run_changes(play, project)
    play.files["files.txt"] = file_list(play)
    play.compare(task)


def file_list(play: Play) -> str:
    """Every file of the workspace except logs and SQLite's own side files."""
    paths = [path.relative_to(play.workspace).as_posix() for path in play.workspace.rglob("*") if path.is_file()]
    files = [path for path in paths if not path.startswith("logs/") and not path.endswith(("-shm", "-wal"))]
    return "\n".join(sorted(map(play.scrub, files))) + "\n"


def make_workspace(play: Play, task: str, project: Project) -> None:
    """Draw all images and create the workspace."""
    for number, name in enumerate(project.names):
        path = play.folder / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        project.draw(number).save(path)
    labels = annotate(play, project, project.labeled[0])
    flags = [flag for setting in (*TRAINING, *project.settings) for flag in ("--set", setting)]
    where = ("--images", play.folder / "images", "--annotations", labels)
    play.run("init", "init", play.workspace, "--task", task, *where, *flags)


def annotate(play: Play, project: Project, labeled: Collection[int]) -> Path:
    """Write the annotations of these images."""
    return project.annotate(play.folder, {project.names[number]: number for number in labeled}, project.wrong)


def run_queries(play: Play, project: Project) -> None:
    """Run every command that leaves the list as it is."""
    play.run_here("cycle", name="cycle with nothing new")
    play.run_here("status")
    play.run_here("score")
    play.run_here("score", "--top", 2, name="score --top 2")
    play.run_here("export-csv", "-o", play.folder / "out.csv")
    play.run_here("export-csv", "--top", 3, "-o", play.folder / "top.csv", name="export-csv --top 3")
    play.run_here("push", "--dry-run")
    play.run_here("push", name="push for good")
    play.run_here("report")
    play.run_here("forecast")
    play.run_here("forecast", "--target", 0.9, name="forecast --target 0.9")
    for number in project.explained:
        play.run_here("explain", project.names[number], name=f"explain {project.names[number]}")
    for what in ("items", "quarantine", "cycles"):
        play.run_here("list", what, name=f"list {what}")
    play.run_here("health")


def run_changes(play: Play, project: Project) -> None:
    """Run the commands that change the list or start a new cycle."""
    play.run_here("skip", project.names[-1])
    play.run_here("skip", name="skip without a name")
    play.run_here("push", name="push after skip")
    play.run_here("skip", "--undo", name="skip --undo")
    play.run_here("push", "--restore", name="push --restore")
    play.run_here("pull")
    play.run_here("train")
    play.run_here("score", "--strategy", "random", name="score --strategy random")
    play.run_here("backup", play.folder / "copy")


def test_a_frozen_simulation(alcli, tmp_path):
    play = Play(alcli, tmp_path)
    draw_colours(tmp_path)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        save_file(calibrated_network(tmp_path / "images"), tmp_path / "weights.safetensors")
    play.run(
        "init", "init", play.workspace, "--task", "classification", "--images", tmp_path / "images",
        "--annotations", tmp_path / "labels.csv", "--weights", tmp_path / "weights.safetensors",
        "--set", "model.input_size=64", "--set", "score.workers=0", "--set", "score.precision=float32",
    )  # fmt: skip
    play.run_here("pull")
    play.run_here(
        "simulate", "--frozen", "--strategies", "auto,margin,learned-loss,core-set", "--seeds", 2, "--start", 6,
        "--budget", 6, "--cycles", 2, "--test", "test/", "--jobs", 1,
    )  # fmt: skip
    play.keep("curves.csv", play.workspace / "simulations/0001/curves.csv")
    play.compare("simulation")


def calibrated_network(images: Path) -> dict[str, torch.Tensor]:
    """Random weights with batch norms measured on these images; otherwise all images would get the same features."""
    network = torchvision.models.mobilenet_v3_small()
    for layer in network.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.momentum = 1.0
    pixels = np.stack([np.asarray(Image.open(path).resize((64, 64))) for path in sorted(images.rglob("*.bmp"))])
    with torch.no_grad():
        network.train()(torch.from_numpy(pixels).permute(0, 3, 1, 2) / 64 - 2)
    return network.state_dict()


def draw_colours(folder: Path) -> None:
    """Sixty noisy pictures of three colors with labels; twenty of them are the test set."""
    rng = np.random.default_rng(0)
    lines = ["name,label"]
    for number in range(60):
        name = f"{'test' if number >= 40 else 'pool'}/{number:02}.bmp"
        pixels = rng.integers(0, 60, (40, 40, 3), dtype=np.uint8)
        pixels += rng.integers(0, 120, 3, dtype=np.uint8)
        pixels[..., number % 3] += 60
        (folder / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / "images" / name)
        lines.append(f"{name},{('red', 'green', 'blue')[number % 3]}")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")


def test_what_alcli_can_do(alcli, tmp_path):
    play = Play(alcli, tmp_path)
    for what in ("strategies", "tasks", "models", "platforms", "formats", "exit-codes"):
        play.run(f"list {what}", "list", what)
    play.compare("lists")


def test_the_schema_of_a_new_workspace(alcli, tmp_path):
    play = Play(alcli, tmp_path)
    (tmp_path / "images").mkdir()
    (tmp_path / "labels").mkdir()
    play.run("init", "init", play.workspace, "--images", tmp_path / "images", "--annotations", tmp_path / "labels")
    (database,) = play.workspace.glob("*.db")
    connection = sqlite3.connect(database)
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    tables = connection.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY type, name").fetchall()
    connection.close()
    play.files["schema.sql"] = "".join(f"{sql};\n" for (sql,) in [*tables, (f"PRAGMA user_version = {version}",)])
    play.compare("schema")
