"""Writing translations: ids in, ids out, in batches by tokens, whatever order they were computed in.

Each row is written until its end token or its own limit, which follows from its source's length: what a
batch holds beside a row never changes the row's translation.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from typing import Any

import torch
from tqdm.auto import tqdm
from transformers import LogitsProcessor, LogitsProcessorList

from nlp_transfer.models.batching import batches_by_length
from nlp_transfer.models.sequences import padded

# Padded source tokens in a batch, over all beams; larger ones are no faster on a CPU. On an accelerator
# sixteen times as many.
BATCH_TOKENS = 2048
ACCELERATOR_FACTOR = 16
# A translation may have this many times its source's tokens, and so many more.
USUAL_TARGET_RATIO, EXTRA_TOKENS = 4.0, 16


def token_limit(source_tokens: int, *, ratio: float, most: int) -> int:
    """Return how many tokens a translation may have at most."""
    return min(most, math.ceil(ratio * source_tokens) + EXTRA_TOKENS)


def generate(
    model: Any,
    sources: Sequence[Any],
    prefixes: Sequence[Sequence[int]],
    *,
    num_beams: int,
    most_tokens: int,
    ratio: float = USUAL_TARGET_RATIO,
    batch_tokens: int | None = None,
    label: str | None = None,
) -> list[list[int]]:
    """Translate encoded sources.

    Args:
        model: a sequence-to-sequence model.
        sources: ids of each source.
        prefixes: for each row what its translation begins with, after the decoder's start token.
        num_beams: hypotheses kept; 1 is greedy search.
        most_tokens: of any translation.
        ratio: tokens of a translation for each of its source's.
        batch_tokens: padded source tokens of a batch over all beams; None is the default.
        label: names a progress bar on stderr; None shows none.

    Returns:
        For each source the ids of its translation, prefix and end left out.
    """
    limit = batch_tokens or BATCH_TOKENS * (1 if model.device.type == "cpu" else ACCELERATOR_FACTOR)
    written: list[list[int]] = [[] for _ in sources]
    with tqdm(total=len(sources), desc=label, unit="row", file=sys.stderr, disable=label is None) as bar:
        for rows in batches_by_length([len(source) for source in sources], limit // num_beams):
            outputs = generate_batch(
                model, [sources[row] for row in rows], [prefixes[row] for row in rows],
                num_beams=num_beams, most_tokens=most_tokens, ratio=ratio,
            )  # fmt: skip
            for row, output in zip(rows, outputs, strict=True):
                written[row] = output
            bar.update(len(rows))
    return written


@torch.inference_mode()
def generate_batch(
    model: Any,
    sources: Sequence[Any],
    prefixes: Sequence[Sequence[int]],
    *,
    num_beams: int,
    most_tokens: int,
    ratio: float = USUAL_TARGET_RATIO,
) -> list[list[int]]:
    """Translate one batch; see `generate`. All prefixes are of one length."""
    pad, end = model.config.pad_token_id, model.config.eos_token_id
    input_ids = torch.from_numpy(padded(sources, value=pad)).to(model.device)
    lengths = [len(source) for source in sources]
    mask = torch.arange(input_ids.shape[1])[None, :] < torch.as_tensor(lengths)[:, None]
    start = torch.full((len(prefixes), 1), model.config.decoder_start_token_id, device=model.device)
    forced = torch.as_tensor(list(prefixes), dtype=torch.long, device=model.device)
    begins = 1 + forced.shape[1]
    limits = [token_limit(length, ratio=ratio, most=most_tokens) for length in lengths]
    outputs = model.generate(
        input_ids=input_ids,
        attention_mask=mask.long().to(model.device),
        decoder_input_ids=start,
        logits_processor=LogitsProcessorList([ForcedPrefixes(forced, num_beams=num_beams)]),
        num_beams=num_beams,
        do_sample=False,
        use_cache=True,
        max_new_tokens=max(limits) + begins - 1,
        max_length=None,
        forced_bos_token_id=None,
        forced_eos_token_id=None,
        early_stopping=num_beams > 1,
    )
    ends = {end, pad} if isinstance(end, int) else {*end, pad}
    return [
        until(output[begins:].tolist(), ends)[:limit] for output, limit in zip(outputs, limits, strict=True)
    ]


class ForcedPrefixes(LogitsProcessor):  # type: ignore[misc]
    """Has each row begin with its own prefix, as `forced_bos_token_id` does with one for all rows.

    Given to the decoder as its input instead, a prefix would not count in the length that beams are compared
    by: plain `generate` would choose others.

    Args:
        prefixes: ids of shape (rows, prefix).
        num_beams: rows of the scores for each row of the batch.
    """

    def __init__(self, prefixes: torch.Tensor, *, num_beams: int) -> None:
        self.prefixes = prefixes.repeat_interleave(num_beams, dim=0)

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        place = input_ids.shape[1] - 1
        if place >= self.prefixes.shape[1]:
            return scores
        forced = torch.full_like(scores, -torch.inf)
        return forced.scatter(1, self.prefixes[:, place : place + 1], 0.0)


def until(ids: list[int], ends: set[int]) -> list[int]:
    """Return the ids before the first end."""
    return ids[: next((place for place, number in enumerate(ids) if number in ends), len(ids))]
