"""The exports of ``examples/benchmarks/tool_exports.py``, by each tool's documented layout, come in as drawn."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "examples" / "benchmarks" / "tool_exports.py"


def load_script():
    spec = importlib.util.spec_from_file_location("tool_exports", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


tool_exports = load_script()


@pytest.mark.parametrize("export", tool_exports.EXPORTS, ids=lambda export: export[0])
def test_an_export_comes_in_as_drawn(tmp_path, export):
    _, task, write = export
    names, annotations = tool_exports.read_export(tmp_path, task, write)
    first = tool_exports.first_object(annotations[0])
    assert tool_exports.is_right(task, names, annotations, first), (names, annotations)
