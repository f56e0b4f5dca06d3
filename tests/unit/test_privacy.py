"""Membership inference on an overfitted and an untouched model, and personal data that is planted."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn import metrics

from nlp_transfer.diagnostics.estimates import Estimate
from nlp_transfer.diagnostics.personal_data import (
    find_personal_data,
    masked,
    personal_data_finding,
    scan_personal_data,
)
from nlp_transfer.diagnostics.privacy import (
    MembershipInference,
    membership_finding,
    membership_inference,
    membership_scores,
    row_losses,
)


def test_losses_are_the_true_labels_negative_log_probability():
    probabilities = np.array([[0.9, 0.1], [0.25, 0.75], [1.0, 0.0]])
    losses = row_losses(probabilities, np.array([0, 0, 1]))
    assert losses[:2] == pytest.approx([-math.log(0.9), -math.log(0.25)])
    assert math.isfinite(losses[2])
    assert membership_scores(np.array([2.0, 1.0]), np.array([0.5, 1.5])).tolist() == [1.5, -0.5]


def losses(rows: int, seed: int, *, learnt: float = 0.0):
    """Draw base losses, and adapted ones that are lower by `learnt` and noise."""
    generator = np.random.default_rng(seed)
    base = generator.gamma(2.0, 0.4, size=rows)
    return base, base - learnt + generator.normal(0, 0.1, size=rows)


def test_an_overfitted_model_gives_its_rows_away():
    found = membership_inference(
        membership_scores(*losses(64, 1, learnt=1.0)), membership_scores(*losses(600, 2))
    )
    assert found.auc.value > 0.99
    assert found.tpr_at_1_percent_fpr.value > 0.95
    finding = membership_finding(found)
    assert finding.severity == "warn"
    assert "n = 64" in finding.evidence


def test_the_figure_rises_with_the_steps_that_a_small_set_is_learnt_for():
    generator = np.random.default_rng(5)
    features = generator.normal(size=(464, 100))
    labels = (features[:, 0] + generator.normal(0, 1, size=464) > 0).astype(int)
    learnt, unseen = slice(0, 64), slice(64, None)

    def row_losses_after(steps: int, rows: slice):
        weights = np.zeros(100)
        for _ in range(steps):
            errors = 1 / (1 + np.exp(-features[learnt] @ weights)) - labels[learnt]
            weights -= 0.05 * features[learnt].T @ errors / 64
        positive = 1 / (1 + np.exp(-features[rows] @ weights))
        return row_losses(np.stack([1 - positive, positive], axis=1), labels[rows])

    figures = []
    for steps in (0, 5, 50, 500):
        scores = [
            membership_scores(row_losses_after(0, rows), row_losses_after(steps, rows))
            for rows in (learnt, unseen)
        ]
        figures.append(membership_inference(*scores).auc.value)
    assert figures[0] == 0.5
    assert figures == sorted(figures)
    assert figures[-1] - figures[1] > 0.05


def test_an_untouched_model_gives_nothing_away():
    inside = 0
    for seed in range(40):
        found = membership_inference(
            membership_scores(*losses(64, seed)), membership_scores(*losses(600, seed + 100))
        )
        inside += found.auc.low < 0.5 < found.auc.high
        assert found.auc.value == pytest.approx(0.5, abs=0.15)
    # 95% of 40 intervals on average; fewer than 34 in less than one case of a hundred.
    assert inside >= 34
    assert membership_finding(found).severity == "info"


def test_a_model_that_did_not_change_has_an_auc_of_one_half():
    found = membership_inference(np.zeros(50), np.zeros(200))
    assert (found.auc.value, found.tpr_at_1_percent_fpr.value) == (0.5, 0.0)


def slow_delong_variance(learnt, unseen):
    """DeLong et al. 1988, equations 4 to 6, pair by pair."""
    order = (learnt[:, None] > unseen) + 0.5 * (learnt[:, None] == unseen)
    return order.mean(axis=1).var(ddof=1) / len(learnt) + order.mean(axis=0).var(ddof=1) / len(unseen)


@pytest.mark.parametrize("decimals", [10, 1, 0])
def test_auc_and_rate_equal_scikit_learn_with_and_without_ties(decimals):
    generator = np.random.default_rng(3)
    learnt = generator.normal(0.8, 1, size=80).round(decimals)
    unseen = generator.normal(0, 1, size=350).round(decimals)
    found = membership_inference(learnt, unseen)
    truth, scores = np.repeat([1, 0], [80, 350]), np.concatenate([learnt, unseen])
    assert found.auc.value == pytest.approx(metrics.roc_auc_score(truth, scores))
    false, true, _ = metrics.roc_curve(truth, scores, drop_intermediate=False)
    assert found.tpr_at_1_percent_fpr.value == pytest.approx(true[false <= 0.01].max())
    value, spread = found.auc.value, math.sqrt(slow_delong_variance(learnt, unseen))
    centre, reach = math.log(value / (1 - value)), 1.959964 * spread / (value * (1 - value))
    ends = [1 / (1 + math.exp(-(centre + sign * reach))) for sign in (-1, 1)]
    assert (found.auc.low, found.auc.high) == pytest.approx(tuple(ends))


@pytest.mark.parametrize(
    ("sign", "ends"), [(1, (0.025 ** (1 / 40), 1.0)), (-1, (0.0, 1 - 0.025 ** (1 / 40)))]
)
def test_perfect_separation_still_has_an_interval(sign, ends):
    found = membership_inference(np.linspace(1, 2, 40) * sign, np.linspace(0, 0.5, 200) * sign)
    assert found.auc.value == (1 + sign) / 2
    assert (found.auc.low, found.auc.high) == pytest.approx(ends)


def test_one_percent_is_not_measured_with_fewer_than_a_hundred_rows():
    found = membership_inference(np.arange(40.0), np.arange(99.0))
    assert found.auc.value is not None
    assert found.tpr_at_1_percent_fpr.reason == "99 held-out rows, at least 100 are needed"
    assert "at least 100 are needed" in membership_finding(found).evidence


def test_few_rows_have_no_membership_figure():
    finding = membership_finding(membership_inference(np.arange(29.0), np.arange(500.0)))
    assert (finding.value, finding.severity) == (None, "info")
    assert "29 rows on the smaller side" in finding.evidence


def test_a_high_rate_alone_warns():
    found = MembershipInference(Estimate(0.55, 100, 0.49, 0.61), Estimate(0.2, 100, 0.13, 0.29))
    assert membership_finding(found).severity == "warn"


PLANTED = {
    "Write to jane.doe+x@mail-server.co.uk.": [("e-mail", "jane.doe+x@mail-server.co.uk")],
    "a@b is no address, nor is me@host.invalid": [],
    "call (415) 555-2671 or +44 20 7946 0958!": [("phone", "(415) 555-2671"), ("phone", "+44 20 7946 0958")],
    "my card 4111 1111 1111 1111 was": [("card", "4111 1111 1111 1111")],
    "amex 378282246310005": [("card", "378282246310005")],
    "one digit off: 4111 1111 1111 1112": [],
    "ISBN 9780306406157, EAN 4006381333931x": [],
    "pay GB82 WEST 1234 5698 7654 32 now": [("IBAN", "GB82 WEST 1234 5698 7654 32")],
    "DE89370400440532013000": [("IBAN", "DE89370400440532013000")],
    "DE88370400440532013000": [],
    "SSN 536-90-4399": [("identity number", "536-90-4399")],
    "no SSN: 000-12-3456": [],
    "DNI 54362315K and CPF 390.533.447-05": [
        ("identity number", "54362315K"),
        ("identity number", "390.533.447-05"),
    ],
    "thanks @jane_doe and /u/film_fan": [("user name", "@jane_doe"), ("user name", "/u/film_fan")],
    "paid $1,299.99 on 2020-10-12 for the DVD-R 16x 4.7 GB, 10/10": [],
    "rated 1 2 3 4 5 6 7 8 9 10 of 10 in 2001 2002 2003": [],
    "the canon powershot g3 @ 4 megapixels": [],
}


@pytest.mark.parametrize("text", PLANTED)
def test_planted_personal_data_is_found_and_what_looks_like_it_is_not(text):
    assert list(find_personal_data(text)) == PLANTED[text]


def test_national_phone_numbers_need_their_region():
    text = "ruf 030 901820 an"
    assert list(find_personal_data(text)) == []
    assert list(find_personal_data(text, regions=["DE"])) == [("phone", "030 901820")]
    assert list(find_personal_data("+49 30 901820", regions=[])) == [("phone", "+49 30 901820")]


def test_counts_are_by_kind_and_examples_are_masked():
    texts = [*PLANTED, "again jane.doe@gmail.com", "nothing here"]
    found = scan_personal_data(texts)
    assert found.counts == {
        "e-mail": 2,
        "phone": 2,
        "card": 2,
        "IBAN": 2,
        "identity number": 3,
        "user name": 2,
    }
    assert (found.rows, found.rows_with_any) == (len(PLANTED) + 2, 9)
    evidence = personal_data_finding("target", found).evidence
    for values in PLANTED.values():
        for _, value in values:
            assert value not in evidence
    assert "xxxx.xxx@xxxxx.xxx" in evidence


def test_a_few_examples_are_enough():
    found = scan_personal_data([f"{'a' * length}@mail.org" for length in range(1, 9)])
    assert found.counts == {"e-mail": 8}
    assert found.examples == {"e-mail": ["x@xxxx.xxx", "xx@xxxx.xxx", "xxx@xxxx.xxx"]}


def test_personal_data_warns_and_user_names_alone_do_not():
    planted = personal_data_finding("target", scan_personal_data(["jane@mail.org", "fine"]))
    assert (planted.severity, planted.value) == ("warn", 1)
    assert planted.evidence == "target: 1 of 2 training texts hold personal data: 1 e-mail (xxxx@xxxx.xxx)"
    names = personal_data_finding("target", scan_personal_data(["hi @jane_doe", "fine"]))
    assert (names.severity, names.value) == ("info", 0)
    assert personal_data_finding("source", scan_personal_data([])).evidence == (
        "source: 0 of 0 training texts hold personal data"
    )


def test_masks_keep_no_letter_and_no_digit():
    assert masked("Zoë 12-α") == "xxx 99-x"
