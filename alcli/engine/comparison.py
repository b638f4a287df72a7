"""Two ways to compute a network, compared by the order in which they put images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.stats import spearmanr
from torch import nn

from alcli.config import ScoreOptions
from alcli.engine import inference
from alcli.models.loss_head import LossHead
from alcli.system.progress import Advance, ignore
from alcli.tasks import Example, Task

ALIKE = 0.999
"""Least Spearman correlation of two rankings that count as equal."""
CLOSE = 1e-5
"""Values that are nowhere further apart are equal, whatever order their last digits give."""
RANKED_BY = frozenset({"entropy", "margin", "least_confidence", "predicted_loss", "expected_objects"})


def comparable_signals(task: Task) -> frozenset[str]:
    """The signals of a task that rank images and cost one pass."""
    return RANKED_BY & task.signal_names


def compare_signals(
    task: Task,
    models: Sequence[nn.Module],
    loss_head: LossHead,
    examples: Sequence[Example],
    options: ScoreOptions,
    advance: Advance = ignore,
) -> dict[str, Any]:
    """Compare the rankings by two forms of one network.

    Returns:
        ``images`` compared, the lowest ``spearman``, of which ``signal``, and whether that ``differs``.
    """
    names = comparable_signals(task)
    first, second = (
        _signals(task, model, loss_head, examples, options, report)
        for model, report in zip(models, (advance, ignore), strict=True)
    )
    lowest, signal = 1.0, min(names)
    for name in sorted(names):
        one, other = first[name], second[name]
        if len(one) < 2 or np.abs(one - other).max() <= CLOSE:
            continue
        rank_correlation = float(spearmanr(one, other).statistic) if np.ptp(one) and np.ptp(other) else 0.0
        if rank_correlation < lowest:
            lowest, signal = rank_correlation, name
    return {"images": len(first[signal]), "spearman": lowest, "signal": signal, "differs": lowest < ALIKE}


def _signals(
    task: Task,
    model: nn.Module,
    loss_head: LossHead,
    examples: Sequence[Example],
    options: ScoreOptions,
    advance: Advance,
) -> dict[str, np.ndarray]:
    names = comparable_signals(task)
    parts = [part for part, _ in inference.signals(task, model, loss_head, examples, names, options, advance)]
    filled = [part for part in parts if len(part)]
    return {name: np.concatenate([part[name] for part in filled]) if filled else np.zeros(0) for name in names}
