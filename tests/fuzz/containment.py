"""Hostile names in every place that names files: nothing may be written but where alcli has its place."""

from __future__ import annotations

import contextlib
import io
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from alcli import cli
from tests.fuzz.watch import tree, watched
from tests.support.scenes import scene
from tests.support.superannotate_server import TOKEN, Server

STEMS = [
    "x",
    "alcli.db",
    "alcli.toml",
    "alcli.lock",
    "heartbeat.json",
    "model.safetensors",
    "queue.csv",
    "passwd",
]
FRAMES = ["../{}", "../../{}", "../../../../../../../../{}", "/tmp/{}", "/{}", "//host/{}", "..\\{}", "C:\\{}",
          "a/../../{}", "./{}", "%2e%2e/{}", "%2e%2e%2f{}", "..%2f{}", "~/{}", "~root/{}",
          "{}\0.jpg", "{}\n", "\n../{}",
          "{}\r\n", "file:///etc/{}", "..;/{}", "\u2025/{}", "\uff0e\uff0e/{}", "cycles/0001/{}", "../W/{}",
          ".alcli-tmp-{}"]  # fmt: skip
OTHERS = ["..", ".", "/", "~", "~/.ssh/authorized_keys", "CON", "NUL", "aux.jpg", "a" * 300, "é" * 200,
          "../" * 500 + "x",
          "$(touch x)", "`touch x`", "| touch x", "-rf", "--help", "\u202e../x", "\x1b[2J", " ", "\t", "a//b", "...",
          "....//....//x", "..././x"]  # fmt: skip
SMALL = ("--model", "ssd-tiny", "--budget", "4", "--set", "train.epochs=1", "--set", "train.workers=0",
         "--set", "score.workers=0", "--set", "model.input_size=64", "--set", "train.batch_size=4")  # fmt: skip


def hostile() -> list[str]:
    """More than two hundred names, all different."""
    return list(dict.fromkeys([frame.format(stem) for frame in FRAMES for stem in STEMS] + OTHERS))


def tried(scratch: Path) -> tuple[int, list[str]]:
    """(names given, files written or left outside): a SuperAnnotate project, COCO, CSV and class folders."""
    found: list[str] = []
    for run in (_superannotate, _coco, _csv, _class_folders):
        place = scratch / run.__name__.strip("_")
        (place / "tmp").mkdir(parents=True)
        with _elsewhere(place):
            found += [f"{run.__name__}: {path}" for path in run(place)]
    return 4 * len(hostile()), found


@contextlib.contextmanager
def _elsewhere(place: Path) -> Iterator[None]:
    """Home, temporary files and the place where the user stands lie in folders of their own."""
    environment, where, temporary = dict(os.environ), Path.cwd(), tempfile.tempdir
    (place / "home").mkdir()
    os.environ.update(HOME=str(place / "home"), SA_TOKEN=TOKEN)
    tempfile.tempdir = str(place / "tmp")
    os.chdir(place / "home")
    try:
        yield
    finally:
        os.chdir(where)
        tempfile.tempdir = temporary
        os.environ.clear()
        os.environ.update(environment)


def _cycled(place: Path, flags: list[str]) -> list[str]:
    """What a whole cycle of a new workspace leaves or writes outside of it; the run must come to its end."""
    root = place / "W"
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()) as said:
        assert cli.run(["init", str(root), *flags, *SMALL]) == 0, said.getvalue()
        before = tree(place.parent) | {str(root)}
        with watched() as seen:
            code = cli.run(["cycle", "-w", str(root)])
            assert code in (0, 3), said.getvalue()
            assert cli.run(["export-csv", "-w", str(root), "-o", str(root / "list.csv")]) == 0, said.getvalue()
            assert cli.run(["list", "items", "-w", str(root), "--json"]) == 0, said.getvalue()
    queue = place / "project/queue"
    left = {path for path in tree(place.parent) - before if not Path(path).is_relative_to(root)}
    left -= {path for path in left if Path(path).is_relative_to(queue) or Path(path).is_relative_to(place / "tmp")}
    return sorted(left | set(seen.outside(root, queue, place / "tmp")))


def _picture(number: int) -> bytes:
    stream = io.BytesIO()
    scene(number)[0].save(stream, "JPEG", quality=90)
    return stream.getvalue()


def _superannotate(place: Path) -> list[str]:
    """Every name as an item's name, a folder's name and an address."""
    names = hostile()
    with Server() as server:
        server.classes = ["red", "green", "blue"]
        for number, name in enumerate(names):
            folder = names[number * 7 % len(names)] if number % 3 == 0 else "root"
            item_id = server.add(name, folder)
            server.images[f"{item_id}.jpg"] = _picture(number % 9)
            if number % 5 == 1:
                server.items[item_id]["metadata"]["path"] = f"{server.url}/photos/{name}"
            elif number % 5 == 2:
                server.items[item_id]["metadata"]["path"] = name
            if number % 11 == 0:
                boxes = scene(number % 9)[1]
                points = [{"x1": box.x1, "y1": box.y1, "x2": box.x2, "y2": box.y2} for box in boxes]
                kinds = [box.label for box in boxes]
                rows = [{"type": "bbox", "className": k, "points": p} for k, p in zip(kinds, points, strict=True)]
                server.annotate(item_id, rows)
        os.environ["SA_URL"] = server.url
        flags = ["--platform", "superannotate", "--project", "Cells/*", "--set", "platform.backoff=0.001"]
        return _cycled(place, flags)


def _images(place: Path) -> Path:
    images = place / "project/images"
    images.mkdir(parents=True)
    (place / "project/queue").mkdir()
    for number in range(12):
        (images / f"p{number}.jpg").write_bytes(_picture(number))
    return images


def _folder_flags(place: Path, annotations: Path) -> list[str]:
    queue = f"platform.queue='{place / 'project/queue/queue.csv'}'"
    return ["--images", str(place / "project/images"), "--annotations", str(annotations), "--set", queue]


def _coco(place: Path) -> list[str]:
    """Every name as a ``file_name`` and as a category."""
    _images(place)
    names = [f"p{number}.jpg" for number in range(6)] + hostile()
    document = {
        "images": [{"id": number, "file_name": name} for number, name in enumerate(names)],
        "categories": [{"id": number, "name": name} for number, name in enumerate(hostile()[:40])],
        "annotations": [
            {"id": n, "image_id": n, "category_id": n % 40, "bbox": [5, 5, 30, 30]} for n in range(len(names))
        ],
    }
    path = place / "project/coco.json"
    path.write_text(json.dumps(document))
    return _cycled(place, _folder_flags(place, path))


def _csv(place: Path) -> list[str]:
    """Every name as an image's and as a label."""
    import csv

    _images(place)
    path = place / "project/labels.csv"
    with path.open("w", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(("name", "label"))
        rows.writerows((f"p{number}.jpg", hostile()[number // 2]) for number in range(6))
        rows.writerows((name, name) for name in hostile())
    return _cycled_classes(place, path)


def _class_folders(place: Path) -> list[str]:
    """Every name that a disk can hold as a folder's."""
    images = _images(place)
    classes = place / "project/classes"
    for number, name in enumerate(hostile()):
        with contextlib.suppress(OSError, ValueError):
            folder = classes / name.replace("/", "\u2215")
            folder.mkdir(parents=True)
            for image in (f"p{number % 6}.jpg", f"p{(number + 1) % 6}.jpg"):
                (folder / image).write_bytes((images / image).read_bytes())
    return _cycled_classes(place, classes)


def _cycled_classes(place: Path, annotations: Path) -> list[str]:
    global SMALL
    before = SMALL
    SMALL = tuple("mobilenet-v3-small" if word == "ssd-tiny" else word for word in before)
    try:
        return _cycled(place, [*_folder_flags(place, annotations), "--task", "classification", "--set",
                               "task.multi_label=true"])  # fmt: skip
    finally:
        SMALL = before
