"""A cycle broken off at each of its calls, or refused each of them: what is wrong afterwards, in words."""

from __future__ import annotations

import errno
import json
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.faults.fork_server import COUNT, FAIL, FAIL_ALL, KILL, KINDS, TORN, Ended, ForkServer
from tests.faults.scenes import Folder, Remote, Trial

ERRORS = {"ENOSPC": errno.ENOSPC, "EIO": errno.EIO}
OBEYED = 10.0
"""Seconds within which a run ends after a signal."""
HOW = {KILL: "killed before", TORN: "killed within", FAIL: "refused", FAIL_ALL: "refused from"}


@dataclass(frozen=True)
class Point:
    """One instant at which a run was disturbed, and all that was wrong afterwards."""

    what: str
    wrong: tuple[str, ...]


@dataclass
class Sweep:
    """Disturbs cycles of one scene.

    Attributes:
        calls: the state-changing calls of an undisturbed cycle, a letter of ``KINDS`` each.
        seconds: how long it takes.
    """

    scene: Folder | Remote
    runs: ForkServer
    scratch: Path

    def __post_init__(self) -> None:
        trial = self.scene.fresh(self.scratch / "undisturbed")
        ended = self.runs.run(trial.order(action=COUNT))
        assert ended.code == 0, ended.stderr
        self.calls, self.seconds, self.expected = ended.calls, ended.seconds, trial.outcome()
        trial.close()
        self._number = 0

    def kills(self, chosen: Iterable[int], action: int = KILL) -> Iterator[Point]:
        """Kill a cycle at each of these calls (from 1) and run the same command again."""
        for call in chosen:
            trial = self._trial()
            ended = self.runs.run(trial.order(action=action, chosen=call))
            wrong = [] if ended.struck and ended.code == -9 else [f"it was not killed: exit {ended.code}"]
            yield self._point(trial, f"{HOW[action]} {self._named(call)}", wrong)

    def random_kills(self, count: int, seed: int, seconds: float, signal: int = 9) -> Iterator[Point]:
        """Send a signal at seeded random instants of a cycle that takes so long."""
        chance = random.Random(seed)
        for _ in range(count):
            trial, instant = self._trial(), chance.uniform(0.01, seconds)
            ended = self.runs.run(trial.order(seconds=instant, signal=signal))
            wrong = [] if ended.code in (-9, 143, 130, 0) else [f"exit {ended.code}: {ended.stderr[-300:]}"]
            if ended.seconds - instant > OBEYED:
                wrong.append(f"it ended {ended.seconds - instant:.1f} s after the signal")
            yield self._point(trial, f"signal {signal} after {instant:.3f} s", wrong)

    def errors(self, chosen: Iterable[int], name: str, lasting: bool = False) -> Iterator[Point]:
        """Let each of these calls fail, once or from then on, and run the same command again."""
        action = FAIL_ALL if lasting else FAIL
        for call in chosen:
            trial = self._trial()
            ended = self.runs.run(trial.order(action=action, chosen=call, error=ERRORS[name]))
            yield self._point(trial, f"{HOW[action]} {self._named(call)} with {name}", _untold(ended))

    def _trial(self) -> Trial:
        self._number += 1
        return self.scene.fresh(self.scratch / f"trial-{self._number}")

    def _named(self, call: int) -> str:
        return f"call {call} of {len(self.calls)} ({KINDS[self.calls[call - 1]]})"

    def _point(self, trial: Trial, what: str, wrong: list[str]) -> Point:
        """Run the command again, undisturbed, and look at everything."""
        again = self.runs.run(trial.order())
        if again.code != 0:
            wrong.append(f"the next run ends with exit {again.code}: {again.stderr[-300:]}")
        outcome = trial.outcome()
        wrong += [f"{name} differs" for name, value in self.expected.items() if outcome.get(name) != value]
        wrong += [f"{name} is left over" for name in trial.leftovers()]
        if twice := trial.pushed_twice():
            wrong.append(f"{twice} priorities were sent twice")
        third = self.runs.run(trial.order())
        if third.code != 0 or not json.loads(third.stdout).get("nothing_new"):
            wrong.append(f"a third run finds something to do: exit {third.code}")
        trial.close()
        return Point(what, tuple(wrong))


def _untold(ended: Ended) -> list[str]:
    """What is wrong with how a refused run ended: it must be one message, one document and the machine's exit code."""
    wrong = []
    if ended.code not in (0, 7):
        wrong.append(f"exit {ended.code}: {ended.stderr[-400:]}")
    if "Traceback" in ended.stderr or "Internal error" in ended.stderr:
        wrong.append("a traceback was shown")
    try:
        json.loads(ended.stdout)
    except ValueError:
        wrong.append(f"stdout is no JSON document: {ended.stdout[-200:]!r}")
    return wrong
