"""Encodings of a frozen encoder, computed once: mean-pooled vectors kept on disk by model, text and length.

A row's key is a hash of its text; a model's key is a hash of its weights, its configuration and its
tokenizer. Another text, other weights, as many weights in more attention heads, or another length limit never
find an old vector, and a curve over sizes or a second run encodes
nothing twice. How they lie on disk is left to encodings.py.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from tqdm.auto import tqdm
from transformers import PreTrainedTokenizerBase

from nlp_transfer.data.sources import cache_dir
from nlp_transfer.models.batching import length_sorted_batches
from nlp_transfer.models.encodings import KEY_BYTES, Keys, Vectors, VectorStore, text_keys
from nlp_transfer.models.token_cache import tokenizer_rules

# Texts looked up, and written where they are new, at a time: what a killed run loses at most.
KEPT_TEXTS = 20_000
# What a configuration says that no hidden state follows from: where the files came from, and the classes of a
# head that is not there. Keys that begin with `_` are the library's own notes.
NOT_OF_THE_ENCODER = frozenset(
    ("transformers_version", "dtype", "torch_dtype", "architectures", "id2label", "label2id", "num_labels",
     "problem_type", "finetuning_task", "use_cache")
)  # fmt: skip


def encode(
    encoder: nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    *,
    max_length_tokens: int,
    label: str | None = "encode",
    cache: Path | None = None,
    bf16: bool = False,
) -> Vectors:
    """Encode texts as the mean of an encoder's last hidden states over their real tokens.

    Mean pooling, because it classifies better than the first token's vector for sentence encoders
    (rotten_tomatoes 76.7 against at most 71.7).

    Args:
        encoder: a transformer without head, in any mode; it is not changed.
        tokenizer: the encoder's.
        texts: what to encode.
        max_length_tokens: longer texts are cut.
        label: names the progress bar; None shows none.
        cache: folder for the vectors; None is the package's cache.
        bf16: computes in bfloat16, as training does: about twice as fast where the hardware has it, for
            vectors that something is fitted on. What is scored is computed in float32.

    Returns:
        Vectors of shape (texts, hidden); many of them lie on disk and are mapped, not to be written to.
    """
    way = f"mean {max_length_tokens}{' bf16' if bf16 else ''}"
    fingerprint = encoder_fingerprint(encoder, tokenizer, way=way)
    store = VectorStore(cache or cache_dir() / "encodings", fingerprint)
    places = np.empty(len(texts), dtype=np.int64)
    with tqdm(total=len(texts), desc=label, unit="row", file=sys.stderr, disable=label is None) as bar:
        for start in range(0, len(texts), KEPT_TEXTS):
            chunk = texts[start : start + KEPT_TEXTS]
            keys = text_keys(chunk)
            missing = _first_of_each(keys, np.flatnonzero(store.places(keys) < 0))
            bar.update(len(chunk) - len(missing))
            if len(missing):
                lacking = [chunk[row] for row in missing]
                vectors = mean_pooled(
                    encoder, tokenizer, lacking, max_length_tokens=max_length_tokens, label=None, bar=bar,
                    bf16=bf16,
                )  # fmt: skip
                store.add(keys[missing], vectors)
            places[start : start + len(chunk)] = store.places(keys)
    return store.gather(places)


def _first_of_each(keys: Keys, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Leave of these rows the first of each key, in their order."""
    _, first = np.unique(keys[rows].view(f"V{KEY_BYTES}"), return_index=True)
    return rows[np.sort(first)]


@torch.inference_mode()
def mean_pooled(
    encoder: nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    *,
    max_length_tokens: int,
    label: str | None,
    bar: Any = None,
    bf16: bool = False,
) -> Vectors:
    """Encode texts without the cache; see `encode`. A `bar` of the caller's goes on with each batch."""
    was_training = encoder.training
    encoder.eval()
    vectors = np.empty((0, 0), dtype=np.float32)
    device = next(encoder.parameters()).device
    try:
        for rows, inputs in length_sorted_batches(
            tokenizer,
            texts,
            max_length_tokens=max_length_tokens,
            device=device,
            label=label,
        ):
            with torch.autocast(device.type, dtype=torch.bfloat16, enabled=bf16):
                hidden = encoder(**inputs).last_hidden_state.float()
            mask = inputs["attention_mask"].unsqueeze(-1).to(hidden.dtype)
            pooled = ((hidden * mask).sum(1) / mask.sum(1).clamp(min=1)).cpu().numpy()
            if not len(vectors):
                vectors = np.empty((len(texts), pooled.shape[1]), dtype=np.float32)
            vectors[rows] = pooled
            if bar is not None:
                bar.update(len(rows))
    finally:
        encoder.train(was_training)
    return vectors


def encoder_fingerprint(
    encoder: nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    *,
    way: str,
    weights: Mapping[str, torch.Tensor] | None = None,
) -> str:
    """Hash all that an encoder's states follow from, beside the text.

    Args:
        encoder: its configuration counts, besides what says nothing about states.
        tokenizer: how it cuts texts.
        way: what else there is to say: length limit, pooling, precision.
        weights: those that count, by name; None is all of them.
    """
    digest = hashlib.blake2b(way.encode(), digest_size=16)
    for name, tensor in sorted((encoder.state_dict() if weights is None else weights).items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    digest.update(_shape(encoder).encode("utf-8", "surrogatepass"))
    digest.update(tokenizer_rules(tokenizer).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def _shape(encoder: nn.Module) -> str:
    """Write down what an encoder computes with its weights: heads, activation, positions."""
    config = getattr(encoder, "config", None)
    settings = {} if config is None else config.to_dict()
    kept = {
        name: value
        for name, value in settings.items()
        if name not in NOT_OF_THE_ENCODER and not name.startswith("_")
    }
    return json.dumps(kept, sort_keys=True, default=str)
