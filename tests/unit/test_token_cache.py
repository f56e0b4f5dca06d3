"""Tokens of many texts are cut once, and never taken for another text's, tokenizer's or setting's."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nlp_transfer.models import token_cache
from nlp_transfer.models.encoding import encode_pairs
from nlp_transfer.models.loading import load_tokenizer
from nlp_transfer.models.token_cache import token_columns
from nlp_transfer.models.translation import load_translator
from tests.tiny import sentences
from tests.tiny_translation import easy_pairs

TEXTS = [text for text, _ in sentences("movies", 60, seed=1)]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of its own that keeps any number of texts."""
    monkeypatch.setenv("NLP_TRANSFER_CACHE", str(tmp_path))
    monkeypatch.setattr(token_cache, "KEPT_FROM_TEXTS", 1)
    return tmp_path / "tokens"


class Counting:
    """A tokenizer that counts the texts that it cuts."""

    def __init__(self, folder: Path) -> None:
        self.tokenizer, self.texts = load_tokenizer(str(folder)), 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.tokenizer, name)

    def __call__(self, texts: list[str], **settings: Any) -> Any:
        self.texts += len(texts)
        return self.tokenizer(texts, **settings)


def cut(tokenizer: Any, texts: list[str] = TEXTS, *, limit: int = 40) -> dict[str, list[list[int]]]:
    columns = token_columns(tokenizer, texts, max_length_tokens=limit)
    return {name: [column[row].tolist() for row in range(len(column))] for name, column in columns.items()}


def test_kept_tokens_are_the_tokenizers_own(cache: Path, tiny_model: Callable[..., Path]) -> None:
    counting = Counting(tiny_model("bert"))
    expected = dict(counting.tokenizer(TEXTS, truncation=True, max_length=40))
    assert cut(counting) == expected
    assert cut(counting) == expected
    assert cut(Counting(tiny_model("bert"))) == expected
    assert (counting.texts, len(list(cache.iterdir()))) == (len(TEXTS), 1)


def test_another_text_limit_or_tokenizer_is_cut_anew(cache: Path, tiny_model: Callable[..., Path]) -> None:
    counting = Counting(tiny_model("bert"))
    cut(counting)
    shorter = cut(counting, limit=4)
    assert max(map(len, shorter["input_ids"])) == 4
    assert cut(counting, TEXTS[::-1])["input_ids"] != cut(counting)["input_ids"]
    # Where one text ends and the next begins counts too.
    assert len(cut(counting, [TEXTS[0] + TEXTS[1], *TEXTS[2:]])["input_ids"]) == len(TEXTS) - 1
    counting.tokenizer.add_tokens([TEXTS[0].split()[0]])
    before = counting.texts
    cut(counting)
    assert counting.texts == before + len(TEXTS)


@pytest.mark.parametrize("damage", ["cut short", "changed", "without its checksum"])
def test_damaged_tokens_are_made_again(
    damage: str, cache: Path, tiny_model: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    counting = Counting(tiny_model("bert"))
    expected = cut(counting)
    [file] = cache.glob("*/input_ids.ids.npy")
    content = file.read_bytes()
    if damage == "cut short":
        file.write_bytes(content[: len(content) // 2])
    elif damage == "changed":
        file.write_bytes(content[:-4] + b"\1\0\0\0")
    else:
        (file.parent / token_cache.CHECKSUM).unlink()
    with caplog.at_level(logging.WARNING, logger="nlp_transfer"):
        assert cut(counting) == expected
    assert "making them again" in caplog.text
    assert cut(counting) == expected
    assert counting.texts == 2 * len(TEXTS)


def test_where_nothing_can_be_kept_texts_are_cut_all_the_same(
    cache: Path, tiny_model: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    cache.write_text("a file in the way")
    with caplog.at_level(logging.WARNING, logger="nlp_transfer"):
        assert len(cut(Counting(tiny_model("bert")))["input_ids"]) == len(TEXTS)
    assert "no tokens can be kept" in caplog.text


def test_few_texts_are_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_model: Callable[..., Path]
) -> None:
    monkeypatch.setenv("NLP_TRANSFER_CACHE", str(tmp_path))
    cut(Counting(tiny_model("bert")))
    assert not (tmp_path / "tokens").exists()


def test_pairs_are_kept_by_their_direction_too(cache: Path, tiny_translator: Callable[..., Path]) -> None:
    loaded = load_translator(str(tiny_translator("marian")))
    pairs = easy_pairs(30)
    first, again = (encode_pairs(pairs, loaded, asked_as={}) for _ in range(2))
    for one, other in zip(first[:2], again[:2], strict=True):
        assert np.array_equal(one.ids, other.ids) and np.array_equal(one.starts, other.starts)
    assert isinstance(again[0].ids, np.memmap)
    assert first[2] == again[2]
    tags = dict.fromkeys(loaded.family.languages())
    other_tag = next(tag for tag in tags if tag != pairs.directions[0][1])
    turned = dataclasses.replace(pairs, directions=[(pairs.directions[0][0], other_tag)] * len(pairs))
    assert not np.array_equal(encode_pairs(turned, loaded, asked_as={})[0].ids, first[0].ids)
