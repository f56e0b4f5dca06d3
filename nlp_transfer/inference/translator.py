"""An adapted translation model in use: texts in, translations out, in the input's order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from nlp_transfer.data.texts import whole_characters
from nlp_transfer.errors import DataError, ModelError, did_you_mean
from nlp_transfer.models.families import MarianFamily
from nlp_transfer.models.generation import USUAL_TARGET_RATIO, generate
from nlp_transfer.models.resolving import resolve_model
from nlp_transfer.models.translation import (
    LoadedTranslator,
    load_translator,
    max_positions,
    read_description,
)

USUAL_BEAMS, USUAL_MAX_LENGTH_TOKENS = 4, 512


class Translator:
    """A translation model with the languages that it translates between.

    Args:
        loaded: the model.
        directions: language pairs that it was made for, the default first.
        max_length_tokens: longer sources are refused.
        num_beams: hypotheses kept where a call does not say.
        target_ratio: tokens a translation may have for each of its source's.
        generate: writes translations as `models.generation.generate` does, for a model of another runtime.
    """

    def __init__(
        self,
        loaded: LoadedTranslator,
        *,
        directions: Sequence[tuple[str, str]],
        max_length_tokens: int,
        num_beams: int = USUAL_BEAMS,
        target_ratio: float = USUAL_TARGET_RATIO,
        generate: Callable[..., list[list[int]]] = generate,
    ) -> None:
        self.loaded = loaded
        self.directions = [(source, target) for source, target in directions]
        self.max_length_tokens = max_length_tokens
        self.num_beams = num_beams
        self.target_ratio = target_ratio
        self._generate = generate
        loaded.model.eval()

    @property
    def tokenizer(self) -> Any:
        """The model's tokenizer."""
        return self.loaded.tokenizer

    @property
    def src_lang(self) -> str:
        """Code of the language translated from."""
        return self.directions[0][0]

    @property
    def tgt_lang(self) -> str:
        """Code of the language translated into where a call does not say."""
        return self.directions[0][1]

    def count_tokens(
        self, texts: Sequence[str], *, src_lang: str | None = None, tgt_lang: str | None = None
    ) -> list[int]:
        """Return the tokens of each source text, language tokens and end included."""
        encoded = self._encoded(texts, src_lang or self.src_lang, tgt_lang or self.tgt_lang)
        return [len(ids) for ids in encoded]

    def translate(
        self,
        texts: Sequence[str],
        *,
        src_lang: str | None = None,
        tgt_lang: str | None = None,
        num_beams: int | None = None,
        label: str | None = None,
    ) -> list[str]:
        """Translate texts, in their order; blank ones come back as they are.

        Args:
            texts: one sentence or short paragraph each.
            src_lang: None is the model's default.
            tgt_lang: None is the model's default.
            num_beams: hypotheses kept; 1 is greedy search, None the model's default.
            label: names a progress bar on stderr; None shows none.

        Raises:
            DataError: a text is longer than the model reads; nothing is cut.
            ModelError: the model does not know a language.
            TypeError: `texts` is one string, or holds something else than strings.
        """
        if isinstance(texts, str) or not all(isinstance(text, str) for text in texts):
            raise TypeError('translate takes a list of texts: translate(["Save the file"])')
        source, target = src_lang or self.src_lang, tgt_lang or self.tgt_lang
        self._require_language(target)
        rows = [row for row, text in enumerate(texts) if text.strip()]
        if not rows:
            return list(texts)
        sources = self._encoded([texts[row] for row in rows], source, target)
        self._require_length([len(ids) for ids in sources], rows)
        prefix = self.loaded.family.decoder_prefix(self.loaded.tgt_lang(target))
        written = self._generate(
            self.loaded.model,
            sources,
            [prefix] * len(sources),
            num_beams=num_beams or self.num_beams,
            most_tokens=self.max_length_tokens,
            ratio=self.target_ratio,
            label=label,
        )
        translations = list(texts)
        decoded = self.loaded.tokenizer.batch_decode(written, skip_special_tokens=True)
        for row, translation in zip(rows, decoded, strict=True):
            translations[row] = translation
        return translations

    def _require_language(self, wanted: str) -> None:
        """Refuse another language than a model's only one, which it would write instead."""
        family = self.loaded.family
        languages = {target for _, target in self.directions}
        if isinstance(family, MarianFamily) and not family.languages() and wanted not in languages:
            raise ModelError(
                f"the model translates into {' and '.join(sorted(languages))} alone, not into {wanted!r}"
            )

    def _encoded(self, texts: Sequence[str], src_lang: str, tgt_lang: str) -> Any:
        whole = [whole_characters(text) for text in texts]
        return self.loaded.family.encode_sources(
            whole, src_lang=self.loaded.src_lang(src_lang), tgt_lang=self.loaded.tgt_lang(tgt_lang)
        )

    def _require_length(self, lengths: Sequence[int], rows: Sequence[int]) -> None:
        for length, row in zip(lengths, rows, strict=True):
            if length > self.max_length_tokens:
                raise DataError(
                    f"text {row + 1} has {length:,} tokens and the model reads {self.max_length_tokens:,} at "
                    "most; divide it into sentences"
                )


def load_translation_model(
    path: str, *, revision: str | None = None, src_lang: str | None = None, tgt_lang: str | None = None
) -> Translator:
    """Load a translation model with the languages that it says it translates between.

    Args:
        path: a model folder, a Hub id, `package://module/folder` or `embedded://name`.
        revision: Hub revision.
        src_lang: for a model that does not say it.
        tgt_lang: for a model that does not say it.

    Raises:
        ModelError: it cannot be loaded, or its languages are not known.
    """
    from nlp_transfer.inference.devices import device

    loaded = load_translator(path, revision=revision)
    loaded.model.to(device())
    return translator_of(loaded, Path(resolve_model(path)), name=path, src_lang=src_lang, tgt_lang=tgt_lang)


def translator_of(
    loaded: LoadedTranslator,
    folder: Path,
    *,
    name: str,
    src_lang: str | None,
    tgt_lang: str | None,
    generate: Callable[..., list[list[int]]] = generate,
) -> Translator:
    """Give a loaded model the languages that its folder says it translates between.

    Args:
        loaded: the model.
        folder: with the model's description, where it has one.
        name: the model's, for messages.
        src_lang: for a model that does not say it.
        tgt_lang: for a model that does not say it.
        generate: see `Translator`.

    Raises:
        ModelError: its languages are not known.
    """
    description = read_description(folder) or {}
    directions = [tuple(each) for each in description.get("directions", [])]
    given = (src_lang or _stated(loaded, "source"), tgt_lang or _stated(loaded, "target"))
    if src_lang or tgt_lang or not directions:
        default = directions[0] if directions else (None, None)
        first = (given[0] or default[0], given[1] or default[1])
        if not all(first):
            known = loaded.family.languages()
            raise ModelError(
                f"{name} does not say which languages it translates between; name them "
                f"({did_you_mean(tgt_lang or '', known) if known else 'src_lang, tgt_lang'})"
            )
        directions = [first, *directions]
    limit = max_positions(loaded.model.config) or USUAL_MAX_LENGTH_TOKENS
    return Translator(
        loaded,
        directions=directions,
        max_length_tokens=min(limit, int(description.get("max_length_tokens", limit))),
        num_beams=int(description.get("num_beams", USUAL_BEAMS)),
        target_ratio=float(description.get("target_ratio", USUAL_TARGET_RATIO)),
        generate=generate,
    )


def _stated(loaded: LoadedTranslator, side: str) -> str | None:
    """Return the language that a tokenizer was saved with, as opus-mt's single models are."""
    if isinstance(loaded.family, MarianFamily):
        return getattr(loaded.tokenizer, f"{side}_lang", None)
    return getattr(loaded.tokenizer, {"source": "src_lang", "target": "tgt_lang"}[side], None)
