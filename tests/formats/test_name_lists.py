from __future__ import annotations

from alcli.formats._name_lists import listed_names, match_listed


def test_a_name_may_lack_its_suffix_or_have_folders_in_front():
    images = ["a/1.jpg", "a/2.jpg", "b/2.png"]
    assert match_listed(["1", "data/b/2.png", "2", "3"], images) == ({"a/1.jpg", "b/2.png"}, ["2", "3"])


def test_a_text_may_come_from_any_editor():
    assert listed_names("\ufeffa.png\r\n\r\ntest/e\u2028f.png") == ["a.png", "test/e\u2028f.png"]
