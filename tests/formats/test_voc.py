from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alcli.annotations import Annotation, Box
from alcli.errors import DataError
from alcli.formats import voc
from tests.support.scenes import Photos

XML = "<annotation>{}</annotation>"
OBJECT = "<object><name>{}</name><bndbox><xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax></bndbox></object>"


def read(tmp_path: Path, text: str) -> Annotation:
    (tmp_path / "x.xml").write_text(text, encoding="utf-8")
    labels = voc.Voc(tmp_path)
    assert labels.labeled(["x.jpg"])[0].keys() == {"x.jpg"}
    return labels.read("x.jpg")


names = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1).map(str.strip).filter(bool)
sides = st.floats(0.5, 5000, width=32)


@given(st.lists(st.tuples(names, sides, sides, sides, sides), max_size=4))
def test_what_is_written_is_read(tmp_path_factory, objects):
    boxes = tuple(Box(name, x, y, x + w, y + h) for name, x, y, w, h in objects)
    folder = tmp_path_factory.mktemp("voc")
    voc.write(folder / "x.xml", "x.jpg", Annotation("x.jpg", boxes, (10, 20)))
    labels = voc.Voc(folder)
    labels.labeled(["x.jpg"])
    annotation = labels.read("x.jpg")
    assert annotation.size == (10, 20)
    assert [box.label for box in annotation.boxes] == [box.label for box in boxes]
    for one, other in zip(annotation.boxes, boxes, strict=True):
        assert (one.x1, one.y2) == pytest.approx((other.x1, other.y2), rel=1e-9)


def test_zero_objects_are_an_annotation(tmp_path):
    assert read(tmp_path, XML.format("")).boxes == ()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (XML.format(OBJECT.format("a", 5, 1, 2, 9)), r"x.xml: object 0: box .* swapped"),
        (XML.format(OBJECT.format("a", 1, 1, 9, 9) + OBJECT.format("a", 5, 5, 5, 9)), "object 1: .* zero area"),
        (XML.format(OBJECT.format("a", "nan", 1, 2, 9)), "not finite"),
        (XML.format(OBJECT.format("a", "left", 1, 2, 9)), "<xmin> is 'left'"),
        (XML.format(OBJECT.format("", 1, 1, 2, 9)), "no <name>"),
        (XML.format("<object><name>a</name></object>"), "<xmin> is None"),
        ("<annotation><object>", "not valid XML"),
        ("", "not valid XML"),
        ("<html></html>", "root is <html>"),
        ('<!DOCTYPE a [<!ENTITY b "c">]><annotation/>', "declares entities"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(tmp_path, text, why):
    with pytest.raises(DataError, match=why):
        read(tmp_path, text)


@given(st.binary(max_size=300))
def test_no_content_of_a_file_breaks_the_reader(tmp_path_factory, content):
    folder = tmp_path_factory.mktemp("voc")
    (folder / "x.xml").write_bytes(content)
    labels = voc.Voc(folder)
    labels.labeled(["x.jpg"])
    with pytest.raises(DataError):
        labels.read("x.jpg")


def test_xml_finds_its_image_by_path_and_by_a_name_that_only_one_has(tmp_path):
    for name in ("a/x", "y", "b/z"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}.xml").write_text(XML.format(""))
    versions, refusals = voc.Voc(tmp_path).labeled(["a/x.jpg", "b/x.jpg", "deep/down/y.png", "b/z.jpg"])
    assert set(versions) == {"a/x.jpg", "deep/down/y.png", "b/z.jpg"}
    assert refusals == []


def test_orphans_and_ambiguous_files_are_refused(tmp_path):
    for name in ("x", "gone"):
        (tmp_path / f"{name}.xml").write_text(XML.format(""))
    versions, refusals = voc.Voc(tmp_path).labeled(["a/x.jpg", "b/x.jpg"])
    assert versions == {}
    assert {refusal.name: refusal.reason for refusal in refusals} == {
        "gone.xml": "annotation without an image",
        "x.xml": "could belong to a/x.jpg or b/x.jpg; use unique image names, or put the XML in the image's folder",
    }


def test_a_version_changes_with_the_file(tmp_path):
    photos = Photos(tmp_path / "p").draw(1, annotated=1)
    names = ["photo_00.jpg"]
    before, _ = voc.Voc(photos.annotations).labeled(names)
    photos.annotate(0, boxes=[])
    after, _ = voc.Voc(photos.annotations).labeled(names)
    assert before != after
