"""Absence of an answer is not the answer "none": no label is lost to a source that is gone, cut off or closed."""

from __future__ import annotations

import ast
import contextlib
import ctypes
import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from alcli.workspace import Workspace
from tests.support.scenes import COLOURS, Photos, scene

CLASSES = sorted(COLOURS)
LABELED, SECONDS = 8, 20


class Source:
    """Eight labels of twelve images, in one format."""

    def __init__(self, photos: Photos, kind: str) -> None:
        self.photos, self.kind = photos, kind
        self.task = {"csv": "classification", "masks": "segmentation"}.get(kind, "detection")
        self.path = photos.root / {"coco": "labels.json", "csv": "labels.csv"}.get(kind, kind)
        self.per_image = kind in ("voc", "yolo", "masks")
        if self.per_image:
            self.path.mkdir()
        self.write(range(LABELED))

    def write(self, numbers) -> None:
        if self.kind == "coco":
            shutil.copy(self.photos.coco(list(numbers)), self.path)
        elif self.kind == "csv":
            lines = [f"{self.photos.name(number)},{CLASSES[number % 2]}" for number in numbers]
            self.path.write_text("\n".join(["name,label", *lines]) + "\n")
        else:
            for number in numbers:
                getattr(self, f"_write_{self.kind}")(number)

    def file(self, number: int) -> Path:
        suffix = {"voc": ".xml", "yolo": ".txt", "masks": ".png"}[self.kind]
        return self.path / f"photo_{number:02d}{suffix}"

    def _write_voc(self, number: int) -> None:
        shutil.copy(self.photos.annotate(number), self.file(number))

    def _write_yolo(self, number: int) -> None:
        (self.path / "data.yaml").write_text(f"names: {CLASSES}\ntrain: images\n")
        lines = [
            f"{CLASSES.index(box.label)} {(box.x1 + box.x2) / 192} {(box.y1 + box.y2) / 160}"
            f" {(box.x2 - box.x1) / 96} {(box.y2 - box.y1) / 80}\n"
            for box in scene(number)[1]
        ]
        self.file(number).write_text("".join(lines))

    def _write_masks(self, number: int) -> None:
        (self.path / "classes.txt").write_text("ground\nsky\n")
        pixels = np.zeros((80, 96), dtype=np.uint8)
        pixels[: 10 + number] = 1
        Image.fromarray(pixels).save(self.file(number))

    def files(self) -> list[Path]:
        return [self.file(number) for number in range(LABELED)]


def empty_folder(source: Source) -> None:
    """What an unmounted disk leaves, also where a file was."""
    (shutil.rmtree if source.path.is_dir() else Path.unlink)(source.path)
    source.path.mkdir()


def gone(source: Source) -> None:
    (shutil.rmtree if source.path.is_dir() else Path.unlink)(source.path)


def dangling(source: Source) -> None:
    gone(source)
    source.path.symlink_to("/nowhere/labels")


def pipe(source: Source) -> None:
    gone(source)
    os.mkfifo(source.path)


def cut_to_its_head(source: Source) -> None:
    """What an export leaves that broke off: a header, lists without entries, descriptions without labels."""
    if source.kind == "coco":
        source.path.write_text('{"images": [], "annotations": [], "categories": []}')
    elif source.kind == "csv":
        source.path.write_text("name,label\n")
    else:
        for path in source.files():
            path.unlink()


def emptied(source: Source) -> None:
    """Everything is listed, and holds nothing."""
    if source.kind == "coco":
        source.path.write_text(json.dumps({**json.loads(source.path.read_text()), "annotations": []}))
    elif source.kind == "csv":
        source.path.write_text(source.path.read_text().replace(",green", ",").replace(",blue", ","))
    else:
        for path in source.files():
            path.write_bytes(b"")


def zero_bytes(source: Source) -> None:
    if source.path.is_dir():
        for path in source.path.iterdir():
            path.write_bytes(b"")
    else:
        source.path.write_bytes(b"")


def halved(source: Source) -> None:
    if source.per_image:
        for path in source.files()[LABELED // 2 :]:
            path.unlink()
    else:
        source.write(range(LABELED // 2))


def cut_in_half(source: Source) -> None:
    """Every file ends in the middle."""
    for path in source.files() if source.per_image else [source.path]:
        path.write_bytes(path.read_bytes()[: len(path.read_bytes()) // 2 - 3])


ABSENCES = (empty_folder, gone, dangling, pipe, cut_to_its_head, emptied, zero_bytes, halved)
UNREACHABLE = (gone, dangling)
SETTLED = (empty_folder, cut_to_its_head, emptied, halved)
"""Kinds that may be what somebody wanted; the others stay an error whatever is said."""


def start(alcli, source: Source) -> Path:
    root = source.photos.root.parent / "W"
    code, _, err = alcli("init", root, "--images", source.photos.images, "--annotations", source.path, "--task",
                         source.task, "--set", "train.workers=0", "--set", "score.workers=0")  # fmt: skip
    assert code == 0, err
    assert alcli("pull", "-w", root)[0] == 0
    (root / "queue.csv").write_text("position,name\n1,photo_09.jpg\n")
    return root


def stored(root: Path) -> dict[str, str]:
    """The text of each stored annotation."""
    workspace = Workspace.open(root, read_only=True)
    try:
        ids = sorted(workspace.store.pool().items)
        return {each.item_id: each.to_json() for each in workspace.store.annotations(ids)}
    finally:
        workspace.close()


class Late(Exception):
    pass


def within(seconds: int, run: Callable[[], tuple[int, str, str]]) -> tuple[int, str, str]:
    """A run that ends in time, or an error instead of a test that hangs."""

    def ring(*_) -> None:
        raise Late

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(seconds)
    try:
        return run()
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


KINDS = ("voc", "coco", "csv", "yolo", "masks")


@pytest.fixture(params=KINDS)
def source(request, tmp_path) -> Source:
    return Source(Photos(tmp_path / "project").draw(12, annotated=0), request.param)


@pytest.mark.parametrize("lose", ABSENCES, ids=lambda each: each.__name__)
def test_no_label_is_lost_to_an_absent_source(alcli, source, lose):
    root = start(alcli, source)
    labels, queue = stored(root), (root / "queue.csv").read_bytes()
    assert len(labels) == LABELED
    lose(source)
    # A table that has become a folder stays an error.
    wanted = lose in SETTLED and (source.kind, lose) != ("csv", empty_folder)
    for command in ("pull", "cycle"):
        code, _, err = within(SECONDS, lambda command=command: alcli(command, "-w", root))
        assert code == (6 if lose in UNREACHABLE else 5), err
        if wanted:
            assert "--accept-shrink" in err and " of 8 " in err, err
    assert stored(root) == labels
    assert (root / "queue.csv").read_bytes() == queue
    assert alcli("health", "-w", root)[0] == code
    if wanted:
        code, _, err = alcli("pull", "-w", root, "--accept-shrink")
        # An empty XML file or mask is broken; the others say that there is nothing in the image.
        assert code == (3 if lose is emptied and source.kind in ("voc", "masks") else 0), err
        assert len(stored(root)) == {halved: 4, emptied: 8}.get(lose, 0)


# Half a CSV is a shorter CSV, which is the absence ``halved``.
@pytest.mark.parametrize("source", [kind for kind in KINDS if kind != "csv"], indirect=True)
def test_a_source_cut_in_half_loses_nothing(alcli, source):
    root = start(alcli, source)
    labels = stored(root)
    cut_in_half(source)
    assert alcli("pull", "-w", root)[0] == 5
    assert stored(root) == labels


def test_what_comes_back_is_as_if_it_had_never_been_gone(alcli, source, tmp_path):
    root = start(alcli, source)
    labels, aside = stored(root), tmp_path / "aside"
    source.path.rename(aside)
    source.path.mkdir()
    assert alcli("pull", "-w", root)[0] == 5
    source.path.rmdir()
    aside.rename(source.path)
    assert alcli("pull", "-w", root)[0] == 0
    assert stored(root) == labels


def test_a_folder_that_cannot_be_entered_is_no_empty_one(alcli, tmp_path, monkeypatch):
    source = Source(Photos(tmp_path / "project").draw(12, annotated=0), "voc")
    below = source.path / "night"
    below.mkdir()
    for path in source.files()[:3]:
        path.rename(below / path.name)
    root = start(alcli, source)
    labels, real = stored(root), os.scandir

    def scandir(folder="."):
        # Root enters every folder, so that permissions cannot be tested with chmod.
        if str(folder).endswith("night"):
            raise PermissionError(13, "Permission denied", str(folder))
        return real(folder)

    monkeypatch.setattr(os, "scandir", scandir)
    for command in ("pull", "cycle"):
        code, _, err = alcli(command, "-w", root, *(["--accept-shrink"] if command == "pull" else []))
        assert code == 6 and "night cannot be read: Permission denied" in err
    assert stored(root) == labels and len(labels) == LABELED


@pytest.fixture
def unprivileged(tmp_path) -> Iterator[Path]:
    """Work without root's right to enter every folder (Linux: CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH)."""
    if os.geteuid() != 0:
        yield tmp_path
        return
    system = ctypes.CDLL(None, use_errno=True)
    version_3 = (ctypes.c_uint32 * 2)(0x20080522, 0)
    # (effective, permitted, inheritable) of capabilities 0 to 31, then of the others
    before = (ctypes.c_uint32 * 6)()
    if not hasattr(system, "capget") or system.capget(version_3, before):
        pytest.skip("root's rights cannot be given up here")
    after = (ctypes.c_uint32 * 6)(*before)
    after[0] &= ~0b110
    assert system.capset(version_3, after) == 0
    try:
        yield tmp_path
    finally:
        assert system.capset(version_3, before) == 0


@contextlib.contextmanager
def closed(path: Path, mode: int = 0) -> Iterator[None]:
    path.chmod(mode)
    try:
        yield
    finally:
        path.chmod(0o755)


def test_a_closed_folder_of_images_loses_no_image_and_no_label(alcli, unprivileged):
    photos = Photos(unprivileged / "project").draw(12, annotated=6)
    below = photos.images / "night"
    below.mkdir()
    # Less than half of images and labels, which no count would notice.
    for number in (1, 7):
        (photos.images / photos.name(number)).rename(below / photos.name(number))
    root, flags = unprivileged / "W", ("--images", photos.images, "--annotations", photos.annotations)
    with closed(below):
        code, _, err = alcli("init", root, *flags)
        assert code == 6 and "night cannot be read: Permission denied" in err
    assert alcli("init", root, *flags)[0] == 0
    assert alcli("pull", "-w", root)[0] == 0
    labels = stored(root)
    assert len(labels) == 6
    # Without the right to enter, the names can be read and the files cannot be looked at.
    for folder, mode in ((below, 0), (below, 0o444), (photos.images, 0), (photos.root, 0)):
        with closed(folder, mode):
            for command in ("pull", "cycle"):
                code, _, err = alcli(command, "-w", root)
                assert code == 6 and " cannot be read: Permission denied" in err, (folder, err)
            assert alcli("health", "-w", root)[0] == 6
            code, out, _ = alcli("doctor", "-w", root, "--json")
            assert code == 2 and " cannot be read: Permission denied" in out
    assert stored(root) == labels
    code, out, _ = alcli("pull", "-w", root)
    assert code == 0 and out.startswith("0 new, 0 vanished, 0 annotations read."), out


def test_folders_that_systems_leave_among_images_are_passed_over(alcli, unprivileged):
    photos = Photos(unprivileged / "project").draw(2, annotated=1)
    for name in ("System Volume Information", "$RECYCLE.BIN", "lost+found"):
        (photos.images / name).mkdir(mode=0)
    root = unprivileged / "W"
    assert alcli("init", root, "--images", photos.images, "--annotations", photos.annotations)[0] == 0
    code, out, err = alcli("pull", "-w", root)
    assert code == 0 and "2 new" in out and "System Volume Information is not entered." in err


def test_the_first_pull_compares_with_what_init_saw(alcli, source, tmp_path):
    """There was a disk when the workspace was made, and there is none in the first night."""
    root, aside = tmp_path / "W", tmp_path / "aside"
    flags = ("--images", source.photos.images, "--annotations", source.path, "--task", source.task)
    assert alcli("init", root, *flags)[0] == 0
    source.path.rename(aside)
    source.path.mkdir()
    for command in ("pull", "cycle"):
        code, _, err = alcli(command, "-w", root)
        assert code == 5, err
        if source.kind != "csv":  # a table that has become a folder stays an error
            assert "0 of the 8 annotated images that `alcli init` saw" in err and "--accept-shrink" in err
    assert not (root / "queue.csv").exists()
    source.path.rmdir()
    aside.rename(source.path)
    assert alcli("pull", "-w", root)[0] == 0
    assert len(stored(root)) == LABELED


def test_what_init_saw_elsewhere_counts_for_nothing(alcli, tmp_path):
    source = Source(Photos(tmp_path / "project").draw(12, annotated=0), "voc")
    root, other = tmp_path / "W", tmp_path / "other"
    other.mkdir()
    assert alcli("init", root, "--images", source.photos.images, "--annotations", source.path)[0] == 0
    assert alcli("pull", "-w", root, "--set", f"platform.annotations={other}")[0] == 0
    assert alcli("pull", "-w", root)[0] == 0
    assert len(stored(root)) == LABELED


def test_an_empty_folder_that_init_saw_empty_is_a_cold_start(alcli, tmp_path):
    source = Source(Photos(tmp_path / "project").draw(3, annotated=0), "voc")
    empty_folder(source)
    root = tmp_path / "W"
    assert alcli("init", root, "--images", source.photos.images, "--annotations", source.path)[0] == 0
    assert alcli("pull", "-w", root)[0] == 0


def test_the_format_that_was_found_stays(alcli, tmp_path):
    source = Source(Photos(tmp_path / "project").draw(12, annotated=0), "yolo")
    root = start(alcli, source)
    empty_folder(source)
    assert alcli("pull", "-w", root, "--accept-shrink")[0] == 0
    source.write(range(5))
    (source.path / "stray.xml").write_text("<annotation/>")
    code, _, err = alcli("pull", "-w", root)
    assert code == 0, err
    assert len(stored(root)) == 5


def test_a_setting_that_counts_images_as_unopened_is_no_loss(alcli, tmp_path):
    source = Source(Photos(tmp_path / "project").draw(12, annotated=0), "coco")
    document = json.loads(source.path.read_text())
    document["annotations"] = [each for each in document["annotations"] if each["image_id"] < 2]
    source.path.write_text(json.dumps(document))
    root = start(alcli, source)
    code, _, err = alcli("pull", "-w", root, "--set", "platform.empty=pool")
    assert code == 0, err
    assert len(stored(root)) == 2


# Special files


def to_pipe(path: Path) -> None:
    os.mkfifo(path)


def to_zero(path: Path) -> None:
    path.symlink_to("/dev/zero")


def to_nowhere(path: Path) -> None:
    path.symlink_to("nowhere")


def six_gigabytes(path: Path) -> None:
    with path.open("wb") as stream:
        stream.truncate(6 * 2**30)


def folder(path: Path) -> None:
    path.mkdir()


SPECIAL = (to_pipe, to_zero, to_nowhere, six_gigabytes, folder)
special = pytest.mark.parametrize("make", SPECIAL, ids=lambda each: each.__name__)


@special
def test_a_special_file_among_labels_spares_the_others(alcli, tmp_path, make):
    for kind in ("voc", "yolo", "masks"):
        source = Source(Photos(tmp_path / kind / "project").draw(12, annotated=0), kind)
        root = start(alcli, source)
        labels = stored(root)
        make(source.file(9))
        source.write([8])
        started = time.monotonic()
        code, _, err = within(SECONDS, lambda root=root: alcli("pull", "-w", root))
        assert (code, time.monotonic() - started < SECONDS) == (3, True), err
        assert source.file(9).name in err or "photo_09.jpg" in err
        now = stored(root)
        assert {name: now[name] for name in labels} == labels
        assert set(now) - set(labels) == {"photo_08.jpg"}


@special
def test_a_special_file_in_the_place_of_the_source_changes_nothing(alcli, tmp_path, make):
    for kind in ("coco", "csv"):
        source = Source(Photos(tmp_path / kind / "project").draw(12, annotated=0), kind)
        root = start(alcli, source)
        labels = stored(root)
        source.path.unlink()
        make(source.path)
        code, _, err = within(SECONDS, lambda root=root: alcli("pull", "-w", root))
        assert code in (5, 6), err
        # A link is named by where it leads.
        assert any(text in err for text in (source.path.name, "--accept-shrink", "/dev/zero", "nowhere")), err
        assert stored(root) == labels


@special
@pytest.mark.parametrize(("kind", "name"), [("yolo", "data.yaml"), ("masks", "classes.txt")])
def test_a_special_file_in_the_place_of_the_class_list_changes_nothing(alcli, tmp_path, make, kind, name):
    source = Source(Photos(tmp_path / "project").draw(12, annotated=0), kind)
    root = start(alcli, source)
    labels = stored(root)
    (source.path / name).unlink()
    make(source.path / name)
    code, _, err = within(SECONDS, lambda: alcli("pull", "-w", root))
    assert code == 5, err
    assert stored(root) == labels


@special
@pytest.mark.parametrize(
    ("suffix", "text"),
    [
        (".json", ""),
        (".xml", "<annotations><image name='photo_00.jpg' width='96' height='80'/></annotations>"),
        (".json", '[{"data": {"image": "photo_00.jpg"}, "annotations": [{"result": []}]}]'),
        (".jpg.json", '{"metadata": {"width": 96, "height": 80}, "instances": []}'),
    ],
    ids=["coco", "cvat", "label-studio", "superannotate"],
)
def test_a_special_file_beside_a_data_set_ends_nothing_and_loses_nothing(alcli, tmp_path, make, suffix, text):
    photos = Photos(tmp_path / "project").draw(12, annotated=0)
    text = text or photos.coco([0]).read_text()
    labels = photos.root / "labels"
    labels.mkdir()
    (labels / f"photo_00{suffix}").write_text(text)
    root = tmp_path / "W"
    assert alcli("init", root, "--images", photos.images, "--annotations", labels)[0] == 0
    assert alcli("pull", "-w", root)[0] == 0
    before = stored(root)
    make(labels / f"a{suffix}")
    code, _, err = within(SECONDS, lambda: alcli("pull", "-w", root))
    # Nobody knows what a link to nothing, or a file that is too large, holds of a data set.
    assert code in ((0, 3, 5) if suffix != ".jpg.json" else (3,)), err
    assert code == 0 or f"a{suffix}" in err
    assert stored(root) == before and set(before) == {"photo_00.jpg"}


# Pillow


def test_a_postscript_mask_starts_no_program(alcli, tmp_path, monkeypatch):
    source = Source(Photos(tmp_path / "project").draw(12, annotated=0), "masks")
    root = start(alcli, source)
    Image.new("RGB", (96, 80)).save(source.file(9), "EPS")
    monkeypatch.setattr("PIL.EpsImagePlugin.Ghostscript", lambda *_, **__: pytest.fail("Ghostscript was started"))
    code, _, err = alcli("pull", "-w", root)
    assert code == 3 and "photo_09.jpg: photo_09.png: cannot be decoded: not an image that can be read" in err


def test_pillow_opens_listed_formats_only():
    calls = []
    for path in sorted((Path(__file__).parents[2] / "alcli").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("Image.open", "PIL.Image.open"):
                formats = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
                calls.append((path.name, formats))
            assert not (
                isinstance(node, ast.ImportFrom) and node.module == "PIL.Image" and node.names[0].name == "open"
            )
    assert calls == [
        ("masks.py", {"formats": "PICTURE_FORMATS"}),
        ("images.py", {"formats": "PICTURE_FORMATS"}),
    ]


def test_only_one_place_opens_annotations():
    for path in sorted((Path(__file__).parents[2] / "alcli" / "formats").glob("*.py")):
        text = path.read_text()
        for call in (".read_text(", ".read_bytes(", ".open("):
            allowed = {"_files.py": ("os.open(",), "masks.py": ("Image.open(",), "class_folders.py": ("image.open(",)}
            for known in allowed.get(path.name, ()):
                text = text.replace(known, "")
            assert call not in text, f"{path.name}: {call}"
