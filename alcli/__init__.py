"""Turn an annotation project into a ranked to-do list for its annotators, in every labeling cycle.

From Python: ``rank`` orders names by embeddings and probabilities of your own; ``open_workspace`` reads a workspace.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from alcli.report.tables import open_workspace
    from alcli.selection.table import rank

__version__ = "0.1.0"
__all__ = ["__version__", "open_workspace", "rank"]

_DOOR = {"rank": "alcli.selection.table", "open_workspace": "alcli.report.tables"}
"""Where the names for Python are; numpy and pandas are imported when one of them is first used."""

# With several threads Intel's MKL, torch's matrix products on a CPU, lets the last digits of a product depend on where
# its operands lie in memory, so that two equal trainings part. Its "conditional numerical reproducibility" ends that at
# no cost that could be measured; MKL reads the variable once, at its first product.
os.environ.setdefault("MKL_CBWR", "AUTO")


def __getattr__(name: str) -> Any:
    if name not in _DOOR:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_DOOR[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
