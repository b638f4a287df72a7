"""Images in a store: fsspec's own memory for what any store does, a local S3 server for a whole cycle."""

from __future__ import annotations

import csv
import io
import os
import shutil
import socket
import subprocess
import sys
import time

import fsspec
import pytest
import requests
from PIL import Image

from alcli.errors import DataError, PlatformError, Unreadable, UsageError
from alcli.platforms._buckets import Bucket, check_address
from alcli.platforms.folder import Folder
from alcli.system.typed_values import type_in_words
from tests.support.scenes import Photos

POOL = "memory://pool/photos"
NAMES = ("a.jpg", "sub folder/100% räder #1.jpg", "sub folder/deep/b.png")


def picture(shade: int, kind: str = "JPEG") -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (40, 30), (shade, 90, 20)).save(stream, kind)
    return stream.getvalue()


@pytest.fixture
def store():
    """An empty store in memory."""
    system = fsspec.filesystem("memory")
    system.store.clear()
    yield system
    system.store.clear()


def put(system, name: str, content: bytes) -> None:
    system.pipe_file(f"/pool/photos/{name}", content)


@pytest.fixture
def bucket(store, tmp_path) -> Bucket:
    for number, name in enumerate(NAMES):
        put(store, name, picture(40 * number, "PNG" if name.endswith("png") else "JPEG"))
    return Bucket(POOL, tmp_path / "cache")


def test_every_image_below_the_address_is_listed_by_its_name_as_it_stands(store, bucket):
    for name in (".hidden.jpg", ".git/a.jpg", "notes.txt", "b.heic", "a.jpg___fuse.png"):
        put(store, name, b"x")
    listing = bucket.list_images()
    assert sorted(listing.images) == sorted(NAMES)
    assert listing.images[NAMES[1]][0] == f"{POOL}/{NAMES[1]}"
    assert listing.notes == [
        "1 overlays and masks among the images are no images to annotate.",
        "1 file of kinds that alcli does not read: .heic 1.",
    ]


def test_an_image_is_downloaded_once_and_again_when_it_has_changed(store, bucket):
    address, version = bucket.list_images().images["a.jpg"]
    file = bucket.file(address, version)
    assert file.read_bytes() == picture(0)
    store.rm("/pool/photos/a.jpg")
    assert bucket.file(address, version) == file
    put(store, "a.jpg", picture(250))
    changed = bucket.list_images().images["a.jpg"]
    assert changed[0] == address and changed[1] != version
    assert bucket.file(*changed).read_bytes() == picture(250)


CONTENTS = {
    "nothing": (b"", "it is empty"),
    "other bytes": (bytes(range(200)), "its store sent something that is not an image that alcli can read"),
}


@pytest.mark.parametrize("content", CONTENTS)
def test_what_is_no_image_is_not_kept(store, bucket, content):
    body, reason = CONTENTS[content]
    put(store, "c.jpg", body)
    with pytest.raises(DataError, match=f"^{reason}$"):
        bucket.file(*bucket.list_images().images["c.jpg"])
    put(store, "c.jpg", picture(77))
    assert bucket.file(*bucket.list_images().images["c.jpg"]).read_bytes() == picture(77)


def test_an_object_that_vanishes_is_asked_for_again(store, bucket):
    row = bucket.list_images().images["a.jpg"]
    store.rm("/pool/photos/a.jpg")
    with pytest.raises(Unreadable, match="not there any more"):
        bucket.file(*row)


def test_a_download_that_cannot_be_decoded_is_dropped(bucket):
    row = bucket.list_images().images["a.jpg"]
    file = bucket.file(*row)
    assert bucket.drop(*row) and not file.exists() and not bucket.drop(*row)


def test_only_objects_below_the_address_are_read(store, bucket):
    store.pipe_file("/other/secret.jpg", picture(1))
    with pytest.raises(DataError, match="does not lie below"):
        bucket.file("memory://other/secret.jpg", "1")
    with pytest.raises(DataError, match="does not lie below"):
        bucket.file(f"{POOL}/../../other/secret.jpg", "1")


def test_an_address_with_nothing_below_is_an_error_of_the_platform(store, tmp_path):
    with pytest.raises(PlatformError, match="pool"):
        Bucket(POOL, tmp_path).list_images()


@pytest.mark.parametrize(
    ("address", "complaint"),
    [
        ("s3://key:secret@bucket/photos", "password"),
        ("file:///srv/photos", "folder of this machine"),
        ("simplecache::s3://bucket/photos", "chains"),
        ("simplecache::s3://key:secret@bucket/photos", "password"),
        ("file://key:secret@bucket/photos", "password"),
        ("az://box/photos", "adlfs"),
        ("nonsense://box/photos", "cannot be used"),
    ],
)
def test_addresses_that_cannot_be_used_are_refused_with_the_mend(address, complaint):
    with pytest.raises(UsageError) as refusal:
        check_address(address)
    assert complaint in f"{refusal.value.what} {refusal.value.do}" and "secret" not in str(refusal.value)


def test_settings_know_paths_from_addresses(tmp_path):
    assert type_in_words(Folder.Options.model_fields["images"].annotation) == "text or path or none"
    options = Folder.Options(images="photos", annotations=tmp_path)
    assert options.resolve_paths(tmp_path, "platform").images == tmp_path / "photos"
    options = Folder.Options(images="s3://bucket/photos", annotations=tmp_path)
    assert options.resolve_paths(tmp_path, "platform").images == "s3://bucket/photos"


# A local S3 server


@pytest.fixture(scope="module")
def s3(tmp_path_factory):
    """The address of a server that speaks S3."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = (tmp_path_factory.mktemp("s3") / "log").open("w")
    command = [sys.executable, "-W", "ignore", "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            try:
                requests.get(url, timeout=5)
                break
            except requests.ConnectionError:
                assert server.poll() is None, "the S3 server has ended"
                time.sleep(0.1)
        yield url
    finally:
        server.terminate()
        server.wait(30)
        log.close()


@pytest.fixture
def project(s3, tmp_path, monkeypatch):
    """A pool in a bucket, and the same one in a folder; annotations on this machine."""
    for name, value in {
        "AWS_ENDPOINT_URL": s3, "AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "Canary-of-the-bucket",
        "AWS_DEFAULT_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    photos = Photos(tmp_path / "project").draw(8, 5)
    system = fsspec.filesystem("s3", skip_instance_cache=True)
    system.makedirs("cells", exist_ok=True)
    for file in sorted(photos.images.iterdir()):
        system.pipe_file(f"cells/photos/{file.name}", file.read_bytes())
    yield photos
    system.rm("cells/photos", recursive=True)


SETTINGS = ("train.epochs=2", "model.input_size=64", "train.workers=0", "score.workers=0", "score.precision=float32")


def cycle(root, images, annotations) -> tuple[int, str]:
    settings = [word for setting in SETTINGS for word in ("--set", setting)]
    made = run("init", root, "--images", images, "--annotations", annotations, "--model", "ssd-tiny", *settings)
    assert made[0] == 0, made[1]
    return run("cycle", "-w", root)


def run(*words) -> tuple[int, str]:
    # A process of its own: a driver keeps threads and loops for as long as it lives.
    command = [sys.executable, "-m", "alcli", *map(str, words)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300, env={**os.environ})
    return ended.returncode, ended.stdout + ended.stderr


def names(root) -> list[str]:
    with (root / "cycles/0001/priorities.csv").open() as stream:
        return [line["name"] for line in csv.DictReader(stream)]


def test_a_pool_in_a_bucket_gives_the_list_of_the_same_pool_in_a_folder(project, tmp_path):
    code, output = cycle(tmp_path / "remote", "s3://cells/photos", project.annotations)
    assert code == 0, output
    assert cycle(tmp_path / "local", project.images, project.annotations)[0] == 0
    assert names(tmp_path / "remote") == names(tmp_path / "local") and len(names(tmp_path / "remote")) == 3
    written = b"".join(file.read_bytes() for file in (tmp_path / "remote").rglob("*") if file.is_file())
    assert b"Canary-of-the-bucket" not in written and "Canary" not in output
    system = fsspec.filesystem("s3", skip_instance_cache=True)
    before = len(system.find("cells/photos"))
    assert before == 8 and "Nothing new" in run("cycle", "-w", tmp_path / "remote")[1]


def test_a_bucket_that_is_not_there_or_closed_is_one_message(project, tmp_path, monkeypatch):
    code, output = run("init", tmp_path / "W", "--images", "s3://nowhere/x", "--annotations", project.annotations)
    assert code == 6 and "s3://nowhere/x" in output and "Traceback" not in output
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("HOME", str(tmp_path))
    code, output = run("init", tmp_path / "W2", "--images", "s3://cells/photos", "--annotations", project.annotations)
    assert code == 4 and "may not be listed" in output and "Traceback" not in output


def test_a_received_workspace_does_not_use_this_machines_credentials(project, tmp_path):
    settings = ["--images", project.images, "--annotations", project.annotations]
    assert run("init", tmp_path / "W", *settings)[0] == 0
    file = tmp_path / "W/alcli.toml"
    file.write_text(file.read_text().replace(str(project.images), "s3://cells/photos"))
    code, output = run("pull", "-w", tmp_path / "W")
    assert code == 4 and "this machine's credentials" in output
    shutil.rmtree(tmp_path / "W")
