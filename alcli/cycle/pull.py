"""Pull: make the workspace's pool what the platform shows now; read only what changed."""

from __future__ import annotations

from collections.abc import Collection

from alcli.annotations import Annotation
from alcli.context import Context, StepResult, noted
from alcli.errors import DataError
from alcli.items import LABELED, Item, Refusal
from alcli.system.clock import now


@noted
def pull(context: Context, dry_run: bool = False, accept_shrink: bool = False) -> StepResult:
    """List all items, read new and changed annotations, remember both in one transaction.

    Args:
        accept_shrink: believe a listing that has lost half of the known items.

    Raises:
        DataError: the platform has no image at all, or has lost half of the known ones.
        PlatformError: it cannot be reached, or answered only in part.
    """
    store = context.workspace.store
    before = store.pool().items
    listed = list(context.platform.items())
    items = [row for row in listed if isinstance(row, Item)]
    refused = [row for row in listed if isinstance(row, Refusal)]
    if not items:
        raise DataError(
            "The platform has no image at all.",
            kept="What was pulled before is kept.",
            do="Check platform.images (or the project and folder names) in alcli.toml.",
        )
    if not accept_shrink:
        _check_size(len(items), before)
    known = store.annotation_versions()
    broken = {row["item_id"]: row["version"] for row in store.quarantined() if row["stage"] == "reading"}
    wanted = [
        item
        for item in items
        if item.state == LABELED and item.version not in (known.get(item.id), broken.get(item.id))
    ]
    read: list[tuple[Item, Annotation]] = []
    unreadable: list[Refusal] = []
    with context.progress.track("Reading annotations", len(wanted)) as advance:
        for item, answer in zip(wanted, context.platform.annotations(wanted), strict=True):
            if isinstance(answer, Annotation):
                read.append((item, answer))
            else:
                unreadable.append(answer)
            advance(1)
    _say_ignored(context)
    now_ids = {item.id for item in items}
    problems: list[Refusal] = []
    if not dry_run:
        store.replace_items(items, read)
        problems += store.quarantine("listing", refused, now(), complete=True)
        problems += store.quarantine("reading", unreadable, now(), complete=False)
    summary = {
        "items": len(items),
        "labeled": sum(item.state == LABELED for item in items),
        "new_items": len(now_ids - set(before)),
        "vanished_items": len(set(before) - now_ids),
        "annotations_read": len(read),
        "refused": len(refused) + len(unreadable),
    }
    return StepResult("pull", None, summary, problems=tuple(problems))


def _check_size(count: int, before: Collection[str]) -> None:
    """A broken listing looks like a project that somebody has emptied: only people can tell them apart."""
    if 2 * count <= len(before):
        raise DataError(
            f"The platform lists {count} images; at the last pull there were {len(before)}.",
            kept="What was pulled before is kept.",
            do="If they were really taken away: run it once with --accept-shrink.",
        )


def _say_ignored(context: Context) -> None:
    ignored = getattr(context.platform, "ignored", {})
    if ignored:
        shown = ", ".join(f"{count} {kind}" for kind, count in sorted(ignored.items()))
        context.progress.say(f"Passed over, because no task knows their kind: {shown}.")
