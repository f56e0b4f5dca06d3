"""Translations that are none: constructed cases of which the rates are known."""

from __future__ import annotations

import pytest

from nlp_transfer.data.placeholders import placeholders
from nlp_transfer.diagnostics.translation_sanity import (
    LENGTH_RATIOS,
    Rate,
    copy_finding,
    copy_rate,
    empty_finding,
    empty_rate,
    language_finding,
    length_finding,
    length_ratio,
    placeholder_finding,
    placeholder_survival,
    sanity_findings,
    wrong_language_rate,
)

ENGLISH = [f"The file number {n} could not be opened by the program" for n in range(40)]
GALICIAN = [f"O programa non puido abrir o ficheiro número {n} desta carpeta" for n in range(40)]
SPANISH = [f"El programa no ha podido abrir el archivo número {n} de la carpeta" for n in range(40)]


def test_copies_are_counted_without_case_and_punctuation_beside_the_references_own():
    hypotheses = [text.upper() + "!" for text in ENGLISH[:10]] + GALICIAN[10:]
    references = ENGLISH[:2] + GALICIAN[2:]
    rate = copy_rate(hypotheses, ENGLISH, references)
    assert (rate.value, rate.n, rate.on_references) == (0.25, 40, 0.05)
    # Wilson's interval of 10 in 40.
    assert (rate.low, rate.high) == (pytest.approx(0.1419, abs=1e-4), pytest.approx(0.4019, abs=1e-4))


def test_another_language_is_found_beside_the_references_own_rate():
    hypotheses = SPANISH[:10] + GALICIAN[10:]
    rate = wrong_language_rate(hypotheses, GALICIAN, tgt_lang="gl_ES", candidates=["en", "es-ES", "xx"])
    assert (rate.value, rate.n, rate.on_references) == (0.25, 40, 0.0)
    copied = wrong_language_rate(ENGLISH, GALICIAN, tgt_lang="gl", candidates=["en", "es"])
    assert copied.value == 1.0
    mistaken = wrong_language_rate(GALICIAN, SPANISH, tgt_lang="gl", candidates=["es"])
    assert (mistaken.value, mistaken.on_references) == (0.0, 1.0)


def test_only_the_candidates_are_thought_of():
    rate = wrong_language_rate(SPANISH, GALICIAN, tgt_lang="gl", candidates=["en"])
    assert rate.value == 0.0, "Spanish is nearer to Galician than to English"


@pytest.mark.parametrize(
    ("tgt_lang", "candidates", "texts", "reason"),
    [
        ("ast", ["en", "es"], GALICIAN, "py3langid does not know ast"),
        ("gl", ["gl", "tlh"], GALICIAN, "knows no language that could be taken for it"),
        ("gl", ["en"], GALICIAN[:29], "29 rows of 20 letters, at least 30 are needed"),
        ("gl", ["en"], ["Gardar %s 12345"] * 40, "0 rows of 20 letters"),
    ],
)
def test_what_cannot_be_identified_is_not_measured(tgt_lang, candidates, texts, reason):
    rate = wrong_language_rate(texts, texts, tgt_lang=tgt_lang, candidates=candidates)
    assert rate.value is None
    assert reason in rate.reason
    found = language_finding(rate)
    assert (found.severity, found.value, found.advice) == ("info", None, "")
    assert reason in found.evidence


def test_bokmal_is_norwegian_to_the_identifier():
    texts = [f"Programmet kunne ikke åpne filen nummer {n} i denne mappen" for n in range(30)]
    assert wrong_language_rate(texts, texts, tgt_lang="nb", candidates=["en", "no"]).value == 0.0


def test_length_is_that_of_the_whole_corpus():
    rate = length_ratio(["abc "] * 20 + ["abcdef"] * 20, ["abcdef"] * 40)
    assert (rate.value, rate.n, rate.on_references) == (0.75, 40, 1.0)
    assert length_ratio(["abc"] * 29, ["abc"] * 29).value is None
    assert length_ratio(["abc"] * 40, [""] * 40).reason == "the references are empty"


def test_each_placeholder_of_the_source_is_looked_for():
    sources = ["Copy %s to %s", "{name}: %(count)d rows", "100%% done", "no placeholder"] * 10
    hypotheses = ["Copiar %s a ", "%(count)d filas de {nome}", "100%% feito", "%d"] * 10
    references = ["Copiar %s a %s", "{name}: %(count)d filas", "feito", "ningún"] * 10
    rate = placeholder_survival(hypotheses, sources, references)
    assert (rate.value, rate.n, rate.on_references) == (0.5, 40, 1.0)


def test_without_placeholders_there_is_no_rate():
    rate = placeholder_survival(GALICIAN, ENGLISH, GALICIAN)
    assert (rate.value, rate.n, rate.reason) == (None, 0, "0 placeholders, at least 30 are needed")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("%s of %d, %(name)s, %1$s", ["%s", "%d", "%(name)s", "%1$s"]),
        ("{0} {name} ${x}", ["{0}", "{name}", "${x}"]),
        ("100%% sure, 5% of all", []),
    ],
)
def test_placeholders(text, expected):
    assert placeholders(text) == expected


def test_empty_translations_are_counted():
    rate = empty_rate(["", " \n"] + ["x"] * 38)
    assert (rate.value, rate.n) == (0.05, 40)


def rate(value, on_references=None, n=200):
    return Rate(value, n, on_references, low=value, high=value)


@pytest.mark.parametrize(
    ("finding", "severity", "threshold"),
    [
        (copy_finding(rate(0.09, 0.05)), "info", 0.10),
        (copy_finding(rate(0.11, 0.05)), "warn", 0.10),
        (language_finding(rate(0.30, 0.26)), "info", 0.31),
        (language_finding(rate(0.32, 0.26)), "warn", 0.31),
        (placeholder_finding(rate(0.91, 0.95)), "info", 0.90),
        (placeholder_finding(rate(0.89, 0.95)), "warn", 0.90),
        (empty_finding(rate(0.005)), "info", 0.01),
        (empty_finding(rate(0.02)), "warn", 0.01),
        (length_finding(rate(0.81, 1.0)), "info", LENGTH_RATIOS[1]),
        (length_finding(rate(0.79, 1.0)), "warn", LENGTH_RATIOS[0]),
        (length_finding(rate(1.3, 1.0)), "warn", LENGTH_RATIOS[1]),
    ],
)
def test_findings_warn_beyond_their_thresholds(finding, severity, threshold):
    assert finding.severity == severity
    assert finding.threshold == pytest.approx(threshold)
    assert bool(finding.advice) == (severity == "warn")
    assert "200" in finding.evidence


def test_sound_translations_raise_no_warning():
    findings = sanity_findings(GALICIAN, GALICIAN, ENGLISH, tgt_lang="gl", candidates=["en", "es"])
    assert [(each.check, each.severity, each.value) for each in findings] == [
        ("copied_source", "info", 0.0), ("empty_translations", "info", 0.0), ("wrong_language", "info", 0.0),
        ("length_ratio", "info", 1.0), ("placeholder_survival", "info", None),
    ]  # fmt: skip


def test_copies_of_the_source_raise_both_warnings_with_their_numbers():
    findings = sanity_findings(ENGLISH, GALICIAN, ENGLISH, tgt_lang="gl", candidates=["en", "es"])
    warned = {each.check: each for each in findings if each.severity == "warn"}
    assert set(warned) == {"copied_source", "wrong_language"}
    assert warned["copied_source"].evidence == (
        "100.0% of the translations (95% interval 91.2 to 100.0, n = 40) equal their source; of the "
        "references 0.0%"
    )
