"""The report of a cycle: plain facts, pictures and charts, and the page that shows them; no workspace, no model."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from alcli.curves.classes import ClassNumbers
from alcli.curves.history import CycleFacts
from alcli.items import Refusal
from alcli.review.retrospective import Retrospective

if TYPE_CHECKING:
    from alcli.report.pictures import Picture


@dataclass(frozen=True)
class Neighbour:
    """The annotated image whose features lie nearest."""

    name: str
    picture: Picture | None


@dataclass(frozen=True)
class Card:
    """One image of the gallery.

    Attributes:
        percentile: share of the other items that come later in the list, in percent.
        predicted: what the model sees, in words. classes: their names.
        kind: of reason, in a few words.
        picture: None when the image cannot be read now; ``missing`` then says why.
        state: what has become of the item since the list was made.
    """

    rank: int
    name: str
    folder: str
    percentile: float
    reason: str
    predicted: str
    picture: Picture | None
    missing: str = ""
    nearest: Neighbour | None = None
    state: str = ""
    classes: Sequence[str] = ()
    kind: str = ""


@dataclass(frozen=True)
class Doubt:
    """An annotation to look at again: what a person said, drawn in, and what the model sees."""

    name: str
    excess: float
    kind: str
    detail: str
    annotated: str
    predicted: str
    picture: Picture | None


@dataclass(frozen=True)
class ClassRow:
    """Shares of one class in [0, 1], where known: of the annotated objects, in the pool, among what is asked for."""

    name: str
    labeled: int
    labeled_share: float
    pool_share: float | None
    asked_share: float | None
    rare: bool


@dataclass(frozen=True)
class Facts:
    """Everything that the page says.

    Attributes:
        asked: how many images the cycle asks for; the gallery may show fewer. again: annotations to look at again,
            which stand among them. controls: images asked for that were drawn at random.
        doubts: the most suspicious annotations. doubted: how many there are. credible: whether the model may doubt any.
        classes: the numbers of each class. rare: those in few images. confusions: (true class, predicted class,
            images), the classes as indices.
        shared: reasons that most of the images asked for have. drawn: whether anything is drawn into the pictures.
        simulated: the gain over random order, from a simulation. running: what another run is doing now.
        put_off: near-duplicates, and images of groups that have their share.
        cycles: all, oldest first.
        settings: ``section.key`` → value of the cycle. versions: package → version.
    """

    title: str
    cycle: int
    made: str
    cards: Sequence[Card]
    contrast: Sequence[Card]
    asked: int
    ranked: int
    pool: Mapping[str, int]
    cycles: Sequence[CycleFacts]
    balance: Sequence[ClassRow]
    retrospectives: Sequence[Retrospective]
    quarantined: Sequence[Refusal]
    doubts: Sequence[Doubt]
    doubted: int
    settings: Mapping[str, str]
    versions: Mapping[str, str]
    classes: Sequence[ClassNumbers] = ()
    rare: Collection[str] = ()
    confusions: Sequence[tuple[int, int, int]] = ()
    shared: Sequence[str] = ()
    drawn: bool = False
    credible: bool = True
    simulated: str = ""
    running: str = ""
    put_off: int = 0
    again: int = 0
    controls: int = 0
    cold_start: str = ""
    colors: Mapping[str, str] = field(default_factory=dict)
