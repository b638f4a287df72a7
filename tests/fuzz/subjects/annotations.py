"""Annotation files of every format."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from hypothesis import strategies as st

from alcli.annotations import Annotation
from alcli.formats.class_folders import ClassFolders
from alcli.formats.coco import Coco
from alcli.formats.csv_labels import CsvLabels
from alcli.formats.masks import Masks
from alcli.formats.superannotate import Superannotate
from alcli.formats.voc import Voc
from alcli.formats.yolo import Yolo
from tests.fuzz.inputs import documents, files, json_files, text_files, words
from tests.fuzz.samples import COCO, PNG_MASK, SUPERANNOTATE, VOC, YOLO_LABELS, YOLO_YAML
from tests.fuzz.subject import Subject, Use

IMAGES = ("x.jpg", "sub/y.jpg", "z.png")


def used(labels: Any) -> None:
    """Everything that a pull does with annotations, through the text in which the workspace keeps them."""
    versions, refusals = labels.labeled(IMAGES)
    assert all(refusal.reason for refusal in refusals)
    faults = []
    for name in versions:
        try:
            annotation = labels.read(name)
            annotation.class_names()
            assert Annotation.from_json(name, annotation.to_json()) == annotation
            annotation.to_json().encode()
            annotation.in_pixels(64, 48)
        except Exception as error:
            faults.append(error)
    if faults:
        raise faults[0]


def in_file(name: str, read: Callable[[Path], Any], **others: bytes) -> Callable[[Path], Any]:
    """A ``prepared`` that writes each input to a file of that name; ``read`` is given the folder."""

    @contextlib.contextmanager
    def prepared(folder: Path) -> Iterator[Use]:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        for other, content in others.items():
            (folder / other.replace("__", ".")).write_bytes(content)

        def use(content: bytes) -> None:
            path.write_bytes(content)
            read(folder)

        yield use

    return prepared


@contextlib.contextmanager
def _named_files(folder: Path) -> Iterator[Use]:
    number = 0

    def use(names: list[tuple[str, str]]) -> None:
        nonlocal number
        number += 1
        root = folder / str(number)
        root.mkdir()
        for label, name in names:
            with contextlib.suppress(OSError, ValueError):
                (root / label.strip("/.")).mkdir(exist_ok=True, parents=True)
                (root / label.strip("/.") / f"{name.strip('/.')}.jpg").write_bytes(b"")
        used(ClassFolders(root))

    yield use


XML = ["<!DOCTYPE a [<!ENTITY x 'y'>]>", "<!ENTITY x SYSTEM 'file:///etc/passwd'>", "&x;", "&#0;", "&#xD800;", "&lt;",
       "<![CDATA[", "]]>", "<?xml version='1.0' encoding='utf-7'?>", "<?xml version='1.0' encoding='nope'?>",
       "<object>", "</object>", "<bndbox/>", "xmlns:a='b'", "a:b", "<" * 2000, "<a>" * 20_000]  # fmt: skip
YAML = ["&a", "*a", "<<: *a", "!!python/object/apply:os.system ['true']", "!!timestamp 2020-99-99", "2020-99-99",
        "0b", "0x", "1:99:99", "!!float x", "!!int x", "!!set {a}", "!!omap [a]", "!!binary x", "? [a]", "---", "...",
        "{", "[", "|", ">", "%YAML 9", "\t", "null", "~", "{1: 2}: 3", "!!map a",
        "\na: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\n"
        "d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e]\n"
        "g: &g [*f,*f,*f,*f,*f,*f,*f,*f,*f]\nh: &h [*g,*g,*g,*g,*g,*g,*g,*g,*g]\nnames: *h\n"]  # fmt: skip
CSV = ['"', ",", "\r", "\n", '""', "name", "label", ",,,,", "x.jpg", "\0", "a" * 140_000]

TREE = {
    "filename": "x.jpg",
    "size": {"width": 64, "height": 48, "depth": 3},
    "object": [
        {"name": "cat", "difficult": 0, "bndbox": {"xmin": 1, "ymin": 2, "xmax": 30, "ymax": 40}},
        {"name": "dog", "bndbox": {"xmin": 1.5, "ymin": 2, "xmax": 3, "ymax": 4}},
    ],
}


def _as_xml(content: Any) -> bytes:
    """A tree of values as elements: well-formed, whatever they say."""
    return f"<annotation>{''.join(_elements(content))}</annotation>".encode("utf-8", "replace")


def _elements(content: Any, tag: str = "") -> Iterator[str]:
    name = "".join(letter for letter in tag[:20] if letter.isascii() and letter.isalpha()) or "a"
    if isinstance(content, dict):
        inner = "".join(part for key, value in content.items() for part in _elements(value, str(key)))
        yield f"<{name}>{inner}</{name}>" if tag else inner
    elif isinstance(content, list):
        for value in content:
            yield from _elements(value, tag or "object")
    else:
        yield f"<{name}>{escape(str(content))}</{name}>"


SUBJECTS = [
    Subject("voc, well-formed", documents([TREE]).map(_as_xml), in_file("x.xml", lambda folder: used(Voc(folder)))),
    Subject("voc", text_files(VOC, XML), in_file("x.xml", lambda folder: used(Voc(folder)))),
    Subject("coco", json_files(COCO), in_file("c.json", lambda folder: used(Coco(folder / "c.json"))), share=1.5),
    Subject(
        "yolo labels",
        text_files(YOLO_LABELS, ["0", "1", "0.5", "nan", "inf", "-1", "1e308", " ", "\n", "٣"]),
        in_file("labels/x.txt", lambda folder: used(Yolo(folder)), data__yaml=b"names: [a, b]\n"),
    ),
    Subject(
        "yolo data.yaml, well-formed",
        # JSON is YAML.
        documents([{"names": ["a", "b"], "kpt_shape": [1, 3], "kpt_names": {"0": ["nose"]}}, {"names": {"a": 0}}]).map(
            lambda content: json.dumps(content).encode()
        ),
        in_file("data.yaml", lambda folder: used(_yolo(folder))),
    ),
    Subject("yolo data.yaml", text_files(YOLO_YAML, YAML), in_file("data.yaml", lambda folder: used(_yolo(folder)))),
    Subject(
        "superannotate", json_files(SUPERANNOTATE), in_file("x.jpg.json", lambda folder: used(Superannotate(folder)))
    ),
    Subject(
        "superannotate old names",
        json_files(SUPERANNOTATE),
        in_file(
            "x.jpg___objects.json", lambda folder: Superannotate.recognizes(folder) and used(Superannotate(folder))
        ),
        share=0.3,
    ),
    Subject(
        "csv labels",
        text_files(["name,label\nx.jpg,a\nsub/y.jpg,b\nz.png,\n"], CSV),
        in_file("l.csv", lambda folder: used(CsvLabels(folder / "l.csv"))),
    ),
    Subject(
        "class list",
        text_files(["a\nb\nc\n", "background\ncat\n"], ["\n", "\r", "\x85", "\u2028", "a"]),
        in_file("classes.txt", lambda folder: used(Masks(folder)), x__png=PNG_MASK),
        share=0.5,
    ),
    Subject("masks", files([PNG_MASK]), in_file("x.png", lambda folder: used(Masks(folder)), classes__txt=b"a\nb\n")),
    Subject("class folders", st.lists(st.tuples(words, words), max_size=3), _named_files, share=0.3),
]


def _yolo(folder: Path) -> Yolo:
    labels = folder / "labels"
    if not labels.exists():
        labels.mkdir()
        (labels / "x.txt").write_text("0 0.5 0.5 0.2 0.2\n1 0.5 0.5 0.2 0.2\n")
    return Yolo(folder)
