from __future__ import annotations

import importlib.metadata
import json

import pytest

BROKEN = importlib.metadata.EntryPoint("broken", "no_such_module:Broken", "alcli.strategies")


@pytest.fixture
def broken_plugin(monkeypatch):
    """A strategy of another package that cannot be imported."""
    discover = importlib.metadata.entry_points

    def with_broken(**selection: str):
        return [BROKEN] if selection.get("group") == "alcli.strategies" else discover(**selection)

    monkeypatch.setattr(importlib.metadata, "entry_points", with_broken)


@pytest.mark.parametrize(("what", "key", "name"), [("strategies", "name", "margin"), ("settings", "plugin", "folder")])
def test_a_plugin_that_cannot_be_imported_hides_no_other(what, key, name, alcli, broken_plugin):
    code, out, err = alcli("list", what, "--json")
    assert code == 0
    assert "The strategies plugin 'broken' of another package cannot be imported: ModuleNotFoundError" in err
    names = {line[key] for line in json.loads(out)[what]}
    assert name in names and "broken" not in names
