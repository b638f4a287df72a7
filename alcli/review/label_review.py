"""Label review: a share of the budget for labels that somebody should look at again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from alcli.context import Context
from alcli.items import LABELED, RECHECK, UNLABELED, QueryRow, fingerprint
from alcli.system.hashing import seed_of, sha256_of_text
from alcli.workspace.records import Pushed, Scored, StepRecord, Training

if TYPE_CHECKING:
    from alcli.artifacts.predictor import Predictor


def rechecks_key(context: Context, training: StepRecord[Training]) -> str:
    """A hash that changes when the re-checks of a cycle may change; empty where none are wanted."""
    share = context.config.selection.recheck_share
    if not share or training.file is None:
        return ""
    labeled = context.workspace.store.pool().in_state(LABELED)
    return sha256_of_text(str(share), training.inputs, fingerprint(labeled))


def choose_rechecks(context: Context, cycle: int, predictor: Predictor | None) -> list[QueryRow]:
    """Choose the most suspicious labels, at most the configured share of the budget; each once in a project's life.

    Their score is how far their loss lies above the expected one, in spreads; it compares with no other row's.
    """
    from alcli.review.audit import audit
    from alcli.review.retrospective import outcomes

    options = context.config.selection
    # A share of less than one label is one label now and then.
    chance = float(np.random.default_rng((seed_of(options.seed, cycle), 2)).random())
    budget = options.budget_of(len(context.workspace.store.pool(forgiving=("image",)).in_state(UNLABELED)))
    most = min(int(options.recheck_share * budget + chance), budget)
    if not options.recheck_share or not most or predictor is None:
        return []
    known = _earlier_rechecks(context, cycle)
    # Without this cycle's own list, if it has one already: a killed run must choose what an undisturbed one chooses.
    earlier = {number: rows for number, rows in outcomes(context).items() if number < cycle}
    suspects = [suspect for suspect in audit(context, predictor, earlier) if suspect.item.id not in known]
    items = context.workspace.store.pool().items
    rows = []
    for rank, suspect in enumerate(suspects[:most], 1):
        reason = ": ".join(filter(None, ("re-check", suspect.difference.kind, suspect.difference.detail)))
        rows.append(QueryRow(rank, items[suspect.item.id], suspect.excess, True, RECHECK, reason=reason))
    return rows


def _earlier_rechecks(context: Context, cycle: int) -> set[str]:
    workspace = context.workspace
    asked = {item_id for row in workspace.all_steps(Scored) if row.cycle < cycle for item_id in row.summary.rechecks}
    for record in workspace.all_steps(Pushed):
        if record.cycle <= cycle:
            asked |= set(record.summary.rechecked or ())
    return asked
