"""Uncertainty measures of one prediction, and their aggregation to one number per image."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from alcli.config import TaskOptions
from alcli.signals import UNKNOWN

EMBEDDING_WIDTH = 256
SEED = 20190616
"""Of the random projection and of dropout; constant, so that runs are comparable."""


def entropy(probabilities: Tensor) -> Tensor:
    """−Σ p log p: (…, classes) → (…) in nats (Shannon 1948)."""
    return torch.special.entr(probabilities).sum(dim=-1)


def margin(probabilities: Tensor) -> Tensor:
    """1 − (largest − second largest): (…, classes) → (…) in [0, 1]; high = uncertain (Scheffer 2001)."""
    if probabilities.shape[-1] == 1:
        return torch.zeros_like(probabilities[..., 0])
    top = probabilities.topk(2, dim=-1).values
    return 1 - (top[..., 0] - top[..., 1])


def least_confidence(probabilities: Tensor) -> Tensor:
    """1 − largest: (…, classes) → (…) in [0, 1) (Lewis & Gale 1994)."""
    return 1 - probabilities.amax(dim=-1)


def class_uncertainty(probabilities: Tensor) -> Tensor:
    """Share each distribution's entropy among its classes: (…, classes) → (…, classes) in nats."""
    return entropy(probabilities).unsqueeze(-1) * probabilities


UNCERTAINTIES: dict[str, Callable[[Tensor], Tensor]] = {
    "entropy": entropy,
    "margin": margin,
    "least_confidence": least_confidence,
}


SIGNALS = frozenset(
    {
        "predicted_loss",
        *UNCERTAINTIES,
        "embedding",
        "class_scores",
        "class_uncertainty",
        "expected_objects",
        "mutual_information",
        "output_discrepancy",
    }
)
"""Signals that every task of alcli provides."""


def aggregate(parts: Sequence[Tensor], expected: Tensor, options: TaskOptions) -> Tensor:
    """Aggregate the uncertainties of each image's boxes, joints or pixels to one number: (batch,).

    Args:
        parts: one (k,) tensor per image; k = 0 gives ``signals.UNKNOWN``.
        expected: (batch,) expected objects; the result is divided by ``expected ** count_power``, because sums
            favor crowded images.
        options: ``aggregate`` mean, sum, max or top-k (mean of the ``top_k`` largest), ``count_power``.
    """
    numbers = torch.stack([_aggregate_image(part, options) for part in parts])  # (batch,)
    return numbers / expected.clamp(min=1) ** options.count_power


def _aggregate_image(part: Tensor, options: TaskOptions) -> Tensor:
    if len(part) == 0:
        return part.new_full((), UNKNOWN)
    if options.aggregate == "top-k":
        return part.topk(min(options.top_k, len(part)), sorted=False).values.mean()
    number: Tensor = getattr(part, options.aggregate)()
    return number


def dropout_samples(deep: Sequence[Tensor], options: TaskOptions) -> Iterator[list[Tensor]]:
    """Drop random channels of the last layer's inputs, ``options.dropout_passes`` times.

    All images share the same masks (consistent dropout; Kirsch et al., "BatchBALD", NeurIPS 2019), so that results
    depend neither on the batch size nor on the order.
    """
    random = torch.Generator().manual_seed(SEED)
    for _ in range(options.dropout_passes):
        masks = [torch.rand(part.shape[1], generator=random) >= options.dropout for part in deep]
        yield [
            part * (mask.to(part) / (1 - options.dropout)).view(1, -1, *[1] * (part.dim() - 2))  # (1, channels, 1, 1)
            for part, mask in zip(deep, masks, strict=True)
        ]


def mutual_information(passes: Iterator[Tensor]) -> Tensor:
    """BALD: H(mean p) − mean H(p) over dropout samples (Houlsby et al. 2011; Gal et al., ICML 2017).

    Args:
        passes: (…, classes) probabilities of each sample.

    Returns:
        (…) in nats, ≥ 0.
    """
    count, mean, entropies = 0, torch.zeros(()), torch.zeros(())
    for probabilities in passes:
        count += 1
        mean = mean.to(probabilities) + probabilities
        entropies = entropies.to(probabilities) + entropy(probabilities)
    return (entropy(mean / count) - entropies / count).clamp(min=0)


def discrepancy(now: Tensor, before: Tensor) -> Tensor:
    """½‖p − q‖²: two (…, classes) → (…) in [0, 1] (Huang et al., "Temporal Output Discrepancy", ICCV 2021)."""
    return (now - before).square().sum(dim=-1) / 2


def embedding(vectors: Tensor) -> Tensor:
    """Project to at most 256 dimensions by a fixed Gaussian matrix: (batch, d) → (batch, min(d, 256)) float16.

    Distances change by a few percent at most (Johnson & Lindenstrauss 1984).
    """
    width = vectors.shape[1]
    if width > EMBEDDING_WIDTH:
        random = torch.Generator().manual_seed(SEED)
        projection = torch.randn(width, EMBEDDING_WIDTH, generator=random) / EMBEDDING_WIDTH**0.5
        with torch.autocast(vectors.device.type, enabled=False):
            vectors = vectors.float() @ projection.to(vectors.device)
    return vectors.clamp(-65504, 65504).half()
