"""What a simulation does: arms, seeds, sizes; fixed and checked before anything runs."""

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
        strategy: how images are asked for.
        plain: the loss head learns without shaping the network: what is left of a gain does not come from training.
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
        """As it was given on the command line."""
        return self.strategy + PLAIN * self.plain

    @property
    def file_name(self) -> str:
        """The same without characters that file systems dislike."""
        return self.name.replace(":", "+")


@dataclass(frozen=True)
class Plan:
    """The sizes of a simulation; the same for every arm and seed.

    Attributes:
        start: images annotated before the first cycle, drawn at random, the same for all arms of a seed.
        budget: images asked for per cycle. cycles: how often that happens.
        frozen: only a linear head is trained, on features computed once.
    """

    start: int
    budget: int
    cycles: int
    frozen: bool = False

    @classmethod
    def of(cls, pool: int, test: int, start: int | None, budget: int | None, cycles: int, frozen: bool) -> Plan:
        """The plan for so many labelled images; what is not given becomes a tenth of the pool.

        Raises:
            DataError: there are too few labels; says how many are needed.
        """
        tenth = max(pool // 10, 1)
        plan = cls(tenth if start is None else start, tenth if budget is None else budget, cycles, frozen)
        if plan.labels > pool or test < FEWEST_TEST_IMAGES:
            raise DataError(
                f"Too few labelled images: {plan.start} to start with and {plan.cycles} cycles of {plan.budget} need "
                f"{plan.labels} beside at least {FEWEST_TEST_IMAGES} to test on; there are {pool} and {test}.",
                do="Choose a smaller --start, --budget, --cycles or --test, or annotate more first.",
            )
        return plan

    @property
    def labels(self) -> int:
        """Images annotated at the end."""
        return self.start + self.budget * self.cycles

    def settings(self) -> dict[str, Any]:
        """Everything, for people and for the file beside the results."""
        return asdict(self)

    def start_set(self, item_ids: Sequence[str], seed: int) -> list[str]:
        """The images that all arms of this seed begin with."""
        rng = np.random.default_rng(seed_of("start", seed))
        return [sorted(item_ids)[row] for row in rng.permutation(len(item_ids))[: self.start].tolist()]


def arms_of(texts: Iterable[str]) -> tuple[Arm, ...]:
    """The arms, each once, with random first: every other one is measured against it."""
    named = [BASELINE, *(part for text in texts for part in text.split(",") if part.strip())]
    return tuple(dict.fromkeys(Arm.parse(text) for text in named))


def check_arms(arms: Iterable[Arm], signal_names: frozenset[str], task: str, frozen: bool = False) -> None:
    """Raises UsageError for a strategy that asks for a signal which cannot be given here, or for a way to train."""
    for arm in arms:
        if frozen and arm.plain:
            raise UsageError(
                f"{arm.name}: on frozen features the loss head never shapes the network.", do=f"Use {arm.strategy}."
            )
        strategy = make_strategy(supported_strategy(arm.strategy, signal_names))
        wanted = strategy.needs | needs_labeled(strategy)
        if missing := wanted - signal_names:
            raise UsageError(
                f"{arm.strategy} needs {', '.join(sorted(missing))}, which {task} cannot give.",
                do=f"{tasks_with_signals(missing)} Or choose another strategy: `alcli list strategies`.",
            )


def check_frozen(config: Config) -> None:
    """Raises UsageError where a linear head on frozen features is no fair stand-in for training."""
    if config.model.weights == "none":
        raise UsageError(
            "Frozen features of a network with random weights say nothing.",
            do="Set model.weights to imagenet or to a safetensors file.",
        )
    check = getattr(plugins.load("tasks", config.task.name), "check_frozen", None)
    if check is None:
        raise UsageError(
            f"Frozen features are pooled over the image: they suit classification, not {config.task.name}.",
            do="Leave --frozen out; a small model.input_size makes training faster.",
        )
    check(config.options_of("task"))
