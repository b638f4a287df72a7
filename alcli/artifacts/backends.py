"""Who computes forward passes: torch, or OpenVINO where it is worth its conversion and ranks alike.

Training is always torch's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alcli.context import Context
from alcli.errors import UsageError
from alcli.items import Item
from alcli.system.text import quantity

if TYPE_CHECKING:
    from torch import nn

    from alcli.config import ScoreOptions
    from alcli.models.loss_head import LossHead
    from alcli.tasks import Example, Task

AUTO, TORCH, OPENVINO = "auto", "torch", "openvino"
RAY = "ray"
FLOAT32, BFLOAT16 = "float32", "bfloat16"
LONG_ENOUGH = 2000
"""Images from which on a conversion and its check, 5 to 15 seconds, cost less than they save: 6 to 28 ms an image."""
FOLDER = "openvino"
"""In the workspace's cache."""
CHECKED = 200
"""Images on which bfloat16 is compared with float32."""
COMPARED = 32
"""Images on which OpenVINO is compared with torch; the kinds of mistakes it could make show on each image."""
FEWEST = 20
"""Images from which on a comparison means something."""
SAID: set[tuple[Path, str]] = set()
"""What this process has said already."""


@dataclass(frozen=True)
class Choice:
    """A backend, and why it is the one."""

    name: str
    reason: str


@dataclass(frozen=True)
class Backend:
    """Whoever computes one network's forward passes.

    Attributes:
        precision: float32 or bfloat16. options: for ``engine.inference``. folder: of conversions.
    """

    name: str
    precision: str
    options: ScoreOptions
    folder: Path
    shape_hw: tuple[int, int]
    _compiled: dict[tuple[int, bool], nn.Module] = field(default_factory=dict, repr=False, compare=False)

    def in_words(self) -> str:
        """``openvino 2026.4.1 float32``."""
        if self.name == TORCH:
            return f"{self.name} {self.precision}"
        from alcli.engine.compilation import release

        return f"{release()} {self.precision}"

    def network(self, network: nn.Module, names: frozenset[str] = frozenset()) -> nn.Module:
        """The network as this backend computes it, for these signals."""
        if self.name == TORCH:
            return network
        from alcli.engine.compilation import Plan, compile_network

        plan = Plan.of(network, self.shape_hw, self.options.batch_size, self.precision, names)
        key = (id(network), plan.whole)
        if key not in self._compiled:
            self._compiled[key] = compile_network(network, plan, self.folder)
        return self._compiled[key]

    def network_or_itself(self, network: nn.Module, names: frozenset[str] = frozenset()) -> nn.Module:
        """The same; a network that cannot be compiled although its like could stays torch's."""
        from alcli.engine.compilation import NotCompiled

        try:
            return self.network(network, names)
        except NotCompiled:
            return network


def choose_backend(options: ScoreOptions, images: int) -> Choice:
    """The backend for a workspace of so many images.

    Raises:
        UsageError: OpenVINO is wanted and not installed.
    """
    from alcli.engine import compilation
    from alcli.engine.device import device

    if options.backend == TORCH:
        return Choice(TORCH, "score.backend says so")
    if options.engine == RAY:
        if options.backend == OPENVINO:
            raise UsageError(
                "score.backend = 'openvino' needs another score.engine: the nodes of a Ray cluster compute by torch.",
                do="Set score.backend to auto, or score.engine to local or shards.",
            )
        return Choice(TORCH, "the nodes of a cluster compute by torch")
    if not compilation.is_installed():
        if options.backend == OPENVINO:
            raise UsageError(
                "score.backend = 'openvino' needs a package that is not installed.",
                do="Install it: pip install 'alcli[fast]'. Or set score.backend to auto.",
            )
        return Choice(TORCH, "openvino is not installed: pip install 'alcli[fast]'")
    if device().type != "cpu":
        return Choice(TORCH, "a GPU computes")
    if options.backend == OPENVINO:
        return Choice(OPENVINO, "score.backend says so")
    if images < LONG_ENOUGH:
        return Choice(TORCH, f"{quantity(images, 'image')}: a conversion for openvino pays from {LONG_ENOUGH:,} on")
    return Choice(OPENVINO, f"{quantity(images, 'image')} pay for the conversion")


def settle_backend(context: Context) -> Context:
    """The context with ``score.backend = auto`` replaced; it depends on nothing that changes within a cycle."""
    options = context.config.score
    choice = choose_backend(options, len(context.workspace.store.pool().items) if options.backend == AUTO else 0)
    if choice.name == options.backend:
        return context
    return context.with_settings(score=options.model_copy(update={"backend": choice.name}))


def open_backend(context: Context, task: Task, model: nn.Module, loss_head: LossHead) -> Backend:
    """Settle who computes a network: OpenVINO only if it converts the network, and ranks images as torch does.

    With ``score.precision = auto`` OpenVINO computes in bfloat16 if that ranks 200 images as float32 does (Spearman ≥
    0.999). What was measured is kept beside the conversion. Whatever fails is said once, and torch computes.
    """
    from alcli.engine.compilation import NotCompiled
    from alcli.engine.device import name_precision

    options = settle_backend(context).config.score
    folder = context.workspace.root / "cache" / FOLDER
    torchs = Backend(TORCH, name_precision(options.precision), options, folder, task.input_shape)
    if options.backend == TORCH:
        return torchs
    try:
        return _Comparison(context, task, model, loss_head, folder).settle()
    except NotCompiled as error:
        _say_once(context, f"OpenVINO cannot compute {task.model_name} ({error}): torch does.")
    except _Differs as difference:
        _say_once(context, f"OpenVINO is refused, torch computes: {difference}.")
    return torchs


class _Differs(Exception):
    """A backend ranks otherwise; the message has the numbers."""


@dataclass(frozen=True)
class _Comparison:
    """OpenVINO's signals beside torch's, and in both precisions."""

    context: Context
    task: Task
    model: nn.Module
    loss_head: LossHead
    folder: Path

    def settle(self) -> Backend:
        """The backend that may be used; raises _Differs or NotCompiled."""
        from alcli.engine.compilation import read_facts, write_facts
        from alcli.engine.device import has_bfloat16

        full, half = self._backend(FLOAT32), self._backend(BFLOAT16)
        full.network(self.model)
        facts = before = read_facts(self.model, self.folder)
        wanted = self.context.config.score.precision
        if FLOAT32 not in facts:
            torchs = Backend(TORCH, FLOAT32, full.options, self.folder, self.task.input_shape)
            facts = {**facts, FLOAT32: self._compare(torchs, full, COMPARED)}
        tries_half = wanted == AUTO and has_bfloat16()
        if tries_half and BFLOAT16 not in facts:
            facts = {**facts, BFLOAT16: self._compare(full, half, CHECKED)}
        if facts != before:
            write_facts(self.model, self.folder, facts)
        if facts[FLOAT32].get("differs"):
            raise _Differs(f"its ranking against torch's, {_in_words(facts[FLOAT32])}")
        if tries_half:
            use = facts[BFLOAT16]["images"] >= FEWEST and not facts[BFLOAT16]["differs"]
            chosen, measured = BFLOAT16 if use else FLOAT32, _in_words(facts[BFLOAT16])
            self.context.progress.detail(f"OpenVINO computes in {chosen}: bfloat16 against float32, {measured}.")
            return half if use else full
        return half if wanted == BFLOAT16 else full

    def _backend(self, precision: str) -> Backend:
        # What torch computes of the outputs stays in float32.
        options = self.context.config.score.model_copy(update={"precision": FLOAT32})
        return Backend(OPENVINO, precision, options, self.folder, self.task.input_shape)

    def _compare(self, one: Backend, other: Backend, most: int) -> dict[str, Any]:
        from alcli.engine.comparison import comparable_signals, compare_signals

        examples = _sample(self.context, most)
        if not examples:
            return {"images": 0, "differs": False}
        names = comparable_signals(self.task)
        models = [backend.network(self.model, names) for backend in (one, other)]
        with self.context.progress.track("Checking OpenVINO", len(examples)) as advance:
            return compare_signals(self.task, models, self.loss_head, examples, one.options, advance)


def _sample(context: Context, most: int) -> Sequence[Example]:
    """Images spread over the whole workspace, the same at each call."""
    from alcli.artifacts.local_images import fetch_images
    from alcli.tasks import Example

    items: list[Item] = list(context.workspace.store.pool().items.values())
    spread = [items[number * len(items) // most] for number in range(most)] if len(items) > most else items
    paths, _ = fetch_images(context, spread)
    return [Example(item, paths[item.id]) for item in spread if item.id in paths]


def _in_words(facts: dict[str, Any]) -> str:
    if "spearman" not in facts:
        return "there were no images to compare"
    return f"Spearman {facts['spearman']:.4f} of {facts['signal']} on {quantity(facts['images'], 'image')}"


def _say_once(context: Context, text: str) -> None:
    if (context.workspace.root, text) not in SAID:
        SAID.add((context.workspace.root, text))
        context.progress.say(text)
