"""Score: one pass of the newest model over the unlabeled items, then the strategy's order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from alcli import plugins
from alcli.annotations import object_counts
from alcli.artifacts.examples import check_reachable, inspect_images
from alcli.artifacts.predictor import Predictor, load_predictor
from alcli.artifacts.scores import write_scores
from alcli.artifacts.scoring_pass import ScorePlan, ScoringPass
from alcli.artifacts.starting_weights import settle_weights
from alcli.artifacts.trained import newest_training
from alcli.config import Config
from alcli.context import Context, StepResult, logged_step
from alcli.cycle._measure import measure_with_pool, write_metrics
from alcli.engine.stratified import UNCERTAINTIES
from alcli.errors import DataError
from alcli.items import LABELED, RECHECK, UNLABELED, Item, Refusal
from alcli.learners import Learner
from alcli.review.label_review import choose_rechecks, rechecks_key
from alcli.selection.query import Query, append_rows, remove_rows
from alcli.selection.rank import Draw, further_signals, rank
from alcli.selection.reasons import Grounds, rare_classes, signals_for_reasons
from alcli.signals import Signals
from alcli.strategies import control_share, make_strategy, supported_strategy
from alcli.system.clock import now
from alcli.system.hashing import seed_of, sha256_of_text
from alcli.system.text import quantity
from alcli.workspace.records import BUILTIN, Scored, StepRecord, Training

NO_PREDICTION = "no prediction for this image"
UNFINISHED = ""
"""Inputs of a pass that has to be tried again; no other inputs are equal to them."""


@logged_step
def score(context: Context, cycle: int) -> StepResult[Scored]:
    """Rank every unlabeled item with the model of the last finished training.

    The pass is kept in parts: after an interruption only the missing parts are computed.

    Raises:
        UsageError: nothing was trained yet, or the strategy asks for a signal that the task cannot give.
        WorkspaceDamaged: the model's file is not what training wrote.
    """
    context = _settle(context)
    training = newest_training(context, cycle)
    given = _signal_names(context, training)
    name = _cold_start(context.config) if training.summary.cold_start else _choose_strategy(context, given)
    plan = _plan(context, training, name, given)
    inputs = _inputs(context, training, name, plan)
    done = context.workspace.matching_step(cycle, Scored, inputs)
    if done:
        return StepResult(cycle, done.summary, already_done=True)
    predictor = load_predictor(context, training)
    unknown = predictor.unknown(plan.pool) if plan.pool_signals else ()
    plan = replace(plan, pool=_without(plan.pool, unknown))
    signals, refusals = ScoringPass(context, cycle, predictor).run(plan)
    counts = _labeled_objects(context)
    signals = replace(signals, class_counts=[counts[name] for name in training.summary.classes])
    query = append_rows(_rank(context, cycle, predictor, name, plan, signals), unknown, NO_PREDICTION)
    if not predictor.needs_images(plan.pool_signals) or not plan.pool_signals:
        query, further = _without_broken_images(context, query)
        refusals = [*refusals, *further]
    _check(plan.pool, refusals, query)
    measurement = measure_with_pool(context, cycle, predictor, signals)
    problems = context.workspace.store.quarantine("image", refusals, now(), complete=False)
    if any(refusal.transient for refusal in refusals):
        inputs = UNFINISHED
    context.workspace.store.drop_step(cycle, Scored.step)
    path = context.workspace.cycle_folder(cycle) / "scores.csv"
    write_scores(path, query, signals)
    summary = _summarize(context, training, name, query, len(refusals))
    summary = replace(summary, measurement=measurement)
    write_metrics(context, cycle, training.summary, measurement)
    context.workspace.finish_step(cycle, inputs, summary, path)
    return StepResult(cycle, summary, problems=[*problems, *query.unscored])


def _settle(context: Context) -> Context:
    """The context with the settings that depend on more than the configuration: starting weights and budget."""
    # Images known to be broken count: a resumed pass must not have another budget than an undisturbed one.
    pool = len(context.workspace.store.pool(forgiving=("image",)).in_state(UNLABELED))
    options = context.config.selection
    selection = options.model_copy(update={"budget": options.budget_of(pool)})
    return settle_weights(context).with_settings(selection=selection)


def _signal_names(context: Context, training: StepRecord[Training]) -> frozenset[str]:
    """What the model can say; before the first one, what the task's networks can."""
    name = training.summary.learner if training.file else BUILTIN
    learner: Learner = plugins.load("learners", name)(context)
    return learner.signal_names(training.summary)


def _without(items: Sequence[Item], others: Sequence[Item]) -> Sequence[Item]:
    ids = {item.id for item in others}
    return [item for item in items if item.id not in ids] if ids else items


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


def _inputs(context: Context, training: StepRecord[Training], name: str, plan: ScorePlan) -> str:
    """A hash that changes whenever the list may change."""
    options = context.config.selection.model_dump_json()
    settings = (name, options, str(_random_share(context, training)), rechecks_key(context, training), training.inputs)
    return sha256_of_text(*settings, plan.key(context, training))


def _random_share(context: Context, training: StepRecord[Training]) -> float:
    return 0.0 if training.summary.cold_start else control_share(context.config.strategy)


def _rank(context: Context, cycle: int, predictor: Predictor, name: str, plan: ScorePlan, signals: Signals) -> Query:
    options, training = context.config.selection, predictor.record
    cold = training.summary.cold_start
    query = rank(
        make_strategy(name, context.config.strategy),
        signals,
        {item.id: item for item in plan.pool},
        options,
        Draw(seed_of(options.seed, cycle), _random_share(context, training)),
        [] if cold else choose_rechecks(context, cycle, predictor),
        None if cold else _grounds(context, training, plan, signals),
    )
    if query.put_off:
        context.progress.say(f"{quantity(query.put_off, 'near-duplicate')} moved below the budget.")
    if query.all_equal and not cold:
        context.progress.say("All scores are equal: the list is in the order of the names and means nothing.")
    return query


def _without_broken_images(context: Context, query: Query) -> tuple[Query, list[Refusal]]:
    """Decode the images asked for, which the strategy has not looked at; others take the place of broken ones.

    Images further down that are known to be broken go as well.
    """
    refusals: list[Refusal] = []
    intact: set[str] = set()
    while new := [row.item for row in query.rows if row.asked and row.item.id not in intact]:
        _, facts, broken = inspect_images(context, new)
        check_reachable(new, broken)
        refusals += broken
        intact |= facts.keys()
        query = remove_rows(query, {refusal.id for refusal in broken})
    known = context.workspace.store.pool().quarantined - intact
    return remove_rows(query, known), refusals


def _grounds(context: Context, training: StepRecord[Training], plan: ScorePlan, signals: Signals) -> Grounds:
    store, classes = context.workspace.store, training.summary.classes
    pool = store.pool()
    return Grounds(plan.needs, signals, pool.items, classes, rare_classes(_labeled_objects(context), classes))


def _labeled_objects(context: Context) -> Counter[str]:
    store = context.workspace.store
    return object_counts(store.annotations(item.id for item in store.pool().in_state(LABELED)))


def _check(items: Sequence[Item], refusals: Sequence[Refusal], query: Query) -> None:
    check_reachable(items, refusals)
    if query.unscored and not query.rows:
        raise DataError(
            f"None of {quantity(len(items), 'image')} got a score that is a number.",
            kept="The queue and the earlier list are kept.",
            do="Train again: alcli train --set train.init=scratch",
        )


def _summarize(context: Context, training: StepRecord[Training], name: str, query: Query, quarantined: int) -> Scored:
    rechecks = tuple(row.item.id for row in query.rows if row.source == RECHECK)
    return Scored(
        strategy=name,
        model=training.summary.model,
        model_cycle=training.cycle,
        model_sha256=training.sha256,
        cold_start=training.summary.cold_start,
        scored=len(query.rows) - len(rechecks),
        asked=sum(row.asked for row in query.rows) - len(rechecks),
        rechecks=rechecks,
        at_random=query.at_random,
        unscored=len(query.unscored),
        put_off=query.put_off,
        all_scores_equal=query.all_equal,
        configured_strategy=context.config.strategy.name,
        quarantined=quarantined,
    )
