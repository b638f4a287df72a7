"""From probabilities to one number an image: how uncertain a model is, about one thing and about all in an image."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from alcli.config import TaskOptions

EMBEDDING_WIDTH = 256
SEED = 20190616
"""Of the random projection and of the dropped channels: the same in every run, so that runs can be compared."""


def entropy(probabilities: Tensor) -> Tensor:
    """(…, classes) → (…) in nats: −Σ p log p (Shannon 1948)."""
    return torch.special.entr(probabilities).sum(dim=-1)


def margin(probabilities: Tensor) -> Tensor:
    """(…, classes) → (…) in [0, 1]: 1 − (largest − second largest), so that high means uncertain (Scheffer 2001)."""
    if probabilities.shape[-1] == 1:
        return torch.zeros_like(probabilities[..., 0])
    top = probabilities.topk(2, dim=-1).values
    return 1 - (top[..., 0] - top[..., 1])


def least_confidence(probabilities: Tensor) -> Tensor:
    """(…, classes) → (…) in [0, 1): 1 − largest (Lewis & Gale 1994)."""
    return 1 - probabilities.amax(dim=-1)


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
        "expected_objects",
        "mutual_information",
        "output_discrepancy",
    }
)
"""What every task of alcli gives."""


def aggregated(parts: Sequence[Tensor], expected: Tensor, options: TaskOptions) -> Tensor:
    """One number an image from the uncertainties of its boxes, joints or pixels.

    Args:
        parts: of each image a (k,) tensor; k = 0 gives 0.
        expected: (batch,) expected objects. Crowded images win a sum; dividing by a power of them takes the crowd out.
        options: ``aggregate`` mean, sum, max or top-k (mean of the ``top_k`` largest), ``count_power``.
    """
    numbers = torch.stack([_aggregated(part, options) for part in parts])
    return numbers / expected.clamp(min=1) ** options.count_power


def _aggregated(part: Tensor, options: TaskOptions) -> Tensor:
    if len(part) == 0:
        return part.new_zeros(())
    if options.aggregate == "top-k":
        return part.topk(min(options.top_k, len(part)), sorted=False).values.mean()
    whole: Tensor = getattr(part, options.aggregate)()
    return whole


def thinned(deep: Sequence[Tensor], options: TaskOptions) -> Iterator[list[Tensor]]:
    """The inputs of the last layer with random channels dropped, once for each of ``options.dropout_passes``.

    Every image meets the same thinned networks (consistent dropout; Kirsch et al., "BatchBALD", NeurIPS 2019), so that
    neither the batch size nor the order changes a result.
    """
    random = torch.Generator().manual_seed(SEED)
    for _ in range(options.dropout_passes):
        masks = [torch.rand(part.shape[1], generator=random) >= options.dropout for part in deep]
        shaped = zip(deep, masks, strict=True)
        yield [
            part * (mask.to(part) / (1 - options.dropout)).view(1, -1, *[1] * (part.dim() - 2)) for part, mask in shaped
        ]


def mutual_information(passes: Iterator[Tensor]) -> Tensor:
    """BALD: H(mean p) − mean H(p) over thinned networks (Houlsby et al. 2011; Gal et al., ICML 2017).

    Args:
        passes: (…, classes) probabilities of each network.

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
    """(…, classes) twice → (…) in [0, 1]: ½‖p − q‖² (Huang et al., "Temporal Output Discrepancy", ICCV 2021)."""
    return (now - before).square().sum(dim=-1) / 2


def embedding(vectors: Tensor) -> Tensor:
    """(batch, d) → (batch, min(d, 256)) float16: a Gaussian projection, fixed by seed, where there are more than 256.

    Distances survive up to a few percent (Johnson & Lindenstrauss 1984).
    """
    width = vectors.shape[1]
    if width > EMBEDDING_WIDTH:
        random = torch.Generator().manual_seed(SEED)
        projection = torch.randn(width, EMBEDDING_WIDTH, generator=random) / EMBEDDING_WIDTH**0.5
        with torch.autocast(vectors.device.type, enabled=False):
            vectors = vectors.float() @ projection.to(vectors.device)
    return vectors.clamp(-65504, 65504).half()
