from __future__ import annotations

import json

from alcli.system.tables import read
from tests.support.colours import LAST, SWAPPED, label

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
    assert "2 annotations to review." in alcli("push", "-w", colours)[1]
    queue = (colours / "queue.csv").read_text()
    assert all(name in queue for name in SWAPPED)
    assert "look at 2 annotations again" in report(alcli, colours, 3)
    label(colours.parent, LAST + 2, SWAPPED)
    assert alcli("cycle", "-w", colours, *SHARE)[0] == 0
    assert not {row["name"] for row in rechecks(colours, 4)} & set(SWAPPED)


def test_nobody_is_asked_twice_in_a_cycle_that_stays_open(alcli, colours):
    """Whoever runs the steps one by one never closes the cycle."""
    found = []
    for count in (LAST + 1, LAST + 2):
        label(colours.parent, count, SWAPPED)
        for step in (("pull",), ("train",), ("score", *SHARE), ("push",)):
            assert alcli(*step, "-w", colours)[0] == 0
        found.append({row["id"] for row in read(colours / "cycles/0003/scores.csv") if row["arm"] == "recheck"})
    assert found[0] == set(SWAPPED)
    assert not found[0] & found[1]


def test_a_shortened_list_counts_images_and_the_narrow_one_holds_them_alone(alcli, colours):
    assert alcli("cycle", "-w", colours, *SHARE)[0] == 0
    wide, narrow = (colours.parent / name for name in ("top.wide.csv", "top.csv"))
    assert alcli("export-csv", "-w", colours, "--top", "2", "-o", narrow)[0] == 0
    assert [row["arm"] for row in read(wide)] == ["al", "recheck", "al"]
    assert [row["name"] for row in read(narrow)] == [row["name"] for row in read(wide) if row["arm"] == "al"]
    assert json.loads(alcli("push", "-w", colours, "--top", "1", "--dry-run", "--json")[1])["queued"] == 1


def test_everything_annotated_and_something_to_look_at_again(alcli, colours):
    label(colours.parent, LAST + 4, SWAPPED)
    assert alcli("cycle", "-w", colours, *SHARE)[0] == 0
    assert "Every usable image is annotated: look at 2 annotations again." in report(alcli, colours, 3)


def test_a_recheck_that_lost_its_annotation_since_is_not_pushed(alcli, colours):
    assert alcli("score", "-w", colours, *SHARE)[0] == 0
    label(colours.parent, min(int(name[4:6]) for name in SWAPPED))
    code, out, _ = alcli("push", "-w", colours, "--json")
    assert code == 3
    assert json.loads(out)["rechecks"] == 0
    queue = (colours / "queue.csv").read_text()
    assert not any(name in queue for name in SWAPPED)


def test_without_a_share_nobody_is_asked_twice(alcli, colours):
    assert rechecks(colours, 2) == []


def report(alcli, workspace, cycle):
    assert alcli("report", "-w", workspace)[0] == 0
    return (workspace / f"cycles/{cycle:04}/report.html").read_text()
