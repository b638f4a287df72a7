"""Score: one pass of the newest model over the unlabeled items, then the strategy's order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from alcli import plugins
from alcli.annotations import Annotation, image_counts, object_counts
from alcli.artifacts.backends import settle_backend
from alcli.artifacts.examples import check_reachable, held_out_examples, inspect_images
from alcli.artifacts.predictor import Predictor, load_predictor
from alcli.artifacts.scores import write_scores
from alcli.artifacts.scoring_pass import ScorePlan, ScoringPass
from alcli.artifacts.starting_weights import settle_weights
from alcli.artifacts.trained import newest_training
from alcli.config import Config
from alcli.context import Context, StepResult, logged_step
from alcli.curves.collapse import collapse_in_words, remedy_in_words
from alcli.curves.correlation import reliance_in_words
from alcli.cycle._calibration import fit_temperature
from alcli.cycle._coverage import order_by_coverage
from alcli.cycle._guard import find_collapse, model_to_keep
from alcli.cycle._measure import held_out_signals, measure_with_pool, write_metrics
from alcli.cycle._reliance import measure_reliance
from alcli.engine.stratified import UNCERTAINTIES
from alcli.errors import DataError
from alcli.items import LABELED, RECHECK, UNLABELED, Item, Refusal
from alcli.learners import Learner
from alcli.review.label_review import choose_rechecks, rechecks_key
from alcli.selection.query import Query, append_rows, remove_rows
from alcli.selection.rank import Draw, further_signals, rank
from alcli.selection.reasons import SEEN, Grounds, classes_seen, rare_classes, signals_for_reasons
from alcli.signals import Signals
from alcli.strategies import control_share, make_strategy, supported_strategy, weighs_by
from alcli.system.clock import now
from alcli.system.hashing import seed_of, sha256_of_text
from alcli.system.text import quantity
from alcli.tasks import Example
from alcli.vectors.rows import are_equal
from alcli.workspace.measurements import Measurement, Reliance
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
    start = prepare(context, cycle)
    context, training, name, plan = start.context, start.training, start.strategy, start.plan
    earlier = model_to_keep(context, cycle, training)
    inputs = _inputs(context, training, name, plan, earlier)
    done = context.workspace.matching_step(cycle, Scored, inputs)
    if done:
        return StepResult(cycle, done.summary, already_done=True)
    look = _look(context, cycle, training, plan, name)
    measurement = look.measure(context)
    collapse = find_collapse(context, look.predictor, look.held_out, measurement, earlier)
    measured = measurement
    if collapse and earlier:
        context.progress.say(f"{collapse_in_words(collapse)} {remedy_in_words(collapse)}")
        plan, measurement = _plan(context, earlier, name, _signal_names(context, earlier)), Measurement()
        look = _look(context, cycle, earlier, plan, name)
    query, refusals = _list(context, cycle, name, look)
    _check(look.plan.pool, refusals, query)
    problems = context.workspace.store.quarantine("image", refusals, now(), complete=False)
    if any(refusal.transient for refusal in refusals):
        inputs = UNFINISHED
    context.workspace.store.drop_step(cycle, Scored.step)
    path = context.workspace.cycle_folder(cycle) / "scores.csv"
    write_scores(path, query, look.signals)
    summary = _summarize(context, look.predictor.record, name, query, len(refusals))
    asked_classes = _asked_classes(context, query, look.signals, look.predictor.record.summary.classes)
    summary = replace(
        summary,
        measurement=measurement,
        collapse=collapse,
        reliance=look.reliance,
        asked_classes=asked_classes,
        computed_by=look.predictor.computed_by if look.plan.pool_signals else "",
    )
    write_metrics(context, cycle, training.summary, measured, summary)
    context.workspace.finish_step(cycle, inputs, summary, path)
    return StepResult(cycle, summary, problems=[*problems, *query.unscored])


@dataclass(frozen=True)
class Start:
    """What a scoring starts from; ``context`` has the settings that depend on more than the configuration."""

    context: Context
    training: StepRecord[Training]
    strategy: str
    plan: ScorePlan

    def known(self, predictor: Predictor) -> tuple[ScorePlan, Sequence[Item]]:
        """The plan without the images that the model says nothing about, and these."""
        return _known(self.plan, predictor)


def prepare(context: Context, cycle: int) -> Start:
    """Choose the model, the strategy and the signals to compute; raises UsageError like ``score``."""
    context = _settle(context)
    training = newest_training(context, cycle)
    given = _signal_names(context, training)
    name = _cold_start(context.config) if training.summary.cold_start else _choose_strategy(context, given)
    return Start(context, training, name, _plan(context, training, name, given))


def _known(plan: ScorePlan, predictor: Predictor) -> tuple[ScorePlan, Sequence[Item]]:
    unknown = predictor.unknown(plan.pool, plan.needs) if plan.pool_signals else ()
    return replace(plan, pool=_without(plan.pool, unknown)), unknown


@dataclass(frozen=True)
class _Look:
    """What one model says about the pool and the held-out images, and the images that could not be read.

    Attributes:
        plan: without the ``unknown`` images of the pool, which the model says nothing about.
    """

    predictor: Predictor
    plan: ScorePlan
    unknown: Sequence[Item]
    signals: Signals
    refusals: Sequence[Refusal]
    held_out: Sequence[Example]
    theirs: Signals
    reliance: Reliance | None

    def measure(self, context: Context) -> Measurement:
        """What the model achieves."""
        return measure_with_pool(context, self.predictor, self.signals, self.held_out, self.theirs)


def _look(context: Context, cycle: int, training: StepRecord[Training], plan: ScorePlan, name: str) -> _Look:
    predictor = load_predictor(context, training)
    plan, unknown = _known(plan, predictor)
    signals, refusals = ScoringPass(context, cycle, predictor).run(plan)
    _say_limits(context, plan, signals)
    counts = object_counts(_annotations(context))
    signals = replace(signals, class_counts=[counts[name] for name in training.summary.classes])
    has_metrics, share = bool(training.summary.metrics), training.summary.validation
    held_out = held_out_examples(context, predictor.task, share) if has_metrics else []
    theirs = held_out_signals(context, cycle, predictor, signals, held_out)
    signals, reliance = _measure_trust(context, predictor, name, signals, held_out, theirs)
    return _Look(predictor, plan, unknown, signals, refusals, held_out, theirs, reliance)


def _list(context: Context, cycle: int, name: str, look: _Look) -> tuple[Query, Sequence[Refusal]]:
    """The ranked images, those that the model knows nothing about last, and the images that could not be read."""
    query = _rank(context, cycle, look.predictor, name, look.plan, look.signals)
    unknown = order_by_coverage(
        context, cycle, look.predictor, look.unknown, [row.item for row in query.rows if row.asked]
    )
    query, refusals = append_rows(query, unknown, NO_PREDICTION), look.refusals
    if not look.plan.pool_signals or not look.predictor.needs_images(look.plan.pool_signals):
        query, further = _without_broken_images(context, query)
        refusals = [*refusals, *further]
    return query, refusals


def _say_limits(context: Context, plan: ScorePlan, signals: Signals) -> None:
    """Say what the strategy cannot see, and what follows from it."""
    budget = context.config.selection.budget or 0
    if 0 < len(plan.pool) < budget:
        context.progress.detail(f"The budget ({budget}) is larger than the pool: all of it is asked for.")
    if signals.labeled is not None:
        unseen = len(plan.labeled) - int(signals.labeled.finite().sum())
        if unseen:
            context.progress.say(
                f"{quantity(unseen, 'labeled image')} without features: images that look like them may be asked for."
            )
    vectors = signals.arrays.get("embedding")
    if vectors is not None and len(vectors) > 1 and are_equal(vectors):
        context.progress.say("The features of all images are equal: the list is in the order of uncertainty alone.")


def _measure_trust(
    context: Context,
    predictor: Predictor,
    name: str,
    signals: Signals,
    held_out: Sequence[Example],
    theirs: Signals,
) -> tuple[Signals, Reliance | None]:
    """The pool's signals with the trust in its uncertainties, and what that rests on; without a model, no trust."""
    if predictor.record.summary.cold_start:
        return signals, None
    strategy = make_strategy(name, context.config.strategy)
    if getattr(strategy, "reads_temperature", False):
        temperature = fit_temperature(context, theirs, held_out, predictor.record.summary.classes)
        signals = replace(signals, temperature=temperature)
    weighs = weighs_by(strategy, signals)
    reliance = measure_reliance(predictor, theirs, held_out, weighs)
    if reliance is None and weighs:
        reliance = Reliance(weighs=weighs)
    context.progress.detail(reliance_in_words(reliance))
    return replace(signals, trust=reliance.trust if reliance else {}), reliance


def _settle(context: Context) -> Context:
    """The context with the settings that depend on more than the configuration: weights, backend and budget."""
    # Images known to be broken count: a resumed pass must not have another budget than an undisturbed one.
    pool = len(context.workspace.store.pool(forgiving=("image",)).in_state(UNLABELED))
    options = context.config.selection
    selection = options.model_copy(update={"budget": options.budget_of(pool)})
    return settle_backend(settle_weights(context)).with_settings(selection=selection)


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


def _inputs(
    context: Context,
    training: StepRecord[Training],
    name: str,
    plan: ScorePlan,
    earlier: StepRecord[Training] | None,
) -> str:
    """A hash that changes whenever the list may change."""
    options = context.config.selection.model_dump_json()
    settings = (name, options, str(_random_share(context, training)), rechecks_key(context, training), training.inputs)
    return sha256_of_text(*settings, plan.key(context, training), str(earlier and earlier.sha256))


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
    classes = training.summary.classes
    rare = rare_classes(image_counts(_annotations(context)), classes)
    items = context.workspace.store.pool().items
    return Grounds(plan.needs, signals, items, classes, rare, _seen_from(context))


def _annotations(context: Context) -> list[Annotation]:
    store = context.workspace.store
    return store.annotations(item.id for item in store.pool().in_state(LABELED))


def _seen_from(context: Context) -> float:
    return float(getattr(plugins.load("tasks", context.config.task.name), "seen_from", SEEN))


def _asked_classes(context: Context, query: Query, signals: Signals, classes: Sequence[str]) -> dict[str, int]:
    """In how many of the images asked for the model sees each class."""
    index = {item_id: position for position, item_id in enumerate(signals.item_ids)}
    asked = [index[row.item.id] for row in query.rows if row.asked and row.source != RECHECK]
    seen = classes_seen(signals, asked, _seen_from(context))
    counts = Counter(classes[number] for numbers in seen.values() for number in numbers)
    return {name: counts[name] for name in classes} if seen else {}


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
        shared_reasons=tuple(query.shared_reasons),
        all_scores_equal=query.all_equal,
        configured_strategy=context.config.strategy.name,
        quarantined=quarantined,
    )
