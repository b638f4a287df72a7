"""A folder that held a tenth of the images or of the labels is gone: nothing is lost until somebody says so."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.cycle.test_absence import Source, start, stored
from tests.support.scenes import Photos

LABELED = 8


@pytest.fixture(params=["voc", "yolo", "masks"])
def source(request, tmp_path) -> Source:
    """Twelve images, eight of them labeled; two labels, and images, lie in folders of their own."""
    source = Source(Photos(tmp_path / "project").draw(12, annotated=0), request.param)
    for folder in (source.path / "night/late", source.photos.images / "tower/north"):
        folder.mkdir(parents=True)
    for number in (0, 1):
        source.file(number).rename(source.path / "night/late" / source.file(number).name)
    for number in (10, 11):
        (source.photos.images / source.photos.name(number)).rename(
            source.photos.images / "tower/north" / source.photos.name(number)
        )
    return source


def removed(folder: Path) -> None:
    shutil.rmtree(folder)


def emptied(folder: Path) -> None:
    """What is left of a disk that is not mounted."""
    shutil.rmtree(folder)
    folder.mkdir()


@pytest.mark.parametrize("lose", [removed, emptied], ids=lambda each: each.__name__)
def test_a_folder_of_labels(alcli, source, tmp_path, lose):
    root = start(alcli, source)
    labels, queue = stored(root), (root / "queue.csv").read_bytes()
    assert len(labels) == LABELED
    shutil.copytree(source.path / "night", tmp_path / "aside")
    lose(source.path / "night")
    for command in ("pull", "cycle"):
        code, _, err = alcli(command, "-w", root)
        assert code == 5 and "The folder night of annotations is empty or gone" in err, err
        assert "2 of the 8" in err and "--accept-shrink" in err
    assert stored(root) == labels and (root / "queue.csv").read_bytes() == queue
    assert alcli("health", "-w", root)[0] == 5
    shutil.copytree(tmp_path / "aside", source.path / "night", dirs_exist_ok=True)
    assert alcli("pull", "-w", root)[0] == 0
    assert stored(root) == labels
    lose(source.path / "night")
    assert alcli("pull", "-w", root, "--accept-shrink")[0] == 0
    assert len(stored(root)) == LABELED - 2
    assert alcli("pull", "-w", root)[0] == 0


@pytest.mark.parametrize("lose", [removed, emptied], ids=lambda each: each.__name__)
def test_a_folder_of_images(alcli, source, lose):
    root = start(alcli, source)
    lose(source.photos.images / "tower")
    for command in ("pull", "cycle"):
        code, _, err = alcli(command, "-w", root)
        assert code == 5 and "The folder tower of images is empty or gone" in err, err
        assert "2 of the 12 known images" in err and "--accept-shrink" in err
    assert alcli("pull", "-w", root, "--accept-shrink")[0] == 0
    assert alcli("pull", "-w", root)[0] == 0


def test_folders_that_only_moved_are_not_lost(alcli, source):
    root = start(alcli, source)
    (source.photos.images / "tower").rename(source.photos.images / "mast")
    (source.path / "night").rename(source.path / "evening")
    assert alcli("pull", "-w", root)[0] == 0
    assert len(stored(root)) == LABELED


def test_single_files_may_go(alcli, source):
    root = start(alcli, source)
    source.file(7).unlink()
    (source.photos.images / source.photos.name(9)).unlink()
    (source.path / "night/late" / source.file(0).name).unlink()
    assert alcli("pull", "-w", root)[0] == 0
    assert len(stored(root)) == LABELED - 2


def test_less_than_a_tenth_may_go(alcli, tmp_path):
    photos = Photos(tmp_path / "project").draw(24, annotated=0)
    source = Source(photos, "voc")
    source.write(range(22))
    for folder, name in ((photos.images, photos.name(23)), (source.path, source.file(0).name)):
        (folder / "few").mkdir()
        (folder / name).rename(folder / "few" / name)
    root = start(alcli, source)
    shutil.rmtree(photos.images / "few")
    shutil.rmtree(source.path / "few")
    assert alcli("pull", "-w", root)[0] == 0


def test_a_queue_and_an_owner_alone_are_no_folder_of_labels(alcli, source):
    """Another place of annotations is compared with nothing."""
    root = start(alcli, source)
    copy = source.path.parent / "copy"
    shutil.copytree(source.path, copy)
    shutil.rmtree(copy / "night")
    code, _, err = alcli("pull", "-w", root, "--set", f"platform.annotations={copy}")
    assert code == 0, err
