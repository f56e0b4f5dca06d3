"""Whether the model that adaptation starts from is near the target's language."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny_translation import easy_pairs

from nlp_transfer.config import AdaptationConfig
from nlp_transfer.data.pairs import NO_PAIRS, PairDomain, TransferPairs
from nlp_transfer.making.settings import TranslationSettings
from nlp_transfer.making.translation_start import NEAR_GAIN, TranslationStart

TinyTranslator = Callable[..., Path]


@pytest.fixture
def start(tiny_translator: TinyTranslator) -> TranslationStart:
    settings = TranslationSettings(
        model_path=str(tiny_translator("marian")), architecture=None, revision=None, max_length_tokens=60,
        source_stage=None, adaptation=AdaptationConfig(related_lang="pt"), training={}, num_beams=1,
    )  # fmt: skip
    pairs = easy_pairs(20, lang="pt", tgt="gl")
    target = PairDomain(
        name="target", train=pairs, dev=NO_PAIRS, test=pairs, directions=[("en", "gl")], card=None
    )
    return TranslationStart(
        settings.model_path, revision=None, settings=settings, data=TransferPairs(target=target, source=None)
    )


@pytest.mark.parametrize(("gain", "far"), [(NEAR_GAIN + 1, False), (NEAR_GAIN - 1, True), (-30.0, True)])
def test_a_start_that_translates_no_better_than_a_copy_is_far(
    start: TranslationStart, monkeypatch: pytest.MonkeyPatch, gain: float, far: bool
) -> None:
    asked: list[Any] = []

    def measured(_: Any, pairs: Any, *, asked_as: Any) -> float:
        asked.append((len(pairs), asked_as))
        return gain

    monkeypatch.setattr("nlp_transfer.making.translation_start.gain_over_copy", measured)
    assert start.is_far is far and start.is_far is far
    # Once, on training pairs where there are no dev pairs, in the related language.
    assert asked == [(20, {"gl": "pt"})]


def test_few_dev_pairs_are_filled_up_with_training_pairs(
    start: TranslationStart, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twenty-two dev pairs of a near language looked far."""
    asked: list[Any] = []
    monkeypatch.setattr(
        "nlp_transfer.making.translation_start.gain_over_copy",
        lambda _, pairs, asked_as: asked.append(pairs.ids) or 0.0,
    )
    dev = easy_pairs(5, lang="pt", tgt="gl", seed=3)
    start.data = dataclasses.replace(start.data, target=dataclasses.replace(start.data.target, dev=dev))
    assert start.is_far
    assert asked == [[*dev.ids, *start.data.target.train.ids]]


def test_random_weights_are_far_from_all_languages(start: TranslationStart) -> None:
    assert start.is_far


def test_without_a_model_or_pairs_there_is_nothing_to_be_far_from(start: TranslationStart) -> None:
    nothing = dataclasses.replace(start.data.target, train=NO_PAIRS)
    data = dataclasses.replace(start.data, target=nothing)
    assert not TranslationStart(start.path, revision=None, settings=start.settings, data=data).is_far
    assert not TranslationStart(None, revision=None, settings=start.settings, data=start.data).is_far
