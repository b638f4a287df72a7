"""The tables of the workspace: version 1, and the statements that lead from each version to the next."""

from __future__ import annotations

SCHEMA = """
CREATE TABLE items (
    id TEXT PRIMARY KEY, name TEXT NOT NULL, folder TEXT NOT NULL, uri TEXT NOT NULL,
    state TEXT NOT NULL, version TEXT NOT NULL, assignees TEXT NOT NULL
);
CREATE TABLE annotations (item_id TEXT PRIMARY KEY, version TEXT NOT NULL, content TEXT NOT NULL);
CREATE TABLE images (
    item_id TEXT PRIMARY KEY, version TEXT NOT NULL, sha256 TEXT NOT NULL,
    width INTEGER NOT NULL, height INTEGER NOT NULL
);
CREATE TABLE quarantine (
    stage TEXT NOT NULL, item_id TEXT NOT NULL, name TEXT NOT NULL, version TEXT NOT NULL, reason TEXT NOT NULL,
    since TEXT NOT NULL, PRIMARY KEY (stage, item_id)
);
CREATE TABLE cycles (number INTEGER PRIMARY KEY, started TEXT NOT NULL, finished TEXT, inputs TEXT NOT NULL);
CREATE TABLE steps (
    cycle INTEGER NOT NULL, step TEXT NOT NULL, inputs TEXT NOT NULL, file TEXT, sha256 TEXT,
    summary TEXT NOT NULL, finished TEXT NOT NULL, PRIMARY KEY (cycle, step)
);
CREATE TABLE receipts (
    cycle INTEGER NOT NULL, item_id TEXT NOT NULL, position INTEGER NOT NULL, accepted INTEGER NOT NULL,
    reason TEXT NOT NULL, PRIMARY KEY (cycle, item_id)
);
"""
"""Version 1, for ever: new tables and columns are made by ``MIGRATIONS``, for new workspaces as for old ones."""

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    ("CREATE TABLE skips (item_id TEXT PRIMARY KEY, name TEXT NOT NULL, folder TEXT NOT NULL, since TEXT NOT NULL)",),
    (
        "ALTER TABLE images ADD COLUMN side TEXT NOT NULL DEFAULT ''",
        "CREATE TABLE first_hashes (item_id TEXT PRIMARY KEY, sha256 TEXT NOT NULL)",
        "INSERT INTO first_hashes SELECT item_id, sha256 FROM images",
        "CREATE TABLE queues (cycle INTEGER PRIMARY KEY, sha256 TEXT NOT NULL, top INTEGER, restored INTEGER NOT NULL)",
    ),
    (
        "CREATE TABLE sides (image TEXT PRIMARY KEY, anchor TEXT NOT NULL)",
        # Images that a training may have used stay on the side that their own pixels decided.
        "INSERT OR IGNORE INTO sides SELECT side, side FROM images WHERE side <> ''"
        " AND item_id IN (SELECT id FROM items WHERE state = 'labeled')"
        " AND EXISTS (SELECT 1 FROM steps WHERE step = 'train')",
        "INSERT OR IGNORE INTO sides SELECT sha256, sha256 FROM first_hashes",
    ),
)
"""The statements from version 1 to 2, those from 2 to 3, and so on; never changed once released."""
