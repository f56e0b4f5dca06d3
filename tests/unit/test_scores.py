"""Scores and their intervals, against scikit-learn, tables and simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn import metrics

from nlp_transfer.evaluation.intervals import (
    bootstrap_p,
    bootstrap_weights,
    mcnemar_p,
    noise_interval,
    percentile_interval,
)
from nlp_transfer.evaluation.scores import (
    CALIBRATION_BINS,
    METRICS,
    classification_scores,
    load_metric,
    resampled_scores,
)


def drawn(rows: int, classes: int, seed: int, *, skill: float = 1.0):
    """Draw labels and probabilities that know something of them."""
    generator = np.random.default_rng(seed)
    references = generator.integers(classes, size=rows)
    logits = generator.normal(size=(rows, classes))
    logits[np.arange(rows), references] += skill
    exponents = np.exp(logits)
    return exponents / exponents.sum(axis=1, keepdims=True), references


def never_the_last_class():
    probabilities, references = drawn(120, 4, seed=7)
    return probabilities, np.minimum(references, 2)


def one_prediction_for_all():
    _, references = drawn(90, 3, seed=8)
    return np.tile([0.2, 0.5, 0.3], (90, 1)), references


CASES = {
    "two classes": drawn(150, 2, seed=1),
    "five classes": drawn(200, 5, seed=2),
    "a class without rows": never_the_last_class(),
    "one prediction for all": one_prediction_for_all(),
    "one row": (np.array([[0.3, 0.7]]), np.array([1])),
    "all right and sure": (np.eye(3)[[0, 1, 2, 1]], np.array([0, 1, 2, 1])),
}


def slow_calibration_error(probabilities, references, bins=CALIBRATION_BINS):
    """Guo et al. 2017, equation 3, bin by bin."""
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == references
    total = 0.0
    for number in range(bins):
        last = number == bins - 1
        inside = [number / bins <= c and (c < (number + 1) / bins or last) for c in confidence]
        if any(inside):
            total += abs(right[inside].mean() - confidence[inside].mean()) * sum(inside) / len(inside)
    return total


@pytest.mark.parametrize("case", CASES)
@pytest.mark.filterwarnings("ignore:A single label was found")
def test_bundled_metrics_equal_scikit_learn(case):
    probabilities, references = CASES[case]
    predicted = probabilities.argmax(axis=1)
    scores = classification_scores(probabilities, references.tolist())
    assert set(scores) == set(METRICS)
    assert scores["accuracy"] == pytest.approx(metrics.accuracy_score(references, predicted))
    expected_f1 = metrics.f1_score(references, predicted, average="macro", zero_division=0)
    assert scores["macro_f1"] == pytest.approx(expected_f1)
    expected_correlation = metrics.matthews_corrcoef(references, predicted)
    assert scores["matthews_correlation"] == pytest.approx(expected_correlation)
    expected_error = slow_calibration_error(probabilities, references)
    assert scores["expected_calibration_error"] == pytest.approx(expected_error)


@pytest.mark.parametrize(
    ("name", "expected"),
    # Confusion (true by predicted): 3 1 / 2 4. F1: 6/9 and 8/11. Matthews: (3*4 - 1*2) / sqrt(5*4*5*6).
    [("accuracy", 0.7), ("macro_f1", (6 / 9 + 8 / 11) / 2), ("matthews_correlation", 10 / math.sqrt(600))],
)
def test_a_metric_has_its_hand_computed_value(name, expected):
    references = [0] * 4 + [1] * 6
    predictions = [0, 0, 0, 1, 0, 0, 1, 1, 1, 1]
    computed = load_metric(name).compute(predictions=predictions, references=references)
    assert computed == {name: pytest.approx(expected)}


def test_calibration_error_has_its_hand_computed_value():
    # One bin (0.80 to 0.87) holds three rows of which one is wrong, another (0.60 to 0.67) one wrong row.
    probabilities = [[0.81, 0.19], [0.82, 0.18], [0.17, 0.83], [0.61, 0.39]]
    computed = load_metric("expected_calibration_error").compute(
        predictions=probabilities, references=[0, 0, 0, 1]
    )
    expected = 3 / 4 * abs(2 / 3 - 0.82) + 1 / 4 * abs(0 - 0.61)
    assert computed == {"expected_calibration_error": pytest.approx(expected)}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.filterwarnings("ignore:A single label was found")
def test_uniform_weights_give_the_plain_scores(case):
    probabilities, references = CASES[case]
    rows = len(references)
    resampled = resampled_scores(probabilities, references.tolist(), np.full((2, rows), 1 / rows))
    plain = classification_scores(probabilities, references.tolist())
    for name in METRICS:
        assert resampled[name] == pytest.approx([plain[name]] * 2, abs=1e-7), name


def test_weights_count_rows_as_often_as_they_are_drawn():
    probabilities, references = drawn(60, 3, seed=3)
    weights = bootstrap_weights(60, resamples=5, seed=4)
    resampled = resampled_scores(probabilities, references.tolist(), weights)
    for draw, line in enumerate(weights):
        rows = np.repeat(np.arange(60), np.rint(line * 60).astype(int))
        expected = classification_scores(probabilities[rows], references[rows].tolist())
        for name in METRICS:
            assert resampled[name][draw] == pytest.approx(expected[name]), name


def test_bootstrap_weights_add_up_and_follow_the_seed():
    weights = bootstrap_weights(40, resamples=30, seed=5)
    assert weights.shape == (30, 40)
    assert weights.sum(axis=1) == pytest.approx(np.ones(30))
    assert (weights == bootstrap_weights(40, resamples=30, seed=5)).all()
    assert (weights != bootstrap_weights(40, resamples=30, seed=6)).any()


def test_bootstrap_by_groups_draws_whole_groups():
    groups = np.array([0, 0, 0, 1, 2, 2, 1, 3])
    weights = bootstrap_weights(8, resamples=50, seed=0, groups=groups)
    assert weights.sum(axis=1) == pytest.approx(np.ones(50))
    for number in range(4):
        own = weights[:, groups == number]
        assert (own == own[:, :1]).all(), "rows of one group are drawn together"
    # Four groups are drawn: in units of one row's weight every group comes a whole number of times.
    times = weights / np.where(weights > 0, weights, np.inf).min(axis=1, keepdims=True)
    drawn_sizes = (weights > 0).sum(axis=1)
    assert len(set(drawn_sizes.tolist())) > 1
    assert times.max() <= 4 + 1e-9


def coverage(outcomes, truth, *, groups=None):
    """Return the share of trials whose 95% interval holds the true accuracy; outcomes: (trials, rows)."""
    inside = 0
    for trial, right in enumerate(outcomes):
        weights = bootstrap_weights(len(right), resamples=400, seed=trial, groups=groups)
        low, high = percentile_interval(weights @ right)
        inside += low <= truth <= high
    return inside / len(outcomes)


def test_intervals_hold_the_truth_as_often_as_they_say():
    outcomes = (np.random.default_rng(0).random((400, 200)) < 0.8).astype(float)
    assert 0.92 <= coverage(outcomes, 0.8) <= 0.975


def test_rows_that_belong_together_need_the_interval_by_groups():
    groups = np.repeat(np.arange(80), 5)
    outcomes = (np.random.default_rng(1).random((300, 80)) < 0.7).astype(float)[:, groups]
    assert 0.90 <= coverage(outcomes, 0.7, groups=groups) <= 0.98
    assert coverage(outcomes, 0.7) < 0.75


@pytest.mark.parametrize(
    ("first_only", "second_only", "expected"),
    # Twice the binomial tail with p = 1/2: 2 * (1 + 10 + 45) / 2**10 for 8 against 2.
    [(8, 2, 112 / 1024), (2, 8, 112 / 1024), (5, 0, 2 / 32), (3, 3, 1.0), (0, 0, 1.0), (1, 0, 1.0)],
)
def test_mcnemar_equals_the_binomial_tail(first_only, second_only, expected):
    first = np.array([True] * first_only + [False] * second_only + [True, False] * 10)
    second = np.array([False] * first_only + [True] * second_only + [True, False] * 10)
    assert mcnemar_p(first, second) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("differences", "expected"),
    [([1.0] * 999, 0.002), ([-1.0] * 999, 0.002), ([1.0] * 979 + [-1.0] * 20, 0.042), ([0.0] * 99, 1.0)],
)
def test_bootstrap_p_counts_the_rarer_side(differences, expected):
    assert bootstrap_p(np.array(differences)) == pytest.approx(expected)


def test_one_seed_is_taken_to_be_as_noisy_as_the_rows():
    interval = noise_interval(np.array([0.03]), 0.01)
    reach = 1.959964 * math.sqrt(3) * 0.01
    assert (interval.difference, interval.seed_noise) == (0.03, "assumed")
    assert (interval.low, interval.high) == (pytest.approx(0.03 - reach), pytest.approx(0.03 + reach))


@pytest.mark.parametrize(
    ("per_seed", "row_spread", "assumed", "reach"),
    [
        # No row noise and nothing assumed: Student's t with 2 + 3 - 1 degrees of freedom.
        ([0.01, 0.02, 0.03], 0.0, 0.0, 2.776445 * 0.01 / math.sqrt(3)),
        # Seeds that agree by luck: the assumption is left, with a weight of 2 / 4; rows beside it.
        ([0.02] * 3, 0.004, 0.02, math.hypot(1.959964 * 0.004, 2.776445 * math.sqrt(0.5 * 8e-4 / 3))),
        # A row noise above what is assumed of seeds takes its place: 2 * 0.004^2 * 2 / 6 over 5 seeds.
        ([0.02] * 5, 0.004, 0.001, math.hypot(1.959964 * 0.004, 2.446912 * math.sqrt(3.2e-5 / 3 / 5))),
        # All three.
        (
            [0.0, 0.04],
            0.01,
            0.02,
            math.hypot(1.959964 * 0.01, 3.182446 * math.sqrt(8e-4 * (1 + 2 / 3) / 2)),
        ),
    ],
)
def test_several_seeds_measure_their_noise(per_seed, row_spread, assumed, reach):
    interval = noise_interval(np.array(per_seed), row_spread, assumed_seed_spread=assumed)
    assert interval.seed_noise == "measured"
    assert interval.difference == pytest.approx(0.02)
    assert interval.high - 0.02 == pytest.approx(reach, rel=1e-5)
    assert 0.02 - interval.low == pytest.approx(reach, rel=1e-5)


def spoken(*, seeds, rows, spread, difference=0.0, trials=2000):
    """Share of runs whose interval leaves zero out; the assumed spread of a difference is 1."""
    generator = np.random.default_rng(seeds)
    shared = difference + rows * generator.normal(size=(trials, 1))
    per_seed = shared + spread * generator.normal(size=(trials, seeds))
    intervals = [noise_interval(each, rows, assumed_seed_spread=math.sqrt(0.5)) for each in per_seed]
    return sum(each.low > 0 or each.high < 0 for each in intervals) / trials


@pytest.mark.parametrize("seeds", [2, 3, 5])
@pytest.mark.parametrize("rows", [0.2, 0.7])
@pytest.mark.parametrize("spread", [0.0, 0.5, 1.0, 2.0])
def test_null_differences_seldom_count(seeds, rows, spread):
    """Twice the assumed spread is the worst: 5% is aimed at, and 2,000 runs leave 1.5 points to chance."""
    assert spoken(seeds=seeds, rows=rows, spread=spread) < 0.065


def test_one_seed_seldom_counts_what_is_null():
    assert spoken(seeds=1, rows=0.7, spread=1.0) < 0.065


@pytest.mark.parametrize(
    ("seeds", "spread", "least"),
    # Measured of sentiment runs: a difference varies by 0.6 times what is assumed. With 64 labels the
    # assumed spread is 3.5 points: a gain of 7 points is seen.
    [(2, 0.5, 0.35), (3, 0.5, 0.85), (5, 0.5, 0.98), (5, 1.0, 0.85)],
)
def test_a_difference_of_twice_the_assumed_spread_is_seen(seeds, spread, least):
    assert spoken(seeds=seeds, rows=0.2, spread=spread, difference=2.0) > least


def test_null_systems_seldom_differ_end_to_end():
    # Two systems of the same accuracy: each row has its own difficulty, each seed and system its own errors.
    generator = np.random.default_rng(9)
    rows, seeds, trials = 300, 3, 200
    false_positives = 0
    for trial in range(trials):
        difficulty = generator.beta(4, 1, size=rows)
        right = (generator.random((2, seeds, rows)) < difficulty).astype(float)
        differences = right[0] - right[1]
        weights = bootstrap_weights(rows, resamples=200, seed=trial)
        row_spread = float((weights @ differences.mean(axis=0)).std(ddof=1))
        interval = noise_interval(differences.mean(axis=1), row_spread)
        false_positives += interval.low > 0 or interval.high < 0
    assert false_positives / trials < 0.10
