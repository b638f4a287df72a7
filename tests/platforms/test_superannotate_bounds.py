"""One clock and one limit for every request to the service, and no password that nobody named."""

from __future__ import annotations

import time

import pytest

from alcli.errors import PlatformError
from alcli.items import LABELED
from alcli.platforms import _answers, _superannotate_wire
from tests.platforms.conftest import ranked
from tests.support.superannotate_server import TOKEN, Fault

CAT = {"type": "bbox", "className": "cat", "points": {"x1": 1, "y1": 2, "x2": 30, "y2": 40}}
PLACES = ("user/ME", "projects", "folders/search", "workflowstatuses", "items/search", "annotations/download",
          "updateEntropy")  # fmt: skip


def everything(platform) -> None:
    """A pull and a push."""
    items = list(platform.items())
    assert [answer.item_id for answer in platform.annotations([item for item in items if item.state == LABELED])]
    assert all(receipt.accepted for receipt in platform.push(ranked([item for item in items if item.state != LABELED])))


@pytest.fixture
def filled(server):
    server.annotate(server.add("done.jpg"), [CAT])
    server.add("open.jpg")
    return server


@pytest.mark.parametrize("place", PLACES)
def test_a_service_that_drips_is_left_at_the_deadline(filled, connect, place):
    filled.faults = [Fault("drip", place, 99)]
    platform = connect(timeout=5, deadline=1.5)
    started = time.monotonic()
    with pytest.raises(PlatformError, match=r"did not complete .*1.5 s") as error:
        everything(platform)
    assert time.monotonic() - started < 20
    assert "platform.deadline" in error.value.do
    assert filled.queue() == []
    filled.faults = []
    everything(connect(timeout=5))
    assert filled.queue() == ["open.jpg"]


@pytest.mark.parametrize("place", ["items/search", "annotations/download"])
def test_an_answer_that_is_too_large_is_left(filled, connect, monkeypatch, place):
    platform = connect()
    list(platform.items())
    for module in (_answers, _superannotate_wire):
        monkeypatch.setattr(module, "LARGEST_ANSWER", 100)
    with pytest.raises(PlatformError, match="larger than"):
        if place == "items/search":
            list(platform.items())
        else:
            platform._client._some_annotations([next(iter(filled.items))])


def test_the_token_is_sent_whatever_netrc_says(filled, connect, monkeypatch, tmp_path):
    netrc = tmp_path / "netrc"
    netrc.write_text("default login me password Canary\nmachine 127.0.0.1 login me password Canary\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    everything(connect())
    assert {headers["authorization"] for headers in filled.headers} == {TOKEN}
