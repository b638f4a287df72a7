from alcli.text import visible


def test_control_characters_are_shown_never_obeyed():
    assert visible("a\x1b\u202eb") == "a\\x1b\\u202eb"
    assert visible("one\ntwo") == "one\ntwo"
    assert visible("one\ntwo", keep="") == "one\\ntwo"
    assert visible("grüße\udc80") == "grüße\\udc80"
