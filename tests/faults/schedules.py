"""Seeded schedules of platform faults: each run ends as without faults, or clearly; the next run completes."""

from __future__ import annotations

import os
import random
import shutil
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from unittest import mock

from alcli.artifacts.scores import COLUMNS
from alcli.context import Context
from alcli.cycle.pull import pull
from alcli.cycle.push import push
from alcli.errors import AlcliError
from alcli.items import LABELED, Item
from alcli.system.progress import Silent
from alcli.system.tables import write_rows
from alcli.workspace import Workspace
from alcli.workspace.records import Scored
from tests.support.superannotate_server import TOKEN, Fault, Server

CLEAR = {3, 4, 6}
KINDS = ("500", "503", "429", "hang", "drop", "cut", "duplicate", "short", "delete", "html", "401", "drip")
PLACES = ("", "items/search", "annotations/download", "updateEntropy", "workflowstatuses", "folders/search")
CAT = {"type": "bbox", "className": "cat", "points": {"x1": 1, "y1": 2, "x2": 30, "y2": 40}}
POOL, DONE = 14, 4


def blank(place: Path) -> Path:
    """A workspace that every schedule starts from a copy of."""
    settings = {"name": "superannotate", "project": "Cells/*", "backoff": 0.0005, "timeout": 0.15, "deadline": 5.0}
    Workspace.create(place, {f"platform.{key}": value for key, value in settings.items()}).close()
    return place


def endings(seeds: Iterable[int], start: Path, scratch: Path) -> Counter[int]:
    """Exit codes of the disturbed runs of these schedules; AssertionError where one does not end as it must."""
    codes: Counter[int] = Counter()
    for seed in seeds:
        root = scratch / str(seed)
        shutil.copytree(start, root)
        with Server() as server, mock.patch.dict(os.environ, {"SA_TOKEN": TOKEN, "SA_URL": server.url}):
            codes[_ending(seed, server, root)] += 1
        shutil.rmtree(root)
    return codes


def _ending(seed: int, server: Server, root: Path) -> int:
    server.hang = 0.25
    order = filled(server)
    workspace = Workspace.open(root)
    scored(workspace, order)
    workspace.close()
    server.faults = schedule(seed)
    code = run(root)
    assert code in CLEAR | {0}, f"seed {seed}: exit {code}"
    if code == 0:
        check_complete(server, root, order)
    server.faults = []
    assert run(root) in (0, 3), f"seed {seed}: the next run"
    check_complete(server, root, order)
    assert run(root) == 0, f"seed {seed}: a run with nothing new"
    return code


def filled(server: Server) -> list[int]:
    """A project with two folders; returns the pool's ids in the order in which they shall be asked for."""
    for number in range(DONE):
        server.annotate(server.add(f"done_{number}.jpg", "ab"[number % 2]), [CAT])
    pool = [server.add(f"img_{number}.jpg", "ab"[number % 2]) for number in range(POOL)]
    return random.Random(5).sample(pool, POOL)


def scored(workspace: Workspace, order: list[int]) -> None:
    """What a score step of cycle 1 leaves behind."""
    path = workspace.cycle_folder(1) / "scores.csv"
    rows = ((rank, item_id, f"i{item_id}", 1 / rank, "0", "no", "al", "") for rank, item_id in enumerate(order, 1))
    with path.open("w", newline="") as stream:
        write_rows(stream, COLUMNS, rows)
    workspace.store.start_cycle(1, "", "")
    workspace.finish_step(1, "x", Scored(), path)


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
        times = 1 if kind in ("delete", "hang", "drip") else chance.choice((1, 1, 2, 4, 6, 25))
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
        labeled: list[Item] = pool.in_state(LABELED)
        read = workspace.store.annotations(item.id for item in labeled)
        assert [row.item_id for row in read] == [item.id for item in labeled]
        assert all(len(row.boxes) == 1 for row in read)
    finally:
        workspace.close()
