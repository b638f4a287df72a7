"""Score: one pass of the newest model over the unlabeled items, then the strategy's order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from alcli import plugins
from alcli.annotations import Annotation, image_counts
from alcli.artifacts.inspection import check_reachable, inspect_images
from alcli.artifacts.scores import write_scores
from alcli.artifacts.trainings import model_to_keep
from alcli.context import Context, StepResult, logged_step
from alcli.cycle._coverage import order_by_coverage
from alcli.cycle._look import Look, say_limits
from alcli.cycle._metrics_file import write_metrics
from alcli.cycle._start import Start, prepare
from alcli.errors import DataError
from alcli.items import LABELED, RECHECK, Item, Refusal
from alcli.review.label_review import choose_rechecks, rechecks_key
from alcli.selection.query import Query, append_rows, remove_rows
from alcli.selection.rank import Draw, rank
from alcli.selection.reasons import SEEN, Grounds, classes_seen, rare_classes
from alcli.signals import Signals
from alcli.strategies import control_share, make_strategy
from alcli.system.clock import now
from alcli.system.hashing import seed_of, sha256_of_text
from alcli.system.text import quantity
from alcli.workspace.records import Scored, StepRecord, Training

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
    context = start.context
    earlier = model_to_keep(context, cycle, start.training)
    inputs = _inputs(start, earlier)
    done = context.workspace.matching_step(cycle, Scored, inputs)
    if done:
        return StepResult(cycle, done.summary, already_done=True)
    look = _look(start, cycle, earlier)
    query, refusals = _list(start, cycle, look)
    _check(look.plan.pool, refusals, query)
    problems = context.workspace.store.quarantine("image", refusals, now(), complete=False)
    if any(refusal.transient for refusal in refusals):
        inputs = UNFINISHED
    context.workspace.store.drop_step(cycle, Scored.step)
    path = context.workspace.cycle_folder(cycle) / "scores.csv"
    write_scores(path, query, look.signals)
    summary = _summarize(start, look, query, len(refusals))
    write_metrics(context, cycle, start.training.summary, summary)
    context.workspace.finish_step(cycle, inputs, summary, path)
    return StepResult(cycle, summary, problems=[*problems, *query.unscored])


def _look(start: Start, cycle: int, earlier: StepRecord[Training] | None) -> Look:
    """What a model says about the pool, if one has to be asked."""
    if start.needs_model:
        # Torch takes seconds, and a list that is drawn by lot needs none of it.
        from alcli.cycle._model_look import ask_model

        return ask_model(start, cycle, earlier)
    signals = Signals([item.id for item in start.plan.pool], {})
    say_limits(start.context, start.plan, signals)
    return Look(start.training, start.plan, signals)


def _list(start: Start, cycle: int, look: Look) -> tuple[Query, Sequence[Refusal]]:
    """The ranked images, those that the model knows nothing about last, and the images that could not be read."""
    context, refusals = start.context, look.refusals
    query = _rank(start, cycle, look)
    if look.predictor is not None:
        asked = [row.item for row in query.rows if row.asked]
        unknown = order_by_coverage(context, cycle, look.predictor, look.unknown, asked)
        query = append_rows(query, unknown, NO_PREDICTION)
    if not look.has_read_images:
        query, further = _without_broken_images(context, query)
        refusals = [*refusals, *further]
    return query, refusals


def _inputs(start: Start, earlier: StepRecord[Training] | None) -> str:
    """A hash that changes whenever the list may change."""
    context, training = start.context, start.training
    options = context.config.selection.model_dump_json()
    share = str(_random_share(context, training))
    settings = (start.strategy, options, share, rechecks_key(context, training), training.inputs)
    return sha256_of_text(*settings, start.plan.key(context, training), str(earlier and earlier.sha256))


def _random_share(context: Context, training: StepRecord[Training]) -> float:
    return 0.0 if training.summary.cold_start else control_share(context.config.strategy)


def _rank(start: Start, cycle: int, look: Look) -> Query:
    context, options = start.context, start.context.config.selection
    cold = look.training.summary.cold_start
    query = rank(
        make_strategy(start.strategy, context.config.strategy),
        look.signals,
        {item.id: item for item in look.plan.pool},
        options,
        Draw(seed_of(options.seed, cycle), _random_share(context, look.training)),
        [] if cold else choose_rechecks(context, cycle, look.predictor),
        None if cold else _grounds(context, look),
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


def _grounds(context: Context, look: Look) -> Grounds:
    classes = look.training.summary.classes
    rare = rare_classes(image_counts(_annotations(context)), classes)
    items = context.workspace.store.pool().items
    return Grounds(look.plan.needs, look.signals, items, classes, rare, _seen_from(context))


def _annotations(context: Context) -> list[Annotation]:
    store = context.workspace.store
    return store.annotations(item.id for item in store.pool().in_state(LABELED))


def _seen_from(context: Context) -> float:
    return float(getattr(plugins.load("tasks", context.config.task.name), "seen_from", SEEN))


def _asked_classes(context: Context, query: Query, look: Look) -> dict[str, int]:
    """In how many of the images asked for the model sees each class; nothing before there are classes."""
    signals, classes = look.signals, look.training.summary.classes
    if not classes:
        return {}
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


def _summarize(start: Start, look: Look, query: Query, quarantined: int) -> Scored:
    context, training = start.context, look.training
    rechecks = tuple(row.item.id for row in query.rows if row.source == RECHECK)
    return Scored(
        strategy=start.strategy,
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
        measurement=look.measurement,
        collapse=look.collapse,
        reliance=look.reliance,
        asked_classes=_asked_classes(context, query, look),
        computed_by=look.computed_by,
    )
