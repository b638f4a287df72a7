"""What alcli's push adds to the bare bulk call of a Label Studio server, side by side in one run.

    python examples/benchmarks/label_studio.py --url http://127.0.0.1:8080 --tasks 5000 --repeats 3

The token is read from LABEL_STUDIO_API_KEY. Each repetition makes two new projects with the same tasks, in turn: one
gets the scores by one bulk request, the other by ``push`` (import, switch, read back). Both are deleted at the end.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
import uuid
from pathlib import Path

from alcli.config import TaskOptions
from alcli.items import Item, QueryRow
from alcli.platforms.label_studio import LabelStudio

BOXES = (
    '<View><Image name="image" value="$image"/>'
    '<RectangleLabels name="label" toName="image"><Label value="a"/></RectangleLabels></View>'
)


def connect(url: str, tasks: int, folder: Path) -> LabelStudio:
    """A platform on a new project with that many tasks."""
    title = uuid.uuid4().hex[:20]
    options = LabelStudio.Options(name="label-studio", url=url, project=title, deadline=600, timeout=300)
    platform = LabelStudio(options, folder)
    platform.set_task(TaskOptions(name="detection"))
    client = platform._client
    client.create_project(str(options.project), BOXES)
    rows = [{"data": {"image": f"/data/local-files/?d=pool/{number:06}.jpg"}} for number in range(tasks)]
    client.wire.send("POST", f"/api/projects/{client.project_id}/import", rows, repeat=False)
    return platform


def seconds_of_bulk_call(platform: LabelStudio, items: list[Item]) -> float:
    """One request with all scores."""
    started = time.perf_counter()
    platform._client.add_scores({int(item.id): rank / len(items) for rank, item in enumerate(items)}, "bare")
    return time.perf_counter() - started


def seconds_of_push(platform: LabelStudio, items: list[Item]) -> float:
    """Everything that a push does, and the first 50 read back."""
    rows = [QueryRow(rank, item, -float(rank), asked=True) for rank, item in enumerate(items, 1)]
    started = time.perf_counter()
    assert all(receipt.accepted for receipt in platform.push(rows))
    first = [entry.item_id for entry in platform.queue()[:50]]
    elapsed = time.perf_counter() - started
    assert first == [item.id for item in items[:50]]
    return elapsed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", required=True)
    parser.add_argument("--tasks", type=int, default=5000)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    bare, pushed, requests = [], [], []
    for _ in range(arguments.repeats):
        for measure, times in ((seconds_of_bulk_call, bare), (seconds_of_push, pushed)):
            with tempfile.TemporaryDirectory() as folder:
                platform = connect(arguments.url, arguments.tasks, Path(folder))
                items = [item for item in platform.items() if isinstance(item, Item)][::-1]
                times.append(measure(platform, items))
                before = platform._client.wire.requests
                list(platform.items())
                requests.append(platform._client.wire.requests - before)
                platform._client.wire.send("DELETE", f"/api/projects/{platform._client.project_id}/", None)
    middle = statistics.median(pushed) / statistics.median(bare)
    print(f"{arguments.tasks} tasks, {arguments.repeats} repetitions, medians of wall time, two projects in turn")
    print(f"one bulk request: {statistics.median(bare):.2f} s; push and read back: {statistics.median(pushed):.2f} s")
    print(f"ratio {middle:.2f}; a second pull with nothing new: {max(requests)} requests")


if __name__ == "__main__":
    main()
