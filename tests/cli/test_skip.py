from __future__ import annotations

import io
import json
import shutil

from alcli.system.tables import read


def queue(photos) -> set[str]:
    return {row["name"] for row in read(photos.queue)}


def test_what_is_skipped_is_never_asked_for_again(alcli, workspace, photos, tmp_path):
    alcli("cycle", "-w", workspace)
    listed = tmp_path / "blurred.txt"
    listed.write_bytes(b"\xef\xbb\xbfphoto_08.jpg\r\n\r\nphoto_10.jpg")
    code, out, err = alcli("skip", "-w", workspace, listed)
    assert (code, out) == (0, "2 images are excluded from now on.\n"), err
    assert alcli("push", "-w", workspace)[0] == 0
    assert queue(photos) == {photos.name(9), photos.name(11)}
    photos.annotate(9)
    assert alcli("cycle", "-w", workspace)[0] == 0
    assert queue(photos) == {photos.name(11)}
    told = json.loads(alcli("status", "-w", workspace, "--json")[1])
    assert told["pool"] == {"labeled": 9, "unlabeled": 1, "skipped": 2, "quarantined": 0}
    assert alcli("cycle", "-w", workspace)[1].startswith("Nothing new")

    rows = json.loads(alcli("skip", "-w", workspace, "--json")[1])["skipped"]
    assert [row["name"] for row in rows] == ["photo_08.jpg", "photo_10.jpg"]
    assert alcli("skip", "-w", workspace, "--undo", "photo_08.jpg")[1] == "1 image is no longer excluded.\n"
    assert alcli("cycle", "-w", workspace)[0] == 0
    assert queue(photos) == {photos.name(8), photos.name(11)}
    assert alcli("skip", "-w", workspace, "--undo")[0] == 0
    assert json.loads(alcli("skip", "-w", workspace, "--json")[1])["skipped"] == []


def test_a_list_as_data_sets_have_it_needs_no_suffixes(alcli, workspace, tmp_path):
    alcli("cycle", "-w", workspace)
    (tmp_path / "bad.txt").write_text("photo_08\n./images/photo_09.jpg\nphoto_1\n")
    code, out, err = alcli("skip", "-w", workspace, tmp_path / "bad.txt")
    assert (code, out) == (3, "2 images are excluded from now on.\n")
    assert "unknown name: photo_1\n" in err
    assert {row["name"] for row in json.loads(alcli("skip", "-w", workspace, "--json")[1])["skipped"]} == {
        "photo_08.jpg",
        "photo_09.jpg",
    }
    assert alcli("skip", "-w", workspace, "--undo", "photo_08")[1] == "1 image is no longer excluded.\n"


def test_an_annotated_image_stays_annotated(alcli, workspace):
    alcli("cycle", "-w", workspace)
    assert alcli("skip", "-w", workspace, "photo_00.jpg")[0] == 0
    assert json.loads(alcli("status", "-w", workspace, "--json")[1])["pool"]["labeled"] == 8


def test_unknown_names_are_named_and_the_rest_is_done(alcli, workspace, monkeypatch):
    alcli("cycle", "-w", workspace)
    monkeypatch.setattr("sys.stdin", io.StringIO("photo_08.jpg\n[/b].jpg\n"))
    code, out, err = alcli("skip", "-w", workspace, "-")
    assert (code, out) == (3, "1 image is excluded from now on.\n")
    assert "unknown name: [/b].jpg" in err
    code, out, _ = alcli("skip", "-w", workspace, "photo_09.jpg", "--dry-run", "--json")
    assert (code, json.loads(out)["images"]) == (0, 1)
    assert "photo_09" not in alcli("skip", "-w", workspace)[1]


def test_a_workspace_of_the_first_version_is_brought_to_this_one(alcli, workspace):
    import sqlite3

    alcli("cycle", "-w", workspace)
    with sqlite3.connect(workspace / "alcli.db") as connection:
        for table in ("skips", "first_hashes", "queues", "sides"):
            connection.execute(f"DROP TABLE {table}")
        connection.execute("ALTER TABLE images DROP COLUMN side")
        connection.execute("PRAGMA user_version = 1")
    connection.close()
    copy = workspace.with_name("copy")
    shutil.copytree(workspace, copy)
    assert alcli("status", "-w", workspace)[0] == 0
    assert alcli("skip", "-w", workspace)[0] == 0
    assert alcli("skip", "-w", workspace, "photo_08.jpg")[0] == 0
    assert "photo_08.jpg" in alcli("skip", "-w", workspace)[1]
    assert alcli("cycle", "-w", copy)[1].startswith("Nothing new")
