"""Networks compiled by OpenVINO for scoring on a processor: converted once, kept on disk by a hash, bounded.

Images per CPU second of the forward pass, one thread with AVX512 and AMX, batch 16. SSD-MobileNetV2 at 320 pixels:
torch 17 in float32 and 37 in bfloat16, OpenVINO 57 and 133. MobileNetV2 at 224: 45 and 93, 121 and 295.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import importlib.util
import sys
import tempfile
import warnings
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from alcli.errors import DataError
from alcli.models.graphs import Graph, has_graph, needs_whole_maps, stand_in
from alcli.system.arrays import Arrays, read_arrays, write_arrays
from alcli.system.hashing import sha256_of_text

PACKAGE = "openvino"
KEPT = 4
"""Conversions that stay on disk: this cycle's network, the one before, and each with whole maps."""
FACTS, KEPT_FACTS = "facts-", 32
"""Start of the names of files that say what was measured about a network, and how many of these stay."""
MOST_ROWS = 16
"""Images that are computed at a time, whatever ``score.batch_size`` is: a fixed shape holds memory for all of them."""


class NotCompiled(Exception):
    """A network that OpenVINO cannot compute; the message says why."""


@dataclass(frozen=True)
class Plan:
    """How a network is to be compiled.

    Attributes:
        precision: float32 or bfloat16. rows: images at a time. whole: whether the detector's own maps are needed.
    """

    shape_hw: tuple[int, int]
    rows: int
    precision: str = "float32"
    whole: bool = False

    @classmethod
    def of(
        cls, network: nn.Module, shape_hw: tuple[int, int], batch: int, precision: str, names: frozenset[str]
    ) -> Plan:
        """The plan for these signals of a network."""
        return cls(shape_hw, min(batch, MOST_ROWS), precision, needs_whole_maps(network, names))


def is_installed() -> bool:
    """Whether the package is there; it is not imported."""
    return importlib.util.find_spec(PACKAGE) is not None


def release() -> str:
    """Name and version of the package."""
    return f"{PACKAGE} {importlib.metadata.version(PACKAGE)}"


def compile_network(network: nn.Module, plan: Plan, folder: Path) -> nn.Module:
    """A stand-in for the network whose graph OpenVINO computes, with as many threads as torch.

    What it returns for one batch is overwritten by the next.

    Args:
        folder: where conversions are kept; the oldest go.

    Raises:
        NotCompiled: this network cannot be converted or compiled.
    """
    if not has_graph(network):
        raise NotCompiled(f"alcli converts no {type(network).__name__}")
    network.eval()
    try:
        file = folder / f"{_key(network, plan)}.safetensors"
        converted = _read(file) or _convert(network, plan, file)
        runner = _Runner(converted.arrays, plan)
        return stand_in(network, runner, int(converted.notes["tapped"]), plan.shape_hw).eval()
    except Exception as error:
        # Each library in between has errors of its own, of which none is a reason to stop.
        raise NotCompiled(f"{type(error).__name__}: {str(error).strip().splitlines()[0][:200]}" if str(error) else
                          type(error).__name__) from error  # fmt: skip


def fingerprint(network: nn.Module, without: Collection[str] = ()) -> str:
    """A hash of the network's kind and of every weight but those whose names are given."""
    digest = hashlib.sha256(type(network).__name__.encode())
    for name, tensor in network.state_dict().items():
        if name in without:
            continue
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def read_facts(network: nn.Module, folder: Path) -> dict[str, Any]:
    """What ``write_facts`` has kept about a network; empty where nothing is known."""
    content = _read(_facts_file(network, folder))
    return dict(content.notes) if content else {}


def write_facts(network: nn.Module, folder: Path, facts: dict[str, Any]) -> None:
    """Keep what was measured about a network beside its conversion."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_arrays(_facts_file(network, folder), Arrays({}, facts))


def _facts_file(network: nn.Module, folder: Path) -> Path:
    return folder / f"{FACTS}{sha256_of_text(release(), fingerprint(network))[:32]}.safetensors"


def _key(network: nn.Module, plan: Plan) -> str:
    shape = f"{plan.rows}x{plan.shape_hw[0]}x{plan.shape_hw[1]} {plan.whole}"
    return sha256_of_text(release(), torch.__version__, fingerprint(network), shape)[:32]


def _read(file: Path) -> Arrays | None:
    try:
        content = read_arrays(file)
    except (OSError, DataError):
        return None
    with contextlib.suppress(OSError):
        file.touch()  # the last that goes
    return content


def _convert(network: nn.Module, plan: Plan, file: Path) -> Arrays:
    """Trace the network in torch and translate the trace; kept as OpenVINO's own XML and weights."""
    ov = _openvino()
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    graph = Graph(network, plan.whole).eval()
    images = torch.zeros(plan.rows, 3, *plan.shape_hw, device=next(network.parameters()).device)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # a trace warns of every size that it takes for a constant, as these are
        tapped = graph.tapped(images[:1])
        decoder = TorchScriptPythonDecoder(torch.jit.freeze(torch.jit.trace(graph, images, check_trace=False)))
        frontend = FrontEndManager().load_by_framework("pytorch")
        model = frontend.convert(frontend.load(decoder))
    model.reshape(ov.PartialShape([plan.rows, 3, *plan.shape_hw]))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.xml"
        ov.save_model(model, path, compress_to_fp16=False)
        parts = {name: np.frombuffer(path.with_suffix(f".{name}").read_bytes(), np.uint8) for name in ("xml", "bin")}
    content = Arrays(parts, {"tapped": tapped})
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_arrays(file, content)
    _remove_oldest(file.parent)
    return content


def _remove_oldest(folder: Path) -> None:
    files = sorted(folder.glob("*.safetensors"), key=lambda path: path.stat().st_mtime_ns, reverse=True)
    for prefix, kept in ((FACTS, KEPT_FACTS), ("", KEPT)):
        alike = [path for path in files if path.name.startswith(FACTS) == bool(prefix)]
        for path in alike[kept:]:
            path.unlink(missing_ok=True)


def _openvino() -> Any:
    """The package, without the one that would report its use to its maker at the first import."""
    with _without("openvino_telemetry"):
        import openvino
    return openvino


@contextlib.contextmanager
def _without(name: str) -> Iterator[None]:
    """Let a module look as if it were not installed."""
    before = sys.modules.get(name)
    sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[name]
        if before is not None:
            sys.modules[name] = before


class _Runner:
    """Computes a converted graph, ``rows`` images at a time; a shorter batch is filled up and cut."""

    def __init__(self, parts: Any, plan: Plan) -> None:
        ov = _openvino()
        model = ov.Core().read_model(parts["xml"].tobytes(), ov.Tensor(np.ascontiguousarray(parts["bin"])))
        # The pixels come as they lie in memory, channels last: the first convolution reads them without a copy.
        steps = ov.preprocess.PrePostProcessor(model)
        steps.input().tensor().set_layout(ov.Layout("NHWC"))
        steps.input().model().set_layout(ov.Layout("NCHW"))
        hint, properties = ov.properties.hint, ov.properties
        settings = {
            # Else it takes bfloat16 by itself wherever the processor has it.
            hint.inference_precision: ov.Type.bf16 if plan.precision == "bfloat16" else ov.Type.f32,
            properties.inference_num_threads: torch.get_num_threads(),
            properties.num_streams: 1,
            # Two runs on one machine would be bound to the same cores.
            hint.enable_cpu_pinning: False,
        }
        self._request = ov.Core().compile_model(steps.build(), "CPU", settings).create_infer_request()
        self._rows = plan.rows

    def __call__(self, images: Tensor) -> list[Tensor]:
        """The outputs for (rows, 3, H, W), any number of rows."""
        parts = images.float().split(self._rows)
        if len(parts) == 1:
            return self._infer(parts[0])
        batches = [[output.clone() for output in self._infer(part)] for part in parts]
        return [torch.cat(outputs) for outputs in zip(*batches, strict=True)]

    def _infer(self, images: Tensor) -> list[Tensor]:
        count = len(images)
        lines = images.permute(0, 2, 3, 1)  # (rows, H, W, 3)
        if count < self._rows:
            lines = torch.cat([lines, lines.new_zeros(self._rows - count, *lines.shape[1:])])
        outputs = self._request.infer([lines.contiguous().numpy()], share_inputs=True, share_outputs=True)
        return [torch.from_numpy(output)[:count] for output in outputs.values()]
