"""The preflight for sentence pairs: what both domains hold, and what is doubtful about it, before training.

What cannot be read or split at all was refused before, in parallel.py; whether the model knows the languages
is looked at by the recipe, which hands over how it encodes pairs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from nlp_transfer.data import row_findings
from nlp_transfer.data.checks import DataReport, gravest_first
from nlp_transfer.data.languages import is_known
from nlp_transfer.data.pairs import Direction, PairDomain, Pairs, TransferPairs
from nlp_transfer.data.parallel import english_side
from nlp_transfer.data.scripts import has_letters, scripts_of, share_in
from nlp_transfer.data.skeletons import skeleton
from nlp_transfer.findings import Finding

# Pairs that are tokenised for the checks: enough for a share to one point.
MAX_TOKENISED_PAIRS = 2_000
MAX_LONG_SHARE = 0.02
MAX_UNKNOWN_SHARE = 0.01
# Beyond this share of unknown tokens a vocabulary cannot spell a language at all.
UNSPELLABLE_SHARE = 0.2
# Below it, other scripts are more than names and file formats.
MIN_SCRIPT_SHARE = 0.8
MAX_LISTED_CHARACTERS = 10
# A language that takes this many times the other side's tokens for a word is spelt nearly letter by letter.
MAX_TOKENS_A_WORD_RATIO = 3.0


@dataclass(frozen=True)
class EncodedSide:
    """How a model cuts one side of pairs."""

    tokens: npt.NDArray[np.int64]
    """Of each text."""
    unknown: int
    """Tokens that the vocabulary does not know."""
    characters: int
    """Spaces left out."""
    missing: Mapping[str, int]
    """Characters that stand in no piece of the vocabulary, with how often they occur."""


@dataclass(frozen=True)
class EncodedSides:
    """How a model cuts pairs."""

    source: EncodedSide
    target: EncodedSide
    adds_characters: bool = False
    """Whether the vocabulary is given characters that it lacks before it learns the pairs."""
    adds_script: bool = False
    """Whether it is given a whole script that it lacks."""


Encode = Callable[[Pairs], EncodedSides]


def check_pairs(data: TransferPairs, *, encode: Encode | None, max_length_tokens: int) -> DataReport:
    """Count the pairs of both domains and list what is doubtful about them.

    Args:
        data: both domains, split.
        encode: how the model cuts pairs; None where it is made anew, with a vocabulary of its own.
        max_length_tokens: longer pairs are not learnt from.
    """
    domains = [domain for domain in (data.source, data.target) if domain is not None]
    found: list[Finding | None] = []
    for domain in domains:
        found += _domain_findings(domain)
        if encode is not None:
            found += _token_findings(domain, encode, max_length_tokens=max_length_tokens)
    if data.source is not None:
        found += [_overlap(data.source, data.target), _overlap(data.target, data.source)]
    return DataReport({domain.name: pair_counts(domain) for domain in domains}, gravest_first(found))


def pair_counts(domain: PairDomain) -> dict[str, Any]:
    """Count a domain's pairs by split, direction and reason; name splits by hash, card and licence."""
    splits = {"train": domain.train, "dev": domain.dev, "test": domain.test}
    directions = Counter(direction for pairs in splits.values() for direction in pairs.directions)
    return {
        **{split: len(pairs) for split, pairs in splits.items()},
        "unused": domain.unused,
        "dropped": dict(domain.dropped),
        "directions": {_arrow(direction): directions[direction] for direction in domain.directions},
        "fingerprints": {split: pairs.fingerprint() for split, pairs in splits.items()},
        "card": None if domain.card is None else domain.card.name,
        "licence": None if domain.card is None else domain.card.licence,
    }


def _arrow(direction: Direction) -> str:
    return "-".join(direction)


def _domain_findings(domain: PairDomain) -> Iterator[Finding | None]:
    """Run the checks that look at one domain alone."""
    name, learnt = domain.name, domain.selection
    kept = len(learnt) + len(domain.test) + domain.unused
    yield row_findings.test_overlap(name, _skeletons(learnt), _skeletons(domain.test))
    yield _dropped(name, domain.dropped, kept=kept)
    yield _small_test(name, len(domain.test))
    if name == "target" and not len(learnt) and not domain.unused:
        yield Finding(
            "no_training_pairs", "block", 0.0, None,
            f"{name}: no pair is left to learn from, {len(domain.test):,} are held out for testing",
            "add pairs, or give files that are split already: splits: {train: ..., test: ...}",
        )  # fmt: skip
    yield row_findings.licence(name, domain.card)
    yield from _unknown_languages(domain)
    yield from _script_coverage(name, _sampled(learnt.joined(domain.test)))
    for note in domain.notes:
        yield Finding("reading", "info", None, None, f"{name}: {note}", "")


def _skeletons(pairs: Pairs) -> list[str]:
    return [skeleton(text) for text in english_side(pairs)]


def _overlap(learnt: PairDomain, scored: PairDomain) -> Finding | None:
    return row_findings.domain_overlap(
        (learnt.name, _skeletons(learnt.selection)),
        (scored.name, _skeletons(scored.test)),
        ids=scored.test.ids,
    )


def _dropped(name: str, dropped: dict[str, int], *, kept: int) -> Finding | None:
    """Tell how many pairs each rule left out."""
    left_out = sum(dropped.values())
    if not left_out:
        return None
    reasons = ", ".join(
        f"{count:,} {reason}" for reason, count in sorted(dropped.items(), key=lambda i: -i[1])
    )
    return Finding(
        "dropped_rows", "info", left_out / (left_out + kept), None,
        f"{name}: {left_out:,} of {left_out + kept:,} pairs are left out ({reasons})", "",
    )  # fmt: skip


def _small_test(name: str, pairs: int) -> Finding | None:
    if pairs >= row_findings.MIN_TEST_ROWS:
        return None
    return Finding(
        "small_test", "warn", float(pairs), float(row_findings.MIN_TEST_ROWS),
        f"{name}: {pairs:,} test pairs are few: intervals of chrF++ will be several points wide",
        "add pairs: only large differences can be seen",
    )  # fmt: skip


def _token_findings(
    domain: PairDomain, encode: Encode, *, max_length_tokens: int
) -> Iterator[Finding | None]:
    """Look at what a model's vocabulary makes of a domain's pairs."""
    sample = _sampled(domain.selection.joined(domain.test))
    if not len(sample):
        return
    sides = encode(sample)
    longer = int(
        ((sides.source.tokens > max_length_tokens) | (sides.target.tokens > max_length_tokens)).sum()
    )
    yield _long_pairs(domain.name, longer, len(sample), max_length_tokens)
    for side, encoded in (("source", sides.source), ("target", sides.target)):
        yield _unknown(domain.name, side, encoded, sides)
        yield _unknown_characters(domain.name, side, encoded, adds=sides.adds_characters)
    yield _tokens_a_word(domain.name, sample, sides)


def _sampled(pairs: Pairs) -> Pairs:
    """Take pairs evenly, the same ones each time."""
    return pairs.take(range(0, len(pairs), max(1, len(pairs) // MAX_TOKENISED_PAIRS)))


def _long_pairs(name: str, longer: int, pairs: int, max_length_tokens: int) -> Finding | None:
    if not longer:
        return None
    share = longer / pairs
    return Finding(
        "too_long", "warn" if share > MAX_LONG_SHARE else "info", share, MAX_LONG_SHARE,
        f"{name}: {longer:,} of {pairs:,} pairs have a side of more than {max_length_tokens} tokens; they "
        "are not learnt from",
        "raise model.max_length_tokens, or divide the texts into sentences" if share > MAX_LONG_SHARE else "",
    )  # fmt: skip


def _unknown(name: str, side: str, encoded: EncodedSide, sides: EncodedSides) -> Finding:
    tokens = int(encoded.tokens.sum())
    share = encoded.unknown / max(1, tokens)
    seen = f"{name}: {100 * share:.1f}% of the {side} side's {tokens:,} tokens are unknown to the model"
    if share <= MAX_UNKNOWN_SHARE:
        return Finding("unknown_tokens", "info", share, MAX_UNKNOWN_SHARE, seen, "")
    if share > UNSPELLABLE_SHARE and not sides.adds_script:
        mends = "choose a model that knows it, or make one anew with model.architecture"
        if sides.adds_characters:
            mends += "; with many pairs adaptation.new_pieces: 1000 teaches the model its pieces"
        return Finding(
            "unknown_tokens", "block", share, MAX_UNKNOWN_SHARE, seen,
            f"its vocabulary cannot spell this script; {mends}",
        )  # fmt: skip
    return Finding("unknown_tokens", "warn", share, MAX_UNKNOWN_SHARE, seen, _lacking(sides.adds_characters))


def _lacking(adds: bool) -> str:
    """Say what comes of characters that the vocabulary lacks."""
    if adds:
        return "those that the training pairs hold are added to the vocabulary, and have to be learnt"
    return (
        "texts with them come out wrong: choose a model that was made for this language, or make a "
        "vocabulary of its own with model.architecture"
    )


def _unknown_characters(name: str, side: str, encoded: EncodedSide, *, adds: bool) -> Finding:
    """Tell which characters stand in no piece: they become unknown tokens, or are spelt byte by byte."""
    share = sum(encoded.missing.values()) / max(1, encoded.characters)
    common = [character for character, _ in Counter(encoded.missing).most_common(MAX_LISTED_CHARACTERS)]
    which = f", the commonest {' '.join(common)}" if common else ""
    fine = share <= MAX_UNKNOWN_SHARE
    return Finding(
        "unknown_characters", "info" if fine else "warn", share, MAX_UNKNOWN_SHARE,
        f"{name}: {100 * share:.2f}% of the {side} side's {encoded.characters:,} characters are in no piece "
        f"of the vocabulary{which}",
        "" if fine else _lacking(adds),
    )  # fmt: skip


def _unknown_languages(domain: PairDomain) -> Iterator[Finding]:
    """Warn of well-formed codes that no language has: mostly a slip of the pen."""
    for code in domain.languages:
        if not is_known(code):
            yield Finding(
                "unknown_language", "warn", None, None,
                f"{domain.name}: {code} is the code of no language in CLDR or ISO 639",
                "look whether it is the one you mean; its script and its near languages are not known",
            )  # fmt: skip


def _script_coverage(name: str, pairs: Pairs) -> Iterator[Finding]:
    """Tell for each language how many of its letters stand in the scripts that it is written in."""
    texts: dict[str, list[str]] = {}
    for source, target, (src_lang, tgt_lang) in zip(
        pairs.sources, pairs.targets, pairs.directions, strict=True
    ):
        texts.setdefault(src_lang, []).append(source)
        texts.setdefault(tgt_lang, []).append(target)
    for language, written in texts.items():
        scripts, whole = scripts_of(language), " ".join(written)
        if not scripts or not has_letters(whole):
            continue
        share = share_in(whole, scripts)
        fine = share >= MIN_SCRIPT_SHARE
        yield Finding(
            "script_coverage", "info" if fine else "warn", share, MIN_SCRIPT_SHARE,
            f"{name}: {100 * share:.1f}% of the letters of {len(written):,} texts in {language} stand in its "
            f"script ({', '.join(scripts)})",
            "" if fine else f"look whether these texts are in {language}, and the columns the right ones",
        )  # fmt: skip


def _tokens_a_word(name: str, pairs: Pairs, sides: EncodedSides) -> Finding:
    """Tell how finely the vocabulary cuts each side (fertility, Rust et al. 2021)."""
    words = [sum(len(text.split()) for text in texts) for texts in (pairs.sources, pairs.targets)]
    rates = [
        int(side.tokens.sum()) / max(1, count)
        for side, count in zip((sides.source, sides.target), words, strict=True)
    ]
    ratio = rates[1] / max(rates[0], 1e-9)
    fine = ratio <= MAX_TOKENS_A_WORD_RATIO
    return Finding(
        "tokens_per_word", "info" if fine else "warn", rates[1], rates[0] * MAX_TOKENS_A_WORD_RATIO,
        f"{name}: {rates[0]:.1f} tokens a word on the source side, {rates[1]:.1f} on the target side",
        "" if fine else "the vocabulary spells the target nearly letter by letter: expect slow and weaker "
        "translations, or make a vocabulary of its own with model.architecture",
    )  # fmt: skip
