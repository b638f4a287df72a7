"""Display names and display form of metrics."""

from __future__ import annotations

CORRELATION = "loss_rank_correlation"
"""Key in a training's metrics: Spearman correlation of predicted and true losses on held-out items."""
METRICS = {
    "map": "mAP",
    "ap50": "AP50",
    "miou": "mIoU",
    "oks_ap": "OKS AP",
    "pck": "PCK",
    "top1": "top-1 accuracy",
    "macro_accuracy": "macro accuracy",
    CORRELATION: "loss rank correlation",
}


def metric_name(key: str) -> str:
    """The display name of a metric's key in files and ``--json``; the key itself if unknown."""
    return METRICS.get(key, key)


def percent(share: float) -> str:
    """A share in [0, 1] as people read it everywhere: ``28.4 %``."""
    return f"{100 * share:.1f} %"


def metric_in_words(key: str, value: float) -> str:
    """A metric with its value: ``mAP 28.4 %``."""
    return f"{metric_name(key)} {percent(value)}"


def interval_in_words(interval: tuple[float, float] | None) -> str:
    """`` [90 %: 24 to 33]`` after a metric; empty without an interval."""
    return f" [90 %: {100 * interval[0]:.0f} to {100 * interval[1]:.0f}]" if interval else ""
