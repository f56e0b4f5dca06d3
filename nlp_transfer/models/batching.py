"""Batches for inference: about equal numbers of tokens, texts of like length together, little padding."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from tqdm.auto import tqdm
from transformers import PreTrainedTokenizerBase

from nlp_transfer.data.texts import whole_characters

# Padded tokens in a batch. On CPUs larger ones are no faster: they leave the processor's cache.
BATCH_TOKENS = 1024
# Texts tokenised at a time: enough to sort well, few enough that memory does not grow with the input. A
# tokenizer holds some 30 KB for each of them (measured on sentences: 20,000 took 540 MB).
CHUNK_TEXTS = 4_000


def batches_by_length(lengths: Sequence[int], batch_tokens: int) -> Iterator[list[int]]:
    """Yield row numbers, longest first, in batches of at most `batch_tokens` padded tokens."""
    order = np.argsort(-np.asarray(lengths, dtype=np.int64), kind="stable")
    first = 0
    while first < len(order):
        size = max(1, batch_tokens // max(1, int(lengths[order[first]])))
        yield [int(row) for row in order[first : first + size]]
        first += size


def length_sorted_batches(
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    *,
    max_length_tokens: int,
    device: torch.device | str = "cpu",
    batch_tokens: int | None = None,
    label: str | None = None,
) -> Iterator[tuple[list[int], dict[str, torch.Tensor]]]:
    """Yield (row numbers, model inputs) over all texts, longest first within each chunk.

    Args:
        tokenizer: the model's.
        texts: what to tokenise.
        max_length_tokens: longer texts are cut.
        device: where the inputs go.
        batch_tokens: padded tokens a batch; None is `BATCH_TOKENS`, sixteen times that on an accelerator.
        label: names a progress bar on stderr; None shows none.
    """
    limit = batch_tokens or BATCH_TOKENS * (1 if torch.device(device).type == "cpu" else 16)
    bar = tqdm(total=len(texts), desc=label, unit="row", file=sys.stderr, disable=label is None)
    with bar:
        for start in range(0, len(texts), CHUNK_TEXTS):
            chunk = [whole_characters(text) for text in texts[start : start + CHUNK_TEXTS]]
            encoded = tokenizer(chunk, truncation=True, max_length=max_length_tokens)
            for rows in batches_by_length([len(ids) for ids in encoded["input_ids"]], limit):
                inputs = tokenizer.pad(
                    {name: [values[row] for row in rows] for name, values in encoded.items()},
                    return_tensors="pt",
                )
                yield (
                    [start + row for row in rows],
                    {name: tensor.to(device) for name, tensor in inputs.items()},
                )
                bar.update(len(rows))
