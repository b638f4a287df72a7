import pytest

from alcli.curves.metrics import metric_name
from alcli.system.text import similar_names, visible


def test_control_characters_are_shown_never_obeyed():
    assert visible("a\x1b\u202eb") == "a\\x1b\\u202eb"
    assert visible("one\ntwo") == "one\ntwo"
    assert visible("one\ntwo", keep="") == "one\\ntwo"
    assert visible("grüße\udc80") == "grüße\\udc80"


def test_metrics_have_the_names_of_the_field_and_unknown_ones_their_own():
    assert [metric_name(key) for key in ("map", "miou", "top1", "depth")] == ["mAP", "mIoU", "top-1 accuracy", "depth"]


@pytest.mark.parametrize(
    ("typed", "near"),
    [
        ("cyle", ["cycle"]),
        ("cycel", ["cycle"]),
        ("detect", ["detection"]),
        ("Learned_Loss", ["learned-loss"]),
        ("open", []),
        ("model", []),
        ("nope", []),
        ("he", []),
    ],
)
def test_only_typing_errors_and_shortened_names_are_similar(typed, near):
    known = ["cycle", "detection", "segmentation", "learned-loss", "json", "help", "entropy"]
    assert similar_names(typed, known) == near
