from __future__ import annotations

import json

from alcli.priorities import read


def test_images_known_to_be_broken_are_not_asked_for_at_random(alcli, workspace, photos):
    for number in (9, 10):
        (photos.images / photos.name(number)).write_bytes(b"")
    assert alcli("cycle", "-w", workspace)[0] == 3
    code, out, _ = alcli("score", "-w", workspace, "--strategy", "random", "--json")
    assert (code, json.loads(out)["scored"]) == (0, 2)
    assert alcli("push", "-w", workspace)[0] == 0
    assert {row["name"] for row in read(photos.annotations / "queue.csv")} == {photos.name(8), photos.name(11)}


def test_a_try_with_another_strategy_is_undone_by_the_next_cycle(alcli, workspace, photos):
    alcli("cycle", "-w", workspace)
    before = (photos.annotations / "queue.csv").read_bytes()
    alcli("score", "-w", workspace, "--strategy", "entropy")
    alcli("push", "-w", workspace)
    code, out, err = alcli("cycle", "-w", workspace, "--json")
    assert code == 0
    assert "making it again" in err
    assert json.loads(out)["cycle"] == 1
    assert (photos.annotations / "queue.csv").read_bytes() == before
    assert alcli("cycle", "-w", workspace)[1].startswith("Nothing new")


def test_a_list_that_is_gone_is_made_again(alcli, workspace):
    alcli("cycle", "-w", workspace)
    expected = (workspace / "cycles/0001/scores.csv").read_bytes()
    (workspace / "cycles/0001/scores.csv").unlink()
    assert alcli("cycle", "-w", workspace)[0] == 0
    assert (workspace / "cycles/0001/scores.csv").read_bytes() == expected


def test_a_kill_between_a_file_and_its_row_is_healed_by_the_next_cycle(alcli, workspace, monkeypatch):
    from alcli.workspace import Workspace

    alcli("cycle", "-w", workspace)
    real = Workspace.finish_step

    def killed(self, cycle, step, *rest, **more):
        if step == "score":
            raise KeyboardInterrupt
        return real(self, cycle, step, *rest, **more)

    monkeypatch.setattr(Workspace, "finish_step", killed)
    assert alcli("score", "-w", workspace, "--strategy", "random")[0] == 130
    monkeypatch.undo()
    code, _, err = alcli("export-csv", "-w", workspace, "-o", "-")
    assert code == 2
    assert "Nothing has been scored yet" in err
    assert alcli("cycle", "-w", workspace)[0] == 0
    assert alcli("export-csv", "-w", workspace, "-o", "-")[0] == 0


def test_more_workers_are_nothing_new(alcli, workspace):
    alcli("cycle", "-w", workspace)
    assert alcli("cycle", "-w", workspace, "--set", "score.workers=1")[1].startswith("Nothing new")
