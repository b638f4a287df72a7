"""Networks as trainings left them: of a cycle, of the cycle before, and the one that a training would start from."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from torch import nn

from alcli.annotations import Annotation
from alcli.artifacts.backends import Backend, open_backend
from alcli.artifacts.configured_task import make_task
from alcli.artifacts.frozen_features import EMBEDDING, FrozenFeatures, is_pooled
from alcli.artifacts.predictor import ItemLoss, Part
from alcli.artifacts.starting_weights import settle_weights
from alcli.artifacts.trainings import accepted_models
from alcli.config import Config
from alcli.context import CACHE, Context
from alcli.engine import inference
from alcli.engine.training import feature_channels, seed_everything
from alcli.errors import AlcliError, UsageError
from alcli.items import Item
from alcli.models import storage
from alcli.models.loss_head import LossHead
from alcli.models.weights import load_strictly
from alcli.strategies import tasks_with_signals
from alcli.system.progress import Advance
from alcli.tasks import Example, Task
from alcli.workspace.records import BUILTIN, StepRecord, Training

COMPARING = "output_discrepancy"
"""The one signal that needs the model before."""
NO_CLASS_YET = ("thing",)
"""Before the first annotation there are no classes; a network needs one output all the same."""


@dataclass(frozen=True)
class TrainedModel:
    """A network and its loss head, loaded and hash-checked once per run.

    Attributes:
        record: of the training. One without a file left no model: the weights are those that a training starts from.
    """

    context: Context
    task: Task
    model: nn.Module
    loss_head: LossHead
    record: StepRecord[Training]

    @property
    def signal_names(self) -> frozenset[str]:
        """All that the task computes."""
        return self.task.signal_names

    @property
    def computed_by(self) -> str:
        """The backend and its precision."""
        return self._backend.in_words()

    def lacks(self, missing: Collection[str]) -> AlcliError:
        """The error for signals that the task does not compute."""
        return UsageError(
            f"The task {self.context.config.task.name} has no signal {', '.join(sorted(missing))}.",
            do=f"{tasks_with_signals(missing)} Or choose another strategy: `alcli list strategies`.",
        )

    def unknown(self, items: Sequence[Item], names: frozenset[str]) -> Sequence[Item]:
        """None: the network looks at every image."""
        return ()

    def needs_images(self, names: frozenset[str]) -> bool:
        """Always."""
        return True

    def signals(self, examples: Sequence[Example], names: frozenset[str], advance: Advance) -> Iterator[Part]:
        """One pass of network and loss head; of a frozen network only over images that it has not seen yet."""
        if self._reads_frozen(names):
            return self._frozen.signals(self.loss_head, examples, names, advance)
        backend, previous = self._backend, self._previous if COMPARING in names else None
        model = backend.network_or_itself(self.model, names)
        if previous is not None:
            previous = backend.network_or_itself(previous, names)
        return inference.signals(self.task, model, self.loss_head, examples, names, backend.options, advance, previous)

    def predictions(self, examples: Sequence[Example]) -> Iterator[Annotation]:
        """What the network predicts."""
        return inference.predictions(self.task, self._backend.network(self.model), examples, self._backend.options)

    def losses(self, examples: Sequence[Example]) -> list[ItemLoss]:
        """The network's own losses, and what the loss head predicts."""
        model = self._backend.network(self.model)
        return inference.item_losses(self.task, model, self.loss_head, examples, self._backend.options)

    def earlier(self, cycle: int) -> TrainedModel | None:
        """The newest network trained before a cycle, its outputs moved to the same classes."""
        previous = load_previous(self.context, cycle, self.task)
        return replace(self, model=previous) if previous is not None else None

    def _reads_frozen(self, names: frozenset[str]) -> bool:
        """Whether these signals follow from features that no training changes."""
        if self.record.file is not None and not self.context.config.train.freeze_backbone:
            return False
        return names == EMBEDDING or (bool(names) and COMPARING not in names and is_pooled(self.task, self.model))

    @cached_property
    def _frozen(self) -> FrozenFeatures:
        backend, context = self._backend, self.context
        network = backend.network_or_itself(self.model)
        config = context.config.model_copy(update={"score": backend.options})
        cache = context.workspace.root / CACHE
        return FrozenFeatures.open(config, self.task, self.model, network, self.computed_by, cache, context.progress)

    @cached_property
    def _backend(self) -> Backend:
        return open_backend(self.context, self.task, self.model, self.loss_head)

    @cached_property
    def _previous(self) -> nn.Module | None:
        previous = load_previous(self.context, self.record.cycle, self.task, self.record.sha256)
        if previous is None:
            self.context.progress.say(f"There is no earlier model to compare with: {COMPARING} is 0.")
        return previous


def load_trained(context: Context, record: StepRecord[Training]) -> TrainedModel:
    """Load the model of a finished training; after a cold start, the one that a training would start from.

    Raises:
        WorkspaceDamaged: the file is not what the training wrote.
        DataError: the weights do not fit.
    """
    if record.file is None:
        return TrainedModel(context, *before_any_label(settle_weights(context).config), record)
    path = context.workspace.verify_file(record)
    state, head_state, manifest = storage.read(path)
    options = context.config.model.model_copy(
        update={"name": manifest.model, "weights": "none", "input_size": manifest.input_shape[0]}
    )
    task = make_task(context.config.model_copy(update={"model": options}), manifest.classes)
    model, loss_head = task.build_model(), LossHead(manifest.channels)
    load_strictly(model, state, str(path))
    load_strictly(loss_head, head_state, str(path))
    return TrainedModel(context, task, model, loss_head, record)


def load_previous(context: Context, cycle: int, task: Task, current: str | None = None) -> nn.Module | None:
    """Load the newest model trained before a cycle, its outputs moved to the task's classes.

    Args:
        current: SHA-256 of this cycle's model; earlier cycles that reused it are skipped.

    Returns:
        None where there is no earlier model, or only one of another task or network. An earlier cycle whose file is
        missing counts as one without a model.
    """
    models = [record for record in accepted_models(context, cycle) if record.sha256 != current]
    models = [record for record in models if record.summary.learner == BUILTIN]
    earlier = next((record for record in models if record.file and record.file.is_file()), None)
    if models and earlier is not models[0]:
        context.progress.say(
            f"The model of cycle {models[0].cycle} is missing: it cannot be compared with the new one."
        )
    if earlier is None:
        return None
    path = context.workspace.verify_file(earlier)
    state, _, manifest = storage.read(path)
    if (manifest.task, manifest.model) != (context.config.task.name, task.model_name):
        return None
    model = task.build_model()
    load_strictly(model, task.adapt(model, state, manifest.classes), str(path))
    return model


def starting_model(config: Config, classes: Sequence[str]) -> tuple[Task, nn.Module, LossHead]:
    """Build what a training would start from, for signals that need no training, such as ``embedding``."""
    seed_everything(config.train.seed)
    task = make_task(config, classes)
    model = task.build_model()
    return task, model, LossHead(feature_channels(task, model))


def before_any_label(config: Config) -> tuple[Task, nn.Module, LossHead]:
    """Build the same before the first annotation: with the configured classes, or with a single stand-in."""
    if config.task.classes:
        return starting_model(config, config.task.classes)
    task = config.options_of("task").before_any_class()
    return starting_model(config.model_copy(update={"task": task}), NO_CLASS_YET)


def check_model(config: Config) -> None:
    """Build the network as a training would and run it once; no weights are fetched for that.

    Raises:
        UsageError: the task has no such model, or it cannot be built or run at the configured size.
        DataError: the weights cannot be read or do not fit.
    """
    weights = "none" if config.model.weights in ("auto", "imagenet") else config.model.weights
    model = config.model.model_copy(update={"weights": weights})
    try:
        before_any_label(config.model_copy(update={"model": model}))
    except AlcliError:
        raise
    except Exception as error:
        # A library's network reports in its own way what it cannot do, most often with an assertion.
        raise UsageError(
            f"The model {config.model.name!r} cannot be built and run: {error}.",
            do="Choose another model.name, or a model.input_size that it can take.",
        ) from None
