"""A source whose labels are exchanged: the run notices by the target's own labels, and does without it."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nlp_transfer import SentimentTransfer
from nlp_transfer.config import parse_config
from nlp_transfer.diagnostics.forgetting import weight_drift
from nlp_transfer.evidence_files import read_drift
from nlp_transfer.models.loading import load_classifier
from tests.tiny import LABELS, easy_recipe, write_csv


@pytest.fixture
def exchanged(tmp_path: Path, domains: dict[str, Path]) -> dict[str, Path]:
    """The two domains, the movies with their labels exchanged."""
    with domains["movies"].open(encoding="utf-8", newline="") as file:
        rows = [(row["text"], row["label"]) for row in csv.DictReader(file)]
    other = {"negative": "positive", "positive": "negative"}
    path = write_csv(tmp_path / "exchanged.csv", ("text", "label"), [(t, other[name]) for t, name in rows])
    return {**domains, "movies": path}


def run(
    folder: Path, tiny_model: Callable[..., Path], domains: dict[str, Path], **changes: Any
) -> tuple[SentimentTransfer, dict[str, Any]]:
    recipe = SentimentTransfer(parse_config(easy_recipe(folder, tiny_model(), domains, **changes)))
    report = recipe.run()
    noticed = [f for f in report.findings if f["check"] == "source_trust" and f["severity"] == "warn"]
    assert ("source" in report.learnt_from("adapted")) == (not noticed)
    return recipe, {finding["check"]: finding for finding in report.findings}


def weights_of(folder: Path) -> dict[str, Any]:
    """Return a model's weights by name, without a head that it does not have."""
    loaded = load_classifier(str(folder), label_names=LABELS)
    return {name: each for name, each in loaded.model.named_parameters() if name not in loaded.fresh}


def answers(recipe: SentimentTransfer, system: str) -> list[str]:
    path = recipe.predictions_folder(recipe.first_seed) / f"{system}.target.jsonl"
    return [line.partition('"label"')[2] for line in path.read_text().splitlines()]


@pytest.mark.parametrize("method", ["full", "lora", "probe"])
def test_exchanged_labels_are_noticed_and_the_source_is_set_aside(
    method: str, tmp_path: Path, tiny_model: Callable[..., Path], exchanged: dict[str, Path]
) -> None:
    recipe, findings = run(tmp_path / "run", tiny_model, exchanged, adaptation__method=method)
    assert findings["source_trust"]["severity"] == "warn"
    if method != "probe":
        # The same procedure on the same rows from the same start.
        assert answers(recipe, "adapted") == answers(recipe, "target_only")
        assert (recipe.folder / "adapter").is_dir() == (method == "lora")
        # How far the weights moved is told from the pretrained model, where they started.
        kept = read_drift(recipe.folder)
        from_pretrained, from_source = (
            weight_drift(weights_of(start), weights_of(recipe.folder / "model"))
            for start in (tiny_model(), recipe.folder / "source_model")
        )
        assert kept == from_pretrained
        assert kept.overall != pytest.approx(from_source.overall, rel=1e-3)


def test_who_trusts_the_source_learns_from_it(
    tmp_path: Path, tiny_model: Callable[..., Path], exchanged: dict[str, Path]
) -> None:
    recipe, findings = run(tmp_path / "run", tiny_model, exchanged, adaptation__trust_source="always")
    assert "source_trust" not in findings
    assert answers(recipe, "adapted") != answers(recipe, "target_only")


def test_a_good_source_is_learnt_from(
    tmp_path: Path, tiny_model: Callable[..., Path], domains: dict[str, Path]
) -> None:
    recipe, findings = run(tmp_path / "run", tiny_model, domains)
    assert findings["source_trust"]["severity"] == "info"
    assert answers(recipe, "adapted") != answers(recipe, "target_only")
