"""Re-checks: a share of the budget for annotations that should be looked at again."""

from __future__ import annotations

import numpy as np

from alcli.context import Context
from alcli.items import LABELED, RECHECK, QueryRow
from alcli.review.audit import audit
from alcli.review.retrospective import outcomes
from alcli.system.hashing import seed_of, sha256_of_text
from alcli.workspace import StepRecord

ASKED, PUSHED = "rechecks", "rechecked"
"""In a score step's summary: ids of the items to look at again; in a push step's: of all that the cycle has pushed."""


def rechecks_key(context: Context, training: StepRecord) -> str:
    """Changes when the re-checks of a cycle may change; empty where none are wanted."""
    share = context.config.selection.recheck_share
    if not share or training.file is None:
        return ""
    labeled = context.workspace.store.pool().in_state(LABELED)
    return sha256_of_text(str(share), training.inputs, *(part for item in labeled for part in (item.id, item.version)))


def rechecks(context: Context, cycle: int, training: StepRecord) -> list[QueryRow]:
    """The most suspicious annotations, at most the share of the budget; each is asked for once in a project's life.

    Their score is how far their loss lies above what was to be expected, in spreads; it compares with no other row's.
    """
    options = context.config.selection
    # A share of less than one is one now and then.
    chance = float(np.random.default_rng((seed_of(options.seed, cycle), 2)).random())
    wanted = min(int(options.recheck_share * options.budget + chance), options.budget)
    if not options.recheck_share or not wanted or training.file is None:
        return []
    known = _asked_before(context, cycle)
    # Without this cycle's own list, if it has one already: a killed run must find what an undisturbed one finds.
    judged = {number: rows for number, rows in outcomes(context).items() if number < cycle}
    found = [row for row in audit(context, training, judged) if row.item.id not in known]
    items = context.workspace.store.pool().items
    rows = []
    for rank, suspect in enumerate(found[:wanted], 1):
        what = ": ".join(filter(None, ("re-check", suspect.difference.kind, suspect.difference.detail)))
        rows.append(QueryRow(rank, items[suspect.item.id], suspect.excess, True, {"reason": what}, RECHECK))
    return rows


def _asked_before(context: Context, cycle: int) -> set[str]:
    workspace = context.workspace
    numbers = [row["number"] for row in workspace.store.cycles() if row["number"] <= cycle]
    records = [(workspace.step(number, "push"), PUSHED) for number in numbers]
    records += [(workspace.step(number, "score"), ASKED) for number in numbers if number < cycle]
    return {item_id for record, key in records if record for item_id in record.summary.get(key, ())}
