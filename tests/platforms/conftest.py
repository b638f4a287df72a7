"""A local service, and the real adapter with the real SDK before it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from alcli.items import Item, QueryRow
from alcli.platforms.superannotate import Superannotate
from tests.support.superannotate_server import TOKEN, Server

Connect = Callable[..., Superannotate]


@pytest.fixture
def server(monkeypatch, tmp_path) -> Iterator[Server]:
    """An empty service, to which the environment points."""
    with Server() as running:
        monkeypatch.setenv("SA_TOKEN", TOKEN)
        monkeypatch.setenv("SA_URL", running.url)
        monkeypatch.setenv("HOME", str(tmp_path / "home"))
        yield running


@pytest.fixture
def connect(server: Server, tmp_path: Path) -> Connect:
    """A platform on the service's project; keywords are options."""

    def call(**options: object) -> Superannotate:
        settings = {"project": "Cells/*", "backoff": 0.001, "timeout": 2, "deadline": 20, **options}
        return Superannotate(Superannotate.Options(name="superannotate", **settings), tmp_path / "W" / "cache")

    return call


def ranked(items: list[Item]) -> list[QueryRow]:
    """The items as a priority list, in the order given."""
    return [QueryRow(rank, item, 1.0 / rank, asked=rank <= 3) for rank, item in enumerate(items, 1)]
