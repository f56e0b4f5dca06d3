"""A translation model as CTranslate2 reads it.

The library's own loaders read the weights of each family. Around them four things are done here, without
which what comes out is not equal to what went in, or not at all:

- Each row of the vocabulary has a name of its own, also those without a token: ids go in and ids come out.
- What `generate` never writes (padding, rows without a token) gets a bias that keeps it from being written.
- Marian's loader takes the padding for the last row and its embedding for zero; a language that was added
  stands behind it, and a model that was trained with a tied output does not have zeros there. So all rows
  stay, and the decoder starts with the padding's embedding, as in `transformers`.
- mBART says where it normalises; `transformers` 5 has taken that out of its configuration.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from nlp_transfer.errors import ModelError
from nlp_transfer.inference.ctranslate2_model import MODEL
from nlp_transfer.models.translation import LoadedTranslator, load_translator

# Far below any logit, and far from what float16 could not hold.
NEVER = -1e4
# What the loaders ask of the configuration, and these families do not say: normalize_before and
# normalize_embedding.
NORMALISED = {"marian": (False, False), "m2m_100": (True, False), "mbart": (True, True)}


def convert(source: Path, folder: Path, *, int8: bool) -> None:
    """Convert a translation model.

    Args:
        source: the model's folder.
        folder: an exported folder, which gets a folder with the converted model.
        int8: keep the weights in eight bits.

    Raises:
        ModelError: a model of this family cannot be converted.
    """
    loaded = load_translator(str(source))
    family = loaded.model.config.model_type
    if getattr(loaded.tokenizer, "separate_vocabs", False):
        raise ModelError(
            f"{source} has one vocabulary for its source and another for its target, which is not converted; "
            "use the model as it is"
        )
    try:
        with torch.no_grad():
            spec = _specification(loaded)
            spec.validate()
            spec.optimize(quantization="int8" if int8 else None)
    except (AttributeError, KeyError, ValueError, TypeError, RuntimeError, NotImplementedError) as error:
        reason = " ".join(str(error).split())[:300]
        raise ModelError(
            f"{family} models like this one cannot be converted for CTranslate2 ({reason}); use the model "
            "as it is"
        ) from error
    (folder / MODEL).mkdir()
    spec.save(str(folder / MODEL))


def _specification(loaded: LoadedTranslator) -> Any:
    from ctranslate2.converters.transformers import _MODEL_LOADERS, BartLoader

    model, config = loaded.model, loaded.model.config
    loader = _MODEL_LOADERS[type(config).__name__]
    if config.model_type in NORMALISED:
        config.normalize_before, config.normalize_embedding = NORMALISED[config.model_type]
    if config.model_type == "marian":
        spec = BartLoader.get_model_spec(loader, model)
        spec.decoder.start_from_zero_embedding = False
    else:
        spec = loader.get_model_spec(model)
    bias = _bias(model)
    if bias.any():
        spec.decoder.projection.bias = torch.from_numpy(bias)
    tokens = _unique_tokens(loaded.tokenizer, len(bias))
    spec.register_source_vocabulary(tokens)
    spec.register_target_vocabulary(tokens)
    spec.config.bos_token = spec.config.eos_token = tokens[config.eos_token_id]
    spec.config.unk_token = tokens[loaded.tokenizer.unk_token_id]
    spec.config.decoder_start_token = tokens[config.decoder_start_token_id]
    return spec


def _bias(model: Any) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Return the bias over the vocabulary, shape (rows,), with what `generate` never writes far below."""
    own = getattr(model, "final_logits_bias", None)
    rows = model.get_input_embeddings().weight.shape[0]
    bias = np.zeros(rows, np.float32) if own is None else own.detach().numpy().reshape(-1).astype(np.float32)
    settings = model.generation_config
    never = [
        *(settings.suppress_tokens or []),
        *(ids[0] for ids in settings.bad_words_ids or [] if len(ids) == 1),
    ]
    bias = bias.copy()
    bias[never] = NEVER
    return bias


def _unique_tokens(tokenizer: Any, rows: int) -> list[str]:
    """Name each row of the vocabulary by its token, or by its number where there is none."""
    known = {number: token for token, number in tokenizer.get_vocab().items()}
    found: dict[str, int] = {}
    for number in range(rows):
        token = known.get(number, f"<row {number}>")
        found[token if token not in found else f"<row {number}>"] = number
    return list(found)
