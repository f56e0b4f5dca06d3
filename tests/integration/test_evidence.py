"""Whole runs whose promises and risks are known: what was kept for them, and what the report makes of it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from looking import plain_logits, report_of, softmax
from tiny import LABELS, sentences, write_csv

from nlp_transfer import SentimentTransfer, load_adapted
from nlp_transfer.evidence_files import read_drift, read_texts
from nlp_transfer.inference import load
from nlp_transfer.publishing.contents import open_run, stage

MakeRecipe = Callable[..., SentimentTransfer]
MEASURED = {
    "domain_distance", "two_sample_test", "kernel_two_sample_test", "new_words", "tokens_per_word",
    "label_shift", "estimated_label_shift", "domain_gap", "accuracy_without_labels", "negative_transfer",
    "source_harm", "speed_against_target_only", "last_step",
    "generalisation_train_test", "generalisation_dev_test", "generalisation_dev_source_dev",
    "weight_drift", "resources", "forgetting", "calibration", "coverage", "membership_inference",
    "personal_data", "source_model",
}  # fmt: skip


def noisy(path: Path, domain: str, rows: int, *, wrong: float) -> Path:
    """Write reviews of a domain, of which this share has the other label."""
    draw = np.random.default_rng(0)
    other = {"negative": "positive", "positive": "negative"}
    labelled = [
        (text, other[label] if draw.random() < wrong else label)
        for text, label in sentences(domain, rows, seed=0)
    ]
    return write_csv(path, ("text", "label"), labelled)


def finding(folder: Path, check: str) -> dict[str, Any]:
    return next(each for each in report_of(folder)["findings"] if each["check"] == check)


@pytest.fixture(scope="module")
def target(tmp_path_factory: Any) -> dict[str, Any]:
    """A target with labels enough for dev rows, a fifth of them wrong."""
    path = noisy(tmp_path_factory.mktemp("noisy") / "products.csv", "products", 1100, wrong=0.2)
    return {"path": str(path)}


@pytest.fixture(scope="module")
def source(tmp_path_factory: Any) -> dict[str, Any]:
    """A source with test rows enough to see what was forgotten."""
    path = noisy(tmp_path_factory.mktemp("noisy") / "movies.csv", "movies", 700, wrong=0.1)
    return {"path": str(path)}


@pytest.fixture(scope="module")
def run(
    make_recipe: MakeRecipe, source: dict[str, Any], target: dict[str, Any], tmp_path_factory: Any
) -> SentimentTransfer:
    """A finished run by lora; no test changes it."""
    folder = tmp_path_factory.mktemp("evidence") / "run"
    recipe = make_recipe(folder, data__source=source, data__target=target, adaptation__method="lora")
    recipe.run()
    return recipe


def test_every_diagnostic_has_its_finding_and_a_number_where_rows_suffice(run: SentimentTransfer) -> None:
    report = report_of(run.folder)
    found = {each["check"]: each for each in report["findings"]}
    assert set(found) >= MEASURED
    without = {check for check in MEASURED if found[check]["value"] is None}
    # 560 movie reviews are too few for a test that halves 1,000.
    assert without == {"two_sample_test"}
    assert "random halves of one domain" in found["domain_distance"]["evidence"]
    assert found["domain_distance"]["value"] > 1
    assert "95% interval" in found["forgetting"]["evidence"]
    assert "against zero_shot" in found["membership_inference"]["evidence"]
    assert "real tokens a second" in found["resources"]["evidence"]
    assert "as adapter" in found["resources"]["evidence"]
    assert "times the seconds" in found["speed_against_target_only"]["evidence"]


def test_what_was_kept_is_of_the_rows_that_it_names(run: SentimentTransfer) -> None:
    target = run.data.target
    model = load_adapted(run.folder)
    for split, rows in (
        ("target_train", target.train), ("target_dev", target.dev), ("source_dev", run.data.source.dev),
    ):  # fmt: skip
        path = run.folder / "predictions" / f"adapted.{split}.jsonl"
        records = [json.loads(line) for line in path.read_text().splitlines()]
        assert [each["id"] for each in records] == rows.ids
        assert [each["label"] for each in records] == [LABELS[label] for label in rows.labels]
        kept = [[each["probabilities"][name] for name in LABELS] for each in records]
        assert np.allclose(kept, softmax(model.logits(rows.texts)), atol=1e-5)
    samples = read_texts(run.folder)
    texts = run.data.source.selection.texts
    assert len(samples["source"].features) == len(texts)
    assert samples["source"].word_counts.tolist() == [len(text.replace(",", "").split()) for text in texts]
    assert (samples["target"].token_counts >= 1).all()
    with np.load(run.folder / "evidence" / "texts.npz") as stored:
        assert set(stored["target_ids"]) <= {*target.selection.ids, *target.test.ids}


def test_the_report_is_made_again_without_a_model(run: SentimentTransfer, monkeypatch: Any) -> None:
    before = report_of(run.folder)
    monkeypatch.setattr(load, "load_adapted", lambda *_, **__: pytest.fail("a model was loaded"))
    assert run.evaluate().content == before


def test_the_temperature_travels_with_the_model(run: SentimentTransfer, tmp_path: Path) -> None:
    texts = run.data.target.test.texts
    kept = json.loads((run.folder / "model" / "calibration.json").read_text())
    assert kept["low"] <= kept["temperature"] <= kept["high"]
    assert kept["dev_rows"] == len(run.data.target.dev) >= 50
    assert abs(kept["temperature"] - 1) > 0.01
    plain = plain_logits(run.folder / "model", texts)
    expected = softmax(plain / kept["temperature"])
    copied = run.save_pretrained(tmp_path / "copy")
    stage(open_run(run.folder), "full", made(tmp_path / "staged"))
    stage(
        open_run(run.folder), "adapter", made(tmp_path / "adapter"), base={"hub_id": "a/b", "revision": "c"}
    )
    shutil.copy(run.folder / "model" / "calibration.json", tmp_path / "kept.json")
    assert (tmp_path / "adapter" / "calibration.json").read_text() == (tmp_path / "kept.json").read_text()
    for folder in (run.folder, copied, tmp_path / "staged", run.folder / "adapter"):
        classifier = load_adapted(folder)
        assert np.allclose(classifier.logits(texts), plain, atol=1e-5)
        assert np.allclose(classifier.probabilities(texts), expected, atol=1e-5)
        predicted = classifier.predict(texts)
        assert [each["label"] for each in predicted] == [LABELS[best] for best in plain.argmax(axis=1)]
        assert predicted[0]["score"] == pytest.approx(expected[0].max(), abs=1e-5)


def made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def test_the_report_says_which_probabilities_its_scores_are_of(run: SentimentTransfer) -> None:
    report = report_of(run.folder)
    said = report["systems"]["adapted"]["probabilities"]
    assert said == "softmax of the logits, not divided by the model's temperature"
    assert said in report["provenance"]["metric_signatures"]["expected_calibration_error"]
    raw = report["systems"]["adapted"]["target"]["expected_calibration_error"]["value"]
    words = finding(run.folder, "calibration")["evidence"]
    assert f"expected calibration error {raw:.3f}" in words
    temperature = json.loads((run.folder / "model" / "calibration.json").read_text())["temperature"]
    assert f"divided by the temperature {temperature:.2f}" in words
    card = (run.folder / "model" / "README.md").read_text()
    assert f"divides the logits by {temperature:.2f}" in card


def test_few_target_rows_have_no_temperature_and_the_report_says_so(finished: Path) -> None:
    assert not (finished / "model" / "calibration.json").exists()
    assert "0 dev rows, at least 50 are needed" in finding(finished, "calibration")["evidence"]
    assert load_adapted(finished).temperature == 1.0


@pytest.mark.parametrize("method", ["full", "lp_ft"])
def test_an_untouched_model_forgets_nothing_and_gives_nothing_away(
    method: str, make_recipe: MakeRecipe, source: dict[str, Any], target: dict[str, Any], tmp_path: Path
) -> None:
    recipe = make_recipe(
        tmp_path / "run", data__source=source, data__target={**target, "train_size": 150},
        adaptation__method=method,
        adaptation__training={"learning_rate": 0.0, "max_steps": 2},
        evaluation__baselines=["zero_shot"],
    )  # fmt: skip
    recipe.run()
    drift = read_drift(recipe.folder)
    assert drift is not None
    if method == "full":
        assert finding(recipe.folder, "forgetting")["value"] == 0
        assert finding(recipe.folder, "membership_inference")["value"] == pytest.approx(0.5, abs=0.001)
        assert finding(recipe.folder, "weight_drift")["value"] == 0
        assert set(drift.by_layer.values()) == {0.0}
    else:
        # The head alone was set anew, from a probe.
        assert {layer for layer, moved in drift.by_layer.items() if moved} == {"classifier"}


def test_rows_learnt_by_heart_are_told_the_more_often_they_were_seen(
    make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    """Half of the labels are wrong: what is right on learnt rows alone was learnt by heart."""
    path = noisy(tmp_path / "products.csv", "products", 600, wrong=0.5)
    found = {}
    for passes in (1, 150):
        recipe = make_recipe(
            tmp_path / f"run{passes}", data__target={"path": str(path), "train_size": 64},
            adaptation__replay=0, adaptation__training={"num_train_epochs": passes},
            evaluation__baselines=["zero_shot"],
        )  # fmt: skip
        recipe.run()
        found[passes] = finding(recipe.folder, "membership_inference")
    assert found[1]["value"] < 0.65
    assert found[150]["value"] > max(0.65, found[1]["value"] + 0.1)
    assert (found[150]["severity"], found[150]["advice"] != "") == ("warn", True)
    gap = finding(tmp_path / "run150", "generalisation_train_test")
    assert gap["severity"] == "warn" and gap["value"] > 0.2
    assert (tmp_path / "run150" / "model" / "calibration.json").exists() is False


def test_a_run_that_was_scored_before_gets_its_evidence_when_it_is_evaluated_again(
    make_recipe: MakeRecipe, finished_copy: Path
) -> None:
    shutil.rmtree(finished_copy / "evidence")
    state = json.loads((finished_copy / "state.json").read_text())
    del state["evidence"], state["domains"]
    (finished_copy / "state.json").write_text(json.dumps(state))
    before = report_of(finished_copy)
    make_recipe(finished_copy).evaluate()
    assert report_of(finished_copy)["findings"] == before["findings"]


def test_the_distance_is_said_before_anything_is_trained(
    make_recipe: MakeRecipe, tmp_path: Path, caplog: Any, monkeypatch: Any
) -> None:
    recipe = make_recipe(tmp_path / "run")
    (distance, *_) = recipe.distances()
    assert distance.check == "domain_distance" and not recipe.folder.exists()
    monkeypatch.setattr(SentimentTransfer, "_train_source", lambda _: pytest.fail("trained"))
    with caplog.at_level("INFO"), pytest.raises(pytest.fail.Exception):
        recipe.train()
    assert f"before training: {distance.evidence}" in caplog.text
    assert set(read_texts(recipe.folder)) == {"source", "target"}


def test_without_a_source_there_is_no_distance(make_recipe: MakeRecipe, tmp_path: Path) -> None:
    assert make_recipe(tmp_path / "run", data__source=None, source_stage=None).distances() == []
