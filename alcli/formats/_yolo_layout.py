"""What the columns of YOLO rows mean where no description says it: judged by the values of all rows of a folder."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from alcli.errors import DataError
from alcli.formats._class_lists import split_line
from alcli.formats._files import ONE_IMAGE, read_text

BOX = 4
"""Values of a box: x and y of the center, width, height."""
FIRST, LAST = "first", "last"
SLACK = 0.02
"""By how much a box may leave the image before its columns are in doubt."""
CLEAR = 20
"""Contradictions of one reading for each contradiction of the other one, from which on there is no doubt."""
FEWEST_MARKS = 4
"""From here on, values of only 0, 1 and 2 at every third position are visibilities, not coordinates by chance."""
FEWEST_ROWS = 20
"""Rows of one length that all fit a box with joints inside, from which on they are no polygons by chance."""
OUTLINE = 8
"""Values of a turned box, which always has the same number of values, as joints have."""
VISIBILITIES = frozenset({0.0, 1.0, 2.0})
MOST_SAMPLED = 20


@dataclass(frozen=True)
class Layout:
    """How rows are read.

    Attributes:
        confidence: where the confidence of a box of five values is: ``first``, ``last``, or empty if nobody can know.
        in_doubt: there are such rows, and nobody can know.
        joints: number of joints after the box; 0: further values are a polygon.
        dimensions: values per joint, 2 or 3.
        problem: why rows of joints cannot be read; empty if they can.
    """

    confidence: str = ""
    in_doubt: bool = False
    joints: int = 0
    dimensions: int = 0
    problem: str = ""

    @property
    def joint_names(self) -> list[str]:
        """Names of the joints, which nobody has named."""
        return unnamed_joints(self.joints)


@dataclass
class LongRows:
    """Rows with one number of values, more than a box and a confidence.

    Attributes:
        length: their number of values.
        rows: how many there are.
        visible: positions at which a visibility would be 2; a coordinate of 2 lies outside the image.
        marked: positions at which a visibility would be 1 or 2.
        not_visibilities: rows with another value at such a position.
        not_inside: rows that are no box with points of two values inside.
    """

    length: int
    rows: int = 0
    visible: int = 0
    marked: int = 0
    not_visibilities: int = 0
    not_inside: int = 0

    def add(self, values: Sequence[float]) -> None:
        """Add one row."""
        self.rows += 1
        marks = values[BOX + 2 :: 3]
        if (self.length - BOX) % 3 or not VISIBILITIES.issuperset(marks):
            self.not_visibilities += 1
        else:
            self.visible += marks.count(2.0)
            self.marked += marks.count(1.0) + marks.count(2.0)
        self.not_inside += not _fits(values)

    def joints(self, posed: bool) -> tuple[int, int]:
        """(number of joints, values per joint), or zeros in doubt and for polygons.

        Args:
            posed: they are certainly no polygons.
        """
        rest = self.length - BOX
        if CLEAR * self.not_visibilities <= self.rows:
            certain = self.visible or (self.marked and (rest // 3) * self.rows >= FEWEST_MARKS)
            return (rest // 3, 3) if certain else (0, 0)
        if rest % 2 or self.visible:
            return 0, 0
        if posed or (self.length > OUTLINE and self.rows >= FEWEST_ROWS and not self.not_inside):
            return rest // 2, 2
        return 0, 0


@dataclass
class Evidence:
    """What the rows of a folder say for and against each reading.

    Attributes:
        five: rows of five values.
        first_wrong, last_wrong: those of them that contradict a confidence in the first or last column.
        longer: the longer rows, by their number of values.
    """

    five: int = 0
    first_wrong: int = 0
    last_wrong: int = 0
    longer: dict[int, LongRows] = field(default_factory=dict)

    def add(self, values: Sequence[float]) -> None:
        """Add the values of one row, without its class."""
        if len(values) == BOX + 1:
            self.five += 1
            self.first_wrong += not (0 <= values[0] <= 1 and is_box(values[1:]))
            self.last_wrong += not (_is_confidence(values[BOX]) and is_box(values[:BOX]))
        elif len(values) > BOX + 1:
            self.longer.setdefault(len(values), LongRows(len(values))).add(values)

    def layout(self, task: str) -> Layout:
        """The only reading that the rows leave."""
        few, many = sorted((self.first_wrong, self.last_wrong))
        clear = few != many and CLEAR * few <= many
        confidence = "" if not clear else LAST if self.last_wrong == few else FIRST
        joints, dimensions = self._joints(task == "pose")
        in_doubt = task == "pose" and bool(self.longer) and not dimensions
        return Layout(
            confidence, bool(self.five) and not clear, joints, dimensions, self._problem() if in_doubt else ""
        )

    def _joints(self, posed: bool) -> tuple[int, int]:
        """Those of the commonest number of values, if hardly a row has another one: polygons have any."""
        ordered = sorted(self.longer.values(), key=lambda each: -each.rows)
        if not ordered or CLEAR * sum(each.rows for each in ordered[1:]) > ordered[0].rows:
            return 0, 0
        return ordered[0].joints(posed)

    def _problem(self) -> str:
        lengths = " and ".join(str(length + 1) for length in sorted(self.longer)[:3])
        return f"Rows of {lengths} values do not say how many joints there are, and whether each has 2 values or 3"


def unnamed_joints(count: int) -> list[str]:
    """Names for joints that nobody has named."""
    return [f"joint_{number}" for number in range(1, count + 1)]


def read_layout(paths: Iterable[Path], task: str) -> Layout:
    """The layout of the rows of all these label files; rows that are not numbers count for nothing."""
    evidence = Evidence()
    for values in _rows(paths):
        evidence.add(values)
    return evidence.layout(task)


def needs_layout(paths: Sequence[Path], task: str) -> bool:
    """Whether some of the files, evenly spaced, have rows that only all rows together explain."""
    step = max(len(paths) // MOST_SAMPLED, 1)
    lengths = {len(values) for values in _rows(paths[::step])}
    longer = {length for length in lengths if length > BOX + 1}
    return BOX + 1 in lengths or (bool(longer) if task == "pose" else len(longer) == 1 and max(longer) > OUTLINE)


def looks_posed(values: Sequence[float]) -> bool:
    """Whether this row alone is a box and joints of x, y and visibility rather than a polygon."""
    row = LongRows(len(values))
    row.add(values)
    return not row.not_visibilities and (row.visible > 0 or len(values) >= BOX + 3 * FEWEST_MARKS)


def is_box(values: Sequence[float]) -> bool:
    """Whether four values are the center and the extent of a box in the image."""
    x, y, width, height = values
    return (
        min(width, height) > 0
        and min(x - width / 2, y - height / 2) >= -SLACK
        and max(x + width / 2, y + height / 2) <= 1 + SLACK
    )


def _is_confidence(value: float) -> bool:
    """Whether a last column is a confidence, or the number of a tracked object."""
    return 0 <= value <= 1 or (value > 1 and value.is_integer())


def _fits(values: Sequence[float]) -> bool:
    """Whether this is a box with points of two values inside; (0, 0) is a point that was not marked."""
    if len(values) % 2 or not is_box(values[:BOX]):
        return False
    x, y, width, height = values[:BOX]
    points = zip(values[BOX::2], values[BOX + 1 :: 2], strict=True)
    return all(
        (px == 0 and py == 0) or (abs(px - x) <= width / 2 + SLACK and abs(py - y) <= height / 2 + SLACK)
        for px, py in points
    )


def _rows(paths: Iterable[Path]) -> Iterator[list[float]]:
    for path in paths:
        try:
            lines = read_text(path, ONE_IMAGE).splitlines()
        except DataError:
            continue
        for line in lines:
            try:
                values = [float(word) for word in split_line(line)[1:]]
            except ValueError:
                continue
            yield values
