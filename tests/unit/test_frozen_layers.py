"""Frozen layers compute each text once: the same states, from the cache, and the same model afterwards."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny import FAMILIES, LABELS, rows
from transformers import DataCollatorWithPadding

from nlp_transfer.models import frozen_layers
from nlp_transfer.models.adapters import add_adapter
from nlp_transfer.models.freezing import encoder_layers, freeze
from nlp_transfer.models.frozen_layers import STATES, FrozenLayers, StatesCollator
from nlp_transfer.models.loading import LoadedClassifier, base_model, load_classifier
from nlp_transfer.models.token_cache import token_columns
from nlp_transfer.training.adapt import train_classifier
from nlp_transfer.training.fit import FitResult, TrainingRun, fit
from nlp_transfer.training.procedure import Procedure

TEXTS = ["the film is good", "what an ugly phone", "this battery was so broken that i told all of them"]
TRAIN, DEV = rows("movies", 48), rows("movies", 24, seed=1)
QUICK = {"learning_rate": 1e-2, "num_train_epochs": 3, "per_device_train_batch_size": 16, "bf16": False}


def load(folder: Path, *, layers: int) -> LoadedClassifier:
    torch.manual_seed(0)
    loaded = load_classifier(str(folder), label_names=LABELS)
    freeze(loaded.model, layers=layers)
    return loaded


def train(loaded: LoadedClassifier, folder: Path, *, layers: int) -> FitResult:
    return fit(
        loaded.model,
        loaded.tokenizer,
        TRAIN,
        DEV,
        run=TrainingRun("test", folder, seed=0),
        arguments=QUICK,
        max_length_tokens=40,
        frozen_layers=layers,
    )


def batch_of(loaded: LoadedClassifier, frozen: FrozenLayers) -> Any:
    columns = token_columns(loaded.tokenizer, TEXTS, max_length_tokens=40)
    states = frozen.states(TEXTS, columns)
    collate = StatesCollator(DataCollatorWithPadding(loaded.tokenizer), loaded.tokenizer)
    return collate(
        [
            {**{name: values[row].tolist() for name, values in columns.items()}, STATES: states[row]}
            for row in range(len(TEXTS))
        ]
    )


@pytest.mark.parametrize("method", ["full", "lora"])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("family", [family for family in FAMILIES if family != "albert"])
def test_states_stand_in_for_layers_whatever_the_others_learn(
    family: str, layers: int, method: str, tiny_model: Any
) -> None:
    loaded = load(tiny_model(family), layers=layers)
    model: Any = loaded.model
    if method == "lora" and layers == 1:
        model = add_adapter(model, rank=4, alpha=8, targets="auto", fresh=loaded.fresh, seed=0)
    frozen = FrozenLayers(model, loaded.tokenizer, layers=layers, max_length_tokens=40)
    batch = batch_of(loaded, frozen)
    optimizer = torch.optim.AdamW([each for each in model.parameters() if each.requires_grad], lr=0.02)
    with frozen.standing_in():
        model.train()
        for _ in range(2):
            optimizer.zero_grad()
            model(**batch, labels=torch.tensor([1, 0, 0])).loss.backward()
            optimizer.step()
        model.eval()
        with torch.inference_mode():
            fed = model(**batch).logits
    with torch.inference_mode():
        computed = model(**{name: each for name, each in batch.items() if name != STATES}).logits
    assert torch.allclose(fed, computed, atol=1e-5)


def test_a_text_is_computed_once_in_all_passes_and_in_the_next_run_not_at_all(
    tiny_model: Any, tmp_path: Path
) -> None:
    calls: list[int] = []
    losses = []
    for run in ("first", "second"):
        loaded = load(tiny_model("bert"), layers=1)
        first, second = encoder_layers(base_model(loaded.model))
        before = {name: weights.clone() for name, weights in loaded.model.named_parameters()}
        seen = [0]
        hook = first.attention.register_forward_hook(lambda *_, seen=seen: seen.append(1))
        result = train(loaded, tmp_path / run, layers=1)
        hook.remove()
        calls.append(len(seen) - 1)
        moved = {name for name, w in loaded.model.named_parameters() if not torch.equal(w, before[name])}
        assert any(".layer.1." in name for name in moved)
        assert not any(".layer.0." in name or "embeddings" in name for name in moved)
        # The model is its own again.
        assert "forward" not in vars(first)
        assert "forward" not in vars(second)
        losses.append([record["loss"] for record in result.history if "loss" in record])
    # Each of both sets in one batch, and one text that shows what a layer returns.
    assert calls == [3, 1]
    assert losses[0] == losses[1]


def test_it_learns_what_is_learnt_without_the_cache(tiny_model: Any, tmp_path: Path) -> None:
    """Without dropout, which works in trained layers alone, both ways are one."""
    losses = {}
    for way in (0, 1):
        loaded = load(tiny_model("bert"), layers=1)
        for module in loaded.model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        result = train(loaded, tmp_path / str(way), layers=way)
        losses[way] = [record["eval_loss"] for record in result.history if "eval_loss" in record]
    assert len(losses[0]) == 3
    assert losses[1] == pytest.approx(losses[0], abs=1e-4)


def test_states_that_would_fill_the_disk_are_not_kept(
    tiny_model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(frozen_layers, "MAX_BYTES", 10)
    monkeypatch.setattr(FrozenLayers, "states", lambda *_: pytest.fail("they are computed"))
    with caplog.at_level(logging.INFO, logger="nlp_transfer"):
        result = train(load(tiny_model("bert"), layers=1), tmp_path, layers=1)
    assert result.steps == 9
    assert "the frozen layers are computed at every step" in caplog.text


def test_every_method_that_freezes_layers_takes_the_cache(
    tiny_model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    states = FrozenLayers.states

    def noted(frozen: FrozenLayers, texts: Any, columns: Any) -> Any:
        asked.append(len(texts))
        return states(frozen, texts, columns)

    monkeypatch.setattr(FrozenLayers, "states", noted)
    for method in ("full", "lora", "lp_ft"):
        asked.clear()
        procedure = Procedure(method, LABELS, 40, 0, QUICK, freeze_layers=1, rank=4)
        train_classifier(str(tiny_model("bert")), procedure, TRAIN, DEV, label="t", folder=tmp_path / method)
        assert asked == [len(TRAIN), len(DEV)]


@pytest.mark.parametrize("side", ["left", "right"])
def test_states_are_padded_as_their_tokens_are(side: str, tiny_model: Any) -> None:
    loaded = load(tiny_model("bert"), layers=1)
    loaded.tokenizer.padding_side = side
    frozen = FrozenLayers(loaded.model, loaded.tokenizer, layers=1, max_length_tokens=40)
    batch = batch_of(loaded, frozen)
    filled = batch[STATES].abs().sum(-1) > 0
    assert np.array_equal(filled.numpy(), batch["attention_mask"].bool().numpy())
    assert not filled.all()
