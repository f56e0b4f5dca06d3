"""Sentence pairs as a model's ids, each direction with its own language tokens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nlp_transfer.data.pairs import Direction, Pairs
from nlp_transfer.models.sequences import Sequences
from nlp_transfer.models.translation import LoadedTranslator


def encode_pairs(
    pairs: Pairs, loaded: LoadedTranslator, *, asked_as: Mapping[str, str]
) -> tuple[Sequences, Sequences, list[list[int]]]:
    """Encode both sides of pairs, each direction with its own language tokens.

    Returns:
        (sources, targets, decoder prefixes), each in the pairs' order.
    """
    sources: list[Any] = [None] * len(pairs)
    targets: list[Any] = [None] * len(pairs)
    prefixes: list[list[int]] = [[]] * len(pairs)
    rows_of: dict[Direction, list[int]] = {}
    for row, direction in enumerate(pairs.directions):
        rows_of.setdefault(direction, []).append(row)
    for (src_lang, tgt_lang), rows in rows_of.items():
        src_code, tgt_code = loaded.src_lang(src_lang), loaded.tgt_lang(asked_as.get(tgt_lang, tgt_lang))
        encoded = loaded.family.encode_sources(
            [pairs.sources[row] for row in rows], src_lang=src_code, tgt_lang=tgt_code
        )
        labels = loaded.family.encode_targets([pairs.targets[row] for row in rows], tgt_lang=tgt_code)
        prefix = loaded.family.decoder_prefix(tgt_code)
        for place, row in enumerate(rows):
            sources[row], targets[row], prefixes[row] = encoded[place], labels[place], prefix
    return Sequences.packed(sources), Sequences.packed(targets), prefixes
