"""Estimates with their intervals, against published examples and what they are made of."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from nlp_transfer.diagnostics.estimates import (
    MIN_ROWS,
    Estimate,
    difference_of_shares,
    judged,
    mean_over_seeds,
    missing,
    paired_difference,
    resampled,
    share,
    too_few,
)


def hits(right: int, rows: int):
    return np.arange(rows) < right


def test_difference_of_shares_has_newcombes_published_interval():
    # Newcombe 1998, table II, example (a), method 10: 56/70 - 48/80.
    found = difference_of_shares(hits(56, 70), hits(48, 80))
    assert found.value == pytest.approx(0.2)
    assert (found.low, found.high) == pytest.approx((0.0524, 0.3339), abs=5e-5)
    assert found.n == 70


def test_a_difference_of_extreme_shares_still_has_a_width():
    found = difference_of_shares(hits(40, 40), hits(40, 40))
    assert found.value == 0
    assert found.low < -0.05
    assert found.high > 0.05


def test_a_share_has_wilsons_interval():
    # 81 of 263, the example of Newcombe 1998 (Statistics in Medicine 17, 857-872): 0.2553 to 0.3662.
    found = share(81, 263)
    assert (found.low, found.high) == pytest.approx((0.2553, 0.3662), abs=5e-5)


def test_a_paired_difference_is_as_wide_as_the_rows_differ_and_not_as_the_rows_vary():
    generator = np.random.default_rng(0)
    hard = generator.normal(size=400) * 10
    gain = generator.normal(0.5, 1, size=400)
    found = paired_difference(hard + gain, hard)
    assert found.value == pytest.approx(gain.mean())
    normal = stats.norm.interval(0.95, gain.mean(), gain.std() / 20)
    assert (found.low, found.high) == pytest.approx(normal, abs=0.02)


def test_rows_of_one_group_count_as_one():
    gain = np.repeat(np.random.default_rng(1).normal(size=50), 8)
    alone = paired_difference(gain, gain * 0)
    together = paired_difference(gain, gain * 0, groups=np.repeat(np.arange(50), 8))
    assert together.high - together.low > 2 * (alone.high - alone.low)


@pytest.mark.parametrize("measure", [paired_difference, difference_of_shares])
def test_too_few_rows_give_a_reason_and_no_number(measure):
    found = measure(hits(5, MIN_ROWS - 1), hits(3, MIN_ROWS - 1))
    assert found == Estimate(None, 29, reason="29 rows, at least 30 are needed")


def test_seeds_have_students_interval():
    found = mean_over_seeds([0.7, 0.8, 0.75])
    expected = stats.ttest_1samp([0.7, 0.8, 0.75], 0).confidence_interval()
    assert (found.value, found.low, found.high, found.n) == pytest.approx((0.75, *expected, 3))
    assert mean_over_seeds([0.7]) == Estimate(0.7, 1, reason="one seed, no interval")


def test_resamples_without_a_finite_statistic_are_left_out():
    values = np.array([0.0, 1.0, 2.0, 3.0])

    def statistic(rows):
        return float("nan") if 0 in rows else float(values[rows].mean())

    low, high = resampled(statistic, 4, resamples=400, seed=0)
    assert 1 <= low < high <= 3


@pytest.mark.parametrize(
    ("estimate", "words"),
    [
        (Estimate(0.51, 1200, 0.4, 0.6), "+51.0 (95% interval +40.0 to +60.0, n = 1,200)"),
        (Estimate(0.51, 2, reason="one seed, no interval"), "+51.0 (n = 2, one seed, no interval)"),
        (Estimate(0.51, 2), "+51.0 (n = 2)"),
        (missing(0, "there is nothing"), "not measured: there is nothing"),
    ],
)
def test_an_estimate_is_worded_with_its_interval_and_n(estimate, words):
    assert estimate.words("+.1f", factor=100) == words


def test_a_finding_without_a_value_asks_for_nothing():
    found = judged("x", too_few(3, 30), threshold=0.1, bad=True, evidence="never said", advice="do not")
    assert (found.severity, found.value, found.advice) == ("info", None, "")
    assert found.evidence == "not measured: 3 rows, at least 30 are needed"


def test_a_bad_finding_advises_and_a_good_one_does_not():
    words = {"threshold": 0.1, "evidence": "it is 0.2", "advice": "mend it"}
    bad = judged("x", Estimate(0.2, 40), bad=True, severity="block", **words)
    good = judged("x", Estimate(0.2, 40), bad=False, severity="block", **words)
    assert (bad.severity, bad.advice) == ("block", "mend it")
    assert (good.severity, good.advice) == ("info", "")
