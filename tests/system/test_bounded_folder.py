from __future__ import annotations

import os
from pathlib import Path

import pytest

from alcli.system.bounded_folder import BoundedFolder


def files(root: Path) -> set[str]:
    return {path.name for path in root.glob("??/*")}


@pytest.fixture
def root(tmp_path) -> Path:
    """Four files of 100 bytes, ``a`` used first, and a note."""
    for number, name in enumerate("abcd"):
        path = tmp_path / "root" / "00" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * 100)
        os.utime(path, (1000 + number, 1000 + number))
    (tmp_path / "root/00/a.refused").write_bytes(b"x" * 5000)
    return tmp_path / "root"


def test_the_least_recently_used_file_goes_first(root):
    folder = BoundedFolder(root, 200)
    folder.use(root / "00/a")
    folder.release([root / "00/a"])
    folder.make_room()
    assert files(root) == {"d", "a", "a.refused"}


def test_files_in_use_stay_even_if_they_are_too_large(root):
    folder = BoundedFolder(root, 150)
    for name in "ab":
        folder.use(root / "00" / name)
    folder.make_room()
    assert files(root) == {"a", "b", "a.refused"} and folder.is_full
    folder.release([root / "00/a"])
    folder.make_room()
    assert files(root) == {"b", "a.refused"} and not folder.is_full


def test_a_file_that_two_use_stays_until_both_have_released_it(root):
    folder = BoundedFolder(root, 0)
    folder.use(root / "00/a")
    folder.use(root / "00/a")
    folder.release([root / "00/a"])
    folder.make_room()
    assert files(root) == {"a", "a.refused"}
    folder.release([root / "00/a"])
    folder.make_room()
    assert files(root) == {"a.refused"}


def test_a_use_is_remembered_by_the_next_run(root):
    BoundedFolder(root, 1000).use(root / "00/a")
    BoundedFolder(root, 300).make_room()
    assert files(root) == {"a", "c", "d", "a.refused"}


def test_new_files_count_and_removed_ones_do_no_harm(root):
    folder = BoundedFolder(root, 400)
    folder.make_room()
    (root / "00/a").unlink()
    for name in "ef":
        folder.use(root / "00" / name)
        (root / "00" / name).write_bytes(b"x" * 100)
        folder.measure(root / "00" / name)
    assert files(root) == {"c", "d", "e", "f", "a.refused"}


def test_a_file_that_is_waited_for_is_not_removed_when_it_comes(root):
    folder = BoundedFolder(root, 0)
    folder.use(root / "00/e")
    (root / "00/e").write_bytes(b"x" * 100)
    folder.make_room()
    folder.measure(root / "00/e")
    assert files(root) == {"e", "a.refused"} and folder.is_full
    folder.release([root / "00/e"])
    folder.make_room()
    assert files(root) == {"a.refused"}


def test_a_file_that_never_comes_leaves_nothing(root):
    folder = BoundedFolder(root, 400)
    folder.use(root / "00/e")
    folder.release([root / "00/e"])
    folder.make_room()
    assert len(files(root)) == 5 and not folder.is_full


def test_without_a_limit_nothing_happens(root):
    folder = BoundedFolder(root, None)
    folder.use(root / "00/a")
    folder.measure(root / "00/a")
    folder.release([root / "00/a"])
    folder.make_room()
    assert len(files(root)) == 5 and not folder.is_full and (root / "00/a").stat().st_mtime == 1000


def test_a_folder_that_is_not_there_is_empty(tmp_path):
    folder = BoundedFolder(tmp_path / "none", 10)
    folder.make_room()
    folder.release([tmp_path / "none/00/a"])
    assert not folder.is_full
