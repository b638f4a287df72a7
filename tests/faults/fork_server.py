"""Runs the command line in forked processes, so that a run costs no import; each may be killed or refused a call.

The server is a process of its own: it is told, a line of JSON at a time, what to run and what to let happen, and
answers with how it ended. Forking is safe as long as it has one thread.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

COUNT, KILL, FAIL, FAIL_ALL, TORN = range(5)
KINDS = {"w": "write", "v": "writev", "s": "fsync", "t": "truncate", "r": "rename", "l": "link", "u": "unlink",
         "m": "mkdir", "c": "chmod", "o": "open", "n": "network"}  # fmt: skip
SOURCE = Path(__file__).with_name("calls.c")
PROJECT = Path(__file__).parent.parent.parent


NUMBERS = ("armed", "calls", "chosen", "action", "error", "struck", "skew")
SECONDS_PER_JUMP = 0.05


class _Plan(ctypes.Structure):
    """``struct plan`` of calls.c."""

    _fields_ = [
        *((name, ctypes.c_int64) for name in NUMBERS),
        ("kinds", ctypes.c_char * 200_000),
    ]


@dataclass(frozen=True)
class Ended:
    """How a run ended.

    Attributes:
        code: the exit code; minus the signal's number for a killed run.
        calls: its state-changing calls, a letter of ``KINDS`` each.
        struck: whether the chosen fault happened.
        seconds: from its start to its end.
    """

    code: int
    calls: str
    struck: bool
    seconds: float
    stdout: str
    stderr: str


@dataclass(frozen=True)
class Order:
    """What to run and what to let happen at the ``chosen``-th call (from 1) or after so many seconds.

    Attributes:
        skew: seconds by which the clock is wrong; ``jumping``: it is so every other moment only.
    """

    arguments: Sequence[str]
    action: int = COUNT
    chosen: int = 0
    error: int = 0
    environment: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    signal: int = signal.SIGKILL
    skew: int = 0
    jumping: bool = False


def preloaded(scratch: Path) -> dict[str, str]:
    """The environment of a Python process with one thread whose calls are counted.

    Raises:
        FileNotFoundError: there is no C compiler.
    """
    library = scratch / "calls.so"
    if not library.exists():
        compiler = shutil.which("cc")
        if compiler is None:
            raise FileNotFoundError("a C compiler is needed: cc")
        subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, SOURCE, "-ldl"], check=True)
    one = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    return {**os.environ, "LD_PRELOAD": str(library), "HOME": str(scratch), **one}


def plan_of_this_process() -> Any:
    """What is to happen to this process and its children, when the library was preloaded."""
    library = ctypes.CDLL(os.environ["LD_PRELOAD"])
    library.faults_plan.restype = ctypes.POINTER(_Plan)
    return library.faults_plan().contents


class ForkServer:
    """The server's own end of the line; use it as a context manager."""

    def __init__(self, scratch: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.fork_server", str(scratch)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=PROJECT,
            env=preloaded(scratch),
        )
        self._line = threading.Lock()

    def __enter__(self) -> ForkServer:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    def run(self, order: Order) -> Ended:
        """Let it happen, and say how it ended."""
        return self.together([order])[0]

    def together(self, orders: Sequence[Order]) -> list[Ended]:
        """Several at the same time; of these only the first is disturbed, and only its calls are counted."""
        assert self._process.stdin is not None and self._process.stdout is not None
        with self._line:
            self._process.stdin.write(json.dumps([asdict(order) for order in orders]) + "\n")
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
        return [Ended(**row) for row in json.loads(answer)]


def serve(scratch: Path) -> None:
    """Answer orders until the input ends."""
    plan = plan_of_this_process()
    _warm_up()
    for line in sys.stdin:
        orders = [Order(**row) for row in json.loads(line)]
        print(json.dumps([asdict(ended) for ended in _obey(orders, plan, scratch)]), flush=True)


def _warm_up() -> None:
    """Import what a run imports; nothing is computed here, so that no thread is started before a fork."""
    import importlib
    import pkgutil

    import torch

    import alcli
    from alcli.platforms import _superannotate_sdk

    torch.set_num_threads(1)
    _superannotate_sdk.load()
    for module in pkgutil.walk_packages(alcli.__path__, "alcli."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    assert threading.active_count() == 1, threading.enumerate()


def _obey(orders: Sequence[Order], plan: Any, scratch: Path) -> list[Ended]:
    plan.calls = plan.struck = plan.armed = 0
    plan.chosen, plan.action, plan.error = orders[0].chosen, orders[0].action, orders[0].error
    plan.skew = orders[0].skew
    outputs = [[scratch / f"{place}.{name}" for name in ("stdout", "stderr")] for place in range(len(orders))]
    started = time.monotonic()
    children = {}
    for place, order in enumerate(orders):
        child = os.fork()
        if child == 0:
            _become(order, plan if place == 0 else None, outputs[place])
        children[child] = place
    timers, ended = _timers(orders, children), threading.Event()
    if orders[0].jumping:
        threading.Thread(target=_jump, args=(plan, orders[0].skew, ended)).start()
    ends: dict[int, tuple[int, float]] = {}
    while len(ends) < len(orders):
        child, status = os.wait()
        ends[children[child]] = os.waitstatus_to_exitcode(status), time.monotonic() - started
    ended.set()
    for timer in [*timers, *threading.enumerate()[1:]]:
        getattr(timer, "cancel", lambda: None)()
        timer.join()
    plan.skew = 0
    calls, struck = plan.kinds[: plan.calls].decode(), bool(plan.struck)
    texts = [[path.read_text(errors="replace") for path in paths] for paths in outputs]
    return [Ended(code, calls, struck, seconds, *texts[place]) for place, (code, seconds) in sorted(ends.items())]


def _jump(plan: Any, skew: int, ended: threading.Event) -> None:
    while not ended.wait(SECONDS_PER_JUMP):
        plan.skew = skew - plan.skew


def _timers(orders: Sequence[Order], children: Mapping[int, int]) -> list[threading.Timer]:
    """Signals that come by the clock; started after the last fork."""
    timers = []
    for child, place in children.items():
        if orders[place].seconds:
            timers.append(threading.Timer(orders[place].seconds, os.kill, (child, orders[place].signal)))
            timers[-1].start()
    return timers


def _become(order: Order, plan: Any, outputs: Sequence[Path]) -> None:
    """Run the command line as a process of its own would, and never come back."""
    code = 1
    try:
        for number, path in enumerate(outputs, start=1):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), number)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.environ.update(order.environment)
        time.tzset()
        sys.argv = ["alcli", *order.arguments]
        from alcli import cli

        if plan is not None:
            plan.armed = os.getpid()
        code = cli.run(list(order.arguments))
        if plan is not None:
            plan.armed = 0
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
