"""Vocabularies of translation models: made anew by SentencePiece, and widened for a new language.

A new vocabulary is one that both languages share, with bytes as a last resort, so that no script is beyond
it. Widening adds a language's token and the characters that the vocabulary lacks; each new row of the
embedding starts from what it stands beside, by token id.
"""

from __future__ import annotations

import json
import logging
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import MarianTokenizer

from nlp_transfer.errors import ModelError

logger = logging.getLogger(__name__)
# SentencePiece learns from at most so many sentences; more change its pieces little and cost minutes.
MAX_VOCABULARY_SENTENCES = 500_000
# Rarer characters are spelt in bytes.
CHARACTER_COVERAGE = 0.9999


def marian_tag(language: str) -> str:
    """Return the token that asks a multilingual Marian model for a language (opus-mt's form)."""
    return f">>{language}<<"


def learn_vocabulary(
    texts: Sequence[str], *, size: int, languages: Sequence[str], max_length: int
) -> MarianTokenizer:
    """Learn a SentencePiece vocabulary (Kudo 2018, unigram) and build a Marian tokenizer on it.

    Text is not normalised: what cleaning leaves is what a localiser wrote.

    Args:
        texts: both sides of the training pairs.
        size: pieces, bytes included; fewer are made where the text does not hold as many.
        languages: codes of the languages translated into; each gets a tag.
        max_length: of a sequence, written into the tokenizer.

    Raises:
        ModelError: there is too little text.
    """
    import sentencepiece

    step = max(1, len(texts) // MAX_VOCABULARY_SENTENCES)
    with tempfile.TemporaryDirectory() as folder:
        prefix = Path(folder) / "shared"
        try:
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=iter(texts[::step]),
                model_prefix=str(prefix),
                vocab_size=size,
                hard_vocab_limit=False,
                model_type="unigram",
                character_coverage=CHARACTER_COVERAGE,
                byte_fallback=True,
                normalization_rule_name="identity",
                max_sentence_length=10_000,
                num_threads=torch.get_num_threads(),
                minloglevel=2,
            )
        except RuntimeError as error:
            raise ModelError(
                f"no vocabulary of {size} pieces can be learnt from {len(texts):,} texts "
                f"({str(error).splitlines()[0][:200]}); lower model.architecture.vocabulary_size"
            ) from error
        spm = prefix.with_suffix(".model")
        learnt = sentencepiece.SentencePieceProcessor(model_file=str(spm))
        pieces = [learnt.id_to_piece(number) for number in range(learnt.get_piece_size())]
        special = {"<unk>", "<s>", "</s>"}
        names = ["</s>", "<unk>", *(piece for piece in pieces if piece not in special)]
        names += [*(marian_tag(language) for language in languages), "<pad>"]
        vocabulary = Path(folder) / "vocab.json"
        vocabulary.write_text(
            json.dumps({name: number for number, name in enumerate(names)}), encoding="utf-8"
        )
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Recommended: pip install sacremoses")
            return MarianTokenizer(str(spm), str(spm), str(vocabulary), model_max_length=max_length)


def missing_characters(texts: Iterable[str], pieces: Iterable[str]) -> Counter[str]:
    """Count the characters of texts that stand in no piece of a vocabulary, spaces left out.

    >>> missing_characters(["señor", "años"], ["▁se", "a", "or", "os"])
    Counter({'ñ': 2})
    """
    known = set().union(*map(set, pieces))
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(text)
    return Counter(
        {
            character: count
            for character, count in counts.items()
            if character not in known and not character.isspace()
        }
    )


def start_rows(model: Any, new_ids: Sequence[int], like: Sequence[Sequence[int]]) -> None:
    """Start the embedding rows of new tokens as the mean of others', input and output side.

    Rows are set by token id: a vocabulary that was padded holds untrained rows already, and no change of size
    would tell.

    Args:
        model: a sequence-to-sequence model whose embedding has a row for every id.
        new_ids: the new tokens.
        like: for each of them the ids whose mean it starts from.
    """
    tables = {id(table.weight): table.weight for table in _tables(model)}
    with torch.no_grad():
        for weight in tables.values():
            for new, others in zip(new_ids, like, strict=True):
                weight[new] = weight[list(others)].mean(dim=0)
        bias = getattr(model, "final_logits_bias", None)
        if bias is not None:
            for new, others in zip(new_ids, like, strict=True):
                bias[:, new] = bias[:, list(others)].mean(dim=1)


def _tables(model: Any) -> list[nn.Embedding | nn.Linear]:
    found = [model.get_input_embeddings(), model.get_output_embeddings()]
    decoder = getattr(getattr(model, "model", model), "decoder", None)
    found.append(getattr(decoder, "embed_tokens", None))
    return [table for table in found if table is not None]
