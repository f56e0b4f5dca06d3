"""Domain mismatch on domains whose distance is known: the same one, disjoint ones, shifted ones."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from nlp_transfer.diagnostics.estimates import Estimate
from nlp_transfer.diagnostics.mismatch import (
    MAX_DISTANCE,
    DomainDistance,
    TwoSampleTest,
    classifier_test,
    distance_finding,
    domain_distance,
    kernel_finding,
    maximum_mean_discrepancy,
    proxy_a_distance,
    two_sample_finding,
)
from nlp_transfer.diagnostics.text_mismatch import (
    LabelShareDifference,
    NewWords,
    label_share_difference,
    label_shift_finding,
    new_word_rate,
    new_words,
    new_words_finding,
    tokens_per_word,
    tokens_per_word_finding,
    words_of,
)


def cloud(rows: int, seed: int, *, shift: float = 0.0, hidden: int = 5):
    features = np.random.default_rng(seed).normal(size=(rows, hidden))
    features[:, 0] += shift
    return features


def test_identical_domains_are_as_far_apart_as_halves_of_one():
    found = domain_distance(cloud(800, 1), cloud(800, 2))
    for estimate in (found.between, found.halves):
        assert estimate.low < 0 < estimate.high
        assert abs(estimate.value) < 0.25
        assert estimate.n == 400
    assert distance_finding(found).severity == "info"


def test_disjoint_domains_have_the_greatest_distance():
    found = domain_distance(cloud(300, 1), cloud(300, 2, shift=50))
    assert found.between.value == pytest.approx(2.0)
    assert found.halves.low < 0 < found.halves.high
    finding = distance_finding(found)
    assert (finding.severity, finding.threshold) == ("warn", MAX_DISTANCE)
    assert "n = 150" in finding.evidence
    assert "random halves" in finding.evidence


def test_distance_of_two_normals_is_that_of_the_best_classifier():
    # The best classifier of N(0, 1) against N(d, 1) is wrong with probability Phi(-d / 2).
    expected = 2 * (1 - 2 * stats.norm.cdf(-1.0))
    draws = [proxy_a_distance(cloud(1000, seed), cloud(1000, seed + 50, shift=2.0)) for seed in range(20)]
    assert np.mean([found.value for found in draws]) == pytest.approx(expected, abs=0.03)
    # A 95% interval misses one of 20 on average, and more than three in one case of a hundred.
    assert sum(found.low < expected < found.high for found in draws) >= 17


def test_distance_cuts_both_sides_to_one_size():
    assert proxy_a_distance(cloud(80, 1), cloud(900, 2)).n == 80
    assert proxy_a_distance(cloud(49, 1), cloud(900, 2)) == Estimate(
        None, 49, reason="49 rows a side, at least 50 are needed"
    )


def test_a_distance_without_a_number_says_why():
    found = domain_distance(cloud(20, 1), cloud(300, 2))
    finding = distance_finding(found)
    assert (finding.value, finding.severity) == (None, "info")
    assert "20 rows a side" in finding.evidence


def test_classifier_test_is_lopez_paz_and_oquabs_z():
    found = classifier_test(cloud(1000, 1), cloud(1000, 2, shift=0.5))
    accuracy = found.statistic.value * math.sqrt(1 / (4 * 1000)) + 0.5
    assert accuracy == pytest.approx(stats.norm.cdf(0.25), abs=0.04)
    assert found.p == pytest.approx(stats.norm.sf(found.statistic.value))
    assert two_sample_finding(found).evidence.startswith("the domains differ: z = ")


def test_rows_of_groups_of_their_own_are_rows_that_stand_alone():
    sides, each = (cloud(400, 1), cloud(400, 2, shift=1.0)), np.arange(400)
    alone, groups = proxy_a_distance(*sides), proxy_a_distance(*sides, groups=(each, each))
    assert groups.value == pytest.approx(alone.value, abs=0.1)
    assert groups.high - groups.low == pytest.approx(alone.high - alone.low, rel=0.05)


def test_classifier_test_needs_a_thousand_rows_a_side():
    found = classifier_test(cloud(999, 1), cloud(2000, 2))
    assert (found.statistic.value, found.p) == (None, None)
    assert "at least 1,000" in two_sample_finding(found).evidence


def test_classifier_test_of_one_distribution_is_rarely_small():
    values = [classifier_test(cloud(1000, 2 * seed), cloud(1000, 2 * seed + 1)).p for seed in range(20)]
    assert sum(p < 0.05 for p in values) <= 4
    assert min(values) > 0.0005


def grouped(groups: int, seed: int, *, rows: int = 8, shift: float = 0.0):
    """Draw groups of a population, and rows that lie close around their group's middle."""
    middles = cloud(groups, seed, shift=shift, hidden=30)
    numbers = np.repeat(np.arange(groups), rows)
    return middles[numbers] + 0.2 * cloud(len(numbers), seed + 500, hidden=30), numbers


def test_groups_of_one_population_are_not_taken_for_two_domains():
    """Rows beside their own group's are told by heart; whole groups that were never seen are not."""
    pairs = [(grouped(125, 2 * seed), grouped(125, 2 * seed + 1)) for seed in range(10)]
    alone = [classifier_test(one[0], other[0]).p for one, other in pairs]
    whole = [classifier_test(one[0], other[0], groups=(one[1], other[1])).p for one, other in pairs]
    assert sum(p < 0.01 for p in alone) >= 9
    assert sum(p < 0.05 for p in whole) <= 2 and min(whole) > 0.001
    (first, of_first), (second, of_second) = pairs[0]
    found = maximum_mean_discrepancy(first, second, groups=(of_first, of_second))
    assert found.statistic.n == 125 and found.p > 0.01
    assert maximum_mean_discrepancy(first, second).p < 0.01


def test_groups_of_two_populations_are_told_apart():
    (first, of_first), (second, of_second) = grouped(125, 1), grouped(125, 2, shift=2.0)
    groups = of_first, of_second
    assert classifier_test(first, second, groups=groups).p < 1e-6
    assert maximum_mean_discrepancy(first, second, groups=groups).p < 0.01
    found = domain_distance(first, second, groups=groups)
    assert found.between.low > 0.5 and found.halves.low < 0 < found.halves.high
    narrow = domain_distance(first, second).between
    assert found.between.high - found.between.low > 1.5 * (narrow.high - narrow.low)


def test_one_side_may_have_groups_and_fewer_than_ten_have_no_distance():
    (first, of_first), second = grouped(60, 1), cloud(480, 2, hidden=30)
    found = domain_distance(first, second, groups=(of_first, None)).between
    assert found.value is not None and found.low < 0.3
    few = domain_distance(first, second, groups=(of_first % 9, None))
    assert "9 groups on the smaller side, at least 10 are needed" in distance_finding(few).evidence
    rows, _ = grouped(125, 1)
    test = classifier_test(rows, rows, groups=(np.arange(1000) % 9, None))
    assert test.p is None and "9 groups" in two_sample_finding(test).evidence


def slow_mmd(first, second):
    """Gretton et al. 2012, equation 3, pair by pair."""
    rows = np.concatenate([first, second])
    squared = [((a - b) ** 2).sum() for place, a in enumerate(rows) for b in rows[place + 1 :]]

    def k(a, b):
        return math.exp(-((a - b) ** 2).sum() / (2 * np.median(squared)))

    within = sum(
        sum(k(a, b) for i, a in enumerate(side) for j, b in enumerate(side) if i != j)
        / (len(side) * (len(side) - 1))
        for side in (first, second)
    )
    return within - 2 * sum(k(a, b) for a in first for b in second) / (len(first) * len(second))


def test_mmd_is_the_sum_over_pairs():
    first, second = cloud(50, 1), cloud(50, 2, shift=1.0)
    found = maximum_mean_discrepancy(first, second, permutations=50)
    assert found.statistic.value == pytest.approx(slow_mmd(first, second))


def test_mmd_tells_shifted_domains_and_not_equal_ones():
    assert maximum_mean_discrepancy(cloud(200, 1), cloud(200, 2, shift=1.0)).p == pytest.approx(1 / 501)
    values = [
        maximum_mean_discrepancy(cloud(60, seed), cloud(60, seed + 50), permutations=99).p
        for seed in range(20)
    ]
    assert sum(p <= 0.05 for p in values) <= 4
    assert 0.25 < np.mean(values) < 0.75


def test_kernel_finding_has_the_p_and_the_reason():
    assert kernel_finding(TwoSampleTest(Estimate(0.02, 500), 0.002)).evidence == (
        "MMD^2 = 0.0200, permutation p = 0.002 (500 rows a side)"
    )
    too_small = kernel_finding(maximum_mean_discrepancy(cloud(10, 1), cloud(10, 2)))
    assert (too_small.value, too_small.evidence) == (
        None,
        "not measured: 10 rows a side, at least 50 are needed",
    )


def test_new_words_are_counted_as_they_run():
    source, target = ["The film is good."], ["the phone is good"] * 20 + ["GOOD film"] * 20
    found = new_word_rate(source, target)
    assert found.value == pytest.approx(20 / (4 * 20 + 2 * 20))
    assert found.n == 40
    assert found.low < found.value < found.high


def test_a_domain_has_no_more_new_words_than_its_own_halves():
    generator = np.random.default_rng(0)
    vocabulary = [f"w{number}" for number in range(500)]

    def texts(offset: int):
        return [" ".join(np.roll(vocabulary, offset)[generator.integers(300, size=12)]) for _ in range(200)]

    same = new_words_finding(new_words(texts(0), texts(0)))
    other = new_words_finding(new_words(texts(0), texts(200)))
    assert (same.severity, other.severity) == ("info", "warn")
    assert other.value == pytest.approx(200 / 300, abs=0.05)


def test_words_of_a_group_are_known_to_it_alone():
    """Each review has ten sentences and a word of its own: half of the sentences know it, half of the reviews
    do not.
    """
    groups = np.repeat(np.arange(40), 10)
    texts = [f"the film is word{group}" for group in groups]
    alone, whole = new_words(texts, texts), new_words(texts, texts, groups=(groups, groups))
    assert alone.halves.value == pytest.approx(0, abs=0.01)
    assert whole.halves.value == pytest.approx(0.25)
    assert whole.target.value == pytest.approx(0.125)
    # Each sentence is like any other of its review.
    drawn = new_word_rate(texts[:200], texts), new_word_rate(texts[:200], texts, groups=groups)
    assert drawn[1].high - drawn[1].low > 2 * (drawn[0].high - drawn[0].low)


def test_scripts_without_spaces_have_no_new_word_rate():
    texts = ["この映画はとても面白い"] * 40
    assert new_word_rate(texts, texts).reason == "the script puts no spaces between words"
    assert new_word_rate(["नमस्ते दुनिया"] * 40, ["नमस्ते दुनिया"] * 40).value == 0
    finding = new_words_finding(new_words(texts, texts))
    assert finding.value is None


def test_words_keep_marks_and_lose_punctuation():
    assert words_of("«Ångström's», नमस्ते! -- 5%") == ["ångström's", "नमस्ते", "5"]


def test_too_few_texts_have_no_rates():
    assert new_word_rate(["a"] * 50, ["a"] * 29).value is None
    assert tokens_per_word(np.ones(29), np.ones(29)).value is None
    assert tokens_per_word(np.zeros(40), np.zeros(40)).reason == "the texts hold no words"


def test_tokens_a_word_is_a_ratio_of_sums():
    tokens, words = np.array([10.0, 2.0] * 20), np.array([5.0, 2.0] * 20)
    found = tokens_per_word(tokens, words)
    assert found.value == pytest.approx(12 / 7)
    assert found.low < 12 / 7 < found.high


@pytest.mark.parametrize(("target", "severity"), [(1.5, "info"), (1.7, "warn")])
def test_tokens_a_word_warn_where_the_vocabulary_cuts_words(target, severity):
    finding = tokens_per_word_finding(Estimate(1.2, 100), Estimate(target, 80))
    assert (finding.severity, finding.value) == (severity, pytest.approx(target / 1.2))


def test_label_shares_have_their_total_variation():
    source, target = np.repeat([0, 1], [500, 500]), np.repeat([0, 1], [200, 800])
    found = label_share_difference(source, target, classes=2)
    assert found.distance.value == pytest.approx(0.3)
    table = [[500, 500], [200, 800]]
    assert found.p == pytest.approx(stats.chi2_contingency(table, correction=False).pvalue)
    assert found.distance.low < 0.3 < found.distance.high
    assert label_shift_finding(found).severity == "warn"


def test_chance_differences_of_label_shares_do_not_warn():
    found = label_share_difference(np.repeat([0, 1], [20, 20]), np.repeat([0, 1], [26, 14]), classes=3)
    assert found.distance.value == pytest.approx(0.15)
    assert label_shift_finding(found).severity == "info"


def test_one_label_on_both_sides_is_no_difference():
    found = label_share_difference(np.zeros(40, dtype=int), np.zeros(50, dtype=int), classes=2)
    assert (found.distance.value, found.p) == (0, 1)


def test_few_labels_are_not_compared():
    found = label_share_difference(np.zeros(40, dtype=int), np.zeros(20, dtype=int), classes=2)
    assert found.p is None
    assert label_shift_finding(found).value is None


def test_findings_name_both_sides():
    distance = DomainDistance(Estimate(1.9, 200, 1.8, 1.95), Estimate(0.1, 200, -0.1, 0.3))
    assert "0.10 (95% interval -0.10 to 0.30, n = 200)" in distance_finding(distance).evidence
    rates = NewWords(Estimate(0.2, 100, 0.18, 0.22), Estimate(0.1, 100, 0.09, 0.11))
    assert "20.0" in new_words_finding(rates).evidence
    assert "10.0" in new_words_finding(rates).evidence
    shift = LabelShareDifference(Estimate(0.3, 100, 0.2, 0.4), 0.0001)
    assert "p < 0.001" in label_shift_finding(shift).evidence
