from __future__ import annotations

import io
import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alcli.errors import DataError
from alcli.items import Item, QueryRow
from alcli.priorities import Origin, as_text, priorities, write_files, write_narrow
from alcli.system.tables import plain, read

HARD_NAMES = ["NA", "nan", "null", "001", "1e5", "a,b.jpg", 'say "x".jpg', "two\nlines.jpg", "cr\r.jpg", "=1+1.jpg",
              "-x.jpg", "@x", " lead", "tab\t.jpg", "naïve.jpg", "日本.jpg"]  # fmt: skip


def rows(names: list[str]) -> list[QueryRow]:
    return [QueryRow(rank, Item(name, name, "u"), 1.0 / rank, rank <= 2) for rank, name in enumerate(names, 1)]


@pytest.mark.parametrize("count", [0, 1, 2, 3, 7, 999, 33_333, 65_537, 99_999, 100_000, 100_001, 250_000])
def test_priorities_fall_strictly_and_stay_in_the_form_that_platforms_keep(count):
    values = priorities(count)
    numbers = [float(value) for value in values]
    assert len(values) == count
    assert all(a > b for a, b in itertools.pairwise(numbers))
    assert all(re.fullmatch(r"\d+(\.\d{5})?", value) for value in values)
    assert all(len(value) <= 8 for value in values)
    if count:
        assert 0 < numbers[-1] <= numbers[0] <= 1_000_000
    if 0 < count <= 100_000:
        assert numbers[0] == 1.0


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_plain_numbers_have_no_exponent_and_read_back(value):
    text = plain(value)
    assert "e" not in text.lower()
    assert float(text) == value


def test_the_narrow_file_is_exactly_what_superannotate_imports():
    stream = io.StringIO()
    write_narrow(stream, rows(["b.jpg", "a.jpg"]))
    assert stream.getvalue() == "name,entropy_value\nb.jpg,1.00000\na.jpg,0.50000\n"


def test_hard_names_come_back_exactly(tmp_path):
    path = tmp_path / "priorities.csv"
    wide = write_files(path, rows(HARD_NAMES), Origin(7, "entropy", "m"))
    assert [row["name"] for row in read(path)] == HARD_NAMES
    assert list(read(path)[0]) == ["name", "entropy_value"]
    told = read(wide)
    assert [row["name"] for row in told] == [as_text(name) for name in HARD_NAMES]
    assert [row["rank"] for row in told] == [str(rank) for rank in range(1, len(HARD_NAMES) + 1)]
    assert told[0]["strategy"] == "entropy"
    assert told[1]["asked"] == "yes"
    assert told[2]["asked"] == "no"


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1), max_size=5))
def test_every_name_comes_back_exactly(tmp_path_factory, names):
    path = tmp_path_factory.mktemp("csv") / "p.csv"
    write_files(path, rows(names), Origin(1, "entropy", "m"))
    assert [row["name"] for row in read(path)] == names


def test_a_torn_file_is_refused(tmp_path):
    path = tmp_path / "p.csv"
    path.write_text("name,entropy_value\na.jpg\n")
    with pytest.raises(DataError, match=r"row 2: 1 columns, expected 2"):
        read(path)
