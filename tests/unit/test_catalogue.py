"""Filling catalogues: what may be filled, what must be kept, and what is left empty and told."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polib
import pytest
from fake_translator import FakeTranslator
from hypothesis import given, settings
from hypothesis import strategies as st

from nlp_transfer.data.placeholders import placeholders
from nlp_transfer.data.po_files import PoEntry, read_po_file
from nlp_transfer.errors import ConfigError, DataError
from nlp_transfer.inference.catalogue import fill_catalogue
from nlp_transfer.inference.plural_forms import read_plural_forms

SPANISH = "nplurals=2; plural=(n != 1);"
FRENCH = "nplurals=2; plural=(n > 1);"
RUSSIAN = (
    "nplurals=3; plural=(n%10==1 && n%100!=11 ? 0 : n%10>=2 && n%10<=4 && (n%100<10 || n%100>=20) ? 1 : 2);"
)
SLOVENIAN = "nplurals=4; plural=(n%100==1 ? 1 : n%100==2 ? 2 : n%100==3 || n%100==4 ? 3 : 0);"
IRISH = "nplurals=5; plural=n==1 ? 0 : n==2 ? 1 : n<7 ? 2 : n<11 ? 3 : 4"
JAPANESE = "nplurals=1; plural=0;"


def catalogue(*entries: str, language: str = "gl", plurals: str = SPANISH) -> str:
    return "\n".join(
        [
            'msgid ""\nmsgstr ""\n'
            '"Content-Type: text/plain; charset=UTF-8\\n"\n'
            f'"Language: {language}\\n"\n"Plural-Forms: {plurals}\\n"\n',
            *entries,
        ]
    )


def filled(text: str, translator: FakeTranslator | None = None, **settings: Any) -> list[PoEntry]:
    content = fill_catalogue(
        translator or FakeTranslator(), read_po_file(text.encode(), name="gl.po"), **settings
    )
    return [entry for entry in read_po_file(content, name="gl.po").entries if not entry.is_header]


def one(source: str, answer: Callable[[str], str] = "«{}»".format, flags: str = "") -> str:
    """Fill a catalogue of one entry and return its text."""
    text = catalogue(f'{flags}msgid "{source}"\nmsgstr ""\n')
    return filled(text, FakeTranslator(answer))[0].forms[0]


def test_untranslated_entries_are_filled_and_all_others_kept_byte_for_byte() -> None:
    kept = [
        '# by a person\nmsgid "Save"\nmsgstr "Gardar"\n',
        '#, fuzzy\n#| msgid "Opened"\nmsgid "Open"\nmsgstr "Abrir"\n',
        'msgid "%d day"\nmsgid_plural "%d days"\nmsgstr[0] "%d dia"\nmsgstr[1] ""\n',
        '#~ msgid "old"\n#~ msgstr ""\n',
    ]
    text = catalogue(*kept[:3], 'msgctxt "menu"\nmsgid "Close"\nmsgstr ""\n', kept[3])
    translator = FakeTranslator()
    content = fill_catalogue(translator, read_po_file(text.encode(), name="gl.po")).decode()
    assert content == text.replace(
        'msgctxt "menu"\nmsgid "Close"\nmsgstr ""',
        '#, fuzzy\nmsgctxt "menu"\nmsgid "Close"\nmsgstr "«Close»"',
    )
    assert translator.asked == ["Close"]


def test_a_fuzzy_entry_without_text_is_filled() -> None:
    (entry,) = filled(catalogue('#, fuzzy\nmsgid "a"\nmsgstr ""\n'))
    assert (entry.forms, entry.flags) == (["«a»"], ["fuzzy"])


def test_equal_texts_of_different_contexts_are_translated_once() -> None:
    translator = FakeTranslator()
    text = catalogue('msgctxt "x"\nmsgid "a"\nmsgstr ""\n', 'msgctxt "y"\nmsgid "a"\nmsgstr ""\n')
    assert [entry.forms for entry in filled(text, translator)] == [["«a»"], ["«a»"]]
    assert translator.asked == ["a"]


def test_a_catalogue_without_empty_entries_comes_back_without_a_call() -> None:
    text = catalogue('msgid "a"\nmsgstr "b"\n')
    translator = FakeTranslator()
    assert fill_catalogue(translator, read_po_file(text.encode(), name="gl.po")) == text.encode()
    assert translator.settings == []


@pytest.mark.parametrize(
    "source", ["a\\n", "\\na", "  a ", "\\n\\na\\n", "a\\nb", "a\\r\\n", "\\ta", " ", "\\n", "%s\\n"]
)
def test_line_breaks_and_edges_are_those_of_the_msgid(source: str) -> None:
    text = source.replace("\\n", "\n").replace("\\r", "\r").replace("\\t", "\t")
    assert one(source) == text.replace("a", "«a»").replace("b", "«b»")


# Placeholders -------------------------------------------------------------------------------------

KEPT_PLACEHOLDERS: dict[str, tuple[str, str, str]] = {
    "kept": ("Save %s", "Gardar %s", ""),
    "in another order with numbers": ("%1$s of %2$s", "%2$s: %1$s", ""),
    "in another order with names": ("%(a)s of {b} ${c}", "${c} {b} %(a)s", ""),
    "in another order with other names": ("%1 of %{a} %b_b% {{ c }}", "{{ c }} %b_b% %{a} %1", ""),
    "several of one kind": ("%s or %s", "%s ou %s", ""),
    "a percent sign in plain text": ("Half", "50%", ""),
    "a percent sign in a format": ("100%% of %s", "%s: 100%%", "#, c-format\n"),
    "a plain text by its flag": ("Half", "50%", "#, no-c-format\n"),
}
LOST_PLACEHOLDERS: dict[str, tuple[str, str, str]] = {
    "lost for another": ("Save %s", "Gardar {0}", ""),
    "doubled": ("Save %s", "Gardar %s %s", ""),
    "invented": ("Save", "Gardar {0}", ""),
    "of another kind": ("Save %s", "Gardar %d", ""),
    "renamed": ("Save %(name)s", "Gardar %(nome)s", ""),
    "in another order without numbers": ("%s has %d", "%d ten %s", ""),
    "in another order without names": ("{:d} of {!r}", "{!r} {:d}", ""),
    "a double brace": ("Save {{ name }}", "Gardar {{ nome }}", ""),
    "a bare percent sign in a format": ("All of %s", "100% de %s", "#, python-format\n"),
    "half a percent sign": ("100%%", "100 por %", "#, c-format\n"),
    "a brace in a format": ("All {0}", "Todo {0} {", "#, python-brace-format\n"),
}


@pytest.mark.parametrize(
    ("source", "answer", "flags"), KEPT_PLACEHOLDERS.values(), ids=list(KEPT_PLACEHOLDERS)
)
def test_a_translation_with_the_same_placeholders_stands(source: str, answer: str, flags: str) -> None:
    assert one(source, lambda _: answer, flags) == answer


@pytest.mark.parametrize(
    ("source", "answer", "flags"), LOST_PLACEHOLDERS.values(), ids=list(LOST_PLACEHOLDERS)
)
def test_an_entry_whose_placeholders_would_change_stays_as_it_was(
    source: str, answer: str, flags: str, caplog: Any
) -> None:
    text = catalogue(f'{flags}msgid "{source} word"\nmsgstr ""\n').encode()
    translator = FakeTranslator(lambda _: answer)
    with caplog.at_level(logging.INFO, logger="nlp_transfer"):
        assert fill_catalogue(translator, read_po_file(text, name="gl.po")) == text
    assert caplog.messages == [
        "gl.po: 0 filled and marked fuzzy, 1 left empty because the translation changed the placeholders "
        f"(line {8 + bool(flags)}), 0 kept as they were"
    ]


def test_a_lost_placeholder_is_kept_by_translating_in_pieces(caplog: Any) -> None:
    text = catalogue(
        'msgid "Delete %(n)s files from {place}?\\nYes"\nmsgstr ""\n',
        'msgid "Yes"\nmsgstr ""\n',
        '#, c-format\nmsgid "%d%% of %s"\nmsgstr ""\n',
    )
    translator = FakeTranslator(lambda text: "«lost»" if placeholders(text) else f"«{text}»")
    with caplog.at_level(logging.INFO, logger="nlp_transfer"):
        found = filled(text, translator)
    assert [entry.forms[0] for entry in found] == [
        "«Delete» %(n)s «files from» {place}?\n«Yes»", "«Yes»", "%d%% «of» %s"
    ]  # fmt: skip
    assert "3 filled and marked fuzzy (2 in pieces between placeholders)" in caplog.text


def test_the_log_tells_what_was_filled_left_empty_and_kept(caplog: Any) -> None:
    def answer(text: str) -> str:
        return {"drop %s": "lost", "drop": "lost {0}", "nothing": " "}.get(text, f"«{text}»")

    entries = [
        'msgid "done"\nmsgstr "feito"\n',
        *(f'msgid "text {number}"\nmsgstr ""\n' for number in range(2)),
        'msgid "drop %s"\nmsgstr ""\n',
        'msgid "nothing"\nmsgstr ""\n',
        'msgid "one two three four five"\nmsgstr ""\n',
    ]
    translator = FakeTranslator(answer, max_length_tokens=4)
    with caplog.at_level(logging.INFO, logger="nlp_transfer"):
        found = filled(catalogue(*entries), translator)
    assert [entry.forms[0] for entry in found] == ["feito", "«text 0»", "«text 1»", "", "", ""]
    assert ["fuzzy" in entry.flags for entry in found] == [False, True, True, False, False, False]
    assert caplog.messages == [
        "gl.po: 2 filled and marked fuzzy, "
        "1 left empty because the translation changed the placeholders (line 17), "
        "1 left empty because the model gave no translation (line 20), "
        "1 left empty because a sentence has more than the 4 tokens that the model reads (line 23), "
        "1 kept as they were"
    ]
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_many_lines_are_listed_in_part(caplog: Any) -> None:
    text = catalogue(*(f'msgid "{number} word %s"\nmsgstr ""\n' for number in range(25)))
    with caplog.at_level(logging.INFO, logger="nlp_transfer"):
        filled(text, FakeTranslator(lambda _: "lost {0}"))
    assert "25 left empty because the translation changed the placeholders (lines 8, 11," in caplog.text
    assert "62, 65 and 5 more)" in caplog.text


# Accelerators -------------------------------------------------------------------------------------

ACCELERATORS: dict[str, tuple[str, str]] = {
    "_File": ("File", "«_File»"),
    "&File": ("File", "«&File»"),
    "(_File)": ("(_File)", "«(_File)»"),
    "%s: _File": ("%s: File", "«%s: File»"),
    "Save _As": ("Save As", "«Save As»"),
    "1. &Open": ("1. Open", "«1. Open»"),
    "E&xit": ("Exit", "«Exit»"),
    "file_name": ("file_name", "«file_name»"),
    "__init__": ("__init__", "«__init__»"),
    "R&D": ("R&D", "«R&D»"),
    "Q & A": ("Q & A", "«Q & A»"),
    "Terms &amp; more": ("Terms &amp; more", "«Terms &amp; more»"),
    "at /?a=b&c=d": ("at /?a=b&c=d", "«at /?a=b&c=d»"),
    "&One and &two": ("&One and &two", "«&One and &two»"),
    "%(_x)s y": ("%(_x)s y", "«%(_x)s y»"),
}


@pytest.mark.parametrize(("asked", "expected"), ACCELERATORS.values(), ids=list(ACCELERATORS))
def test_the_model_reads_no_accelerator(asked: str, expected: str, request: Any) -> None:
    source = request.node.callspec.id
    translator = FakeTranslator()
    (entry,) = filled(catalogue(f'msgid "{source}"\nmsgstr ""\n'), translator)
    assert translator.asked == [asked]
    assert entry.forms == [expected]


# Plurals ------------------------------------------------------------------------------------------

PLURALS: dict[str, tuple[str, str, list[str]]] = {
    "two forms": (SPANISH, "%d file", ["%d file", "%d files"]),
    "a singular without its number": (SPANISH, "One file", ["One file", "%d files"]),
    "one form": (JAPANESE, "%d file", ["%d files"]),
    "0 and 1 together": (FRENCH, "%d file", ["%d file", "%d files"]),
    "0 and 1 together, without the number": (FRENCH, "One file", ["%d files", "%d files"]),
    "1 and 21 together": (RUSSIAN, "%d file", ["%d file", "%d files", "%d files"]),
    "1 and 21 together, without the number": (RUSSIAN, "One file", ["%d files"] * 3),
    "the singular is not the first": (SLOVENIAN, "%d file", ["%d files", "%d file", "%d files", "%d files"]),
    "five forms": (IRISH, "a file", ["a file", *["%d files"] * 4]),
}


@pytest.mark.parametrize(("plurals", "singular", "sources"), PLURALS.values(), ids=list(PLURALS))
def test_each_form_comes_from_the_singular_or_the_plural(
    plurals: str, singular: str, sources: list[str]
) -> None:
    text = catalogue(
        f'msgid "{singular}"\nmsgid_plural "%d files"\nmsgstr[0] ""\nmsgstr[1] ""\n', plurals=plurals
    )
    (entry,) = filled(text)
    assert entry.forms == [f"«{source}»" for source in sources]


def test_a_plural_with_one_bad_form_stays_empty() -> None:
    text = catalogue('msgid "a file"\nmsgid_plural "%d files"\nmsgstr[0] ""\nmsgstr[1] ""\n')
    (entry,) = filled(text, FakeTranslator(lambda text: "{n}" if "files" in text else text))
    assert (entry.forms, entry.flags) == (["", ""], [])


BAD_PLURALS: dict[str, tuple[str, str]] = {
    "missing": ("", "gl.po has plurals to fill, but its header has no Plural-Forms; add it, such as"),
    "the template's words": ("nplurals=INTEGER; plural=EXPRESSION;", "Plural-Forms is broken"),
    "no rule": ("nplurals=2", "Plural-Forms is broken"),
    "no forms": ("nplurals=0; plural=0;", "Plural-Forms is broken"),
    "an open bracket": ("nplurals=2; plural=(n != 1;", "Plural-Forms is broken"),
    "another language": ("nplurals=2; plural=import os;", "Plural-Forms is broken"),
    "a division by zero": ("nplurals=2; plural=n/0;", "Plural-Forms is broken"),
    "a form that is not there": ("nplurals=2; plural=n%3;", "Plural-Forms is broken"),
    "deep brackets": (f"nplurals=2; plural={'(' * 999}n{')' * 999};", "Plural-Forms is broken"),
}


@pytest.mark.parametrize(("plurals", "message"), BAD_PLURALS.values(), ids=list(BAD_PLURALS))
def test_broken_plural_forms_are_told_where_they_matter(plurals: str, message: str) -> None:
    entry = 'msgid "a"\nmsgid_plural "b"\nmsgstr[0] ""\nmsgstr[1] ""\n'
    with pytest.raises(DataError, match=message) as caught:
        filled(catalogue(entry, plurals=plurals))
    assert "\n" not in str(caught.value)
    assert filled(catalogue('msgid "a"\nmsgstr ""\n', plurals=plurals))[0].forms == ["«a»"]


def test_plural_forms_are_read_as_the_header_writes_them() -> None:
    forms = read_plural_forms(" nplurals = 3 ; plural = n%10==1 ? 0 : 1 ", name="gl.po")
    assert (forms.count, forms.of_one, forms.one_is_alone, forms.one_is_plural) == (3, 0, False, False)


# Language -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stated", "tgt_lang"),
    [
        ("gl", "gl"),
        ("gl_ES", "gl"),
        ("gl_ES.UTF-8", "gl"),
        ("gl", "glg_Latn"),
        ("sr@latin", "sr"),
        ("pt_BR", "pt"),
        ("not a code", "not a code"),
        ("", "gl"),
    ],
)
def test_a_catalogue_of_the_models_language_is_filled(stated: str, tgt_lang: str) -> None:
    text = catalogue('msgid "a"\nmsgstr ""\n', language=stated)
    assert filled(text, FakeTranslator(tgt_lang=tgt_lang))[0].forms == ["«a»"]


@pytest.mark.parametrize(("stated", "tgt_lang"), [("es", "gl"), ("es", "ast"), ("pt_BR", "glg_Latn")])
def test_a_catalogue_of_another_language_is_refused_unless_the_language_is_given(
    stated: str, tgt_lang: str
) -> None:
    text = catalogue('msgid "a"\nmsgstr ""\n', language=stated)
    translator = FakeTranslator(tgt_lang=tgt_lang)
    with pytest.raises(ConfigError, match=f"in the language '{stated}' .* into '{tgt_lang}'; .*--tgt-lang"):
        filled(text, translator)
    assert translator.settings == []
    assert filled(text, translator, tgt_lang="es", num_beams=3, label="bar")[0].forms == ["«a»"]
    assert translator.settings == [("es", 3, "bar")]


# Any catalogue ------------------------------------------------------------------------------------

# polib does not read \a, which gettext writes for the bell.
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\a"), max_size=60)
WORDS = TEXTS | st.text('ab %sd{0}_&\\"\n', max_size=20)
FLAGS = st.lists(st.sampled_from(["fuzzy", "c-format", "no-wrap", "python-brace-format"]), unique=True)


@st.composite
def entries(draw: Any) -> polib.POEntry:
    entry = polib.POEntry(msgid=draw(WORDS.filter(bool)), flags=draw(FLAGS), obsolete=draw(st.booleans()))
    entry.msgctxt = draw(st.none() | TEXTS)
    entry.previous_msgid = draw(st.none() | WORDS)
    if draw(st.booleans()):
        entry.msgid_plural = draw(WORDS.filter(bool))
        entry.msgstr_plural = {form: draw(WORDS | st.just("")) for form in range(2)}
    else:
        entry.msgstr = draw(WORDS | st.just(""))
    return entry


def is_empty(entry: polib.POEntry) -> bool:
    return not entry.obsolete and not entry.msgstr and not any(entry.msgstr_plural.values())


def state(entry: polib.POEntry) -> tuple[Any, ...]:
    return entry.msgctxt, entry.msgid, entry.msgid_plural, entry.previous_msgid, entry.obsolete


@settings(deadline=None)
@given(st.lists(entries(), max_size=5), WORDS, st.booleans())
def test_any_catalogue_keeps_its_entries_and_what_people_wrote(
    tmp_path_factory: pytest.TempPathFactory, content: list[polib.POEntry], extra: str, keeps_source: bool
) -> None:
    path = Path(tmp_path_factory.getbasetemp()) / "any.po"
    blocks = [entry.__unicode__() for entry in content]
    path.write_text(catalogue(*blocks), encoding="utf-8", newline="")
    before = list(polib.pofile(str(path), encoding="utf-8"))
    translator = FakeTranslator(lambda text: (text if keeps_source else "") + extra)
    written = fill_catalogue(translator, read_po_file(path.read_bytes(), name="any.po"))
    path.write_bytes(written)
    after = list(polib.pofile(str(path), encoding="utf-8"))
    assert [state(entry) for entry in after] == [state(entry) for entry in before]
    for block, old, new in zip(blocks, before, after, strict=True):
        if is_empty(old):
            assert (new.msgstr == "" and not any(new.msgstr_plural.values())) or new.fuzzy
            assert sorted(placeholders(new.msgstr)) in ([], sorted(placeholders(new.msgid)))
        else:
            assert block.encode() in written
            assert (new.msgstr, new.msgstr_plural, new.flags) == (old.msgstr, old.msgstr_plural, old.flags)
