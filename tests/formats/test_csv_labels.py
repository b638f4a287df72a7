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


SPELLINGS = {
    "semicolons": "name;label\na.jpg;cat\nb.jpg;dog\n",
    "a line that names the separator": "sep=;\nname;label\na.jpg;cat\nb.jpg;dog\n",
    "tabs": "name\tlabel\na.jpg\tcat\nb.jpg\tdog\n",
    "headers in other case": "Name,LABEL\na.jpg,cat\nb.jpg,dog\n",
    "other headers": "filename,class\na.jpg,cat\nb.jpg,dog\n",
    "blank rows and a trailing comma": "name,label,\na.jpg,cat,\n,,\nb.jpg,dog,\n,,\n\n",
    "a column for each class": "filename, cat, dog\na.jpg, 1, 0\nb.jpg, 0, 1\n",
    "names without suffix": "name,label\na,cat\nb,dog\n",
    "names below another folder": "name,label\nphotos\\a.jpg,cat\nphotos/b.jpg,dog\n",
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_other_spellings_are_read(tmp_path, spelling):
    labels = table(tmp_path, SPELLINGS[spelling])
    versions, refusals = labels.labeled(["a.jpg", "b.jpg", "c.jpg"])
    assert set(versions) == {"a.jpg", "b.jpg"} and refusals == []
    assert (labels.read("a.jpg").labels, labels.read("b.jpg").labels) == (("cat",), ("dog",))


def test_what_spreadsheets_call_unicode_text_is_read(tmp_path):
    labels = table(tmp_path, "")
    (tmp_path / "labels.csv").write_bytes("name\tlabel\nä.jpg\tcat\n".encode("utf-16"))
    assert set(labels.labeled(["ä.jpg"])[0]) == {"ä.jpg"}


def test_an_image_without_any_class_of_the_table_has_no_label(tmp_path):
    labels = table(tmp_path, "filename,cat,dog\na.jpg,1,1\nb.jpg,0,0\nc.jpg,2,0\n")
    labels.labeled(["a.jpg", "b.jpg", "c.jpg"])
    assert (labels.read("a.jpg").labels, labels.read("b.jpg").labels) == (("cat", "dog"), ())
    with pytest.raises(DataError, match=r"labels.csv:4: column cat: expected 0 or 1, got '2'"):
        labels.read("c.jpg")


@pytest.mark.parametrize("row", ["b.jpg", "b.jpg,hat,more"])
def test_a_broken_row_spoils_its_image_only(tmp_path, row):
    labels = table(tmp_path, f"name,label\na.jpg,hat\n{row}\n")
    assert set(labels.labeled(["a.jpg", "b.jpg"])[0]) == {"a.jpg", "b.jpg"}
    assert labels.read("a.jpg").labels == ("hat",)
    with pytest.raises(DataError, match=r"labels.csv:3: expected a name and a label"):
        labels.read("b.jpg")


def test_a_row_without_a_name_is_left_out(tmp_path):
    versions, refusals = table(tmp_path, "name,label\n,hat\na.jpg,hat\n").labeled(["a.jpg"])
    assert set(versions) == {"a.jpg"}
    assert [refusal.name for refusal in refusals] == ["labels.csv:2"]


BROKEN = {
    "labels.csv:1: there is no column label": "name,kind\na.jpg,hat\n",
    "labels.csv:1: there is no column label or name": "who,kind\nann,hat\n",
    "labels.csv: after line 1: unexpected end of data": 'name,label\n"a.jpg,hat\n',
}


@pytest.mark.parametrize("reason", BROKEN)
def test_errors_name_the_line(tmp_path, reason):
    with pytest.raises(DataError) as refused:
        table(tmp_path, BROKEN[reason]).labeled(["a.jpg", "b.jpg"])
    assert reason in refused.value.what
