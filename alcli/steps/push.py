"""Push: the ranked list into the platform's queue: read what is there, send the difference, read back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from alcli.errors import PlatformError
from alcli.files import sha256_of_text
from alcli.items import UNLABELED, Item, QueryRow, QueuedItem, Receipt, Refusal
from alcli.steps import Context, StepResult
from alcli.steps.export import current_rows, last_scores


@dataclass(frozen=True)
class Difference:
    """What a push would change in the queue.

    Attributes:
        rows: what will be queued, best first, as the platform stands now.
        left_out: rows whose item was labelled, skipped or deleted since the pull, with the reason.
        new, moved, leaving: numbers of items against the queue that is there.
    """

    rows: Sequence[QueryRow]
    left_out: Sequence[Refusal]
    new: int
    moved: int
    leaving: int

    @property
    def changes(self) -> int:
        """How many items change their place."""
        return self.new + self.moved + self.leaving


def push(context: Context, cycle: int | None = None, top: int | None = None, dry_run: bool = False) -> StepResult:
    """Make the platform's queue the ranked list; a second push changes nothing.

    Raises:
        UsageError: nothing has been scored.
        PlatformError: the queue that is read back has another order.
    """
    scored = last_scores(context, cycle)
    difference = compare(context, current_rows(context, scored, top))
    summary = {
        "queued": len(difference.rows),
        "new": difference.new,
        "moved": difference.moved,
        "leaving": difference.leaving,
        "left_out": len(difference.left_out),
        "changes": difference.changes,
    }
    if dry_run:
        return StepResult("push", scored.cycle, summary)
    receipts = _send(context, difference) if difference.changes else []
    store = context.workspace.store
    store.put_receipts(scored.cycle, receipts)
    refused = [
        Refusal(row.item_id, row.item_id, row.reason or "refused by the platform")
        for row in receipts
        if not row.accepted
    ]
    _read_back(context, difference.rows, {row.id for row in refused})
    inputs = sha256_of_text(str(scored.sha256), str(top))
    context.workspace.finish_step(scored.cycle, "push", inputs, None, summary)
    return StepResult("push", scored.cycle, summary, not difference.changes, [*difference.left_out, *refused])


def compare(context: Context, rows: Sequence[QueryRow]) -> Difference:
    """The rows against the platform as it stands now."""
    listed = {row.id: row for row in context.platform.items() if isinstance(row, Item)}
    kept, left_out = [], []
    for row in rows:
        reason = _why_not(listed.get(row.item.id))
        if reason:
            left_out.append(Refusal(row.item.id, row.item.name, reason))
        else:
            kept.append(row)
    before = {place.item_id: place for place in context.platform.queue()}
    after = {row.item.id: row for row in kept}
    moved = sum(_moved(before[item_id], row) for item_id, row in after.items() if item_id in before)
    return Difference(kept, left_out, len(after.keys() - before.keys()), moved, len(before.keys() - after.keys()))


def _moved(place: QueuedItem, row: QueryRow) -> bool:
    # A platform that does not keep who is asked for now says None.
    return place.position != row.rank or place.asked not in (None, row.asked)


def _why_not(item: Item | None) -> str:
    if item is None:
        return "vanished from the platform since the pull"
    return f"{item.state} since the pull" if item.state != UNLABELED else ""


def _send(context: Context, difference: Difference) -> list[Receipt]:
    receipts = []
    with context.progress.track("Pushing", len(difference.rows)) as advance:
        for receipt in context.platform.push(difference.rows):
            receipts.append(receipt)
            advance(1)
    return receipts


def _read_back(context: Context, rows: Sequence[QueryRow], refused: set[str]) -> None:
    wanted = [row.item.id for row in rows if row.item.id not in refused]
    queue: Sequence[QueuedItem] = context.platform.queue()
    found = [place.item_id for place in queue]
    if found != wanted:
        first = next((i for i, pair in enumerate(zip(found, wanted, strict=False)) if pair[0] != pair[1]), None)
        where = f"first at position {first + 1}" if first is not None else f"{len(found)} rows for {len(wanted)}"
        raise PlatformError(
            f"The queue that was read back is not the one that was pushed ({where}).",
            kept="The list is kept in the cycle's folder.",
            do="Run `alcli push` again.",
        )
