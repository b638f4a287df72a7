"""Push: the ranked list into the platform's queue: read what is there, send the difference, read back."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from alcli.artifacts.scores import current_list, first_rows, last_scores
from alcli.context import Context, StepResult, logged_step
from alcli.cycle.handover import Handover, hand_over
from alcli.errors import PlatformError, QueueDiffers, UsageError
from alcli.items import LABELED, RECHECK, UNLABELED, Item, QueryRow, QueuedItem, Receipt, Refusal
from alcli.platforms import Dispatching, QueueHashing, QueueSharing
from alcli.system.files import atomic_write
from alcli.system.garbage import rare_searches
from alcli.system.hashing import sha256_of_text, sha256_of_texts
from alcli.system.tables import read, write_rows
from alcli.system.text import quantity
from alcli.workspace.records import Pushed, QueueRecord, QueueStored, Restored

BEFORE = "queue-before.csv"
BEFORE_COLUMNS = ("position", "id", "name", "asked")
SECONDS_UNSAVED = 5.0
SHOWN = 5
RECHECKS = "alcli: re-check"
"""The subset of annotations to look at again."""


@dataclass(frozen=True)
class Difference:
    """What a push would change in the queue.

    Attributes:
        rows: what will be queued, best first; ranks 1..n without gaps.
        left_out: rows whose item was labeled, skipped, assigned or deleted since the pull, with the reason.
        states: for each item left out "vanished", "assigned", or its state now.
        again: re-checks that the platform's queue cannot hold.
        rewritten: the queue is not as the platform writes it, even if its items and their order are right.
        before: the queue as it is.
        new, leaving: numbers of items compared with that queue.
        moved: (row, its position now) for the others that have to move.
    """

    rows: Sequence[QueryRow]
    left_out: Sequence[Refusal]
    states: Sequence[str]
    before: Sequence[QueuedItem]
    new: int
    moved: Sequence[tuple[QueryRow, int]]
    leaving: int
    again: Sequence[QueryRow] = ()
    rewritten: bool = False

    @property
    def changes(self) -> int:
        """How many items change their position."""
        return self.new + len(self.moved) + self.leaving

    def summary(self) -> Pushed:
        """The numbers, for people and for ``--json``."""
        return Pushed(
            queued=len(self.rows),
            new=self.new,
            moved=len(self.moved),
            leaving=self.leaving,
            rechecks=len(self.again) + sum(row.source == RECHECK for row in self.rows),
            left_out=len(self.left_out),
            already_labeled=self.states.count(LABELED),
            assigned=self.states.count(ASSIGNED),
            vanished=self.states.count(VANISHED),
            changes=self.changes,
        )


ASSIGNED, VANISHED = "assigned", "vanished"


@logged_step
@rare_searches()
def push(
    context: Context,
    cycle: int | None = None,
    top: int | None = None,
    dry_run: bool = False,
    handover: Handover = Handover(),  # noqa: B008 (frozen)
) -> StepResult[Pushed]:
    """Make the platform's queue the ranked list; a second push changes nothing.

    Args:
        handover: what else is done with the rows asked for, once the queue is right.

    Raises:
        UsageError: nothing has been scored, or the platform cannot do what the handover says.
        QueueDiffers: the queue that is read back has another order.
        PlatformError: most of the queue would be lost, because its images could not be loaded.
    """
    scored = last_scores(context, cycle)
    handover.check(context.platform)
    ranked = current_list(context, scored)
    difference = compare(context, _list_to_push(context, ranked, top))
    _check_loss(context, ranked, difference)
    summary = replace(difference.summary(), **asdict(handover))
    if dry_run:
        return StepResult(scored.cycle, summary)
    refused, queue = _apply(context, scored.cycle, difference)
    _remember_queue(context, scored.cycle, QueueRecord(_hash(queue), top))
    _set_apart(context, difference.again)
    refused_ids = {refusal.id for refusal in refused}
    asked = [row for row in difference.rows if row.asked and row.item.id not in refused_ids]
    problems = [*difference.left_out, *refused, *hand_over(context, scored, asked, handover)]
    summary = replace(summary, rechecked=_all_rechecked(context, scored.cycle, difference))
    context.workspace.finish_step(scored.cycle, sha256_of_text(str(scored.sha256), str(top)), summary)
    return StepResult(scored.cycle, summary, not difference.changes, problems)


@logged_step
@rare_searches()
def restore(context: Context, dry_run: bool = False) -> StepResult[Pushed]:
    """Put back the queue as others left it before the newest cycle's push; the list itself stays in the workspace.

    Raises:
        UsageError: no push has changed a queue yet.
        QueueDiffers: the queue that is read back has another order.
    """
    scored = last_scores(context)
    paths = _saved_queues(context, scored.cycle)
    if not paths:
        raise UsageError(f"Cycle {scored.cycle} has not changed a queue, so there is nothing to restore.")
    difference = compare(context, list(_queue_before(context, paths[-1])))
    summary = Restored(**asdict(difference.summary()))
    if dry_run:
        return StepResult(scored.cycle, summary)
    refused, queue = _apply(context, scored.cycle, difference, keep_before=True)
    _remember_queue(context, scored.cycle, QueueRecord(_hash(queue), restored=True))
    return StepResult(scored.cycle, summary, problems=[*difference.left_out, *refused])


def queue_differs(context: Context, cycle: int) -> bool:
    """Whether the queue is not as this cycle has left it; read from the last listing, without another one."""
    record = context.workspace.store.queue_record(cycle)
    if record and _is_same_file(context, cycle, record):
        return False
    queue = context.platform.queue()
    if record:
        return record.sha256 != _hash(queue) or _was_edited(context)
    # A push by an alcli that did not record the queue.
    pushed = context.workspace.step(cycle, Pushed)
    return pushed is not None and pushed.summary.queued > 0 and not queue


def _remember_queue(context: Context, cycle: int, record: QueueRecord) -> None:
    """Remember how a cycle leaves the queue; if it is a file, also the hash of that file as it was read back."""
    context.workspace.store.put_queue(cycle, record)
    platform = context.platform
    if isinstance(platform, QueueHashing) and platform.queue_sha256 and not _was_edited(context):
        context.workspace.finish_step(cycle, record.sha256, QueueStored(platform.queue_sha256))


def _is_same_file(context: Context, cycle: int, record: QueueRecord) -> bool:
    """Whether the queue is, byte for byte, the file in which this record was read back."""
    platform, stored = context.platform, context.workspace.step(cycle, QueueStored)
    if stored is None or stored.inputs != record.sha256 or not isinstance(platform, QueueHashing):
        return False
    return platform.hash_queue() == stored.summary.sha256


def put_back(context: Context, cycle: int) -> StepResult[Pushed]:
    """Make the queue again what this cycle has left: its list, its first rows, or what was restored."""
    record = context.workspace.store.queue_record(cycle)
    if record and record.restored:
        return restore(context)
    return push(context, cycle, top=record.top if record else None)


def compare(context: Context, rows: Sequence[QueryRow]) -> Difference:
    """Compare the rows with the platform as it is now; raises UsageError if the queue is another workspace's."""
    if isinstance(context.platform, QueueSharing):
        context.platform.check_queue()
    reasons = _reasons_to_leave_out(context, rows)
    kept: list[QueryRow] = []
    again: list[QueryRow] = []
    left_out, states = [], []
    for row in rows:
        if state := reasons.get(row.item.id):
            states.append(state)
            since = "vanished from the platform" if state == VANISHED else state
            left_out.append(Refusal(row.item.id, row.item.name, f"{since} since the pull"))
        elif row.source == RECHECK and isinstance(context.platform, Dispatching):
            again.append(row)
        else:
            rank = len(kept) + 1
            kept.append(row if row.rank == rank else replace(row, rank=rank))
    before = context.platform.queue()
    leaving = {entry.item_id: entry for entry in before}
    moved, new = [], 0
    for row in kept:
        entry = leaving.pop(row.item.id, None)
        if entry is None:
            new += 1
        elif _has_to_move(entry, row):
            moved.append((row, entry.position))
    return Difference(kept, left_out, states, before, new, moved, len(leaving), again, _was_edited(context))


def _was_edited(context: Context) -> bool:
    """Whether the queue that was read last is not as the platform writes it."""
    return bool(getattr(context.platform, "queue_was_edited", False))


def _check_loss(context: Context, ranked: Sequence[QueryRow], difference: Difference) -> None:
    """Raise PlatformError if the list lacks more than half of the queued images that still wait for an annotation.

    The list ranks the whole pool: what it lacks could not be loaded or scored. Annotators would run out of work.
    """
    listed = {row.item.id for row in ranked}
    if all(entry.item_id in listed for entry in difference.before):
        return
    pool = context.workspace.store.pool(forgiving=("image",)).items
    waiting = [entry for entry in difference.before if entry.item_id in pool]
    waiting = [entry for entry in waiting if pool[entry.item_id].state == UNLABELED]
    lost = [entry for entry in waiting if entry.item_id not in listed]
    if 2 * len(lost) > len(waiting):
        raise PlatformError(
            f"{len(lost)} of the {len(waiting)} queued images could not be scored, like {lost[0].name}.",
            kept="The annotators' queue is unchanged; the list is kept in the cycle's folder.",
            do="`alcli list quarantine` says why. Run the same command when their host answers again; if they are gone "
            "for good, leave them out: alcli skip LIST",
        )


def _list_to_push(context: Context, ranked: list[QueryRow], top: int | None) -> list[QueryRow]:
    """The current list, as far as the platform's queue can keep it in order."""
    rows = ranked if top is None else first_rows(ranked, top)
    most: int | None = getattr(context.platform, "most_queued", None)
    count = sum(row.source != RECHECK for row in rows)
    if most is None or count <= most:
        return rows
    context.progress.say(
        f"The list has {count:,} images, and the platform keeps {most:,} in order: the last ones are not queued."
    )
    return first_rows(ranked, most)


def _all_rechecked(context: Context, cycle: int, difference: Difference) -> tuple[str, ...]:
    """Ids of all labels that this cycle has asked somebody to look at again, by this push or an earlier one."""
    before = context.workspace.step(cycle, Pushed)
    now = {row.item.id for row in (*difference.rows, *difference.again) if row.source == RECHECK}
    return tuple(sorted(now.union(before.summary.rechecked or () if before else ())))


def _set_apart(context: Context, again: Sequence[QueryRow]) -> None:
    """Add re-checks to a named set: such a platform's queue holds only what nobody has annotated yet."""
    if again and isinstance(context.platform, Dispatching):
        context.platform.add_to_subset(again, RECHECKS)
        context.progress.say(f"Subset {RECHECKS!r} holds {quantity(len(again), 'annotation')} to look at again.")


def _has_to_move(entry: QueuedItem, row: QueryRow) -> bool:
    # A platform that does not store what is asked for now says None.
    return entry.position != row.rank or entry.asked not in (None, row.asked)


def _reasons_to_leave_out(context: Context, rows: Sequence[QueryRow]) -> dict[str, str]:
    """Why some of the items cannot be queued as the platform lists them now, by their ids."""
    vanished = {row.item.id: row.item for row in rows}
    reasons = {}
    for item in context.platform.items():
        if isinstance(item, Item) and (pulled := vanished.pop(item.id, None)) is not None:
            if item.state != pulled.state:
                reasons[item.id] = item.state
            elif item.assignees != pulled.assignees:
                reasons[item.id] = ASSIGNED
    return reasons | dict.fromkeys(vanished, VANISHED)


def _apply(
    context: Context, cycle: int, difference: Difference, keep_before: bool = False
) -> tuple[list[Refusal], Sequence[QueuedItem]]:
    """Send the difference and read back.

    Returns the items that the platform refused, or that were taken meanwhile, and the queue as it is now.
    """
    if not difference.changes and not difference.rewritten:
        _complete_receipts(context, cycle, difference.rows)
        return [], difference.before
    if not keep_before:
        _save_queue(context, cycle, difference)
    reasons = _send(context, cycle, difference)
    refused = [
        Refusal(row.item.id, row.item.name, reasons[row.item.id] or "refused by the platform")
        for row in difference.rows
        if row.item.id in reasons
    ]
    now = compare(context, [row for row in difference.rows if row.item.id not in reasons])
    if now.changes:
        raise QueueDiffers(
            f"The queue that was read back is not the one that was pushed: {_differences(now)}.",
            kept="The list is kept in the cycle's folder.",
            do="Run `alcli push` again.",
        )
    return [*refused, *now.left_out], now.before


def _hash(queue: Sequence[QueuedItem]) -> str:
    """Changes with the queue's items, their order, and what is asked for."""
    return sha256_of_texts(text for entry in queue for text in (str(entry.position), entry.item_id, str(entry.asked)))


def _send(context: Context, cycle: int, difference: Difference) -> dict[str, str]:
    """Push, and return why items were refused, by their ids.

    Receipts are kept in the workspace as they come, so that an interrupted push is known; those of some seconds at
    once, because each transaction waits for the disk and writes whole pages.
    """
    reasons: dict[str, str] = {}
    unsaved: list[Receipt] = []
    saved = time.monotonic()
    try:
        with context.progress.track("Pushing", len(difference.rows)) as advance:
            for receipt in context.platform.push(difference.rows):
                unsaved.append(receipt)
                if receipt.accepted:
                    reasons.pop(receipt.item_id, None)
                else:
                    reasons[receipt.item_id] = receipt.reason
                if time.monotonic() - saved > SECONDS_UNSAVED:
                    context.workspace.store.put_receipts(cycle, unsaved)
                    unsaved, saved = [], time.monotonic()
                advance(1)
    finally:
        context.workspace.store.put_receipts(cycle, unsaved)
    return reasons


def _complete_receipts(context: Context, cycle: int, rows: Sequence[QueryRow]) -> None:
    """Remember what the queue holds, if a push of this cycle was killed after the platform had taken everything."""
    store = context.workspace.store
    if _saved_queues(context, cycle) and store.count_receipts(cycle) < len(rows):
        store.put_receipts(cycle, [Receipt(row.item.id, row.rank, True) for row in rows])


def _differences(now: Difference) -> str:
    examples = [f"{row.item.name} is at {position} instead of {row.rank}" for row, position in now.moved[:SHOWN]]
    counts = f"moved: {len(now.moved)}, missing: {now.new}, too many: {now.leaving}"
    return f"{counts} ({'; '.join(examples)})" if examples else counts


def _save_queue(context: Context, cycle: int, difference: Difference) -> None:
    """Save the queue for ``restore``, unless it is what a push of this cycle left, finished or interrupted.

    A later push of the cycle saves what others have made of the queue meanwhile in a numbered file.
    """
    paths = _saved_queues(context, cycle)
    path = context.workspace.cycle_folder(cycle) / BEFORE
    if paths:
        if context.workspace.step(cycle, Pushed) is None or not queue_differs(context, cycle):
            return
        path = path.with_stem(f"{path.stem}-{len(paths) + 1}")
    with atomic_write(path) as stream:
        write_rows(stream, BEFORE_COLUMNS, map(_saved, difference.before))


def _saved_queues(context: Context, cycle: int) -> list[Path]:
    """The files of saved queues, the oldest first."""
    path = context.workspace.cycle_folder(cycle) / BEFORE
    numbered = (path.with_stem(f"{path.stem}-{number}") for number in itertools.count(2))
    return list(itertools.takewhile(Path.is_file, itertools.chain([path], numbered)))


def _saved(entry: QueuedItem) -> tuple[int, str, str, str]:
    asked = "" if entry.asked is None else "yes" if entry.asked else "no"
    return entry.position, entry.item_id, entry.name, asked


def _queue_before(context: Context, path: Path) -> Iterator[QueryRow]:
    items = context.workspace.store.pool(forgiving=("image",)).items
    rows = [row for row in read(path) if row["id"] in items and items[row["id"]].state == UNLABELED]
    for rank, row in enumerate(rows, 1):
        yield QueryRow(rank, items[row["id"]], float(len(rows) - rank), asked=row.get("asked") != "no")
