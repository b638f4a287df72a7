"""Images fetched and decoded, each version once in its life: what they are, and which cannot be used."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from alcli import images
from alcli.artifacts.local_images import ask_again, fetch_images
from alcli.context import Context
from alcli.errors import DataError, PlatformError, Unreadable
from alcli.items import ImageFacts, Item, Refusal
from alcli.system.processes import CHUNK, Died, map_in_processes, worker_count


def check_reachable(items: Sequence[Item], refusals: Sequence[Refusal]) -> None:
    """Raise PlatformError when more than half of the images cannot be read now: a disk or a host is missing then.

    A list of the others would replace a queue that is better.
    """
    missing = [refusal for refusal in refusals if refusal.transient]
    if 2 * len(missing) > len(items):
        count = "None" if len(missing) == len(items) else f"Only {len(items) - len(missing)}"
        raise PlatformError(
            f"{count} of {len(items)} images can be read ({missing[0].reason}).",
            kept="What is known about them is kept, and the annotators' queue is unchanged.",
            do="Is the disk mounted, does the host of the images answer? Then run the same command again.",
        )


def inspect_images(
    context: Context, items: Sequence[Item]
) -> tuple[dict[str, Path], dict[str, ImageFacts], list[Refusal]]:
    """Fetch and decode images; returns local files and facts by item id, and what cannot be read or decoded."""
    paths, unreachable = fetch_images(context, items)
    facts, undecodable = _decode_images(context, [item for item in items if item.id in paths], paths)
    return paths, facts, [*unreachable, *undecodable]


def _decode_images(
    context: Context, items: Sequence[Item], paths: dict[str, Path]
) -> tuple[dict[str, ImageFacts], list[Refusal]]:
    """Collect facts by item id, and refusals; each version of an image is decoded once in its life."""
    known = context.workspace.store.images()
    facts = {item.id: known[item.id][1] for item in items if known.get(item.id, ("",))[0] == item.version}
    new = [item for item in items if item.id not in facts]
    refusals: list[Refusal] = []
    inspected: list[tuple[Item, ImageFacts]] = []
    with context.progress.track("Inspecting", len(new)) as advance:
        # At least one process: a decoder that crashes on an image must not take the run with it.
        workers = max(worker_count(None, math.ceil(len(new) / CHUNK)), 1)
        for item, answer in zip(
            new, map_in_processes(_inspect, [paths[item.id] for item in new], workers), strict=True
        ):
            if isinstance(answer, ImageFacts):
                inspected.append((item, answer))
            else:
                reason, transient = (answer.reason, answer.killed) if isinstance(answer, Died) else answer
                refusals.append(Refusal(item.id, item.name, reason, item.version, transient))
            advance(1)
    context.workspace.store.put_images(inspected)
    facts |= {item.id: answer for item, answer in inspected}
    return facts, ask_again(context, refusals)


def _inspect(path: Path) -> ImageFacts | tuple[str, bool]:
    """What the image is, or (why it cannot be used, whether that may be temporary)."""
    try:
        return images.inspect(path)
    except DataError as error:
        return error.what, isinstance(error, Unreadable)
