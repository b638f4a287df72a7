"""An old key, a key that is refused, and subsets through the SDK's own call for them."""

from __future__ import annotations

import json
import os
from datetime import date

import pytest

from alcli.errors import AuthError
from alcli.platforms import _key_age
from tests.platforms.conftest import ranked
from tests.support.superannotate_server import Fault

DAY = date(2026, 1, 10)
TOKEN = "sa_" + "0123456789abcdef" * 4


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A folder for configuration of its own; returns the file of keys."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    on(monkeypatch, DAY)
    return tmp_path / "home/alcli/keys.json"


def on(monkeypatch, day: date) -> None:
    monkeypatch.setattr(_key_age, "today", lambda: day)


def test_the_first_use_of_each_key_is_remembered_and_the_key_is_not(home, monkeypatch):
    assert _key_age.remember_key(TOKEN) == DAY
    on(monkeypatch, date(2026, 3, 1))
    assert _key_age.remember_key(TOKEN) == DAY
    assert _key_age.remember_key("another") == date(2026, 3, 1)
    text = home.read_text()
    assert TOKEN not in text and "another" not in text and sorted(json.loads(text).values()) == [
        "2026-01-10", "2026-03-01",
    ]  # fmt: skip
    assert home.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("day", "good"), [(date(2026, 12, 5), True), (date(2026, 12, 6), None), (date(2028, 1, 1), None)]
)
def test_after_330_days_the_doctor_warns(monkeypatch, day, good):
    _key_age.remember_key(TOKEN)
    on(monkeypatch, day)
    passed, text = _key_age.describe_age(TOKEN)
    assert passed is good and "since 2026-01-10" in text
    assert ("Rotate it with an overlap" in text) == (good is None)


@pytest.mark.parametrize("content", ["", "[]", "{", '{"x": 1}', "[" * 100_000])
def test_what_is_no_file_of_keys_is_written_anew(home, content):
    home.parent.mkdir(parents=True)
    home.write_text(content)
    assert _key_age.remember_key(TOKEN) == DAY
    assert "2026-01-10" in json.loads(home.read_text()).values()


@pytest.mark.parametrize("date_text", ["2030-01-01", "yesterday", 5, None])
def test_a_day_that_cannot_be_is_today(home, date_text):
    _key_age.remember_key(TOKEN)
    name = next(iter(json.loads(home.read_text())))
    home.write_text(json.dumps({name: date_text}))
    assert _key_age.remember_key(TOKEN) == DAY


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_without_a_folder_nothing_is_remembered_and_nothing_fails(home):
    home.parent.parent.mkdir()
    home.parent.parent.chmod(0o500)
    assert _key_age.remember_key(TOKEN) == DAY and not home.exists()


def test_a_user_without_a_home_has_a_new_key_each_day(monkeypatch):
    monkeypatch.setattr(_key_age.trusted, "confirmed_file", lambda: None)
    assert _key_age.describe_age(TOKEN) == (True, "used here since 2026-01-10")


def test_a_run_remembers_the_key_and_the_doctor_tells(server, connect, monkeypatch, home):
    server.add("a.jpg", "pool")
    list(connect().items())
    assert "2026-01-10" in home.read_text() and server.token not in home.read_text()
    on(monkeypatch, date(2027, 1, 1))
    checks = {name: (good, text) for name, good, text in connect().checks()}
    good, text = checks["age of the key"]
    assert good is None and "for 356 days" in text and "overlap" in text and server.token not in text


@pytest.mark.parametrize("place", ["", "items/search"])
def test_a_key_that_is_refused_is_to_be_rotated(server, connect, place):
    server.add("a.jpg")
    server.faults = [Fault("401", place, 99)]
    with pytest.raises(AuthError) as caught:
        list(connect().items())
    assert "expired or was revoked: rotate it with an overlap" in caught.value.do


def test_a_refused_role_is_no_matter_of_the_key(server, connect):
    server.add("a.jpg")
    server.faults = [Fault("403", "items/search", 99)]
    with pytest.raises(AuthError) as caught:
        list(connect().items())
    assert "overlap" not in caught.value.do and "role" in caught.value.do


@pytest.mark.parametrize("has_explore", [True, False])
def test_subsets_go_through_explore_where_the_sdk_has_it(server, connect, has_explore):
    item_id = server.add("a.jpg", "pool")
    platform = connect()
    rows = ranked(list(platform.items()))
    account, asked = platform._client.account, []
    real = account.explore
    if has_explore:

        class Explore:
            def add_items_to_subset(self, *given):
                asked.append(given)
                return real.add_items_to_subset(*given)

        account.__dict__["explore"] = Explore()
    else:
        account.__dict__["explore"] = object()
    platform.add_to_subset(rows, "hard")
    assert server.subsets == {"hard": {item_id}}
    assert asked == ([("Cells", "hard", [{"id": item_id}])] if has_explore else [])
