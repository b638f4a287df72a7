"""A pool in a store is looked at while it is downloaded, with a bounded cache, and gives the list of local files."""

from __future__ import annotations

import shutil
import threading
import time
from pathlib import Path

import fsspec
import pytest

from alcli.platforms._buckets import Bucket
from alcli.system.bounded_folder import _size  # 0 for a file that another thread has just removed
from tests.support.scenes import Photos
from tests.support.trunks import write_trunk

POOL = "memory://cells/photos"
COUNT, LABELED, SHARD = 40, 8, 8


@pytest.fixture
def photos(tmp_path):
    """Forty images in a folder, and the same ones in a store; eight are annotated."""
    photos = Photos(tmp_path / "project").draw(COUNT, LABELED)
    system = fsspec.filesystem("memory")
    system.store.clear()
    for file in sorted(photos.images.iterdir()):
        system.pipe_file(f"/cells/photos/{file.name}", file.read_bytes())
    yield photos
    system.store.clear()


class Watch:
    """Counts what is downloaded, and how much the cache holds at most."""

    def __init__(self, monkeypatch, cache: Path) -> None:
        self.names: list[str] = []
        self.most = 0
        self.before = lambda name: None
        self._lock = threading.Lock()
        real = Bucket._download

        def download(bucket, address, target, clock):
            name = address.rpartition("/")[2]
            self.before(name)
            real(bucket, address, target, clock)
            with self._lock:
                self.names.append(name)
                self.most = max(self.most, sum(map(_size, cache.glob("images/??/*"))))

        monkeypatch.setattr(Bucket, "_download", download)


@pytest.fixture
def start(alcli, photos, tmp_path):
    def make(name: str, images: object, *settings: str) -> Path:
        words = [word for setting in (
            "train.epochs=1", "train.workers=0", "score.workers=0", "model.input_size=64", "train.batch_size=4",
            f"score.shard={SHARD}", "score.batch_size=4", *settings,
        ) for word in ("--set", setting)]  # fmt: skip
        root = tmp_path / name
        made = alcli(
            "init", root, "--images", images, "--annotations", photos.annotations, "--model", "ssd-tiny", *words
        )
        assert made[0] == 0, made[2]
        return root

    return make


def ranked(root: Path) -> bytes:
    return (root / "cycles/0001/priorities.csv").read_bytes()


@pytest.mark.parametrize("workers", [0, 2])
def test_the_list_is_that_of_local_files(alcli, start, photos, monkeypatch, workers):
    remote = start("remote", POOL, f"score.workers={workers}")
    watch = Watch(monkeypatch, remote / "cache")
    assert alcli("cycle", "-w", remote)[0] == 0
    local = start("local", photos.images)
    assert alcli("cycle", "-w", local)[0] == 0
    assert ranked(remote) == ranked(local)
    assert sorted(watch.names) == [photos.name(number) for number in range(COUNT)]
    alcli("score", "-w", remote, "--strategy", "entropy")
    assert len(watch.names) == COUNT


def test_looking_begins_before_all_images_are_there(alcli, start, photos, monkeypatch):
    root = start("W", POOL)
    watch = Watch(monkeypatch, root / "cache")

    def wait_for_first_part(name: str) -> None:
        until = time.monotonic() + 60
        while name == photos.name(COUNT - 1) and not list(root.glob("cycles/0001/signals/*.safetensors")):
            assert time.monotonic() < until, "the pass waits for all images"
            time.sleep(0.01)

    watch.before = wait_for_first_part
    assert alcli("cycle", "-w", root)[0] == 0
    assert photos.name(COUNT - 1) in watch.names


def test_a_pool_larger_than_the_cache_is_looked_at_part_by_part(alcli, start, photos, monkeypatch):
    monkeypatch.setattr("alcli.artifacts.local_images.MOST_DOWNLOADS", 2)
    sizes = [(photos.images / photos.name(number)).stat().st_size for number in range(COUNT)]
    limit = sum(sizes[:LABELED]) + sum(sizes[LABELED : LABELED + 3])
    root = start("W", POOL, f"cache.max_gb={limit / 1e9}")
    watch = Watch(monkeypatch, root / "cache")
    code, _, err = alcli("cycle", "-w", root)
    assert code == 0, err
    # The annotated images and one part are in use; two more may be on their way.
    assert watch.most <= sum(sizes[:LABELED]) + (SHARD + 4) * max(sizes)
    local = start("local", photos.images)
    assert alcli("cycle", "-w", local)[0] == 0
    assert ranked(root) == ranked(local)
    kept = sum(path.stat().st_size for path in (root / "cache").glob("images/??/*"))
    assert alcli("score", "-w", root, "--strategy", "entropy")[0] == 0
    assert kept < sum(sizes)


def test_an_object_that_vanishes_is_left_out_and_named(alcli, start, photos, monkeypatch):
    root = start("W", POOL)
    gone = photos.name(20)
    watch = Watch(monkeypatch, root / "cache")
    system = fsspec.filesystem("memory")

    def vanish(name: str) -> None:
        if name == gone and system.exists(f"/cells/photos/{gone}"):
            system.rm(f"/cells/photos/{gone}")

    watch.before = vanish
    code, out, err = alcli("cycle", "-w", root)
    assert code == 3 and "it is not there any more" in out + err
    assert gone.encode() not in ranked(root) and len(ranked(root).splitlines()) == 1 + COUNT - LABELED - 1


def test_an_interrupted_pass_downloads_no_image_of_a_finished_part_again(alcli, start, photos, monkeypatch):
    monkeypatch.setattr("alcli.artifacts.local_images.MOST_DOWNLOADS", 1)
    root = start("W", POOL, "cache.max_gb=1e-9")
    watch = Watch(monkeypatch, root / "cache")

    def interrupt(name: str) -> None:
        if name == photos.name(30):
            raise KeyboardInterrupt

    watch.before = interrupt
    assert alcli("cycle", "-w", root)[0] == 130
    done = len(list(root.glob("cycles/0001/signals/*.safetensors")))
    assert done >= 1
    watch.before = lambda name: None
    first, watch.names = watch.names, []
    assert alcli("cycle", "-w", root)[0] == 0
    assert not {photos.name(LABELED + number) for number in range(SHARD)} & set(watch.names)
    assert photos.name(9) in first
    local = start("local", photos.images)
    assert alcli("cycle", "-w", local)[0] == 0
    assert ranked(root) == ranked(local)


@pytest.fixture
def cold(start, photos, tmp_path):
    """A workspace over the store without annotations; its cache has no room for images that nobody uses."""
    for path in photos.annotations.iterdir():
        path.unlink()
    write_trunk(tmp_path / "trunk.safetensors")
    return start("W", POOL, "cache.max_gb=1e-3", "train.allow_cold_start=true", "model.name=ssd-mobilenet-v2",
                 f"model.weights={tmp_path}/trunk.safetensors", "score.precision=float32")  # fmt: skip


def test_an_image_whose_features_are_kept_is_not_downloaded_again(alcli, cold, photos, monkeypatch):
    watch = Watch(monkeypatch, cold / "cache")
    assert alcli("cycle", "-w", cold)[0] == 0
    assert len(watch.names) == COUNT
    watch.names.clear()
    shutil.rmtree(cold / "cache/images")
    new = "a_new_one.jpg"  # the first in the list: every part has other images now
    system, late = fsspec.filesystem("memory"), photos.name(30)
    system.pipe_file(f"/cells/photos/{new}", (photos.images / photos.name(3)).read_bytes() + b"!")
    system.pipe_file(f"/cells/photos/{late}", (photos.images / photos.name(31)).read_bytes())
    code, _, err = alcli("cycle", "-w", cold)
    assert code == 0, err
    assert sorted(watch.names) == [new, late]
    assert len((cold / "cycles/0002/priorities.csv").read_text().splitlines()) == 1 + COUNT + 1


def test_features_that_are_lost_meanwhile_bring_their_images_back(alcli, cold, monkeypatch):
    assert alcli("cycle", "-w", cold)[0] == 0
    before = ranked(cold)
    shutil.rmtree(cold / "cycles/0001/signals")
    shutil.rmtree(cold / "cache/images")
    part = sorted(cold.glob("cache/features/*/*"))[2]
    content = part.read_bytes()
    part.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    watch = Watch(monkeypatch, cold / "cache")
    code, _, err = alcli("score", "-w", cold, "--budget", "11")
    assert code == 0 and "Kept features were damaged" in err
    assert len(watch.names) == SHARD
    assert ranked(cold)[:200] == before[:200]
