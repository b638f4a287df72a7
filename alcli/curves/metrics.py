"""Display names of metrics."""

from __future__ import annotations

METRICS = {
    "map": "mAP",
    "ap50": "AP50",
    "miou": "mIoU",
    "oks_ap": "OKS AP",
    "pck": "PCK",
    "top1": "top-1 accuracy",
    "macro_accuracy": "macro accuracy",
    "loss_rank_correlation": "loss rank correlation",
}


def metric_name(key: str) -> str:
    """The display name of a metric's key in files and ``--json``; the key itself if unknown."""
    return METRICS.get(key, key)
