"""`alcli.open_workspace`: what the command line shows, as tables."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import alcli as door
from alcli.errors import UsageError, WorkspaceDamaged, WorkspaceMissing
from alcli.system.tables import read
from tests.support.scenes import Photos


def test_the_tables_say_what_the_commands_say(photos: Photos, workspace: Path, alcli) -> None:
    photos.draw(30, annotated=20)
    assert alcli("cycle", "-w", workspace)[0] == 0
    tables = door.open_workspace(str(workspace))
    items = tables.items()
    listed = json.loads(alcli("list", "items", "-w", workspace, "--json")[1])["items"]
    assert items[["name", "state", "folder"]].to_dict("records") == sorted(listed, key=lambda each: each["name"])
    assert items["uri"].str.startswith("file://").all()
    scores = tables.scores()
    rows = list(read(workspace / "cycles/0001/scores.csv"))
    assert scores["name"].tolist() == [row["name"] for row in rows]
    assert scores["score"].tolist() == [float(row["score"]) for row in rows]
    assert scores["asked"].tolist() == [row["asked"] == "yes" for row in rows]
    assert scores["margin"].tolist() == [float(row["margin"]) for row in rows]
    metrics = tables.metrics()
    assert metrics["cycle"].tolist() == [1] and metrics["labels"].tolist() == [20]
    cycle = json.loads(alcli("status", "-w", workspace, "--json")[1])["cycles"][0]
    assert metrics[list(cycle["metrics"])].iloc[0].to_dict() == cycle["metrics"] and "map" in metrics
    assert metrics["held_out"].tolist() == [cycle["metric_images"]] and metrics["strategy"].tolist() == ["auto"]
    assert door.open_workspace(workspace).scores(1).equals(scores)


def test_before_the_first_cycle_there_are_no_scores(workspace: Path, alcli) -> None:
    tables = door.open_workspace(workspace)
    assert len(tables.items()) == 0 and len(tables.metrics()) == 0
    with pytest.raises(UsageError, match="Nothing has been scored"):
        tables.scores()
    assert alcli("pull", "-w", workspace)[0] == 0
    # Each call looks anew.
    assert len(tables.items()) == 12
    with pytest.raises(UsageError, match="Cycle 4 has not been scored"):
        tables.scores(4)


def test_a_folder_without_a_workspace_and_a_changed_list_are_refused(workspace: Path, alcli, tmp_path: Path) -> None:
    with pytest.raises(WorkspaceMissing):
        door.open_workspace(tmp_path)
    assert alcli("cycle", "-w", workspace)[0] == 0
    with (workspace / "cycles/0001/scores.csv").open("a") as stream:
        stream.write("x\n")
    with pytest.raises(WorkspaceDamaged):
        door.open_workspace(workspace).scores()
