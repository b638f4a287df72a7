from __future__ import annotations

import json

from alcli.system.tables import read
from tests.support.colours import SWAPPED


def test_wrong_labels_stand_first_and_say_what_the_model_sees(alcli, colours):
    code, out, err = alcli("report", "-w", colours, "--json")
    assert code == 0, err
    rows = read(colours / "cycles/0002/audit.csv")
    assert json.loads(out)["suspicious"] == len(rows)
    assert {row["name"] for row in rows[:2]} == set(SWAPPED)
    assert [row["rank"] for row in rows] == [str(rank) for rank in range(1, len(rows) + 1)]
    assert "labeled" in rows[0]["detail"] or "an earlier model" in rows[0]["detail"]
    assert SWAPPED[0] in (colours / "cycles/0002/report.html").read_text()


def test_annotations_are_judged_once_for_a_model(alcli, colours, monkeypatch):
    from alcli.engine import inference

    alcli("report", "-w", colours)
    before = (colours / "cycles/0002/audit.csv").read_bytes()
    monkeypatch.setattr(inference, "item_losses", None)
    assert alcli("report", "-w", colours)[0] == 0
    assert (colours / "cycles/0002/audit.csv").read_bytes() == before


def test_an_image_that_is_gone_is_nobodys_fault(alcli, colours):
    (colours.parent / "images" / SWAPPED[0]).unlink()
    assert alcli("report", "-w", colours)[0] == 0
    assert SWAPPED[1] in (colours / "cycles/0002/audit.csv").read_text()
