"""The report in a real browser: nothing asked of any network, nothing in the console, nothing wider than the window.

ALCLI_CHROMIUM names the browser where it is not called ``chromium`` (see ``tests/support/chromium.py``), ALCLI_AXE
axe-core's ``axe.min.js`` (``npm pack axe-core``, or in the package ``axe-playwright-python``), which then looks for
faults of accessibility, ALCLI_SHOTS a folder for screenshots.
"""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest

from alcli.curves.classes import ClassNumbers
from alcli.curves.outlook import Outlook
from alcli.report.page import page as page_of
from alcli.simulation.plot import write_pictures
from alcli.simulation.results import summarize
from tests.report.test_gather import HOSTILE
from tests.report.test_page import LONG, RIGHT_TO_LEFT, cycle, facts
from tests.simulation.test_results import ARMS, curves
from tests.support.chromium import BINARY, MISSING, Chromium

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BINARY is None, reason=MISSING),
]
WIDTHS = (1280, 390)


@pytest.fixture
def page(alcli, workspace, photos) -> Path:
    """A report with everything in it: two cycles, a forecast, hostile names, something left out, a missing image."""
    for number, name in enumerate(HOSTILE[:3], 9):
        (photos.images / name).parent.mkdir(exist_ok=True)
        (photos.images / photos.name(number)).rename(photos.images / name)
    photos.write_xml("photo_03", ("red", "50", "10", "20", "30"))
    flags = ("--set", "selection.budget=3", "--set", "train.validation=0.4")
    assert alcli("cycle", "-w", workspace, *flags)[0] == 3
    photos.annotate(8)
    assert alcli("cycle", "-w", workspace, *flags)[0] == 0
    (photos.images / HOSTILE[1]).unlink()
    code, _, err = alcli("report", "-w", workspace, "--target", "0.9")
    assert code == 0, err
    return workspace / "cycles/0002/report.html"


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_report_in_a_browser(page, width, dark, tmp_path):
    with Chromium(width, dark=dark) as browser:
        browser.open(page)
        if folder := os.environ.get("ALCLI_SHOTS"):
            browser.screenshot(Path(folder) / f"report-{width}-{'dark' if dark else 'light'}.png")
        assert browser.value("document.documentElement.scrollWidth") <= width
        assert browser.value("document.images.length") >= 4
        browser.value("document.querySelectorAll('details').forEach(part => part.open = true)")
        assert browser.value("document.documentElement.scrollWidth") <= width
        browser.value("Promise.all([...document.images].map(image => image.decode()))")
        assert browser.complaints() == []
        assert [url for url in browser.requests() if not url.startswith(("data:", "file:"))] == []
        assert [url for url in browser.requests() if url.startswith("file:")] == [page.as_uri()]


@pytest.mark.parametrize("width", WIDTHS)
def test_long_names_and_many_classes_stay_inside_the_window(width, tmp_path):
    names = [LONG, 22 * RIGHT_TO_LEFT, *(f"class {number}" for number in range(198))]
    for count in (3, 200):
        rows = [ClassNumbers(name, 2, 3, 1, {"recall": 0.0 if name == LONG else 0.5}) for name in names[:count]]
        known = facts([cycle(1, 0.2)], names[:count], classes=rows, confusions=[(0, 1, 3), (1, 0, 4)], drawn=True)
        (tmp_path / "page.html").write_text(page_of(known, Outlook("")), encoding="utf-8")
        with Chromium(width) as browser:
            browser.open(tmp_path / "page.html")
            browser.value("document.querySelectorAll('details').forEach(part => part.open = true)")
            assert browser.value("document.documentElement.scrollWidth") <= width


def find_faults(browser: Chromium) -> list[str]:
    """What axe says about the page."""
    browser.value(Path(os.environ["ALCLI_AXE"]).read_text(encoding="utf-8") + "; 0")
    return browser.value(
        "axe.run().then(result => result.violations.map(v => v.impact + ' ' + v.id + ': ' + v.nodes[0].html))"
    )


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.skipif("ALCLI_AXE" not in os.environ, reason="ALCLI_AXE does not name axe-core's axe.min.js")
def test_axe_finds_no_fault_of_accessibility(page, width, dark):
    with Chromium(width, dark=dark) as browser:
        browser.open(page)
        browser.value("document.querySelectorAll('details').forEach(part => part.open = true)")
        assert find_faults(browser) == []


def test_the_report_prints_on_paper(page):
    with Chromium(1280) as browser:
        browser.open(page)
        assert len(browser.call("Page.printToPDF", printBackground=False)["data"]) > 10_000


@pytest.mark.parametrize("width", WIDTHS)
def test_a_name_from_right_to_left_stands_before_its_number(width, tmp_path):
    """Without isolation a browser moves the number to the left of the name."""
    rows = [ClassNumbers(RIGHT_TO_LEFT, 2, 3, 1, {"recall": 0.0}), ClassNumbers("cat", 4, 5, 1, {"recall": 0.5})]
    known = facts([cycle(1, 0.2)], (RIGHT_TO_LEFT, "cat"), classes=rows)
    card = dataclasses.replace(known.cards[0], reason=f"{RIGHT_TO_LEFT} (31 %) or cat (30 %)?")
    (tmp_path / "page.html").write_text(page_of(dataclasses.replace(known, cards=[card]), Outlook("")))
    script = """(() => {
      const name = [...document.querySelectorAll('.card bdi')].find(part => part.nextSibling?.data.includes('31'));
      const number = document.createRange(), text = name.nextSibling;
      number.setStart(text, text.data.indexOf('31'));
      number.setEnd(text, text.data.indexOf('31') + 2);
      return [name.getBoundingClientRect().right, number.getBoundingClientRect().left];
    })()"""
    with Chromium(width) as browser:
        browser.open(tmp_path / "page.html")
        end_of_name, start_of_number = browser.value(script)
        assert end_of_name <= start_of_number


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_page_of_a_simulation_in_a_browser(width, dark, tmp_path):
    write_pictures(
        tmp_path,
        summarize(curves({"random": 0, "margin": 0.05, "entropy": 0.0}), ARMS, "boxes"),
        "cells: 200 images, 60 to test on",
    )
    path = tmp_path / "curves.html"
    with Chromium(width, dark=dark) as browser:
        browser.open(path)
        if folder := os.environ.get("ALCLI_SHOTS"):
            browser.screenshot(Path(folder) / f"simulation-{width}-{'dark' if dark else 'light'}.png")
        assert browser.value("document.documentElement.scrollWidth") <= width
        assert browser.value("document.querySelector('.verdict .word').getBoundingClientRect().bottom") < 300
        assert browser.complaints() == []
        assert browser.requests() in ([path.as_uri()], [path.as_uri(), "data:,"])
        if "ALCLI_AXE" in os.environ:
            assert find_faults(browser) == []
