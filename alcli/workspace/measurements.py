"""How good a model is, as it is recorded: its measurement, and why it did not rank."""

from __future__ import annotations

from dataclasses import dataclass, field

PLAIN, STRATIFIED = "plain", "stratified"
"""Measuring methods: a plain mean over the held-out images, or one in which each has a weight."""


@dataclass(frozen=True)
class Measurement:
    """What a model achieves on all images that it was not trained on, estimated from the held-out ones.

    Attributes:
        method: stratified where the held-out images are weighted by the pool's strata; plain where they cannot be; ""
            for a mean over the held-out images that nobody has tried to weight.
        images: held-out images. effective_images: images of equal weight that would be as many.
        metrics: the headline first. interval: of the headline, 90 %.
    """

    method: str = ""
    images: int = 0
    effective_images: float = 0.0
    metrics: dict[str, float] = field(default_factory=dict)
    interval: tuple[float, float] | None = None


@dataclass(frozen=True)
class SameImages:
    """The main metric of a new model and the one before it on the same held-out images, and the p value of a loss."""

    images: int
    new: float
    before: float
    p: float


@dataclass(frozen=True)
class Collapse:
    """A new model that is clearly worse than the one before it, which therefore ranked in its place.

    Attributes:
        cycle: of the new model's training. model_sha256: of its file. measurement: of it.
        kept: the cycle of the training whose model ranked. before: the measurement of that model.
        differences: of the settings of both trainings, as in "train.epochs 40 → 3".
        same_images: where only these show that it is worse, because the intervals of both measurements overlap.
    """

    cycle: int
    model_sha256: str | None
    measurement: Measurement
    kept: int
    before: Measurement
    differences: tuple[str, ...] = ()
    same_images: SameImages | None = None


@dataclass(frozen=True)
class Reliance:
    """How far uncertainties follow the model's errors on held-out images.

    Attributes:
        images: held-out images whose uncertainty and true loss are known.
        correlations: Spearman's with the true loss, by uncertainty; one that is the same for all images has none.
        trust: by uncertainty, in [0, 1]; 0.95 with too few images.
        weighs: the uncertainty that the strategy weighs images by, if it reads the trust.
        sums: whether that is a sum over the objects that the model sees, so that its correlation does not count.
    """

    images: int = 0
    correlations: dict[str, float] = field(default_factory=dict)
    trust: dict[str, float] = field(default_factory=dict)
    weighs: str = ""
    sums: bool = False
