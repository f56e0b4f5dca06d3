"""Which pairs are worth learning from: texts in one form, and the rules by which a pair is dropped.

Both sides are first normalised: Unicode NFC, white space collapsed (line breaks too), markup taken out,
accelerator keys taken out (markup.py). Placeholders stay as they are (placeholders.py). Then a pair is
dropped by the first of these rules that it breaks, and counted under that rule's name:

    empty                 a side has no letter, but for its placeholders
    too long              a side has more than 1,000 characters
    identical             both sides are equal but for capitals
    identifier            the source is a name in a program (`label_add`, `form.title`), not a text
    placeholder mismatch  the sides do not have the same placeholders equally often
    length ratio          one side is much longer than the other; short texts may differ more
    wrong script          less than a third of a side's letters are of its language's scripts
    wrong language        a target of six words or more is in the source language, almost certainly
    duplicate             an equal source text has another translation, given more often or earlier

The last one leaves one pair for each source text. A set that is given backwards is refused.
"""

from __future__ import annotations

import dataclasses
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial

from nlp_transfer.data.identifying import identifier, known_languages
from nlp_transfer.data.languages import identifier_code
from nlp_transfer.data.markup import strip_accelerators, strip_markup
from nlp_transfer.data.placeholders import placeholders, without_placeholders
from nlp_transfer.data.raw_pairs import RawPair
from nlp_transfer.data.scripts import has_letters, scripts_of, share_in
from nlp_transfer.errors import DataError

MAX_CHARACTERS = 1_000
# Markup may make a text longer than its words; what is longer than this is not looked at any closer.
MAX_RAW_CHARACTERS = 20 * MAX_CHARACTERS
# The longer side, SLACK added to both, may be so many times as long as the shorter one: "OK" may be "De
# acuerdo", but 100 characters may not be 300. A text in Chinese, Japanese or Korean has about a third of the
# characters.
SLACK = 15
MAX_RATIO = 2.5
MAX_RATIO_OF_DENSE = 5.0
DENSE_SCRIPTS = frozenset({"Hani", "Hira", "Kana", "Hang"})
MIN_SHARE_IN_SCRIPT = 1 / 3
# On software text 42% of English lines of six words are recognised this surely and no Galician, Asturian or
# French one of 24,000 is taken for English.
MIN_WORDS_TO_IDENTIFY = 6
MIN_CONFIDENCE = 0.95
# A set counts as backwards when most of a sample of long pairs says so.
BACKWARDS_SAMPLE = 100
MIN_BACKWARDS_SAMPLE = 10
IDENTIFIER = re.compile(r"[a-z][a-zA-Z0-9]*(?:[_.:-][a-zA-Z0-9]+)*[_.:][a-zA-Z0-9]+")
Identify = Callable[[str], tuple[str, float]]
Scripts = tuple[tuple[str, ...], tuple[str, ...]]
"""Those of the source and of the target language."""


def clean_pairs(
    pairs: Iterable[RawPair], *, src_lang: str, tgt_lang: str, dropped: Counter[str] | None = None
) -> list[RawPair]:
    """Normalise pairs and drop what is wrong with them; one pair is left for each source text.

    Args:
        pairs: pairs as they were read.
        src_lang: code of the source language.
        tgt_lang: code of the target language.
        dropped: counts the dropped pairs by rule (see the module's head).

    Raises:
        DataError: the sources are in the target language and the targets in the source language.

    >>> clean_pairs([RawPair("_Open <b>%s</b>", "_Abrir %s")], src_lang="en", tgt_lang="gl")[0].target
    'Abrir %s'
    """
    dropped = Counter() if dropped is None else dropped
    broken_rule = partial(
        _broken_rule,
        scripts=(scripts_of(src_lang), scripts_of(tgt_lang)),
        max_ratio=_max_ratio(src_lang, tgt_lang),
    )
    kept = []
    for raw in pairs:
        pair = _normalised(raw)
        rule = "too long" if pair is None else broken_rule(pair)
        if pair is None or rule is not None:
            dropped[rule or ""] += 1
        else:
            kept.append(pair)
    kept = _without_wrong_language(kept, src_lang, tgt_lang, dropped)
    unique = _majority(kept)
    dropped.update({"duplicate": len(kept) - len(unique)} if len(unique) < len(kept) else {})
    return unique


def normalise_pair(source: str, target: str) -> tuple[str, str]:
    """Bring both sides of a pair into the form that is learnt from, which may be empty.

    >>> normalise_pair("_File   <i>name</i>:", "&Nome  do ficheiro:")
    ('File name:', 'Nome do ficheiro:')
    """
    source, target = (_one_line(strip_markup(_one_line(text))) for text in (source, target))
    source, target = strip_accelerators(source, target)
    return source.strip(), target.strip()


def _normalised(raw: RawPair) -> RawPair | None:
    if max(len(raw.source), len(raw.target)) > MAX_RAW_CHARACTERS:
        return None
    source, target = normalise_pair(raw.source, raw.target)
    return dataclasses.replace(raw, source=source, target=target)


def _one_line(text: str) -> str:
    return unicodedata.normalize("NFC", " ".join(text.split()))


def _broken_rule(pair: RawPair, *, scripts: Scripts, max_ratio: float) -> str | None:
    """Name the first rule that a normalised pair breaks on its own."""
    source, target = pair.source, pair.target
    if max(len(source), len(target)) > MAX_CHARACTERS:
        return "too long"
    words = without_placeholders(source), without_placeholders(target)
    if not all(map(has_letters, words)):
        return "empty"
    if source.casefold() == target.casefold():
        return "identical"
    if IDENTIFIER.fullmatch(source):
        return "identifier"
    return _broken_relation(source, target, words, scripts=scripts, max_ratio=max_ratio)


def _broken_relation(
    source: str, target: str, words: tuple[str, str], *, scripts: Scripts, max_ratio: float
) -> str | None:
    """Name the first rule that two sides break, neither of which is wrong in itself."""
    shorter, longer = sorted((len(source), len(target)))
    if sorted(placeholders(source)) != sorted(placeholders(target)):
        return "placeholder mismatch"
    if longer + SLACK > max_ratio * (shorter + SLACK):
        return "length ratio"
    shares = (share_in(text, own) for text, own in zip(words, scripts, strict=True) if own)
    return "wrong script" if any(share < MIN_SHARE_IN_SCRIPT for share in shares) else None


def _max_ratio(src_lang: str, tgt_lang: str) -> float:
    dense = [bool(DENSE_SCRIPTS.intersection(scripts_of(code))) for code in (src_lang, tgt_lang)]
    return MAX_RATIO if dense[0] == dense[1] else MAX_RATIO_OF_DENSE


def _without_wrong_language(
    pairs: list[RawPair], src_lang: str, tgt_lang: str, dropped: Counter[str]
) -> list[RawPair]:
    """Drop long targets that are in the source language, if it is known; refuse a set given backwards."""
    identify, known = identifier().classify, known_languages()
    source, target = (identifier_code(code) for code in (src_lang, tgt_lang))
    if source not in known or source == target:
        return pairs
    long = [len(pair.target.split()) >= MIN_WORDS_TO_IDENTIFY for pair in pairs]
    if target in known:
        _refuse_backwards(
            [pair for pair, is_long in zip(pairs, long, strict=True) if is_long], source, target
        )
    kept = [
        pair
        for pair, is_long in zip(pairs, long, strict=True)
        if not (is_long and _is_in(source, pair.target, identify))
    ]
    dropped.update({"wrong language": len(pairs) - len(kept)} if len(kept) < len(pairs) else {})
    return kept


def _is_in(language: str, text: str, identify: Identify) -> bool:
    found, confidence = identify(without_placeholders(text))
    return found == language and confidence >= MIN_CONFIDENCE


def _refuse_backwards(pairs: list[RawPair], source: str, target: str) -> None:
    """Refuse pairs whose sources mostly are in the target's language and whose targets in the source's."""
    identify = identifier().classify
    sample = pairs[:: max(1, len(pairs) // BACKWARDS_SAMPLE)]
    backwards = sum(
        identify(pair.source)[0] == target and identify(pair.target)[0] == source for pair in sample
    )
    if len(sample) >= MIN_BACKWARDS_SAMPLE and backwards > len(sample) / 2:
        raise DataError(
            f"the pair is given backwards: of {len(sample)} long pairs {backwards} have a source in "
            f"{target} and a "
            f"target in {source}; swap src_lang and tgt_lang, or the columns (first: "
            f"{sample[0].source[:60]!r})"
        )


def _majority(pairs: list[RawPair]) -> list[RawPair]:
    """Keep one pair of each source text: the translation given most often, the first of equals."""
    translations: dict[str, Counter[str]] = {}
    for pair in pairs:
        translations.setdefault(pair.source, Counter())[pair.target] += 1
    chosen = {source: counts.most_common(1)[0][0] for source, counts in translations.items()}
    kept: dict[str, RawPair] = {}
    for pair in pairs:
        if pair.target == chosen[pair.source]:
            kept.setdefault(pair.source, pair)
    return list(kept.values())
