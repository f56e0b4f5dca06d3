"""Which domains and labels a run can have: none, ids, stars, a pretrained head in its own order."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from looking import accuracy, plain_logits, report_of
from tiny import LABELS, sentences, write_csv
from transformers import AutoModelForSequenceClassification

from nlp_transfer import SentimentTransfer, load_adapted
from nlp_transfer.errors import DataError

MakeRecipe = Callable[..., SentimentTransfer]


def test_without_a_target_label_the_source_model_is_the_adapted_one(
    make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    recipe = make_recipe(folder, data__target__train_size=0)
    recipe.run()
    report = report_of(folder)
    assert list(report["systems"]) == ["majority", "tfidf", "zero_shot", "probe", "adapted"]
    assert report["verdict"]["transfer"] == "not_measured"
    assert "there are no target labels" in report["verdict"]["sentence"]
    texts = recipe.data.target.test.texts
    assert np.allclose(
        plain_logits(folder / "model", texts), plain_logits(folder / "source_model", texts), atol=1e-6
    )
    assert accuracy(folder, "adapted") == accuracy(folder, "zero_shot") > 0.7
    assert report["provenance"]["data"]["target"]["train"] == 0


def test_without_a_source_the_target_alone_is_learnt(make_recipe: MakeRecipe, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    make_recipe(folder, data__source=None, data__target__train_size=96).run()
    report = report_of(folder)
    assert list(report["systems"]) == ["majority", "tfidf", "probe", "scratch", "adapted"]
    assert report["systems"]["adapted"]["source"] == {} == report["provenance"]["data"]["source"]
    assert report["verdict"]["against"] == "scratch"
    assert report["verdict"]["transfer"] in ("helped", "no_evidence", "harmed")
    assert not (folder / "source_model").exists()
    assert not list((folder / "predictions").glob("*.source.jsonl"))
    assert accuracy(folder, "adapted") > 0.8


@pytest.fixture(scope="module")
def sentiment_model(make_recipe: MakeRecipe, tmp_path_factory: Any) -> Path:
    """A classifier as one finds it on the Hub: tuned, with its labels in an order of its own."""
    folder = tmp_path_factory.mktemp("hub")
    make_recipe(
        folder / "run",
        data__source__label_map={"negative": "bad", "positive": "agreeable"},
        data__label_map={"negative": "bad", "positive": "agreeable"},
        evaluation__baselines=["majority"],
    ).run()
    model = AutoModelForSequenceClassification.from_pretrained(folder / "run" / "model")
    assert model.config.id2label == {0: "agreeable", 1: "bad"}
    return Path(folder / "run" / "model")


def test_a_pretrained_head_is_used_in_its_own_order(
    sentiment_model: Path, make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    recipe = make_recipe(
        folder,
        model__path=str(sentiment_model),
        source_stage=None,
        data__source=None,
        data__target__train_size=0,
        data__label_map={"negative": "bad", "positive": "agreeable"},
        evaluation__baselines=["zero_shot", "majority"],
    )
    recipe.run()
    assert recipe.data.label_names == ["agreeable", "bad"]
    assert accuracy(folder, "zero_shot") == accuracy(folder, "adapted") > 0.7
    texts = recipe.data.target.test.texts
    assert np.allclose(plain_logits(folder / "model", texts), plain_logits(sentiment_model, texts), atol=1e-6)


def test_a_pretrained_head_is_adapted_from_its_own_weights(
    sentiment_model: Path, make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    make_recipe(
        folder,
        model__path=str(sentiment_model),
        source_stage=None,
        data__source=None,
        adaptation__training={"learning_rate": 1e-6},
        data__label_map={"negative": "bad", "positive": "agreeable"},
        evaluation__baselines=["zero_shot"],
    ).run()
    heads = [
        AutoModelForSequenceClassification.from_pretrained(path).classifier.weight
        for path in (sentiment_model, folder / "model")
    ]
    assert torch.allclose(heads[0], heads[1], atol=1e-3)
    assert accuracy(folder, "adapted") == accuracy(folder, "zero_shot") > 0.7


def test_plain_ids_are_class_ids_in_the_models_order(
    sentiment_model: Path, make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    numbered = [
        (text, "0" if label == "positive" else "1") for text, label in sentences("products", 120, seed=0)
    ]
    write_csv(tmp_path / "numbered.csv", ("text", "label"), numbered)
    folder = tmp_path / "run"
    make_recipe(
        folder,
        model__path=str(sentiment_model),
        source_stage=None,
        data__source=None,
        data__target__train_size=0,
        data__target__path=str(tmp_path / "numbered.csv"),
        evaluation__baselines=["zero_shot"],
    ).run()
    assert accuracy(folder, "zero_shot") > 0.7
    findings = report_of(folder)["findings"]
    assert "target: labels are class ids in the source's order: 0 = agreeable, 1 = bad" in [
        finding["evidence"] for finding in findings
    ]


def test_labels_that_the_head_does_not_know_are_refused_with_the_map(
    sentiment_model: Path, make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    recipe = make_recipe(
        tmp_path / "run", model__path=str(sentiment_model), source_stage=None, data__source=None
    )
    with pytest.raises(
        DataError,
        match=r"negative, positive are none of the known ones \(agreeable, bad\)(.|\n)*data.label_map: {",
    ):
        recipe.run()


def starred(rows: int) -> list[tuple[str, int]]:
    """Write sentences with one to five stars, each with a word of its own."""
    words = ("terrible", "poor", "mixed", "good", "superb")
    texts = [text for text, _ in sentences("products", rows, seed=0)]
    return [
        (f"{words[row % 5]}: the {text.split()[-1]} number {row}", 1 + row % 5)
        for row, text in enumerate(texts)
    ]


def test_five_stars_are_five_classes(make_recipe: MakeRecipe, tmp_path: Path) -> None:
    write_csv(tmp_path / "stars.csv", ("review", "stars"), starred(300))
    folder = tmp_path / "run"
    recipe = make_recipe(
        folder,
        data__source=None,
        data__target={"path": str(tmp_path / "stars.csv")},
        adaptation__method="lp_ft",
        evaluation__baselines=["majority", "tfidf", "probe"],
    )
    recipe.run()
    assert recipe.data.label_names == ["1", "2", "3", "4", "5"]
    assert (len(recipe.data.target.train), len(recipe.data.target.dev), len(recipe.data.target.test)) == (
        200,
        40,
        60,
    )
    assert accuracy(folder, "majority") == 0.2
    assert accuracy(folder, "adapted") > 0.6
    assert load_adapted(folder).predict(["superb: the lens"])[0]["probabilities"].keys() == {
        "1",
        "2",
        "3",
        "4",
        "5",
    }
    # 240 labels are enough for dev rows of their own, on which the best epoch is chosen.
    cost = report_of(folder)["systems"]["adapted"]["cost"]
    assert cost["selection_seconds"] > 0
    assert [
        json.loads(line)["step"]
        for line in (folder / "history.jsonl").read_text().splitlines()
        if "eval_loss" in line
    ]


def test_stars_are_mapped_to_the_sources_labels(make_recipe: MakeRecipe, tmp_path: Path) -> None:
    write_csv(tmp_path / "stars.csv", ("review", "stars"), starred(120))
    folder = tmp_path / "run"
    target = {
        "path": str(tmp_path / "stars.csv"),
        "text_column": "review",
        "label_column": "stars",
        "train_size": 32,
    }
    unmapped = make_recipe(folder, data__target=target)
    with pytest.raises(
        DataError, match=r"data.label_map: {1: negative, 2: negative, 3: null, 4: positive, 5: positive}"
    ):
        unmapped.run()
    label_map = {1: "negative", 2: "negative", 3: None, 4: "positive", 5: "positive"}
    recipe = make_recipe(
        folder, data__target=target, data__label_map=label_map, evaluation__baselines=["majority"]
    )
    recipe.run()
    assert recipe.data.target.dropped == {"label mapped to null": 24}
    assert recipe.data.label_names == LABELS
    assert report_of(folder)["provenance"]["data"]["target"]["dropped"] == {"label mapped to null": 24}
