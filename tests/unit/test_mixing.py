"""Mixes of weights before and after adaptation: which one is kept, and that it is what its name says."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from nlp_transfer.config import parse_config
from nlp_transfer.diagnostics.forgetting import mix_finding
from nlp_transfer.errors import ConfigError
from nlp_transfer.evaluation.mixes import (
    MixChoice,
    MixPoint,
    choose_mix,
    pareto_frontier,
    read_mix,
    write_mix,
)
from nlp_transfer.training.mixing import mixing_for, set_mix, trained_weights

ALPHAS = [0.0, 0.25, 0.5, 0.75, 1.0]
TARGET = [0.70, 0.79, 0.815, 0.82, 0.81]
SOURCE = np.array([0.90, 0.89, 0.87, 0.86, 0.82])


def with_resamples(scores, *, error, resamples=400):
    """Scores whose differences from the best have this standard error."""
    noise = np.random.default_rng(0).normal(0, error, (len(scores), resamples))
    noise[int(np.argmax(scores))] = 0
    return np.hstack([np.array(scores)[:, None], np.array(scores)[:, None] + noise])


@pytest.mark.parametrize(
    ("rule", "error", "source", "alpha"),
    [
        ("best", 0.02, SOURCE, 0.75),
        ("best", 0.02, None, 0.75),
        ("balanced", 0.0001, SOURCE, 0.75),
        ("balanced", 0.008, SOURCE, 0.5),
        ("balanced", 0.04, SOURCE, 0.25),
        ("balanced", 0.04, None, 0.75),
    ],
)
def test_the_mix_follows_its_rule(rule, error, source, alpha):
    choice = choose_mix(ALPHAS, with_resamples(TARGET, error=error), source, dev_rows=200, rule=rule)
    assert choice.alpha == alpha
    assert choice.standard_error == pytest.approx(0 if alpha == 0.75 else error, rel=0.15)
    assert [point.target for point in choice.points] == TARGET


def test_of_equal_mixes_the_start_is_kept_or_else_the_one_furthest_from_it():
    choice = choose_mix(ALPHAS, np.full((5, 11), 0.5), SOURCE, dev_rows=200)
    assert choice.alpha == 0.0
    tied = with_resamples([0.7, 0.8, 0.83, 0.82, 0.83], error=0.01)
    assert choose_mix(ALPHAS, tied, None, dev_rows=154).alpha == 1.0
    # Four whose target scores are near each other, and whose source scores are one.
    near = with_resamples([0.7, 0.83, 0.83, 0.83, 0.83], error=0.01)
    source = np.array([0.9, 0.8, 0.8, 0.8, 0.8])
    assert choose_mix(ALPHAS, near, source, dev_rows=154, rule="balanced").alpha == 1.0


def test_a_start_that_no_mix_beats_is_warned_of():
    kept = choose_mix(ALPHAS, with_resamples([0.8, 0.7, 0.7, 0.7, 0.7], error=0.01), None, dev_rows=120)
    finding = mix_finding(kept, metric="accuracy")
    assert (finding.severity, finding.value) == ("warn", 0.0)
    assert "n = 120 dev rows (0: 80.0; 0.25: 70.0" in finding.evidence
    better = choose_mix(ALPHAS, with_resamples(TARGET, error=0.01), SOURCE, dev_rows=120)
    assert mix_finding(better, metric="accuracy").severity == "info"
    assert "0.25: 79.0 and 89.0 on the source" in mix_finding(better, metric="accuracy").evidence


def test_a_mix_that_no_dev_rows_chose_is_told():
    finding = mix_finding(MixChoice(0.75, "best", [], dev_rows=12, standard_error=0.0), metric="accuracy")
    assert (finding.severity, finding.value) == ("info", 0.75)
    assert finding.evidence == (
        "0.75 of the change of the weights is kept: the labels are few, and 12 dev rows choose no other share"
    )


def test_the_frontier_leaves_out_what_another_point_beats():
    points = [MixPoint(*each) for each in zip(ALPHAS, TARGET, SOURCE, strict=True)]
    assert [point.alpha for point in pareto_frontier(points)] == [0.0, 0.25, 0.5, 0.75]
    twice = [MixPoint(0, 0.5, 0.5), MixPoint(1, 0.5, 0.5)]
    assert pareto_frontier(twice) == twice


def test_a_choice_is_read_as_it_was_written(tmp_path):
    choice = choose_mix(ALPHAS, with_resamples(TARGET, error=0.01), SOURCE, dev_rows=120)
    assert read_mix(tmp_path) is None
    write_mix(tmp_path, choice)
    assert read_mix(tmp_path) == choice


def test_mixed_weights_lie_on_the_line_and_only_trained_ones_move():
    model = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Linear(3, 2))
    model[0].requires_grad_(False)
    untouched = model[0].weight.detach().clone()
    mixing = mixing_for("best", model, None)
    before = model[1].weight.detach().clone()
    with torch.no_grad():
        model[1].weight += 1.0
    after = trained_weights(model)
    assert set(after) == {"1.weight", "1.bias"}
    for alpha in ALPHAS:
        set_mix(model, mixing.start, after, alpha=alpha)
        torch.testing.assert_close(model[1].weight, before + alpha)
    assert torch.equal(model[0].weight, untouched)


@pytest.mark.parametrize("rule", [None, 1.0])
def test_nothing_is_remembered_where_the_trained_weights_are_kept(rule):
    assert mixing_for(rule, torch.nn.Linear(2, 2), None) is None


@pytest.mark.parametrize("mix", [1.5, -0.1, "worst"])
def test_a_mix_that_is_none_is_refused(mix):
    with pytest.raises(ConfigError, match=r"adaptation\.mix"):
        parse_config(
            {"task": "sentiment", "output_dir": "x", "model": {"path": "m"},
             "data": {"target": {"path": "a.csv"}}, "adaptation": {"mix": mix}}
        )  # fmt: skip
