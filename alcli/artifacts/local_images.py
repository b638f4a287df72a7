"""From items to local image files: all at once, or ahead of a pass that has begun already."""

from __future__ import annotations

import itertools
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from alcli.context import Context
from alcli.errors import DataError, Unreadable
from alcli.items import Item, Refusal
from alcli.system.bounded_folder import BoundedFolder

if TYPE_CHECKING:
    from alcli.tasks import Example

MOST_DOWNLOADS = 16
"""Images that are downloaded at the same time, ahead of a pass."""


def fetch_images(context: Context, items: Sequence[Item]) -> tuple[dict[str, Path], list[Refusal]]:
    """Fetch images; returns local files by item id, and the items whose pixels the platform cannot give.

    The files stay until the end of the run.
    """
    paths: dict[str, Path] = {}
    refusals = []
    _ = context.downloads  # made here, with the platform, because threads would make several
    with context.progress.track("Fetching", len(items)) as advance:
        for item, answer in zip(items, _in_threads(context.image, items), strict=True):
            if isinstance(answer, Refusal):
                refusals.append(answer)
            elif isinstance(answer, Path):
                paths[item.id] = answer
            advance(1)
    return paths, refusals


def local_places(context: Context, items: Sequence[Item]) -> tuple[dict[str, Path], frozenset[str], list[Refusal]]:
    """Where the images lie or will lie, by item id, for ``ArrivingExamples``; those that are no downloads are fetched.

    Returns:
        (files, ids of those that are downloads, items whose pixels the platform cannot give).
    """
    places = {item.id: context.download_place(item) for item in items}
    remote = {item_id: path for item_id, path in places.items() if path is not None}
    paths, refusals = fetch_images(context, [item for item in items if item.id not in remote])
    return paths | remote, frozenset(remote), refusals


def ask_again(context: Context, refusals: Sequence[Refusal]) -> list[Refusal]:
    """Drop the downloads of images that cannot be decoded; these refusals are transient: the next run asks again."""
    items = context.workspace.store.pool().items if refusals else {}
    return [
        replace(refusal, transient=True)
        if not refusal.transient and refusal.id in items and context.drop_image(items[refusal.id])
        else refusal
        for refusal in refusals
    ]


class ArrivingExamples(Sequence[Any]):
    """Examples whose images are downloaded in their order, while the first ones are looked at.

    As many as the cache has room for are downloaded ahead, and always those that somebody waits for.

    Args:
        examples: with the paths of their images, there or not.
        remote: ids of the items whose images are downloads.
    """

    def __init__(self, context: Context, examples: Sequence[Example], remote: frozenset[str]) -> None:
        self._context, self._examples, self._remote = context, examples, remote
        # Made here, with the platform, because threads would make several.
        self._downloads = context.downloads if remote else BoundedFolder(Path(), None)
        self._changed = threading.Condition()
        self._answers: list[Path | Refusal | BaseException | None] = [None] * len(examples)
        self._refused: dict[str, Refusal] = {}
        self._begun = self._wanted = self._released = 0
        self._started = self._ended = False
        self._failure: BaseException | None = None
        self._skipped: set[int] = set()
        self._late: deque[int] = deque()

    def __len__(self) -> int:
        return len(self._examples)

    def __getitem__(self, key: Any) -> Any:
        """An example, or several; its image may not have arrived."""
        return self._examples[key]

    def are_ready(self, positions: Sequence[int], wait: bool) -> bool:
        """Whether the images at these positions are there, or are known not to come; raises what ended the downloads.

        Args:
            wait: return only when they are.
        """
        with self._changed:
            self._wanted = max(self._wanted, *(position + 1 for position in positions))
            if not self._started:
                self._start()
            self._recall(positions)
            self._changed.notify_all()
            while any(self._answers[position] is None for position in positions):
                if self._failure:
                    raise self._failure
                if not wait:
                    return False
                self._changed.wait()
            for position in positions:
                if isinstance(error := self._answers[position], BaseException):
                    raise error
        return True

    def skip(self, positions: Iterable[int]) -> None:
        """Download these images only if somebody waits for them after all."""
        with self._changed:
            self._skipped.update(positions)

    def release(self, count: int) -> None:
        """Let the cache drop the first ``count`` images: nobody needs them any more."""
        with self._changed:
            done = [answer for answer in self._answers[self._released : count] if isinstance(answer, Path)]
            self._released = max(self._released, count)
            self._downloads.release(done)
            self._changed.notify_all()

    @property
    def refused(self) -> dict[str, Refusal]:
        """Why images did not arrive, by item id, as far as it is known."""
        with self._changed:
            return dict(self._refused)

    def close(self) -> None:
        """Begin no more downloads; those that are on their way are not waited for."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _start(self) -> None:
        self._started = True
        for _ in range(min(os.cpu_count() or 1, MOST_DOWNLOADS, len(self._examples))):
            threading.Thread(target=self._download, daemon=True).start()

    def _recall(self, positions: Sequence[int]) -> None:
        """Download skipped images that have been passed over."""
        late = [position for position in positions if position in self._skipped and position < self._begun]
        self._skipped.difference_update(positions)
        if late:
            self._late.extend(late)
            # The other threads may have come to the end.
            threading.Thread(target=self._download, daemon=True).start()

    def _download(self) -> None:
        while (position := self._next()) is not None:
            item = self._examples[position].item
            answer: Path | Refusal | BaseException
            try:
                is_remote = item.id in self._remote
                answer = self._context.image(item) if is_remote else self._examples[position].path
            except DataError as error:
                answer = _refusal(item, error)
            except BaseException as error:
                answer = error
            with self._changed:
                self._answers[position] = answer
                if isinstance(answer, Refusal):
                    self._refused[item.id] = answer
                elif isinstance(answer, BaseException):
                    # The images after those that are on their way will not come, for the same reason.
                    self._ended, self._failure = True, answer
                    self._answers[self._begun :] = [answer] * (len(self._answers) - self._begun)
                self._changed.notify_all()

    def _next(self) -> int | None:
        """The next position to download, once there is room for it; None when there is none."""
        with self._changed:
            while not self._ended and (self._late or self._begun < len(self._examples)):
                if self._late:
                    return self._late.popleft()
                if self._begun in self._skipped:
                    self._begun += 1
                elif self._begun < self._wanted or not self._downloads.is_full:
                    self._begun += 1
                    return self._begun - 1
                else:
                    self._changed.wait()
            return None


def _refusal(item: Item, error: DataError) -> Refusal:
    return Refusal(item.id, item.name, error.what, item.version, isinstance(error, Unreadable))


def _in_threads(function: Callable[[Item], object], items: Sequence[Item]) -> Iterator[object]:
    """Call the function for each item in threads; results come in order, a DataError becomes a Refusal.

    At an error or a signal nobody waits for the other threads: one of them may be waiting for a host.
    """
    todo, pending = iter(items), deque[Future[object]]()
    calls: SimpleQueue[tuple[Future[object], Item] | None] = SimpleQueue()
    count = os.cpu_count() or 1
    for _ in range(min(count, len(items))):
        threading.Thread(target=_answer_calls, args=(function, calls), daemon=True).start()
    try:
        while True:
            for item in itertools.islice(todo, 2 * count - len(pending)):
                pending.append(Future())
                calls.put((pending[-1], item))
            if not pending:
                return
            yield pending.popleft().result()
    finally:
        for future in pending:
            future.cancel()
        for _ in range(count):
            calls.put(None)


def _answer_calls(function: Callable[[Item], object], calls: SimpleQueue[tuple[Future[object], Item] | None]) -> None:
    while call := calls.get():
        future, item = call
        if not future.set_running_or_notify_cancel():
            continue
        try:
            future.set_result(function(item))
        except DataError as error:
            future.set_result(_refusal(item, error))
        except BaseException as error:
            future.set_exception(error)
