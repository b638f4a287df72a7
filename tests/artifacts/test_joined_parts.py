"""Parts of a scoring pass are joined one at a time."""

from __future__ import annotations

import numpy as np
import pytest

from alcli.artifacts.scoring_pass import _concatenate
from alcli.items import Refusal
from alcli.signals import Signals

NAMES = frozenset({"embedding", "entropy"})
REFUSAL = Refusal("d", "d.jpg", "broken")


def part(*ids: str, columns: int = 3, kind: type = np.float32) -> tuple[Signals, list[Refusal]]:
    draw = np.random.default_rng(len(ids))
    arrays = {"entropy": draw.random(len(ids)), "embedding": draw.random((len(ids), columns)).astype(kind)}
    return Signals(list(ids), arrays), []


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_joined_parts_hold_what_the_parts_hold(tmp_path, kind):
    parts = [part("a", "b", kind=kind), (Signals([], {name: np.zeros(0) for name in NAMES}), [REFUSAL]), part("c")]
    signals, refusals = _concatenate(iter(parts), NAMES, tmp_path)
    assert signals.item_ids == ["a", "b", "c"] and refusals == [REFUSAL]
    assert signals["embedding"].dtype == kind and isinstance(signals["embedding"], np.memmap)
    for name in NAMES:
        wanted = np.concatenate([parts[0][0][name], parts[2][0][name].astype(parts[0][0][name].dtype)])
        np.testing.assert_array_equal(signals[name], wanted)


def test_nothing_and_no_columns_need_no_file(tmp_path):
    signals, _ = _concatenate([], NAMES, tmp_path)
    assert {name: signals[name].shape for name in NAMES} == {"embedding": (0,), "entropy": (0,)}
    assert _concatenate([part("a", columns=0)], NAMES, tmp_path)[0]["embedding"].shape == (1, 0)


def test_rows_of_another_width_are_no_silent_mixture(tmp_path):
    with pytest.raises(ValueError, match="shape"):
        _concatenate([part("a"), part("b", columns=6)], NAMES, tmp_path)
