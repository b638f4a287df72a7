from __future__ import annotations

from types import SimpleNamespace

import pytest

from alcli.annotations import Annotation
from alcli.errors import UsageError
from alcli.items import Item
from alcli.simulation.labels import _split
from alcli.tasks import Example

NAMES = ("a.png", "b.png", "test/c.png", "test/d.png", "test2/e\u2028f.png")


def sides(test):
    """(names of the pool, names of the test images, what was said)."""
    said = []
    context = SimpleNamespace(progress=SimpleNamespace(say=said.append))
    rows = [Example(Item(name, name, "u"), None, Annotation(name, labels=("x",)), (9, 9)) for name in NAMES]
    pool, held_out = _split(context, rows, str(test))
    return [row.item.name for row in pool], [row.item.name for row in held_out], said


def test_a_folder_is_not_its_longer_neighbour():
    assert sides("test") == sides("test/") == ([*NAMES[:2], NAMES[4]], [*NAMES[2:4]], [])


def test_a_file_of_names_may_come_from_any_editor(tmp_path):
    (tmp_path / "names.txt").write_bytes(b"\xef\xbb\xbfa.png\r\n\r\n" + "test2/e\u2028f.png".encode())
    assert sides(tmp_path / "names.txt") == ([*NAMES[1:4]], [NAMES[0], NAMES[4]], [])


def test_the_lists_of_pascal_voc_and_yolo_name_images_in_their_own_way(tmp_path):
    (tmp_path / "names.txt").write_text("b\n./images/test/c.png\n")
    assert sides(tmp_path / "names.txt") == ([NAMES[0], *NAMES[3:]], ["b.png", "test/c.png"], [])


def test_names_that_are_not_labeled_images_are_reported(tmp_path):
    (tmp_path / "names.txt").write_text("a.png\nz.png\ny.png\n")
    _, chosen, said = sides(tmp_path / "names.txt")
    assert chosen == ["a.png"]
    assert said == [f"2 of 3 names in {tmp_path / 'names.txt'} are not usable labeled images, such as 'y.png'."]


@pytest.mark.parametrize("content", [b"", b"z.png\n", b"caf\xe9.png\n"])
def test_a_file_without_any_usable_name_is_refused(tmp_path, content):
    (tmp_path / "names.txt").write_bytes(content)
    with pytest.raises(UsageError, match=r"names\.txt"):
        sides(tmp_path / "names.txt")
