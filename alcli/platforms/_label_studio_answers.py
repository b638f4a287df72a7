"""Which of a task's annotations counts, when several people have annotated it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from alcli.errors import DataError, UsageError
from alcli.formats.label_studio import working_seconds

NEWEST, MAJORITY = "newest", "majority"
Document = Mapping[str, Any]


@dataclass(frozen=True)
class Answer:
    """One person's annotation of a task.

    Attributes:
        results: those of the controls that count.
        seconds: how long the person worked on it; None if it is not known.
    """

    results: Sequence[Any]
    seconds: float | None


def choose_annotation(
    documents: Sequence[Document], controls: Collection[str], rule: str, people: Mapping[str, int]
) -> Answer:
    """Choose the annotation that counts; one that is marked as ground truth counts before all others.

    Args:
        documents: the annotations as the server has them; those of people who skipped the task do not count.
        controls: names of the controls whose results count.
        rule: newest, majority, or a person's email.
        people: the numbers of people by email, for a rule that names one.

    Raises:
        DataError: nobody has annotated it, the named person has not, or no majority agrees.
        UsageError: the named person does not exist.
    """
    given = [each for each in documents if not each.get("was_cancelled")]
    given = [each for each in given if each.get("ground_truth")] or given
    if "@" in rule:
        if rule not in people:
            raise UsageError(f"Label Studio has no user {rule}.", do=f"It has {', '.join(sorted(people))}.")
        given = [each for each in given if _person(each) == people[rule]]
    if not given:
        who = rule if "@" in rule else "nobody"
        raise DataError(f"its annotation was withdrawn, or {who} is not among its annotators")
    given = sorted(given, key=lambda each: (str(each.get("updated_at") or ""), int(each.get("id") or 0)))
    chosen = _majority(given, controls) if rule == MAJORITY else given[-1]
    return Answer(_results(chosen, controls), working_seconds(chosen))


def _majority(given: Sequence[Document], controls: Collection[str]) -> Document:
    """The newest of the annotations that more than half of the people agree on."""
    keys = [_choices(each, controls) for each in given]
    key, votes = Counter(keys).most_common(1)[0]
    if 2 * votes <= len(given):
        raise DataError(f"its {len(given)} annotators do not agree: no choice has a majority")
    return max(zip(keys, given, strict=True), key=lambda pair: pair[0] == key)[1]


def _choices(document: Document, controls: Collection[str]) -> str:
    """The choices of an annotation, as text that is equal for equal choices; shapes are never equal."""
    values = [result["value"].get("choices") for result in _results(document, controls)]
    if any(not isinstance(value, list) for value in values):
        raise DataError("a majority needs choices; boxes and other shapes have none")
    return json.dumps(sorted(str(choice) for value in values for choice in value))


def _results(document: Document, controls: Collection[str]) -> list[Any]:
    results = document.get("result")
    return [
        result
        for result in (results if isinstance(results, list) else [])
        if not isinstance(result, dict) or result.get("from_name") in controls
    ]


def _person(document: Document) -> int | None:
    """The number of the annotator; exports may hold the whole person."""
    by = document.get("completed_by")
    number = by.get("id") if isinstance(by, dict) else by
    return number if isinstance(number, int) else None
