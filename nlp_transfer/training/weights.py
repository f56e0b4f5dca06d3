"""The weights of a model that train: copied, and put back."""

from __future__ import annotations

import torch

Weights = dict[str, torch.Tensor]


def copied_weights(model: torch.nn.Module) -> Weights:
    """Copy the weights that train, by name."""
    return {
        name: weight.detach().clone() for name, weight in model.named_parameters() if weight.requires_grad
    }


@torch.no_grad()
def set_weights(model: torch.nn.Module, weights: Weights) -> None:
    """Set the weights that have a name in `weights`, in place."""
    for name, weight in model.named_parameters():
        if name in weights:
            weight.copy_(weights[name].to(weight.device))
