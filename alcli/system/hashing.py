"""SHA-256 of files and strings, and random seeds derived from it."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import IO

AT_ONCE = 4096


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's content, in hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest() if hasattr(hashlib, "file_digest") else _digest(stream)


def _digest(stream: IO[bytes]) -> str:
    # Python 3.10 lacks hashlib.file_digest.
    digest = hashlib.sha256()
    while chunk := stream.read(1 << 20):
        digest.update(chunk)
    return digest.hexdigest()


def sha256_of_text(*parts: str) -> str:
    """SHA-256 over several strings, in hex; ("ab", "c") and ("a", "bc") differ."""
    return sha256_of_texts(parts)


def sha256_of_texts(parts: Iterable[str]) -> str:
    """The same over any number of strings, of which it keeps a few at a time."""
    digest, rest = hashlib.sha256(), iter(parts)
    while some := [part.encode("utf-8", "surrogatepass") for part in itertools.islice(rest, AT_ONCE)]:
        digest.update(b"".join([piece for part in some for piece in (len(part).to_bytes(8, "big"), part)]))
    return digest.hexdigest()


def seed_of(*parts: object) -> int:
    """A random seed in [0, 2⁶⁰) that depends only on the parts."""
    return int(sha256_of_text(*map(str, parts))[:15], 16)
