"""Makes a translation model out of a start and sentence pairs, by one of the methods.

`full` trains all weights, `lora` adds low-rank adapters and merges them. A start is a pretrained model, a
source model, the same shape at random (`scratch`), or a model that is made anew with its vocabulary. All go
through here, so that they are compared under one procedure.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nlp_transfer.data.pairs import NO_PAIRS, Pairs
from nlp_transfer.evaluation.mixes import Rule
from nlp_transfer.models.adapters import add_translation_adapter
from nlp_transfer.models.freezing import freeze_encoder_layers
from nlp_transfer.models.translation import (
    Architecture,
    LoadedTranslator,
    add_language,
    load_translator,
    new_translator,
)
from nlp_transfer.models.widening import widen
from nlp_transfer.training.finishing import finished
from nlp_transfer.training.fit_translation import fit_translator
from nlp_transfer.training.loop import FitResult, TrainingRun, parameter_counts
from nlp_transfer.training.mixing import mixing_for
from nlp_transfer.training.passes import ends_by_steps, mixture

# Chosen on dev rows; benchmarks/results/translation_defaults.json has the runs.
DEFAULTS: dict[str, Any] = {
    "label_smoothing_factor": 0.1,
    "adam_beta2": 0.98,
    "weight_decay": 0.0,
    "warmup_steps": 0.1,
}
# Small models take larger steps, and random weights larger ones than trained weights, which they would undo.
# At a width of 256; both fall with the width's power below. For up to a thousand pairs a trained start gets
# 7e-5 at 512 (opus-mt) and 2e-5 at 1,024 (M2M100, NLLB, mBART).
LEARNING_RATE_AT_256, RANDOM_LEARNING_RATE_AT_256, LEARNING_RATE_POWER = 2e-4, 1e-3, 1.6
# A trained start takes larger steps the more pairs there are to learn from: three times as large with 5,000
# pairs of Asturian did better than 1.5 and 7.5 times, with 1,000 two and a half times did worse than once.
LARGER_STEPS_POWER, LARGEST_STEPS = 0.68, 5.0
LORA_LEARNING_RATE_FACTOR = 3.0
# A language that the start translates hardly better than a copy takes longer to learn, and larger steps.
FAR_PASSES_FACTOR, FAR_LEARNING_RATE_FACTOR = 3.0, 3.0
BATCH_TOKENS = 2048
# Times that pairs are seen: more often the fewer there are.
# Four passes over 5,000 pairs left much unlearnt (see the same file).
PASSES_AT_1000, PASSES_POWER, MIN_PASSES, MAX_PASSES = 10, 0.2, 2, 24
# Dev translations in a run, and the dev pairs that they are scored on: translating is slow.
EVALUATIONS, MAX_SELECTION_PAIRS = 5, 200
# Source pairs beside each target pair by default; fewer beside each the more there are. With two, the parent
# lost 0.7 chrF++ on its own pairs, with a half 3.3 (1,000 target pairs).
REPLAY_AT_1000, MAX_REPLAY = 2.0, 2.0


@dataclass(frozen=True)
class TranslationProcedure:
    """How a translation model is made: plain values out of a recipe."""

    method: str
    max_length_tokens: int
    seed: int
    arguments: Mapping[str, Any]
    """TrainingArguments."""
    batch_tokens: int | None = None
    """Padded tokens of a step; None takes the default, or rows where the arguments ask for them."""
    freeze_layers: int = 0
    rank: int = 16
    alpha: int = 32
    target_modules: str | list[str] = "auto"
    replay: float | None = 0.0
    """Source pairs beside each target pair; None takes the default."""
    passes_factor: float = 1.0
    """Times the usual number of passes, for a run that is to take as long as another one."""
    far: bool = False
    """Whether the start translates the language hardly better than a copy, and has all of it to learn."""
    mix: Rule | float | None = None
    """Which mix with the start's weights is kept (training/mixing.py); None keeps the trained ones."""
    early_stopping: int | None = None
    """Dev scorings in a row, clearly worse than the best, that end the training."""
    new_pieces: int | None = None
    """Pieces that the vocabulary gets at most for what it cannot spell; None: see widening.py."""
    related: Mapping[str, str] | None = None
    """For a language that the start does not have, the start's own code of the one that it starts from."""


@dataclass(frozen=True)
class TrainedTranslator:
    """A trained translation model and what it took."""

    loaded: LoadedTranslator
    fit: FitResult
    trainable: int
    total: int
    target_ratio: float
    """Tokens that nearly all translations have at most for each of their source's."""


def train_translator(
    start: str | Architecture,
    procedure: TranslationProcedure,
    train: Pairs,
    dev: Pairs = NO_PAIRS,
    *,
    label: str,
    folder: Path,
    revision: str | None = None,
    pretrained: bool = True,
    replayed: Pairs | None = None,
    source_dev: Pairs | None = None,
    history: Path | None = None,
    adapter_folder: Path | None = None,
) -> TrainedTranslator:
    """Train a translation model by `full` or `lora`.

    Args:
        start: Hub id or folder of the model to start from, or the shape of one to make anew.
        procedure: how.
        train: pairs to learn from.
        dev: pairs to select the best step on; may be empty.
        label: names the run in progress and history.
        folder: for checkpoints.
        revision: Hub revision of the start.
        pretrained: False starts all weights at random and trains them all, whatever the method.
        replayed: source pairs, of which `procedure.replay` times the target's number join the training.
        source_dev: the source's dev pairs, for the choice of a mix.
        history: file for one line a logged step.
        adapter_folder: where `lora` leaves its adapter alone.

    Raises:
        ModelError: the start cannot be loaded, or does not fit the pairs' languages.
    """
    torch.manual_seed(procedure.seed)
    loaded = _start(start, procedure, train, revision=revision, pretrained=pretrained)
    new_ids = [
        number
        for language, like in (procedure.related or {}).items()
        for number in add_language(loaded, language, like=like)
    ]
    if isinstance(start, str):
        new_ids += widen(loaded, [*train.sources, *train.targets], new_pieces=procedure.new_pieces)
    trained_start = pretrained and isinstance(start, str)
    method = procedure.method if trained_start else "full"
    model: Any = loaded.model
    if pretrained and procedure.freeze_layers:
        freeze_encoder_layers(model, layers=procedure.freeze_layers)
    if method == "lora":
        model = add_translation_adapter(
            model, rank=procedure.rank, alpha=procedure.alpha, targets=procedure.target_modules,
            new_ids=new_ids, seed=procedure.seed,
        )  # fmt: skip
    trainable, total = parameter_counts(model)
    mixing = (
        mixing_for(procedure.mix, model, None if source_dev is None else _few(source_dev))
        if trained_start
        else None
    )
    arguments = training_arguments(
        loaded, replace(procedure, method=method), pairs=len(train),
        trained_start=trained_start,
    )  # fmt: skip
    rows, arguments = with_replay(train, replayed, arguments, procedure)
    result = fit_translator(
        loaded,
        model,
        rows,
        _few(dev),
        run=TrainingRun(label, folder, seed=procedure.seed, history=history),
        arguments=arguments,
        batch_tokens=_batch_tokens(procedure),
        evaluations=EVALUATIONS,
        max_length_tokens=procedure.max_length_tokens,
        mixing=mixing,
        early_stopping=procedure.early_stopping,
    )
    # Only a start with a path gets an adapter.
    model = finished(result.model, base=str(start), label_names=None, adapter_folder=adapter_folder)
    return TrainedTranslator(replace(loaded, model=model), result, trainable, total, result.target_ratio)


def _few(dev: Pairs) -> Pairs:
    return dev.take(range(min(len(dev), MAX_SELECTION_PAIRS)))


def _start(
    start: str | Architecture,
    procedure: TranslationProcedure,
    train: Pairs,
    *,
    revision: str | None,
    pretrained: bool,
) -> LoadedTranslator:
    if isinstance(start, str):
        return load_translator(start, revision=revision, pretrained=pretrained)
    languages = list(dict.fromkeys(target for _, target in train.directions))
    return new_translator(
        start, [*train.sources, *train.targets], languages=languages,
        max_length_tokens=procedure.max_length_tokens,
    )  # fmt: skip


def training_arguments(
    loaded: LoadedTranslator, procedure: TranslationProcedure, *, pairs: int, trained_start: bool
) -> dict[str, Any]:
    """Complete a recipe's TrainingArguments with the defaults that follow from the model and the data.

    Args:
        loaded: the model, for its width.
        procedure: with the recipe's own arguments, which win.
        pairs: how many are learnt from.
        trained_start: whether the weights were trained before.
    """
    width = getattr(loaded.model.config, "d_model", 512)
    larger = float(np.clip((pairs / 1000) ** LARGER_STEPS_POWER, 1.0, LARGEST_STEPS))
    at_256 = LEARNING_RATE_AT_256 * larger if trained_start else RANDOM_LEARNING_RATE_AT_256
    rate = at_256 * (256 / width) ** LEARNING_RATE_POWER
    if procedure.method == "lora":
        rate *= LORA_LEARNING_RATE_FACTOR
    if procedure.far and trained_start:
        rate *= FAR_LEARNING_RATE_FACTOR
    more = FAR_PASSES_FACTOR if procedure.far else 1.0
    passes = round(passes_for(pairs) * procedure.passes_factor * more)
    derived = {**DEFAULTS, "learning_rate": rate, "num_train_epochs": passes}
    if ends_by_steps(procedure.arguments):
        derived.pop("num_train_epochs")
    return {**derived, **procedure.arguments}


def passes_for(pairs: int) -> int:
    """Return how many times so many pairs are seen by default.

    >>> passes_for(500), passes_for(5_000), passes_for(100_000)
    (11, 7, 4)
    """
    passes = PASSES_AT_1000 * (1000 / max(1, pairs)) ** PASSES_POWER
    return int(np.clip(round(passes), MIN_PASSES, MAX_PASSES))


def _batch_tokens(procedure: TranslationProcedure) -> int | None:
    if procedure.batch_tokens is not None:
        return procedure.batch_tokens
    return None if "per_device_train_batch_size" in procedure.arguments else BATCH_TOKENS


def with_replay(
    train: Pairs, replayed: Pairs | None, arguments: Mapping[str, Any], procedure: TranslationProcedure
) -> tuple[Pairs, dict[str, Any]]:
    """Mix source pairs in: other ones beside the target's in each pass, as far as there are any (passes.py).

    Returns:
        (pairs of an epoch, arguments with the number of epochs).
    """
    replay = replay_for(procedure, pairs=len(train))
    plan = mixture(len(train), 0 if replayed is None else len(replayed), arguments, replay=replay)
    if plan is None or replayed is None:
        return train, dict(arguments)
    order = np.random.default_rng(procedure.seed).permutation(len(replayed))[: plan.source]
    return train.take(plan.target).joined(replayed.take(order)), plan.arguments


def replay_for(procedure: TranslationProcedure, *, pairs: int) -> float:
    """Return how many source pairs are learnt beside each of so many target pairs."""
    if procedure.replay is not None:
        return procedure.replay
    return min(MAX_REPLAY, REPLAY_AT_1000 * math.sqrt(1000 / max(1, pairs)))
