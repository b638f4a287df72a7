"""Metrics by the names of the field."""

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
    """What people call the metric that files and ``--json`` call ``key``; of an unknown one its key."""
    return METRICS.get(key, key)
