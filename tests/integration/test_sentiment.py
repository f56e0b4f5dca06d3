"""Whole sentiment runs with a tiny model: every method, what a run folder holds, and what a second run does with it."""

from __future__ import annotations

import json
import logging
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import PeftModel
from tiny import LABELS, easy_recipe, sentences, write_csv
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from nlp_transfer import SentimentTransfer, load_adapted
from nlp_transfer.config import parse_config
from nlp_transfer.errors import ConfigError, DataError, ModelError, RunError
from nlp_transfer.evaluation.predictions import read_predictions
from nlp_transfer.models.loading import model_identity
from nlp_transfer.runs import RunFolder
from nlp_transfer.training import adapt, fit

MakeRecipe = Callable[..., SentimentTransfer]


@pytest.fixture(scope="module")
def make_recipe(tiny_model: Any, domains: dict[str, Path]) -> MakeRecipe:
    """Return a function that makes a recipe from movies to products; `section__key=value` changes it."""

    def make(output_dir: Path, **changes: Any) -> SentimentTransfer:
        return SentimentTransfer(parse_config(easy_recipe(output_dir, tiny_model("bert"), domains, **changes)))

    return make


@pytest.fixture(scope="module")
def finished(make_recipe: MakeRecipe, tmp_path_factory: Any) -> Path:
    """The folder of a finished run by the method `full`; no test changes it."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    make_recipe(folder).run()
    return Path(folder)


@pytest.fixture
def finished_copy(finished: Path, tmp_path: Path) -> Iterator[Path]:
    """The finished run, moved away and back so that a test may change it: its configuration names its folder."""
    shutil.copytree(finished, tmp_path / "kept")
    yield finished
    shutil.rmtree(finished)
    shutil.copytree(tmp_path / "kept", finished)


@pytest.fixture
def trained(monkeypatch: Any) -> list[str]:
    """The labels of all trainings that a test started."""
    labels: list[str] = []

    def watched(*given: Any, label: str, **settings: Any) -> Any:
        labels.append(label)
        return fit.fit(*given, label=label, **settings)

    monkeypatch.setattr(adapt, "fit", watched)
    return labels


class Killed(BaseException):
    """As a signal would end the run."""


def kill_in(label: str, monkeypatch: Any) -> Any:
    """Have the run killed when it trains the system of this label."""

    def killed(*given: Any, **settings: Any) -> Any:
        if settings["label"] == label:
            raise Killed
        return fit.fit(*given, **settings)

    monkeypatch.setattr(adapt, "fit", killed)


def report_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "report.json").read_text())  # type: ignore[no-any-return]


def accuracy(folder: Path, system: str, domain: str = "target") -> float:
    return float(report_of(folder)["systems"][system][domain]["accuracy"]["value"])


def plain_logits(folder: Path, texts: list[str]) -> np.ndarray:
    """Score texts with `transformers` alone."""
    model, tokenizer = AutoModelForSequenceClassification.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    with torch.inference_mode():
        return np.asarray(model(**tokenizer(texts, padding=True, truncation=True, return_tensors="pt")).logits)


def softmax(scores: np.ndarray) -> np.ndarray:
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


# The run folder -----------------------------------------------------------------------------------------------------

SYSTEMS = ["majority", "tfidf", "zero_shot", "probe", "target_only", "adapted"]


def test_a_run_leaves_what_the_design_names(finished: Path) -> None:
    names = {path.name for path in finished.iterdir() if not path.name.startswith(".")}
    assert names >= {
        "config.yaml", "environment.json", "data.json", "history.jsonl", "checkpoints", "model", "source_model",
        "predictions", "report.json", "report.md", "figures",
    }  # fmt: skip
    assert "adapter" not in names
    assert not (finished / "source_model" / "model").exists()
    assert len(list((finished / "figures").glob("*.png"))) >= 2
    environment = json.loads((finished / "environment.json").read_text())
    assert environment["seeds"] == [0]
    assert environment["num_processes"] == 1
    assert environment["versions"]["transformers"].startswith("5.")


def test_the_data_is_described_by_split(finished: Path) -> None:
    data = json.loads((finished / "data.json").read_text())
    counts = {name: [domain[split] for split in ("train", "dev", "test", "unused")] for name, domain in data["domains"].items()}
    assert counts == {"source": [96, 0, 24, 0], "target": [32, 0, 24, 64]}
    assert {finding["check"] for finding in data["findings"]} >= {"small_test", "licence"}
    assert report_of(finished)["provenance"]["data"]["target"]["fingerprint"] == data["domains"]["target"]["fingerprints"]["test"]


def test_predictions_carry_the_ids_of_the_test_rows(finished: Path, make_recipe: MakeRecipe) -> None:
    data = make_recipe(finished).data
    for name, domain in (("target", data.target), ("source", data.source)):
        assert domain is not None
        for system in SYSTEMS:
            lines = [json.loads(line) for line in (finished / "predictions" / f"{system}.{name}.jsonl").read_text().splitlines()]
            assert [line["id"] for line in lines] == domain.test.ids
            assert [line["label"] for line in lines] == [LABELS[label] for label in domain.test.labels]
            assert all(line["predicted"] == max(line["probabilities"], key=line["probabilities"].get) for line in lines)
            right = np.mean([line["label"] == line["predicted"] for line in lines])
            assert right == pytest.approx(accuracy(finished, system, name))


def test_the_history_has_a_line_a_step(finished: Path) -> None:
    lines = [json.loads(line) for line in (finished / "history.jsonl").read_text().splitlines()]
    steps = Counter(line["stage"] for line in lines if "loss" in line)
    assert set(steps) == {"source model", "adapted", "target_only"}
    assert all(line["seed"] == 0 for line in lines)
    assert all(Counter(line["step"] for line in lines if line["stage"] == stage and "loss" in line).most_common(1)[0][1] == 1 for stage in steps)


def test_the_report_holds_what_other_programs_read(finished: Path) -> None:
    report = report_of(finished)
    assert (report["schema"], report["task"], report["primary_metric"]) == (1, "sentiment", "accuracy")
    assert list(report["systems"]) == SYSTEMS
    for system in report["systems"].values():
        for domain in ("target", "source"):
            assert set(system[domain]) == {"accuracy", "macro_f1", "matthews_correlation", "expected_calibration_error"}
            assert all(score["low"] <= score["value"] <= score["high"] and score["n"] == 24 for score in system[domain].values())
        assert set(system["cost"]) >= {"seconds", "selection_seconds", "peak_rss_mb", "trainable_parameters", "trainable_share"}
        assert system["cost"]["peak_rss_mb"] > 50
    pairs = {(entry["domain"], entry["against"], entry["metric"]) for entry in report["comparisons"]}
    assert pairs == {(d, s, m) for d in ("target", "source") for s in SYSTEMS[:-1] for m in ("accuracy", "macro_f1")}
    for entry in report["comparisons"]:
        scores = [report["systems"][system][entry["domain"]][entry["metric"]]["value"] for system in ("adapted", entry["against"])]
        assert entry["difference"] == pytest.approx(scores[0] - scores[1])
        assert entry["low"] <= entry["difference"] <= entry["high"]
        assert 0 <= entry["p"] <= 1
        assert entry["test"] == "paired bootstrap"
    assert {finding["check"] for finding in report["findings"]} >= {"forgetting", "source_model", "small_test"}
    assert set(report["findings"][0]) == {"check", "severity", "value", "threshold", "evidence", "advice"}
    provenance = report["provenance"]
    assert provenance["config"]["data"]["target"]["train_size"] == 32
    assert (provenance["seeds"], provenance["num_processes"]) == ([0], 1)
    assert {name: provenance["data"]["target"][name] for name in ("train", "dev", "test")} == {"train": 32, "dev": 0, "test": 24}
    assert set(provenance["metric_signatures"]) >= {"accuracy", "macro_f1", "matthews_correlation", "expected_calibration_error"}


def test_the_verdict_follows_from_target_only(finished: Path) -> None:
    verdict = report_of(finished)["verdict"]
    difference = accuracy(finished, "adapted") - accuracy(finished, "target_only")
    assert verdict["against"] == "target_only"
    assert verdict["difference"] == pytest.approx(difference)
    expected = "helped" if verdict["low"] > 0 else "harmed" if verdict["high"] < 0 else "no_evidence"
    assert verdict["transfer"] == expected
    assert f"{abs(difference) * 100:.1f} points" in verdict["sentence"]
    assert verdict["sentence"] in (finished / "report.md").read_text()


def test_what_learnt_more_scores_better_here(finished: Path) -> None:
    """The sentences are easy: a source model transfers, 32 target rows alone teach less, the commonest label nothing."""
    assert accuracy(finished, "majority") == 0.5
    assert accuracy(finished, "tfidf") > 0.9
    assert accuracy(finished, "zero_shot") > 0.85
    assert accuracy(finished, "adapted") > max(0.85, accuracy(finished, "target_only"))


def test_the_training_counts_are_the_models(finished: Path) -> None:
    systems = report_of(finished)["systems"]
    model = AutoModelForSequenceClassification.from_pretrained(finished / "model")
    sizes = {name: weights.numel() for name, weights in model.named_parameters()}
    trained = sum(size for name, size in sizes.items() if "embeddings" not in name)
    for system in ("adapted", "target_only"):
        assert systems[system]["cost"]["trainable_parameters"] == trained
        assert systems[system]["cost"]["trainable_share"] == pytest.approx(trained / sum(sizes.values()), abs=1e-4)
    assert systems["probe"]["cost"]["trainable_parameters"] == 2 * 32 + 2
    assert systems["majority"]["cost"]["trainable_parameters"] == 0
    assert systems["adapted"]["cost"]["source_seconds"] == pytest.approx(systems["zero_shot"]["cost"]["seconds"])


def test_the_resolved_config_runs_again_to_the_same_end(finished: Path, trained: list[str]) -> None:
    report = SentimentTransfer.from_config(finished / "config.yaml").run()
    assert trained == []
    assert report.content == report_of(finished)


# Methods ------------------------------------------------------------------------------------------------------------


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
    recipe = make_recipe(folder, adaptation__method=method, evaluation__baselines=["majority", "zero_shot"], **changes)
    recipe.run()
    assert accuracy(folder, "adapted") > 0.8

    test = recipe.data.target.test
    plain = plain_logits(folder / "model", test.texts)
    assert np.allclose(load_adapted(folder).logits(test.texts), plain, atol=1e-5)
    reported = read_predictions(folder / "predictions" / "adapted.target.jsonl", LABELS)
    assert np.allclose(reported, softmax(plain), atol=1e-5)
    assert AutoModelForSequenceClassification.from_pretrained(folder / "model").config.id2label == dict(enumerate(LABELS))

    models = [AutoModelForSequenceClassification.from_pretrained(folder / name).state_dict() for name in ("source_model", "model")]
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
def test_a_probe_is_adapted_and_opened_again(source_method: str, make_recipe: MakeRecipe, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    recipe = make_recipe(folder, adaptation__method="probe", source_stage__method=source_method)
    recipe.run()
    assert accuracy(folder, "adapted") > 0.8
    assert accuracy(folder, "zero_shot") > 0.8
    test = recipe.data.target.test
    reported = read_predictions(folder / "predictions" / "adapted.target.jsonl", LABELS)
    assert np.allclose(load_adapted(folder).probabilities(test.texts), reported, atol=1e-5)
    assert (folder / "model" / "probe.json").is_file()
    # The encoder is the tuned source model's, where there is one, and stays as it is.
    encoder = folder / "source_model" if source_method == "full" else Path(recipe.config.model.path)
    weights = [load_adapted(folder).encoder.state_dict(), AutoModelForSequenceClassification.from_pretrained(encoder).bert.state_dict()]  # type: ignore[union-attr]
    assert all(torch.equal(tensor, weights[1][name]) for name, tensor in weights[0].items())


def test_after_a_probe_only_a_probe_can_follow(make_recipe: MakeRecipe, tmp_path: Path) -> None:
    recipe = make_recipe(tmp_path / "run", source_stage__method="probe")
    with pytest.raises(ConfigError, match="source_stage.method is probe, which leaves no weights for adaptation.method full"):
        recipe.check()
    with pytest.raises(ConfigError):
        recipe.run()
    assert not (tmp_path / "run" / "config.yaml").exists()


@pytest.mark.parametrize("method", ["lora", "probe"])
def test_scratch_starts_all_weights_at_random_whatever_the_method(method: str, make_recipe: MakeRecipe, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    make_recipe(folder, adaptation__method=method, evaluation__baselines=["scratch"]).run()
    cost = report_of(folder)["systems"]["scratch"]["cost"]
    assert cost["trainable_share"] == 1.0
    assert report_of(folder)["verdict"]["transfer"] == "not_measured"


# Domains and labels -------------------------------------------------------------------------------------------------


def test_without_a_target_label_the_source_model_is_the_adapted_one(make_recipe: MakeRecipe, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    recipe = make_recipe(folder, data__target__train_size=0)
    recipe.run()
    report = report_of(folder)
    assert list(report["systems"]) == ["majority", "tfidf", "zero_shot", "probe", "adapted"]
    assert report["verdict"]["transfer"] == "not_measured"
    assert "there are no target labels" in report["verdict"]["sentence"]
    texts = recipe.data.target.test.texts
    assert np.allclose(plain_logits(folder / "model", texts), plain_logits(folder / "source_model", texts), atol=1e-6)
    assert accuracy(folder, "adapted") == accuracy(folder, "zero_shot") > 0.85
    assert report["provenance"]["data"]["target"]["train"] == 0


def test_without_a_source_the_target_alone_is_learnt(make_recipe: MakeRecipe, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    make_recipe(folder, data__source=None, data__target__train_size=96).run()
    report = report_of(folder)
    assert list(report["systems"]) == ["majority", "tfidf", "probe", "adapted"]
    assert report["systems"]["adapted"]["source"] == {} == report["provenance"]["data"]["source"]
    assert report["verdict"]["transfer"] == "not_measured"
    assert not (folder / "source_model").exists()
    assert not list((folder / "predictions").glob("*.source.jsonl"))
    assert accuracy(folder, "adapted") > 0.8


@pytest.fixture(scope="module")
def sentiment_model(make_recipe: MakeRecipe, tmp_path_factory: Any) -> Path:
    """A classifier as one finds it on the Hub: tuned, with its labels in an order of its own."""
    folder = tmp_path_factory.mktemp("hub")
    make_recipe(folder / "run", data__source__label_map={"negative": "bad", "positive": "agreeable"}, data__label_map={"negative": "bad", "positive": "agreeable"}, evaluation__baselines=["majority"]).run()
    model = AutoModelForSequenceClassification.from_pretrained(folder / "run" / "model")
    assert model.config.id2label == {0: "agreeable", 1: "bad"}
    return Path(folder / "run" / "model")


def test_a_pretrained_head_is_used_in_its_own_order(sentiment_model: Path, make_recipe: MakeRecipe, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    recipe = make_recipe(
        folder, model__path=str(sentiment_model), source_stage=None, data__source=None, data__target__train_size=0,
        data__label_map={"negative": "bad", "positive": "agreeable"}, evaluation__baselines=["zero_shot", "majority"],
    )  # fmt: skip
    recipe.run()
    assert recipe.data.label_names == ["agreeable", "bad"]
    assert accuracy(folder, "zero_shot") == accuracy(folder, "adapted") > 0.85
    texts = recipe.data.target.test.texts
    assert np.allclose(plain_logits(folder / "model", texts), plain_logits(sentiment_model, texts), atol=1e-6)


def test_a_pretrained_head_is_adapted_from_its_own_weights(sentiment_model: Path, make_recipe: MakeRecipe, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    make_recipe(
        folder, model__path=str(sentiment_model), source_stage=None, data__source=None, adaptation__training={"learning_rate": 1e-6},
        data__label_map={"negative": "bad", "positive": "agreeable"}, evaluation__baselines=["zero_shot"],
    ).run()  # fmt: skip
    heads = [AutoModelForSequenceClassification.from_pretrained(path).classifier.weight for path in (sentiment_model, folder / "model")]
    assert torch.allclose(heads[0], heads[1], atol=1e-3)
    assert accuracy(folder, "adapted") == accuracy(folder, "zero_shot") > 0.85


def test_plain_ids_are_class_ids_in_the_models_order(sentiment_model: Path, make_recipe: MakeRecipe, tmp_path: Path) -> None:
    numbered = [(text, "0" if label == "positive" else "1") for text, label in sentences("products", 120, seed=0)]
    write_csv(tmp_path / "numbered.csv", ("text", "label"), numbered)
    folder = tmp_path / "run"
    make_recipe(
        folder, model__path=str(sentiment_model), source_stage=None, data__source=None, data__target__train_size=0,
        data__target__path=str(tmp_path / "numbered.csv"), evaluation__baselines=["zero_shot"],
    ).run()  # fmt: skip
    assert accuracy(folder, "zero_shot") > 0.85
    findings = report_of(folder)["findings"]
    assert "target: labels are class ids in the source's order: 0 = agreeable, 1 = bad" in [finding["evidence"] for finding in findings]


def test_labels_that_the_head_does_not_know_are_refused_with_the_map(sentiment_model: Path, make_recipe: MakeRecipe, tmp_path: Path) -> None:
    recipe = make_recipe(tmp_path / "run", model__path=str(sentiment_model), source_stage=None, data__source=None)
    with pytest.raises(DataError, match=r"the label\(s\) negative, positive are none of the known ones \(agreeable, bad\)(.|\n)*data.label_map: {"):
        recipe.run()


def starred(rows: int) -> list[tuple[str, int]]:
    """Write sentences with one to five stars, each with a word of its own."""
    words = ("terrible", "poor", "mixed", "good", "superb")
    texts = [text for text, _ in sentences("products", rows, seed=0)]
    return [(f"{words[row % 5]}: the {text.split()[-1]} number {row}", 1 + row % 5) for row, text in enumerate(texts)]


def test_five_stars_are_five_classes(make_recipe: MakeRecipe, tmp_path: Path) -> None:
    write_csv(tmp_path / "stars.csv", ("review", "stars"), starred(300))
    folder = tmp_path / "run"
    recipe = make_recipe(
        folder, data__source=None, data__target={"path": str(tmp_path / "stars.csv")}, adaptation__method="lp_ft",
        evaluation__baselines=["majority", "tfidf", "probe"],
    )  # fmt: skip
    recipe.run()
    assert recipe.data.label_names == ["1", "2", "3", "4", "5"]
    assert (len(recipe.data.target.train), len(recipe.data.target.dev), len(recipe.data.target.test)) == (200, 40, 60)
    assert accuracy(folder, "majority") == 0.2
    assert accuracy(folder, "adapted") > 0.6
    assert load_adapted(folder).predict(["superb: the lens"])[0]["probabilities"].keys() == {"1", "2", "3", "4", "5"}
    # 240 labels are enough for dev rows of their own, on which the best epoch is chosen.
    cost = report_of(folder)["systems"]["adapted"]["cost"]
    assert cost["selection_seconds"] > 0
    assert [json.loads(line)["step"] for line in (folder / "history.jsonl").read_text().splitlines() if "eval_loss" in line]


def test_stars_are_mapped_to_the_sources_labels(make_recipe: MakeRecipe, tmp_path: Path) -> None:
    write_csv(tmp_path / "stars.csv", ("review", "stars"), starred(120))
    folder = tmp_path / "run"
    target = {"path": str(tmp_path / "stars.csv"), "text_column": "review", "label_column": "stars", "train_size": 32}
    unmapped = make_recipe(folder, data__target=target)
    with pytest.raises(DataError, match=r"data.label_map: {1: negative, 2: negative, 3: null, 4: positive, 5: positive}"):
        unmapped.run()
    label_map = {1: "negative", 2: "negative", 3: None, 4: "positive", 5: "positive"}
    recipe = make_recipe(folder, data__target=target, data__label_map=label_map, evaluation__baselines=["majority"])
    recipe.run()
    assert recipe.data.target.dropped == {"label mapped to null": 24}
    assert recipe.data.label_names == LABELS
    assert report_of(folder)["provenance"]["data"]["target"]["dropped"] == {"label mapped to null": 24}


# Running again ------------------------------------------------------------------------------------------------------


def test_a_second_run_trains_nothing_and_reports_the_same(finished: Path, make_recipe: MakeRecipe, trained: list[str], monkeypatch: Any) -> None:
    before = report_of(finished)
    monkeypatch.setattr("nlp_transfer.training.probing.fit_frozen_probe", lambda *_, **__: pytest.fail("a probe was fitted"))
    assert make_recipe(finished).run().content == before == report_of(finished)
    assert trained == []


def test_another_configuration_is_refused_with_the_difference(finished: Path, make_recipe: MakeRecipe) -> None:
    with pytest.raises(ConfigError) as caught:
        make_recipe(finished, data__target__train_size=16, adaptation__method="lora").run()
    lines = str(caught.value).splitlines()
    assert lines[0] == f"{finished} holds a run with another configuration (- there, + here):"
    assert {line.strip() for line in lines[1:-1]} == {"-    train_size: 32", "+    train_size: 16", "-  method: full", "+  method: lora"}
    assert lines[-1] == "choose another output_dir, or delete that folder"


def test_other_data_in_the_same_folder_is_refused(
    finished_copy: Path, make_recipe: MakeRecipe, domains: dict[str, Path], trained: list[str]
) -> None:
    model = (finished_copy / "model" / "model.safetensors").read_bytes()
    content = domains["products"].read_text()
    domains["products"].write_text(content.replace("phone", "telephone"))
    try:
        recipe = make_recipe(finished_copy)
        with pytest.raises(ConfigError, match="holds a run on other data than is there now"):
            recipe.run()
        with pytest.raises(RunError, match="holds no model adapted from this data; run `nlp-transfer train` first"):
            recipe.evaluate()
    finally:
        domains["products"].write_text(content)
    assert trained == []
    assert (finished_copy / "model" / "model.safetensors").read_bytes() == model
    make_recipe(finished_copy).run()
    assert trained == []


def test_a_killed_run_goes_on_where_it_was(finished: Path, make_recipe: MakeRecipe, tmp_path: Path, trained: list[str], monkeypatch: Any) -> None:
    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        kill_in("target_only", patch)
        with pytest.raises(Killed):
            make_recipe(folder).run()
    assert not (folder / "report.json").exists()
    del trained[:]
    make_recipe(folder).run()
    assert trained == ["target_only"]
    expected = report_of(finished)["systems"]
    for system, scored in report_of(folder)["systems"].items():
        assert scored["target"] == expected[system]["target"]


def test_a_run_killed_in_training_ends_as_one_that_was_not(make_recipe: MakeRecipe, tmp_path: Path, monkeypatch: Any) -> None:
    """With enough target rows for dev rows and checkpoints."""
    from nlp_transfer.training import callbacks

    write_csv(tmp_path / "many.csv", ("text", "label"), sentences("products", 300, seed=0))
    changes = {"data__target": {"path": str(tmp_path / "many.csv")}, "evaluation__baselines": ["majority"], "adaptation__training": {"num_train_epochs": 3}}
    make_recipe(tmp_path / "whole", **changes).run()
    whole_step = callbacks.ProgressBar.on_step_end

    def killing(self: Any, args: Any, state: Any, control: Any, **other: Any) -> None:
        whole_step(self, args, state, control, **other)
        if self.label == "adapted" and state.global_step > 0.7 * state.max_steps:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(callbacks.ProgressBar, "on_step_end", killing)
        with pytest.raises(Killed):
            make_recipe(tmp_path / "killed", **changes).run()
    assert list(tmp_path.glob("killed/checkpoints/adapted-*/checkpoint-*"))
    assert not (tmp_path / "killed" / "model").exists()
    recipe = make_recipe(tmp_path / "killed", **changes)
    recipe.run()
    texts = recipe.data.target.test.texts
    assert np.allclose(plain_logits(tmp_path / "killed" / "model", texts), plain_logits(tmp_path / "whole" / "model", texts), atol=1e-5)
    histories = [
        [(line["stage"], line["step"], line.get("loss"), line.get("eval_loss")) for line in map(json.loads, (tmp_path / name / "history.jsonl").read_text().splitlines())]
        for name in ("killed", "whole")
    ]
    assert [line for line in histories[0] if line[0] == "adapted"] == [line for line in histories[1] if line[0] == "adapted"]


def test_the_stages_can_be_run_one_by_one(make_recipe: MakeRecipe, tmp_path: Path, trained: list[str]) -> None:
    folder = tmp_path / "run"
    recipe = make_recipe(folder, evaluation__baselines=["majority"])
    with pytest.raises(RunError, match="holds no model adapted from this data; run `nlp-transfer train` first"):
        recipe.evaluate()
    with pytest.raises(RunError, match="holds no trained model; run `nlp-transfer train` first"):
        recipe.save_pretrained(tmp_path / "out")
    assert recipe.check().blocking == []
    recipe.train()
    assert (folder / "model").is_dir()
    assert not (folder / "report.json").exists()
    report = make_recipe(folder, evaluation__baselines=["majority"]).evaluate()
    assert report.systems.keys() == {"majority", "adapted"}
    assert trained.count("adapted") == 1


def test_a_folder_in_use_is_not_touched(finished: Path, make_recipe: MakeRecipe) -> None:
    with RunFolder(finished, resolved_config=(finished / "config.yaml").read_text()), pytest.raises(RunError, match="another run is at work"):
        make_recipe(finished).run()


# The source model, kept across runs ---------------------------------------------------------------------------------


def test_another_run_takes_the_same_source_model(finished: Path, make_recipe: MakeRecipe, tmp_path: Path, trained: list[str]) -> None:
    changes = {"evaluation__baselines": ["majority"], "data__target__train_size": 16}
    make_recipe(tmp_path / "same", **changes).train()
    assert trained == ["adapted"]
    names = ["model.safetensors", "tokenizer.json", "cost.json"]
    assert [(tmp_path / "same" / "source_model" / name).read_bytes() for name in names] == [(finished / "source_model" / name).read_bytes() for name in names]


@pytest.mark.parametrize(
    "changes",
    [
        {"source_stage__training": {"learning_rate": 5e-3}},
        {"training__seed": 1},
        {"model__max_length_tokens": 20},
        {"data__source__train_size": 80},
    ],
    ids=["another rate", "another seed", "another length", "other rows"],
)
def test_another_source_stage_makes_another_source_model(
    changes: dict[str, Any], finished: Path, make_recipe: MakeRecipe, tmp_path: Path, trained: list[str]
) -> None:
    make_recipe(tmp_path / "other", evaluation__baselines=["majority"], **changes).train()
    assert trained == ["source model", "adapted"]


def test_another_rank_makes_another_source_model_where_it_is_made_by_lora(make_recipe: MakeRecipe, tmp_path: Path, trained: list[str]) -> None:
    for rank in (2, 3):
        make_recipe(tmp_path / str(rank), source_stage__method="lora", adaptation__rank=rank).train()
    assert trained == ["source model", "adapted"] * 2


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json"])
def test_a_damaged_source_model_is_made_again(
    name: str, finished: Path, make_recipe: MakeRecipe, tmp_path: Path, trained: list[str], own_cache: Path, caplog: Any
) -> None:
    weights = (finished / "source_model" / "model.safetensors").read_bytes()
    cost = (finished / "source_model" / "cost.json").read_bytes()
    (kept,) = [path.parent for path in own_cache.glob("source_models/*/cost.json") if path.read_bytes() == cost]
    (kept / name).write_bytes((kept / name).read_bytes()[:20])
    with caplog.at_level(logging.WARNING, logger="nlp_transfer"):
        make_recipe(tmp_path / "run", evaluation__baselines=["majority"]).train()
    assert trained == ["source model", "adapted"]
    assert f"the source model kept in {kept} is damaged; training it again" in caplog.text
    assert (tmp_path / "run" / "source_model" / "model.safetensors").read_bytes() == weights
    assert (kept / "model.safetensors").read_bytes() == weights
    # From here on it is the finished run's again, for the next test.
    (kept / "cost.json").write_bytes(cost)
    (kept / "whole.txt").write_text(model_identity(str(kept)))


# Seeds and saving ---------------------------------------------------------------------------------------------------


def test_several_seeds_are_scored_each_and_the_first_ones_model_is_kept(finished: Path, make_recipe: MakeRecipe, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    recipe = make_recipe(folder, evaluation__seeds=[0, 1], evaluation__baselines=["majority", "target_only"])
    recipe.run()
    report = report_of(folder)
    scores = report["systems"]["adapted"]["per_seed"]["target"]
    assert len(scores) == 2
    assert accuracy(folder, "adapted") == pytest.approx(np.mean(scores))
    assert "over 2 seeds" in report["verdict"]["sentence"]
    assert report["provenance"]["seeds"] == [0, 1]
    assert {path.name for path in (folder / "predictions" / "seed-1").iterdir()} == {f"{system}.{domain}.jsonl" for system in ("majority", "target_only", "adapted") for domain in ("target", "source")}
    # The second seed draws other training rows; test rows do not move.
    drawn = [recipe.data_for(seed).target for seed in (0, 1)]
    assert set(drawn[0].train.ids) != set(drawn[1].train.ids)
    assert drawn[0].test.ids == drawn[1].test.ids
    weights = [(path / "model" / "model.safetensors").read_bytes() for path in (folder, finished)]
    assert weights[0] == weights[1]
    lines = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    assert {(line["stage"], line["seed"]) for line in lines} == {("adapted", 0), ("adapted", 1), ("target_only", 0), ("target_only", 1)}


def test_the_adapted_model_is_saved_elsewhere_and_equal(finished: Path, make_recipe: MakeRecipe, tmp_path: Path) -> None:
    recipe = make_recipe(finished)
    assert recipe.save_pretrained(tmp_path / "out") == tmp_path / "out"
    texts = recipe.data.target.test.texts
    assert np.allclose(plain_logits(tmp_path / "out", texts), plain_logits(finished / "model", texts), atol=1e-6)


def test_other_weights_than_the_trained_ones_end_the_run(make_recipe: MakeRecipe, tmp_path: Path, monkeypatch: Any) -> None:
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
        with pytest.raises(RunError, match="the saved model is not the trained one: its logits differ by 0.001"):
            make_recipe(folder, data__source=None).run()
    assert not (folder / "model").exists()
    assert not (folder / "report.json").exists()


# What cannot work ---------------------------------------------------------------------------------------------------


def test_a_file_given_for_training_and_testing_blocks_the_run(make_recipe: MakeRecipe, domains: dict[str, Path], tmp_path: Path) -> None:
    splits = {"train": str(domains["products"]), "test": str(domains["products"])}
    recipe = make_recipe(tmp_path / "run", data__target={"splits": splits})
    for stage in (recipe.check, recipe.run):
        with pytest.raises(DataError, match=r"the data cannot be used:\n  - target: 120 of 120 test rows \(100.0%\) have the text of a training row"):
            stage()
    assert not (tmp_path / "run" / "config.yaml").exists()


def test_nothing_to_learn_from_is_refused(make_recipe: MakeRecipe, tmp_path: Path) -> None:
    recipe = make_recipe(tmp_path / "run", data__source=None, data__target__train_size=0)
    with pytest.raises(DataError, match="nothing to learn from: no target label, no source domain, and a model without a head"):
        recipe.run()


def test_texts_longer_than_the_model_reads_are_refused_before_training(make_recipe: MakeRecipe, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="model.max_length_tokens is 81 and .* reads 80 at most; lower it"):
        make_recipe(tmp_path / "run", model__max_length_tokens=81).check()
