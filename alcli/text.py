"""Texts for people's eyes: names from outside made harmless, metrics by the names of the field."""

from __future__ import annotations


def visible(text: str, keep: str = "\n") -> str:
    """The text with control characters escaped, so that a file name can steer neither a terminal nor a line's order."""
    return "".join(c if c.isprintable() or c in keep else c.encode("unicode_escape").decode() for c in text)


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
