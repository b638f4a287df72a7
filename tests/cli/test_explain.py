from __future__ import annotations

import json


def test_an_image_is_explained_through_all_lists(alcli, workspace, photos):
    alcli("cycle", "-w", workspace)
    first = json.loads(alcli("explain", "-w", workspace, "photo_08.jpg", "--json")[1])["items"][0]
    assert first["state"] == "unlabeled"
    assert first["lists"][0]["of"] == 4
    assert set(first["lists"][0]["signals"]) >= {"margin"}
    photos.annotate(8)
    alcli("cycle", "-w", workspace)
    code, out, _ = alcli("explain", "-w", workspace, "photo_08.jpg")
    assert code == 0
    assert "labeled" in out
    assert "cycle 1" in out
    assert "×" in out
    again = json.loads(alcli("explain", "-w", workspace, "photo_09.jpg", "--json")[1])["items"][0]
    assert [row["cycle"] for row in again["lists"]] == [2, 1]


def test_why_an_image_is_left_out(alcli, workspace, photos):
    (photos.images / photos.name(9)).write_bytes(b"")
    alcli("cycle", "-w", workspace)
    told = json.loads(alcli("explain", "-w", workspace, "photo_09.jpg", "--json")[1])["items"][0]
    assert (told["state"], told["left_out"]) == ("quarantined", "empty file")


def test_an_unknown_name_names_the_nearest(alcli, workspace):
    alcli("cycle", "-w", workspace)
    code, _, err = alcli("explain", "-w", workspace, "photo_9.jpg")
    assert code == 2
    assert "Did you mean photo_09.jpg" in err
