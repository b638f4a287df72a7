"""Score: one pass of the newest model over the unlabelled items, then the strategy's order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from alcli import plugins
from alcli.annotations import object_counts
from alcli.artifacts.scores import write
from alcli.artifacts.scoring_pass import Listed, pass_key, scoring_pass
from alcli.config import Config
from alcli.context import Context, StepResult, noted
from alcli.errors import DataError, UsageError
from alcli.items import LABELED, UNLABELED, Item, QueryRow, Refusal
from alcli.review.label_review import ASKED, rechecks, rechecks_key
from alcli.selection.near_duplicates import spread
from alcli.selection.query import Query, select, with_rechecks
from alcli.selection.reasons import Grounds, explained, rare_classes, telling
from alcli.signals import Signals
from alcli.strategies import QueryStrategy, control_share, make_strategy, needs_labeled, supported_strategy
from alcli.system.clock import now
from alcli.system.hashing import seed_of, sha256_of_text
from alcli.workspace import StepRecord

UNFINISHED = ""
"""Inputs of a pass that has to be tried again; no other inputs are equal to them."""


@noted
def score(context: Context, cycle: int) -> StepResult:
    """Rank every unlabelled item with the model of the last finished training.

    The pass is kept in parts: after an interruption only the missing parts are computed.

    Raises:
        UsageError: nothing was trained yet, or the strategy asks for a signal that the task cannot give.
        WorkspaceDamaged: the model's file is not what training wrote.
    """
    store = context.workspace.store
    training = _last_training(context, cycle)
    cold = bool(training.summary.get("cold_start"))
    name = _cold_start(context.config) if cold else _suited(context)
    strategy: QueryStrategy = make_strategy(name, context.config.strategy)
    # Images known to be broken are tried again: the list then does not depend on what an earlier run found out.
    # A strategy that looks at no image cannot find out: there they stay away.
    items = store.pool(forgiving=("image",) if strategy.needs else ()).in_state(UNLABELED)
    listed = Listed(items, store.pool().in_state(LABELED) if needs_labeled(strategy) else [])
    selection = context.config.selection
    share = 0.0 if cold else control_share(context.config.strategy)
    told = frozenset() if cold else _told(context, training, strategy)
    apart = [f"{selection.min_distance} {selection.per_group}"] if selection.min_distance or selection.per_group else []
    more = filter(None, [str(share) if share else "", rechecks_key(context, training)])
    settings = (name, str(selection.budget), str(selection.seed), *more, *apart)
    inputs = sha256_of_text(*settings, pass_key(context, training, strategy, listed, told))
    done = context.workspace.done(cycle, "score", inputs)
    if done:
        return StepResult("score", cycle, done.summary, already_done=True)
    signals, refusals = scoring_pass(context, cycle, training, strategy, listed, told)
    by_id = {item.id: item for item in items}
    ranked_by = signals.only(strategy.needs)
    again = rechecks(context, cycle, training)
    budget = selection.budget - len(again)
    query = select(strategy, ranked_by, by_id, budget, seed_of(selection.seed, cycle), share)
    _check(items, refusals, query)
    query = _spread(context, query, signals, budget)
    if not cold:
        query = _explained(context, training, strategy, query, signals)
    query = with_rechecks(query, again)
    problems = store.quarantine("image", refusals, now(), complete=False)
    if any(refusal.passing for refusal in refusals):
        inputs = UNFINISHED
    store.drop_step(cycle, "score")
    path = context.workspace.cycle_folder(cycle) / "scores.csv"
    write(path, query, signals)
    summary = {
        **_summary(training, name, query, again),
        "configured_strategy": context.config.strategy.name,
        "quarantined": len(refusals),
    }
    if query.all_equal and not cold:
        context.progress.say("All scores are equal: the order is that of the names and means nothing.")
    record = context.workspace.finish_step(cycle, "score", inputs, path, summary)
    return StepResult("score", cycle, record.summary, problems=[*problems, *query.unscored])


def _told(context: Context, training: StepRecord, strategy: QueryStrategy) -> frozenset[str]:
    given = plugins.load("tasks", context.config.task.name).signal_names
    apart = frozenset({"embedding"}) if context.config.selection.min_distance > 0 else frozenset()
    return apart | telling(strategy.needs, given, len(training.summary["classes"]))


def _spread(context: Context, query: Query, signals: Signals, budget: int) -> Query:
    options = context.config.selection
    found = spread(query, budget, signals, options.min_distance, options.per_group)
    if found.put_off:
        context.progress.say(f"{found.put_off} images are put off: too much like others asked for.")
    return found


def _explained(
    context: Context, training: StepRecord, strategy: QueryStrategy, query: Query, signals: Signals
) -> Query:
    store, classes = context.workspace.store, training.summary["classes"]
    pool = store.pool()
    counts = object_counts(store.annotations(item.id for item in pool.in_state(LABELED)))
    grounds = Grounds(strategy.needs, signals, pool.items, classes, rare_classes(counts, classes))
    return replace(query, rows=explained(query.rows, grounds))


def _suited(context: Context) -> str:
    wanted = context.config.strategy.name
    task = plugins.load("tasks", context.config.task.name)
    name = supported_strategy(wanted, task.signal_names)
    if name != wanted:
        missing = ", ".join(sorted(make_strategy(wanted).needs - task.signal_names))
        context.progress.say(f"The task {context.config.task.name} gives no {missing}: ranking by {name}.")
    return name


def _cold_start(config: Config) -> str:
    """Features of random weights say nothing about an image: without pretrained ones only chance is left."""
    chosen = config.strategy.cold_start
    if chosen != "auto":
        return chosen
    return "random" if config.model.weights == "none" else "typiclust"


def _check(items: Sequence[Item], refusals: Sequence[Refusal], query: Query) -> None:
    from alcli.artifacts.examples import check_reach

    check_reach(items, refusals)
    if query.unscored and not query.rows:
        raise DataError(
            f"Not one of {len(items)} images got a score that is a number.",
            kept="The queue and the earlier list are kept.",
            do="Train again: alcli train --set train.init=scratch",
        )


def _summary(training: StepRecord, name: str, query: Query, again: Sequence[QueryRow]) -> dict[str, Any]:
    return {
        "strategy": name,
        "model": str(training.summary.get("model", "none")),
        "model_cycle": training.cycle,
        "model_sha256": training.sha256,
        "cold_start": bool(training.summary.get("cold_start")),
        "scored": len(query.rows) - len(again),
        "asked": sum(row.asked for row in query.rows) - len(again),
        ASKED: [row.item.id for row in again],
        "at_random": query.at_random,
        "unscored": len(query.unscored),
        "put_off": query.put_off,
        "all_scores_equal": query.all_equal,
    }


def _last_training(context: Context, cycle: int) -> StepRecord:
    numbers = [row["number"] for row in context.workspace.store.cycles() if row["number"] <= cycle]
    records = (context.workspace.step(number, "train") for number in reversed(numbers))
    record = next((record for record in records if record), None)
    if record is None:
        raise UsageError("No training has been finished yet.", do="Run `alcli train`, or the whole `alcli cycle`.")
    return record
