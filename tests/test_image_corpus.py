"""A hundred broken and odd files: each is shown as it should be or refused with a reason, and stops nobody."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys

import numpy as np
import pytest

from alcli import images
from alcli.errors import DataError, Unreadable
from tests.support import broken_images
from tests.support.broken_images import Kind

KINDS = broken_images.kinds()


def test_there_are_many():
    assert len(KINDS) >= 60


@pytest.mark.parametrize("name", KINDS)
def test_each_is_shown_rightly_or_refused_with_a_reason(tmp_path, name):
    kind, path = KINDS[name], tmp_path / name
    path.write_bytes(kind.content)
    if kind.refused:
        for look in (images.inspect, images.load, lambda path: images.load(path, at_least=(16, 16))):
            with pytest.raises(DataError, match=kind.refused) as caught:
                look(path)
            assert not isinstance(caught.value, Unreadable)
    elif kind.either:
        check_either(path)
    else:
        check_shown(path, kind)


def check_either(path):
    try:
        facts = images.inspect(path)
    except DataError as error:
        assert error.what
        with pytest.raises(DataError):
            images.load(path)
    else:
        assert images.load(path).size == (facts.width, facts.height)


def check_shown(path, kind: Kind):
    found = images.load(path)
    facts = images.inspect(path)
    assert (found.mode, found.size) == ("RGB", (facts.width, facts.height))
    assert np.abs(np.asarray(found).astype(int) - kind.pixels).max() <= kind.off


def test_what_is_no_file_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / "loop.jpg").symlink_to("loop.jpg")
    (tmp_path / "dangling.jpg").symlink_to("nothing.jpg")
    (tmp_path / "device.jpg").symlink_to("/dev/zero")
    for name in ("pipe.jpg", "folder.jpg", "loop.jpg", "dangling.jpg", "device.jpg"):
        for look in (images.inspect, images.load):
            with pytest.raises(DataError) as caught:
                look(tmp_path / name)
            assert caught.value.what


@pytest.mark.parametrize("form", [("PNG", {}), ("GIF", {}), ("JPEG", {"progressive": True}), ("TIFF", {})], ids=str)
def test_a_cut_file_is_refused_or_shows_every_pixel(tmp_path, form):
    content = broken_images.saved(broken_images.PICTURE, form[0], **form[1])
    path = tmp_path / "x"
    path.write_bytes(content)
    whole = np.asarray(images.load(path))
    for length in {*range(0, len(content), 97), *range(len(content) - 30, len(content))}:
        path.write_bytes(content[:length])
        try:
            found = np.asarray(images.load(path))
        except DataError:
            continue
        assert form[0] == "GIF"  # its last two bytes hold no pixel
        assert np.array_equal(found, whole)


def test_bombs_are_refused_by_their_header_with_little_memory(tmp_path):
    bombs = [name for name in KINDS if "bomb" in name]
    for name in bombs:
        (tmp_path / name).write_bytes(KINDS[name].content)
    code = """
import resource, sys
from pathlib import Path
from alcli import images
from alcli.errors import DataError
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for path in Path(sys.argv[1]).iterdir():
    try:
        images.inspect(path)
    except DataError:
        print(path.name)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024, file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert sorted(done.stdout.split()) == sorted(bombs)
    unit = 1 if sys.platform == "linux" else 1024
    assert int(done.stderr) / unit < 100 * 2**20
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss > 0


def test_a_cycle_over_all_of_them_ranks_the_good_ones_and_names_the_others(alcli, workspace, photos):
    for name, kind in KINDS.items():
        (photos.images / name).write_bytes(kind.content)
    os.mkfifo(photos.images / "pipe.jpg")
    (photos.images / "folder.jpg").mkdir()
    (photos.images / "loop.jpg").symlink_to("loop.jpg")
    # Some are annotated, and looked at first.
    for name in ("empty.jpg", "float.tif", "cut-50-plain.jpg"):
        photos.write_xml(name, ("red", "10", "10", "40", "40"))
    code, _, err = alcli("cycle", "-w", workspace, "--set", "score.workers=2")
    assert code == 3, err
    rows = json.loads(alcli("list", "quarantine", "-w", workspace, "--json")[1])["quarantine"]
    reasons = {row["name"]: row["reason"] for row in rows}
    assert all(reasons.values())
    wanted = {name for name, kind in KINDS.items() if kind.refused} | {"pipe.jpg", "loop.jpg"}
    assert wanted <= set(reasons)
    scores = (workspace / "cycles" / "0001" / "scores.csv").read_text(encoding="utf-8").splitlines()[1:]
    ranked = {line.split(",")[1] for line in scores}
    good = {name for name, kind in KINDS.items() if kind.pixels is not None}
    assert good | {photos.name(number) for number in range(8, 12)} <= ranked
    assert not ranked & set(reasons)
    assert ranked | set(reasons) >= set(KINDS)
