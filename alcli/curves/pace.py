"""How long annotators work on an image: from the settings, as measured on a platform, or as is usual for a task."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from alcli.annotations import Annotation, object_counts
from alcli.config import CostOptions
from alcli.system.text import quantity

SETTINGS, MEASURED, TYPICAL = "settings", "measured", "typical"
FEWEST = 10
"""Measured images that seconds are estimated from; with fewer, the usual ones of the task count."""
LONGEST = 8 * 3600.0
"""Seconds that one image can take, a working day; a longer time says that a browser was left open."""
IDLE = 5.0
"""Times what is usual for its number of objects; an image that took longer was not worked on throughout."""
FEWEST_APART = 5
"""Images whose number of objects is not the most frequent one; with fewer, an object's share of the time is unknown."""


@dataclass(frozen=True)
class Usual:
    """Seconds that an object of one kind usually takes, from publications."""

    seconds: float
    kind: str
    source: str


USUAL = {
    "detection": Usual(
        26.5,
        "box",
        "professional annotators, end to end; crowd workers need 34.5 to 42.4 s (Su, Deng & Fei-Fei, HCOMP 2012)",
    ),
    "segmentation": Usual(79.2, "outline", "COCO: 22 hours for 1,000 outlines (Lin et al., ECCV 2014)"),
}
"""By task. For other tasks no usual time is known: a label takes from one second to minutes."""


@dataclass(frozen=True)
class Pace:
    """Seconds of work on an image with n objects: ``per_image`` + n · ``per_object``.

    Attributes:
        per_object: None if the measured images do not tell an object's share.
        source: settings, measured or typical.
        images: measured images that the seconds are estimated from, or that are too few for it.
        idle: measured images that were left out, because nobody worked on them all the time.
        usual: what the seconds are taken from if they are typical.
    """

    per_image: float
    per_object: float | None
    source: str
    images: int = 0
    idle: int = 0
    usual: Usual | None = None

    def seconds(self, objects: float) -> float:
        """For an image with that many objects."""
        return self.per_image + (self.per_object or 0.0) * objects

    @property
    def in_short(self) -> str:
        """Behind a number of hours, with a space in front; empty if the user has set the seconds."""
        if self.source == MEASURED:
            return f" at the pace of {quantity(self.images, 'image')}"
        return f" at {self.usual.seconds:g} s {_a(self.usual.kind)}" if self.usual else ""

    @property
    def in_words(self) -> str:
        """One sentence: the seconds, and where they come from."""
        if self.usual:
            timed = "no image has" if not self.images else f"only {quantity(self.images, 'image')} {_have(self.images)}"
            return (
                f"Hours assume {self.usual.seconds:g} s {_a(self.usual.kind)} ({self.usual.source}): {timed} "
                f"a measured time, {FEWEST} are needed. Set your own: cost.seconds_per_item, cost.seconds_per_object."
            )
        each = f" and {self.per_object:.1f} s an object" if self.per_object is not None else ""
        text = f"Hours assume {self.per_image:.1f} s an image{each}, "
        if self.source == SETTINGS:
            return f"{text}as set (cost.seconds_per_item, cost.seconds_per_object)."
        idle = f"; {self.idle} more with idle time left out" if self.idle else ""
        return f"{text}measured on {quantity(self.images, 'image')}{idle}."


def pace_of(newest: Sequence[Annotation], cost: CostOptions, task: str) -> Pace | None:
    """The seconds that the settings name, else those measured, else the usual ones; None if none of them is known.

    Args:
        newest: annotations; their ``seconds`` are the measurements.
    """
    if cost.seconds_per_item is not None or cost.seconds_per_object is not None:
        return Pace(cost.seconds_per_item or 0.0, cost.seconds_per_object or 0.0, SETTINGS)
    measured = measure_pace([(sum(object_counts([each]).values()), each.seconds) for each in newest])
    if measured.images >= FEWEST:
        return measured
    usual = USUAL.get(task)
    return Pace(0.0, usual.seconds, TYPICAL, measured.images, measured.idle, usual) if usual else None


def measure_pace(images: Sequence[tuple[int, float | None]]) -> Pace:
    """Estimate the seconds per image and per object.

    The median slope over all pairs of images with different numbers of objects is an object's share, and the median of
    what remains is the image's (Theil and Sen): up to a quarter of the times may be arbitrarily wrong. Images that took
    more than ``IDLE`` times the result are then left out, and the rest is estimated again.

    Args:
        images: number of objects and seconds of each; absent, negative and infinite seconds, NaN and those above
            ``LONGEST`` are skipped, the last ones as idle.

    Returns:
        The pace; with fewer than ``FEWEST`` images its seconds mean nothing.
    """
    times = [(count, seconds) for count, seconds in images if seconds is not None and 0 < seconds < np.inf]
    usable = np.array([pair for pair in times if pair[1] <= LONGEST], dtype=np.float64).reshape(-1, 2)
    left_out = len(times) - len(usable)
    if len(usable) < FEWEST:
        return Pace(0.0, None, MEASURED, len(usable), left_out)
    per_image, per_object = _estimate(usable)
    kept = usable[usable[:, 1] <= IDLE * (per_image + (per_object or 0.0) * usable[:, 0])]
    left_out += len(usable) - len(kept)
    if FEWEST <= len(kept) < len(usable):
        per_image, per_object = _estimate(kept)
    return Pace(per_image, per_object, MEASURED, len(kept), left_out)


def _estimate(images: np.ndarray) -> tuple[float, float | None]:
    """Seconds per image and per object of (images, 2) numbers of objects and seconds."""
    counts, seconds = images.T
    most_frequent = Counter(counts.tolist()).most_common(1)[0][1]
    if len(counts) - most_frequent < FEWEST_APART:
        return float(np.median(seconds)), None
    first, second = np.triu_indices(len(counts), k=1)
    apart = counts[first] != counts[second]
    first, second = first[apart], second[apart]
    per_object = max(float(np.median((seconds[second] - seconds[first]) / (counts[second] - counts[first]))), 0.0)
    per_image = float(np.median(seconds - per_object * counts))
    if per_image < 0:
        drawn = counts > 0
        return 0.0, float(np.median(seconds[drawn] / counts[drawn]))
    return per_image, per_object


def _a(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def _have(count: int) -> str:
    return "has" if count == 1 else "have"
