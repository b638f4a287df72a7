"""A Ray cluster: each part is a task, repeated on another node if a worker or a node is lost."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from alcli import __version__
from alcli.artifacts.kit import Kit
from alcli.artifacts.predictor import Part, Predictor
from alcli.artifacts.scoring_pass import Computed, PlannedPart, compute_here, count_images, keep
from alcli.config import trusted
from alcli.context import Context
from alcli.errors import PlatformError, UsageError
from alcli.items import Refusal
from alcli.system.hashing import sha256_of_text
from alcli.workspace.records import BUILTIN

RETRIES = 3
"""Of a task whose worker or node is lost; a part that ends so each time is computed here."""
SECONDS_BETWEEN_LOOKS = 10.0
KEPT = "The parts already computed are kept."


class Ray:
    """Sends the model once, images never: each node reads them at their addresses."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def compute(self, predictor: Predictor, parts: Sequence[PlannedPart], done: int) -> dict[Path, Part]:
        """Compute parts on the cluster; those that no node could finish, here.

        Raises:
            UsageError: Ray is not installed here, or alcli not, or in another version, on a node.
            PlatformError: the cluster does not answer, or a node does not see the images.
        """
        record = predictor.record
        if record.file and record.summary.learner != BUILTIN:
            self._context.progress.say(f"The learner {record.summary.learner} computes nothing: no cluster is used.")
            return compute_here(self._context, predictor, parts, done)
        trusted.check(self._context.config, self._context.workspace.root, "score")
        options = self._context.config.score
        kit = Kit.of(self._context, record, parts[0].names)
        unfinished: dict[Path, Part] = {}
        lost: list[PlannedPart] = []
        with (
            _cluster(options.ray_address, options.processes) as ray,
            self._context.progress.track("Scoring", done + count_images(parts), start=done) as advance,
        ):
            for part, answer in _answers(ray, self._context, kit, parts):
                if answer is None:
                    lost.append(part)
                    continue
                node, computed = answer
                _check_images(part, node, computed)
                if not keep(part, computed):
                    unfinished[part.file] = computed.part
                advance(len(part.items))
        if lost:
            self._context.progress.say(f"{len(lost)} parts were lost {RETRIES + 1} times each: computing them here.")
            done += count_images(parts) - count_images(lost)
            unfinished |= compute_here(self._context, predictor, lost, done)
        return unfinished


Answer = tuple[str, Computed]
"""(name of the node, what it computed)."""


def _answers(
    ray: Any, context: Context, kit: Kit, parts: Sequence[PlannedPart]
) -> Iterator[tuple[PlannedPart, Answer | None]]:
    """Each part with its answer as it comes; None where worker or node were lost again and again."""
    name = sha256_of_text(kit.config.model_dump_json(), *(part.file.name for part in parts), *kit.models)
    kit_place = ray.put(kit)
    task, todo, pending = _make_task(ray), list(reversed(parts)), dict[Any, PlannedPart]()
    while todo or pending:
        resources = ray.cluster_resources()
        wanted = 2 * max(int(resources.get("GPU", 0) or resources.get("CPU", 0)), 1)
        while todo and len(pending) < wanted:
            part = todo.pop()
            # In lists: Ray would unpack bare arguments before the task can say that its node has no alcli.
            place = [ray.put(part)]
            pending[task.remote(__version__, name, [kit_place], place)] = part
        finished, _ = ray.wait(list(pending), timeout=SECONDS_BETWEEN_LOOKS)
        if not finished and not resources.get("CPU"):
            context.progress.say("The cluster has no node left; waiting for one. Ctrl-C stops; what is done is kept.")
        for reference in finished:
            yield pending.pop(reference), _read(ray, reference)


def _read(ray: Any, reference: Any) -> Answer | None:
    lost = (ray.exceptions.WorkerCrashedError, ray.exceptions.NodeDiedError, ray.exceptions.ObjectLostError,
            ray.exceptions.OutOfMemoryError)  # fmt: skip
    try:
        node, kind, value = ray.get(reference)
    except lost:
        return None
    if kind == "done":
        return node, value
    if kind == "refused":
        raise type(value)(f"On the node {node}: {value.what}", kept=KEPT, do=value.do)
    raise UsageError(
        f"The node {node} has {value}, this machine alcli {__version__}.",
        kept=KEPT,
        do=f"Install it there for the Python that Ray uses: pip install 'alcli[ray]=={__version__}'",
    )


def _make_task(ray: Any) -> Any:
    """The task. A function in a function is sent whole, so that it can say what its node lacks."""

    def look(version: str, name: str, kit: list[Any], part: list[Any]) -> tuple[str, str, Any]:
        import socket

        import ray as ray_there

        node = socket.gethostname()
        try:
            import alcli as package
            from alcli.engines import _node
            from alcli.errors import AlcliError as Known
        except ImportError as error:
            return node, "lacks", f"no alcli ({error})"
        if package.__version__ != version:
            return node, "lacks", f"alcli {package.__version__}"
        try:
            return node, "done", _node.compute(name, lambda: ray_there.get(kit[0]), ray_there.get(part[0]))
        except Known as error:
            return node, "refused", error

    gpus = bool(ray.cluster_resources().get("GPU"))
    return ray.remote(num_cpus=1, num_gpus=int(gpus), max_retries=RETRIES)(look)


def _check_images(part: PlannedPart, node: str, computed: Computed) -> None:
    """Raise PlatformError if a node cannot read most of the images: then it does not see them at all."""
    away = [refusal for refusal in (*computed.unfetched, *computed.refused) if _is_away(refusal)]
    if 2 * len(away) > len(part.items):
        raise PlatformError(
            f"The node {node} can read only {len(part.items) - len(away)} of {len(part.items)} images of a part "
            f"({away[0].name}: {away[0].reason}).",
            kept=KEPT,
            do="Every node must see the images under the paths or addresses that this machine knows. Then run the same "
            "command again, or here alone: --set score.engine=local",
        )


def _is_away(refusal: Refusal) -> bool:
    return refusal.transient


@contextlib.contextmanager
def _cluster(address: str, processes: int | None) -> Iterator[Any]:
    """Connect to the cluster, or start one on this machine alone; no usage statistics, no dashboard.

    Args:
        processes: on this machine alone; by default as many as it has cores.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    where = address or os.environ.get("RAY_ADDRESS", "")
    if not where:
        # Its name is about other systems, but it is what keeps every port of a cluster of one machine on 127.0.0.1.
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    try:
        import ray
    except ImportError:
        raise UsageError(
            "score.engine = ray needs Ray, which is not installed.", do="pip install 'alcli[ray]', or engine = shards"
        ) from None
    if ray.is_initialized():
        yield ray
        return
    alone: dict[str, Any] = {} if where else {"include_dashboard": False, "num_cpus": processes}
    try:
        ray.init(address=where or "local", log_to_driver=False, logging_level=logging.ERROR, **alone)
    except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
        first = str(error).strip().partition("\n")[0]
        raise PlatformError(
            f"The Ray cluster {where or 'of this machine'} cannot be used: {first}",
            kept=KEPT,
            do="Is it running, with the same Ray and Python? `ray status` says so.",
        ) from None
    try:
        yield ray
    finally:
        ray.shutdown()
