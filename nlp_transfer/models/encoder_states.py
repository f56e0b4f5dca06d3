"""What a translation model's encoder makes of sources: one vector a text, to tell how far domains lie apart.

As features.py does for encoders without a decoder; nothing is kept in the cache, since a run encodes a sample
once.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from nlp_transfer.models.batching import batches_by_length
from nlp_transfer.models.encodings import Vectors
from nlp_transfer.models.generation import ACCELERATOR_FACTOR, BATCH_TOKENS
from nlp_transfer.models.sequences import padded
from nlp_transfer.models.translation import LoadedTranslator


@torch.inference_mode()
def source_states(
    loaded: LoadedTranslator,
    texts: Sequence[str],
    *,
    src_lang: str,
    tgt_lang: str,
    max_length_tokens: int,
) -> tuple[Vectors, npt.NDArray[np.int64]]:
    """Encode sources as the mean of the encoder's last hidden states over their tokens.

    Where texts of two domains are compared both are to be asked for in one language: a tag or a prompt that
    differs would tell them apart, whatever they say.

    Args:
        loaded: the model; it is left in evaluation mode.
        texts: what to encode.
        src_lang: the model's own code of their language.
        tgt_lang: the model's own code of the language that they are asked for in.
        max_length_tokens: longer texts are cut.

    Returns:
        (vectors of shape (texts, hidden), tokens of each whole text without language tokens, prompt and end,
        shape (texts,)).
    """
    model = loaded.model.eval()
    encoder, pad = model.get_encoder(), model.config.pad_token_id
    encoded = loaded.family.encode_sources(texts, src_lang=src_lang, tgt_lang=tgt_lang)
    sources = [encoded[row][:max_length_tokens] for row in range(len(encoded))]
    vectors = np.empty((len(texts), model.config.hidden_size), dtype=np.float32)
    most = BATCH_TOKENS * (1 if model.device.type == "cpu" else ACCELERATOR_FACTOR)
    for rows in batches_by_length([len(ids) for ids in sources], most):
        ids = torch.from_numpy(padded([sources[row] for row in rows], value=pad)).to(model.device)
        lengths = torch.as_tensor([len(sources[row]) for row in rows], device=model.device)
        mask = (torch.arange(ids.shape[1], device=model.device)[None, :] < lengths[:, None]).long()
        hidden = encoder(input_ids=ids, attention_mask=mask).last_hidden_state.float()
        summed = (hidden * mask.unsqueeze(-1)).sum(1)
        vectors[rows] = (summed / lengths[:, None]).cpu().numpy()
    around = len(loaded.family.encode_sources([""], src_lang=src_lang, tgt_lang=tgt_lang)[0])
    return vectors, np.maximum(encoded.lengths - around, 0)
