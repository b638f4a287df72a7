"""What alcli costs beside a bare loop of the SDK's own calls: 10,000 priorities, and a pull of 5,000 unchanged items.

All sides talk to the local service of the tests, and the SDK is the one that alcli has mended: unmended it cannot be
pointed to a local service. Run it in a checkout: ``python examples/benchmarks/superannotate_push.py``.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from alcli.context import Context
from alcli.cycle.pull import pull
from alcli.items import Item, QueryRow
from alcli.platforms.superannotate import Superannotate
from alcli.priorities import priorities
from alcli.system.progress import Silent
from alcli.workspace import Workspace
from tests.support.superannotate_server import TOKEN, Server

QUEUED, PULLED, LABELED, A_CALL, ROUNDS = 10_000, 5_000, 1_000, 100, 3
BARE = "bare loop of the SDK's calls"


def main() -> None:
    """Measure and print."""
    os.environ["SA_TOKEN"] = TOKEN
    for latency in (0.0, 0.02):
        with Server() as server, tempfile.TemporaryDirectory() as folder:
            os.environ["SA_URL"] = server.url
            measure_push(server, Path(folder), latency)
    with Server() as server, tempfile.TemporaryDirectory() as folder:
        os.environ["SA_URL"] = server.url
        measure_pull(server, Path(folder))


def measure_push(server: Server, folder: Path, latency: float) -> None:
    """The same priorities by alcli and by a bare loop, in turn."""
    for number in range(QUEUED):
        server.add(f"img_{number:05d}.jpg", "pool")
    platform = Superannotate(Superannotate.Options(name="superannotate", project="Cells/pool"), folder / "cache")
    items = [row for row in platform.items() if isinstance(row, Item)]
    rows = [QueryRow(rank, item, -float(rank), asked=False) for rank, item in enumerate(items, 1)]
    scores = [
        {"name": row.item.name, "priority": float(value)} for row, value in zip(rows, priorities(QUEUED), strict=True)
    ]
    account = platform._client.account

    def bare() -> None:
        for start in range(0, QUEUED, A_CALL):
            account.upload_priority_scores("Cells/pool", scores[start : start + A_CALL])

    def one_call() -> None:
        account.upload_priority_scores("Cells/pool", scores)

    def pushed() -> None:
        assert all(receipt.accepted for receipt in platform.push(rows))

    def whole() -> None:
        list(platform.items())
        platform.queue()
        pushed()
        list(platform.items())
        assert [place.position for place in platform.queue()] == list(range(1, QUEUED + 1))

    server.latency = latency
    sides = {
        BARE: bare,
        "one call of the SDK, no receipts": one_call,
        "alcli: push": pushed,
        "alcli: compare, push, read back": whole,
    }
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    requests: dict[str, int] = {}
    for _ in range(ROUNDS):
        for name, side in sides.items():
            forget(server, platform)
            before = len(server.requests)
            seconds[name].append(timed(side))
            requests[name] = len(server.requests) - before
    base = statistics.median(seconds[BARE])
    print(f"{QUEUED} priorities, {1000 * latency:.0f} ms a request, median of {ROUNDS}:")
    for name, values in seconds.items():
        middle = statistics.median(values)
        print(f"  {name:34} {middle:6.2f} s  ratio {middle / base:5.2f}  {requests[name]:4d} requests")


def forget(server: Server, platform: Superannotate) -> None:
    """No item has a priority, and alcli knows it."""
    for item in server.items.values():
        item["entropy_value"] = None
    latency, server.latency = server.latency, 0.0
    list(platform.items())
    server.latency = latency


def measure_pull(server: Server, folder: Path) -> None:
    """The requests of a first pull, and of a second one after which nothing has changed."""
    for number in range(PULLED):
        item_id = server.add(f"img_{number:05d}.jpg", "pool")
        if number < LABELED:
            server.annotate(item_id, [])
    settings = {"platform.name": "superannotate", "platform.project": "Cells/pool"}
    workspace = Workspace.create(folder / "W", settings)
    for what in ("first pull", "nothing changed"):
        server.requests.clear()
        seconds = timed(lambda: pull(Context(workspace, workspace.configuration(), Silent())))
        listing = sum("items/search" in line for line in server.requests)
        annotations = sum("annotations" in line for line in server.requests)
        print(
            f"{PULLED} items, {LABELED} labeled, {what}: {len(server.requests)} requests "
            f"({listing} of items, {annotations} of annotations), {seconds:.2f} s"
        )
    workspace.close()


def timed(side: Callable[[], object]) -> float:
    """Seconds that a call takes."""
    start = time.perf_counter()
    side()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
