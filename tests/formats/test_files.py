"""How the one place that opens annotation files reads them."""

from __future__ import annotations

import tracemalloc

import pytest

from alcli.errors import DataError
from alcli.formats import _files


def test_a_small_file_takes_little_memory_however_large_a_file_may_be(tmp_path):
    file = tmp_path / "annotations.json"
    file.write_bytes(b"{}")
    tracemalloc.start()
    try:
        content = _files.read_bytes(file, 2**40)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert content == b"{}" and peak < 2**20


def test_a_file_that_grows_while_it_is_read_is_refused(tmp_path, monkeypatch):
    file = tmp_path / "annotations.json"
    file.write_bytes(b"[1, 2]")
    status = _files.os.fstat

    def then_more(descriptor):
        facts = status(descriptor)
        with file.open("ab") as stream:
            stream.write(b"x")
        return facts

    monkeypatch.setattr(_files.os, "fstat", then_more)
    with pytest.raises(DataError, match="grew while it was read"):
        _files.read_bytes(file, 100)
