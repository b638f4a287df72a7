import pytest

from alcli.curves.correlation import correlation_in_words
from alcli.curves.metrics import metric_in_words, metric_name
from alcli.system.text import quantity, shortened, similar_names, visible


def test_control_characters_are_shown_never_obeyed():
    assert visible("a\x1b\u202eb") == "a\\x1b\\u202eb"
    assert visible("one\ntwo") == "one\ntwo"
    assert visible("one\ntwo", keep="") == "one\\ntwo"
    assert visible("grüße\udc80") == "grüße\\udc80"


def test_metrics_have_the_names_of_the_field_and_unknown_ones_their_own():
    assert [metric_name(key) for key in ("map", "miou", "top1", "depth")] == ["mAP", "mIoU", "top-1 accuracy", "depth"]


@pytest.mark.parametrize(
    ("count", "noun", "text"),
    [
        (1, "image", "1 image"), (0, "image", "0 images"), (2, "class", "2 classes"), (3, "box", "3 boxes"),
        (2, "strategy", "2 strategies"), (7.0, "day", "7 days"), (1.5, "hour", "1.5 hours"),
        (2_000_000, "new image", "2000000 new images"), (30, "epoch", "30 epochs"),
    ],
)  # fmt: skip
def test_a_number_and_its_noun(count, noun, text):
    assert quantity(count, noun) == text


def test_metrics_are_percentages_and_the_correlation_says_whether_it_means_anything():
    assert metric_in_words("ap50", 0.4732) == "AP50 47.3 %"
    assert correlation_in_words({"map": 0.5}, 9) == ""
    few = correlation_in_words({"loss_rank_correlation": -0.283}, 9)
    assert few.startswith("Predicted and true loss: no relation yet; rank correlation -0.28 [95 %: -0.80 to +0.48]")
    assert "no relation" not in correlation_in_words({"loss_rank_correlation": 0.6}, 200)


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


def test_a_long_name_is_shortened():
    assert shortened("c" * 41, 40) == "c" * 39 + "…"
    assert shortened("c" * 40, 40) == "c" * 40
