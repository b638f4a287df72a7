from __future__ import annotations

from alcli.report.verdict import arms_in_words, ranking_in_words
from alcli.review.retrospective import Retrospective


def test_a_correlation_is_believed_only_with_enough_images():
    assert "Not known yet" in ranking_in_words([])
    assert "Not known yet" in ranking_in_words([Retrospective(1, 2, None)])
    assert "cannot be said from so few" in ranking_in_words([Retrospective(1, 5, 0.5)])
    assert "better than chance" in ranking_in_words([Retrospective(1, 5, -0.9), Retrospective(2, 100, 0.5)])
    assert "do not rank by it" in ranking_in_words([Retrospective(2, 100, -0.5)])


def test_arms_are_compared_within_their_own_cycles():
    few = [Retrospective(1, 10, 0.1, [1.0] * 8, [1.0] * 2)]
    assert arms_in_words(few) == ""
    # Between cycles losses fall; within each, chosen and control are alike.
    alike = [
        Retrospective(1, 40, 0.1, [10.0, 11.0] * 15, [10.0, 11.0] * 3),
        Retrospective(2, 10, 0.1, [1.0, 1.1], [1.0, 1.1] * 4),
    ]
    assert "that may be chance" in arms_in_words(alike)
    harder = [Retrospective(1, 40, 0.1, [2.0 + 0.01 * n for n in range(30)], [1.0 + 0.01 * n for n in range(10)])]
    assert "harder for the model than chance" in arms_in_words(harder)
    easier = [Retrospective(1, 40, 0.1, [1.0 + 0.01 * n for n in range(30)], [2.0 + 0.01 * n for n in range(10)])]
    assert "easier for the model than chance" in arms_in_words(easier)
