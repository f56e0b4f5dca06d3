"""Class scores for texts, in the input's order, whatever order they were computed in."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from nlp_transfer.models.batching import length_sorted_batches

Scores = npt.NDArray[np.float64]


@torch.inference_mode()
def predict_logits(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    *,
    max_length_tokens: int,
    label: str | None = None,
) -> Scores:
    """Score texts with a sequence classifier.

    Args:
        model: on any device; its mode is restored afterwards.
        tokenizer: the model's.
        texts: what to score.
        max_length_tokens: longer texts are cut.
        label: names a progress bar; None shows none.

    Returns:
        Logits of shape (texts, classes).
    """
    was_training = model.training
    model.eval()
    logits = np.zeros((len(texts), model.config.num_labels))
    try:
        for rows, inputs in length_sorted_batches(
            tokenizer, texts, max_length_tokens=max_length_tokens, device=model.device, label=label
        ):
            logits[rows] = model(**inputs).logits.float().cpu().numpy()
    finally:
        model.train(was_training)
    return logits


def softmax(logits: Scores) -> Scores:
    """Turn logits of shape (rows, classes) into probabilities.

    >>> softmax(np.array([[0.0, 0.0]])).tolist()
    [[0.5, 0.5]]
    """
    from scipy.special import softmax as stable_softmax

    return np.asarray(stable_softmax(logits, axis=-1))
