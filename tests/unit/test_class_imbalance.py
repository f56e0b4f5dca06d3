"""Rare classes: weights in the loss, selection by macro-F1, and what `check` advises."""

from __future__ import annotations

import itertools
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score
from sklearn.utils.class_weight import compute_class_weight
from tiny import LABELS, rows
from torch.nn import functional

from nlp_transfer.data.row_findings import class_balance
from nlp_transfer.data.rows import Rows
from nlp_transfer.inference.predict import predict_logits
from nlp_transfer.training.adapt import train_classifier
from nlp_transfer.training.baselines import fit_probe
from nlp_transfer.training.class_weights import balanced_weights, class_weights, weighted_loss
from nlp_transfer.training.procedure import Procedure
from nlp_transfer.training.selection import dev_metrics


def imbalanced(domain: str, count: int, *, seed: int, every: int = 10) -> Rows:
    """Return sentences of which one in `every` is positive."""
    drawn = rows(domain, count, seed=seed)
    rare = np.flatnonzero(drawn.labels == 1)[: count // every // 2]
    return drawn.take(np.sort(np.concatenate([np.flatnonzero(drawn.labels == 0), rare])))


def macro_f1(labels: Any, predicted: Any) -> float:
    return float(f1_score(labels, predicted, average="macro", zero_division=0))


# Weights --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("labels", [[0, 0, 0, 1], [0, 1], [2, 0, 1, 1, 1, 2, 2, 2]])
def test_balanced_weights_are_scikit_learns(labels: list[int]) -> None:
    classes = max(labels) + 1
    expected = compute_class_weight("balanced", classes=np.arange(classes), y=labels)
    weights = balanced_weights(labels, classes)
    assert weights == pytest.approx(expected)
    assert np.mean(weights[labels]) == pytest.approx(1.0)


def test_a_class_without_rows_gets_no_weight_and_no_recipe_gets_none() -> None:
    assert balanced_weights([0, 0, 2], 3).tolist() == [0.75, 0.0, 1.5]
    assert class_weights(np.asarray([0, 1]), 2, None) is None


def test_the_weighted_loss_of_parts_adds_up_to_that_of_the_whole() -> None:
    torch.manual_seed(0)
    logits, labels = torch.randn(8, 2), torch.tensor([0, 0, 0, 0, 0, 0, 0, 1])
    weights = balanced_weights(labels.numpy(), 2)
    loss = weighted_loss(weights)
    each = functional.cross_entropy(logits, labels, reduction="none") * torch.as_tensor(weights)[labels]
    assert float(loss({"logits": logits}, labels)) == pytest.approx(float(each.mean()), rel=1e-5)
    parts = [loss({"logits": logits[half]}, labels[half], 8) for half in (slice(0, 3), slice(3, 8))]
    assert float(sum(parts)) == pytest.approx(float(each.mean()), rel=1e-5)


@pytest.mark.parametrize(
    ("method", "rate", "passes"), [("full", 5e-3, 6), ("lora", 5e-3, 6), ("lp_ft", 2e-3, 12)]
)
def test_weights_raise_macro_f1_where_a_class_is_rare(
    method: str, rate: float, passes: int, tiny_model: Any, tmp_path: Path
) -> None:
    """On average over three models: what a single random one makes of a few rows is chance."""
    train, test = imbalanced("movies", 200, seed=0), imbalanced("movies", 400, seed=3, every=5)
    assert train.labels.mean() < 0.1
    scores: dict[str | None, list[float]] = {None: [], "balanced": []}
    for seed, (weights, found) in itertools.product(range(3), scores.items()):
        procedure = Procedure(
            method, LABELS, 40, 0,
            {"learning_rate": rate, "num_train_epochs": passes, "per_device_train_batch_size": 16,
             "bf16": False},
            class_weights=weights,
        )  # fmt: skip
        trained = train_classifier(
            str(tiny_model("bert", seed=seed)), procedure, train, label="test",
            folder=tmp_path / f"{weights}-{seed}",
        )  # fmt: skip
        logits = predict_logits(trained.model, trained.tokenizer, test.texts, max_length_tokens=40)
        found.append(macro_f1(test.labels, logits.argmax(axis=1)))
    assert np.mean(scores["balanced"]) > np.mean(scores[None]) + 0.05, scores


def test_weights_raise_a_probes_macro_f1_where_a_class_is_rare() -> None:
    draw = np.random.default_rng(0)
    labels = np.asarray(([0] * 19 + [1]) * 40)
    features = (draw.normal(size=(800, 4)) + 0.5 * labels[:, None]).astype(np.float32)
    names = [str(row) for row in range(800)]
    train, held = Rows(names[:400], names[:400], labels[:400]), labels[400:]
    found = {
        kind: fit_probe(features[:400], train, seed=0, class_weights=kind).predict(features[400:])
        for kind in (None, "balanced")
    }
    recall = {kind: float(predicted[held == 1].mean()) for kind, predicted in found.items()}
    assert recall[None] < 0.1 < 0.5 < recall["balanced"]
    assert macro_f1(held, found["balanced"]) > macro_f1(held, found[None])


# Selection ------------------------------------------------------------------------------------------


def dev_scores(predicted: list[int], labels: list[int], *, metric: str, earlier: list[float]) -> Any:
    logits = np.eye(2)[predicted]
    prediction = SimpleNamespace(predictions=logits, label_ids=np.asarray(labels))
    return dev_metrics(lambda: earlier, metric=metric)(prediction)


def test_dev_rows_are_scored_by_accuracy_and_macro_f1() -> None:
    labels, predicted = [0] * 90 + [1] * 10, [0] * 85 + [1] * 9 + [0] * 6
    found = dev_scores(predicted, labels, metric="accuracy", earlier=[])
    assert found["accuracy"] == pytest.approx(np.mean(np.asarray(labels) == predicted))
    assert found["macro_f1"] == pytest.approx(macro_f1(labels, predicted))


def test_a_step_that_gives_up_a_rare_class_is_kept_by_accuracy_and_not_by_macro_f1() -> None:
    labels = [0] * 95 + [1] * 5
    all_common = [0] * 100
    assert dev_scores(all_common, labels, metric="accuracy", earlier=[0.95])["selection"] == 2
    assert dev_scores(all_common, labels, metric="macro_f1", earlier=[0.80])["selection"] == 0


def test_the_librarys_own_argument_may_name_macro_f1(tiny_model: Any, tmp_path: Path) -> None:
    train, dev = imbalanced("movies", 100, seed=0), imbalanced("movies", 60, seed=1, every=4)
    arguments = {
        "learning_rate": 1e-2,
        "num_train_epochs": 3,
        "bf16": False,
        "metric_for_best_model": "macro_f1",
    }
    procedure = Procedure("full", LABELS, 40, 0, arguments)
    trained = train_classifier(
        str(tiny_model("bert")), procedure, train, dev, label="test", folder=tmp_path / "run"
    )
    scores = {line["step"]: line["eval_macro_f1"] for line in trained.fit.history if "eval_macro_f1" in line}
    assert len(scores) == 3
    assert scores[trained.fit.best_step] == max(scores.values())


# Advice ---------------------------------------------------------------------------------------------


def test_imbalanced_classes_are_answered_with_the_keys_that_mend_them() -> None:
    finding = class_balance("target", [0] * 95 + [1] * 5, LABELS)
    assert finding is not None
    assert "adaptation.class_weights: balanced" in finding.advice
    assert "adaptation.selection_metric: macro_f1" in finding.advice
