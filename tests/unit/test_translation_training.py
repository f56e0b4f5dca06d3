"""The loss of every family, what a step is made of, selection, and who is left out of training."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from tiny_translation import CODES, FAMILIES, easy_pairs
from torch import nn
from transformers.models.m2m_100.modeling_m2m_100 import shift_tokens_right

from nlp_transfer.data.pairs import NO_PAIRS, Pairs
from nlp_transfer.errors import DataError, ModelError
from nlp_transfer.models.translation import load_tokens, load_translator
from nlp_transfer.training.adapt_translation import (
    MAX_PASSES,
    MIN_PASSES,
    TranslationProcedure,
    passes_for,
    replay_for,
    train_translator,
    training_arguments,
    with_replay,
)
from nlp_transfer.training.fit_translation import (
    IGNORED,
    EncodedPairs,
    PairCollator,
    TokenLoss,
    fit_translator,
    target_ratio,
)
from nlp_transfer.training.loop import TrainingRun
from nlp_transfer.training.selection import translation_dev_metrics

TinyTranslator = Callable[..., Path]
PLAIN = {"learning_rate": 1e-3, "bf16": False, "logging_steps": 1, "max_grad_norm": 1.0}


def collated(
    family: str, tiny_translator: TinyTranslator, pairs: Pairs
) -> tuple[Any, dict[str, torch.Tensor]]:
    loaded = load_translator(str(tiny_translator(family)))
    config = loaded.model.config
    collate = PairCollator(pad_id=config.pad_token_id, start_id=config.decoder_start_token_id)
    encoded = EncodedPairs(pairs, loaded, max_length_tokens=60)
    return loaded, collate([encoded[row] for row in range(len(encoded))])


@pytest.mark.parametrize("family", FAMILIES)
def test_decoder_inputs_are_the_librarys_and_the_loss_is_torchs(
    family: str, tiny_translator: TinyTranslator
) -> None:
    """Label smoothing crashes M2M100 and NLLB in the library's own way of computing it."""
    pairs = easy_pairs(3).joined(dataclasses.replace(easy_pairs(1), sources=["the"], targets=["lu"]))
    loaded, batch = collated(family, tiny_translator, pairs)
    model = loaded.model.eval()
    labels = batch["labels"]
    # The library shifts the labels itself where it is not given the decoder's inputs.
    pad, start = model.config.pad_token_id, model.config.decoder_start_token_id
    shifted = shift_tokens_right(labels.masked_fill(labels == IGNORED, pad), pad, start)
    counted = labels != IGNORED
    assert torch.equal(batch["decoder_input_ids"][counted], shifted[counted])
    named = {name: batch[name] for name in ("input_ids", "attention_mask", "decoder_input_ids")}
    with torch.no_grad():
        logits = model(**named).logits
        own = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], labels=labels).loss
    assert torch.allclose(TokenLoss(0.0)({"logits": logits}, labels), own, atol=1e-5)
    reference = nn.CrossEntropyLoss(ignore_index=IGNORED, label_smoothing=0.1)
    expected = reference(logits.view(-1, logits.shape[-1]), labels.view(-1))
    assert torch.allclose(TokenLoss(0.1)({"logits": logits}, labels), expected, atol=1e-5)
    tokens = (labels != IGNORED).sum()
    halves = [slice(0, 2), slice(2, 4)]
    parts = [TokenLoss(0.1)({"logits": logits[half]}, labels[half], tokens) for half in halves]
    assert torch.allclose(sum(parts, torch.tensor(0.0)), expected, atol=1e-5)


def test_label_smoothing_is_the_formula() -> None:
    """By hand, for three classes: (1 - e) times -log p of the label, and e times the mean of all -log p."""
    probabilities = torch.tensor([[0.7, 0.2, 0.1]])
    loss = TokenLoss(0.3)({"logits": probabilities.log()[None]}, torch.tensor([[0]]))
    by_hand = -0.7 * np.log(0.7) - 0.1 * (np.log(0.7) + np.log(0.2) + np.log(0.1))
    assert float(loss) == pytest.approx(by_hand, abs=1e-6)


@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_padded_and_what_is_not_learnt(family: str, tiny_translator: TinyTranslator) -> None:
    pairs = dataclasses.replace(easy_pairs(2), sources=["the red file", "a"], targets=["lu", "ke mivo zibo"])
    loaded, batch = collated(family, tiny_translator, pairs)
    pad = loaded.tokenizer.pad_token_id
    assert torch.equal(batch["attention_mask"] == 0, batch["input_ids"] == pad)
    ends = [row[row != IGNORED][-1].item() for row in batch["labels"]]
    assert ends == [loaded.tokenizer.eos_token_id] * 2
    assert (batch["labels"][0] == IGNORED).any() and not (batch["labels"] == pad).any()
    prefix = loaded.family.decoder_prefix(CODES[family][1])
    assert batch["labels"][:, : len(prefix)].tolist() == [prefix, prefix]


def losses(loaded: Any, tmp_path: Path, **changes: Any) -> list[float]:
    pairs = easy_pairs(40)
    settings = {**PLAIN, "num_train_epochs": 1, "label_smoothing_factor": 0.1, **changes}
    result = fit_translator(
        loaded, loaded.model, pairs, NO_PAIRS, run=TrainingRun("t", tmp_path, seed=3), arguments=settings,
        batch_tokens=220, max_length_tokens=60,
    )  # fmt: skip
    return [record["loss"] for record in result.history if "loss" in record]


@pytest.mark.parametrize("family", ["marian", "m2m_100"])
def test_two_accumulation_steps_learn_as_one_step(
    family: str, tiny_translator: TinyTranslator, tmp_path: Path
) -> None:
    path = str(tiny_translator(family))
    one, two = load_translator(path), load_translator(path)
    first = losses(one, tmp_path / "one")
    second = losses(two, tmp_path / "two", gradient_accumulation_steps=2)
    assert len(first) == len(second) > 3
    assert np.allclose(first, second, atol=1e-4)
    for name, weight in one.model.state_dict().items():
        if "k_proj.bias" not in name:  # its gradient is zero but for rounding
            assert torch.allclose(weight, two.model.state_dict()[name], atol=1e-4), name


def test_too_long_pairs_are_left_out_and_counted(tiny_translator: TinyTranslator) -> None:
    loaded = load_tokens(str(tiny_translator("marian")))
    easy = easy_pairs(3)
    long = dataclasses.replace(easy, sources=[easy.sources[0], "the " * 90, easy.sources[2]])
    encoded = EncodedPairs(long, loaded, max_length_tokens=60)
    assert (len(encoded), encoded.too_long) == (2, 1)
    assert (
        encoded[1]["source"].tolist()
        == EncodedPairs(easy, loaded, max_length_tokens=60)[2]["source"].tolist()
    )
    assert len(encoded.source_lengths) == len(encoded.target_lengths) == 2


def test_nothing_but_too_long_pairs_is_refused(tiny_translator: TinyTranslator, tmp_path: Path) -> None:
    procedure = TranslationProcedure(method="full", max_length_tokens=5, seed=0, arguments=PLAIN)
    message = "adapted: no pair is left to learn from: all 4 have a side of more than 5 tokens; raise"
    with pytest.raises(DataError, match=message):
        train_translator(
            str(tiny_translator("marian")), procedure, easy_pairs(4), label="adapted", folder=tmp_path
        )


def test_how_long_translations_may_be() -> None:
    """Beyond sixteen tokens: nearly the largest ratio of the training pairs, and a quarter more."""

    class Encoded:
        target_lengths, source_lengths = np.array([10, 20, 30, 66]), np.array([10, 10, 10, 10])

        def __len__(self) -> int:
            return 4

    assert target_ratio(Encoded()) == pytest.approx(5.0 * 1.25, abs=0.05)  # type: ignore[arg-type]


@pytest.mark.parametrize(("pairs", "passes"), [(1, MAX_PASSES), (1000, 10), (32_000, 5), (10**7, MIN_PASSES)])
def test_few_pairs_are_seen_more_often(pairs: int, passes: int) -> None:
    assert passes_for(pairs) == passes


def procedure(**changes: Any) -> TranslationProcedure:
    return TranslationProcedure(
        **{"method": "full", "max_length_tokens": 60, "seed": 0, "arguments": {}, **changes}
    )


def test_the_learning_rate_follows_from_the_width_and_the_start() -> None:
    def rate(width: int, *, trained_start: bool = True, pairs: int = 1000, **changes: Any) -> float:
        loaded: Any = SimpleNamespace(model=SimpleNamespace(config=SimpleNamespace(d_model=width)))
        made = training_arguments(loaded, procedure(**changes), pairs=pairs, trained_start=trained_start)
        return float(made["learning_rate"])

    assert rate(256) == pytest.approx(2e-4)
    assert rate(256, pairs=100) == rate(256)
    assert rate(256, pairs=5_000) == pytest.approx(6e-4, rel=0.01)
    assert rate(256, pairs=10**6) == pytest.approx(1e-3)
    assert rate(256, pairs=5_000, trained_start=False) == pytest.approx(1e-3)
    assert rate(512) == pytest.approx(6.6e-5, rel=0.01)
    assert rate(1024) == pytest.approx(2.2e-5, rel=0.02)
    assert rate(256, trained_start=False) == pytest.approx(1e-3)
    assert rate(256, method="lora") == pytest.approx(6e-4)
    assert rate(256, arguments={"learning_rate": 7e-5}) == 7e-5


def test_a_far_language_is_learnt_longer_and_in_larger_steps() -> None:
    loaded: Any = SimpleNamespace(model=SimpleNamespace(config=SimpleNamespace(d_model=256)))

    def made(*, trained_start: bool = True, **changes: Any) -> tuple[float, float]:
        found = training_arguments(loaded, procedure(**changes), pairs=1000, trained_start=trained_start)
        return float(found["learning_rate"]), float(found["num_train_epochs"])

    assert made() == (pytest.approx(2e-4), 10)
    assert made(far=True) == (pytest.approx(6e-4), 30)
    # `scratch` takes as long as `adapted`; its steps are large already.
    assert made(far=True, trained_start=False) == (pytest.approx(1e-3), 30)
    assert made(far=True, arguments={"num_train_epochs": 2, "learning_rate": 1e-5}) == (1e-5, 2)


@pytest.mark.parametrize(
    ("replay", "pairs", "expected"), [(0.25, 10, 0.25), (None, 10, 2.0), (None, 1000, 2.0), (None, 4000, 1.0)]
)
def test_fewer_source_pairs_stand_beside_more_target_pairs(
    replay: float | None, pairs: int, expected: float
) -> None:
    assert replay_for(procedure(replay=replay), pairs=pairs) == expected


def test_other_source_pairs_stand_beside_the_target_in_each_pass() -> None:
    target, source = easy_pairs(20, lang="pt"), easy_pairs(200)
    rows, arguments = with_replay(target, source, {"num_train_epochs": 3}, procedure(replay=0.5))
    assert arguments == {"num_train_epochs": 1}
    assert len(rows) == 3 * 20 + 30
    replayed = [row for row, (_, language) in zip(rows.ids, rows.directions, strict=True) if language == "es"]
    assert len(set(replayed)) == 30
    assert rows.ids[:20] == target.ids
    # As far as there are any.
    rows, _ = with_replay(target, easy_pairs(5), {"num_train_epochs": 3}, procedure(replay=0.5))
    assert len(rows) == 65


def test_source_pairs_join_a_training_that_ends_by_steps() -> None:
    target = easy_pairs(20, lang="pt")
    rows, left = with_replay(target, easy_pairs(50), {"max_steps": 3}, procedure(replay=0.5))
    assert (len(rows), left["max_steps"]) == (20 + 10, 3)


@pytest.mark.parametrize(
    ("replayed", "replay", "arguments"),
    [
        (None, 0.5, {"num_train_epochs": 3}),
        (NO_PAIRS, 0.5, {"num_train_epochs": 3}),
        (easy_pairs(9), 0.0, {"num_train_epochs": 3}),
    ],
)
def test_without_replay_nothing_changes(
    replayed: Pairs | None, replay: float, arguments: dict[str, Any]
) -> None:
    target = easy_pairs(20, lang="pt")
    rows, left = with_replay(target, replayed, arguments, procedure(replay=replay))
    assert rows is target and left == arguments


def test_a_later_step_is_kept_unless_it_is_clearly_worse() -> None:
    references = ["lu mivo zibo sapti", "ke doska tarsi nuvor", "lu harto gomla jexal"] * 4
    texts = dict(enumerate(dict.fromkeys(references)))
    earlier: list[float] = []
    compute = translation_dev_metrics(lambda ids: [texts.get(row[0], "xx") for row in ids], lambda: earlier)
    labels = np.array([[0], [1], [2]] * 4)
    whole = compute(SimpleNamespace(predictions=labels, label_ids=labels))
    assert whole == {"chrf": pytest.approx(100.0), "chrf_error": 0.0, "selection": 1}
    earlier.append(100.0)
    half = np.array([[0], [9], [2]] * 4)
    assert compute(SimpleNamespace(predictions=half, label_ids=labels))["selection"] == 0
    assert compute(SimpleNamespace(predictions=labels, label_ids=labels))["selection"] == 2


def test_dev_pairs_choose_a_step_and_the_history_has_its_chrf(
    tiny_translator: TinyTranslator, tmp_path: Path
) -> None:
    loaded = load_translator(str(tiny_translator("marian")))
    result = fit_translator(
        loaded, loaded.model, easy_pairs(30), easy_pairs(6, seed=2), run=TrainingRun("t", tmp_path, seed=0),
        arguments={**PLAIN, "max_steps": 4}, batch_tokens=220, max_length_tokens=60,
        evaluations=2,
    )  # fmt: skip
    scores = [record["eval_chrf"] for record in result.history if "eval_chrf" in record]
    assert len(scores) == 2 and all(0 <= score <= 100 for score in scores)
    assert result.best_step in (2, 4) and result.steps == 4
    assert result.selection_seconds > 0


def test_frozen_layers_stay_and_scratch_freezes_none(tiny_translator: TinyTranslator, tmp_path: Path) -> None:
    path = str(tiny_translator("marian"))
    settings = {**PLAIN, "max_steps": 2, "learning_rate": 1e-2}
    trained = train_translator(
        path, procedure(arguments=settings, freeze_layers=1), easy_pairs(8), label="t", folder=tmp_path
    )
    before, after = load_translator(path).model.state_dict(), trained.loaded.model.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed and not [name for name in changed if "encoder.layers" in name]
    assert all(weight.requires_grad for weight in trained.loaded.model.parameters())
    with pytest.raises(ModelError, match=r"freeze_layers is 2 and marian has 1 separate layer"):
        train_translator(
            path, procedure(arguments=settings, freeze_layers=2), easy_pairs(8), label="t", folder=tmp_path
        )
