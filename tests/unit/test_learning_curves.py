"""Labels saved, areas, speed, gains and orders on curves and runs whose answers are computed by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from nlp_transfer.diagnostics.estimates import Estimate
from nlp_transfer.diagnostics.learning_curves import (
    area_under_curve,
    labels_needed,
    labels_saved,
    labels_saved_finding,
)
from nlp_transfer.diagnostics.speed import Reached, first_reaching, speed_finding, speed_up
from nlp_transfer.diagnostics.stochastic_order import (
    almost_stochastic_order,
    order_finding,
    violation_ratio,
)
from nlp_transfer.diagnostics.transfer import (
    domain_gap,
    domain_gap_finding,
    gap_closed,
    gap_closed_finding,
    negative_transfer_finding,
)


def hits(right: int, rows: int):
    return np.arange(rows) < right


def curve(scores, *, sizes=(16, 64, 256), seeds: int = 3, spread: float = 0.0):
    offsets = np.linspace(-spread, spread, seeds)
    return {size: (score + offsets).tolist() for size, score in zip(sizes, scores, strict=True)}


TRANSFER = curve([0.75, 0.80, 0.85])
SCRATCH = curve([0.60, 0.70, 0.80])


@pytest.mark.parametrize(
    ("score", "labels", "at_most"),
    # Half way between 64 and 256 in log n is 128.
    [(0.75, 128, False), (0.80, 256, False), (0.60, 16, True), (0.5, 16, True), (0.81, None, False)],
)
def test_labels_needed_are_interpolated_in_log_n(score, labels, at_most):
    found = labels_needed(SCRATCH, score)
    assert found.labels == (None if labels is None else pytest.approx(labels))
    assert found.at_most is at_most


@pytest.mark.parametrize(
    ("transfer", "scratch", "ratio", "relation", "words"),
    [
        # Transfer is at 0.80 with 64 labels, scratch with 256.
        ([0.75, 0.80, 0.85], [0.60, 0.70, 0.80], 4.0, "=", "takes 256 labels without and 64 with it"),
        ([0.80, 0.85, 0.90], [0.60, 0.70, 0.80], 16.0, ">=", "censored: transfer is there with its smallest"),
        ([0.60, 0.70, 0.79], [0.65, 0.75, 0.80], 1.0, "<", "not reached with transfer"),
        # What scratch loses again with more labels is no mark: its best is 0.80 with 64.
        ([0.60, 0.70, 0.80], [0.60, 0.80, 0.75], 0.25, "=", "takes 64 labels without and 256 with it"),
        ([0.60, 0.70, 0.90], [0.80, 0.75, 0.70], 16 / 128, "<=", "the smallest size is enough without"),
        ([0.90, 0.90, 0.90], [0.80, 0.75, 0.70], None, "unknown", "both reach the score with their smallest"),
    ],
)
def test_labels_saved_are_censored_where_the_curves_end(transfer, scratch, ratio, relation, words):
    found = labels_saved(curve(transfer), curve(scratch))
    assert found.score == pytest.approx(max(scratch))
    assert found.ratio.value == (None if ratio is None else pytest.approx(ratio))
    assert found.relation == relation
    finding = labels_saved_finding(found)
    assert finding.severity == ("warn" if relation == "<" or (ratio or 1) < 1 else "info")
    assert words in finding.evidence


def test_labels_saved_have_an_interval_over_seeds():
    found = labels_saved(
        curve([0.75, 0.80, 0.85], spread=0.02, seeds=5), curve([0.60, 0.70, 0.80], spread=0.02, seeds=5)
    )
    assert 1 < found.ratio.low < found.ratio.value < found.ratio.high < 16
    assert found.ratio.n == 5
    assert "95% interval 2." in labels_saved_finding(found).evidence


def test_an_open_end_is_said_to_be_open():
    at_once = labels_saved(curve([0.85, 0.86, 0.87], spread=0.01), curve([0.6, 0.7, 0.8], spread=0.01))
    assert (at_once.relation, at_once.ratio.high) == (">=", math.inf)
    assert at_once.ratio.low > 4
    assert " to open, n = 3 seeds" in labels_saved_finding(at_once).evidence
    unsure = labels_saved(curve([0.6, 0.7, 0.79], spread=0.02), curve([0.6, 0.7, 0.80], spread=0.02))
    finding = labels_saved_finding(unsure)
    assert (unsure.relation, unsure.ratio.low, finding.severity) == ("<", 0.0, "info")
    assert "but not surely" in finding.evidence


def test_two_seeds_measure_no_labels_saved():
    found = labels_saved(curve([0.75, 0.8, 0.85], seeds=2), SCRATCH)
    assert (found.ratio.value, found.ratio.reason) == (None, "2 seeds a point, at least 3 are needed")
    assert "takes 256 labels without and 64 with it" in labels_saved_finding(found).evidence


# Means that were measured (target_only and adapted on product reviews), and what they would be if transfer
# lost; spreads fall from 4 and 2 points with 16 labels to half of one.
SIZES = (16, 64, 256, 1024)
REAL_SCRATCH = np.array([0.666, 0.707, 0.830, 0.877])
SPREADS = {
    "scratch": np.array([0.037, 0.026, 0.013, 0.005]),
    "transfer": np.array([0.02, 0.01, 0.005, 0.004]),
}


def simulated(transfer, seeds: int, *, trials: int = 60):
    """Labels saved in trials that draw each point's seeds anew."""
    generator = np.random.default_rng(seeds)

    def drawn(means, spread):
        scores = means[:, None] + spread[:, None] * generator.normal(size=(len(SIZES), seeds))
        return dict(zip(SIZES, scores.tolist(), strict=True))

    return [
        labels_saved(drawn(transfer, SPREADS["transfer"]), drawn(REAL_SCRATCH, SPREADS["scratch"]))
        for _ in range(trials)
    ]


@pytest.mark.parametrize("seeds", [3, 5])
def test_the_interval_covers_what_is_saved(seeds):
    transfer = np.array([0.82, 0.84, 0.865, 0.89])
    truth = 1024 / math.exp(math.log(256) + (0.877 - 0.865) / 0.025 * math.log(4))
    found = simulated(transfer, seeds)
    covered = [each.ratio.low <= truth <= each.ratio.high for each in found]
    assert np.mean(covered) >= 0.9
    # Three seeds leave the last point of transfer within reach of S* in one trial of three.
    finite = [each.ratio.low > 0 and each.ratio.high < math.inf for each in found]
    assert np.mean(finite) > (0.6 if seeds == 3 else 0.9)
    assert not any(each.surely_costs for each in found)


@pytest.mark.parametrize("seeds", [3, 5])
def test_transfer_that_loses_everywhere_warns(seeds):
    """By three points at each size: S* is never reached. Where both are equal a warning is rare."""
    warned = [labels_saved_finding(each).severity == "warn" for each in simulated(REAL_SCRATCH - 0.03, seeds)]
    assert np.mean(warned) > 0.9
    assert np.mean([each.surely_costs for each in simulated(REAL_SCRATCH, seeds)]) <= 0.1


def test_area_is_a_mean_over_log_n():
    # Trapezoids in log n over 16, 64, 256 have the weights 1/4, 1/2, 1/4; wider gaps weigh more.
    assert area_under_curve(SCRATCH).value == pytest.approx(0.70)
    uneven = area_under_curve(curve([0.6, 0.7, 0.8], sizes=(16, 32, 256)))
    assert uneven.value == pytest.approx((0.65 * 1 + 0.75 * 3) / 4)
    assert area_under_curve(curve([0.8, 0.8, 0.8])).value == pytest.approx(0.8)


def test_area_has_students_interval_over_seeds():
    found = area_under_curve(curve([0.6, 0.7, 0.8], spread=0.02))
    assert found.n == 3
    assert found.high - found.value == pytest.approx(4.302653 * 0.02 / math.sqrt(3))
    two = area_under_curve(curve([0.6, 0.7, 0.8], seeds=2, spread=0.02))
    assert (two.low, two.reason) == (None, "2 seeds, an interval needs 3")


def test_area_needs_two_sizes_and_equal_seeds():
    assert area_under_curve({16: [0.6] * 3}).reason == "1 sizes, at least 2 are needed"
    assert (
        area_under_curve({16: [0.6] * 3, 64: [0.7] * 2}).reason == "the sizes have different numbers of seeds"
    )


def history(*scores, every: int = 10, seconds: float | None = 2.0):
    records = [{"step": 5, "loss": 0.7}]
    for number, score in enumerate(scores, start=1):
        time = {} if seconds is None else {"seconds": number * seconds}
        records.append({"step": number * every, "eval_accuracy": score, **time})
    return records


def test_a_score_is_reached_at_its_first_step():
    assert first_reaching(history(0.6, 0.8, 0.7, 0.9), 0.75) == Reached(20, 4.0)
    assert first_reaching(history(0.6, 0.8), 0.85) is None
    assert first_reaching([{"step": 3, "eval_f1": 0.9}], 0.9, score_key="eval_f1") == Reached(3, None)


def test_speed_is_the_ratio_at_the_baselines_best_score():
    found = speed_up(history(0.78, 0.82), history(0.6, 0.7, 0.8, 0.79))
    assert (found.score, found.baseline, found.adapted) == (0.8, Reached(30, 6.0), Reached(20, 4.0))
    assert (found.step_ratio, found.time_ratio) == (1.5, pytest.approx(1.5))
    finding = speed_finding(found, against="scratch", source_seconds=11.0)
    assert (finding.check, finding.severity) == ("speed_against_scratch", "info")
    assert finding.value == pytest.approx(1.5)
    assert "1.5 times the steps, 1.5 times the seconds" in finding.evidence
    # 6 s against 4 + 11.
    assert "the source model, made once, took 11.0 s more: 0.4 times the seconds with it" in finding.evidence
    assert "source model" not in speed_finding(found, against="scratch").evidence


@pytest.mark.parametrize(
    ("adapted", "baseline", "words", "severity"),
    [
        (history(0.9), [], "the baseline was not run", "info"),
        (history(0.9), [{"step": 1, "loss": 0.7}], "the baseline was not scored on dev rows", "info"),
        ([{"step": 1, "loss": 0.7}], history(0.9), "the adapted model was not scored on dev rows", "info"),
        (history(0.8), history(0.9), "never reached the baseline's best score", "warn"),
        (history(0.6, 0.7, 0.9), history(0.9), "0.3 times the seconds", "warn"),
    ],
)
def test_what_was_not_measured_is_said(adapted, baseline, words, severity):
    finding = speed_finding(speed_up(adapted, baseline), against="target_only")
    assert words in finding.evidence
    assert finding.severity == severity


def test_without_seconds_the_steps_decide():
    found = speed_up(history(0.8, seconds=None), history(0.6, 0.8, seconds=None))
    assert (found.step_ratio, found.time_ratio, found.reason) == (2, None, "the histories hold no seconds")
    finding = speed_finding(found, against="scratch")
    assert finding.value == 2
    assert "seconds not measured" in finding.evidence


def test_a_score_reached_before_the_first_step_counts_as_one_step():
    found = speed_up([{"step": 0, "eval_accuracy": 0.9}], history(0.6, 0.9))
    assert found.step_ratio == 20


@pytest.mark.parametrize(
    ("against", "lacks", "advice"),
    [
        ("target_only", "those of target_only, which lacks the source", "leave this source out"),
        ("scratch", "those of scratch, which starts from random weights", "this pretrained model harms"),
    ],
)
def test_harm_is_worded_for_what_it_was_held_against(against, lacks, advice):
    finding = negative_transfer_finding(Estimate(0.45, 400, 0.40, 0.50), against=against)
    assert (finding.severity, finding.value) == ("warn", 0.45)
    assert lacks in finding.evidence and "+45.0 (95% interval +40.0 to +50.0, n = 400)" in finding.evidence
    assert finding.advice.startswith(advice)
    helped = negative_transfer_finding(Estimate(-0.1, 400, -0.2, 0.01), against=against)
    assert (helped.severity, helped.advice) == ("info", "")


def test_gap_closed_is_a_share_of_the_oracles_gain():
    found = gap_closed(hits(375, 500), hits(350, 500), hits(450, 500))
    assert found.value == pytest.approx(0.25)
    assert 0 < found.low < 0.25 < found.high < 1
    assert gap_closed(hits(450, 500), hits(350, 500), hits(450, 500)).value == 1
    assert gap_closed_finding(found).severity == "info"


def test_a_gap_that_widens_warns():
    finding = gap_closed_finding(gap_closed(hits(300, 500), hits(350, 500), hits(450, 500)))
    assert (finding.severity, finding.value) == ("warn", pytest.approx(-0.5))


@pytest.mark.parametrize("oracle", [350, 351, 300])
def test_no_gap_no_share(oracle):
    found = gap_closed(hits(360, 500), hits(350, 500), hits(oracle, 500))
    assert found.value is None
    assert "no gap to close" in gap_closed_finding(found).evidence
    assert gap_closed(hits(9, 10), hits(5, 10), hits(10, 10)).reason == "10 rows, at least 30 are needed"


def test_the_domain_gap_stands_before_and_after():
    before = domain_gap(hits(850, 1000), hits(720, 1000))
    after = domain_gap(hits(840, 1000), hits(800, 1000))
    finding = domain_gap_finding(before, after)
    assert (finding.severity, finding.value) == ("info", pytest.approx(0.04))
    assert "+13.0" in finding.evidence
    assert domain_gap_finding(before, domain_gap(hits(900, 1000), hits(700, 1000))).severity == "warn"


ONE = np.array([0.9, 0.7, 0.8, 0.85, 0.6])
OTHER = np.array([0.75, 0.78, 0.72, 0.74, 0.8, 0.7])
EVEN = np.array([0.70, 0.71, 0.72, 0.73, 0.74, 0.75, 0.76])
FEWER = np.array([0.735, 0.70, 0.68, 0.74, 0.76])


@pytest.mark.parametrize(
    ("first", "second", "violation", "bound"),
    # Computed with deepsig 1.2.8: compute_violation_ratio(dt=1e-5), aso(dt=0.001; three seeds).
    [(ONE, OTHER, 0.36134, 0.877), (OTHER, ONE, 0.63864, 1.0), (EVEN, FEWER, 0.08365, 0.646)],
)
def test_stochastic_order_agrees_with_deepsig(first, second, violation, bound):
    assert violation_ratio(first, second) == pytest.approx(violation, abs=5e-5)
    found = almost_stochastic_order(first, second)
    assert found.violation.value == pytest.approx(violation, abs=5e-5)
    assert found.violation.high == pytest.approx(bound, abs=0.06)


def test_a_system_that_is_always_better_is_in_order():
    better, worse = np.array([0.90, 0.91, 0.92, 0.93, 0.94]), np.array([0.80, 0.81, 0.82, 0.83, 0.84])
    found = almost_stochastic_order(better, worse)
    assert (found.violation.value, found.violation.high) == (0, 0)
    assert (
        "adapted is almost stochastically better"
        in order_finding(found, systems=("adapted", "probe")).evidence
    )
    back = almost_stochastic_order(worse, better)
    assert (back.violation.value, back.violation.high) == (1, 1)
    assert "is not shown to be" in order_finding(back, systems=("probe", "adapted")).evidence


def test_equal_scores_are_in_no_order():
    assert violation_ratio(EVEN, EVEN) == 0.5


def test_order_needs_five_seeds():
    finding = order_finding(almost_stochastic_order(ONE[:4], OTHER), systems=("adapted", "probe"))
    assert (finding.value, finding.evidence) == (None, "not measured: 4 seeds, at least 5 are needed")
