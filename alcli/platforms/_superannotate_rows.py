"""One item as SuperAnnotate lists it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from alcli.items import Refusal


@dataclass(frozen=True)
class Row:
    """One item as the service lists it.

    Attributes:
        status: the name of its status, "" when it is not in the project's workflow.
        priority: orders the queue; None if it is not set.
        url: the address of the image, "" for uploaded images.
        assignees: ids of the assigned users, sorted.
    """

    id: int
    name: str
    folder: str
    status: str
    priority: float | None
    url: str
    assignees: tuple[str, ...]
    created: str
    updated: str


def item_key(content: dict[str, Any]) -> str:
    """What tells an item from the others of its folder: its id, or its name where the service sends no id."""
    item_id = content.get("id")
    return f"name {content.get('name')!r}" if item_id is None else str(item_id)


def describe_refusal(folder: str, content: dict[str, Any], error: Exception) -> Refusal:
    """Why an item of the listing cannot be used."""
    name = str(content.get("name") or "an item without a name")
    item_id = content.get("id")
    reason = "the service lists it without an id" if item_id is None else f"the service describes it wrongly: {error}"
    return Refusal(f"{folder}/{name}" if item_id is None else str(item_id), name, reason)


def read_row(folder: str, content: dict[str, Any], statuses: dict[int, str], uploaded: bool) -> Row:
    """The item; raises TypeError, ValueError or KeyError for a description that is not one."""
    assignees = sorted(str(person.get("user_id", "")) for person in content.get("assignments") or ())
    url = "" if uploaded else (content.get("metadata") or {}).get("path") or content.get("url") or ""
    priority = content.get("entropy_value")
    if priority is not None and not math.isfinite(priority):
        raise ValueError(f"the priority of item {content['id']} is {priority}")
    return Row(
        id=int(content["id"]),
        name=str(content.get("name") or ""),
        folder=folder,
        status=statuses.get(content.get("annotation_status"), ""),  # type: ignore[arg-type]
        priority=priority,
        url=str(url),
        assignees=tuple(assignees),
        created=str(content.get("createdAt") or ""),
        updated=str(content.get("updatedAt") or ""),
    )
