"""What a model says about the pool and about the held-out images; one that has collapsed leaves it to the last one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from alcli.annotations import object_counts
from alcli.artifacts.examples import held_out_examples
from alcli.artifacts.predictor import Predictor, load_predictor
from alcli.artifacts.scoring_pass import ScoringPass
from alcli.curves.collapse import collapse_in_words, remedy_in_words
from alcli.curves.correlation import reliance_in_words
from alcli.cycle._calibration import fit_temperature
from alcli.cycle._guard import find_collapse
from alcli.cycle._look import Look, say_limits
from alcli.cycle._measure import held_out_signals, measure_with_pool
from alcli.cycle._reliance import measure_reliance
from alcli.cycle._start import Start
from alcli.items import LABELED
from alcli.signals import Signals
from alcli.strategies import make_strategy, weighs_by
from alcli.tasks import Example
from alcli.workspace.measurements import Reliance
from alcli.workspace.records import StepRecord, Training


def ask_model(start: Start, cycle: int, earlier: StepRecord[Training] | None) -> Look:
    """Run the scoring pass and measure the model; if it is clearly worse than the ``earlier`` one, ask that one."""
    context = start.context
    predictor = load_predictor(context, start.training)
    look, held_out = _ask(start, cycle, predictor)
    measurement = measure_with_pool(context, predictor, look.signals, held_out.examples, held_out.signals)
    collapse = find_collapse(context, predictor, held_out.examples, measurement, earlier)
    if collapse is None or earlier is None:
        return replace(look, measurement=measurement)
    context.progress.say(f"{collapse_in_words(collapse)} {remedy_in_words(collapse)}")
    look, _ = _ask(start.with_model(earlier), cycle, load_predictor(context, earlier))
    return replace(look, collapse=collapse)


@dataclass(frozen=True)
class _HeldOut:
    """The held-out images, and what the model says about them."""

    examples: Sequence[Example]
    signals: Signals


def _ask(start: Start, cycle: int, predictor: Predictor) -> tuple[Look, _HeldOut]:
    context, training = start.context, start.training
    plan, unknown = start.plan.known_to(predictor)
    signals, refusals = ScoringPass(context, cycle, predictor).run(plan)
    say_limits(context, plan, signals)
    store = context.workspace.store
    counts = object_counts(store.annotations(item.id for item in store.pool().in_state(LABELED)))
    signals = replace(signals, class_counts=[counts[name] for name in training.summary.classes])
    has_metrics, share = bool(training.summary.metrics), training.summary.validation
    examples = held_out_examples(context, predictor.task, share) if has_metrics else []
    held_out = _HeldOut(examples, held_out_signals(context, cycle, predictor, signals, examples))
    signals, reliance = _measure_trust(start, predictor, signals, held_out)
    look = Look(training, plan, signals, predictor, unknown, refusals, reliance=reliance)
    return look, held_out


def _measure_trust(
    start: Start, predictor: Predictor, signals: Signals, held_out: _HeldOut
) -> tuple[Signals, Reliance | None]:
    """The pool's signals with the trust in its uncertainties, and what that rests on; without a model, no trust."""
    context, training = start.context, start.training.summary
    if training.cold_start:
        return signals, None
    strategy = make_strategy(start.strategy, context.config.strategy)
    if getattr(strategy, "reads_temperature", False):
        temperature = fit_temperature(context, held_out.signals, held_out.examples, training.classes)
        signals = replace(signals, temperature=temperature)
    weighs = weighs_by(strategy, signals)
    reliance = measure_reliance(predictor, held_out.signals, held_out.examples, weighs)
    context.progress.detail(reliance_in_words(reliance))
    return replace(signals, trust=reliance.trust if reliance else {}), reliance
