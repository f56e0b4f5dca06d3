"""A saved translation model counts only when its reloaded copy scores and translates as it did."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_translation import easy_pairs
from transformers import MarianMTModel

from nlp_transfer.errors import RunError
from nlp_transfer.models.translation import LoadedTranslator, Use, load_translator
from nlp_transfer.publishing import save_translation
from nlp_transfer.publishing.save_translation import copy_translator, save_translator

USE = Use(directions=[("en", "es")], max_length_tokens=40, num_beams=1)
PAIRS = easy_pairs(6)


@pytest.fixture
def loaded(tiny_translator: Callable[..., Path]) -> LoadedTranslator:
    return load_translator(str(tiny_translator("marian")))


def test_the_last_digits_of_float32_are_no_difference(
    loaded: LoadedTranslator, tmp_path: Path, monkeypatch: Any
) -> None:
    whole, calls = save_translation._outputs, list[Any]()

    def noisy(loaded: LoadedTranslator, use: Use, pairs: Any) -> Any:
        calls.append(loaded.model.dtype)
        logits, written = whole(loaded, use, pairs)
        assert logits is not None
        if loaded.model.dtype == torch.float32:
            # An order of two that are alike to the last digit may turn with it.
            return logits + 3e-5 * len(calls), [f"{text} {len(calls)}" for text in written]
        return logits, written

    monkeypatch.setattr(save_translation, "_outputs", noisy)
    save_translator(loaded, tmp_path / "model", use=USE, pairs=PAIRS)
    assert calls == [torch.float32] * 2 + [torch.float64] * 2
    assert loaded.model.dtype == torch.float32
    copy_translator(tmp_path / "model", tmp_path / "copy", use=USE, pairs=PAIRS)
    weights = [load_translator(str(tmp_path / name)).model.state_dict() for name in ("model", "copy")]
    assert all(torch.equal(tensor, weights[1][name]) for name, tensor in weights[0].items())


def test_other_weights_than_the_trained_ones_are_never_saved(
    loaded: LoadedTranslator, tmp_path: Path, monkeypatch: Any
) -> None:
    whole = MarianMTModel.save_pretrained

    def save_other(self: Any, folder: Any, **settings: Any) -> None:
        with torch.no_grad():
            self.final_logits_bias[0, 5] += 1e-3
            whole(self, folder, **settings)
            self.final_logits_bias[0, 5] -= 1e-3

    monkeypatch.setattr(MarianMTModel, "save_pretrained", save_other)
    message = (
        r"the saved model is not the trained one: its logits differ by 0\.001 on 6 pairs .*nothing was saved"
    )
    with pytest.raises(RunError, match=message):
        save_translator(loaded, tmp_path / "model", use=USE, pairs=PAIRS)
    assert not list(tmp_path.iterdir())
