"""The gain over random order, as the newest simulation in a workspace has measured it."""

from __future__ import annotations

import json
from pathlib import Path

FILE_NAME = "gains.json"


def simulated_gain(root: Path, strategy: str) -> str:
    """``+2.1 points [+0.3, +4.0] of mAP …``; empty where the strategy was not simulated."""
    for path in sorted(root.glob(f"simulations/*/{FILE_NAME}"), reverse=True):
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            gain = content["gains"].get(strategy)
            if gain is None:
                continue
            mean, low, high = (f"{100 * gain[key]:+.1f}" for key in ("mean", "low", "high"))
            sure = "" if gain["low"] > 0 or gain["high"] < 0 else "; that may be chance"
            runs, metric = int(content["runs"]), str(content["metric"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue
        return f"{mean} points [{low}, {high}] of {metric}, simulated on your labels in {runs} runs{sure}."
    return ""
