"""Whole translation runs on rows enough to measure: what the report says of them, and two side by side."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from looking import report_of
from tiny import write_csv
from tiny_translation import WORDS, translated

from nlp_transfer import TranslationTransfer, load_adapted
from nlp_transfer.config import parse_config
from nlp_transfer.evidence_files import read_drift
from nlp_transfer.models.translation import load_translator
from nlp_transfer.reporting.side_by_side import side_by_side_html
from nlp_transfer.studies import compare_runs
from nlp_transfer.training.pair_losses import pair_losses
from nlp_transfer.translation_evidence import MAX_LEARNT_PAIRS

MakeRecipe = Callable[..., TranslationTransfer]
SHAPE = {
    "vocabulary_size": 300, "hidden_size": 32, "feed_forward_size": 64, "encoder_layers": 1,
    "decoder_layers": 1, "attention_heads": 2, "dropout": 0.0, "init_std": 0.15,
}  # fmt: skip


def random_pairs(path: Path, rows: int, *, lang: str, seed: int) -> Path:
    """Write strings of 8 words drawn at random, no one near another, with their translations."""
    draw = np.random.default_rng(seed)
    texts = [" ".join(draw.choice(list(WORDS), size=8)) for _ in range(rows)]
    return write_csv(path, ("en", lang), [(text, translated(text, lang)) for text in texts])


@pytest.fixture(scope="module")
def make(tmp_path_factory: Any) -> MakeRecipe:
    """Return a function that makes a recipe from es to gl; `adaptation` and `evaluation` are added to it."""
    folder = tmp_path_factory.mktemp("pairs")
    es = random_pairs(folder / "es.csv", 500, lang="es", seed=1)
    gl = random_pairs(folder / "gl.csv", 400, lang="gl", seed=2)

    def made(output_dir: Path, *, adaptation: dict[str, Any], baselines: list[str]) -> TranslationTransfer:
        content = {
            "task": "translation",
            "output_dir": str(output_dir),
            "model": {"architecture": SHAPE, "max_length_tokens": 64},
            "data": {
                "source": {"path": str(es), "src_lang": "en", "tgt_lang": "es"},
                "target": {"path": str(gl), "src_lang": "en", "tgt_lang": "gl"},
            },
            "source_stage": {"batch_tokens": 800, "training": {"num_train_epochs": 4}},
            "adaptation": {"batch_tokens": 800, "training": adaptation},
            "training": {"learning_rate": 1e-2, "bf16": False, "logging_steps": 1},
            "evaluation": {"bootstrap": 100, "num_beams": 1, "baselines": baselines},
        }
        return TranslationTransfer(parse_config(content))

    return made


@pytest.fixture(scope="module")
def finished(make: MakeRecipe, tmp_path_factory: Any) -> TranslationTransfer:
    """A finished run with dev pairs; no test changes it."""
    recipe = make(
        tmp_path_factory.mktemp("finished") / "run", adaptation={"num_train_epochs": 3},
        baselines=["copy", "zero_shot", "scratch"],
    )  # fmt: skip
    recipe.run()
    return recipe


def findings(folder: Path) -> dict[str, dict[str, Any]]:
    return {each["check"]: each for each in report_of(folder)["findings"]}


def chrf(folder: Path, system: str, domain: str = "target") -> float:
    return float(report_of(folder)["systems"][system][domain]["chrf++"]["value"])


def test_what_is_said_of_transfer_is_measured(finished: TranslationTransfer) -> None:
    folder, data = finished.folder, finished.data
    found = findings(folder)
    measured = {
        "personal_data", "new_words", "speed_against_scratch", "last_step", "generalisation_train_test",
        "weight_drift", "resources", "forgetting", "domain_distance", "kernel_two_sample_test",
        "tokens_per_word_of_domains", "domain_gap", "negative_transfer", "membership_inference",
    }  # fmt: skip
    assert set(found) >= measured
    assert {check for check in measured - {"speed_against_scratch"} if found[check]["value"] is None} == set()
    change = chrf(folder, "adapted", "source") - chrf(folder, "zero_shot", "source")
    assert found["forgetting"]["value"] == pytest.approx(change)
    assert "chrF++ on the source test rows changed by" in found["forgetting"]["evidence"]
    assert "95% interval" in found["forgetting"]["evidence"]
    # The same words make all sentences, of both domains.
    assert found["new_words"]["value"] == 0
    assert "in points of chrF++" in found["generalisation_train_test"]["evidence"]
    assert found["weight_drift"]["value"] > 0
    assert "was padding" in found["resources"]["evidence"]
    assert "times scratch's" in found["resources"]["evidence"]
    assert f"n = {len(data.target.dev)} dev rows" in found["last_step"]["evidence"]


def test_learnt_pairs_are_translated_by_the_adapted_model(finished: TranslationTransfer) -> None:
    train = finished.data.target.train
    path = finished.folder / "predictions" / "adapted.target_train.jsonl"
    records = [json.loads(line) for line in path.read_text().splitlines()]
    assert len(records) == min(len(train), MAX_LEARNT_PAIRS)
    sources = dict(zip(train.ids, train.sources, strict=True))
    written = load_adapted(str(finished.folder)).translate([sources[each["id"]] for each in records])
    assert [each["translation"] for each in records] == written


def test_membership_is_of_losses_that_the_two_models_have(finished: TranslationTransfer) -> None:
    with np.load(finished.folder / "evidence" / "losses.npz") as stored:
        kept = dict(stored)
    data, by_id = finished.data, {}
    for pairs in (data.target.train, data.target.test):
        by_id |= {row_id: pairs.take([row]) for row, row_id in enumerate(pairs.ids)}
    drawn = [by_id[row_id] for row_id in kept["learnt_ids"]]
    assert {row_id for each in drawn for row_id in each.ids} <= set(data.target.train.ids)
    assert set(kept["test_ids"]) == set(data.target.test.ids)
    adapted = load_translator(str(finished.folder / "model"))
    assert kept["learnt_adapted"][3] == pytest.approx(
        pair_losses(adapted, drawn[3], max_length_tokens=64)[0], rel=1e-4
    )
    assert kept["learnt_zero_shot"].mean() > kept["learnt_adapted"].mean()


def test_an_untouched_parent_forgets_nothing_and_is_compared_with_the_adapted_one(
    finished: TranslationTransfer, make: MakeRecipe, tmp_path: Path
) -> None:
    still = make(
        tmp_path / "still", adaptation={"max_steps": 1, "learning_rate": 0.0}, baselines=["zero_shot"]
    )
    still.run()
    assert findings(still.folder)["forgetting"]["value"] == 0
    # It learnt no pair: its losses are the parent's, but for the name of the language.
    assert findings(still.folder)["membership_inference"]["value"] == pytest.approx(0.5, abs=0.1)
    drift = read_drift(still.folder)
    assert drift is not None
    # The child's language token is new, and starts as the one of the related language.
    assert {layer for layer, moved in drift.by_layer.items() if moved} == {"model.shared"}
    compared = compare_runs([finished.folder, still.folder])
    (judged,) = compared.judged
    scores = [chrf(each.folder, "adapted") for each in (finished, still)]
    assert judged["difference"] == pytest.approx(scores[0] - scores[1])
    assert compared.domains == ["target", "source"]
    assert {each["metric"] for each in compared.differences} == {"chrf++", "bleu"}
    assert "adaptation.training" in side_by_side_html(compared)


def test_the_report_is_made_again_without_a_model(finished: TranslationTransfer, monkeypatch: Any) -> None:
    from nlp_transfer.inference import translator

    before = report_of(finished.folder)
    monkeypatch.setattr(
        translator, "load_translation_model", lambda *_, **__: pytest.fail("a model was loaded")
    )
    assert finished.evaluate().content == before
