"""Two hundred seeded schedules of faults: each run ends as without faults, or clearly; the next run completes.

Twenty of them run always, the others with ``-m slow``.
"""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest

from alcli.errors import AlcliError
from alcli.items import LABELED, Item
from alcli.priorities import write_rows
from alcli.progress import Silent
from alcli.steps import Context
from alcli.steps.pull import pull
from alcli.steps.push import push
from alcli.steps.score import COLUMNS
from alcli.workspace import Workspace
from tests.superannotate_server import Fault, Server

CLEAR = {3, 4, 6}
SCHEDULES = 200
KINDS = ("500", "503", "429", "hang", "drop", "cut", "duplicate", "short", "delete", "html", "401")
PLACES = ("", "items/search", "annotations/download", "updateEntropy", "workflowstatuses", "folders/search")
CAT = {"type": "bbox", "className": "cat", "points": {"x1": 1, "y1": 2, "x2": 30, "y2": 40}}
POOL, DONE = 14, 4


@pytest.fixture(scope="module")
def blank(tmp_path_factory) -> Path:
    """A workspace that every schedule starts from a copy of."""
    root = tmp_path_factory.mktemp("blank") / "W"
    settings = {"name": "superannotate", "project": "Cells/*", "backoff": 0.0005, "timeout": 0.15, "deadline": 5.0}
    workspace = Workspace.create(root, {f"platform.{key}": value for key, value in settings.items()})
    workspace.close()
    return root


def filled(server: Server) -> list[int]:
    """A project with two folders; returns the pool's ids in the order in which they shall be asked for."""
    for number in range(DONE):
        server.annotate(server.add(f"done_{number}.jpg", "ab"[number % 2]), [CAT])
    pool = [server.add(f"img_{number}.jpg", "ab"[number % 2]) for number in range(POOL)]
    return random.Random(5).sample(pool, POOL)


def scored(workspace: Workspace, order: list[int]) -> None:
    """What a score step of cycle 1 leaves behind."""
    path = workspace.cycle_folder(1) / "scores.csv"
    rows = ((rank, item_id, f"i{item_id}", 1 / rank, "0", "no", "") for rank, item_id in enumerate(order, 1))
    with path.open("w", newline="") as stream:
        write_rows(stream, COLUMNS, rows)
    workspace.store.start_cycle(1, "", "")
    workspace.finish_step(1, "score", "x", path, {})


def run(root: Path) -> int:
    """Pull and push; returns the exit code."""
    workspace = Workspace.open(root)
    try:
        context = Context(workspace, workspace.configuration(), Silent())
        pulled = pull(context, accept_shrink=True)
        pushed = push(context)
    except AlcliError as error:
        return error.exit_code
    finally:
        workspace.close()
    return 3 if [*pulled.problems, *pushed.problems] else 0


def schedule(seed: int) -> list[Fault]:
    """Up to three faults; one that strikes more often than alcli repeats ends the run."""
    chance = random.Random(seed)
    faults = []
    for _ in range(chance.randint(1, 3)):
        kind = chance.choice(KINDS)
        times = 1 if kind in ("delete", "hang") else chance.choice((1, 1, 2, 4, 6, 25))
        faults.append(Fault(kind, chance.choice(PLACES), times, {"Retry-After": "0"} if kind == "429" else {}))
    return faults


def check_complete(server: Server, root: Path, order: list[int]) -> None:
    """Everything that exists is known, read and queued exactly once, in order."""
    names = [server.items[item_id]["name"] for item_id in order if item_id in server.items]
    assert server.queue() == names
    values = [item["entropy_value"] for item in server.items.values() if item["entropy_value"] is not None]
    assert len(set(values)) == len(values) == len(names)
    workspace = Workspace.open(root, read_only=True)
    try:
        pool = workspace.store.pool()
        assert {int(item_id) for item_id in pool.items} == set(server.items)
        labelled: list[Item] = pool.in_state(LABELED)
        read = workspace.store.annotations(item.id for item in labelled)
        assert [row.item_id for row in read] == [item.id for item in labelled]
        assert all(len(row.boxes) == 1 for row in read)
    finally:
        workspace.close()


BLOCKS = [0, *(pytest.param(block, marks=pytest.mark.slow) for block in range(1, 10))]


@pytest.mark.parametrize("block", BLOCKS)
def test_every_schedule_of_faults_ends_clearly_and_the_next_run_completes(block, blank, tmp_path, monkeypatch):
    monkeypatch.setenv("SA_TOKEN", "Canary-token.of_tests=777")
    codes = set()
    for seed in range(block * SCHEDULES // 10, (block + 1) * SCHEDULES // 10):
        root = tmp_path / str(seed)
        shutil.copytree(blank, root)
        with Server() as server:
            server.hang = 0.25
            monkeypatch.setenv("SA_URL", server.url)
            order = filled(server)
            workspace = Workspace.open(root)
            scored(workspace, order)
            workspace.close()
            server.faults = schedule(seed)
            code = run(root)
            codes.add(code)
            assert code in CLEAR | {0}, f"seed {seed}: exit {code}"
            if code == 0:
                check_complete(server, root, order)
            server.faults = []
            assert run(root) in (0, 3), f"seed {seed}: the next run"
            check_complete(server, root, order)
            assert run(root) == 0, f"seed {seed}: a run with nothing new"
    assert {0, 6} <= codes  # the schedules are neither all harmless nor all fatal
