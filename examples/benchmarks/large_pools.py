"""What commands cost with large pools: processor time, memory and bytes written, of whole processes.

`python examples/benchmarks/large_pools.py --images 100000` draws that many small JPEGs and runs each command of
`COMMANDS` on a workspace of its own. With `--before DIR`, a checkout of an earlier alcli does the same in turn, so that
both see the same machine; medians of `--rounds`. The last column says whether torch was imported. `scan` is the bare
loop that no listing can be faster than: open every folder and ask for every file's size and time.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

IN_A_FOLDER = 1000
OF_ONE_FILE = 20_000
"""Names of one file: file systems allow some 65,000."""
SCAN = """
import os, sys
print(sum(e.stat().st_size for d in os.scandir(sys.argv[1]) for e in os.scandir(d.path)))
"""
RUN = """
import atexit, sys
atexit.register(lambda: open({mark!r}, "w").write(str("torch" in sys.modules)))
from alcli.__main__ import main
main()
"""
COMMANDS: dict[str, tuple[str, ...]] = {
    "push, first": ("push",),
    "push, nothing to do": ("push",),
    "cycle, nothing new": ("cycle", "--strategy", "random"),
    "pull, 1,000 new": ("pull",),
    "list items": ("list", "items"),
    "list items --json": ("list", "items", "--json"),
    "first line of list": ("list", "items", "--json"),
    "status": ("status",),
    "report": ("report",),
    "score, again": ("score", "--strategy", "random"),
    "score, new list": ("score", "--strategy", "random", "--budget", "77"),
}


@dataclass(frozen=True)
class Cost:
    """Of one process; ``seconds`` of user and system time."""

    seconds: float
    megabytes: float
    written: float
    torch: bool


def draw(folder: Path, first: int, count: int) -> None:
    """The same small JPEG under many names, which take neither space nor inodes of their own."""
    content = io.BytesIO()
    Image.new("RGB", (8, 8), (120, 30, 200)).save(content, "JPEG", quality=30)
    file = folder
    for position, number in enumerate(range(first, first + count)):
        path = folder / f"{number // IN_A_FOLDER:04d}" / f"img_{number:07d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        if position % OF_ONE_FILE:
            path.hardlink_to(file)
        else:
            path.write_bytes(content.getvalue())
            file = path


def measure(arguments: list[str], source: Path | None, mark: Path, first_line: bool = False) -> Cost:
    """Run Python with these arguments, or only until its first line is read; alcli is that of ``source``."""
    environment = {**os.environ, "ALCLI_OFFLINE": "1", "ALCLI_TRAIN_ALLOW_COLD_START": "true", "OMP_NUM_THREADS": "1"}
    # An installed alcli has its bytecode, too.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    environment["PYTHONPYCACHEPREFIX"] = str(mark.parent / "bytecode")
    if source is not None:
        environment["PYTHONPATH"] = str(source)
    mark.write_text("False")
    process = subprocess.Popen(
        [sys.executable, *arguments],
        cwd=mark.parent,  # Python looks for alcli in its own folder first
        env=environment,
        stdout=subprocess.PIPE if first_line else subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    if process.stdout is not None:
        process.stdout.readline()
        process.stdout.close()  # alcli ends quietly then
    assert process.stderr is not None
    errors = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    if os.waitstatus_to_exitcode(status) and not first_line:
        raise SystemExit(f"{' '.join(arguments[-6:])} failed: {errors.decode()[-2000:]}")
    seconds = usage.ru_utime + usage.ru_stime
    return Cost(seconds, usage.ru_maxrss / 1e3, usage.ru_oublock * 512 / 1e6, mark.read_text() == "True")


def copy_for_first_push(workspace: Path) -> None:
    """Put the workspace back to where nothing has been pushed yet."""
    shutil.rmtree(workspace)
    shutil.copytree(workspace.with_name(f"{workspace.name}-scored"), workspace)


def prepare(run: list[str], workspace: Path, images: Path, source: Path | None, mark: Path) -> None:
    """A workspace with a random list that nobody has pushed, and a copy of it."""
    empty = images.with_name("none")
    empty.mkdir(exist_ok=True)
    options = ["--annotations", str(empty), "--task", "detection", "--weights", "none"]
    measure([*run, "init", str(workspace), "--images", str(images), *options], source, mark)
    measure([*run, "cycle", "--strategy", "random", "-w", str(workspace)], source, mark)
    (workspace / "queue.csv").unlink()
    # What the cycle's own push has left in the database goes, too.
    forget = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('DELETE FROM receipts'); c.commit()"
    subprocess.run([sys.executable, "-c", forget, str(workspace / "alcli.db")], check=True)
    shutil.copytree(workspace, workspace.with_name(f"{workspace.name}-scored"))


def main() -> None:
    """Print one line per command and side, and the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--before", type=Path, help="checkout of an earlier alcli")
    parser.add_argument("--only", default="", help="commands of COMMANDS, separated by semicolons; default: all")
    given = parser.parse_args()
    only = [name.strip() for name in given.only.split(";") if name.strip()] or list(COMMANDS)
    sides = {"now": Path(__file__).resolve().parents[2], **({"before": given.before.resolve()} if given.before else {})}
    costs: dict[tuple[str, str], list[Cost]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        images, mark = root / "images", root / "mark"
        run = ["-c", RUN.format(mark=str(mark))]
        draw(images, 0, given.images)
        for side, source in sides.items():
            prepare(run, root / side, images, source, mark)
        drawn = given.images
        for _ in range(given.rounds):
            costs.setdefault(("scan", "bare loop"), []).append(measure(["-c", SCAN, str(images)], None, mark))
            for side in sides:
                copy_for_first_push(root / side)
            for name in only:
                if name.startswith("pull"):
                    draw(images, drawn, 1000)
                    drawn += 1000
                for side, source in sides.items():
                    call = [*run, *COMMANDS[name], "-w", str(root / side)]
                    cost = measure(call, source, mark, name.startswith("first line"))
                    costs.setdefault((name, side), []).append(cost)
    show(costs)


def show(costs: dict[tuple[str, str], list[Cost]]) -> None:
    """Medians, one line each, and how much less processor time the newer one takes."""
    medians = {}
    for (name, side), runs in costs.items():
        seconds, memory, written = (
            statistics.median(getattr(run, field) for run in runs) for field in ("seconds", "megabytes", "written")
        )
        medians[name, side] = seconds
        torch = "torch" if any(run.torch for run in runs) else ""
        earlier = medians.get((name, "now"))
        ratio = f"1/{seconds / earlier:.1f}" if side == "before" and earlier else ""
        print(f"{name:20} {side:9} {seconds:7.2f} s {memory:7.0f} MB {written:7.1f} MB written {torch:5} {ratio}")
    print(json.dumps({f"{name}/{side}": round(value, 2) for (name, side), value in medians.items()}))


if __name__ == "__main__":
    main()
