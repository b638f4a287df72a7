"""A workspace as tables, for notebooks: its images, its ranked list, and its metrics cycle by cycle."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from alcli.artifacts.scores import read_scores
from alcli.curves.history import history
from alcli.errors import UsageError
from alcli.workspace import Workspace
from alcli.workspace.database import database_errors
from alcli.workspace.records import Scored

if TYPE_CHECKING:
    import pandas as pd

ITEMS = ("name", "id", "folder", "state", "uri")
SCORES = ("rank", "name", "id", "score", "percentile", "asked", "source", "reason")
METRICS = (
    *("cycle", "started", "finished", "labels", "trained_on", "held_out", "strategy", "ranked", "asked", "cold_start"),
    *("low", "high"),
)


class WorkspaceTables:
    """A workspace, read anew by every call; it may be in use by a run meanwhile, and nothing is changed."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __repr__(self) -> str:
        return f"alcli.open_workspace({str(self.path)!r})"

    def items(self) -> pd.DataFrame:
        """One row per image, by name: ``name``, ``id``, ``folder``, ``state``, ``uri``."""
        import pandas as pd

        with self._open() as workspace:
            pool = workspace.store.pool()
            rows = [(item.name, item.id, item.folder, pool.state(item), item.uri) for item in pool.items.values()]
        return pd.DataFrame(sorted(rows), columns=list(ITEMS))

    def scores(self, cycle: int | None = None) -> pd.DataFrame:
        """The ranked list of the newest cycle, or of another one, best first: ``SCORES``, and a column per signal.

        Raises:
            UsageError: that cycle has no list.
            WorkspaceDamaged: the file has changed since it was written.
        """
        import pandas as pd

        with self._open() as workspace:
            record = workspace.newest(Scored) if cycle is None else workspace.step(cycle, Scored)
            if record is None:
                which = "Nothing has been" if cycle is None else f"Cycle {cycle} has not been"
                raise UsageError(f"{which} scored yet.", do="Run `alcli cycle`.")
            rows = read_scores(workspace.verify_file(record))
        signals = sorted({name for row in rows for name in row.signals})
        table = [
            [
                *(row.rank, row.name, row.item_id, row.score, row.percentile, row.asked, row.source, row.reason),
                *(row.signals.get(name, float("nan")) for name in signals),
            ]
            for row in rows
        ]
        return pd.DataFrame(table, columns=[*SCORES, *signals])

    def metrics(self) -> pd.DataFrame:
        """One row per cycle, oldest first: ``METRICS`` and a column per metric, a share in [0, 1]; NaN where unknown.

        ``low`` and ``high`` are the 90 % interval of the first metric.
        """
        import pandas as pd

        with self._open() as workspace:
            cycles = history(workspace)
        names = list(dict.fromkeys(name for each in cycles for name in each.metrics))
        nothing = float("nan")
        table = [
            [
                *(each.number, each.started, each.finished, each.labels, each.trained_on, each.held_out),
                *(each.strategy, each.ranked, each.asked, each.cold_start, *(each.interval or (nothing, nothing))),
                *(each.metrics.get(name, nothing) for name in names),
            ]
            for each in cycles
        ]
        return pd.DataFrame(table, columns=[*METRICS, *names])

    @contextmanager
    def _open(self) -> Iterator[Workspace]:
        workspace = Workspace.open(self.path, read_only=True)
        try:
            with database_errors(self.path):
                yield workspace
        finally:
            workspace.close()


def open_workspace(path: str | Path) -> WorkspaceTables:
    """A workspace's images, list and metrics as tables.

    Raises:
        WorkspaceMissing, WorkspaceTooNew, WorkspaceDamaged: as their names say.
    """
    tables = WorkspaceTables(Path(path))
    with tables._open():
        return tables
