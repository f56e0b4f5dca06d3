"""Encodings are computed once, never taken for another text, model or length, and pooled over real tokens."""

from __future__ import annotations

import copy
import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nlp_transfer.models.batching import length_sorted_batches
from nlp_transfer.models.features import encode, mean_pooled
from nlp_transfer.models.loading import base_model, load_classifier

TEXTS = [
    "the film is good",
    "what an ugly phone",
    "good",
    "this battery was so broken that i told all of them",
]


class CountingEncoder:
    """A tiny encoder, its tokenizer, and how many texts went through it."""

    def __init__(self, folder: Path) -> None:
        loaded = load_classifier(str(folder), label_names=["a", "b"])
        self.model: Any = base_model(loaded.model)
        self.tokenizer = loaded.tokenizer
        self.rows = 0
        self.model.register_forward_pre_hook(self._count, with_kwargs=True)

    def _count(self, _: Any, __: Any, inputs: dict[str, Any]) -> None:
        self.rows += len(inputs["input_ids"])

    def encode(self, texts: list[str], cache: Path, **settings: Any) -> np.ndarray:
        return encode(
            self.model, self.tokenizer, texts, **{"max_length_tokens": 40, "cache": cache, **settings}
        )


@pytest.fixture
def encoder(tiny_model: Any) -> CountingEncoder:
    return CountingEncoder(tiny_model("bert"))


def test_what_was_encoded_before_is_not_encoded_again(
    encoder: CountingEncoder, tmp_path: Path, tiny_model: Any
) -> None:
    first = encoder.encode(TEXTS, tmp_path)
    assert encoder.rows == 4
    assert np.array_equal(encoder.encode(TEXTS[::-1], tmp_path), first[::-1])
    assert encoder.rows == 4
    more = encoder.encode([*TEXTS[1:], "a new text", TEXTS[0]], tmp_path)
    assert encoder.rows == 5
    assert np.array_equal(more[[0, 1, 2, 4]], first[[1, 2, 3, 0]])
    # Another process that loads the same folder finds them too.
    again = CountingEncoder(tiny_model("bert"))
    assert np.array_equal(again.encode(TEXTS, tmp_path), first)
    assert again.rows == 0


@pytest.mark.parametrize(
    "settings", [{"num_attention_heads": 1}, {"hidden_act": "relu"}, {"layer_norm_eps": 0.1}], ids=str
)
def test_the_same_weights_in_another_architecture_find_no_old_vector(
    settings: dict[str, Any], encoder: CountingEncoder, tiny_model: Any, tmp_path: Path
) -> None:
    before = encoder.encode(TEXTS, tmp_path)
    other = CountingEncoder(tiny_model("bert", **settings))
    other.model.load_state_dict(encoder.model.state_dict())
    after = other.encode(TEXTS, tmp_path)
    assert other.rows == len(TEXTS)
    assert not np.allclose(after, before, atol=1e-4)


def test_what_no_vector_follows_from_is_not_looked_at(
    encoder: CountingEncoder, tiny_model: Any, tmp_path: Path
) -> None:
    encoder.encode(TEXTS, tmp_path)
    other = CountingEncoder(tiny_model("bert"))
    other.model.config.update(
        {"_name_or_path": "elsewhere", "transformers_version": "9", "id2label": {0: "x", 1: "y", 2: "z"}}
    )
    other.encode(TEXTS, tmp_path)
    assert other.rows == 0


def test_equal_texts_are_encoded_once(encoder: CountingEncoder, tmp_path: Path) -> None:
    vectors = encoder.encode(["good", "bad", "good"], tmp_path)
    assert encoder.rows == 2
    assert np.array_equal(vectors[0], vectors[2])


def test_vectors_for_fitting_may_be_computed_in_bfloat16_and_are_kept_apart(
    encoder: CountingEncoder, tmp_path: Path
) -> None:
    exact, coarse = (encoder.encode(TEXTS, tmp_path, bf16=bf16) for bf16 in (False, True))
    assert encoder.rows == 2 * len(TEXTS)
    assert coarse.dtype == np.float32
    assert not np.array_equal(coarse, exact)
    # bfloat16 has eight bits of precision; a sum of several layers is a little further off.
    assert np.abs(coarse - exact).max() < 0.05 * np.abs(exact).max()
    assert np.array_equal(encoder.encode(TEXTS, tmp_path), exact)


def test_no_text_gives_no_vector(encoder: CountingEncoder, tmp_path: Path) -> None:
    assert len(encoder.encode([], tmp_path)) == 0
    assert encoder.rows == 0


def other_weights(encoder: CountingEncoder) -> None:
    with torch.no_grad():
        encoder.model.encoder.layer[1].output.dense.weight[0, 0] += 1e-3


def other_case(encoder: CountingEncoder) -> None:
    """Another rule for cutting texts with the same vocabulary."""
    state = json.loads(encoder.tokenizer.backend_tokenizer.to_str())
    state["normalizer"]["lowercase"] = not state["normalizer"]["lowercase"]
    encoder.tokenizer._tokenizer = type(encoder.tokenizer.backend_tokenizer).from_str(json.dumps(state))


@pytest.mark.parametrize("change", [other_weights, other_case])
def test_another_model_never_finds_old_vectors(change: Any, encoder: CountingEncoder, tmp_path: Path) -> None:
    first = encoder.encode(TEXTS, tmp_path)
    change(encoder)
    second = encoder.encode([text.title() for text in TEXTS], tmp_path)
    assert encoder.rows == 8
    assert not np.array_equal(second, first)


def test_another_length_limit_never_finds_old_vectors(encoder: CountingEncoder, tmp_path: Path) -> None:
    first = encoder.encode(TEXTS, tmp_path)
    cut = encoder.encode(TEXTS, tmp_path, max_length_tokens=4)
    assert encoder.rows == 8
    assert not np.allclose(cut[3], first[3])
    assert np.allclose(cut[2], first[2], atol=1e-6)  # "good" is short enough for both


def test_a_text_that_differs_by_a_space_is_another_text(encoder: CountingEncoder, tmp_path: Path) -> None:
    encoder.encode(["good"], tmp_path)
    encoder.encode(["good "], tmp_path)
    assert encoder.rows == 2


def test_earlier_calls_of_the_tokenizer_change_nothing(encoder: CountingEncoder, tmp_path: Path) -> None:
    encoder.encode(TEXTS, tmp_path)
    encoder.tokenizer(TEXTS, padding="max_length", truncation=True, max_length=7)
    encoder.encode(TEXTS, tmp_path)
    assert encoder.rows == 4


@pytest.mark.parametrize(
    "damage",
    [
        lambda whole: whole[: len(whole) // 2],
        lambda whole: whole[:10],
        lambda _: b"",
        lambda _: b"not an archive",
        lambda whole: whole[:-400] + bytes(400),
    ],
    ids=["half", "the beginning", "empty", "text", "a torn end"],
)
def test_a_damaged_cache_heals(damage: Any, encoder: CountingEncoder, tmp_path: Path, caplog: Any) -> None:
    first = encoder.encode(TEXTS, tmp_path)
    (file,) = tmp_path.iterdir()
    file.write_bytes(damage(file.read_bytes()))
    with caplog.at_level(logging.WARNING, logger="nlp_transfer"):
        assert np.array_equal(encoder.encode(TEXTS, tmp_path), first)
    assert encoder.rows == 8
    assert [f"the cached encodings in {file} are damaged" in message for message in caplog.messages] == [True]
    assert np.array_equal(encoder.encode(TEXTS, tmp_path), first)
    assert encoder.rows == 8
    assert list(tmp_path.iterdir()) == [file]


def test_a_cache_that_cannot_be_written_is_told_and_survived(
    encoder: CountingEncoder, tmp_path: Path, caplog: Any
) -> None:
    (tmp_path / "file").write_text("")
    with caplog.at_level(logging.WARNING, logger="nlp_transfer"):
        vectors = encoder.encode(TEXTS, tmp_path / "file" / "cache")
    assert vectors.shape == (4, 32)
    assert "the encodings cannot be kept in" in caplog.text


@pytest.mark.parametrize("family", ["bert", "roberta", "mpnet", "modernbert"])
def test_vectors_are_the_mean_over_a_texts_own_tokens(family: str, tiny_model: Any) -> None:
    """Computed here text by text, without any padding; texts of several lengths share a batch there."""
    loaded = load_classifier(str(tiny_model(family)), label_names=["a", "b"])
    encoder: Any = base_model(loaded.model).eval()
    vectors = mean_pooled(encoder, loaded.tokenizer, TEXTS, max_length_tokens=40, label="encode")
    for text, vector in zip(TEXTS, vectors, strict=True):
        with torch.inference_mode():
            hidden = encoder(**loaded.tokenizer(text, return_tensors="pt")).last_hidden_state
        assert np.allclose(vector, hidden[0].numpy().mean(axis=0), atol=1e-5)


def test_encoding_leaves_the_encoder_in_its_mode_and_uses_no_dropout(encoder: CountingEncoder) -> None:
    encoder.model.train()
    twice = [
        mean_pooled(encoder.model, encoder.tokenizer, TEXTS, max_length_tokens=40, label="encode")
        for _ in range(2)
    ]
    assert encoder.model.training
    assert np.array_equal(twice[0], twice[1])


# Batches ------------------------------------------------------------------------------------------


def test_batches_hold_each_row_once_within_the_token_limit(encoder: CountingEncoder) -> None:
    texts = [" ".join(["good"] * (1 + row % 30)) for row in range(200)]
    sizes, rows_seen = [], []
    for rows, inputs in length_sorted_batches(
        encoder.tokenizer, texts, max_length_tokens=20, batch_tokens=100
    ):
        assert inputs["input_ids"].shape == inputs["attention_mask"].shape
        sizes.append(inputs["input_ids"].numel())
        rows_seen += rows
        for row, ids in zip(rows, inputs["input_ids"].tolist(), strict=True):
            alone = encoder.tokenizer(texts[row], truncation=True, max_length=20)["input_ids"]
            assert [token for token in ids if token != encoder.tokenizer.pad_token_id] == alone
    assert sorted(rows_seen) == list(range(200))
    assert max(sizes) <= 100


def test_a_text_longer_than_the_limit_gets_a_batch_of_its_own(encoder: CountingEncoder) -> None:
    texts = [" ".join(["good"] * 30)] * 3
    batches = list(length_sorted_batches(encoder.tokenizer, texts, max_length_tokens=40, batch_tokens=8))
    assert [len(rows) for rows, _ in batches] == [1, 1, 1]


def test_memory_does_not_grow_with_the_input(encoder: CountingEncoder, monkeypatch: Any) -> None:
    """Texts are tokenised in chunks, so the first batch comes before the last text is looked at."""
    monkeypatch.setattr("nlp_transfer.models.batching.CHUNK_TEXTS", 50)
    tokenised: list[int] = []
    tokenizer = copy.copy(encoder.tokenizer)

    class Watched:
        pad = tokenizer.pad

        def __call__(self, texts: list[str], **settings: Any) -> Any:
            tokenised.append(len(texts))
            return tokenizer(texts, **settings)

    batches = length_sorted_batches(Watched(), ["good"] * 120, max_length_tokens=8)  # type: ignore[arg-type]
    next(batches)
    assert tokenised == [50]
    assert sum(len(rows) for rows, _ in batches) + 50 >= 120
    assert tokenised == [50, 50, 20]
