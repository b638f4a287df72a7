from __future__ import annotations

import json
import math

import pytest

from alcli.workspace import Workspace
from alcli.workspace.records import Training


def write_cycles(root, *values, labels=100):
    """Cycles as their trainings would have recorded them."""
    workspace = Workspace.open(root)
    for number, value in enumerate(values, 1):
        workspace.store.start_cycle(number, "", "2026-01-01T00:00:00Z")
        summary = Training(trained_on=labels * number, held_out=500, metrics={"map": value, "ap50": 0.5})
        workspace.finish_step(number, "", summary)
        workspace.store.finish_cycle(number, "", "2026-01-01T00:00:00Z")
    workspace.close()


def test_labels_cycles_and_hours(alcli, workspace):
    write_cycles(workspace, 0.3, 0.45, 0.54, 0.6)
    code, out, _ = alcli("forecast", "-w", workspace, "--target", "0.7", "--set", "cost.seconds_per_item=36", "--json")
    told = json.loads(out)
    assert code == 0
    assert told["schema_version"] == 1
    assert (told["metric"], told["value"], told["labels"], told["points"]) == ("map", 0.6, 900, 4)
    target = told["target"]
    assert target["reachable"]
    assert not target["reached"]
    assert target["labels"]["low"] < target["labels"]["median"]
    assert target["hours"]["median"] == pytest.approx(target["more_labels"]["median"] / 100)
    assert target["cycles"]["median"] == math.ceil(target["more_labels"]["median"] / 2)
    code, out, _ = alcli("forecast", "-w", workspace, "--target", "0.7")
    assert out.startswith("70 % mAP: perhaps ")


def test_where_the_hours_come_from_is_said(alcli, workspace):
    write_cycles(workspace, 0.3, 0.45)
    told = json.loads(alcli("forecast", "-w", workspace, "--json")[1])
    assert told["pace"].pop("reference").startswith("professional annotators")
    assert told["pace"] == {
        "source": "typical",
        "seconds_per_image": 0,
        "seconds_per_object": 26.5,
        "images": 0,
        "idle_images": 0,
    }
    assert "\nHours assume 26.5 s a box (professional annotators, end to end;" in alcli("forecast", "-w", workspace)[1]
    own = ("--set", "cost.seconds_per_item=10", "--set", "cost.seconds_per_object=4")
    assert "Hours assume 10.0 s an image and 4.0 s an object, as set (" in alcli("forecast", "-w", workspace, *own)[1]
    assert json.loads(alcli("forecast", "-w", workspace, "--json", *own)[1])["pace"]["source"] == "settings"


def test_without_a_target_the_next_cycle_is_told(alcli, workspace):
    write_cycles(workspace, 0.3, 0.45)
    code, out, _ = alcli("forecast", "-w", workspace)
    assert code == 0
    assert out.startswith("The next 2 labels are expected to bring")
    assert "target" not in json.loads(alcli("forecast", "-w", workspace, "--json")[1])


def test_a_target_below_the_current_value_is_reached(alcli, workspace):
    write_cycles(workspace, 0.3, 0.45)
    code, out, _ = alcli("forecast", "-w", workspace, "--target", "0.4")
    assert code == 0
    assert out.startswith("40 % mAP is reached: the newest model measures 45.0 %")
    for same in ("40%", "40 %"):
        assert alcli("forecast", "-w", workspace, "--target", same)[1] == out


def test_bad_targets_are_usage_errors(alcli, workspace):
    write_cycles(workspace, 0.3, 0.45)
    for target in ("1.5", "0", "-1", "nan", "much", "%", "150%"):
        assert alcli("forecast", "-w", workspace, "--target", target)[0] == 2
    _, _, err = alcli("forecast", "-w", workspace, "--target", "75")
    assert "For 75 % write --target 75%" in err


def test_one_cycle_or_numbers_that_are_none_say_what_is_needed(alcli, workspace):
    code, out, err = alcli("forecast", "-w", workspace, "--target", "0.9", "--json")
    assert code == 5
    assert json.loads(out)["exit_code"] == 5
    write_cycles(workspace, 0.3, math.nan)
    code, _, err = alcli("forecast", "-w", workspace, "--target", "0.9")
    assert code == 5
    assert "Cycle 2 is ignored: its metric is not a number." in err
    assert "needs two cycles with a metric" in err
    assert "alcli cycle" in err


def test_status_shows_course_and_advice_and_can_exit_by_it(alcli, workspace):
    write_cycles(workspace, *[0.8] * 8, labels=10000)
    code, out, _ = alcli("status", "-w", workspace)
    assert code == 0
    assert "● Stop: The next 2 labels" in out
    assert alcli("status", "-w", workspace, "--exit-code", "-q")[:2] == (20, "")
    told = json.loads(alcli("status", "-w", workspace, "--json")[1])
    assert told["advice"] == "stop"
    assert told["outlook"]["next_cycle"]["high"] < 0.01


def test_status_before_anything_can_be_said(alcli, workspace):
    write_cycles(workspace, math.nan)
    code, out, _ = alcli("status", "-w", workspace, "--exit-code")
    assert code == 0
    assert "Go on: it is too early to say more. A forecast comes after two cycles with annotations;" in out
    assert json.loads(alcli("status", "-w", workspace, "--json")[1])["cycles"][0]["metrics"]["map"] is None
