from __future__ import annotations

import json
import re

import numpy as np
import pandas as pd
import pytest

from alcli.errors import AlcliError, UsageError
from alcli.simulation.plan import Arm, Plan
from alcli.simulation.results import curves_of, summarize, verdict
from alcli.simulation.runs import Job
from alcli.simulation.tables import _share, markdown, tables

ARMS = (Arm("random"), Arm("margin"), Arm("entropy"))


def curves(gains: dict[str, float], runs: int = 8) -> pd.DataFrame:
    """Learning curves that rise by 10 points a cycle, each run with its own luck; arms gain from the second cycle."""
    rng = np.random.default_rng(0)
    rows = []
    for seed in range(runs):
        luck = rng.normal(0, 0.05)
        for arm, gain in gains.items():
            for cycle in range(4):
                noise = rng.normal(0, 0.004) * (cycle > 0)
                value = 0.3 + 0.1 * cycle + luck + gain * (cycle > 0) + noise
                rows.append({"arm": arm, "seed": seed, "cycle": cycle, "labels": 10 + 10 * cycle,
                             "cost": 30 + 35 * cycle, "at_random": 0, "top1": value, "macro": value / 2})  # fmt: skip
    return pd.DataFrame(rows)


def test_a_gain_is_found_with_its_size_its_saving_and_its_certainty():
    results = summarize(curves({"random": 0, "margin": 0.05, "entropy": 0.0}), ARMS, "boxes")
    margin = results.arms[1]
    assert results.metric == "top1"
    # Three intervals, the first half as high: 5/6 of the gain.
    assert margin.gain.difference.mean == pytest.approx(0.05 * 5 / 6, abs=0.004)
    assert margin.last_gain.difference.mean == pytest.approx(0.05, abs=0.006)
    assert margin.gain.p < 0.001
    assert margin.saved[-1].mean == pytest.approx(0.125, abs=0.03)
    assert margin.others["macro"].difference.mean == pytest.approx(margin.gain.difference.mean / 2)
    text = verdict(results)
    assert re.match(r"With margin, 1\d % fewer labels reach what random order reached at the end: ", text)
    assert "No difference to random could be shown for entropy." in text


def test_a_null_is_called_a_null():
    results = summarize(curves({"random": 0, "margin": 0.0, "entropy": 0.0}), ARMS, "boxes")
    assert verdict(results).startswith("No strategy differs from random order here, as far as 8 runs can tell.")


def test_a_loss_is_called_a_loss():
    results = summarize(curves({"random": 0, "margin": -0.05, "entropy": 0.0}), ARMS, "boxes")
    assert "Worse than random: margin (-4." in verdict(results)
    assert "No strategy beats random here" in verdict(results)
    assert "never reached" in markdown(results)


def test_one_run_shows_nothing():
    results = summarize(curves({"random": 0, "margin": 0.3, "entropy": 0.0}, runs=1), ARMS, "boxes")
    assert "One run per strategy shows nothing" in verdict(results)
    assert "nan" not in markdown(results).lower()


def test_the_verdict_says_where_it_rests_on_little():
    few = summarize(curves({"random": 0, "margin": 0.3}, runs=4), ARMS[:2], "boxes", pool=60)
    assert verdict(few).endswith(
        "4 runs are few: use --seeds 5 or more. At the end 67 % of the pool is annotated, whatever is chosen: that "
        "leaves little to gain."
    )
    enough = summarize(curves({"random": 0, "margin": 0.0}, runs=5), ARMS[:2], "boxes", pool=101)
    assert verdict(enough).endswith("runs can tell.")


def test_p_values_pay_for_the_number_of_comparisons():
    both = summarize(curves({"random": 0, "margin": 0.004, "entropy": 0.0}), ARMS, "boxes")
    alone = summarize(both.curves, ARMS[:2], "boxes")
    assert both.arms[1].gain.p == pytest.approx(2 * alone.arms[1].gain.p)


def test_the_table_has_a_row_for_each_arm_and_speaks_of_the_unit():
    text = markdown(summarize(curves({"random": 0, "margin": 0.05, "entropy": 0.0}), ARMS, "joints"))
    assert [line.split("|")[1].strip() for line in text.splitlines() if line.startswith("| ")][:4] == [
        "strategy",
        "random",
        "margin",
        "entropy",
    ]
    assert "joints saved" in text


def test_arms_that_do_not_start_equal_are_an_error(tmp_path):
    plan = Plan(4, 2, 1)
    jobs = [Job(tmp_path, arm, 0, plan) for arm in ARMS[:2]]
    for job, start in zip(jobs, (0.5, 0.6), strict=True):
        job.file.parent.mkdir(exist_ok=True)
        point = {"cycle": 0, "labels": 4, "cost": 4, "metrics": {"top1": start}}
        job.file.write_text(json.dumps([point, {**point, "cycle": 1, "labels": 6}]))
    with pytest.raises(AlcliError, match="Seed 0: margin starts with"):
        curves_of(jobs)


def test_the_metric_at_each_budget_is_told_and_another_metric_can_be_the_headline():
    table = curves({"random": 0, "margin": 0.05, "entropy": 0.0})
    text = markdown(summarize(table, ARMS, "boxes"))
    assert "| top-1 accuracy with this many images | 10 | 20 | 30 | 40 |" in text
    row = next(line for line in text.splitlines() if line.startswith("| margin | ") and line.count("|") == 6)
    expected = table[(table["arm"] == "margin") & (table["cycle"] == 3)]["top1"].mean()
    assert f"{100 * expected:.1f} ±" in row.split("|")[5]
    other = summarize(table, ARMS, "boxes", "macro")
    assert other.metric == "macro"
    assert list(other.arms[1].others) == ["top1"]
    with pytest.raises(UsageError, match="no metric 'macros'"):
        summarize(table, ARMS, "boxes", "macros")


def test_random_alone_says_nothing_about_strategies():
    results = summarize(curves({"random": 0}), ARMS[:1], "boxes")
    assert verdict(results) == "Only random has run: name what to compare with it, as --strategies auto,margin."


def test_where_labels_do_not_help_nothing_is_saved():
    falling = curves({"random": 0, "margin": 0.0, "entropy": 0.0})
    falling["top1"] -= 0.12 * falling["cycle"]
    assert "more labels did not help random" in markdown(summarize(falling, ARMS, "boxes"))


def test_zero_has_no_sign():
    text = markdown(summarize(curves({"random": 0, "margin": -1e-5, "entropy": 1e-9}), ARMS, "boxes"))
    assert "-0.0" not in text
    assert "-0 %" not in text
    assert _share(-0.001) == "0 %"


def test_tables_fit_a_terminal_and_have_no_negative_zero():
    results = summarize(curves({"random": 0, "margin": -1e-5, "entropy": 0.05}), ARMS, "boxes")
    gains, saved, budgets, others = tables(results)
    assert gains.header == ("strategy", "gain over random", "p", "mean", "at the end")
    assert gains.rows[0][1:3] == ["", ""]
    assert [row[0] for row in saved.rows] == ["margin, images", "entropy, images", "margin, boxes", "entropy, boxes"]
    assert budgets.header[1:] == ("10", "20", "30", "40")
    assert others.header == ("strategy", "macro")
    for table in (gains, saved, budgets, others):
        assert all(len(row) == len(table.header) for row in table.rows)
        assert not any("-0.0" in cell for row in table.rows for cell in row)


def test_a_unit_that_repeats_the_images_has_no_rows():
    each = curves({"random": 0, "margin": 0.05, "entropy": 0.0})
    results = summarize(each.assign(cost=each["labels"]), ARMS, "labels")
    assert [row[0] for row in tables(results)[1].rows] == ["margin, images", "entropy, images"]
