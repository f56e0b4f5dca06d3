"""Every method adapts a model, and leaves what it says it leaves."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from looking import accuracy, plain_logits, report_of, softmax
from peft import PeftModel
from tiny import LABELS, sentences, write_csv
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from nlp_transfer import SentimentTransfer, load_adapted
from nlp_transfer.errors import ConfigError
from nlp_transfer.evaluation.predictions import read_predictions

MakeRecipe = Callable[..., SentimentTransfer]


@pytest.mark.parametrize(
    ("method", "changes"),
    [
        ("full", {"adaptation__freeze_layers": 1}),
        ("lora", {"adaptation__rank": 4}),
        ("lp_ft", {}),
        ("full", {"source_stage__method": "lora"}),
        ("full", {"source_stage__method": "lp_ft", "adaptation__replay": 0.0}),
    ],
    ids=["frozen layers", "lora", "lp_ft", "lora source", "lp_ft source, no replay"],
)
def test_a_method_adapts_and_leaves_a_plain_classifier(
    method: str, changes: dict[str, Any], make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    recipe = make_recipe(
        folder, adaptation__method=method, evaluation__baselines=["majority", "zero_shot"], **changes
    )
    recipe.run()
    assert accuracy(folder, "adapted") > 0.7

    test = recipe.data.target.test
    plain = plain_logits(folder / "model", test.texts)
    assert np.allclose(load_adapted(folder).logits(test.texts), plain, atol=1e-5)
    reported = read_predictions(folder / "predictions" / "adapted.target.jsonl", LABELS)
    assert np.allclose(reported, softmax(plain), atol=1e-5)
    assert AutoModelForSequenceClassification.from_pretrained(folder / "model").config.id2label == dict(
        enumerate(LABELS)
    )

    models = [
        AutoModelForSequenceClassification.from_pretrained(folder / name).state_dict()
        for name in ("source_model", "model")
    ]
    moved = {name for name, weights in models[0].items() if not torch.equal(weights, models[1][name])}
    assert any(".layer.1." in name for name in moved)
    assert any(".layer.0." in name for name in moved) == ("adaptation__freeze_layers" not in changes)
    assert not any("embeddings" in name for name in moved)

    assert (folder / "adapter").is_dir() == (method == "lora")
    if method == "lora":
        base = AutoModelForSequenceClassification.from_pretrained(folder / "source_model")
        adapted = PeftModel.from_pretrained(base, folder / "adapter").eval()
        tokenizer = AutoTokenizer.from_pretrained(folder / "model")
        with torch.inference_mode():
            scores = adapted(**tokenizer(test.texts, padding=True, return_tensors="pt")).logits.numpy()
        assert np.allclose(scores, plain, atol=1e-5)
        assert json.loads((folder / "adapter" / "labels.json").read_text()) == LABELS
        assert report_of(folder)["systems"]["adapted"]["cost"]["trainable_share"] < 0.5


@pytest.mark.parametrize("source_method", ["probe", "full"])
def test_a_probe_is_adapted_and_opened_again(
    source_method: str, make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    recipe = make_recipe(folder, adaptation__method="probe", source_stage__method=source_method)
    recipe.run()
    assert accuracy(folder, "adapted") > 0.7
    assert accuracy(folder, "zero_shot") > 0.7
    test = recipe.data.target.test
    reported = read_predictions(folder / "predictions" / "adapted.target.jsonl", LABELS)
    assert np.allclose(load_adapted(folder).probabilities(test.texts), reported, atol=1e-5)
    assert (folder / "model" / "probe.json").is_file()
    # The encoder is the tuned source model's, where there is one, and stays as it is.
    encoder = folder / "source_model" if source_method == "full" else Path(recipe.config.model.path)
    weights = [
        load_adapted(folder).encoder.state_dict(),
        AutoModelForSequenceClassification.from_pretrained(encoder).bert.state_dict(),
    ]  # type: ignore[union-attr]
    assert all(torch.equal(tensor, weights[1][name]) for name, tensor in weights[0].items())


def test_rows_that_a_probe_has_learnt_count_as_learnt(make_recipe: MakeRecipe, tmp_path: Path) -> None:
    """It is fitted on the dev rows too, so they choose no temperature and are no unseen rows."""
    folder = tmp_path / "run"
    rows = sentences("products", 200, seed=8)
    splits = {
        name: str(write_csv(tmp_path / f"{name}.csv", ("text", "label"), part))
        for name, part in (("train", rows[:60]), ("dev", rows[60:140]), ("test", rows[140:]))
    }
    recipe = make_recipe(folder, adaptation__method="probe", data__target={"splits": splits})
    report = recipe.run()
    assert len(recipe.data.target.dev) > 0
    checks = {finding["check"]: finding for finding in report.findings}
    assert "0 dev rows" in checks["calibration"]["evidence"]
    assert not {"generalisation_dev_test", "generalisation_dev_source_dev"} & set(checks)
    assert not (folder / "model" / "calibration.json").exists()


def test_after_a_probe_only_a_probe_can_follow(make_recipe: MakeRecipe, tmp_path: Path) -> None:
    recipe = make_recipe(tmp_path / "run", source_stage__method="probe")
    with pytest.raises(
        ConfigError,
        match=r"source_stage\.method is probe, which leaves no weights for adaptation\.method full",
    ):
        recipe.check()
    with pytest.raises(ConfigError):
        recipe.run()
    assert not (tmp_path / "run" / "config.yaml").exists()


@pytest.mark.parametrize("method", ["lora", "probe"])
def test_scratch_starts_all_weights_at_random_whatever_the_method(
    method: str, make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    make_recipe(folder, adaptation__method=method, evaluation__baselines=["scratch"]).run()
    cost = report_of(folder)["systems"]["scratch"]["cost"]
    assert cost["trainable_share"] == 1.0
    assert report_of(folder)["verdict"]["transfer"] == "not_measured"
