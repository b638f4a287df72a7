"""The order of the list survives SuperAnnotate's own cleaning of scores."""

from __future__ import annotations

import numpy as np

from alcli import priorities
from alcli.priorities import Origin, write_files
from alcli.selection.query import select
from alcli.signals import Signals
from alcli.system import tables


def distributions(count: int) -> dict[str, np.ndarray]:
    """Twenty ways in which scores can be hard to tell apart once somebody cuts their digits."""
    rng = np.random.default_rng(0)
    plain = rng.normal(size=count)
    decades = {f"around 1e{power}": 10.0**power * rng.lognormal(0, 1, count) for power in range(-12, 7, 2)}
    return decades | {
        "normal": plain,
        "all negative": -np.abs(plain) - 1e-9,
        "wide": rng.lognormal(-6, 3, count),
        "logarithmic": 10.0 ** rng.uniform(-12, 6, count),
        "heavy ties": np.round(plain, 1),
        "all equal": np.zeros(count),
        "two values": rng.integers(0, 2, count).astype(float),
        "the last digits": 1.0 + rng.integers(0, 5000, count) * 2.0**-52,
        "denormal": rng.integers(0, 2**20, count) * 5e-324,
        "signed and huge": plain * 1e30,
    }


def test_the_order_of_the_csv_survives_for_every_distribution_of_scores(server, connect, tmp_path):
    count = 10_000
    for number in range(count):
        server.add(f"img_{number:05d}.jpg", "ab"[number % 2])
    platform = connect()
    items = {item.id: item for item in platform.items()}
    ids = sorted(items)
    cases = distributions(count)
    assert len(cases) == 20
    for name, scores in cases.items():
        query = select(Given(), Signals(ids, {"given": scores}), items, 100, 0)
        write_files(tmp_path / "list.csv", query.rows, Origin(1, "given", "none"))
        assert all(receipt.accepted for receipt in platform.push(query.rows)), name
        told = [row["name"] for row in tables.read(tmp_path / "list.csv")]
        queue = platform.queue()
        assert [place.name for place in queue] == told == server.queue(), name
        assert [place.position for place in queue] == list(range(1, count + 1)), name


class Given:
    """A strategy that takes the scores as they are."""

    needs = frozenset({"given"})

    def score(self, signals, budget, rng):
        return signals["given"]


def test_the_sdks_cleaning_would_have_lost_the_raw_scores(server, connect):
    from lib.core.usecases.annotations import UploadPriorityScoresUseCase  # the SDK's own, under its own name

    clean = UploadPriorityScoresUseCase.get_clean_priority
    assert clean(1.23e-05) == 1.23 and clean(-3.5) == 0
    for count in (1, 2, 3, 999, 10_000, 99_999, 100_000, 100_001):
        values = [float(text) for text in priorities.priorities(count)]
        assert all(clean(value) == value for value in values[:: max(1, count // 5000)])
