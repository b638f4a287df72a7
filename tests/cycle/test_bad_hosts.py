"""Nights at which the host of the images is broken: nothing is lost, and the next night is as if it had never been."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from alcli.system.hashing import sha256_of_text
from tests.cli.test_superannotate import SMALL, names, photographed
from tests.support.superannotate_server import TOKEN, Fault, Server


@pytest.fixture
def night(alcli, tmp_path, monkeypatch):
    """The night after a first one: twelve images are queued, and none of the waiting ones is in the cache any more."""
    root = tmp_path / "W"
    with Server() as server:
        server.classes = ["blue", "green", "red"]
        for number in range(18):
            photographed(server, number, "ab"[number % 2], annotated=number < 6)
        monkeypatch.setenv("SA_TOKEN", TOKEN)
        monkeypatch.setenv("SA_URL", server.url)
        monkeypatch.setenv("HOME", str(tmp_path / "home"))
        flags = ("--platform", "superannotate", "--project", "Cells/*", *SMALL, "--set", "report.enabled=false")
        assert alcli("init", root, *flags)[0] == 0
        assert alcli("cycle", "-w", root)[0] == 0
        assert len(server.queue()) == 12
        annotate_one_more(server)
        yield server, root


def forget(root: Path, server: Server) -> None:
    """Empty the cache of all images that wait for an annotation."""
    for item_id, item in server.items.items():
        if item["annotation_status"] == 1:
            digest = sha256_of_text(f"{item_id} {server.url}/photos/{item_id}.jpg")
            (root / "cache/images" / digest[:2] / digest).unlink()


def annotate_one_more(server: Server) -> None:
    item_id = next(i for i, item in server.items.items() if item["annotation_status"] == 1)
    points = {"x1": 1, "y1": 2, "x2": 40, "y2": 50}
    server.annotate(item_id, [{"type": "bbox", "className": "red", "points": points}], width=96, height=80)


@pytest.mark.parametrize("kind", ["html", "cutoff", "404", "drip", "503"])
def test_a_night_without_images_leaves_the_queue_and_the_next_one_makes_the_list(alcli, night, kind):
    server, root = night
    queue = server.queue()
    forget(root, server)
    server.faults = [Fault(kind, "/photos/", 10**6)]
    fast = ("--set", "platform.deadline=3", "--set", "platform.backoff=0.001")
    code, _, err = alcli("cycle", "-w", root, *fast)
    assert code == 6, err
    assert server.queue() == queue
    assert len(queue) == 11
    server.faults = []
    code, _, err = alcli("cycle", "-w", root, *fast)
    assert code in (0, 3), err
    assert server.queue() == names(root, 2)
    assert sorted(server.queue()) == sorted(queue)
    assert alcli("cycle", "-w", root, *fast)[0] == 0
    assert "none" in alcli("list", "quarantine", "-w", root)[1]


def test_a_few_images_that_are_pages_wait_for_the_next_night(alcli, night):
    server, root = night
    forget(root, server)
    server.faults = [Fault("html", "/photos/", 3)]
    code, _, err = alcli("cycle", "-w", root)
    assert code == 3, err
    assert "a page or a text instead of an image" in err
    assert len(server.queue()) == 8
    code, _, err = alcli("cycle", "-w", root)
    assert code == 0, err
    assert len(server.queue()) == 11
    assert "Nothing new" in alcli("cycle", "-w", root)[1]


@pytest.mark.parametrize("kind", ["drip", "503"])
def test_one_image_at_a_host_that_does_not_answer_ends_no_night(alcli, night, kind):
    """Strangers write these addresses: one of them must not stop a team for ever."""
    server, root = night
    queue = server.queue()
    photographed(server, 40, "a", annotated=False)
    server.faults = [Fault(kind, f"/photos/{server.last_id}.jpg", 10**6)]
    fast = ("--set", "platform.deadline=3", "--set", "platform.backoff=0.001")
    for _ in range(2):
        code, _, err = alcli("cycle", "-w", root, *fast)
        assert code == 3 and "left out: photo_40.jpg: 127.0.0.1 does not send it" in err, err
        assert sorted(server.queue()) == sorted(queue)
    server.faults = []
    assert alcli("cycle", "-w", root, *fast)[0] == 0
    assert sorted(server.queue()) == sorted([*queue, "photo_40.jpg"])


def test_images_that_are_gone_for_good_do_not_empty_the_queue(alcli, night):
    """Refused twice, half a day apart: they are believed to be gone, but only a person empties a queue."""
    server, root = night
    queue = server.queue()
    forget(root, server)
    server.faults = [Fault("404", "/photos/", 10**6)]
    assert alcli("cycle", "-w", root)[0] == 6
    for note in (root / "cache/images").rglob("*.refused"):
        os.utime(note, (time.time() - 13 * 3600,) * 2)
    code, _, err = alcli("cycle", "-w", root)
    assert code == 6, err
    assert "queued images could not be scored" in err
    assert "alcli skip" in err
    assert server.queue() == queue
    code, _, err = alcli("push", "-w", root)
    assert (code, server.queue()) == (6, queue), err


def test_an_image_that_cannot_be_decoded_is_fetched_again_the_next_night(alcli, night):
    server, root = night
    forget(root, server)
    whole = dict(server.images)
    name = sorted(whole)[-1]
    server.images[name] = whole[name][: len(whole[name]) // 2]
    code, _, err = alcli("cycle", "-w", root)
    assert code == 3, err
    assert len(server.queue()) == 10
    server.images = whole
    code, _, err = alcli("cycle", "-w", root)
    assert (code, len(server.queue())) == (0, 11), err
