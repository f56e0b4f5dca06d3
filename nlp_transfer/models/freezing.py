"""Parts of a model that stay as they are while the rest trains: the embeddings, the first layers."""

from __future__ import annotations

from typing import Any

from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel

from nlp_transfer.errors import ModelError
from nlp_transfer.models.loading import base_model


def freeze(model: PreTrainedModel, *, layers: int, embeddings: bool = True) -> None:
    """Keep the embeddings and the first encoder layers as they are.

    Raises:
        ModelError: the encoder has fewer layers, or shares one layer's weights among all.
    """
    encoder: Any = base_model(model)
    if embeddings or layers:
        getattr(encoder, "embeddings", encoder.get_input_embeddings()).requires_grad_(False)
    if not layers:
        return
    _freeze_stack(encoder, model.config, layers=layers)


def freeze_encoder_layers(model: PreTrainedModel, *, layers: int) -> None:
    """Keep the first layers of a translation model's encoder as they are.

    Raises:
        ModelError: the encoder has fewer layers.
    """
    _freeze_stack(model.get_encoder(), model.config, layers=layers)


def _freeze_stack(encoder: nn.Module, config: PreTrainedConfig, *, layers: int) -> None:
    stacks = [module for module in encoder.modules() if isinstance(module, nn.ModuleList)]
    stack = max(stacks, key=len)
    if len(stack) != config.num_hidden_layers or layers > len(stack):
        raise ModelError(
            f"freeze_layers is {layers} and {config.model_type} has {len(stack)} separate layer(s); lower it"
        )
    for parameter in stack[:layers].parameters():
        parameter.requires_grad_(False)
