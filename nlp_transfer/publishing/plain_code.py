"""The code in a translation model's card for people who have `transformers` alone.

Each family is told its languages in its own way (models/families.py), and without it a model of several
languages writes whichever it likes. What is printed gives what `load_adapted(...).translate` gives.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from nlp_transfer.errors import ModelError


@dataclass(frozen=True)
class PlainTranslation:
    """What plain `transformers` must be told to translate as the model's `Translator` does by default."""

    before: str
    """What stands before the source's text: a tag, a prompt, or nothing."""
    src_lang: str | None
    """The tokenizer's own code of the source language, where it is told one."""
    first_token: str | None
    """The token that the decoder must begin with, where it is told its language by one."""
    num_beams: int
    max_length_tokens: int
    target_ratio: float
    first_source_token: str | None = None
    """The token that the source must begin with, where the tokenizer cannot be told the language."""

    def code(self, where: str, example: str) -> str:
        """Write the code.

        Args:
            where: the first arguments of `from_pretrained`.
            example: a source text.
        """
        from nlp_transfer.models.generation import EXTRA_TOKENS

        source = "" if self.src_lang is None else f", src_lang={_quoted(self.src_lang)}"
        # The forced token is one of the new ones, and no part of the translation.
        forced = 0 if self.first_token is None else 1
        most, extra = self.max_length_tokens + forced, EXTRA_TOKENS + forced
        told = [f"num_beams={self.num_beams}", f"max_new_tokens=min({most}, length)", "max_length=None"]
        if self.num_beams > 1:
            told.append("early_stopping=True")
        if self.first_token is not None:
            told.append(f"forced_bos_token_id={_id_of(self.first_token)}")
        first = self.first_source_token
        begin = [] if first is None else [f'inputs["input_ids"][:, 0] = {_id_of(first)}']
        return "\n".join(
            [
                "import math",
                "",
                "from transformers import AutoModelForSeq2SeqLM, AutoTokenizer",
                "",
                f"tokenizer = AutoTokenizer.from_pretrained({where}{source})",
                f"model = AutoModelForSeq2SeqLM.from_pretrained({where})",
                f'inputs = tokenizer({_quoted(self.before + example)}, return_tensors="pt")',
                *begin,
                f'length = math.ceil({self.target_ratio!r} * inputs["input_ids"].shape[1]) + {extra}',
                "output = model.generate(",
                "    **inputs,",
                *(f"    {each}," for each in told),
                ")",
                "print(tokenizer.batch_decode(output, skip_special_tokens=True))",
            ]
        )


def plain_translation(folder: Path) -> PlainTranslation:
    """Read out of a model's folder what plain `transformers` must be told for its default direction.

    Raises:
        ModelError: the folder holds no translation model that says what it translates.
    """
    from nlp_transfer.models.families import CodeFamily, MarianFamily, PromptFamily
    from nlp_transfer.models.translation import Use, load_tokens, max_positions, read_description

    description = read_description(folder)
    if description is None:
        raise ModelError(f"{folder} does not say what it translates: it has no translation.json")
    use, loaded = Use(**description), load_tokens(str(folder))
    family, (src_lang, tgt_lang) = loaded.family, use.directions[0]
    source, target = loaded.src_lang(src_lang), loaded.tgt_lang(tgt_lang)
    before, positions = "", max_positions(loaded.model.config)
    if isinstance(family, PromptFamily):
        before = family.prompt(source, target)
    elif isinstance(family, MarianFamily) and family.languages():
        before = f"{family.language_token(target)} "
    coded = isinstance(family, CodeFamily)
    told = isinstance(family, CodeFamily) and family.tokenizer_reads(source)
    return PlainTranslation(
        before,
        src_lang=source if told else None,
        first_token=family.language_token(target) if coded else None,
        first_source_token=family.language_token(source) if coded and not told else None,
        num_beams=use.num_beams,
        max_length_tokens=min(use.max_length_tokens, positions or use.max_length_tokens),
        target_ratio=use.target_ratio,
    )


def _id_of(token: str) -> str:
    """Write the code that finds a token's id."""
    return f"tokenizer.convert_tokens_to_ids({_quoted(token)})"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
