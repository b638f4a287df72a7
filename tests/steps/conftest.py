from __future__ import annotations

import pytest

from tests.steps.colours import make


@pytest.fixture
def colours(tmp_path, alcli):
    """The workspace of dark and bright images."""
    return make(tmp_path, alcli)
