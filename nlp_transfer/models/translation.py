"""Translation models: from the Hub, a folder or the package, or made anew; and a language added to one.

Weights are float32 whatever the checkpoint holds. How a family is told its languages stands in families.py,
what a vocabulary lacks in vocabulary.py.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForSeq2SeqLM, AutoTokenizer, MarianConfig, MarianMTModel

from nlp_transfer.data.languages import find_language, require_language, written_like
from nlp_transfer.errors import ModelError
from nlp_transfer.models.families import Family, MarianFamily, family_of
from nlp_transfer.models.loading import as_model_error, quiet_library, save_json
from nlp_transfer.models.resolving import resolve_model
from nlp_transfer.models.vocabulary import learn_vocabulary, start_rows

logger = logging.getLogger(__name__)
# Beside a model's own files: what it translates, for `load_adapted`.
DESCRIPTION = "translation.json"
# How the names of the library's classes of translation models end.
ARCHITECTURES = ("MTModel", "ConditionalGeneration")
# A parent that saw its text once may have been trained without dropout; few pairs from nothing need it.
FROM_NOTHING_DROPOUT = 0.1
# Positions of a model that is made anew: sinusoids, which cost nothing.
NEW_MODEL_POSITIONS = 512


@dataclass(frozen=True)
class Architecture:
    """The shape of a new model: plain values out of a recipe; see `ArchitectureConfig`."""

    vocabulary_size: int
    hidden_size: int
    feed_forward_size: int
    encoder_layers: int
    decoder_layers: int
    attention_heads: int
    dropout: float
    init_std: float


@dataclass(frozen=True)
class LoadedTranslator:
    """A sequence-to-sequence model, its tokenizer, and how it is told its languages."""

    model: Any
    tokenizer: Any
    family: Family

    def tgt_lang(self, wanted: str, *, name: str = "the model") -> str:
        """Return the model's own code of a language to translate into; the wanted one where it has one alone.

        Raises:
            ModelError: the model has languages, and not this one; the near ones are named.
        """
        known = self.family.languages()
        return require_language(wanted, known, model=name) if known else wanted

    def src_lang(self, wanted: str, *, name: str = "the model") -> str:
        """Return the model's own code of a language to translate from; see `tgt_lang`."""
        known = self.source_languages()
        return require_language(wanted, known, model=name) if known else wanted

    def source_languages(self) -> list[str]:
        """Return the model's codes of languages to translate from; empty where it is told none."""
        return [] if isinstance(self.family, MarianFamily) else self.family.languages()


def load_translator(path: str, *, revision: str | None = None, pretrained: bool = True) -> LoadedTranslator:
    """Load a translation model as float32.

    Args:
        path: Hub id, folder, `package://module/folder` or `embedded://name`.
        revision: Hub revision.
        pretrained: False starts every weight at random (the `scratch` system).

    Raises:
        ModelError: the model cannot be found, read, or is no translation model that is known.
    """
    tokens = load_tokens(path, revision=revision)
    with as_model_error(path), quiet_library():
        if not pretrained:
            return dataclasses.replace(tokens, model=_at_random(tokens.model.config))
        model, info = AutoModelForSeq2SeqLM.from_pretrained(
            resolve_model(path), revision=revision, dtype=torch.float32, use_safetensors=True,
            output_loading_info=True,
        )  # fmt: skip
    lacking = sorted(info["missing_keys"])
    if lacking:
        raise ModelError(f"{path} is not whole: it has no weights for {', '.join(lacking[:3])}")
    return dataclasses.replace(tokens, model=model)


def load_tokens(path: str, *, revision: str | None = None) -> LoadedTranslator:
    """Load a translation model's configuration and tokenizer; its `model` has a `config` and no weights.

    Raises:
        ModelError: the model cannot be found, read, or is no translation model that is known.
    """
    folder = resolve_model(path)
    with as_model_error(path), quiet_library():
        config = AutoConfig.from_pretrained(folder, revision=revision)
        with warnings.catch_warnings():
            # Marian's tokenizer recommends a package that it does not use.
            warnings.filterwarnings("ignore", message="Recommended: pip install sacremoses")
            tokenizer = AutoTokenizer.from_pretrained(folder, revision=revision)
        _add_language_tokens(tokenizer)
    architecture = (config.architectures or ["?"])[0]
    if not architecture.endswith(ARCHITECTURES):
        raise ModelError(f"{path} is no translation model but a {architecture}")
    return LoadedTranslator(
        SimpleNamespace(config=config), tokenizer, family_of(config.model_type, tokenizer)
    )


def _add_language_tokens(tokenizer: Any) -> None:
    """Have M2M100's language tokens known as special ones, which not every saved tokenizer says.

    They have their ids either way; without this they are no part of the vocabulary, stay in decoded text, and
    a new token would take the id of the first of them.
    """
    tokens = getattr(tokenizer, "lang_token_to_id", {})
    lacking = [token for token in tokens if token not in tokenizer.added_tokens_encoder]
    if lacking:
        tokenizer.add_special_tokens({"extra_special_tokens": lacking}, replace_extra_special_tokens=False)


def _at_random(config: Any) -> Any:
    """Make a model of the same shape whose weights start at random, at a scale that lets it learn."""
    if config.model_type == "marian":
        # 0.02, which opus-mt's files state and Marian never used, starves a small model (TRAPS.md).
        config.init_std = max(config.init_std, config.d_model**-0.5)
        config.dropout = max(config.dropout, FROM_NOTHING_DROPOUT)
    return AutoModelForSeq2SeqLM.from_config(config, dtype=torch.float32)


def new_translator(
    shape: Architecture, texts: Sequence[str], *, languages: Sequence[str], max_length_tokens: int
) -> LoadedTranslator:
    """Make a Marian model and the vocabulary that it shares between its languages; the weights are random.

    Args:
        shape: widths and layers.
        texts: both sides of the training pairs.
        languages: codes of the languages translated into.
        max_length_tokens: of a sequence.
    """
    tokenizer = learn_vocabulary(
        texts, size=shape.vocabulary_size, languages=languages, max_length=max_length_tokens
    )
    pad, end = tokenizer.pad_token_id, tokenizer.eos_token_id
    config = MarianConfig(
        vocab_size=_table_rows(len(tokenizer)),
        d_model=shape.hidden_size,
        encoder_layers=shape.encoder_layers,
        decoder_layers=shape.decoder_layers,
        encoder_ffn_dim=shape.feed_forward_size,
        decoder_ffn_dim=shape.feed_forward_size,
        encoder_attention_heads=shape.attention_heads,
        decoder_attention_heads=shape.attention_heads,
        max_position_embeddings=max(NEW_MODEL_POSITIONS, max_length_tokens),
        dropout=shape.dropout,
        attention_dropout=0.0,
        activation_dropout=0.0,
        activation_function="relu",
        init_std=shape.init_std,
        scale_embedding=True,
        share_encoder_decoder_embeddings=True,
        tie_word_embeddings=True,
        pad_token_id=pad,
        eos_token_id=end,
        bos_token_id=None,
        forced_eos_token_id=None,
        decoder_start_token_id=pad,
        architectures=["MarianMTModel"],
    )
    model = MarianMTModel(config)
    model.generation_config.update(bad_words_ids=[[pad]], num_beams=4, max_length=max_length_tokens)
    _never_write_spare_rows(model, used=len(tokenizer))
    return LoadedTranslator(model, tokenizer, MarianFamily(tokenizer))


def add_language(loaded: LoadedTranslator, wanted: str, *, like: str) -> list[int]:
    """Add a language's token, whose embedding starts from a related language's.

    Args:
        loaded: the model, changed in place.
        wanted: code of the new language, as the user writes it.
        like: the model's own code of the related language.

    Returns:
        The new token's id, in a list; empty where the model has the language, or knows no language tokens.
    """
    known = loaded.family.languages()
    if not known or find_language(wanted, known) is not None:
        return []
    token = loaded.family.language_token(written_like(wanted, known[0]))
    new_id = _add_token(loaded, token)
    related = loaded.tokenizer.convert_tokens_to_ids(loaded.family.language_token(like))
    start_rows(loaded.model, [new_id], [[related]])
    logger.info("language %s: added as %s, started from %s", wanted, token, like)
    return [new_id]


def _add_token(loaded: LoadedTranslator, token: str) -> int:
    """Give a token the next free id, and the embedding a row for it."""
    tokenizer = loaded.tokenizer
    if isinstance(loaded.family, MarianFamily):
        new_id = int(max(tokenizer.encoder.values())) + 1
        tokenizer.encoder[token] = new_id
        tokenizer.decoder[new_id] = token
        tokenizer.supported_language_codes.append(token)
    else:
        tokenizer.add_special_tokens({"extra_special_tokens": [token]}, replace_extra_special_tokens=False)
        new_id = int(tokenizer.convert_tokens_to_ids(token))
    grow_table(loaded, used=new_id + 1)
    return new_id


def grow_table(loaded: LoadedTranslator, *, used: int) -> None:
    """Have a row of the embedding for each id below `used`, and the family read the widened vocabulary."""
    loaded.family.read_vocabulary()
    if used > loaded.model.get_input_embeddings().weight.shape[0]:
        with quiet_library():
            # Not `pad_to_multiple_of`: Marian's bias over the vocabulary would not grow with the table.
            loaded.model.resize_token_embeddings(_table_rows(used), mean_resizing=False)
        _never_write_spare_rows(loaded.model, used=used)


def _table_rows(tokens: int) -> int:
    """Return how many rows an embedding gets: a multiple of eight, which matrix units like."""
    return math.ceil(tokens / 8) * 8


def _never_write_spare_rows(model: Any, *, used: int) -> None:
    """Keep generation to ids that have a token: Marian's tokenizer fails on any other."""
    rows = model.get_input_embeddings().weight.shape[0]
    model.generation_config.suppress_tokens = list(range(used, rows)) or None


@dataclass(frozen=True)
class Use:
    """How a model is used; `translation.json` beside it says so."""

    directions: Sequence[tuple[str, str]]
    """Language pairs, the default first."""
    max_length_tokens: int
    """Longer sources are refused."""
    num_beams: int = 4
    """Hypotheses kept while translating."""
    target_ratio: float = 4.0
    """Tokens that a translation may have for each of its source's."""


def describe(folder: Path, use: Use) -> None:
    """Write down beside a model how it is used."""
    save_json(folder / DESCRIPTION, dataclasses.asdict(use))


def is_translation_model(folder: Path) -> bool:
    """Tell whether a folder holds a model that writes text from text."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        names = config.get("architectures") or []
    except (OSError, ValueError, AttributeError):
        return False
    return any(str(name).endswith(ARCHITECTURES) for name in names)


def read_description(folder: Path) -> dict[str, Any] | None:
    """Return what `describe` wrote, or None for a model of another's.

    Raises:
        ModelError: the file is damaged.
    """
    path = folder / DESCRIPTION
    if not path.is_file():
        return None
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read: {error}") from error


def max_positions(config: Any) -> int | None:
    """Return how many tokens a model can read and write at most; None where it has no limit."""
    positions = getattr(config, "max_position_embeddings", None)
    return None if positions is None or config.model_type in ("t5", "mt5") else int(positions)
