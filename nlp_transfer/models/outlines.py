"""Whether a model can be trained as a recipe asks, found on its modules alone, before anything is trained.

On torch's meta device modules have shapes and no weights: a large model is made in half a second, and none of
its weights is read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers import (
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
    MarianConfig,
    PreTrainedConfig,
)

from nlp_transfer.models.adapters import add_adapter, add_translation_adapter
from nlp_transfer.models.freezing import freeze_classifier_layers, freeze_encoder_layers
from nlp_transfer.models.loading import as_model_error, quiet_library, read_model_config


def require_classifier_modules(
    path: str,
    *,
    freeze_layers: int,
    targets: str | Sequence[str] | None,
    rank: int,
    revision: str | None = None,
) -> None:
    """Check that a classifier has the layers and modules that a recipe names.

    Args:
        path: Hub id, folder, or `package://module/folder`.
        freeze_layers: the first ones, which stay as they are.
        targets: modules that get an adapter; None where none gets one.
        rank: of the adapters.
        revision: Hub revision.

    Raises:
        ModelError: it has not, or cannot be found or read.
    """
    model = _outline(AutoModelForSequenceClassification, read_model_config(path, revision), path)
    if freeze_layers:
        freeze_classifier_layers(model, layers=freeze_layers)
    if targets is not None:
        add_adapter(model, rank=rank, alpha=rank, targets=targets, fresh=(), seed=0)


def require_translator_modules(
    config: PreTrainedConfig,
    *,
    freeze_layers: int,
    targets: str | Sequence[str] | None,
    rank: int,
    path: str,
) -> None:
    """Check that a translation model has the layers and modules that a recipe names.

    Args:
        config: the model's own.
        freeze_layers: the encoder's first ones, which stay as they are.
        targets: modules that get an adapter; None where none gets one.
        rank: of the adapters.
        path: names the model in messages.

    Raises:
        ModelError: it has not.
    """
    model = _outline(AutoModelForSeq2SeqLM, config, path)
    if freeze_layers:
        freeze_encoder_layers(model, layers=freeze_layers)
    if targets is not None:
        add_translation_adapter(model, rank=rank, alpha=rank, targets=targets, new_ids=(), seed=0)


def made_anew(encoder_layers: int) -> PreTrainedConfig:
    """Return the configuration of a model like one that is made anew, as far as its modules' names go."""
    return MarianConfig(encoder_layers=encoder_layers)


def _outline(family: Any, config: PreTrainedConfig, path: str) -> Any:
    with as_model_error(path), quiet_library(), torch.device("meta"):
        return family.from_config(config)
