"""What every step of a cycle is given, and what it gives back."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar

from alcli import plugins
from alcli.config import Config, Section, trusted
from alcli.items import Item, Refusal
from alcli.platforms import Downloading, Placing, Platform, Recognizing, TaskAware
from alcli.system.bounded_folder import BoundedFolder
from alcli.system.progress import Progress
from alcli.workspace import Workspace
from alcli.workspace.records import WORKSPACE_CYCLE, Recognized, Summary

MOST_NAMED = 100
CACHE = "cache"
GB = 10**9
Parameters = ParamSpec("Parameters")
Result = TypeVar("Result", bound=Summary, covariant=True)


@dataclass(frozen=True)
class Context:
    """What every step is given."""

    workspace: Workspace
    config: Config
    progress: Progress

    def with_settings(self, **sections: Section) -> Context:
        """The same context, and the same platform, with other sections of settings."""
        other = Context(self.workspace, self.config.model_copy(update=sections), self.progress)
        for shared in ("platform", "downloads"):
            if shared in self.__dict__:
                other.__dict__[shared] = self.__dict__[shared]
        return other

    @functools.cached_property
    def platform(self) -> Platform:
        """The configured platform.

        Raises:
            UsageError: its options are incomplete.
            AuthError: only ``alcli.toml`` says where a token goes, or which file outside is written.
        """
        trusted.check(self.config, self.workspace.root, "platform")
        cache = self.workspace.root / CACHE
        platform: Platform = plugins.load("platforms", self.config.platform.name)(
            self.config.options_of("platform"), cache
        )
        if isinstance(platform, TaskAware):
            platform.set_task(self.config.task)
        if isinstance(platform, Recognizing) and (record := self.workspace.step(WORKSPACE_CYCLE, Recognized)):
            platform.recall_formats(record.summary.formats)
        return platform

    @functools.cached_property
    def downloads(self) -> BoundedFolder:
        """The downloaded images; without the workspace's lock all of them stay, because another run may need them."""
        bounded = isinstance(self.platform, Placing) and self.workspace.is_locked
        limit = round(self.config.cache.max_gb * GB) if bounded else 0
        return BoundedFolder(self.workspace.root / CACHE / "images", limit or None)

    def download_place(self, item: Item) -> Path | None:
        """Where the download of an image lies, or will lie; None if it is a local file, or only the platform knows."""
        return self.platform.download_place(item) if isinstance(self.platform, Placing) else None

    def image(self, item: Item) -> Path:
        """A local file with the item's pixels; a download stays until it is released, or the run ends.

        Raises:
            DataError: the platform cannot give it.
        """
        place = self.download_place(item)
        if place is None:
            return self.platform.image(item)
        # Before anything else, so that no other thread makes room by removing it.
        self.downloads.use(place)
        try:
            path = self.platform.image(item)
        except BaseException:
            self.downloads.release([place])
            raise
        self.downloads.measure(place)
        return path

    def drop_image(self, item: Item) -> bool:
        """Drop the download of an image that cannot be decoded; whether the platform will ask for it again."""
        return isinstance(self.platform, Downloading) and self.platform.drop_image(item)


@dataclass(frozen=True)
class StepResult(Generic[Result]):
    """How a step ended.

    Attributes:
        cycle: None for a pull, which belongs to none.
        already_done: nothing had to be done; the summary is the earlier one's.
        problems: what could not be used and was not known before; a run with problems exits 3.
    """

    cycle: int | None
    summary: Result
    already_done: bool = False
    problems: Sequence[Refusal] = ()

    @property
    def step(self) -> str:
        """The name of the step."""
        return self.summary.step


def logged_step(
    step: Callable[Concatenate[Context, Parameters], StepResult[Result]],
) -> Callable[Concatenate[Context, Parameters], StepResult[Result]]:
    """Write a step's summary, and what it left out, into the run's log when the step ends."""

    @functools.wraps(step)
    def call(context: Context, *arguments: Parameters.args, **options: Parameters.kwargs) -> StepResult[Result]:
        result = step(context, *arguments, **options)
        context.progress.note(
            "step",
            f"{result.step} is {'already ' if result.already_done else ''}done",
            step=result.step,
            cycle=result.cycle,
            summary=result.summary.document(),
            **describe_problems(result.problems),
        )
        return result

    return call


def describe_problems(problems: Sequence[Refusal]) -> dict[str, Any]:
    """Describe problems for a line of the log: how many there are, and the first of them."""
    named = [{"name": refusal.name, "reason": refusal.reason} for refusal in problems[:MOST_NAMED]]
    return {"left_out": len(problems), "first_left_out": named}
