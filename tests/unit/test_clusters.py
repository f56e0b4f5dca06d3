"""Rows that belong together: intervals and tests of them, by repetition, by hand and by simulation."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from nlp_transfer.diagnostics.calibration import (
    accuracy_against_coverage,
    calibration_error,
    fit_temperature,
)
from nlp_transfer.diagnostics.clusters import (
    design_effect,
    effective_rows,
    random_halves,
    resampled_shares,
    row_drawer,
)
from nlp_transfer.diagnostics.estimates import difference_of_shares, share_of
from nlp_transfer.diagnostics.privacy import membership_inference
from nlp_transfer.diagnostics.text_mismatch import label_share_difference
from nlp_transfer.diagnostics.transfer import source_harm, source_harm_finding
from nlp_transfer.diagnostics.unlabelled import average_thresholded_confidence, estimate_label_shift
from nlp_transfer.evaluation.intervals import mcnemar_p

TIMES, UNITS = 4, 300
OTHERS = np.arange(UNITS)


def probabilities(seed: int, rows: int = UNITS):
    positive = np.random.default_rng(seed).beta(2, 2, size=rows)
    return np.stack([1 - positive, positive], axis=1)


def labels_of(seed: int):
    """Labels as likely as the probabilities say, those of half as sure ones."""
    logits = np.log(probabilities(seed)[:, 1] / probabilities(seed)[:, 0]) / 2
    return (np.random.default_rng(seed + 50).random(UNITS) < 1 / (1 + np.exp(-logits))).astype(np.int64)


SCORES, LABELS, PREDICTED = probabilities(1), labels_of(1), probabilities(1).argmax(axis=1)
TARGET_SCORES, TARGET = probabilities(2), labels_of(3)
LOSSES, UNSEEN = np.random.default_rng(4).normal(0.5, 1, UNITS), np.random.default_rng(5).normal(0, 1, UNITS)

# Each measures the rows repeated `t` times with the groups `g` of the repeated rows.
MEASURES = {
    "difference": lambda t, g: difference_of_shares(t(LABELS == 1), t(TARGET == 1), groups=(g, g)),
    "share": lambda t, g: share_of(t(PREDICTED == LABELS), g),
    "calibration": lambda t, g: calibration_error(t(SCORES), t(LABELS), groups=g),
    "coverage": lambda t, g: accuracy_against_coverage(t(SCORES), t(LABELS), groups=g).area,
    "temperature": lambda t, g: fit_temperature(np.log(t(SCORES)), t(LABELS), groups=g).temperature,
    "label shift": lambda t, g: (
        label_share_difference(t(LABELS), t(TARGET), classes=2, groups=(g, g)).distance
    ),
    "estimated shift": lambda t, g: estimate_label_shift(
        t(PREDICTED), t(LABELS), t(TARGET), classes=2, groups=(g, g)
    ).shares[0],
    "without labels": lambda t, g: average_thresholded_confidence(
        t(SCORES), t(LABELS), t(TARGET_SCORES), groups=(g, g)
    ),
    "harm": lambda t, g: source_harm(t(PREDICTED), t(LABELS), groups=g),
    "membership": lambda t, g: membership_inference(t(LOSSES), t(UNSEEN), groups=(g, g)).auc,
    "found members": lambda t, g: (
        membership_inference(t(LOSSES), t(UNSEEN), groups=(g, g)).tpr_at_1_percent_fpr
    ),
}


@pytest.mark.parametrize("measure", MEASURES.values(), ids=MEASURES)
def test_rows_that_are_said_four_times_over_count_once(measure):
    alone = measure(lambda rows: rows, None)
    grouped = measure(lambda rows: np.repeat(rows, TIMES, axis=0), np.repeat(OTHERS, TIMES))
    uncounted = measure(lambda rows: np.repeat(rows, TIMES, axis=0), None)
    assert grouped.value == pytest.approx(alone.value, abs=0.02)
    assert grouped.high - grouped.low == pytest.approx(alone.high - alone.low, rel=0.15)
    assert uncounted.high - uncounted.low < 0.65 * (alone.high - alone.low)


def grouped_draws(seed: int, *, groups: int = 60, rows: int = 8, share: float = 0.6):
    """Rows of groups whose shares differ much from each other."""
    generator = np.random.default_rng(seed)
    number = np.repeat(np.arange(groups), rows)
    of_group = generator.beta(1.5 * share, 1.5 * (1 - share), size=groups)
    return (generator.random(len(number)) < of_group[number]), number


def test_effective_rows_lie_between_the_groups_and_the_rows():
    hits, groups = grouped_draws(0)
    assert 60 < effective_rows(hits, groups) < 240
    assert effective_rows(hits, None) == 480
    assert effective_rows(hits, np.arange(480)) == pytest.approx(480, rel=0.01)
    assert effective_rows(np.ones(480, dtype=bool), groups) == 60
    assert effective_rows(hits, np.zeros(480, dtype=int)) == 1


def test_a_design_effect_of_classes_is_their_mean():
    hits, groups = grouped_draws(0)
    ids = hits.astype(np.int64)
    assert design_effect(ids, groups, classes=2) == pytest.approx(480 / effective_rows(hits, groups))
    assert design_effect(ids, groups, classes=3) == pytest.approx(480 / effective_rows(hits, groups))
    assert design_effect(ids, None, classes=2) == 1
    assert design_effect(np.zeros(9, dtype=int), np.repeat(np.arange(3), 3), classes=2) == 1


def test_whole_groups_are_drawn():
    groups = np.array([5, 2, 5, 2, 9, 5])
    members = {5: [0, 2, 5], 2: [1, 3], 9: [4]}
    draw = row_drawer(6, groups, np.random.default_rng(0))
    for _ in range(20):
        drawn = draw().tolist()
        while drawn:
            group = members[int(groups[drawn[0]])]
            assert drawn[: len(group)] == group
            drawn = drawn[len(group) :]


def test_resampled_shares_are_drawn_by_groups_a_part_at_a_time(monkeypatch):
    hits, groups = grouped_draws(1)
    ids = hits.astype(np.int64)
    monkeypatch.setattr("nlp_transfer.diagnostics.clusters.AT_ONCE", 60 * 7)
    drawn = resampled_shares(ids, groups, classes=3, resamples=900, generator=np.random.default_rng(0))
    assert drawn.shape == (900, 3)
    assert drawn.sum(axis=1) == pytest.approx(np.ones(900))
    expected = np.sqrt(hits.mean() * (1 - hits.mean()) / effective_rows(hits, groups))
    assert drawn[:, 1].std() == pytest.approx(expected, rel=0.1)


def test_grouped_rows_seldom_differ_by_chance():
    """Two samples of one population: Newcombe's interval and the chi-squared p, with groups and without."""
    trials = 200
    spoken = {"interval": 0, "p": 0, "p of rows": 0}
    for trial in range(trials):
        (first, groups), (second, _) = grouped_draws(2 * trial), grouped_draws(2 * trial + 1)
        gap = difference_of_shares(first, second, groups=(groups, groups))
        spoken["interval"] += not gap.low < 0 < gap.high
        sides = first.astype(np.int64), second.astype(np.int64)
        spoken["p"] += label_share_difference(*sides, classes=2, groups=(groups, groups)).p < 0.05
        spoken["p of rows"] += label_share_difference(*sides, classes=2).p < 0.05
    assert spoken["interval"] / trials < 0.09
    assert spoken["p"] / trials < 0.09
    assert spoken["p of rows"] / trials > 0.25


def test_mcnemar_of_groups_counts_every_flip_of_their_signs():
    # Group sums 3, 1, -1, 2: at least 5 from zero in 6 of 16 flips, which enumeration says too.
    first = np.array([1, 1, 1, 1, 0, 1, 1], dtype=bool)
    groups = np.array([0, 0, 0, 1, 2, 3, 3])
    sums = np.array([3, 1, -1, 2])
    flips = [abs(int((sums * signs).sum())) for signs in itertools.product([1, -1], repeat=4)]
    expected = float(np.mean([each >= 5 for each in flips]))
    assert mcnemar_p(first, ~first, groups=groups) == pytest.approx(expected) == pytest.approx(6 / 16)


def test_mcnemar_of_groups_of_one_row_is_mcnemars():
    generator = np.random.default_rng(0)
    first, second = generator.random((2, 300)) < [[0.8], [0.7]]
    alone = mcnemar_p(first, second)
    assert mcnemar_p(first, second, groups=np.arange(300)) == pytest.approx(alone, rel=1e-9)
    assert mcnemar_p(first, first, groups=np.arange(300)) == 1


def test_mcnemar_of_groups_seldom_speaks_of_nothing():
    trials, found = 300, {"groups": 0, "rows": 0}
    for trial in range(trials):
        generator = np.random.default_rng(trial)
        groups = np.repeat(np.arange(50), 8)
        # Which of the two is better is drawn for each review, not for each sentence.
        better = generator.random(50)[groups] < 0.5
        first = generator.random(400) < np.where(better, 0.9, 0.6)
        second = generator.random(400) < np.where(better, 0.6, 0.9)
        found["groups"] += mcnemar_p(first, second, groups=groups) < 0.05
        found["rows"] += mcnemar_p(first, second) < 0.05
    assert found["groups"] / trials < 0.08
    assert found["rows"] / trials > 0.1


def imbalanced(generator, rows: int = 600):
    """A target of which nine rows in ten are of one class."""
    return (generator.random(rows) < 0.9).astype(np.int64)


def test_a_source_that_expects_other_shares_does_no_harm():
    """It answers both classes alike, so a constant beats it; it is far above chance all the same."""
    generator = np.random.default_rng(0)
    labels = imbalanced(generator)
    predicted = np.where(generator.random(600) < 0.75, labels, 1 - labels)
    assert (predicted == labels).mean() < max(labels.mean(), 1 - labels.mean())
    finding = source_harm_finding(source_harm(predicted, labels))
    assert finding.severity == "info"
    agreed = (predicted == labels).mean()
    chance = predicted.mean() * labels.mean() + (1 - predicted.mean()) * (1 - labels.mean())
    assert finding.value == pytest.approx(agreed - chance)
    assert "its own answers in any order" in finding.evidence


@pytest.mark.parametrize(
    ("right", "severity"), [(0.75, "info"), (0.25, "warn")], ids=["says the same", "says the opposite"]
)
def test_what_a_source_says_decides_and_not_how_often(right, severity):
    generator = np.random.default_rng(1)
    labels = imbalanced(generator)
    predicted = np.where(generator.random(600) < right, labels, 1 - labels)
    assert source_harm_finding(source_harm(predicted, labels)).severity == severity


def test_a_source_that_knows_nothing_seldom_harms():
    warned = 0
    for trial in range(200):
        labels, groups = grouped_draws(trial, share=0.8)
        predicted, _ = grouped_draws(trial + 1000, share=0.5)
        harm = source_harm(predicted.astype(np.int64), labels.astype(np.int64), groups=groups)
        warned += source_harm_finding(harm).severity == "warn"
    assert warned / 200 < 0.06


def test_a_constant_answer_is_chance():
    labels = imbalanced(np.random.default_rng(2))
    found = source_harm(np.ones(600, dtype=np.int64), labels)
    assert (found.value, found.low, found.high) == pytest.approx((0, 0, 0))
    assert source_harm_finding(found).severity == "info"
    assert source_harm(labels[:29], labels[:29]).reason == "29 rows, at least 30 are needed"


def test_no_group_stands_in_both_halves_and_rows_alone_are_divided_evenly():
    groups = np.repeat(np.arange(12), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12])
    first, second = random_halves(len(groups), groups, seed=0)
    assert not set(groups[first]) & set(groups[second])
    assert len(first) == len(groups) // 2 and len(second) > len(groups) // 2 - 12
    assert not set(first) & set(second)
    again = random_halves(len(groups), groups, seed=1)
    assert set(groups[again[0]]) != set(groups[first])
    halves = random_halves(101, None, seed=0)
    assert sorted(np.concatenate(halves)) == list(range(101)) and len(halves[0]) == 51
