"""Vectors on disk: each text finds its own, what was written before a kill is kept, many are mapped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nlp_transfer.models import encodings, features
from nlp_transfer.models.encodings import VectorStore, text_keys
from nlp_transfer.models.loading import base_model, load_classifier

TEXTS = [f"text {number}" for number in range(50)]


def vectors_of(rows: int, *, first: int = 0) -> np.ndarray:
    return np.arange(first, first + rows, dtype=np.float32)[:, None] * np.ones((1, 3), dtype=np.float32)


def test_vectors_from_several_files_are_found_in_any_order(tmp_path: Path) -> None:
    keys = text_keys(TEXTS)
    VectorStore(tmp_path, "a").add(keys[:20], vectors_of(20))
    VectorStore(tmp_path, "a").add(keys[20:40], vectors_of(20, first=20))
    VectorStore(tmp_path, "b").add(keys[40:], vectors_of(10, first=99))
    store = VectorStore(tmp_path, "a")
    assert (store.places(keys) < 0).tolist() == [False] * 40 + [True] * 10
    asked = np.random.default_rng(0).permutation(40)
    assert store.gather(store.places(keys[asked]))[:, 0].tolist() == asked.tolist()


def test_keys_that_begin_alike_are_told_apart(tmp_path: Path) -> None:
    keys = np.zeros((4, 16), dtype=np.uint8)
    keys[:, 15] = [3, 1, 2, 9]
    store = VectorStore(tmp_path, "a")
    store.add(keys[:3], vectors_of(3))
    assert store.places(keys).tolist() == [0, 1, 2, -1]


def test_many_vectors_are_mapped_and_leave_no_file(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(encodings, "MAPPED_FROM_BYTES", 0)
    monkeypatch.setattr(encodings, "BLOCK_ROWS", 7)
    keys = text_keys(TEXTS)
    store = VectorStore(tmp_path, "a")
    store.add(keys, vectors_of(50))
    found = store.gather(store.places(keys[::-1]))
    assert isinstance(found, np.memmap)
    assert np.array_equal(found, vectors_of(50)[::-1])
    assert [path.suffix for path in tmp_path.iterdir()] == [".arrow"]


def test_what_was_encoded_before_a_kill_is_kept(tiny_model: Any, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(features, "KEPT_TEXTS", 20)
    loaded = load_classifier(str(tiny_model("bert")), label_names=["a", "b"])
    encoder, whole = base_model(loaded.model), features.mean_pooled
    encoded: list[int] = []

    def killed(*given: Any, **named: Any) -> Any:
        encoded.append(len(given[2]))
        if len(encoded) == 2:
            raise KeyboardInterrupt
        return whole(*given, **named)

    def encode(cache: Path) -> np.ndarray:
        return features.encode(
            encoder, loaded.tokenizer, TEXTS, max_length_tokens=20, label=None, cache=cache
        )

    expected = encode(tmp_path / "whole")
    monkeypatch.setattr(features, "mean_pooled", killed)
    with pytest.raises(KeyboardInterrupt):
        encode(tmp_path / "killed")
    assert np.array_equal(encode(tmp_path / "killed"), expected)
    assert encoded == [20, 20, 20, 10]
