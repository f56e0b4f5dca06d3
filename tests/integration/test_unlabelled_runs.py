"""Whole runs that learn from target text without labels: with no target label, with few, at several seeds."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nlp_transfer import SentimentTransfer, load_adapted
from nlp_transfer.config import parse_config
from nlp_transfer.data.splits import normalise_text
from nlp_transfer.errors import ConfigError, DataError

MakeRecipe = Callable[..., SentimentTransfer]
SOME = {"method": "self_training", "threshold": 0.6}


def history_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]


def test_a_run_without_any_target_label_learns_from_the_targets_text(
    make_recipe: MakeRecipe, tmp_path: Path, trained: list[str]
) -> None:
    recipe = make_recipe(
        tmp_path / "run",
        data__target__train_size=0,
        adaptation__unlabelled=SOME,
        evaluation__baselines=["zero_shot"],
        evaluation__seeds=[0, 1],
    )
    report = recipe.run()
    assert [label for label in trained if label == "adapted"] == ["adapted", "adapted"]
    assert set(report.systems) == {"zero_shot", "adapted"}
    assert report.verdict["transfer"] == "not_measured"
    found = next(finding for finding in report.findings if finding["check"] == "unlabelled")
    assert found["value"] == len(recipe.data.unlabelled.texts) > 50
    assert "texts without labels from the target's training rows beyond train_size" in found["evidence"]
    assert any("sure_share" in line for line in history_of(recipe.folder))
    scored = {normalise_text(text) for text in recipe.data.target.test.texts}
    assert not scored & {normalise_text(text) for text in recipe.data.unlabelled.texts}
    assert load_adapted(recipe.folder).predict(["the phone is great"])[0]["label"] in {"negative", "positive"}


def test_the_baseline_without_a_source_gets_the_same_text(
    make_recipe: MakeRecipe, tmp_path: Path, trained: list[str]
) -> None:
    """Else the verdict on the source would be one on the text."""
    recipe = make_recipe(
        tmp_path / "run", adaptation__unlabelled={"method": "mlm"}, evaluation__baselines=["target_only"]
    )
    report = recipe.run()
    assert trained[-2:] == ["adapted", "target_only"]
    stages = dict.fromkeys(line["stage"] for line in history_of(recipe.folder))
    assert list(stages)[-4:] == ["adapted: words", "adapted", "target_only: words", "target_only"]
    assert report.verdict["against"] == "target_only"


def test_the_text_is_part_of_what_a_run_follows_from(make_recipe: MakeRecipe, tmp_path: Path) -> None:
    texts = tmp_path / "more.txt"
    texts.write_text("the phone is great\nthe cable is broken\n")
    given = {"adaptation__unlabelled": {**SOME, "path": str(texts)}}
    first = make_recipe(tmp_path / "run", **given)._fingerprint
    texts.write_text("the phone is great\nthe cable is bad\n")
    assert make_recipe(tmp_path / "run", **given)._fingerprint != first
    assert make_recipe(tmp_path / "run")._fingerprint not in (first, None)


def test_check_refuses_text_that_is_not_there_before_anything_is_trained(
    make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    recipe = make_recipe(tmp_path / "run", data__target__train_size=None, adaptation__unlabelled=SOME)
    with pytest.raises(DataError, match="takes every training row"):
        recipe.check()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"adaptation__unlabelled": {"method": "uda"}}, "adaptation.unlabelled.method: "),
        ({"adaptation__unlabelled": {"treshold": 0.5}}, "did you mean threshold"),
        ({"adaptation__unlabelled": SOME, "adaptation__method": "probe"}, "a probe leaves them as they are"),
        ({"adaptation__unlabelled": {"path": "a.txt", "card": "imdb"}}, "give card or path, not both"),
        (
            {"adaptation__unlabelled": SOME, "training__label_smoothing_factor": 0.1},
            "label_smoothing_factor: goes neither with adaptation.unlabelled",
        ),
        ({"adaptation__class_weights": "heavy"}, "adaptation.class_weights: "),
        ({"adaptation__selection_metric": "f1"}, "adaptation.selection_metric: "),
    ],
)
def test_what_does_not_go_together_is_refused(
    changes: dict[str, Any], said: str, make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError) as caught:
        make_recipe(tmp_path / "run", **changes)
    assert said in str(caught.value)


def test_translation_recipes_have_none_of_it() -> None:
    content = {
        "task": "translation",
        "output_dir": "run",
        "model": {"path": "embedded://romance"},
        "data": {"target": {"path": "a.tsv", "src_lang": "en", "tgt_lang": "gl"}},
        "adaptation": {"unlabelled": {}, "class_weights": "balanced", "selection_metric": "macro_f1"},
    }
    with pytest.raises(ConfigError) as caught:
        parse_config(content)
    for key in ("unlabelled", "class_weights", "selection_metric"):
        assert f"adaptation.{key}: is not a key of translation recipes" in str(caught.value)


def test_class_weights_and_selection_by_macro_f1_run_whole(make_recipe: MakeRecipe, tmp_path: Path) -> None:
    recipe = make_recipe(
        tmp_path / "run",
        adaptation__class_weights="balanced",
        adaptation__selection_metric="macro_f1",
        evaluation__baselines=["probe", "target_only"],
    )
    report = recipe.run()
    assert {"probe", "target_only", "adapted"} == set(report.systems)
