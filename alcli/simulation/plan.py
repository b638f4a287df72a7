"""The plan of a simulation, arms and sizes, checked before anything runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from alcli import plugins
from alcli.config import Config
from alcli.errors import DataError, UsageError
from alcli.strategies import make_strategy, needs_labeled, supported_strategy, tasks_with_signals
from alcli.system.hashing import seed_of

BASELINE = "random"
PLAIN = "@plain"
FEWEST_TEST_IMAGES = 10


@dataclass(frozen=True)
class Arm:
    """One way to run the cycles.

    Attributes:
        strategy: the query strategy.
        plain: the loss head trains on detached features, so that a gain cannot come from its effect on the network.
    """

    strategy: str
    plain: bool = False

    @classmethod
    def parse(cls, text: str) -> Arm:
        """``margin`` or ``learned-loss@plain``; raises UsageError for an unknown strategy."""
        strategy = text.strip().removesuffix(PLAIN)
        make_strategy(strategy)
        return cls(strategy, text.strip().endswith(PLAIN))

    @property
    def name(self) -> str:
        """As on the command line."""
        return self.strategy + PLAIN * self.plain

    @property
    def file_name(self) -> str:
        """The name without characters that file systems do not allow."""
        return self.name.replace(":", "+")


@dataclass(frozen=True)
class Plan:
    """The sizes of a simulation; the same for every arm and seed.

    Attributes:
        start: images annotated before the first cycle, drawn at random, the same for all arms of a seed.
        budget: images annotated per cycle. cycles: number of cycles.
        frozen: whether only a small head is trained, on features computed once.
    """

    start: int
    budget: int
    cycles: int
    frozen: bool = False

    @classmethod
    def of(cls, pool: int, test: int, start: int | None, budget: int | None, cycles: int, frozen: bool) -> Plan:
        """The plan for ``pool`` and ``test`` labeled images; ``start`` and ``budget`` default to a tenth of the pool.

        Raises:
            DataError: there are too few labels; says how many are needed.
        """
        tenth = max(pool // 10, 1)
        plan = cls(tenth if start is None else start, tenth if budget is None else budget, cycles, frozen)
        if plan.labels > pool or test < FEWEST_TEST_IMAGES:
            raise DataError(
                f"Too few labeled images: {plan.start} to start with and {plan.cycles} cycles of {plan.budget} need "
                f"{plan.labels}, plus at least {FEWEST_TEST_IMAGES} to test on; there are {pool} and {test}.",
                do="Choose a smaller --start, --budget, --cycles or --test, or annotate more first.",
            )
        return plan

    @property
    def labels(self) -> int:
        """Images annotated at the end."""
        return self.start + self.budget * self.cycles

    def settings(self) -> dict[str, Any]:
        """All sizes, for the plan's file and the output."""
        return asdict(self)

    def start_set(self, item_ids: Sequence[str], seed: int) -> list[str]:
        """The images that all arms of this seed start with."""
        rng = np.random.default_rng(seed_of("start", seed))
        return [sorted(item_ids)[index] for index in rng.permutation(len(item_ids))[: self.start].tolist()]


def arms_of(texts: Iterable[str]) -> tuple[Arm, ...]:
    """The arms without duplicates; random, the baseline, comes first."""
    named = [BASELINE, *(part for text in texts for part in text.split(",") if part.strip())]
    return tuple(dict.fromkeys(Arm.parse(text) for text in named))


def check_arms(arms: Iterable[Arm], signal_names: frozenset[str], task: str, frozen: bool = False) -> None:
    """Raises UsageError for a strategy whose signals are not available, or for ``@plain`` on frozen features."""
    for arm in arms:
        if frozen and arm.plain:
            raise UsageError(
                f"{arm.name}: on frozen features the loss head never affects the network.", do=f"Use {arm.strategy}."
            )
        strategy = make_strategy(supported_strategy(arm.strategy, signal_names))
        wanted = strategy.needs | needs_labeled(strategy)
        if missing := wanted - signal_names:
            raise UsageError(
                f"{arm.strategy} needs {', '.join(sorted(missing))}, which {task} cannot compute.",
                do=f"{tasks_with_signals(missing)} Or choose another strategy: `alcli list strategies`.",
            )


def check_frozen(config: Config) -> None:
    """Raises UsageError if a small head on frozen features cannot replace training."""
    if config.model.weights == "none":
        raise UsageError(
            "Frozen features of a network with random weights are meaningless.",
            do="Set model.weights to imagenet or to a safetensors file.",
        )
    task = plugins.load("tasks", config.task.name)
    if not hasattr(task, "frozen_head") and not hasattr(task, "check_frozen"):
        raise UsageError(
            f"The task {config.task.name} has no small head that could be trained on frozen features.",
            do="Leave --frozen out; a small model.input_size makes training faster.",
        )
    if hasattr(task, "check_frozen"):
        task.check_frozen(config.options_of("task"))
