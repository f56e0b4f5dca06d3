"""What a sentiment run leaves in its folder and its report, and what it refuses."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from looking import accuracy, report_of
from tiny import LABELS
from transformers import AutoModelForSequenceClassification

from nlp_transfer import SentimentTransfer, load_adapted
from nlp_transfer.errors import DataError, ModelError

MakeRecipe = Callable[..., SentimentTransfer]


SYSTEMS = ["majority", "tfidf", "zero_shot", "probe", "target_only", "adapted"]


def test_a_run_leaves_what_the_design_names(finished: Path) -> None:
    names = {path.name for path in finished.iterdir() if not path.name.startswith(".")}
    assert names >= {
        "config.yaml",
        "environment.json",
        "data.json",
        "history.jsonl",
        "checkpoints",
        "model",
        "source_model",
        "predictions",
        "report.json",
        "report.md",
        "figures",
    }
    assert "adapter" not in names
    assert not (finished / "source_model" / "model").exists()
    assert len(list((finished / "figures").glob("*.png"))) >= 2
    environment = json.loads((finished / "environment.json").read_text())
    assert environment["seeds"] == [0]
    assert environment["num_processes"] == 1
    assert environment["versions"]["transformers"].startswith("5.")


def test_the_data_is_described_by_split(finished: Path) -> None:
    data = json.loads((finished / "data.json").read_text())
    counts = {
        name: [domain[split] for split in ("train", "dev", "test", "unused")]
        for name, domain in data["domains"].items()
    }
    assert counts == {"source": [96, 0, 24, 0], "target": [32, 0, 24, 64]}
    assert {finding["check"] for finding in data["findings"]} >= {"small_test", "licence"}
    assert (
        report_of(finished)["provenance"]["data"]["target"]["fingerprint"]
        == data["domains"]["target"]["fingerprints"]["test"]
    )


def test_predictions_carry_the_ids_of_the_test_rows(finished: Path, make_recipe: MakeRecipe) -> None:
    data = make_recipe(finished).data
    for name, domain in (("target", data.target), ("source", data.source)):
        assert domain is not None
        for system in SYSTEMS:
            lines = [
                json.loads(line)
                for line in (finished / "predictions" / f"{system}.{name}.jsonl").read_text().splitlines()
            ]
            assert [line["id"] for line in lines] == domain.test.ids
            assert [line["label"] for line in lines] == [LABELS[label] for label in domain.test.labels]
            assert all(
                line["predicted"] == max(line["probabilities"], key=line["probabilities"].get)
                for line in lines
            )
            right = np.mean([line["label"] == line["predicted"] for line in lines])
            assert right == pytest.approx(accuracy(finished, system, name))


def test_the_history_has_a_line_a_step(finished: Path) -> None:
    lines = [json.loads(line) for line in (finished / "history.jsonl").read_text().splitlines()]
    steps = Counter(line["stage"] for line in lines if "loss" in line)
    assert set(steps) >= {"adapted", "target_only"}  # and the source model, unless it was kept
    assert all(line["seed"] == 0 for line in lines)
    assert all(
        Counter(line["step"] for line in lines if line["stage"] == stage and "loss" in line).most_common(1)[
            0
        ][1]
        == 1
        for stage in steps
    )


def test_the_report_holds_what_other_programs_read(finished: Path) -> None:
    report = report_of(finished)
    assert (report["schema"], report["task"], report["primary_metric"]) == (1, "sentiment", "accuracy")
    assert list(report["systems"]) == SYSTEMS
    for system in report["systems"].values():
        for domain in ("target", "source"):
            assert set(system[domain]) == {
                "accuracy",
                "macro_f1",
                "matthews_correlation",
                "expected_calibration_error",
            }
            assert all(
                score["low"] <= score["value"] <= score["high"] and score["n"] == 24
                for score in system[domain].values()
            )
        assert set(system["cost"]) >= {
            "seconds",
            "selection_seconds",
            "peak_rss_mb",
            "trainable_parameters",
            "trainable_share",
        }
        assert system["cost"]["peak_rss_mb"] > 50
    pairs = {(entry["domain"], entry["against"], entry["metric"]) for entry in report["comparisons"]}
    assert pairs == {
        (d, s, m) for d in ("target", "source") for s in SYSTEMS[:-1] for m in ("accuracy", "macro_f1")
    }
    for entry in report["comparisons"]:
        scores = [
            report["systems"][system][entry["domain"]][entry["metric"]]["value"]
            for system in ("adapted", entry["against"])
        ]
        assert entry["difference"] == pytest.approx(scores[0] - scores[1])
        assert entry["low"] <= entry["difference"] <= entry["high"]
        assert 0 <= entry["p"] <= 1
        assert entry["test"] == "paired bootstrap"
    assert {finding["check"] for finding in report["findings"]} >= {
        "forgetting",
        "source_model",
        "small_test",
    }
    assert set(report["findings"][0]) == {"check", "severity", "value", "threshold", "evidence", "advice"}
    provenance = report["provenance"]
    assert provenance["config"]["data"]["target"]["train_size"] == 32
    assert (provenance["seeds"], provenance["num_processes"]) == ([0], 1)
    assert {name: provenance["data"]["target"][name] for name in ("train", "dev", "test")} == {
        "train": 32,
        "dev": 0,
        "test": 24,
    }
    assert set(provenance["metric_signatures"]) >= {
        "accuracy",
        "macro_f1",
        "matthews_correlation",
        "expected_calibration_error",
    }


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
    """The sentences are easy: a source model transfers, 32 target rows alone teach less."""
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
        assert systems[system]["cost"]["trainable_share"] == pytest.approx(
            trained / sum(sizes.values()), abs=1e-4
        )
    assert systems["probe"]["cost"]["trainable_parameters"] == 2 * 32 + 2
    assert systems["majority"]["cost"]["trainable_parameters"] == 0
    assert systems["adapted"]["cost"]["source_seconds"] == pytest.approx(
        systems["zero_shot"]["cost"]["seconds"]
    )


def test_the_resolved_config_runs_again_to_the_same_end(finished: Path, trained: list[str]) -> None:
    report = SentimentTransfer.from_config(finished / "config.yaml").run()
    assert trained == []
    assert report.content == report_of(finished)


# What cannot work ---------------------------------------------------------------------------------


def test_a_file_given_for_training_and_testing_blocks_the_run(
    make_recipe: MakeRecipe, domains: dict[str, Path], tmp_path: Path
) -> None:
    splits = {"train": str(domains["products"]), "test": str(domains["products"])}
    recipe = make_recipe(tmp_path / "run", data__target={"splits": splits})
    for stage in (recipe.check, recipe.run):
        with pytest.raises(
            DataError,
            match=r"the data cannot be used:\n  - target: 120 of 120 test rows \(100.0%\) have the text of",
        ):
            stage()
    assert not (tmp_path / "run" / "config.yaml").exists()


def test_nothing_to_learn_from_is_refused(make_recipe: MakeRecipe, tmp_path: Path) -> None:
    recipe = make_recipe(tmp_path / "run", data__source=None, data__target__train_size=0)
    with pytest.raises(
        DataError,
        match="nothing to learn from: no target label, no source domain, and a model without a head",
    ):
        recipe.run()


def test_a_head_without_names_is_not_used_and_said_so(
    make_recipe: MakeRecipe, tmp_path: Path, tiny_model: Callable[..., Path]
) -> None:
    unnamed = {"model__path": str(tiny_model("bert", labels=["LABEL_0", "LABEL_1"])), "source_stage": None}
    found = [f for f in make_recipe(tmp_path / "run", **unnamed).check().findings if f.check == "label_names"]
    assert [(f.severity, "names no classes" in f.evidence) for f in found] == [("warn", True)]
    with pytest.raises(
        DataError, match=r"no source stage \(source_stage: null\), and a model without a head"
    ):
        make_recipe(tmp_path / "run", data__target__train_size=0, **unnamed).check()


@pytest.mark.parametrize("train_size", [0, 16])
def test_a_head_whose_classes_the_recipe_names_is_used(
    train_size: int, make_recipe: MakeRecipe, tmp_path: Path, tiny_model: Callable[..., Path]
) -> None:
    model, folder = tiny_model("bert", labels=["LABEL_0", "LABEL_1"]), tmp_path / "run"
    recipe = make_recipe(
        folder, model__path=str(model), model__label_names=LABELS[::-1], source_stage=None,
        data__target__train_size=train_size, evaluation__baselines=["zero_shot"],
    )  # fmt: skip
    assert not [f for f in recipe.check().findings if f.check == "label_names"]
    recipe.run()
    texts = recipe.data.target.test.texts[:5]
    adapted, bare = load_adapted(str(folder)), load_adapted(str(model))
    assert adapted.label_names == LABELS[::-1]
    if train_size == 0:
        assert np.array_equal(adapted.logits(texts), bare.logits(texts))
    line = json.loads((folder / "predictions" / "zero_shot.target.jsonl").read_text().splitlines()[0])
    first = bare.logits([recipe.data.target.test.texts[0]])[0]
    assert line["predicted"] == LABELS[::-1][int(first.argmax())]
    # Users see the model that they named, not where the named one lies.
    assert "named_heads" not in (folder / "report.json").read_text()


def test_texts_longer_than_the_model_reads_are_refused_before_training(
    make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match=r"model\.max_length_tokens is 81 and .* reads 80 at most; lower it"):
        make_recipe(tmp_path / "run", model__max_length_tokens=81).check()
