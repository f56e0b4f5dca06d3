"""One module knows how languages are spelled: by users, in files, by models and by libraries."""

from __future__ import annotations

import pytest

from nlp_transfer.data.languages import (
    find_language,
    identifier_code,
    is_known,
    language_name,
    language_of,
    near_languages,
    require_code,
    require_language,
    standard,
    written_like,
)
from nlp_transfer.errors import DataError, ModelError

NLLB = ["eng_Latn", "glg_Latn", "spa_Latn", "por_Latn", "zho_Hans", "zho_Hant", "srp_Cyrl", "ast_Latn"]


@pytest.mark.parametrize(
    ("code", "tag", "language"),
    [
        ("gl", "gl", "gl"),
        ("glg", "gl", "gl"),
        ("glg_Latn", "gl", "gl"),
        ("gl_ES.UTF-8", "gl-ES", "gl"),
        ("gl_XX", "gl", "gl"),
        ("pt_br", "pt-BR", "pt"),
        ("sr@latin", "sr-Latn", "sr"),
        ("sr_RS@latin", "sr-Latn-RS", "sr"),
        ("ca@valencia", "ca-valencia", "ca"),
        ("zh_TW", "zh-TW", "zh"),
        ("iw_IL", "he-IL", "he"),
        ("not a code", "not a code", "not a code"),
        ("", "", ""),
    ],
)
def test_a_code_is_one_tag_and_one_language_however_it_is_spelled(code: str, tag: str, language: str) -> None:
    assert (standard(code), language_of(code)) == (tag, language)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("nb", "no"),
        ("nob_Latn", "no"),
        ("no", "no"),
        ("nn", "nn"),
        ("tl", "tl"),
        ("fil", "tl"),
        ("glg", "gl"),
    ],
)
def test_the_identifier_has_names_of_its_own(code: str, expected: str) -> None:
    assert identifier_code(code) == expected


def test_the_identifier_knows_its_own_languages() -> None:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    labels = LanguageIdentifier.from_model_file(MODEL_FILE).labels
    assert [label for label in labels if identifier_code(label) != label] == []


@pytest.mark.parametrize(
    ("wanted", "known", "expected"),
    [
        ("gl", NLLB, "glg_Latn"),
        ("glg_Latn", NLLB, "glg_Latn"),
        ("pt_BR", NLLB, "por_Latn"),
        ("zh_TW", NLLB, "zho_Hant"),
        ("zh", NLLB, "zho_Hans"),
        ("sr@latin", NLLB, None),
        ("sr", NLLB, "srp_Cyrl"),
        ("oc", NLLB, None),
        ("pt", ["pt_BR", "pt_PT"], None),
        ("gl", ["gl_ES", "pt_XX"], "gl_ES"),
        ("pt", ["gl_ES", "pt_XX"], "pt_XX"),
        ("kmr", [*NLLB, "kmr_Latn"], "kmr_Latn"),
        ("mwl", ["mwl_Latn", "mwl_Cyrl"], None),
    ],
)
def test_a_models_own_code_of_a_language_is_found(
    wanted: str, known: list[str], expected: str | None
) -> None:
    assert find_language(wanted, known) == expected


def test_a_language_that_a_model_lacks_is_answered_with_near_ones() -> None:
    assert near_languages("oc", ["eng_Latn", "zho_Hans"]) == ["eng_Latn"]
    with pytest.raises(ModelError, match=r"m does not know the language 'mwl'; near: \w+"):
        require_language("mwl", NLLB, model="m")


@pytest.mark.parametrize(
    ("wanted", "example", "expected"),
    [("ast", "glg_Latn", "ast_Latn"), ("sr", "glg_Latn", "srp_Cyrl"), ("ast", "gl_ES", "ast_XX"),
     ("pt-BR", "fr", "pt_BR"), ("zz", "glg_Latn", "zz_Latn"), ("xyy", "glg_Latn", "xyy_Latn")],
)  # fmt: skip
def test_a_new_code_is_written_as_the_models_are(wanted: str, example: str, expected: str) -> None:
    assert written_like(wanted, example) == expected


@pytest.mark.parametrize(
    "code",
    ["gl", "nn", "ast", "glg", "fra_Latn", "por_Latn", "pt_BR", "zh_CN", "zh-Hant", "en_XX", "ca@valencia",
     "es_419", "gl_ES.UTF-8", "kmr_Latn", "sr@ijekavianlatin", "zz"],
)  # fmt: skip
def test_the_codes_of_users_files_and_models_are_codes(code: str) -> None:
    require_code(code, key="tgt_lang")
    assert is_known(code) == (code != "zz")


@pytest.mark.parametrize(
    ("code", "hint"),
    [
        ("galician", "did you mean gl"),
        ("Galego", "did you mean gl"),
        ("galcian", "did you mean gl"),
        ("thai", "did you mean th"),
        ("brazilian portuguese", "did you mean pt_BR"),
        ("e n", "codes are like en, gl, pt_BR or glg_Latn"),
        ("", "codes are like en, gl, pt_BR or glg_Latn"),
    ],
)
def test_what_is_no_code_is_answered_with_the_code(code: str, hint: str) -> None:
    with pytest.raises(DataError, match=f"^tgt_lang: '{code}' is no language code; {hint}"):
        require_code(code, key="tgt_lang")


def test_a_modifier_that_no_tag_has_room_for_is_no_obstacle() -> None:
    assert written_like("sr@ijekavianlatin", "eng_Latn") == "srp_Cyrl"
    assert written_like("sr@ijekavianlatin", "en_XX") == "sr_XX"


def test_a_language_has_an_english_name() -> None:
    assert (language_name("glg_Latn"), language_name("xyz")) == ("Galician", "xyz")
