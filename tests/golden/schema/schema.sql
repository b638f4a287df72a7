CREATE TABLE annotations (item_id TEXT PRIMARY KEY, version TEXT NOT NULL, content TEXT NOT NULL);
CREATE TABLE cycles (number INTEGER PRIMARY KEY, started TEXT NOT NULL, finished TEXT, inputs TEXT NOT NULL);
CREATE TABLE first_hashes (item_id TEXT PRIMARY KEY, sha256 TEXT NOT NULL);
CREATE TABLE images (
    item_id TEXT PRIMARY KEY, version TEXT NOT NULL, sha256 TEXT NOT NULL,
    width INTEGER NOT NULL, height INTEGER NOT NULL
, side TEXT NOT NULL DEFAULT '');
CREATE TABLE items (
    id TEXT PRIMARY KEY, name TEXT NOT NULL, folder TEXT NOT NULL, uri TEXT NOT NULL,
    state TEXT NOT NULL, version TEXT NOT NULL, assignees TEXT NOT NULL
);
CREATE TABLE quarantine (
    stage TEXT NOT NULL, item_id TEXT NOT NULL, name TEXT NOT NULL, version TEXT NOT NULL, reason TEXT NOT NULL,
    since TEXT NOT NULL, PRIMARY KEY (stage, item_id)
);
CREATE TABLE queues (cycle INTEGER PRIMARY KEY, sha256 TEXT NOT NULL, top INTEGER, restored INTEGER NOT NULL);
CREATE TABLE receipts (
    cycle INTEGER NOT NULL, item_id TEXT NOT NULL, position INTEGER NOT NULL, accepted INTEGER NOT NULL,
    reason TEXT NOT NULL, PRIMARY KEY (cycle, item_id)
);
CREATE TABLE sides (image TEXT PRIMARY KEY, anchor TEXT NOT NULL);
CREATE TABLE skips (item_id TEXT PRIMARY KEY, name TEXT NOT NULL, folder TEXT NOT NULL, since TEXT NOT NULL);
CREATE TABLE steps (
    cycle INTEGER NOT NULL, step TEXT NOT NULL, inputs TEXT NOT NULL, file TEXT, sha256 TEXT,
    summary TEXT NOT NULL, finished TEXT NOT NULL, PRIMARY KEY (cycle, step)
);
PRAGMA user_version = 4;
