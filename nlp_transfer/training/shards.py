"""Training in shards (FSDP): which layers are cut, and the whole model back out of them.

Cutting, training and checkpoints are accelerate's and the Trainer's.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from accelerate.utils import parse_flag_from_env
from transformers import Trainer

from nlp_transfer.errors import ModelError


def in_shards() -> bool:
    """Tell whether the processes were started to train in shards; a training does not say so before it is
    built.
    """
    return any(parse_flag_from_env(f"ACCELERATE_USE_{way}") for way in ("FSDP", "DEEPSPEED"))


def copy_for_shards(trainer: Trainer) -> Any:
    """Make ready to train in shards; return the model's copy to fill afterwards, None where it stays whole.

    Shards are not put together again in place.

    Raises:
        ModelError: the model cannot be cut.
    """
    if not trainer.is_fsdp_enabled:
        return None
    _require_one_place_of_embeddings(trainer.model)
    plugin = trainer.accelerator.state.fsdp_plugin
    if plugin.transformer_cls_names_to_wrap is None:
        plugin.transformer_cls_names_to_wrap = layers_to_cut(trainer.model)
    return copy.deepcopy(trainer.model)


def layers_to_cut(model: Any) -> list[str]:
    """Return the classes of a model's layers that are cut each for itself.

    They are those that the model asks to keep in one piece, but not what holds the word embeddings:
    accelerate cuts those by themselves, and cannot cut them twice.
    """
    asked = set(getattr(model, "_no_split_modules", None) or ())
    embeddings = model.get_input_embeddings()
    layers = [module for module in model.modules() if type(module).__name__ in asked]
    return sorted({type(layer).__name__ for layer in layers if embeddings not in layer.modules()})


def _require_one_place_of_embeddings(model: Any) -> None:
    """Raise where encoder and decoder share their word embeddings: accelerate 1.15 puts them in two groups of
    shards, which torch refuses. Input and output layer may share them.
    """
    weight = model.get_input_embeddings().weight
    places = [name for name, each in model.named_parameters(remove_duplicate=False) if each is weight]
    if len(places) > 2:
        raise ModelError(
            f"FSDP cannot cut word embeddings that {len(places)} layers share ({', '.join(places)}); launch "
            "it with recipes/accelerate/multi_gpu.yaml, or deepspeed_zero2.yaml where memory is short"
        )


def whole_model(trainer: Trainer, copy_to_fill: Any) -> Any:
    """Return the trained model as `transformers` loads it: in one piece, without the mixed-precision wrapper.

    Args:
        trainer: after training.
        copy_to_fill: what `copy_for_shards` returned; all processes fill it, since all score with it.
    """
    if copy_to_fill is None:
        return trainer.accelerator.unwrap_model(trainer.model, keep_fp32_wrapper=False)
    weights = trainer.accelerator.get_state_dict(trainer.model_wrapped)
    if weights:
        copy_to_fill.load_state_dict(weights)
    _hand_out(copy_to_fill, device=trainer.args.device)
    return copy_to_fill


@torch.no_grad()
def _hand_out(model: torch.nn.Module, *, device: torch.device) -> None:
    """Give the main process's weights, which it alone gets out of the shards, to the other processes."""
    for weight in model.state_dict().values():
        sent = weight.to(device)
        torch.distributed.broadcast(sent, src=0)
        weight.copy_(sent)
