"""Whether translations are translations at all, or copied, empty, cut short, in another language, without
placeholders.

A score hides these. Each is counted beside the same count on the references, since a reference too may equal
its source (names, numbers) or be mistaken for another language (short texts). What is doubtful becomes a
`Finding`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from nlp_transfer.data.identifying import MIN_LETTERS, known_languages, likeliest
from nlp_transfer.data.languages import identifier_code
from nlp_transfer.data.placeholders import placeholders
from nlp_transfer.data.splits import normalise_text
from nlp_transfer.findings import Finding

# How far a rate may lie beyond the references' own. These thresholds are set, not measured: wide of what some
# hundred rows leave to chance, and near enough that a reader of the output would agree.
MAX_COPY_EXCESS = 0.05
MAX_WRONG_LANGUAGE_EXCESS = 0.05
MAX_PLACEHOLDER_LOSS = 0.05
MAX_EMPTY_RATE = 0.01
# A decoder that stops early or repeats itself leaves this range over a whole test set.
LENGTH_RATIOS = (0.8, 1.25)
# Fewer rows say nothing about a rate of some percent.
MIN_ROWS = 30


@dataclass(frozen=True)
class Rate:
    """A share or a ratio, the n behind it, and the same number of the references."""

    value: float | None
    """None where n is too small, or nothing can be measured; `reason` says which."""
    n: int
    """Rows, unless the function says otherwise."""
    on_references: float | None = None
    low: float | None = None
    """The ends of Wilson's 95% interval (1927), for a share of rows."""
    high: float | None = None
    reason: str = ""


def copy_rate(hypotheses: Sequence[str], sources: Sequence[str], references: Sequence[str]) -> Rate:
    """Count translations that equal their source but for case, spaces and punctuation.

    >>> copy_rate(["OK!", "Abrir"], ["ok", "Open"], ["Vale", "Abrir"])
    Rate(value=None, n=2, on_references=0.0, low=None, high=None, reason='2 rows, at least 30 are needed')
    """
    wanted = [normalise_text(source) for source in sources]

    def copied(texts: Sequence[str]) -> int:
        return sum(normalise_text(text) == source for text, source in zip(texts, wanted, strict=True))

    return _share(copied(hypotheses), len(wanted), on_references=copied(references))


def empty_rate(hypotheses: Sequence[str]) -> Rate:
    """Count translations without a visible character."""
    return _share(sum(not text.strip() for text in hypotheses), len(hypotheses))


def wrong_language_rate(
    hypotheses: Sequence[str], references: Sequence[str], *, tgt_lang: str, candidates: Sequence[str]
) -> Rate:
    """Count translations that look more like another language than like the target's.

    py3langid decides among the target and the candidates alone; near relatives are told apart badly in short
    texts, which the references' rate shows. Rows count whose translation and reference have 20 letters.

    Args:
        hypotheses: translations, shape (rows,).
        references: one for each.
        tgt_lang: language that they should have.
        candidates: languages that they could have instead: the source's, the parent's.
    """
    known = known_languages()
    wanted = identifier_code(tgt_lang)
    others = {identifier_code(code) for code in candidates} & known - {wanted}
    if wanted not in known:
        return Rate(None, 0, reason=f"py3langid does not know {tgt_lang}")
    if not others:
        return Rate(None, 0, reason="py3langid knows no language that could be taken for it")
    pairs = [
        pair for pair in zip(hypotheses, references, strict=True) if min(map(_letters, pair)) >= MIN_LETTERS
    ]
    allowed = others | {wanted}

    def wrong(texts: Sequence[str]) -> int:
        return sum(likeliest(text, allowed) != [wanted] for text in texts)

    return _share(
        wrong([hypothesis for hypothesis, _ in pairs]),
        len(pairs),
        on_references=wrong([reference for _, reference in pairs]),
        what="rows of 20 letters",
    )


def length_ratio(hypotheses: Sequence[str], references: Sequence[str]) -> Rate:
    """Divide the characters of all translations by those of all references."""
    written = sum(len(text.strip()) for text in hypotheses)
    wanted = sum(len(text.strip()) for text in references)
    if len(references) < MIN_ROWS or not wanted:
        reason = _too_few(len(references), "rows") if wanted else "the references are empty"
        return Rate(None, len(references), reason=reason)
    return Rate(written / wanted, len(references), on_references=1.0)


def placeholder_survival(
    hypotheses: Sequence[str], sources: Sequence[str], references: Sequence[str]
) -> Rate:
    """Share of the sources' placeholders that the translations have too; n counts placeholders.

    Each occurrence counts: of two `%s` one that is left is half. A reference may write `%1$s` for `%s`.
    """
    wanted = [Counter(placeholders(source)) for source in sources]

    def kept(texts: Sequence[str]) -> int:
        pairs = zip(texts, wanted, strict=True)
        return sum((Counter(placeholders(text)) & counts).total() for text, counts in pairs)

    n = sum(counts.total() for counts in wanted)
    return _share(kept(hypotheses), n, on_references=kept(references), what="placeholders")


def sanity_findings(
    hypotheses: Sequence[str],
    references: Sequence[str],
    sources: Sequence[str],
    *,
    tgt_lang: str,
    candidates: Sequence[str],
) -> list[Finding]:
    """Judge one system's translations of the test rows: copies, empty ones, language, length, placeholders.

    Args:
        hypotheses: translations, shape (rows,).
        references: one for each.
        sources: one for each.
        tgt_lang: language that they should have.
        candidates: languages that they could have instead.
    """
    language = wrong_language_rate(hypotheses, references, tgt_lang=tgt_lang, candidates=candidates)
    return [
        copy_finding(copy_rate(hypotheses, sources, references)),
        empty_finding(empty_rate(hypotheses)),
        language_finding(language),
        length_finding(length_ratio(hypotheses, references)),
        placeholder_finding(placeholder_survival(hypotheses, sources, references)),
    ]


def copy_finding(rate: Rate) -> Finding:
    """Judge how many translations are their source."""
    threshold = (rate.on_references or 0.0) + MAX_COPY_EXCESS
    return _judged(
        "copied_source",
        rate,
        threshold=threshold,
        bad=rate.value is not None and rate.value > threshold,
        evidence=f"{_percent(rate)} equal their source; of the references {_of_references(rate)}",
        advice="the model has not learnt to translate these: train it longer, or look for training pairs "
        "whose sides are the same",
    )


def empty_finding(rate: Rate) -> Finding:
    """Judge how many translations are empty."""
    return _judged(
        "empty_translations",
        rate,
        threshold=MAX_EMPTY_RATE,
        bad=rate.value is not None and rate.value > MAX_EMPTY_RATE,
        evidence=f"{_percent(rate)} are empty",
        advice="the model ends before its first word: look for training pairs with an empty side, or train "
        "it longer",
    )


def language_finding(rate: Rate) -> Finding:
    """Judge how many translations are in another language."""
    threshold = (rate.on_references or 0.0) + MAX_WRONG_LANGUAGE_EXCESS
    return _judged(
        "wrong_language",
        rate,
        threshold=threshold,
        bad=rate.value is not None and rate.value > threshold,
        evidence=f"{_percent(rate)} look like another language; of the references {_of_references(rate)}",
        advice="the model falls back to a language that it knows better: check the language token, and train "
        "it longer on the target's pairs",
    )


def length_finding(rate: Rate) -> Finding:
    """Judge the length of the translations against that of their references."""
    low, high = LENGTH_RATIOS
    value = rate.value
    short = value is not None and value < low
    words = "not measured" if value is None else f"{value:.2f}"
    return _judged(
        "length_ratio",
        rate,
        threshold=low if short else high,
        bad=value is not None and not low <= value <= high,
        evidence=f"the translations of {rate.n:,} rows have {words} times the characters of their references",
        advice="translations are cut short: let the model generate more tokens, or train it longer"
        if short
        else "translations go on for too long: look for repeated words in report.md's worst rows, and "
        "train it longer",
    )


def placeholder_finding(rate: Rate) -> Finding:
    """Judge how many placeholders survive."""
    threshold = (1.0 if rate.on_references is None else rate.on_references) - MAX_PLACEHOLDER_LOSS
    return _judged(
        "placeholder_survival",
        rate,
        threshold=threshold,
        bad=rate.value is not None and rate.value < threshold,
        evidence=f"{_percent(rate, 'of the placeholders')} are in the translation; in the references "
        f"{_of_references(rate)}",
        advice="a program fails or shows nonsense where one is missing: have those translations left empty, "
        "or give more pairs that have placeholders",
    )


def _judged(check: str, rate: Rate, *, threshold: float, bad: bool, evidence: str, advice: str) -> Finding:
    """Word a finding: `warn` with its advice where bad; why there is no number where there is none."""
    if rate.value is None:
        return Finding(check, "info", None, threshold, f"not measured: {rate.reason}", "")
    return Finding(check, "warn" if bad else "info", rate.value, threshold, evidence, advice if bad else "")


def _share(hits: int, n: int, *, on_references: int | None = None, what: str = "rows") -> Rate:
    """Return a share with Wilson's interval; without a value where n is too small."""
    from scipy import stats

    of_references = None if on_references is None or not n else on_references / n
    if n < MIN_ROWS:
        return Rate(None, n, of_references, reason=_too_few(n, what))
    interval = stats.binomtest(hits, n).proportion_ci(method="wilson")
    return Rate(hits / n, n, of_references, float(interval.low), float(interval.high))


def _too_few(n: int, what: str) -> str:
    return f"{n:,} {what}, at least {MIN_ROWS} are needed"


def _percent(rate: Rate, of: str = "of the translations") -> str:
    """Write a share with its interval and n."""
    if rate.value is None or rate.low is None or rate.high is None:
        return "not measured"
    interval = f"95% interval {rate.low * 100:.1f} to {rate.high * 100:.1f}, n = {rate.n:,}"
    return f"{rate.value * 100:.1f}% {of} ({interval})"


def _of_references(rate: Rate) -> str:
    return "not measured" if rate.on_references is None else f"{rate.on_references * 100:.1f}%"


def _letters(text: str) -> int:
    return sum(letter.isalpha() for letter in text)
