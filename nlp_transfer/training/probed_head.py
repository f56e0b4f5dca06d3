"""A classifier's head that starts from a probe of what it sees, for `lp_ft`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from nlp_transfer.data.rows import Rows
from nlp_transfer.models.batching import length_sorted_batches
from nlp_transfer.models.probe import ProbeHead
from nlp_transfer.training.baselines import fit_probe
from nlp_transfer.training.procedure import Procedure


def start_head_from_probe(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, train: Rows, procedure: Procedure
) -> None:
    """Set the classifier's last layer to a probe of what that layer sees (Kumar et al. 2022, LP-FT)."""
    layer = last_linear(model)
    features = _inputs_of(layer, model, tokenizer, train.texts, procedure.max_length_tokens)
    pipeline = fit_probe(features, train, seed=procedure.seed, class_weights=procedure.class_weights)
    ProbeHead.from_pipeline(pipeline, len(procedure.label_names)).start_linear(layer)


def last_linear(model: PreTrainedModel) -> nn.Linear:
    """Return the layer whose outputs are the class scores."""
    layers = [
        m for m in model.modules() if isinstance(m, nn.Linear) and m.out_features == model.config.num_labels
    ]
    return layers[-1]


@torch.inference_mode()
def _inputs_of(
    layer: nn.Linear,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    max_length: int,
) -> npt.NDArray[np.float32]:
    """Run texts through a classifier and catch what one layer gets, shape (texts, features)."""
    caught: list[torch.Tensor] = []
    hook = layer.register_forward_pre_hook(lambda _, inputs: caught.append(inputs[0].detach()))
    features = np.zeros((len(texts), layer.in_features), dtype=np.float32)
    model.eval()
    try:
        for rows, inputs in length_sorted_batches(
            tokenizer,
            texts,
            max_length_tokens=max_length,
            device=model.device,
            label="probe the head's input",
        ):
            model(**inputs)
            features[rows] = caught.pop().float().cpu().numpy()
    finally:
        hook.remove()
    return features
