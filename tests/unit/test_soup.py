"""A soup's weights are the mean of trainings that differ in their seed alone, all from one start."""

from __future__ import annotations

import dataclasses
import json
import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import LABELS, rows

from nlp_transfer.config import parse_config
from nlp_transfer.data.rows import EMPTY, Rows
from nlp_transfer.errors import ConfigError, ModelError
from nlp_transfer.inference.predict import predict_logits
from nlp_transfer.models.loading import load_classifier
from nlp_transfer.training.adapt import Trained, train_classifier
from nlp_transfer.training.procedure import Procedure, soup_for
from nlp_transfer.training.soup import SEED_STEP
from nlp_transfer.training.unlabelled import Unlabelled

PROCEDURE = Procedure(
    method="full", label_names=LABELS, max_length_tokens=40, seed=0,
    arguments={"learning_rate": 3e-3, "num_train_epochs": 2, "bf16": False},
)  # fmt: skip
SOURCE = rows("movies", 40, seed=5)


def train(start: Path, folder: Path, train: Rows | None = None, **changes: Any) -> Trained:
    options = {key: changes.pop(key) for key in ("history", "unlabelled", "pretrained") if key in changes}
    return train_classifier(
        str(start), dataclasses.replace(PROCEDURE, **changes),
        rows("products", 12) if train is None else train, label="a", folder=folder / "run",
        replayed=SOURCE, **options,
    )  # fmt: skip


@pytest.mark.parametrize("new_head", [False, True])
def test_the_weights_are_the_mean_of_the_trainings(new_head: bool, tiny_model: Any, tmp_path: Path) -> None:
    """A new head starts at the same weights in each; source rows are drawn for each anew."""
    start = tiny_model("bert") if new_head else tiny_model("bert", labels=LABELS)
    soup = train(start, tmp_path / "soup", soup=3, replay=1.0)
    if new_head:
        torch.manual_seed(PROCEDURE.seed)
        headed = load_classifier(str(start), label_names=LABELS)
        start = tmp_path / "headed"
        headed.model.save_pretrained(start)
        headed.tokenizer.save_pretrained(start)
    each = [train(start, tmp_path / str(member), seed=member * SEED_STEP, replay=1.0) for member in range(3)]
    apart = 0
    for name, weight in soup.model.state_dict().items():
        members = torch.stack([one.model.state_dict()[name].float() for one in each])
        torch.testing.assert_close(weight.float(), members.mean(0), atol=2e-6, rtol=1e-4)
        apart += int(not torch.equal(members[0], members[1]))
    assert apart > 5
    assert soup.fit.trainings == 3
    assert soup.fit.seconds > each[0].fit.seconds
    assert soup.fit.steps == each[0].fit.steps


def test_of_the_mean_a_share_of_the_change_is_kept(tiny_model: Any, tmp_path: Path) -> None:
    start = tiny_model("bert", labels=LABELS)
    before = load_classifier(str(start), label_names=LABELS).model.state_dict()
    whole = train(start, tmp_path / "whole", soup=2).model.state_dict()
    mixed = train(start, tmp_path / "mixed", soup=2, mix="best")
    assert mixed.fit.mix is not None and mixed.fit.mix.alpha == 0.75
    for name, weight in mixed.model.state_dict().items():
        expected = torch.lerp(before[name].float(), whole[name].float(), 0.75)
        torch.testing.assert_close(weight.float(), expected, atol=1e-6, rtol=1e-4)


def test_dev_rows_choose_between_the_start_and_the_mean(
    tiny_model: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    start, dev = tiny_model("bert", labels=LABELS), rows("products", 120, seed=3)
    made = train_classifier(
        str(start), dataclasses.replace(PROCEDURE, soup=2, mix="best"), rows("products", 40), dev,
        label="a", folder=tmp_path / "run",
    )  # fmt: skip
    choice = made.fit.mix
    assert choice is not None
    scores = predict_logits(made.model, made.tokenizer, dev.texts, max_length_tokens=40)
    kept = next(point for point in choice.points if point.alpha == choice.alpha)
    assert (scores.argmax(axis=1) == dev.labels).mean() == pytest.approx(kept.target)
    # Told of what was made, not of its last training.
    told = [each.getMessage() for each in caplog.records]
    assert [line.startswith("a: keeps ") for line in told].count(True) == 1
    assert any(line.startswith("a: 2 of 2: ") for line in told)


def test_adapters_are_averaged_and_saved_as_they_are_merged(tiny_model: Any, tmp_path: Path) -> None:
    from peft import PeftModel

    start = tiny_model("bert", labels=LABELS)
    made = train_classifier(
        str(start), dataclasses.replace(PROCEDURE, method="lora", soup=2), rows("products", 12), EMPTY,
        label="a", folder=tmp_path / "run", adapter_folder=tmp_path / "adapter",
    )  # fmt: skip
    texts = rows("products", 20, seed=3).texts
    base: Any = load_classifier(str(start), label_names=LABELS)
    wrapped: Any = PeftModel.from_pretrained(base.model, str(tmp_path / "adapter"))
    scores = [
        predict_logits(model, made.tokenizer, texts, max_length_tokens=40)
        for model in (made.model, wrapped.merge_and_unload())
    ]
    assert abs(scores[0] - scores[1]).max() < 1e-5
    alone = train_classifier(
        str(start), dataclasses.replace(PROCEDURE, method="lora"), rows("products", 12), EMPTY,
        label="a", folder=tmp_path / "alone",
    )  # fmt: skip
    other = predict_logits(alone.model, alone.tokenizer, texts, max_length_tokens=40)
    assert abs(scores[0] - other).max() > 1e-4


def test_weights_that_all_start_at_random_are_not_averaged(tiny_model: Any, tmp_path: Path) -> None:
    made = train(tiny_model("bert"), tmp_path, soup=3, pretrained=False)
    assert made.fit.trainings == 1


def test_labels_are_learnt_by_a_soup_before_guesses_join(tiny_model: Any, tmp_path: Path) -> None:
    history = tmp_path / "history.jsonl"
    texts = Unlabelled(rows("products", 40, seed=7).texts, "self_training")
    train(
        tiny_model("bert", labels=LABELS), tmp_path, soup=2, history=history, unlabelled=texts,
        arguments={**PROCEDURE.arguments, "logging_steps": 1},
    )  # fmt: skip
    stages = dict.fromkeys(json.loads(line)["stage"] for line in history.read_text().splitlines())
    assert list(stages) == ["a: labels", "a: labels: 2 of 2", "a"]


def test_how_many_trainings_follows_from_the_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    by_default = dataclasses.replace(PROCEDURE, soup=None)
    assert [soup_for(by_default, size) for size in (16, 2_000, 2_001)] == [4, 4, 1]
    assert soup_for(dataclasses.replace(PROCEDURE, soup=5), 5_000) == 5
    steps = dataclasses.replace(by_default, arguments={"max_steps": 10})
    assert soup_for(steps, 16) == 1
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    assert soup_for(by_default, 16) == 1
    with pytest.raises(ModelError, match="shards"):
        soup_for(dataclasses.replace(PROCEDURE, soup=2), 16)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"unlabelled": {"method": "mlm"}}, "mlm is one"),
        ({"unlabelled": {}, "training": {"max_steps": 9}}, "self_training learns labels and guesses in one"),
        ({"method": "probe"}, "a probe has none"),
    ],
)
def test_a_soup_that_could_not_be_is_refused(changes: dict[str, Any], why: str) -> None:
    recipe = {
        "task": "sentiment", "output_dir": "x", "model": {"path": "m"},
        "data": {"target": {"path": "a.csv"}}, "adaptation": {**changes, "soup": 3},
    }  # fmt: skip
    with pytest.raises(ConfigError, match=rf"adaptation\.soup: averages .* {why}"):
        parse_config(recipe)
    parse_config({**recipe, "adaptation": {**changes, "soup": 1}})


def test_self_training_counts_what_the_labels_took(tiny_model: Any, tmp_path: Path) -> None:
    """They are learnt in two trainings before it."""
    texts = Unlabelled(rows("products", 40, seed=7).texts, "self_training")
    start = tiny_model("bert", labels=LABELS)
    labels = train(start, tmp_path / "labels", soup=2).fit
    both = train(start, tmp_path / "both", soup=2, unlabelled=texts).fit
    assert both.trainings == 2
    assert both.tokens > labels.tokens > 0


def test_a_translation_recipe_has_no_soup() -> None:
    recipe = {
        "task": "translation", "output_dir": "x", "model": {"path": "m"},
        "data": {"target": {"path": "de.po"}}, "adaptation": {"soup": 3},
    }  # fmt: skip
    with pytest.raises(ConfigError, match=r"adaptation\.soup: is not a key of translation"):
        parse_config(recipe)
