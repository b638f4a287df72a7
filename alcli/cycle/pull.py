"""Pull: make the workspace's pool what the platform shows now; read only what changed."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from alcli.annotations import Annotation
from alcli.context import Context, StepResult, logged_step
from alcli.errors import DataError
from alcli.items import LABELED, Item, Refusal
from alcli.system.clock import now
from alcli.system.text import quantity
from alcli.workspace.records import Pulled
from alcli.workspace.store import Store


@logged_step
def pull(context: Context, dry_run: bool = False, accept_shrink: bool = False) -> StepResult[Pulled]:
    """List all items, read new and changed annotations, remember both in one transaction.

    Args:
        accept_shrink: accept a listing that has lost half of the known items.

    Raises:
        DataError: the platform has no image at all, or has lost half of the known ones.
        PlatformError: it cannot be reached, or its answer is incomplete.
    """
    store = context.workspace.store
    before = store.pool().items
    listed = list(context.platform.items())
    items = [row for row in listed if isinstance(row, Item)]
    refused = [row for row in listed if isinstance(row, Refusal)]
    if not items:
        raise DataError(
            "The platform has no images.",
            kept="What was pulled before is kept.",
            do="Check platform.images (or the project and folder names) in alcli.toml.",
        )
    if not accept_shrink:
        _check_size(len(items), before)
    unread = _unread(store, items)
    annotations, unreadable = _read(context, unread)
    _say_ignored(context)
    problems: list[Refusal] = []
    if not dry_run:
        store.replace_items(items, annotations)
        problems += store.quarantine("listing", refused, now(), complete=True)
        problems += store.quarantine("reading", unreadable, now(), complete=False)
    ids = {item.id for item in items}
    summary = Pulled(
        items=len(items),
        labeled=sum(item.state == LABELED for item in items),
        new_items=len(ids - set(before)),
        vanished_items=len(set(before) - ids),
        annotations_read=len(annotations),
        refused=len(refused) + len(unreadable),
    )
    return StepResult(None, summary, problems=tuple(problems))


def _unread(store: Store, items: Sequence[Item]) -> list[Item]:
    """Labeled items whose annotation is new or changed, and not known to be broken in this version."""
    known = store.annotation_versions()
    broken = {entry.item_id: entry.version for entry in store.quarantine_entries() if entry.stage == "reading"}
    return [
        item
        for item in items
        if item.state == LABELED and item.version not in (known.get(item.id), broken.get(item.id))
    ]


def _read(context: Context, items: Sequence[Item]) -> tuple[list[tuple[Item, Annotation]], list[Refusal]]:
    """Read the annotations of these items; returns them, and those that cannot be read."""
    annotations: list[tuple[Item, Annotation]] = []
    unreadable: list[Refusal] = []
    with context.progress.track("Reading", len(items), "annotation") as advance:
        for item, answer in zip(items, context.platform.annotations(items), strict=True):
            if isinstance(answer, Annotation):
                annotations.append((item, answer))
            else:
                unreadable.append(answer)
            advance(1)
    return annotations, unreadable


def _check_size(count: int, before: Collection[str]) -> None:
    """A broken listing looks like an emptied project: only people can tell them apart."""
    if 2 * count <= len(before):
        raise DataError(
            f"The platform lists {quantity(count, 'image')}; the last pull saw {len(before)}.",
            kept="What was pulled before is kept.",
            do="If they were really removed, run this once with --accept-shrink.",
        )


def _say_ignored(context: Context) -> None:
    for note in getattr(context.platform, "notes", ()):
        context.progress.say(note)
    ignored = getattr(context.platform, "ignored", {})
    if ignored:
        shown = ", ".join(f"{count} {kind}" for kind, count in sorted(ignored.items()))
        context.progress.say(f"Skipped, because no task knows these kinds: {shown}.")
