from __future__ import annotations

import importlib.metadata
import json
from contextlib import closing

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


def test_a_plugin_with_unusable_options_hides_no_other_setting(alcli, monkeypatch):
    from alcli.strategies.entropy import Entropy

    monkeypatch.setattr(Entropy, "Options", int, raising=False)
    code, out, err = alcli("list", "settings", "--json")
    assert code == 0
    assert "The Options of the strategy entropy do not extend StrategyOptions." in err
    assert "task.multi_label" in {line["name"] for line in json.loads(out)["settings"]}


def test_a_broken_plugin_does_not_hide_a_misspelled_key(alcli, broken_plugin, tmp_path):
    code, _, err = alcli("init", tmp_path / "W", "--set", "strategy.nane=entropy")
    assert code == 2
    assert "Unknown key 'strategy.nane'" in err and "broken" not in err


def test_strategies_start_with_the_one_to_use_and_need_no_wide_terminal(alcli):
    out = alcli("list", "strategies")[1]
    lines = out.splitlines()
    assert lines[2].startswith("auto (use this first)  Pick items one by one")
    assert "O(" not in out and "``" not in out
    assert "O(" in alcli("list", "strategies", "-v")[1]
    assert "``" not in alcli("list", "formats")[1] + alcli("list", "tasks")[1]


def test_a_shell_completes_the_names_of_plug_ins():
    from alcli.cli._options import complete_names

    assert complete_names("strategies")(None, None, "co") == ["core-set", "cost-normalised"]
    assert complete_names("tasks")(None, None, "") == ["classification", "detection", "pose", "segmentation"]


def test_items_are_streamed_as_the_document_that_they_were(alcli, workspace):
    from alcli.workspace import Workspace

    empty = alcli("list", "items", "--json", "-w", workspace)[1]
    assert empty == json.dumps({"schema_version": 1, "items": []}, indent=2) + "\n"
    assert alcli("pull", "-w", workspace)[0] == 0
    with closing(Workspace.open(workspace)) as opened:
        pool = opened.store.pool()
    rows = [(item.name, pool.state(item), item.folder) for _, item in sorted(pool.items.items())]
    items = [dict(zip(("name", "state", "folder"), row, strict=True)) for row in rows]
    assert len(items) == 12
    out = alcli("list", "items", "--json", "-w", workspace)[1]
    assert out == json.dumps({"schema_version": 1, "items": items}, indent=2) + "\n"


def test_a_list_that_fails_halfway_is_no_document_and_says_so(alcli, workspace, monkeypatch):
    from alcli.errors import WorkspaceDamaged
    from alcli.workspace.store import Store

    def listing(self):
        yield "a", "labeled", ""
        raise WorkspaceDamaged("The database is damaged.")

    monkeypatch.setattr(Store, "listing", listing)
    code, out, err = alcli("list", "items", "--json", "-w", workspace)
    assert code == WorkspaceDamaged("").exit_code
    assert "the list of items on stdout ends in the middle" in err and "The database is damaged." in err
    with pytest.raises(json.JSONDecodeError):
        json.loads(out)


def test_a_long_table_keeps_every_cell_whole(capsys):
    from alcli.cli._tables import MOST_LAID_OUT, print_table

    rows = [(f"{'long/' * 40}img_{n}.jpg", "unlabeled", "a\nb") for n in range(MOST_LAID_OUT + 1)]
    print_table("items", ("name", "state", "folder"), rows)
    title, header, *lines = capsys.readouterr().out.splitlines()
    assert (title, header.split(), len(lines)) == ("items", ["name", "state", "folder"], len(rows))
    assert lines[7].split()[:2] == [rows[7][0], "unlabeled"] and "\\n" in lines[7]
