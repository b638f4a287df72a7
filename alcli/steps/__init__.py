"""The five steps of a cycle. One file = one step; each can be killed and run again."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from alcli import plugins
from alcli.config import Config
from alcli.items import Refusal
from alcli.platforms import Platform
from alcli.progress import Progress
from alcli.workspace import Workspace


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
        return plugins.load("platforms", self.config.platform.name)(self.config.platform, cache)


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
