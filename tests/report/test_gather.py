from __future__ import annotations

import base64
import hashlib
import json
import re
import stat
from html.parser import HTMLParser
from pathlib import Path

import pytest

from alcli.annotations import Box
from alcli.review.retrospective import LaterLosses
from alcli.workspace import Workspace

HOSTILE = ("<script>alert(1)</script>.jpg", "[/b].jpg", "\u202egpj.exe\u2066.jpg", "שלום & {{ 7*7 }}.jpg")
VOID = {"meta", "link", "img", "br", "hr"}


class Page(HTMLParser):
    """Every tag with its attributes, and the text; fails on tags that are not closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] not in (["style"], ["script"]):
            self.text += data

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.tags if name == tag]


def report(alcli, workspace, *flags) -> Page:
    code, out, err = alcli("report", "-w", workspace, "--json", *flags)
    assert code == 0, err
    told = json.loads(out)
    return Page(Path(told["file"]).read_text(encoding="utf-8"))


@pytest.fixture
def two_cycles(alcli, workspace, photos):
    """Two cycles with the answers in between."""
    flags = ("--set", "selection.budget=3", "--set", "strategy.random_share=0.4", "--set", "train.validation=0.6")
    assert alcli("cycle", "-w", workspace, *flags)[0] == 0
    for number in (8, 9):
        photos.annotate(number)
    assert alcli("cycle", "-w", workspace, *flags)[0] == 0
    return workspace


def test_a_report_says_everything_in_one_file(alcli, two_cycles):
    page = report(alcli, two_cycles, "--target", "0.9")
    for heading in ("Annotate next", "For contrast", "Classes", "Is it working?", "Look again", "Left out"):
        assert heading in page.text
    assert "Annotate these 2 of 2 images next" in page.text
    assert "Not known yet" in page.text and "Against random" in page.text
    assert "photo_10.jpg" in page.text
    assert "most similar annotated image: photo_0" in page.text
    assert "ssd-tiny" in page.text
    assert len(page.all("svg")) == 3
    assert all(image["src"].startswith("data:image/webp;base64,") and "alt" in image for image in page.all("img"))
    assert len(page.all("h1")) == 1
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = [link["href"] for link in page.all("a") if "download" not in link]
    assert all(link.startswith("#") and link[1:] in ids for link in links)
    (saved,) = (link["href"] for link in page.all("a") if "download" in link)
    lines = base64.b64decode(saved.partition("base64,")[2]).decode().splitlines()
    assert lines[0] == "rank,name,reason" and lines[1].startswith("1,photo_1") and len(lines) == 3


def test_nothing_is_asked_of_any_network_and_only_its_own_script_runs(alcli, two_cycles):
    page = report(alcli, two_cycles)
    assert not page.all("iframe")
    check_script(page, (two_cycles / "cycles/0002/report.html").read_text())
    for _, attributes in page.tags:
        assert not any(name.startswith("on") for name in attributes)
        for name in ("src", "href", "xlink:href", "action"):
            assert re.match(r"(data:|#|$)", attributes.get(name) or "")
    text = (two_cycles / "cycles/0002/report.html").read_text()
    assert not re.search(r"url\((?!#)|@import", text)
    # Names of XML namespaces are no addresses.
    assert set(re.findall(r"https?://[^\s\"<]+", text)) <= {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }


def check_script(page: Page, text: str) -> None:
    """The page has one script, and the policy names it by its hash."""
    assert page.all("script") == [{}]
    script = re.search(r"<script>(.*?)</script>", text, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    (policy,) = (tag["content"] for tag in page.all("meta") if tag.get("http-equiv") == "Content-Security-Policy")
    assert f"script-src 'sha256-{digest}'" in policy and "default-src 'none'" in policy


def test_hostile_names_stay_names(alcli, workspace, photos):
    for number, name in enumerate(HOSTILE, 8):
        place = photos.images / name
        place.parent.mkdir(exist_ok=True)
        (photos.images / photos.name(number)).rename(place)
    photos.annotate(0, [Box("<img src=x onerror=alert(2)>", 1, 1, 30, 30), Box("$\\frac$", 20, 20, 60, 60)])
    code, _, err = alcli("cycle", "-w", workspace, "--set", "selection.budget=4")
    assert code == 0, err
    page = report(alcli, workspace)
    check_script(page, (workspace / "report.html").read_text())
    assert all("onerror" not in image for image in page.all("img"))
    assert "<script>alert(1)</script>.jpg" in page.text
    assert "[/b].jpg" in page.text
    assert "{{ 7*7 }}" in page.text
    assert "\u202e" not in page.text and "\\u202egpj.exe" in page.text
    assert "<img src=x onerror=alert(2)>" in page.text
    assert alcli("explain", "-w", workspace, HOSTILE[1])[0] == 0
    assert alcli("skip", "-w", workspace, *[HOSTILE[0]])[0] == 0
    assert alcli("status", "-w", workspace)[0] == 0


def test_images_gone_since_the_list_was_made_have_a_placeholder(alcli, workspace, photos):
    alcli("cycle", "-w", workspace, "--set", "selection.budget=4")
    (photos.images / photos.name(9)).unlink()
    (photos.images / photos.name(10)).write_bytes(b"no image")
    code, out, err = alcli("report", "-w", workspace, "--json")
    assert (code, json.loads(out)["missing"]) == (0, 2), err
    assert "2 images cannot be read now" in err
    page = report(alcli, workspace)
    assert page.text.count("No picture:") == 2
    assert "No picture: cannot be read: No such file or directory" in page.text
    assert "No picture: not an image that can be read" in page.text


def test_one_cycle_says_what_a_forecast_needs(alcli, workspace):
    alcli("cycle", "-w", workspace, "--validation", "0.6")
    page = report(alcli, workspace, "--target", "0.9")
    assert "A forecast comes after the next cycle; it is useful after four." in page.text
    assert "Not known yet: at least three images must be annotated" in page.text


def test_a_cold_start_has_a_report_without_a_model(alcli, workspace, photos):
    for path in photos.annotations.glob("*.xml"):
        path.unlink()
    assert alcli("cycle", "-w", workspace, "--accept-shrink")[0] == 0
    page = report(alcli, workspace)
    assert "without any annotation yet, they were chosen as a random sample" in page.text
    assert "Nothing is annotated yet." in page.text
    assert "The learning curve begins with the first model that is measured." in page.text
    assert len(page.all("img")) == 2 + 8


def test_everything_annotated_leaves_nothing_to_ask_for(alcli, workspace, photos):
    for number in range(8, 12):
        photos.annotate(number)
    alcli("cycle", "-w", workspace)
    assert "there is nothing left to annotate" in report(alcli, workspace).text


def test_what_was_left_out_is_said_with_its_reason(alcli, workspace, photos):
    photos.write_xml("photo_09", ("red", "50", "10", "20", "30"))
    alcli("cycle", "-w", workspace)
    page = report(alcli, workspace)
    assert "photo_09.jpg" in page.text
    assert "swapped corners" in page.text


def test_without_a_list_there_is_no_report_and_bad_targets_are_refused(alcli, workspace):
    assert alcli("report", "-w", workspace)[0] == 2
    alcli("cycle", "-w", workspace)
    assert alcli("report", "-w", workspace, "--target", "75")[0] == 2
    assert alcli("report", "-w", workspace, "--cycle", "7")[0] == 2


def test_how_the_losses_turned_out_is_computed_once(alcli, two_cycles, monkeypatch):
    from alcli.engine import inference

    report(alcli, two_cycles)
    workspace = Workspace.open(two_cycles, read_only=True)
    rows = workspace.step(1, LaterLosses).summary.rows
    workspace.close()
    assert sorted(item_id for item_id, _, _ in rows) == ["photo_08.jpg", "photo_09.jpg"]
    monkeypatch.setattr(inference, "item_losses", None)
    report(alcli, two_cycles)
    (two_cycles / "cycles/0001/model.safetensors").unlink()
    report(alcli, two_cycles)


def test_a_model_that_is_gone_leaves_its_cycles_worth_unknown(alcli, two_cycles):
    (two_cycles / "cycles/0001/model.safetensors").unlink()
    code, _, err = alcli("report", "-w", two_cycles)
    assert code == 0
    assert "Cycle 1 could not be evaluated." in err
    (two_cycles / "cycles/0002/model.safetensors").unlink()
    assert alcli("report", "-w", two_cycles)[0] == 12


def test_a_cycle_can_end_with_its_report(alcli, workspace):
    code, out, err = alcli("cycle", "-w", workspace, "--set", "report.enabled=true")
    assert code == 0, err
    assert (workspace / "cycles/0001/report.html").is_file()
    assert "Report: " in out
    assert alcli("cycle", "-w", workspace, "--set", "report.gallery=5")[1].startswith("Nothing new")


def test_boxes_below_the_reports_confidence_are_not_counted_whatever_is_uploaded(alcli, workspace):
    alcli("cycle", "-w", workspace, "--set", "selection.budget=4")
    seen, nothing = (
        report(alcli, workspace, "--set", f"report.confidence={least}", "--set", f"platform.prelabel_score={1 - least}")
        for least in (0, 1)
    )
    of_all, of_none = (
        [image["alt"] for image in page.all("img") if "sees" in image["alt"]] for page in (seen, nothing)
    )
    assert of_all and not any(alt.endswith("sees nothing") for alt in of_all)
    assert of_none and all(alt.endswith("sees nothing") for alt in of_none)


def test_the_newest_page_lies_at_the_top_for_the_group(alcli, two_cycles):
    report(alcli, two_cycles)
    top = two_cycles / "report.html"
    assert top.read_bytes() == (two_cycles / "cycles/0002/report.html").read_bytes()
    assert stat.S_IMODE(top.stat().st_mode) == 0o640
    report(alcli, two_cycles, "--cycle", "1", "--set", "report.mode=0644")
    assert "cycle 2" in top.read_text() and stat.S_IMODE(top.stat().st_mode) == 0o640
    report(alcli, two_cycles, "--set", "report.mode=0644")
    assert stat.S_IMODE(top.stat().st_mode) == 0o644
    assert stat.S_IMODE(two_cycles.stat().st_mode) & 0o077 == 0o011
    assert alcli("report", "-w", two_cycles, "--set", "report.mode=rw")[0] == 2


def test_the_page_of_the_last_cycle_says_that_a_run_works(alcli, two_cycles):
    from alcli.report.publication import announce

    report(alcli, two_cycles)
    before = (two_cycles / "report.html").read_text()
    announce(two_cycles, "Cycle 3 has been running since <02:12>.")
    told = (two_cycles / "report.html").read_text()
    assert "Cycle 3 has been running since <02:12>." in Page(told).text
    assert stat.S_IMODE((two_cycles / "report.html").stat().st_mode) == 0o640
    assert alcli("cycle", "-w", two_cycles, "--set", "selection.budget=1")[0] == 0
    assert (two_cycles / "report.html").read_text() == before
    announce(two_cycles.parent, "Nothing to say it on.")


def test_open_shows_the_page_in_the_browser(alcli, two_cycles, tmp_path, monkeypatch):
    import webbrowser

    seen, browser = tmp_path / "seen", tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > {seen}\n')
    browser.chmod(0o755)
    monkeypatch.setattr(webbrowser, "_tryorder", [f"{browser} %s"])
    code, _, err = alcli("report", "-w", two_cycles, "--open")
    assert code == 0, err
    assert seen.read_text().strip() == (two_cycles / "cycles/0002/report.html").resolve().as_uri()


def test_with_all_images_gone_the_page_still_answers(alcli, two_cycles, photos):
    for path in photos.images.iterdir():
        path.unlink()
    page = report(alcli, two_cycles)
    assert page.text.count("No picture:") == 2 and "Annotate these 2 of 2 images next" in page.text
