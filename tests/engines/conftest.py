from __future__ import annotations

import pytest

from tests.support.trained import train_in_parts


@pytest.fixture
def trained(tmp_path, alcli):
    """(workspace, scores.csv of a plain run, folder of the images)."""
    return train_in_parts(tmp_path, alcli)
