"""File names of any bytes, from the disk through the database and the lists and back."""

from __future__ import annotations

import os
import random
from pathlib import Path

from alcli import priorities
from alcli.items import Item, QueryRow, uri_to_path
from alcli.platforms.folder import Folder
from alcli.system import tables
from alcli.workspace import Workspace

HARD = [b"NA", b"nan", b"null", b"None", b"001", b"1e5", b"a,b", b'"', b"two\nlines", b"cr\r", b"crlf\r\n", b"=1+1",
        b"-x", b"+x", b"@x", b"\ttab", b" lead", b"trail ", b"%41", b"%2e%2e", b"a%", b"\xe2\x80\xaetfel", b"\xff",
        b"\xc3\x28", b"\xed\xa0\x80", b"\xef\xbb\xbfbom", b"e\xcc\x81", b"\xc3\xa9", b"\x1b[31m", b"[red]", b"a" * 251,
        b"\xff" * 251, b"~", b"CON", b"\xe2\x80\xa8", b"\x85", b"\x7f", b"\\", b"'"]  # fmt: skip
ALPHABETS = [bytes(range(1, 256)), b",\"'\r\n\t =+-@%;", bytes(range(128, 256)), b"abcABC012._- ", b"\xc3\xa9\xcc\x81e"]


def generated(count: int, seed: int) -> list[bytes]:
    """So many different names that a disk can hold, the same for the same seed; the hard ones first."""
    rng = random.Random(seed)
    found = dict.fromkeys(HARD)
    while len(found) < count:
        alphabet = rng.choice(ALPHABETS)
        length = rng.choice([1, 2, 3, 8, 30, 251])
        name = bytes(rng.choice(alphabet) for _ in range(rng.randint(1, length))).replace(b"/", b"_")
        if not name.startswith(b"."):
            found[name] = None
    return list(found)[:count]


def round_trip(count: int, seed: int, scratch: Path) -> tuple[int, int]:
    """(names tried, names that did not come back as they were): listing, SQLite, CSV, the file on the disk."""
    images = scratch / "images"
    images.mkdir(parents=True)
    raw = [name + b".jpg" for name in generated(count, seed)]
    for name in raw:
        with open(os.path.join(os.fsencode(images), name), "wb"):  # noqa: PTH118, PTH123 (bytes, which no Path holds)
            pass
    listed = [row for row in Folder(Folder.Options(images=images), scratch).items() if isinstance(row, Item)]
    workspace = Workspace.create(scratch / "W", {"platform.images": str(images)})
    try:
        workspace.store.replace_items(listed, [])
        kept = list(workspace.store.pool().items.values())
    finally:
        workspace.close()
    query = [QueryRow(rank, item, 1.0 / rank, asked=True) for rank, item in enumerate(kept, 1)]
    wide = priorities.write_files(scratch / "list.csv", query, priorities.Origin(1, "s", "m"))
    assert wide is not None
    narrow = [row["name"] for row in tables.read(scratch / "list.csv")]
    places = {item.name: os.fsencode(uri_to_path(item.uri).name) for item in kept}
    back = {places.get(name) for name in narrow if name in places}
    same = narrow == [item.name for item in kept]
    same = same and [row["name"] for row in tables.read(wide)] == [priorities.as_text(name) for name in narrow]
    return len(raw), len(set(raw) - back) if same and len(places) == len(kept) else len(raw)
