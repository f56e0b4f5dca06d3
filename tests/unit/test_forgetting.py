"""Forgetting and drift on models whose change is known; the chain and its guard; overfitting."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from nlp_transfer.diagnostics.continual import (
    chain_backward_transfer,
    chain_finding,
    forgetting_measure,
    guard,
    guard_finding,
)
from nlp_transfer.diagnostics.estimates import Estimate
from nlp_transfer.diagnostics.forgetting import (
    backward_transfer,
    drift_finding,
    forgetting_finding,
    layer_of,
    weight_drift,
)
from nlp_transfer.diagnostics.overfitting import (
    generalisation_finding,
    generalisation_gap,
    last_step_finding,
    last_step_loss,
)


def hits(right: int, rows: int):
    return np.arange(rows) < right


def weights(seed: int = 0):
    generator = np.random.default_rng(seed)
    names = ["bert.embeddings.word_embeddings.weight", "bert.encoder.layer.0.dense.weight",
             "bert.encoder.layer.0.dense.bias", "bert.encoder.layer.1.dense.weight"]  # fmt: skip
    return {name: generator.normal(size=(4, 3)) for name in names}


def test_forgetting_is_the_change_on_the_same_rows():
    found = backward_transfer(hits(90, 100), hits(84, 100))
    assert found.value == pytest.approx(-0.06)
    assert found.low < -0.06 < found.high < 0
    finding = forgetting_finding(found)
    assert (finding.severity, finding.check) == ("warn", "forgetting")
    assert "n = 100" in finding.evidence


def test_an_untouched_model_forgot_nothing_and_did_not_move():
    found = backward_transfer(hits(90, 100), hits(90, 100))
    assert (found.value, found.low, found.high) == (0, 0, 0)
    assert forgetting_finding(found).severity == "info"
    drift = weight_drift(weights(), weights())
    assert drift.overall == 0
    assert set(drift.by_layer.values()) == {0.0}
    assert drift.compared == 48


def test_drift_is_relative_to_each_layers_own_size():
    before = weights()
    after = {name: value * (1.5 if "layer.0" in name else 1.0) for name, value in before.items()}
    drift = weight_drift(before, after)
    assert drift.by_layer == {
        "bert.embeddings.word_embeddings": 0,
        "bert.encoder.layer.0": pytest.approx(0.5),
        "bert.encoder.layer.1": 0,
    }
    moved = math.sqrt(sum(np.sum((after[name] - before[name]) ** 2) for name in before))
    assert drift.overall == pytest.approx(moved / math.sqrt(sum(np.sum(v**2) for v in before.values())))
    assert "bert.encoder.layer.0 50.0%" in drift_finding(drift).evidence


def test_drift_reads_torch_tensors_of_any_precision():
    before = {"linear.weight": torch.full((2, 2), 2.0, dtype=torch.bfloat16, requires_grad=True)}
    after = {"linear.weight": torch.full((2, 2), 3.0)}
    assert weight_drift(before, after).by_layer == {"linear": 0.5}


def test_new_and_resized_tensors_are_named_and_not_compared():
    before = {"a.weight": np.ones(3), "head.weight": np.ones((2, 3)), "old.weight": np.ones(2)}
    after = {"a.weight": np.ones(3), "head.weight": np.ones((5, 3)), "new.weight": np.ones(2)}
    drift = weight_drift(before, after)
    assert drift.unmatched == ["head.weight", "new.weight", "old.weight"]
    assert drift.compared == 3
    assert "3 tensors are new or were resized" in drift_finding(drift).evidence


def test_models_without_common_weights_have_no_drift():
    finding = drift_finding(weight_drift({"a": np.ones(2)}, {"b": np.ones(2)}))
    assert finding.value is None
    assert "no weights in common" in finding.evidence


def test_a_layer_that_started_at_zero_has_no_relative_drift():
    drift = weight_drift(
        {"a.0.x": np.zeros(2), "a.1.x": np.ones(2)}, {"a.0.x": np.ones(2), "a.1.x": np.ones(2)}
    )
    assert drift.by_layer == {"a.1": 0.0}
    assert drift.overall == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("distilbert.transformer.layer.5.ffn.lin1.weight", "distilbert.transformer.layer.5"),
        ("model.decoder.layers.11.fc1.bias", "model.decoder.layers.11"),
        ("model.shared.weight", "model.shared"),
        ("logit_scale", "logit_scale"),
    ],
)
def test_layers_are_named_up_to_their_number(name, layer):
    assert layer_of(name) == layer


# Rows: after each of three adaptations; columns: test sets; a test set is first scored when it is learnt.
CHAIN = np.array([[0.90, np.nan, np.nan], [0.92, 0.80, np.nan], [0.85, 0.82, 0.70]])


def test_a_chain_has_backward_transfer_and_forgetting_by_hand():
    assert chain_backward_transfer(CHAIN).value == pytest.approx(((0.85 - 0.90) + (0.82 - 0.80)) / 2)
    forgot = forgetting_measure(CHAIN)
    assert forgot.value == pytest.approx(((0.92 - 0.85) + (0.80 - 0.82)) / 2)
    assert forgot.n == 2
    finding = chain_finding(chain_backward_transfer(CHAIN), forgot)
    assert (finding.severity, finding.value) == ("info", pytest.approx(-0.015))


def test_a_chain_of_one_or_with_holes_has_no_number():
    assert chain_backward_transfer(CHAIN[:1, :1]).reason == "there is no earlier test set"
    assert forgetting_measure(CHAIN[:1, :1]).value is None
    holed = CHAIN.copy()
    holed[2, 0] = np.nan
    assert chain_backward_transfer(holed).reason == "1 scores of the chain are missing"
    never = CHAIN.copy()
    never[:2, 0] = np.nan
    assert forgetting_measure(never).reason == "1 scores of the chain are missing"


@pytest.mark.parametrize(
    ("now", "max_drop", "accepted"),
    [
        ({"movies": 0.89, "phones": 0.80}, 0.01, True),
        ({"movies": 0.88, "phones": 0.80}, 0.01, False),
        ({"movies": 0.95, "phones": 0.95}, 0.0, True),
        ({"movies": 0.90, "phones": 0.70}, 0.05, False),
    ],
)
def test_the_guard_holds_each_test_set_against_its_best_score(now, max_drop, accepted):
    earlier = [{"movies": 0.90}, {"movies": 0.89, "phones": 0.80}]
    rows = {"movies": 1000, "phones": 500}
    decision = guard(earlier, now, max_drop=max_drop, test_rows=rows)
    assert decision.accepted is accepted
    finding = guard_finding(decision)
    assert finding.severity == ("info" if accepted else "block")
    assert (finding.threshold, finding.value) == (max_drop, pytest.approx(max(decision.drops.values())))
    assert f"n = {rows[decision.worst]:,} rows" in finding.evidence


def test_drops_that_add_up_are_noticed():
    earlier = [{"movies": 0.90}, {"movies": 0.893}, {"movies": 0.886}]
    assert not guard(earlier, {"movies": 0.886}, max_drop=0.01, test_rows={"movies": 1000}).accepted


def test_the_guard_wants_all_earlier_test_sets_scored():
    with pytest.raises(ValueError, match="movies came without"):
        guard([{"movies": 0.9}], {"phones": 0.8}, max_drop=0.01, test_rows={})


def test_the_first_adaptation_has_nothing_to_guard():
    finding = guard_finding(guard([], {"movies": 0.9}, max_drop=0.01, test_rows={"movies": 100}))
    assert (finding.severity, finding.value) == ("info", None)


@pytest.mark.parametrize(
    ("train", "test", "severity"),
    [(hits(64, 64), hits(400, 600), "warn"), (hits(64, 64), hits(560, 600), "info")],
)
def test_rows_learnt_by_heart_are_told(train, test, severity):
    gap = generalisation_gap(train, test)
    assert gap.value == pytest.approx(train.mean() - test.mean())
    finding = generalisation_finding(gap)
    assert (finding.check, finding.severity) == ("generalisation_train_test", severity)
    assert "n = 64" in finding.evidence


def test_a_gap_of_few_rows_is_not_measured():
    finding = generalisation_finding(
        generalisation_gap(hits(16, 16), hits(10, 100)), sides=("dev", "source dev")
    )
    assert (finding.check, finding.value) == ("generalisation_dev_source_dev", None)


@pytest.mark.parametrize(
    ("scores", "best_step", "severity"),
    # One standard error of 0.84 with 200 rows is 0.026.
    [([0.80, 0.84, 0.83], 20, "info"), ([0.80, 0.84, 0.80], 20, "warn"), ([0.7, 0.8, 0.9], 30, "info")],
)
def test_the_last_step_is_held_against_the_best(scores, best_step, severity):
    loss = last_step_loss([10, 20, 30], scores, dev_rows=200)
    assert (loss.best_step, loss.last_step) == (best_step, 30)
    best = max(scores)
    assert loss.standard_errors == pytest.approx((best - scores[-1]) / math.sqrt(best * (1 - best) / 200))
    assert last_step_finding(loss).severity == severity


def test_one_evaluated_step_has_no_best_and_last():
    assert last_step_loss([10], [0.8], dev_rows=200) is None
    # Rows of groups tell less of the accuracy than as many that stand alone.
    worth_less = last_step_loss([10, 20, 30], [0.6, 0.8, 0.75], dev_rows=200, worth=50.0)
    alone = last_step_loss([10, 20, 30], [0.6, 0.8, 0.75], dev_rows=200)
    assert worth_less.standard_error == pytest.approx(2 * alone.standard_error)
    assert worth_less.dev_rows == 200
    assert last_step_finding(None).value is None


def test_a_perfect_best_step_still_has_an_error():
    assert math.isfinite(last_step_loss([1, 2], [1.0, 0.9], dev_rows=100).standard_errors)


def test_chain_warns_where_it_forgot():
    finding = chain_finding(Estimate(-0.05, 2), Estimate(0.06, 2))
    assert finding.severity == "warn"
    assert (
        finding.advice == "name the earlier data as data.source and raise adaptation.replay, or set a guard"
    )
    assert finding.evidence == (
        "earlier test sets changed by -5.0 points on average since each was learnt, and lost +6.0 from their "
        "best (n = 2 test sets)"
    )


def test_a_chain_may_learn_two_test_sets_at_once_and_one_before_it_began():
    """Columns: the source, known to the source model; two targets, one a step; and this step's own."""
    scores = np.array([[0.9, 0.5, np.nan, np.nan], [0.8, 0.7, 0.4, np.nan], [0.85, 0.6, 0.75, 0.8]])
    learnt = [0, 1, 1, 2]
    assert chain_backward_transfer(scores, learnt).value == pytest.approx((-0.05 - 0.1 + 0.35) / 3)
    assert forgetting_measure(scores, learnt).value == pytest.approx((0.05 + 0.1 - 0.35) / 3)
    assert chain_backward_transfer(scores, learnt).n == 3


def test_chrf_is_told_in_its_own_unit():
    decision = guard([{"gl": 40.0}], {"gl": 37.5}, max_drop=1.0, test_rows={"gl": 200})
    assert guard_finding(decision, factor=1.0, unit="chrF++").evidence == (
        "of 1 earlier test sets gl lost most: +2.5 chrF++ below its best score, and 1 are allowed "
        "(n = 200 rows)"
    )
