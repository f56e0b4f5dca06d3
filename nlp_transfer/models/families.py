"""How each family of translation models is told its languages: tags, codes, prompts.

A family turns texts into the ids that its encoder reads, translations into labels, and names the tokens that
its decoder starts a language with. So sentences of several languages can stand in one batch, and nothing
hangs on a state of the tokenizer. Ids are built from pieces: text from data never becomes a special token.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from nlp_transfer.data.languages import language_name
from nlp_transfer.errors import ModelError
from nlp_transfer.models.sequences import Sequences
from nlp_transfer.models.vocabulary import marian_tag

Ids = list[int]


class Family(Protocol):
    """What every family can do; `lang` is always one of the model's own codes."""

    tokenizer: Any

    def languages(self) -> list[str]:
        """Return the codes of the languages that the model can be asked for; empty where it has one alone."""

    def encode_sources(self, texts: Sequence[str], *, src_lang: str, tgt_lang: str) -> Sequences:
        """Return what the encoder reads for each text, language tokens and end included."""

    def encode_targets(self, texts: Sequence[str], *, tgt_lang: str) -> Sequences:
        """Return the labels of each translation, language token and end included."""

    def decoder_prefix(self, tgt_lang: str) -> Ids:
        """Return what the decoder gets after its start token, before it writes."""

    def language_token(self, lang: str) -> str:
        """Return the token that stands for a language."""

    def read_vocabulary(self) -> None:
        """Read the tokenizer again, after tokens were added to it."""


class _Base:
    """What families share: a tokenizer's languages, read once, and pieces that are no special tokens."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self._languages: list[str] = []
        self.read_vocabulary()

    def languages(self) -> list[str]:
        return self._languages

    def read_vocabulary(self) -> None:
        self._languages = []

    def _pieces(self, texts: Sequence[str]) -> list[Ids]:
        """Cut texts into pieces; what is spelt like a special token is spelt out, a character a piece.

        `split_special_tokens` does that in some tokenizers only: in the others (mBART, T5) the special tokens
        are pieces of the vocabulary as well.
        """
        if not texts:
            return []
        encoded = self.tokenizer(list(texts), add_special_tokens=False, split_special_tokens=True)
        return [self._spelt_out(ids) for ids in encoded["input_ids"]]

    def _spelt_out(self, ids: Ids) -> Ids:
        tokenizer = self.tokenizer
        special = set(tokenizer.all_special_ids) - {tokenizer.unk_token_id}
        if special.isdisjoint(ids):
            return ids
        names = tokenizer.convert_ids_to_tokens(ids)
        spelt = [
            tokenizer.convert_tokens_to_ids(list(name)) if number in special else [number]
            for number, name in zip(ids, names, strict=True)
        ]
        return [number for numbers in spelt for number in numbers]

    @property
    def _end(self) -> Ids:
        return [self.tokenizer.eos_token_id]

    def _id(self, token: str) -> int:
        number = self.tokenizer.convert_tokens_to_ids(token)
        if number is None or number == self.tokenizer.unk_token_id:
            raise ModelError(f"the tokenizer has no token {token!r}")
        return int(number)


class MarianFamily(_Base):
    """Marian and opus-mt: `>>xx<<` before the source where the model has several targets."""

    def read_vocabulary(self) -> None:
        tokenizer = self.tokenizer
        tags = (token for token in tokenizer.get_vocab() if re.fullmatch(r">>[\w-]+<<", token))
        self._languages = [tag[2:-2] for tag in tags]
        self._source_ids = _id_table(tokenizer.spm_source, tokenizer.encoder, tokenizer.unk_token)
        target_vocabulary = tokenizer.target_encoder if tokenizer.separate_vocabs else tokenizer.encoder
        self._target_ids = _id_table(tokenizer.spm_target, target_vocabulary, tokenizer.unk_token)

    def language_token(self, lang: str) -> str:
        return marian_tag(lang)

    def encode_sources(self, texts: Sequence[str], *, src_lang: str, tgt_lang: str) -> Sequences:
        tag = [self._id(marian_tag(tgt_lang))] if tgt_lang in self.languages() else []
        return _packed(self.tokenizer.spm_source, texts, self._source_ids, before=tag, after=self._end)

    def encode_targets(self, texts: Sequence[str], *, tgt_lang: str) -> Sequences:
        return _packed(self.tokenizer.spm_target, texts, self._target_ids, before=[], after=self._end)

    def decoder_prefix(self, tgt_lang: str) -> Ids:
        return []


class CodeFamily(_Base):
    """M2M100, NLLB and mBART-50: a language token before the source, and one before the target."""

    def __init__(self, tokenizer: Any, *, pattern: str, token: str) -> None:
        self._pattern = re.compile(pattern)
        self._token = token
        super().__init__(tokenizer)

    def read_vocabulary(self) -> None:
        matches = (self._pattern.fullmatch(token) for token in self.tokenizer.get_vocab())
        self._languages = sorted(match.group(1) for match in matches if match is not None)

    def language_token(self, lang: str) -> str:
        return self._token.format(lang)

    def tokenizer_reads(self, lang: str) -> bool:
        """Tell whether the library's tokenizer can be set to a source language (`src_lang`): M2M100's and
        mBART-50's know those that they were made with alone, and fail on an added one when they are loaded.
        """
        codes = getattr(self.tokenizer, "lang_code_to_token", None)
        codes = codes or getattr(self.tokenizer, "lang_code_to_id", None)
        return codes is None or lang in codes

    def encode_sources(self, texts: Sequence[str], *, src_lang: str, tgt_lang: str) -> Sequences:
        before = [self._id(self.language_token(src_lang))]
        return Sequences.packed(before + pieces + self._end for pieces in self._pieces(texts))

    def encode_targets(self, texts: Sequence[str], *, tgt_lang: str) -> Sequences:
        before = self.decoder_prefix(tgt_lang)
        return Sequences.packed(before + pieces + self._end for pieces in self._pieces(texts))

    def decoder_prefix(self, tgt_lang: str) -> Ids:
        return [self._id(self.language_token(tgt_lang))]


class PromptFamily(_Base):
    """T5: the task in words before the source."""

    def prompt(self, src_lang: str, tgt_lang: str) -> str:
        """Return what stands before a source's text."""
        return f"translate {language_name(src_lang)} to {language_name(tgt_lang)}: "

    def language_token(self, lang: str) -> str:
        return ""

    def encode_sources(self, texts: Sequence[str], *, src_lang: str, tgt_lang: str) -> Sequences:
        prompt = self.prompt(src_lang, tgt_lang)
        return Sequences.packed(
            pieces + self._end for pieces in self._pieces([prompt + text for text in texts])
        )

    def encode_targets(self, texts: Sequence[str], *, tgt_lang: str) -> Sequences:
        return Sequences.packed(pieces + self._end for pieces in self._pieces(texts))

    def decoder_prefix(self, tgt_lang: str) -> Ids:
        return []


def family_of(model_type: str, tokenizer: Any) -> Family:
    """Return how a model's family is told its languages.

    Raises:
        ModelError: the family is not one that is known.
    """
    if model_type == "marian":
        return MarianFamily(tokenizer)
    if model_type == "m2m_100":
        if any(re.fullmatch(r"[a-z]{3}_[A-Z][a-z]{3}", token) for token in tokenizer.get_vocab()):
            return CodeFamily(tokenizer, pattern=r"([a-z]{3}_[A-Z][a-z]{3})", token="{}")
        return CodeFamily(tokenizer, pattern=r"__([a-z]{2,3}(?:_\w+)?)__", token="__{}__")
    if model_type == "mbart":
        return CodeFamily(tokenizer, pattern=r"([a-z]{2,3}_[A-Z]{2})", token="{}")
    if model_type in ("t5", "mt5"):
        return PromptFamily(tokenizer)
    raise ModelError(
        f"{model_type} models are no translation models that are known; known: marian, m2m_100 (M2M100, "
        "NLLB), mbart (mBART-50), t5, mt5"
    )


def _id_table(spm: Any, vocabulary: dict[str, int], unknown: str) -> np.ndarray:
    """Map SentencePiece's numbers to the vocabulary's: Marian keeps the two apart."""
    return np.asarray(
        [
            vocabulary.get(spm.id_to_piece(number), vocabulary[unknown])
            for number in range(spm.get_piece_size())
        ],
        dtype=np.int32,
    )


def _packed(spm: Any, texts: Sequence[str], table: np.ndarray, *, before: Ids, after: Ids) -> Sequences:
    """Cut texts into pieces, many at a time; ten times as fast as one by one through the tokenizer."""
    start, end = np.asarray(before, dtype=np.int32), np.asarray(after, dtype=np.int32)
    return Sequences.packed_arrays(
        np.concatenate([start, table[np.asarray(pieces, dtype=np.int64)], end])
        for pieces in spm.encode(list(texts))
    )
