"""Run lengths are counted before anything expands them."""

from __future__ import annotations

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from alcli.errors import DataError
from alcli.run_lengths import pixels


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 1.0])
def test_what_pycocotools_writes_describes_every_pixel(share):
    rng = np.random.default_rng(0)
    for _ in range(50):
        drawn = np.repeat(rng.random((rng.integers(1, 40), rng.integers(1, 99))) < share, 3, axis=0)
        counts = coco_mask.encode(np.asfortranarray(drawn, dtype=np.uint8))["counts"].decode()
        assert pixels(counts) == drawn.size


@pytest.mark.parametrize("counts", ["P", "oooooooooooo", " ", "é", "0P", "\ud800"])
def test_what_is_no_code_is_refused(counts):
    with pytest.raises(DataError, match="its run lengths"):
        pixels(counts)


@pytest.mark.parametrize(("counts", "described"), [("", 0), ("0", 0), ("4", 4), ("04", 4)])
def test_too_few_are_counted_as_they_are(counts, described):
    assert pixels(counts) == described
