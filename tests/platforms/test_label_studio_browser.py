"""Two annotators before Label Studio in a real browser: "Label All Tasks" shows the list's images in order.

Needs ALCLI_LABEL_STUDIO as the other tests before the real server do, and a Chromium (``tests/support/chromium.py``).
ALCLI_SHOTS names a folder for screenshots.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from alcli.system import tables
from tests.platforms.test_label_studio_live import PROGRAM
from tests.support.chromium import BINARY, MISSING, Chromium
from tests.support.label_studio_process import PASSWORD, PEOPLE, RunningServer, run_label_studio
from tests.support.label_studio_server import LEGACY

pytestmark = [
    pytest.mark.slow,
    pytest.mark.label_studio,
    pytest.mark.skipif(not PROGRAM, reason="ALCLI_LABEL_STUDIO names no executable of Label Studio"),
    pytest.mark.skipif(BINARY is None, reason=MISSING),
]
DAY = 86400
BUTTON = "[...document.querySelectorAll('button')].find(button => button.innerText.trim() === '{}')"
TASK = "parseInt(document.querySelector('[class*=current-task__task-id]')?.innerText)"
IS_DRAWN = "[...document.images].some(image => image.src.startsWith('blob:') && image.naturalWidth === 320)"


@pytest.fixture
def server() -> Iterator[RunningServer]:
    """A fresh server that gives a task to one person at a time, as it does unless it is told otherwise."""
    memory = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(prefix="label-studio-", dir=memory if os.access(memory, os.W_OK) else None))
    try:
        with run_label_studio(PROGRAM, folder, lock=DAY) as running:
            yield running
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def photos(tmp_path) -> Path:
    """Thirty images, each with its number."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(30):
        image = Image.new("RGB", (320, 240), tuple(np.random.default_rng(number).integers(90, 255, 3).tolist()))
        ImageDraw.Draw(image).text((110, 60), f"{number:02}", fill="black", font_size=90)
        image.save(folder / f"{number:02} photo #1%.png")
    return folder


def log_in(browser: Chromium, server: RunningServer, person: str, project: int) -> None:
    """The project's tasks, as this person sees them."""
    browser.open(f"{server.url}/user/login/?next=/projects/{project}/data")
    browser.value(f"document.querySelector('[name=email]').value = '{person}'; 0")
    browser.value(f"document.querySelector('[name=password]').value = '{PASSWORD}'; 0")
    browser.value("document.querySelector('form').submit()")
    press(browser, "Label All Tasks")


def press(browser: Chromium, label: str) -> None:
    """Press a button as soon as it is there and can be pressed."""
    button = BUTTON.format(label)
    browser.wait_for(f"{button} && !{button}.disabled")
    browser.value(f"{button}.click()")


def shown_task(browser: Chromium, expected: int) -> int:
    """The number of the task whose image is shown, after some time for the expected one to come."""
    try:
        browser.wait_for(f"{TASK} === {expected} && {IS_DRAWN}", 120)
    finally:
        number = browser.value(TASK)
    return number


def test_two_people_who_label_all_tasks_see_the_first_images_of_the_list_in_order(
    server, alcli, monkeypatch, tmp_path, photos
):
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", LEGACY)
    root, title = tmp_path / "V", uuid.uuid4().hex[:20]
    code, _, err = alcli(
        "init", root, "--platform", "label-studio", "--url", server.url, "--project", title, "--images", photos,
        "--create", "--classes", "cat,dog", "--model", "ssd-tiny",
    )  # fmt: skip
    assert code == 0, err
    assert alcli("cycle", "-w", root)[0] == 0
    order = [int(each["id"]) for each in tables.read(root / "cycles" / "0001" / "priorities.wide.csv")]
    assert order[:6] != sorted(order)[:6]
    project = next(int(each["id"]) for each in server.ask("GET", "/api/projects/")["results"] if each["title"] == title)
    with Chromium(1280) as ann, Chromium(1280) as bob:
        browsers = (ann, bob)
        for number in range(6):
            browser, person = browsers[number % 2], list(PEOPLE)[number % 2]
            if number < 2:
                log_in(browser, server, person, project)
            else:
                press(browser, "Submit")
            assert shown_task(browser, order[number]) == order[number]
            if folder := os.environ.get("ALCLI_SHOTS"):
                browser.screenshot(Path(folder) / f"label-studio-{number + 1}-{person.partition('@')[0]}.png", 900)
