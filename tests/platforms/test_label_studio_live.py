"""Label Studio itself: what only the real server can show.

Its executable is named by ALCLI_LABEL_STUDIO; it lies in an environment of its own (``pip install label-studio``).
"""

from __future__ import annotations

import io
import os
import random
import shutil
import tempfile
import uuid
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import requests
from PIL import Image
from pycocotools import mask as coco_mask

from alcli.annotations import Annotation, Box, Mask
from alcli.config import TaskOptions
from alcli.formats.label_studio import Control, write_results
from alcli.items import LABELED, Item
from alcli.platforms.label_studio import LabelStudio
from alcli.system import tables
from tests.platforms.conftest import ranked
from tests.support.label_studio_process import RunningServer, run_label_studio
from tests.support.label_studio_server import LEGACY

PROGRAM = os.environ.get("ALCLI_LABEL_STUDIO", "")
pytestmark = [
    pytest.mark.label_studio,
    pytest.mark.skipif(not PROGRAM, reason="ALCLI_LABEL_STUDIO names no executable of Label Studio"),
]
SIZE = (64, 48)
BOX = Box("cat", 8, 12, 40, 36)


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    """A fresh server; its migrations are much faster in memory."""
    memory = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(prefix="label-studio-", dir=memory if os.access(memory, os.W_OK) else None))
    try:
        with run_label_studio(PROGRAM, folder) as running:
            yield running
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def photos(tmp_path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(44):
        color = tuple(np.random.default_rng(number).integers(0, 255, 3).tolist())
        Image.new("RGB", SIZE, color).save(folder / f"{number:02} photo #1%.png")
    return folder


@pytest.fixture
def project(server, photos, monkeypatch, tmp_path) -> LabelStudio:
    """A new project with those images."""
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", LEGACY)
    return connect(server, tmp_path, photos)


def connect(server: RunningServer, tmp_path: Path, photos: Path, task: str = "detection") -> LabelStudio:
    options = LabelStudio.Options(name="label-studio", url=server.url, project=uuid.uuid4().hex[:20], images=photos)
    platform = LabelStudio(options, tmp_path / "W" / "cache")
    classes = TaskOptions(name=task, classes=("cat", "dog"))
    platform.set_task(classes)
    assert platform.create(classes).endswith("44 images uploaded.")
    assert platform.create(classes).endswith("was there already; 0 images uploaded.")
    return platform


def listed(platform: LabelStudio) -> list[Item]:
    return [item for item in platform.items() if isinstance(item, Item)]


def test_two_annotators_receive_the_pushed_order_each_another_image(server, project):
    order = listed(project)
    random.Random(7).shuffle(order)
    assert all(receipt.accepted for receipt in project.push(ranked(order)))
    assert [row.item_id for row in project.queue()] == [item.id for item in order]
    received = []
    for number in range(40):
        received.append(server.next_task(project._client.project_id, number % 2))
        server.answer(received[-1], [], person=number % 2)
    assert received == [int(item.id) for item in order[:40]]


def test_what_annotators_draw_comes_back_in_pixels_and_only_news_are_asked_for(server, project):
    items = listed(project)
    controls = [Control("RectangleLabels", "label", "image", ("cat", "dog"))]
    server.answer(int(items[3].id), write_results(Annotation("x", (BOX,)), SIZE, controls), ground_truth=True)
    before = project._client.wire.requests
    items = listed(project)
    assert project._client.wire.requests - before <= 3
    annotated = [item for item in items if item.state == LABELED]
    assert [item.id for item in annotated] == [items[3].id]
    annotation = next(iter(project.annotations(annotated)))
    assert isinstance(annotation, Annotation)
    assert annotation.boxes == (BOX,) and annotation.seconds == 12.5


def test_a_new_order_is_whole_and_the_one_before_the_last_is_removed(server, project):
    order = listed(project)
    for each in (order, order[::-1], order[1:]):
        list(project.push(ranked(each)))
    assert [row.item_id for row in project.queue()] == [item.id for item in order[1:]]
    assert sorted(project._client.versions().values()) == [43, 44]


def test_pre_labels_are_shown_to_annotators(server, project):
    items = listed(project)
    list(project.push(ranked(items)))
    assert project.prelabel([items[0]], [Annotation(items[0].id, (BOX,), SIZE)]) == []
    task = server.ask("GET", f"/api/tasks/{items[0].id}/")
    assert [result["value"]["rectanglelabels"] for result in task["predictions"][0]["result"]] == [["cat"]]
    assert project.queue()[0].item_id == items[0].id


def test_images_come_from_the_server_where_there_is_no_copy(server, project, photos):
    item = listed(project)[5]
    shutil.rmtree(photos)
    with Image.open(project.image(item)) as image:
        assert image.size == SIZE


def test_a_mask_is_painted_as_the_server_understands_it(server, monkeypatch, tmp_path, photos):
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", LEGACY)
    project = connect(server, tmp_path, photos, "segmentation")
    items = listed(project)
    pixels = np.zeros((SIZE[1], SIZE[0]), dtype=np.uint8)
    pixels[10:20, 30:50] = 1
    counts = coco_mask.encode(np.asfortranarray(pixels))["counts"].decode()
    mask = Annotation(items[0].id, masks=(Mask("dog", counts, SIZE),))
    results = write_results(mask, SIZE, [Control("BrushLabels", "brush", "image", ("cat", "dog"))])
    server.answer(int(items[0].id), results)
    item = next(item for item in listed(project) if item.state == LABELED)
    annotation = next(iter(project.annotations([item])))
    assert isinstance(annotation, Annotation)
    assert np.array_equal(annotation.masks[0].pixels(), pixels)
    # The server's own converter makes the same picture of it.
    assert np.array_equal(drawn_by(server, project._client.project_id) > 0, pixels > 0)


def drawn_by(server: RunningServer, project: int) -> np.ndarray:
    """The only mask of a project, drawn by the server; it sends a single picture as it is, or in an archive."""
    path = f"/api/projects/{project}/export?exportType=BRUSH_TO_PNG"
    response = requests.get(server.url + path, headers={"Authorization": f"Token {LEGACY}"}, timeout=120)
    content = response.content
    if content.startswith(b"PK"):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            content = archive.read(next(name for name in archive.namelist() if name.endswith(".png")))
    with Image.open(io.BytesIO(content)) as picture:
        return np.asarray(picture)


def test_a_cycle_is_what_the_annotators_receive(server, alcli, monkeypatch, tmp_path, photos):
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", LEGACY)
    root, title = tmp_path / "V", uuid.uuid4().hex[:20]
    code, _, err = alcli(
        "init", root, "--platform", "label-studio", "--url", server.url, "--project", title, "--images", photos,
        "--create", "--classes", "cat,dog", "--model", "ssd-tiny",
    )  # fmt: skip
    assert code == 0, err
    assert alcli("cycle", "-w", root)[0] == 0
    rows = list(tables.read(root / "cycles" / "0001" / "priorities.wide.csv"))
    number = next(int(each["id"]) for each in server.ask("GET", "/api/projects/")["results"] if each["title"] == title)
    assert server.next_task(number, 1) == int(rows[0]["id"])
