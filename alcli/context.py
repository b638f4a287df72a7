"""The five steps of a cycle. One file = one step; each can be killed and run again."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Concatenate, ParamSpec

from alcli import plugins
from alcli.config import Config
from alcli.items import Refusal
from alcli.platforms import Platform
from alcli.system.progress import Progress
from alcli.workspace import Workspace

MOST_NAMED = 100
Parameters = ParamSpec("Parameters")


@dataclass(frozen=True)
class Context:
    """What every step is given."""

    workspace: Workspace
    config: Config
    progress: Progress

    @functools.cached_property
    def platform(self) -> Platform:
        """The configured platform; raises UsageError when its options are incomplete."""
        cache = self.workspace.root / "cache"
        return plugins.load("platforms", self.config.platform.name)(self.config.options_of("platform"), cache)


@dataclass(frozen=True)
class StepResult:
    """How a step ended.

    Attributes:
        already_done: nothing had to be done; the summary is the earlier one's.
        problems: what could not be used and was not known before; a run with problems exits 3.
    """

    step: str
    cycle: int | None
    summary: Mapping[str, Any]
    already_done: bool = False
    problems: Sequence[Refusal] = field(default_factory=tuple)


def noted(
    step: Callable[Concatenate[Context, Parameters], StepResult],
) -> Callable[Concatenate[Context, Parameters], StepResult]:
    """A step whose end, with its summary and what it left out, stands in the run's log."""

    @functools.wraps(step)
    def call(context: Context, *arguments: Parameters.args, **options: Parameters.kwargs) -> StepResult:
        result = step(context, *arguments, **options)
        context.progress.note(
            "step",
            f"{result.step} is {'already ' if result.already_done else ''}done",
            step=result.step,
            cycle=result.cycle,
            summary=dict(result.summary),
            **left_out(result.problems),
        )
        return result

    return call


def left_out(problems: Sequence[Refusal]) -> dict[str, Any]:
    """What a line of the log says of problems: how many, and the first of them."""
    named = [{"name": row.name, "reason": row.reason} for row in problems[:MOST_NAMED]]
    return {"left_out": len(problems), "first_left_out": named}
