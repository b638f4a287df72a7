"""Stand-ins for networks whose convolutions another runtime computes; for inference only.

The network is split in two. Its graph, a function of tensors, goes to the runtime; what a task does with the outputs
(anchors, decoding, suppression, the last layer under dropout) stays torch's. A stand-in puts both together again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from alcli.models.tapped import Tapped

Run = Callable[[Tensor], list[Tensor]]
"""Normalized (rows, 3, H, W) → the graph's outputs; they may be overwritten by the next call."""


class CompiledTapped(Tapped):
    """A ``Tapped`` network whose maps are computed elsewhere; those for the loss head arrive averaged, 1 × 1."""

    def __init__(self, network: Tapped, run: Run, tapped: int) -> None:
        """Args: ``tapped``: how many of the graph's outputs are maps for the loss head."""
        super().__init__()
        self.network, self._run, self._tapped = network, run, tapped
        self.trunk_map, self.predictors = network.trunk_map, network.predictors

    def maps(self, images: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Means (rows, C_i, 1, 1) of the tapped maps, and the last layer's inputs."""
        outputs = self._run(images)
        return outputs[: self._tapped], outputs[self._tapped :]

    def predict(self, deep: list[Tensor]) -> Tensor:
        """The network's own last layer."""
        return self.network.predict(deep)


class CompiledDetector(nn.Module):
    """An SSD whose backbone and head are computed elsewhere; all else is the detector's own.

    Attributes:
        anchors: (anchors, 4) corners in pixels of the network's input.
    """

    def __init__(self, network: nn.Module, run: Run, anchors: Tensor) -> None:
        super().__init__()
        self.network, self.run, self.anchors = network, run, anchors

    def outputs(self, images: Tensor) -> tuple[list[Tensor], Tensor, Tensor]:
        """Source maps, or their means (batch, C_i, 1, 1), and logits and regression as in ``ssd.Outputs``."""
        *features, logits, regression = self.run(images)
        return features, logits, regression

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("network"), name)
