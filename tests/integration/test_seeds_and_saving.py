"""Several seeds, and the model saved elsewhere."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from looking import accuracy, plain_logits, report_of

from nlp_transfer import SentimentTransfer
from nlp_transfer.errors import RunError

MakeRecipe = Callable[..., SentimentTransfer]


def test_several_seeds_are_scored_each_and_the_first_ones_model_is_kept(
    finished: Path, make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    recipe = make_recipe(folder, evaluation__seeds=[0, 1], evaluation__baselines=["majority", "target_only"])
    recipe.run()
    report = report_of(folder)
    scores = report["systems"]["adapted"]["per_seed"]["target"]
    assert len(scores) == 2
    assert accuracy(folder, "adapted") == pytest.approx(np.mean(scores))
    assert "over 2 seeds" in report["verdict"]["sentence"]
    assert report["provenance"]["seeds"] == [0, 1]
    assert {path.name for path in (folder / "predictions" / "seed-1").iterdir()} == {
        f"{system}.{domain}.jsonl"
        for system in ("majority", "target_only", "adapted")
        for domain in ("target", "source")
    }
    # The second seed draws other training rows; test rows do not move.
    drawn = [recipe.data_for(seed).target for seed in (0, 1)]
    assert set(drawn[0].train.ids) != set(drawn[1].train.ids)
    assert drawn[0].test.ids == drawn[1].test.ids
    weights = [(path / "model" / "model.safetensors").read_bytes() for path in (folder, finished)]
    assert weights[0] == weights[1]
    lines = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    assert {(line["stage"], line["seed"]) for line in lines} == {
        ("adapted", 0),
        ("adapted", 1),
        ("target_only", 0),
        ("target_only", 1),
    }


def test_a_row_that_another_seed_alone_learns_belongs_to_the_run_too(
    domains: dict[str, Path], make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    path = tmp_path / "products.csv"
    path.write_text(domains["products"].read_text())
    given = {"data__target__path": str(path), "evaluation__seeds": [0, 1]}
    recipe = make_recipe(tmp_path / "run", **given)
    first, second = (recipe.data_for(seed).target.selection.texts for seed in (0, 1))
    text = next(text for text in second if text not in first)
    before = recipe._fingerprint
    path.write_text(path.read_text().replace(text, f"{text} indeed"))
    assert make_recipe(tmp_path / "run", **given)._fingerprint != before


def test_the_adapted_model_is_saved_elsewhere_and_equal(
    finished: Path, make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    recipe = make_recipe(finished)
    assert recipe.save_pretrained(tmp_path / "out") == tmp_path / "out"
    texts = recipe.data.target.test.texts
    assert np.allclose(
        plain_logits(tmp_path / "out", texts), plain_logits(finished / "model", texts), atol=1e-6
    )


def test_other_weights_than_the_trained_ones_end_the_run(
    make_recipe: MakeRecipe, tmp_path: Path, monkeypatch: Any
) -> None:
    from transformers import BertForSequenceClassification

    whole = BertForSequenceClassification.save_pretrained

    def save_other(self: Any, folder: Any, **settings: Any) -> None:
        with torch.no_grad():
            self.classifier.bias[0] += 1e-3
        whole(self, folder, **settings)
        with torch.no_grad():
            self.classifier.bias[0] -= 1e-3

    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(BertForSequenceClassification, "save_pretrained", save_other)
        with pytest.raises(
            RunError, match=r"the saved model is not the trained one: its logits differ by 0\.001"
        ):
            make_recipe(folder, data__source=None).run()
    assert not (folder / "model").exists()
    assert not (folder / "report.json").exists()
