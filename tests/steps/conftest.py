from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.steps.colours import make


@pytest.fixture(scope="session")
def coloured(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """(where the workspace of dark and bright images lies, a copy of how it was made)."""
    live, kept = (tmp_path_factory.mktemp("colours") / name for name in ("live", "kept"))
    live.mkdir()
    make(live)
    shutil.copytree(live, kept)
    return live, kept


@pytest.fixture
def colours(coloured: tuple[Path, Path]) -> Path:
    """The workspace as it was made, always in the same place: it remembers where its images lie."""
    live, kept = coloured
    shutil.rmtree(live)
    shutil.copytree(kept, live)
    return live / "W"
