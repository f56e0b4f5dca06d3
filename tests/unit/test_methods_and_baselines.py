"""Probes and baselines give known answers, and how long the target is learnt follows from its size."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tiny import FAMILIES, LABELS, rows
from torch import nn

from nlp_transfer.config import AdaptationConfig, UnlabelledConfig
from nlp_transfer.data.rows import EMPTY, Rows
from nlp_transfer.inference.predict import predict_logits, softmax
from nlp_transfer.models.features import mean_pooled
from nlp_transfer.models.loading import base_model, load_classifier
from nlp_transfer.models.probe import ProbeHead
from nlp_transfer.training.adapt import train_classifier
from nlp_transfer.training.adapt_translation import TranslationProcedure
from nlp_transfer.training.baselines import fit_probe, majority, spread, tfidf
from nlp_transfer.training.budget import budget
from nlp_transfer.training.probed_head import last_linear, start_head_from_probe
from nlp_transfer.training.procedure import Procedure, passes_for, replay_for
from nlp_transfer.training.unlabelled import Unlabelled

DRAW = np.random.default_rng(0)


def numbered(labels: list[int], *, name: str = "row") -> Rows:
    return Rows(
        [f"{name}{row}" for row in range(len(labels))],
        [f"{name} {row}" for row in range(len(labels))],
        np.asarray(labels, dtype=np.int64),
    )


def blobs(labels: list[int], *, apart: float = 4.0) -> np.ndarray:
    """Draw a point of eight features around each class's own corner, on scales that differ."""
    points = DRAW.normal(size=(len(labels), 8)) + apart * np.eye(8)[labels]
    return (points * np.logspace(-2, 2, 8) + 3).astype(np.float32)


# Baselines --------------------------------------------------------------------------------------


def test_majority_gives_the_shares_of_the_training_labels() -> None:
    assert majority(numbered([0, 0, 0, 2]), ["a", "b"], classes=3).tolist() == [[0.75, 0, 0.25]] * 2
    assert majority(EMPTY, ["a"], classes=2).tolist() == [[0, 0]]


def test_tfidf_learns_the_words_and_knows_only_the_classes_it_saw() -> None:
    train = rows("movies", 80)
    test = rows("products", 40, seed=1)
    scores = tfidf(train, test.texts, classes=3)
    assert scores.shape == (40, 3)
    assert np.allclose(scores.sum(axis=1), 1)
    assert (scores[:, 2] == 0).all()
    assert (scores.argmax(axis=1) == test.labels).mean() > 0.9


def test_probabilities_are_spread_over_all_classes() -> None:
    wide = spread(np.asarray([[0.1, 0.9]]), [0, 3], 4)
    assert wide.tolist() == [[0.1, 0, 0, 0.9]]


# Probes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_a_probes_head_scores_as_scikit_learn_does(classes: int) -> None:
    labels = [row % classes for row in range(60)]
    features = blobs(labels)
    pipeline = make_pipeline(StandardScaler(), LogisticRegression(C=1.0, max_iter=1000)).fit(features, labels)
    head = ProbeHead.from_pipeline(pipeline, classes)
    assert np.allclose(softmax(head.logits(features)), pipeline.predict_proba(features), atol=1e-6)
    layer = nn.Linear(8, classes)
    head.start_linear(layer)
    with torch.inference_mode():
        assert np.allclose(layer(torch.tensor(features)).numpy(), head.logits(features), atol=1e-3)


def test_a_class_that_training_did_not_show_is_never_predicted() -> None:
    labels = [0 if row % 2 else 2 for row in range(40)]
    features = blobs(labels)
    head = ProbeHead.from_pipeline(fit_probe(features, numbered(labels), seed=0), 4)
    probabilities = softmax(head.logits(features))
    assert probabilities[:, [1, 3]].max() == 0
    assert (probabilities.argmax(axis=1) == labels).all()


def test_the_strength_is_chosen_for_the_rows_that_are_asked_for() -> None:
    """What the features say holds for the source and not for the target: there, trusting them costs."""
    labels = [row % 2 for row in range(200)]
    features = np.concatenate([blobs(labels), blobs(labels[:60])])
    joint = numbered(labels + DRAW.permutation(labels[:60]).tolist())
    target = joint.take(range(200, 260))
    strengths = [fit_probe(features, joint, seed=0, select_on=chosen)[-1].C for chosen in (None, target)]
    assert strengths[1] < strengths[0]


@pytest.mark.parametrize("labels", [[0, 1], [0, 0, 0, 1], [0, 1] * 3])
def test_a_handful_of_rows_is_enough_for_a_probe(labels: list[int]) -> None:
    features = blobs(labels)
    scores = fit_probe(features, numbered(labels), seed=0).predict_proba(features)[:, 1]
    assert min(scores[np.asarray(labels) == 1]) > max(scores[np.asarray(labels) == 0])


@pytest.mark.parametrize("family", FAMILIES)
def test_lp_ft_starts_the_head_at_the_probe_of_what_it_sees(family: str, tiny_model: Any) -> None:
    train = rows("movies", 40)
    loaded = load_classifier(str(tiny_model(family)), label_names=LABELS)
    procedure = Procedure(method="lp_ft", label_names=LABELS, max_length_tokens=40, seed=0, arguments={})
    start_head_from_probe(loaded.model, loaded.tokenizer, train, procedure)

    seen: list[torch.Tensor] = []
    last_linear(loaded.model).register_forward_pre_hook(lambda _, given: seen.append(given[0][0]))
    alone = [
        predict_logits(loaded.model, loaded.tokenizer, [text], max_length_tokens=40) for text in train.texts
    ]
    features = torch.stack(seen).numpy()
    pipeline = fit_probe(features, train, seed=0)
    assert np.allclose(softmax(np.concatenate(alone)), pipeline.predict_proba(features), atol=1e-2)


def test_words_that_there_are_none_of_are_replaced_by_characters() -> None:
    signs = Rows([str(row) for row in range(8)], ["🙂🙂", "😡"] * 4, np.array([1, 0] * 4))
    found = tfidf(signs, ["🙂", "😡😡", "of words"], classes=2)
    assert found.argmax(axis=1)[:2].tolist() == [1, 0]
    rare = Rows([str(row) for row in range(1000)], [f"word{row}" for row in range(1000)], np.arange(1000) % 2)
    assert np.allclose(tfidf(rare, ["nothing of it"], classes=2).sum(axis=1), 1.0)


def test_lp_ft_leaves_a_class_that_no_row_has_to_the_heads_own_knowledge(tiny_model: Any) -> None:
    three = [*LABELS, "neutral"]
    loaded = load_classifier(str(tiny_model("bert", labels=three)), label_names=three)
    before = last_linear(loaded.model).weight.detach().clone()
    procedure = Procedure(method="lp_ft", label_names=three, max_length_tokens=40, seed=0, arguments={})
    start_head_from_probe(loaded.model, loaded.tokenizer, rows("movies", 40), procedure)
    after = last_linear(loaded.model)
    assert torch.equal(after.weight[2], before[2])
    assert not torch.allclose(after.weight[:2], before[:2])
    assert after.bias.abs().max() < 100


def test_a_probe_of_mean_pooled_features_tells_the_sentences_apart(tiny_model: Any) -> None:
    loaded = load_classifier(str(tiny_model("bert")), label_names=LABELS)
    train, test = rows("movies", 120), rows("products", 40)
    encoder: Any = base_model(loaded.model)
    features = [
        mean_pooled(encoder, loaded.tokenizer, part.texts, max_length_tokens=40, label="encode")
        for part in (train, test)
    ]
    predicted = fit_probe(features[0], train, seed=0).predict(features[1])
    assert (predicted == test.labels).mean() > 0.8


def test_a_builders_defaults_are_the_recipes() -> None:
    recipe, texts = AdaptationConfig(), UnlabelledConfig()
    procedure = Procedure("full", LABELS, 40, 0, {})
    translation = TranslationProcedure("full", 40, 0, {})
    for name in ("rank", "alpha", "target_modules", "freeze_layers"):
        assert getattr(procedure, name) == getattr(translation, name) == getattr(recipe, name)
    unlabelled = Unlabelled([], "self_training")
    for name in ("passes", "weight", "threshold", "averaging", "masked_share"):
        assert getattr(unlabelled, name) == getattr(texts, name)


# How long the target is learnt ------------------------------------------------------------------


def plan(
    train: Rows,
    source: Rows | None = None,
    *,
    method: str = "full",
    replay: float | None = 0.0,
    **arguments: Any,
) -> Any:
    procedure = Procedure(
        method=method, label_names=LABELS, max_length_tokens=40, seed=0, arguments=arguments, replay=replay
    )
    return budget(train, source, procedure)


def test_a_part_of_a_pass_is_honoured_beside_source_rows_too() -> None:
    train, source = rows("movies", 40), rows("products", 400)
    for passes, share, laid_out in ((0.5, 0.5, 1), (1.5, 0.75, 2), (3, 1.0, 3)):
        found = plan(train, source, replay=1.0, num_train_epochs=passes)
        assert found.arguments["num_train_epochs"] == share
        assert len(found.rows) == laid_out * 80


@pytest.mark.parametrize(
    ("count", "passes"), [(1, 24), (16, 24), (64, 12), (256, 6), (1024, 3), (6962, 1), (10**6, 1)]
)
def test_fewer_rows_are_seen_more_often(count: int, passes: int) -> None:
    assert passes_for(count) == passes


@pytest.mark.parametrize(("count", "replay"), [(16, 1.0), (64, 1.0), (256, 0.5), (1024, 0.25)])
def test_more_rows_have_fewer_source_rows_beside_each(count: int, replay: float) -> None:
    assert replay_for(count) == replay


def test_without_replay_the_rows_are_an_epoch_each() -> None:
    train = numbered([0, 1] * 32)
    found = plan(train)
    assert found.rows is train
    assert found.arguments["num_train_epochs"] == 12
    assert found.evaluations == 1


def test_a_recipe_may_say_how_long() -> None:
    train, source = numbered([0, 1] * 32), numbered([0, 1] * 500, name="source")
    assert plan(train, num_train_epochs=2).arguments["num_train_epochs"] == 2
    steps = plan(train, source, replay=0.5, max_steps=7)
    assert steps.arguments == {"max_steps": 7, "num_train_epochs": 1}
    assert (len(steps.rows), steps.evaluations) == (64 + 32, 1)
    # The library's own default is no number of steps.
    unlimited = plan(train, source, replay=0.5, max_steps=-1, num_train_epochs=2)
    assert len(unlimited.rows) == 2 * (64 + 32)


def test_replay_mixes_other_source_rows_into_each_pass() -> None:
    train, source = numbered([0, 1] * 32), numbered([0, 1] * 500, name="source")
    found = plan(train, source, replay=0.5, num_train_epochs=3)
    target = [row_id for row_id in found.rows.ids if not row_id.startswith("source")]
    replayed = [row_id for row_id in found.rows.ids if row_id.startswith("source")]
    assert sorted(target) == sorted(train.ids * 3)
    assert len(replayed) == len(set(replayed)) == 3 * 32
    assert found.arguments["num_train_epochs"] == 1
    assert found.evaluations == 3


def test_replay_takes_no_more_source_rows_than_there_are() -> None:
    found = plan(numbered([0, 1] * 32), numbered([0, 1] * 5, name="source"), replay=1.0)
    assert sum(row_id.startswith("source") for row_id in found.rows.ids) == 10


def test_adapters_learn_faster_unless_the_recipe_says_otherwise() -> None:
    train = numbered([0, 1] * 32)
    assert plan(train, method="lora").arguments["learning_rate"] == 1e-3
    assert plan(train, method="lora", learning_rate=5e-5).arguments["learning_rate"] == 5e-5
    assert "learning_rate" not in plan(train).arguments


def test_a_random_start_is_trained_whole_and_as_full_does(
    tiny_model: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    from nlp_transfer.training import adapt, fit

    given: dict[str, Any] = {}

    def watched(*positional: Any, **settings: Any) -> Any:
        given.update(settings["arguments"])
        return fit.fit(*positional, **settings)

    monkeypatch.setattr(adapt, "fit", watched)
    quick = {"max_steps": 1, "bf16": False}
    for method in ("lora", "lp_ft", "full"):
        procedure = Procedure(
            method=method, label_names=LABELS, max_length_tokens=40, seed=0, arguments=quick, freeze_layers=1
        )
        trained = train_classifier(
            str(tiny_model("bert")),
            procedure,
            rows("movies", 20),
            label="scratch",
            folder=tmp_path / method,
            pretrained=False,
        )
        assert trained.trainable == trained.total
        assert given == quick
        assert not hasattr(trained.model, "peft_config")


# Mixes with the start's weights -------------------------------------------------------------------


@pytest.mark.parametrize("method", ["full", "lora", "lp_ft"])
def test_dev_rows_choose_between_the_start_and_what_was_trained(
    method: str, tiny_model: Any, tmp_path: Path
) -> None:
    """What is handed back scores on the dev rows as its mix did, and never below the start."""
    start = tmp_path / "start"
    procedure = Procedure(
        method="full", label_names=LABELS, max_length_tokens=40, seed=0,
        arguments={"learning_rate": 3e-3, "num_train_epochs": 15, "bf16": False},
    )  # fmt: skip
    source = train_classifier(
        str(tiny_model("bert")), procedure, rows("movies", 120), label="s", folder=tmp_path / "s"
    )
    source.model.save_pretrained(start)
    source.tokenizer.save_pretrained(start)
    right, dev = rows("movies", 120, seed=2), rows("movies", 120, seed=3)
    swapped = Rows(right.ids, right.texts, 1 - right.labels)
    # lp_ft's head is a probe of the rows that it trains on.
    for train in (right,) if method == "lp_ft" else (swapped, right):
        trained = train_classifier(
            str(start), dataclasses.replace(procedure, method=method, mix="best"), train, dev,
            label="a", folder=tmp_path / train.fingerprint(), source_dev=dev,
        )  # fmt: skip
        choice = trained.fit.mix
        assert choice is not None
        scores = predict_logits(trained.model, trained.tokenizer, dev.texts, max_length_tokens=40)
        accuracy = (scores.argmax(axis=1) == dev.labels).mean()
        kept = next(point for point in choice.points if point.alpha == choice.alpha)
        assert accuracy == pytest.approx(kept.target) == pytest.approx(kept.source)
        assert kept.target == max(point.target for point in choice.points) >= choice.points[0].target > 0.7


@pytest.mark.parametrize(("labels", "share"), [(16, 0.75), (40, 1.0)])
def test_what_a_few_labels_change_is_kept_in_part(
    labels: int, share: float, tiny_model: Any, tmp_path: Path
) -> None:
    start = tiny_model("bert", labels=LABELS)
    procedure = Procedure(
        method="full", label_names=LABELS, max_length_tokens=40, seed=0,
        arguments={"learning_rate": 3e-3, "num_train_epochs": 2, "bf16": False},
    )  # fmt: skip
    train, weights = rows("movies", labels), {}
    for mix in ("best", None):
        made = train_classifier(
            str(start), dataclasses.replace(procedure, mix=mix), train, label="a", folder=tmp_path / str(mix)
        )
        weights[mix] = made.model.state_dict()
        told = None if made.fit.mix is None else (made.fit.mix.alpha, made.fit.mix.points)
        assert told == ((share, []) if mix == "best" and share < 1 else None)
    before = load_classifier(str(start), label_names=LABELS).model.state_dict()
    moved = 0
    for name, whole in weights[None].items():
        expected = torch.lerp(before[name].float(), whole.float(), share)
        torch.testing.assert_close(weights["best"][name].float(), expected, atol=1e-6, rtol=1e-5)
        moved += int(not torch.equal(before[name], whole))
    assert moved > 5


def test_a_new_head_is_mixed_with_nothing(tiny_model: Any, tmp_path: Path) -> None:
    procedure = Procedure(
        method="full", label_names=LABELS, max_length_tokens=40, seed=0, arguments={"bf16": False}, mix="best"
    )
    trained = train_classifier(
        str(tiny_model("bert")), procedure, rows("movies", 60), rows("movies", 120, seed=3), label="t",
        folder=tmp_path,
    )  # fmt: skip
    assert trained.fit.mix is None
