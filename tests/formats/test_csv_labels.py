from __future__ import annotations

import pytest

from alcli.annotations import Annotation
from alcli.errors import DataError
from alcli.formats import csv_labels
from alcli.formats.csv_labels import CsvLabels


def table(tmp_path, text: str) -> CsvLabels:
    path = tmp_path / "labels.csv"
    path.write_text(text, encoding="utf-8")
    return CsvLabels(path)


def test_what_is_written_is_read_again(tmp_path):
    said = {'a, "b".jpg': ("hat",), "sub/c.jpg": ("hat", "shoe"), "d.jpg": ()}
    path = tmp_path / "labels.csv"
    csv_labels.write(path, {name: Annotation(name, labels=labels) for name, labels in said.items()})
    labels = CsvLabels(path)
    versions, refusals = labels.labeled([*said, "e.jpg"])
    assert set(versions) == set(said) and refusals == []
    assert {name: labels.read(name).labels for name in said} == said


def test_bom_and_further_columns_are_no_obstacle(tmp_path):
    labels = table(tmp_path, "\ufeffwho,label,name\nann,hat,./a.jpg\n")
    assert set(labels.labeled(["a.jpg"])[0]) == {"a.jpg"}
    assert labels.read("a.jpg").labels == ("hat",)


def test_rows_without_an_image_are_named(tmp_path):
    labels = table(tmp_path, "name,label\nz.jpg,hat\nc.jpg,hat\n")
    _, refusals = labels.labeled(["x/c.jpg", "y/c.jpg"])
    assert [row.reason for row in refusals] == [
        "no such image",
        "could belong to x/c.jpg or y/c.jpg; write its folder too",
    ]


BROKEN = {
    "labels.csv:1: there is no column label": "name,class\na.jpg,hat\n",
    "labels.csv:3: expected a name and a label": "name,label\na.jpg,hat\nb.jpg\n",
    "labels.csv:2: expected a name and a label": "name,label\na.jpg,hat,more\n",
    "labels.csv is not a CSV file": 'name,label\n"a.jpg,hat\n',
}


@pytest.mark.parametrize("reason", BROKEN)
def test_errors_name_the_line(tmp_path, reason):
    with pytest.raises(DataError) as refused:
        table(tmp_path, BROKEN[reason]).labeled(["a.jpg", "b.jpg"])
    assert reason in refused.value.what
