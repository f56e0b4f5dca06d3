"""Of many files those of the wanted language are read, each place once, under whatever spelling."""

from __future__ import annotations

import io
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from nlp_transfer.data.catalogues import OtherLanguageError, read_pairs
from nlp_transfer.data.choosing import choose, pattern_expression
from nlp_transfer.data.languages import looks_like_locale, matches, spellings
from nlp_transfer.errors import DataError


def catalogue(text: str, language: str = "") -> str:
    header = f'msgid ""\nmsgstr "Language: {language}\\n"\n\n' if language else ""
    return f'{header}msgid "Source"\nmsgstr "{text}"\n'


FILES = {
    "app/locale/gl/LC_MESSAGES/app.po": catalogue("app gl"),
    "app/locale/gl/LC_MESSAGES/app.mo": "the compiled copy is not read",
    "app/locale/es/LC_MESSAGES/app.po": catalogue("app es"),
    "app/locale/pt/LC_MESSAGES/app.po": catalogue("app pt"),
    "app/locale/pt_PT/LC_MESSAGES/app.po": catalogue("app pt_PT"),
    "app/locale/pt_BR/LC_MESSAGES/app.po": catalogue("app pt_BR"),
    "app/locale/pt_PT/LC_MESSAGES/js.po": catalogue("js pt_PT"),
    "app/locale/pt_BR/LC_MESSAGES/js.po": catalogue("js pt_BR"),
    "app/locale/no/LC_MESSAGES/app.po": catalogue("app no"),
    "app/app.pot": catalogue(""),
    "more/po/gl.po": catalogue("more gl"),
    "more/po/pt-br.po": catalogue("more pt-br"),
    "more/po/nb_NO.po": catalogue("more nb_NO"),
    "more/table.tsv": "Source\ttable\n",
    "readme.txt": "hello",
}


@pytest.fixture(params=["folder", "package", "zip", "wheel inside", "tar.gz"])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Put the files in one kind of collection; return what stands before a pattern."""
    if request.param in ("folder", "package"):
        for name, content in FILES.items():
            path = tmp_path / "many_words" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        (tmp_path / "many_words" / "__init__.py").touch()
        monkeypatch.syspath_prepend(tmp_path)
        sys.modules.pop("many_words", None)
        return "package://many_words/" if request.param == "package" else f"{tmp_path}/many_words/"
    if request.param == "tar.gz":
        path = tmp_path / "words.tar.gz"
        with tarfile.open(path, "w:gz") as archive:
            for name, content in FILES.items():
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content.encode()))
        return f"{path}!"
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in FILES.items():
            archive.writestr(name, content)
    if request.param == "zip":
        (tmp_path / "words.zip").write_bytes(packed.getvalue())
        return f"{tmp_path}/words.zip!"
    with zipfile.ZipFile(tmp_path / "outer.zip", "w") as archive:
        archive.writestr("dist/words.whl", packed.getvalue())
    return f"{tmp_path}/outer.zip!dist/words.whl!"


def targets(uri: str, tgt_lang: str, **options: str) -> list[str]:
    return sorted(pair.target for pair in read_pairs(uri, src_lang="en", tgt_lang=tgt_lang, **options))


@pytest.mark.parametrize(
    ("tgt_lang", "expected"),
    [
        ("gl", ["app gl", "more gl"]),
        ("pt", ["app pt", "js pt_PT"]),
        ("pt_PT", ["app pt_PT", "js pt_PT"]),
        ("pt-BR", ["app pt_BR", "js pt_BR", "more pt-br"]),
        ("nb", ["app no", "more nb_NO"]),
    ],
)
def test_a_whole_collection_yields_one_language(place: str, tgt_lang: str, expected: list[str]) -> None:
    assert targets(place.rstrip("!"), tgt_lang) == expected


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("app/locale/*/LC_MESSAGES/app.po", ["app gl"]),
        ("app/locale/{tgt_lang}/LC_MESSAGES/*.po", ["app gl"]),
        ("app/locale/{tgt_lang}/", ["app gl"]),
        ("**/{tgt_lang}.po", ["more gl"]),
        ("more/po/*.po", ["more gl"]),
        ("more/po", ["more gl"]),
        ("more/po/gl.po", ["more gl"]),
        ("**/*.po", ["app gl", "more gl"]),
        ("more/t?ble.tsv", ["table"]),
    ],
)
def test_a_pattern_yields_one_language(place: str, pattern: str, expected: list[str]) -> None:
    assert targets(place + pattern, "gl") == expected


@pytest.mark.parametrize(
    ("pattern", "error", "message"),
    [
        ("app/locale/*/LC_MESSAGES/app.po", OtherLanguageError, r"has no file in eu; .*es.*gl.*Set tgt_lang"),
        ("nothing/*.po", DataError, r"matches no file of translations|there is no folder"),
    ],
)
def test_a_pattern_that_yields_nothing_is_refused(
    place: str, pattern: str, error: type[DataError], message: str
) -> None:
    with pytest.raises(error, match=message):
        targets(place + pattern, "eu")


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("*.zip!a.po", r"only the part behind the last ! may be a pattern"),
        ("words.zip!a.po", r"has no member a\.po; did you mean b\.po\?"),
        ("text.zip", r"cannot be read as a zip, wheel or tar archive"),
        ("none.zip", r"no file at"),
        ("none/*.po", r"there is no folder"),
    ],
)
def test_a_collection_that_cannot_be_opened_is_refused(tmp_path: Path, uri: str, message: str) -> None:
    with zipfile.ZipFile(tmp_path / "words.zip", "w") as archive:
        archive.writestr("b.po", catalogue("b"))
    (tmp_path / "text.zip").write_text("hello")
    with pytest.raises(DataError, match=message):
        targets(f"{tmp_path}/{uri}", "gl")


def test_a_hash_is_that_of_one_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"names several files; a SHA-256 can be that of one file only"):
        targets(str(tmp_path), "gl", sha256="0" * 64)


def test_where_paths_name_no_language_the_headers_do(tmp_path: Path) -> None:
    (tmp_path / "first.po").write_text(catalogue("ours", "gl_ES"))
    (tmp_path / "second.po").write_text(catalogue("theirs", "es"))
    assert targets(str(tmp_path), "gl") == ["ours"]
    with pytest.raises(OtherLanguageError, match=r"is in (gl_ES|es) by its header, expected fr"):
        targets(str(tmp_path), "fr")


def test_a_path_that_names_the_language_is_believed_before_the_header(tmp_path: Path) -> None:
    (tmp_path / "gl.po").write_text(catalogue("ours", "en"))
    assert targets(f"{tmp_path}/{{tgt_lang}}.po", "gl") == ["ours"]
    with pytest.raises(OtherLanguageError, match=r"is in en by its header"):
        targets(f"{tmp_path}/gl.po", "gl")


def test_both_languages_may_stand_in_a_path(tmp_path: Path) -> None:
    (tmp_path / "en-gl.tsv").write_text("Source\tours\n")
    (tmp_path / "en-es.tsv").write_text("Source\ttheirs\n")
    for uri in ("{src_lang}-{tgt_lang}.tsv", "*.tsv", "en-{tgt_lang}.tsv"):
        assert targets(f"{tmp_path}/{uri}", "gl") == ["ours"]


@pytest.mark.parametrize(
    ("names", "tgt_lang", "chosen"),
    [
        (["gl.po", "es.po", "messages.po"], "gl", ["gl.po", "messages.po"]),
        (["app.gl.xlf", "app.es.xlf", "app.xlf"], "gl", ["app.gl.xlf", "app.xlf"]),
        (["django-pt_BR.po", "django-pt.po"], "pt", ["django-pt.po"]),
        (["pt-BR.po", "pt-PT.po"], "pt", ["pt-PT.po"]),
        (["gl/a.po", "es/a.po", "a.po"], "gl", ["a.po", "gl/a.po"]),
        (["en-gl.train.tsv", "en-es.train.tsv"], "gl", ["en-gl.train.tsv"]),
        (["gl-en.tsv", "ca-en.tsv"], "gl", ["gl-en.tsv"]),
        (["sr@latin.po", "sr.po"], "sr", ["sr.po"]),
        (["sr@latin.po", "sr.po"], "sr-Latn", ["sr@latin.po"]),
        (["zh_CN.po", "zh_TW.po"], "zh-Hant", ["zh_TW.po"]),
        (["es_MX.po", "es_AR.po"], "es", []),
    ],
)
def test_the_language_in_a_path_is_recognised(names: list[str], tgt_lang: str, chosen: list[str]) -> None:
    assert sorted(choose(names, "**/*", src_lang="en", tgt_lang=tgt_lang).paths) == chosen


@pytest.mark.parametrize(
    ("pattern", "matching", "other"),
    [
        ("a/*.po", "a/b.po", "a/c/b.po"),
        ("**/*.po", "b.po", "b.pot"),
        ("a/**/b.po", "a/c/d/b.po", "a/c/cb.po"),
        ("a?c", "abc", "a/c"),
        ("{tgt_lang}/{tgt_lang}.po", "gl/gl.po", "gl/es.po"),
        ("a.[po]", "a.[po]", "a.p"),
    ],
)
def test_patterns_mean_what_shells_mean(pattern: str, matching: str, other: str) -> None:
    assert pattern_expression(pattern).fullmatch(matching)
    assert pattern_expression(pattern).fullmatch(other) is None


def test_spellings_put_the_exact_one_first() -> None:
    assert spellings("pt")[:2] == ("pt", "pt-pt")
    assert spellings("pt_BR")[0] == "pt-br"
    assert "pt" not in spellings("pt_BR")
    assert {"no", "nb-no"} <= set(spellings("nb"))
    assert spellings("not a code!") == ("not a code!",)


@pytest.mark.parametrize(
    ("wanted", "found", "expected"),
    [
        ("en", "EN-us", True),
        ("pt", "pt-BR", True),
        ("pt_BR", "pt", True),
        ("pt_BR", "pt_PT", False),
        ("gl", "es", False),
        ("zh-Hans", "zh-TW", False),
        ("nb", "no", True),
        ("sr", "sr@latin", False),
        ("ast", "ast_ES", True),
    ],
)
def test_a_region_counts_only_where_both_name_one(wanted: str, found: str, expected: bool) -> None:
    assert matches(wanted, found) is expected


def test_words_of_a_path_are_not_taken_for_languages() -> None:
    words = ["po", "js", "app", "doc", "src", "LC_MESSAGES", "locale", "ast"]
    assert [word for word in words if looks_like_locale(word)] == []
