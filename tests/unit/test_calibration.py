"""Calibration against a known temperature, coverage against a slow count, and estimates without labels."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special

from nlp_transfer.diagnostics.calibration import (
    Temperature,
    accuracy_against_coverage,
    calibration_error,
    calibration_finding,
    carried_temperature,
    coverage_finding,
    fit_temperature,
    held_out_gain,
    scale,
)
from nlp_transfer.diagnostics.estimates import Estimate
from nlp_transfer.diagnostics.unlabelled import (
    atc_finding,
    average_thresholded_confidence,
    confidence_scores,
    estimate_label_shift,
    estimated_shift_finding,
)
from nlp_transfer.evaluation.scores import classification_scores


def calibrated(rows: int, *, classes: int = 3, seed: int = 0):
    """Draw logits, and labels with exactly the probabilities that they say."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(size=(rows, classes)) * 2
    drawn = generator.random(rows)[:, None] > special.softmax(logits, axis=1).cumsum(axis=1)
    return logits, np.minimum(drawn.sum(axis=1), classes - 1)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_a_known_temperature_is_recovered(temperature):
    logits, labels = calibrated(4000)
    found = fit_temperature(logits * temperature, labels)
    assert found.temperature.low < temperature < found.temperature.high
    assert found.temperature.value == pytest.approx(temperature, rel=0.08)
    assert found.nll_after <= found.nll_before
    assert found.nll_after == pytest.approx(
        -special.log_softmax(logits, 1)[range(4000), labels].mean(), abs=1e-3
    )


def test_logarithms_of_probabilities_have_the_same_temperature():
    logits, labels = calibrated(500)
    from_logits = fit_temperature(logits, labels).temperature
    from_logs = fit_temperature(special.log_softmax(logits, axis=1), labels).temperature
    assert from_logits.value == pytest.approx(from_logs.value, rel=1e-6)


def test_the_temperature_mends_an_overconfident_model():
    logits, labels = calibrated(3000)
    dev, test = slice(0, 1500), slice(1500, None)
    found = fit_temperature(3 * logits[dev], labels[dev])
    before = calibration_error(scale(3 * logits[test], 1.0), labels[test])
    after = calibration_error(scale(3 * logits[test], found.temperature.value), labels[test])
    assert before.value > 0.15
    assert after.value < 0.04
    finding = calibration_finding(before, after, found)
    assert (finding.severity, finding.value) == ("info", after.value)
    assert "divided by the temperature" in finding.evidence


def test_uncalibrated_probabilities_without_dev_rows_warn():
    logits, labels = calibrated(3000)
    before = calibration_error(scale(3 * logits, 1.0), labels)
    none = fit_temperature(logits[:49], labels[:49])
    assert none == Temperature(Estimate(None, 49, reason="49 dev rows, at least 50 are needed"), None, None)
    finding = calibration_finding(before, Estimate(None, 0, reason="no temperature"), none)
    assert (finding.severity, finding.value) == ("warn", before.value)
    assert finding.evidence.endswith("no temperature: 49 dev rows, at least 50 are needed")


def test_dev_rows_that_are_all_right_have_no_temperature():
    labels = np.arange(60) % 2
    found = fit_temperature(np.eye(2)[labels], labels)
    assert found.temperature.value is None
    assert "all dev rows are right" in found.temperature.reason
    assert fit_temperature(np.eye(2)[1 - labels], labels).temperature.value is None


@pytest.mark.parametrize("rows", [60, 150])
def test_a_calibrated_model_keeps_a_temperature_of_one(rows):
    """Whatever few rows fit best; without the guard each of these draws gets a temperature."""
    carried = [carried_temperature(*calibrated(rows, seed=seed)).temperature for seed in range(30)]
    fitted = [fit_temperature(*calibrated(rows, seed=seed)).temperature for seed in range(30)]
    assert all(each.value is not None for each in fitted)
    assert sum(each.value is not None for each in carried) <= 3
    assert "is not shown to help: on rows left out of the fit" in carried[0].reason


@pytest.mark.parametrize("rows", [60, 150])
def test_a_badly_overconfident_model_carries_the_fitted_temperature(rows):
    found = [carried_temperature(4 * logits, labels) for logits, labels in map(drawn_of(rows), range(10))]
    assert sum(each.temperature.value is not None for each in found) >= 9
    logits, labels = calibrated(rows, seed=3)
    carried, fitted = carried_temperature(4 * logits, labels), fit_temperature(4 * logits, labels)
    assert carried.temperature == fitted.temperature
    assert carried.temperature.value == pytest.approx(4, rel=0.5)
    assert carried.gain > 0.1


def drawn_of(rows):
    return lambda seed: calibrated(rows, seed=seed)


def test_a_temperature_that_is_left_out_says_why_in_the_finding():
    logits, labels = calibrated(100, seed=1)
    none = carried_temperature(logits, labels)
    assert none.temperature.value is None and none.nll_after is None and none.nll_before is not None
    error = Estimate(0.05, 400, 0.03, 0.07)
    evidence = calibration_finding(error, none.temperature, none).evidence
    value = fit_temperature(logits, labels).temperature.value
    assert f"no temperature: {value:.2f} fits 100 dev rows best, and is not shown to help" in evidence
    assert f"lowers the loss by {none.gain:.4f} nats" in evidence


def test_the_gain_is_that_of_rows_left_out_of_the_fit():
    logits, labels = calibrated(4000)
    gain, error = held_out_gain(3 * logits, labels)
    losses = [-special.log_softmax(each, 1)[range(4000), labels] for each in (3 * logits, logits)]
    assert gain == pytest.approx((losses[0] - losses[1]).mean(), rel=0.02)
    assert error == pytest.approx((losses[0] - losses[1]).std() / np.sqrt(4000), rel=0.05)


def test_rows_of_a_group_are_left_out_together_and_count_as_one():
    """Every row stands four times: beside its copies it would be fitted by heart."""
    logits, labels = calibrated(100, seed=2)
    copies = np.repeat(np.arange(100), 4)
    gain, error = held_out_gain(2 * logits[copies], labels[copies], groups=copies)
    once = held_out_gain(2 * logits, labels)
    assert (gain, error) == pytest.approx(once, rel=1e-3)
    alone = held_out_gain(2 * logits[copies], labels[copies])
    assert alone[1] == pytest.approx(once[1] / 2, rel=0.1)
    assert held_out_gain(logits, labels, groups=np.zeros(100, dtype=np.int64)) == (0.0, np.inf)


def test_calibration_error_is_the_reports_own():
    logits, labels = calibrated(300, classes=2)
    probabilities = scale(2 * logits, 1.0)
    found = calibration_error(probabilities, labels)
    report = classification_scores(probabilities, labels.tolist())["expected_calibration_error"]
    assert found.value == pytest.approx(report)
    assert found.low <= found.value <= found.high
    assert calibration_error(probabilities[:199], labels[:199]).value is None


def sure(confidences):
    """Probabilities of class 0 with these confidences."""
    return np.stack([np.asarray(confidences), 1 - np.asarray(confidences)], axis=1)


def test_coverage_is_counted_from_the_surest_row_on():
    found = accuracy_against_coverage(sure([0.6, 0.9, 0.8, 0.7]), np.array([1, 0, 1, 0]))
    assert found.coverage.tolist() == [0.25, 0.5, 0.75, 1.0]
    assert found.accuracy.tolist() == pytest.approx([1, 1 / 2, 2 / 3, 2 / 4])
    assert found.area.value is None


def test_rows_of_equal_confidence_share_their_accuracy_whatever_their_order():
    labels = np.array([0, 0, 1, 1, 0])
    confidences = np.array([0.9, 0.7, 0.7, 0.7, 0.6])
    order = [0, 3, 2, 1, 4]
    first = accuracy_against_coverage(sure(confidences), labels).accuracy
    again = accuracy_against_coverage(sure(confidences[order]), labels[order]).accuracy
    assert first.tolist() == pytest.approx(again.tolist())
    assert first.tolist() == pytest.approx([1, (1 + 1 / 3) / 2, (1 + 2 / 3) / 3, 2 / 4, 3 / 5])


def test_area_under_risk_and_coverage_is_the_mean_risk():
    generator = np.random.default_rng(0)
    confidences = generator.permutation(np.linspace(0.5, 1, 400))
    labels = (generator.random(400) > confidences).astype(int)
    wrong = labels[np.argsort(-confidences)]
    expected = np.mean([wrong[:kept].mean() for kept in range(1, 401)])
    found = accuracy_against_coverage(sure(confidences), labels)
    assert found.area.value == pytest.approx(expected)
    assert found.area.low < expected < found.area.high
    surest = 1 - wrong[:320].mean()
    assert f"{surest:.3f} on the surest 80%" in coverage_finding(found).evidence


def test_few_rows_have_no_area():
    found = accuracy_against_coverage(sure([0.6] * 50), np.zeros(50, dtype=int))
    assert coverage_finding(found).value is None


@pytest.mark.parametrize("score", ["max_confidence", "negative_entropy"])
def test_atc_is_exact_where_it_is_made_to_be(score):
    # 20 of 100 source rows are wrong, and those are the 20 least sure; 130 of 400 target rows are less sure.
    source = sure(np.concatenate([np.linspace(0.5, 0.59, 20), np.linspace(0.6, 0.99, 80)]))
    labels = np.repeat([1, 0], [20, 80])
    target = sure(np.concatenate([np.full(130, 0.599), np.full(270, 0.6)]))
    found = average_thresholded_confidence(source, labels, target, score=score)
    assert found.value == pytest.approx(270 / 400)
    assert found.n == 100
    assert found.low <= found.value <= found.high


@pytest.mark.parametrize("score", ["max_confidence", "negative_entropy"])
def test_atc_of_the_source_itself_is_its_accuracy(score):
    logits, labels = calibrated(1000)
    probabilities = special.softmax(logits, axis=1)
    found = average_thresholded_confidence(probabilities, labels, probabilities, score=score)
    assert found.value == pytest.approx((probabilities.argmax(axis=1) == labels).mean(), abs=0.002)


@pytest.mark.parametrize(("right", "expected"), [(0, 0.0), (1, 1.0)])
def test_atc_of_a_source_that_is_all_right_or_all_wrong(right, expected):
    probabilities = sure(np.linspace(0.6, 0.99, 120))
    found = average_thresholded_confidence(probabilities, np.full(120, 1 - right), probabilities)
    assert found.value == expected


def test_atc_needs_rows():
    probabilities = sure([0.9] * 99)
    found = average_thresholded_confidence(probabilities, np.zeros(99, dtype=int), probabilities)
    assert found.reason == "99 rows on the smaller side, at least 100 are needed"
    assert atc_finding(found, system="adapted").value is None


def test_negative_entropy_ranks_by_the_whole_distribution():
    scores = confidence_scores(np.array([[0.5, 0.5, 0.0], [0.5, 0.25, 0.25]]), "negative_entropy")
    assert scores == pytest.approx([-np.log(2), -1.5 * np.log(2)])


@pytest.mark.parametrize(("truth", "severity"), [(0.79, "info"), (0.70, "warn"), (0.90, "warn")])
def test_the_estimate_stands_beside_the_truth(truth, severity):
    known = Estimate(truth, 500, truth - 0.03, truth + 0.03)
    finding = atc_finding(Estimate(0.8, 500, 0.77, 0.83), system="zero_shot", truth=known)
    assert "zero_shot has an accuracy of 0.800" in finding.evidence
    assert (finding.severity, finding.value) == (severity, pytest.approx(0.8 - truth))
    assert f"{truth:.3f}" in finding.evidence
    alone = atc_finding(Estimate(0.8, 500, 0.77, 0.83), system="zero_shot")
    assert (alone.severity, alone.value, alone.threshold) == ("info", 0.8, None)


def predicted(labels, generator, *, right: float = 0.8, classes: int = 3):
    """Predict rightly with this chance, else the class after the true one."""
    return np.where(generator.random(len(labels)) < right, labels, (labels + 1) % classes)


def test_a_known_label_shift_is_recovered():
    generator = np.random.default_rng(0)
    source = generator.choice(3, size=6000, p=[1 / 3, 1 / 3, 1 / 3])
    target = generator.choice(3, size=6000, p=[0.7, 0.2, 0.1])
    found = estimate_label_shift(
        predicted(source, generator), source, predicted(target, generator), classes=3
    )
    assert [each.value for each in found.shares] == pytest.approx([0.7, 0.2, 0.1], abs=0.03)
    assert found.weights == pytest.approx([2.1, 0.6, 0.3], abs=0.1)
    assert all(each.low < p < each.high for each, p in zip(found.shares, [0.7, 0.2, 0.1], strict=True))
    assert found.change.value == pytest.approx(0.367, abs=0.03)
    finding = estimated_shift_finding(found, ["a", "b", "c"])
    assert finding.severity == "warn"
    assert f"condition number {found.condition:.1f}" in finding.evidence


def test_bbse_is_exact_without_noise():
    # C = [[.4, .1], [.1, .4]]; a target with shares .8 and .2 has q = (.8 * .8 + .2 * .2, ...) = (.68, .32).
    source_labels = np.repeat([0, 0, 1, 1], [40, 10, 10, 40])
    source_predicted = np.repeat([0, 1, 0, 1], [40, 10, 10, 40])
    target = np.repeat([0, 1], [68, 32])
    found = estimate_label_shift(source_predicted, source_labels, target, classes=2)
    assert [each.value for each in found.shares] == pytest.approx([0.8, 0.2])
    assert found.weights == pytest.approx([1.6, 0.4])
    assert found.condition == pytest.approx(0.5 / 0.3)


def test_no_shift_is_found_where_there_is_none():
    generator = np.random.default_rng(1)
    source, target = generator.integers(2, size=(2, 2000))
    found = estimate_label_shift(
        predicted(source, generator, classes=2), source, predicted(target, generator, classes=2), classes=2
    )
    assert found.change.value < 0.05
    assert estimated_shift_finding(found, ["no", "yes"]).severity == "info"


def test_a_classifier_that_knows_nothing_gives_no_label_shift():
    generator = np.random.default_rng(2)
    labels = generator.integers(2, size=1000)
    found = estimate_label_shift(generator.integers(2, size=1000), labels, labels, classes=2)
    assert found.weights is None
    assert found.condition > 10
    assert "ill-conditioned" in estimated_shift_finding(found, ["no", "yes"]).evidence


def test_a_rare_class_alone_is_not_ill_conditioned():
    labels = np.repeat([0, 1], [2000, 40])
    target = np.repeat([0, 1], [500, 500])
    found = estimate_label_shift(labels, labels, target, classes=2)
    assert found.condition == pytest.approx(1)
    assert [each.value for each in found.shares] == pytest.approx([0.5, 0.5])
    assert found.weights == pytest.approx([0.5 / (2000 / 2040), 0.5 / (40 / 2040)])


def test_a_class_without_source_rows_gives_no_label_shift():
    labels = np.repeat([0, 1], [50, 9])
    found = estimate_label_shift(labels, labels, labels, classes=2)
    assert found.change.reason == "9 rows of the rarest class, at least 10 are needed"
