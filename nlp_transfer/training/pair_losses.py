"""How well a translation model foresees given translations: the loss of each pair, nothing is trained.

Batches are those of training (fit_translation.py), so that a pair is encoded here as it was learnt.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from nlp_transfer.data.pairs import Pairs
from nlp_transfer.models.batching import batches_by_length
from nlp_transfer.models.generation import ACCELERATOR_FACTOR, BATCH_TOKENS
from nlp_transfer.models.translation import LoadedTranslator
from nlp_transfer.training.fit_translation import IGNORED, EncodedPairs, PairCollator

# Scores of the vocabulary's words that are held at once: 256 MB. A vocabulary of 250,000 makes batches small.
LOGITS_AT_ONCE = 2**26


@torch.inference_mode()
def pair_losses(
    loaded: LoadedTranslator,
    pairs: Pairs,
    *,
    max_length_tokens: int,
    asked_as: Mapping[str, str] | None = None,
) -> npt.NDArray[np.float64]:
    """Return -log p of each translation over its characters, in nats a character.

    Over its length, or a few long pairs would decide alone; in characters, since two models may cut a text
    into other tokens. What the decoder is given before it
    writes (a language token) is not counted: it says which language, and not which pair.

    Args:
        loaded: the model; it is left in evaluation mode.
        pairs: sources with the translations that are looked at.
        max_length_tokens: pairs with a longer side have no loss.
        asked_as: the model's own code to ask for in place of a language it does not have.

    Returns:
        Shape (pairs,); NaN for pairs that are too long.
    """
    model, config = loaded.model.eval(), loaded.model.config
    encoded = EncodedPairs(pairs, loaded, max_length_tokens=max_length_tokens, asked_as=asked_as)
    collate = PairCollator(pad_id=config.pad_token_id, start_id=config.decoder_start_token_id)
    losses = np.full(len(pairs), np.nan)
    most = min(BATCH_TOKENS, max(1, LOGITS_AT_ONCE // config.vocab_size))
    most *= 1 if model.device.type == "cpu" else ACCELERATOR_FACTOR
    lengths = np.maximum(encoded.source_lengths, encoded.target_lengths).tolist()
    for rows in batches_by_length(lengths, most):
        batch = {
            name: tensor.to(model.device) for name, tensor in collate([encoded[row] for row in rows]).items()
        }
        given, labels = batch.pop("prefixes").shape[1], batch.pop("labels")
        labels[:, :given] = IGNORED
        logits = model(**batch).logits.float()
        of_tokens = nn.functional.cross_entropy(
            logits.transpose(1, 2), labels, ignore_index=IGNORED, reduction="none"
        )
        characters = [len(pairs.targets[row]) for row in encoded.rows[rows]]
        losses[encoded.rows[rows]] = of_tokens.sum(1).cpu().numpy() / np.maximum(characters, 1)
    return losses
