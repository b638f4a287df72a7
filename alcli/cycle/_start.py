"""What a scoring starts from: the model, the strategy, and the signals to compute."""

from __future__ import annotations

from dataclasses import dataclass, replace

from alcli import plugins
from alcli.artifacts.backends import settle_backend
from alcli.artifacts.scoring_pass import ScorePlan
from alcli.artifacts.starting_weights import settle_weights
from alcli.artifacts.trainings import newest_training
from alcli.config import Config
from alcli.context import Context
from alcli.engine.stratified import UNCERTAINTIES
from alcli.items import LABELED, UNLABELED
from alcli.learners import Learner
from alcli.selection.rank import further_signals
from alcli.selection.reasons import signals_for_reasons
from alcli.strategies import make_strategy, supported_strategy
from alcli.workspace.records import BUILTIN, StepRecord, Training


@dataclass(frozen=True)
class Start:
    """What a scoring starts from; ``context`` has the settings that depend on more than the configuration."""

    context: Context
    training: StepRecord[Training]
    strategy: str
    plan: ScorePlan

    @property
    def needs_model(self) -> bool:
        """Whether a model is asked for signals, or has to be measured."""
        return not self.training.summary.cold_start or self.plan.has_signals

    def with_model(self, training: StepRecord[Training]) -> Start:
        """The same with the model of another training."""
        given = _signal_names(self.context, training)
        return replace(self, training=training, plan=_plan(self.context, training, self.strategy, given))


def prepare(context: Context, cycle: int) -> Start:
    """Choose the model, the strategy and the signals to compute; raises UsageError like ``score``."""
    context = _settle(context)
    training = newest_training(context, cycle)
    if training.summary.cold_start:
        name, given = _cold_start(context.config), frozenset[str]()
    else:
        given = _signal_names(context, training)
        name = _choose_strategy(context, given)
    start = Start(context, training, name, _plan(context, training, name, given))
    return replace(start, context=settle_backend(context)) if start.needs_model else start


def _settle(context: Context) -> Context:
    """The context with the settings that depend on more than the configuration: weights and budget."""
    # Images known to be broken count: a resumed pass must not have another budget than an undisturbed one.
    pool = len(context.workspace.store.pool(forgiving=("image",)).in_state(UNLABELED))
    options = context.config.selection
    selection = options.model_copy(update={"budget": options.budget_of(pool)})
    return settle_weights(context).with_settings(selection=selection)


def _signal_names(context: Context, training: StepRecord[Training]) -> frozenset[str]:
    """What the model can say."""
    learner: Learner = plugins.load("learners", training.summary.learner)(context)
    return learner.signal_names(training.summary)


def _choose_strategy(context: Context, given: frozenset[str]) -> str:
    configured = context.config.strategy.name
    name = supported_strategy(configured, given)
    if name != configured:
        missing = ", ".join(sorted(make_strategy(configured).needs - given))
        learner, task = context.config.learner.name, context.config.task.name
        who = f"The task {task} gives" if learner == BUILTIN else f"The learner {learner} gives"
        context.progress.say(f"{who} no {missing}: ranking by {name}.")
    return name


def _cold_start(config: Config) -> str:
    """Features of random weights say nothing about an image: without pretrained ones only chance is left."""
    chosen = config.strategy.cold_start
    if chosen != "auto":
        return chosen
    return "random" if config.model.weights == "none" else "facility-location"


def _plan(context: Context, training: StepRecord[Training], name: str, given: frozenset[str]) -> ScorePlan:
    store, strategy = context.workspace.store, make_strategy(name, context.config.strategy)
    # Images known to be broken are tried again: the list then does not depend on what an earlier run had seen.
    pool = store.pool(forgiving=("image",)).in_state(UNLABELED)
    labeled = store.pool().in_state(LABELED)
    further: frozenset[str] = frozenset()
    if not training.summary.cold_start:
        classes = len(training.summary.classes)
        further = further_signals(context.config.selection) | signals_for_reasons(strategy.needs, given, classes)
        if training.summary.held_out:
            further |= _for_strata(strategy.needs | further, given)
    return ScorePlan.of(strategy, pool, labeled, further)


def _for_strata(names: frozenset[str], given: frozenset[str]) -> frozenset[str]:
    """An uncertainty, if the model looks at every image anyway: it lets the held-out images stand for the pool."""
    if not names or names & set(UNCERTAINTIES):
        return frozenset()
    return frozenset([name for name in UNCERTAINTIES if name in given][:1])
