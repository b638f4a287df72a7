"""Since when a key is used on this account, so that it is replaced before it expires; the key itself is not kept."""

from __future__ import annotations

import contextlib
import json
from datetime import date, datetime, timezone
from pathlib import Path

from alcli.config import trusted
from alcli.platforms._answers import ROTATE
from alcli.system.files import atomic_write
from alcli.system.hashing import sha256_of_text

FILE_NAME = "keys.json"
OLD_DAYS = 330
"""Days of use from which on a key should be replaced: services let keys expire after a year."""


def remember_key(token: str) -> date:
    """The day of a key's first use, which is today for a new one; kept by its hash in the user's own folder.

    Without such a folder, or where it cannot be written, nothing is remembered.
    """
    now, path = today(), _file()
    name = sha256_of_text("key of a service", token)[:32]
    known = _read(path)
    with contextlib.suppress(KeyError, TypeError, ValueError):
        first = date.fromisoformat(known[name])
        if first <= now:
            return first
    if path is not None:
        with contextlib.suppress(OSError):
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with atomic_write(path) as stream:
                json.dump({**known, name: now.isoformat()}, stream, indent=1)
    return now


def describe_age(token: str) -> tuple[bool | None, str]:
    """(whether it is young enough, None for a warning; since when it is used)."""
    first = remember_key(token)
    days = (today() - first).days
    text = f"used here since {first.isoformat()}"
    if days < OLD_DAYS:
        return True, text
    return None, f"{text}, for {days} days: it may expire soon. {ROTATE}"


def today() -> date:
    """Of the clock of this machine, in UTC."""
    return datetime.now(timezone.utc).date()


def _file() -> Path | None:
    confirmed = trusted.confirmed_file()
    return confirmed and confirmed.with_name(FILE_NAME)


def _read(path: Path | None) -> dict[str, str]:
    try:
        content = json.loads(path.read_text(encoding="utf-8")) if path else {}
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}
