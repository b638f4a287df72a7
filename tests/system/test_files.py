import os
import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alcli.system.files import TEMPORARY_PREFIX, atomic_write, remove_leftovers
from alcli.system.hashing import sha256_of, sha256_of_text


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("old")
    with pytest.raises(RuntimeError), atomic_write(path) as stream:
        stream.write("half of the new")
        raise RuntimeError
    assert path.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]


def test_line_ends_and_permissions_do_not_depend_on_the_umask(tmp_path):
    old = os.umask(0)
    try:
        with atomic_write(tmp_path / "a") as stream:
            stream.write("x\r\ny\n")
    finally:
        os.umask(old)
    assert (tmp_path / "a").read_bytes() == b"x\r\ny\n"
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o600


def test_temporary_files_of_a_killed_run_are_removed(tmp_path):
    (tmp_path / f"{TEMPORARY_PREFIX}xyz").write_text("half")
    (tmp_path / "kept").write_text("whole")
    remove_leftovers(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_sha256(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert sha256_of(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@given(st.lists(st.text(), max_size=4), st.lists(st.text(), max_size=4))
def test_hashes_distinguish_where_strings_end(first, second):
    assert (sha256_of_text(*first) == sha256_of_text(*second)) == (first == second)
