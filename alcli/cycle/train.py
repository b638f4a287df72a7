"""Train: a model with its loss head on the annotated items."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from alcli import plugins
from alcli.artifacts.checkpoints import forget
from alcli.artifacts.examples import Examples, prepare_examples
from alcli.context import Context, StepResult, logged_step
from alcli.cycle._measure import evaluate_model
from alcli.errors import DataError
from alcli.items import LABELED, Item
from alcli.learners import Learner, make_learner
from alcli.system.files import atomic_write
from alcli.system.hashing import sha256_of_text
from alcli.system.text import quantity
from alcli.workspace.records import StepRecord, Training


@logged_step
def train(context: Context, cycle: int) -> StepResult[Training]:
    """Train for one cycle; reuses an earlier model when nothing it depends on has changed.

    Without any annotation there is nothing to train: the cycle is a cold start, and says so.

    Raises:
        DataError: there are annotations and none can be used, weights do not fit, or training diverged twice.
    """
    learner = make_learner(context)
    learner.check()
    context = learner.context
    examples = prepare_examples(context)
    inputs = sha256_of_text(examples.fingerprint, learner.inputs(examples))
    earlier = _same_training(context, cycle, inputs)
    if earlier is not None:
        summary = earlier.summary
        if earlier.cycle != cycle:
            summary = replace(summary, reused_from=earlier.cycle)
            context.workspace.finish_step(cycle, inputs, summary, earlier.file)
        forget(context, cycle)
        return StepResult(cycle, summary, True, examples.problems)
    if not learner.can_learn(examples):
        return _cold_start(context, cycle, inputs, examples)
    return _train(learner, cycle, inputs, examples)


def _same_training(context: Context, cycle: int, inputs: str) -> StepRecord[Training] | None:
    """The newest finished training with the same inputs and an intact file; this cycle's first."""
    numbers = {record.number for record in context.workspace.store.cycles() if record.number <= cycle}
    candidates = (
        context.workspace.matching_step(number, Training, inputs) for number in sorted({cycle, *numbers}, reverse=True)
    )
    return next((record for record in candidates if record), None)


def _cold_start(context: Context, cycle: int, inputs: str, examples: Examples) -> StepResult[Training]:
    labeled = context.workspace.store.pool(forgiving=("reading", "encoding", "training", "image")).in_state(LABELED)
    usable = examples.classes and examples.held_out
    if labeled and not usable and not context.config.train.allow_cold_start:
        raise _no_usable_annotation(context, labeled)
    why = "There are no annotations yet"
    if labeled:
        why = (
            f"All usable annotations ({len(examples.held_out)}) are in the held-out share"
            if usable
            else f"None of the {quantity(len(labeled), 'annotation')} can be used"
        )
    # Where nothing is annotated, the end of the cycle says what that means.
    say = context.progress.say if labeled else context.progress.detail
    say(f"{why}, so there is no model: this cycle is a cold start.")
    summary = Training(held_out=len(examples.held_out), cold_start=True)
    context.workspace.finish_step(cycle, inputs, summary)
    return StepResult(cycle, summary, problems=examples.problems)


def _no_usable_annotation(context: Context, labeled: Sequence[Item]) -> DataError:
    """The error that names the commonest reason, and the class names if it is these that differ."""
    reasons = Counter(entry.reason for entry in context.workspace.store.quarantine_entries())
    task, options = plugins.load("tasks", context.config.task.name), context.config.options_of("task")
    annotations = context.workspace.store.annotations(item.id for item in labeled)
    names = Counter(name for annotation in annotations for name in task.vocabulary(annotation, options))
    wanted = context.config.task.classes
    what = f"None of the {quantity(len(labeled), 'annotation')} can be used"
    do = "Correct the annotations or the settings (alcli list quarantine), or rank without a model: --allow-cold-start."
    if wanted and names and not names.keys() & set(wanted):
        shown = ", ".join(f"{name} {count}×" for name, count in names.most_common(10))
        what += f": their classes are {shown}; task.classes has {', '.join(wanted)}"
        do = f"Did you mean --set task.classes={','.join(sorted(names))}? {do}"
    elif reasons:
        reason, count = reasons.most_common(1)[0]
        what += f"; {count} of them: {reason}"
    else:
        what += ": they are all empty"
        do = "If the images show none of the objects, name the classes in task.classes. " + do
    return DataError(f"{what}.", kept="No list was made; the annotators' queue is unchanged.", do=do)


def _train(learner: Learner, cycle: int, inputs: str, examples: Examples) -> StepResult[Training]:
    context = learner.context
    learned = learner.learn(cycle, inputs, examples)
    evaluation = evaluate_model(context, cycle, learned.predictor, examples.held_out)
    summary = replace(
        learned.summary,
        metrics=evaluation.metrics,
        agreement=evaluation.agreement,
        confusion=tuple(evaluation.confusion),
    )
    with atomic_write(context.workspace.cycle_folder(cycle) / "metrics.json") as stream:
        stream.write(json.dumps(summary.document(), indent=2) + "\n")
    context.workspace.finish_step(cycle, inputs, summary, learned.file)
    forget(context, cycle)
    return StepResult(cycle, summary, problems=[*examples.problems, *learned.problems])
