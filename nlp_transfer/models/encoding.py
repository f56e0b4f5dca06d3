"""Sentence pairs as a model's ids, each direction with its own language tokens."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from nlp_transfer.data.pairs import Direction, Pairs
from nlp_transfer.models.sequences import Sequences
from nlp_transfer.models.token_cache import Columns, kept_columns, tokenizer_rules
from nlp_transfer.models.translation import LoadedTranslator


def encode_pairs(
    pairs: Pairs, loaded: LoadedTranslator, *, asked_as: Mapping[str, str]
) -> tuple[Sequences, Sequences, list[list[int]]]:
    """Encode both sides of pairs, each direction with its own language tokens; many pairs once (token_cache).

    Returns:
        (sources, targets, decoder prefixes), each in the pairs' order.
    """
    prefix_of = {
        direction: loaded.family.decoder_prefix(_target_code(direction, loaded, asked_as))
        for direction in dict.fromkeys(pairs.directions)
    }

    def cut() -> Columns:
        sources, targets = _cut(pairs, loaded, asked_as)
        return {"sources": sources, "targets": targets}

    def follows_from() -> Iterator[str]:
        yield from (type(loaded.family).__name__, tokenizer_rules(loaded.tokenizer))
        yield repr(sorted(asked_as.items()))
        for source, target, direction in zip(pairs.sources, pairs.targets, pairs.directions, strict=True):
            yield from (source, target, *direction)

    found = kept_columns(len(pairs), follows_from, cut)
    return found["sources"], found["targets"], [prefix_of[direction] for direction in pairs.directions]


def _target_code(direction: Direction, loaded: LoadedTranslator, asked_as: Mapping[str, str]) -> str:
    return loaded.tgt_lang(asked_as.get(direction[1], direction[1]))


def _cut(pairs: Pairs, loaded: LoadedTranslator, asked_as: Mapping[str, str]) -> tuple[Sequences, Sequences]:
    sources: list[Any] = [None] * len(pairs)
    targets: list[Any] = [None] * len(pairs)
    rows_of: dict[Direction, list[int]] = {}
    for row, direction in enumerate(pairs.directions):
        rows_of.setdefault(direction, []).append(row)
    for (src_lang, tgt_lang), rows in rows_of.items():
        src_code = loaded.src_lang(asked_as.get(src_lang, src_lang))
        tgt_code = _target_code((src_lang, tgt_lang), loaded, asked_as)
        encoded = loaded.family.encode_sources(
            [pairs.sources[row] for row in rows], src_lang=src_code, tgt_lang=tgt_code
        )
        labels = loaded.family.encode_targets([pairs.targets[row] for row in rows], tgt_lang=tgt_code)
        for place, row in enumerate(rows):
            sources[row], targets[row] = encoded[place], labels[place]
    return Sequences.packed(sources), Sequences.packed(targets)
