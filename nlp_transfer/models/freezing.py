"""Parts of a model that stay as they are while the rest trains: the embeddings, the first layers."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel

from nlp_transfer.errors import ModelError
from nlp_transfer.models.loading import base_model


def freeze(model: PreTrainedModel, *, layers: int, embeddings: bool = True) -> None:
    """Keep the embeddings and the first encoder layers as they are, and what those layers share with others
    (a table of relative positions, a projection of the embeddings): their states stay the same.

    Raises:
        ModelError: the encoder has fewer layers, or shares one layer's weights among all.
    """
    encoder: Any = base_model(model)
    if embeddings or layers:
        getattr(encoder, "embeddings", encoder.get_input_embeddings()).requires_grad_(False)
    if not layers:
        return
    last = _freeze_stack(encoder, model.config, layers=layers)
    trained = [parameter for parameter in encoder.parameters() if parameter.requires_grad]
    states = states_after(encoder, last, model.dummy_inputs["input_ids"].to(model.device))
    if states.requires_grad:
        followed = torch.autograd.grad(states.sum(), trained, allow_unused=True)
        for parameter, gradient in zip(trained, followed, strict=True):
            parameter.requires_grad_(gradient is None)


def freeze_classifier_layers(model: PreTrainedModel, *, layers: int) -> None:
    """Keep the first layers of a classifier as they are, and nothing else.

    Raises:
        ModelError: the encoder has fewer layers, or shares one layer's weights among all.
    """
    _freeze_stack(base_model(model), model.config, layers=layers)


def freeze_encoder_layers(model: PreTrainedModel, *, layers: int) -> None:
    """Keep the first layers of a translation model's encoder as they are.

    Raises:
        ModelError: the encoder has fewer layers.
    """
    _freeze_stack(model.get_encoder(), model.config, layers=layers)


def encoder_layers(encoder: nn.Module) -> nn.ModuleList:
    """Return an encoder's layers, the first one first."""
    stacks = [module for module in encoder.modules() if isinstance(module, nn.ModuleList)]
    return max(stacks, key=len)


def states_after(
    encoder: nn.Module, layer: nn.Module, input_ids: torch.Tensor, **inputs: Any
) -> torch.Tensor:
    """Run an encoder as far as one of its layers, and no further.

    Returns:
        The layer's states, shape (rows, tokens, hidden).
    """

    def reached(_: nn.Module, __: Any, output: Any) -> None:
        raise _Reached(output[0] if isinstance(output, tuple) else output)

    hook = layer.register_forward_hook(reached)
    try:
        encoder(input_ids=input_ids, **inputs)
    except _Reached as found:
        return found.states
    finally:
        hook.remove()
    raise RuntimeError(f"{type(encoder).__name__} does not run {type(layer).__name__}")


class _Reached(Exception):  # noqa: N818 - no error, but the way out of an encoder's forward
    def __init__(self, states: torch.Tensor) -> None:
        super().__init__()
        self.states = states


def _freeze_stack(encoder: nn.Module, config: PreTrainedConfig, *, layers: int) -> nn.Module:
    """Freeze the first layers; return the last of them."""
    stack = encoder_layers(encoder)
    if len(stack) != config.num_hidden_layers or layers > len(stack):
        raise ModelError(
            f"adaptation.freeze_layers is {layers} and {config.model_type} has {len(stack)} separate "
            "layer(s); lower it"
        )
    for parameter in stack[:layers].parameters():
        parameter.requires_grad_(False)
    return stack[layers - 1]
