from __future__ import annotations

import json

from alcli.priorities import read
from tests.steps.colours import LAST, SWAPPED, label

SHARE = ("--set", "selection.recheck_share=0.5", "--budget", "4")


def rechecks(workspace, cycle):
    return [row for row in read(workspace / f"cycles/{cycle:04}/priorities.wide.csv") if row["arm"] == "recheck"]


def test_suspicious_annotations_take_their_share_of_the_budget_once(alcli, colours):
    label(colours.parent, LAST + 1, SWAPPED)
    code, out, err = alcli("cycle", "-w", colours, *SHARE, "--json")
    assert code == 0, err
    steps = json.loads(out)["steps"]
    found = rechecks(colours, 3)
    assert {row["name"] for row in found} == set(SWAPPED)
    assert all(row["asked"] == "yes" and row["reason"].startswith("re-check: ") for row in found)
    assert [row["rank"] for row in found] == ["2", "4"]
    assert (steps["score"]["scored"], steps["score"]["asked"]) == (3, 2)
    assert steps["push"]["rechecks"] == 2
    assert "2 annotations to look at again." in alcli("push", "-w", colours)[1]
    queue = (colours.parent / "queue.csv").read_text()
    assert all(name in queue for name in SWAPPED)
    assert "look at 2 annotations again" in report(alcli, colours, 3)
    label(colours.parent, LAST + 2, SWAPPED)
    code, out, _ = alcli("cycle", "-w", colours, *SHARE)
    assert code == 0
    assert "again" not in out
    assert not {row["name"] for row in rechecks(colours, 4)} & set(SWAPPED)


def test_a_recheck_that_lost_its_annotation_since_is_not_pushed(alcli, colours):
    assert alcli("score", "-w", colours, *SHARE)[0] == 0
    label(colours.parent, min(int(name[4:6]) for name in SWAPPED))
    code, out, _ = alcli("push", "-w", colours, "--json")
    assert code == 3
    assert json.loads(out)["rechecks"] == 0
    assert alcli("push", "-w", colours, "--json")[0] in (0, 3)


def test_without_a_share_nobody_is_asked_twice(alcli, colours):
    assert rechecks(colours, 2) == []


def report(alcli, workspace, cycle):
    assert alcli("report", "-w", workspace)[0] == 0
    return (workspace / f"cycles/{cycle:04}/report.html").read_text()
