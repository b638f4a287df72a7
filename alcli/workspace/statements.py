"""The longer statements of the store. ``PUT_…`` write nothing where nothing differs."""

from __future__ import annotations

PARTS = ("boxes", "poses", "polygons", "masks")
"""Parts of a stored annotation whose entries have a label."""

IS_EMPTY = " AND ".join(f"json_type(content, '$.{part}') IS NULL" for part in (*PARTS, "labels", "passed_over"))
QUARANTINED_ITEMS = """
SELECT DISTINCT i.id, i.state FROM quarantine q JOIN items i ON i.id = q.item_id AND i.version = q.version
"""
PUT_ITEM = """
INSERT INTO items (id, name, uri, folder, state, version, assignees) VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET name = excluded.name, uri = excluded.uri, folder = excluded.folder,
state = excluded.state, version = excluded.version, assignees = excluded.assignees
WHERE (name, uri, folder, state, version, assignees)
IS NOT (excluded.name, excluded.uri, excluded.folder, excluded.state, excluded.version, excluded.assignees)
"""
SKIPPED_ITEMS = """
SELECT i.id, i.state FROM items i WHERE i.state = 'unlabeled'
AND (i.id IN (SELECT item_id FROM skips) OR (i.folder, i.name) IN (SELECT folder, name FROM skips))
AND NOT EXISTS (SELECT 1 FROM quarantine q WHERE q.item_id = i.id AND q.version = i.version)
"""
PUT_RECEIPT = """
INSERT INTO receipts VALUES (?, ?, ?, ?, ?)
ON CONFLICT (cycle, item_id) DO UPDATE SET
position = excluded.position, accepted = excluded.accepted, reason = excluded.reason
WHERE (position, accepted, reason) IS NOT (excluded.position, excluded.accepted, excluded.reason)
"""
