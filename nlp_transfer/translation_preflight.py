"""What a translation recipe asks of its model before training: that it knows the languages and can be
trained as asked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from nlp_transfer.config import RecipeConfig
from nlp_transfer.data.languages import require_language
from nlp_transfer.data.pair_checks import EncodedSide, EncodedSides
from nlp_transfer.data.pairs import Pairs, TransferPairs
from nlp_transfer.errors import ConfigError, ModelError
from nlp_transfer.models.asked import asked_of_modules
from nlp_transfer.related import lacking_languages

if TYPE_CHECKING:
    from nlp_transfer.earlier import EarlierModel
    from nlp_transfer.models.sequences import Sequences
    from nlp_transfer.models.translation import LoadedTranslator

METHODS = ("full", "lora")


def check_model(
    config: RecipeConfig, data: TransferPairs, *, earlier: EarlierModel | None = None
) -> Callable[[Pairs], EncodedSides] | None:
    """Look at a recipe's model; return how it cuts pairs, or None where it is made anew.

    Args:
        config: the recipe.
        data: both domains.
        earlier: the model that the run continues from, in place of the recipe's own.

    Raises:
        ConfigError: a method is not one of translation's.
        ModelError: the model cannot be loaded, is too short, lacks a layer or module that the recipe names,
            or does not know a language that it must.
    """
    _require_methods(config)
    path = config.model.path if earlier is None else earlier.path
    if path is None:
        _require_modules(config, None, "model.architecture")
        return None
    from nlp_transfer.models.translation import load_tokens, max_positions

    loaded = load_tokens(path, revision=config.model.revision if earlier is None else None)
    limit = max_positions(loaded.model.config)
    if limit is not None and config.model.max_length_tokens > limit:
        raise ModelError(
            f"model.max_length_tokens is {config.model.max_length_tokens} and {path} reads {limit} at most; "
            "lower it"
        )
    _require_modules(config, loaded.model.config, path)
    _require_languages(config, data, loaded, path)
    new_pieces = config.adaptation.new_pieces
    return lambda pairs: _encode(loaded, pairs, new_pieces=new_pieces)


def _require_methods(config: RecipeConfig) -> None:
    stage = config.source_stage
    asked = {"adaptation.method": config.adaptation.method}
    if stage is not None:
        asked["source_stage.method"] = stage.method
    for key, method in asked.items():
        if method not in METHODS:
            raise ConfigError(
                f"{key} is {method}, which is for classifiers; translation models are trained by "
                f"{' or '.join(METHODS)}"
            )


def _require_modules(config: RecipeConfig, model: Any, path: str) -> None:
    """The layers and modules that the recipe names must be the model's; None is one that is made anew."""
    for asked in asked_of_modules(config):
        from nlp_transfer.models.outlines import made_anew, require_translator_modules

        if (shape := config.model.architecture) is not None and model is None:
            model = made_anew(shape.encoder_layers)
        require_translator_modules(model, path=path, **asked)


def _require_languages(
    config: RecipeConfig, data: TransferPairs, loaded: LoadedTranslator, path: str
) -> None:
    """Both of the parent's languages must be the model's; the child's may be new."""
    for src_lang, tgt_lang in data.source.directions if data.source is not None else []:
        loaded.src_lang(src_lang, name=path)
        loaded.tgt_lang(tgt_lang, name=path)
    chosen = config.adaptation.related_lang
    if chosen != "auto" and any(lacking_languages(loaded, each) for each in data.target.directions):
        known = loaded.family.languages()
        require_language(chosen, known, model="adaptation.related_lang: the model")


def _encode(loaded: LoadedTranslator, pairs: Pairs, *, new_pieces: int | None) -> EncodedSides:
    """Cut pairs as the model would; a language that it lacks is asked for as any other."""
    from nlp_transfer.models.encoding import encode_pairs
    from nlp_transfer.models.piece_models import piece_model
    from nlp_transfer.models.vocabulary import missing_characters

    asked_as = {
        language: loaded.family.languages()[0]
        for direction in dict.fromkeys(pairs.directions)
        for language in lacking_languages(loaded, direction)
    }
    sources, targets, _ = encode_pairs(pairs, loaded, asked_as=asked_as)
    unknown, pieces = loaded.tokenizer.unk_token_id, loaded.tokenizer.get_vocab()

    def side(encoded: Sequences, texts: Sequence[str]) -> EncodedSide:
        return EncodedSide(
            tokens=encoded.lengths,
            unknown=int((encoded.ids == unknown).sum()),
            characters=sum(not character.isspace() for text in texts for character in text),
            missing=missing_characters(texts, pieces),
        )

    adds = piece_model(loaded.tokenizer) is not None and new_pieces != 0
    return EncodedSides(
        side(sources, pairs.sources),
        side(targets, pairs.targets),
        adds_characters=adds,
        adds_script=adds and new_pieces is not None,
    )
