"""Catalogues: read as other programs read them, and written with nothing changed but what was filled."""

from __future__ import annotations

from pathlib import Path

import polib
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nlp_transfer.data.po_files import PoFile, read_po_file
from nlp_transfer.data.po_strings import unescaped, written
from nlp_transfer.errors import DataError

HEADER = (
    'msgid ""\nmsgstr ""\n"Language: gl\\n"\n"Content-Type: text/plain; charset=UTF-8\\n"\n'
    '"Plural-Forms: nplurals=2; plural=(n != 1);\\n"\n\n'
)
# Everything that a program likes to tidy up: order, wrapping, blank lines, comments without a space.
UNTIDY = (
    "# Translators of the thing.\n#No space\n#, fuzzy\n"
    + HEADER.replace('"Language: gl\\n"\n', '"X-Later: yes: no\\n"\n"Language: gl\\n"\n')
    + '#. extracted\n#: b.c:2 a.c:1\n#:other.c\n#,  c-format ,fuzzy\n#| msgid "Old %s"\nmsgid "Save %s"\n'
    'msgstr "Gar"\n"dar"   " %s"\n\n\n\n'
    'msgctxt "menu"\n\tmsgid   "File"\nmsgstr"Ficheiro"\n'
    'msgid "no blank line before"\nmsgstr "si"\n'
    "# late\n#: c.c:1\n\n#, no-wrap\n"
    'msgid "A very long text that a program would like to wrap because it is longer than a page is wide"\n'
    'msgstr "Un texto longo que un programa quere partir porque e mais longo que o ancho dunha paxina"\n\n'
    '#, fuzzy\n#~| msgid "older"\n#~ msgctxt "x"\n#~ msgid "old"\n#~ msgstr "vello"\n\n'
    'msgid "%d file"\nmsgid_plural "%d files"\nmsgstr[0] "%d ficheiro"\nmsgstr[1] ""\n\n'
    'msgid "tab\\tquote\\"back\\\\slash\\n"\nmsgstr ""\n\n# the end'
)


def read(text: str) -> PoFile:
    return read_po_file(text.encode(), name="gl.po", to_be_filled=True)


def test_an_untidy_file_comes_back_byte_for_byte() -> None:
    for content in (UNTIDY, UNTIDY.replace("\n", "\r\n"), "\ufeff" + UNTIDY):
        assert read(content).filled({}) == content.encode()


def test_an_untidy_file_is_read_as_it_is_meant() -> None:
    found = read(UNTIDY)
    assert [(entry.context, entry.source, entry.plural, entry.forms) for entry in found.entries[1:]] == [
        (None, "Save %s", None, ["Gardar %s"]),
        ("menu", "File", None, ["Ficheiro"]),
        (None, "no blank line before", None, ["si"]),
        (
            None,
            "A very long text that a program would like to wrap because it is longer than a page is wide",
            None,
            ["Un texto longo que un programa quere partir porque e mais longo que o ancho dunha paxina"],
        ),
        (None, "%d file", "%d files", ["%d ficheiro", ""]),
        (None, 'tab\tquote"back\\slash\n', None, [""]),
    ]
    assert [entry.flags for entry in found.entries] == [
        ["fuzzy"],
        ["c-format", "fuzzy"],
        [],
        [],
        ["no-wrap"],
        [],
        [],
    ]
    assert [entry.source for entry in found.entries if entry.is_untranslated] == ['tab\tquote"back\\slash\n']
    assert found.header["Language"] == "gl"
    assert found.header["X-Later"] == "yes: no"


def test_only_the_lines_of_a_filled_entry_change() -> None:
    filled = read(UNTIDY).filled({6: ['lapela "x"\n']}).decode()
    before = 'msgid "tab\\tquote\\"back\\\\slash\\n"\nmsgstr ""\n\n# the end'
    after = '#, fuzzy\nmsgid "tab\\tquote\\"back\\\\slash\\n"\nmsgstr "lapela \\"x\\"\\n"\n\n# the end'
    assert filled == UNTIDY.replace(before, after)


FILLED: dict[str, tuple[str, list[str], str]] = {
    "a flag of its own": ('msgid "a"\nmsgstr ""\n', ["b"], '#, fuzzy\nmsgid "a"\nmsgstr "b"\n'),
    "beside other flags": (
        '#, c-format\nmsgid "a"\nmsgstr ""\n',
        ["b"],
        '#, fuzzy, c-format\nmsgid "a"\nmsgstr "b"\n',
    ),
    "flags without a space": (
        '#,c-format\nmsgid "a"\nmsgstr ""\n',
        ["b"],
        '#, fuzzy, c-format\nmsgid "a"\nmsgstr "b"\n',
    ),
    "flags in two lines": (
        '#, c-format\n#, no-wrap\nmsgid "a"\nmsgstr ""\n',
        ["b"],
        '#, fuzzy, c-format\n#, no-wrap\nmsgid "a"\nmsgstr "b"\n',
    ),
    "an empty line of flags": ('#,\nmsgid "a"\nmsgstr ""\n', ["b"], '#, fuzzy\nmsgid "a"\nmsgstr "b"\n'),
    "fuzzy before": ('#, fuzzy\nmsgid "a"\nmsgstr ""\n', ["b"], '#, fuzzy\nmsgid "a"\nmsgstr "b"\n'),
    "after the references, before the previous text": (
        '# note\n#. hint\n#: a.c:1\n#| msgid "x"\n#| "y"\nmsgctxt "m"\nmsgid "a"\nmsgstr ""\n',
        ["b"],
        '# note\n#. hint\n#: a.c:1\n#, fuzzy\n#| msgid "x"\n#| "y"\nmsgctxt "m"\nmsgid "a"\nmsgstr "b"\n',
    ),
    "flags of an obsolete entry before": (
        '#, c-format\n#~ msgid "x"\n#~ msgstr "y"\n\nmsgid "a"\nmsgstr ""\n',
        ["b"],
        '#, c-format\n#~ msgid "x"\n#~ msgstr "y"\n\n#, fuzzy\nmsgid "a"\nmsgstr "b"\n',
    ),
    "Windows' line ends": (
        'msgid "a"\r\nmsgstr ""\r\n',
        ["b\nc"],
        '#, fuzzy\r\nmsgid "a"\r\nmsgstr ""\r\n"b\\n"\r\n"c"\r\n',
    ),
    "no line end at the end": (
        'msgid "a"\nmsgstr ""',
        ["b\nc"],
        '#, fuzzy\nmsgid "a"\nmsgstr ""\n"b\\n"\n"c"',
    ),
    "plurals": (
        'msgid "a"\nmsgid_plural "as"\nmsgstr[0] ""\nmsgstr[1] ""\n',
        ["b", "bs"],
        '#, fuzzy\nmsgid "a"\nmsgid_plural "as"\nmsgstr[0] "b"\nmsgstr[1] "bs"\n',
    ),
    "more forms than the template has": (
        'msgid "a"\nmsgid_plural "as"\nmsgstr[0] ""\nmsgstr[1] ""\n# next\n',
        ["b", "c", "d"],
        '#, fuzzy\nmsgid "a"\nmsgid_plural "as"\nmsgstr[0] "b"\nmsgstr[1] "c"\nmsgstr[2] "d"\n# next\n',
    ),
    "an empty text over two lines": (
        'msgid "a"\nmsgstr ""\n""\n\nmsgid "z"\nmsgstr "y"\n',
        ["b"],
        '#, fuzzy\nmsgid "a"\nmsgstr "b"\n\nmsgid "z"\nmsgstr "y"\n',
    ),
}


@pytest.mark.parametrize(("before", "forms", "after"), FILLED.values(), ids=list(FILLED))
def test_an_entry_is_filled_and_marked_fuzzy(before: str, forms: list[str], after: str) -> None:
    found = read(HEADER + before)
    number = next(number for number, entry in enumerate(found.entries) if entry.is_untranslated)
    assert found.filled({number: forms}).decode() == HEADER + after


def test_several_entries_are_filled_at_their_places() -> None:
    text = "".join(f'msgid "{name}"\nmsgstr ""\n\n' for name in "abc")
    filled = read(HEADER + text).filled({1: ["A\nA"], 3: ["C"]}).decode()
    assert filled == HEADER + (
        '#, fuzzy\nmsgid "a"\nmsgstr ""\n"A\\n"\n"A"\n\n'
        'msgid "b"\nmsgstr ""\n\n#, fuzzy\nmsgid "c"\nmsgstr "C"\n\n'
    )


def test_a_file_keeps_its_own_encoding() -> None:
    text = HEADER.replace("UTF-8", "ISO-8859-1") + 'msgid "a"\nmsgstr ""\n\nmsgid "b"\nmsgstr "é"\n'
    found = read_po_file(text.encode("latin-1"), name="gl.po", to_be_filled=True)
    assert found.entries[2].forms == ["é"]
    assert found.filled({1: ["á"]}) == text.replace(
        'msgid "a"\nmsgstr ""', '#, fuzzy\nmsgid "a"\nmsgstr "á"'
    ).encode("latin-1")
    with pytest.raises(DataError, match=r"is iso8859-1 text, which has no 'ő' of a translation; .*msgconv"):
        found.filled({1: ["ő"]})


@pytest.mark.parametrize("charset", ["; charset=CHARSET", "", "; charset=utf-8"])
def test_utf_8_is_taken_where_the_header_names_no_encoding(charset: str) -> None:
    text = HEADER.replace("; charset=UTF-8", charset) + 'msgid "a"\nmsgstr "é"\n'
    assert read(text).entries[1].forms == ["é"]


BAD_FILES: dict[str, tuple[bytes, str]] = {
    "no header": (b'msgid "a"\nmsgstr ""\n', "gl.po has no header .*msginit"),
    "an empty file": (b"", "gl.po has no header"),
    "comments alone": (b"# a\n", "gl.po has no header"),
    "an unknown encoding": (
        HEADER.replace("UTF-8", "UTF-88").encode(),
        "its header names 'UTF-88', which is no encoding for catalogues",
    ),
    "an encoding of something else": (
        HEADER.replace("UTF-8", "hex").encode(),
        "its header names 'hex', which",
    ),
    "an encoding that does not come back": (
        HEADER.replace("UTF-8", "unicode_escape").encode(),
        "its header names 'unicode_escape', which",
    ),
    "invalid UTF-8": (
        HEADER.encode() + b'msgid "a"\nmsgstr "\xff"\n',
        r"gl.po, line 8: not utf-8 text \(byte 0xff\); convert the file, or mend the charset",
    ),
    "UTF-16": (HEADER.encode("utf-16"), "line 1: not utf-8 text"),
    "a line of text": (
        HEADER.encode() + b"hello\n",
        "line 7: expected a keyword and a quoted text, got 'hello'",
    ),
    "an open quote": (HEADER.encode() + b'msgid "a\nmsgstr ""\n', "line 7: expected a keyword and a quoted"),
    "a quote inside": (HEADER.encode() + b'msgid "a"b"\nmsgstr ""\n', "line 7: expected a keyword"),
    "an escaped end": (HEADER.encode() + b'msgid "a\\"\nmsgstr ""\n', "line 7: expected a keyword"),
    "a broken header": (b'msgid ""\nmsgstr "\n"Language: gl\\n"\n', "line 2: expected a keyword"),
    "a conflict of versions": (HEADER.encode() + b"<<<<<<< HEAD\n", "line 7: expected a keyword"),
    "no msgstr": (
        HEADER.encode() + b'msgid "a"\n\nmsgid "b"\nmsgstr ""\n',
        "line 9: the entry before it has",
    ),
    "no msgstr before a comment": (
        HEADER.encode() + b'msgid "a"\n# x\nmsgstr ""\n',
        "line 8: the entry before",
    ),
    "no msgstr at the end": (HEADER.encode() + b'msgid "a"\n', "end of the file: the entry before it has no"),
    "msgstr first": (b'msgstr "a"\n', "line 1: expected msgid or msgctxt first"),
    "a continuation first": (b'"a"\n', "line 1: expected msgid or msgctxt first"),
    "a continuation after a comment": (HEADER.encode() + b'# x\n"a"\n', "line 8: expected msgid or msgctxt"),
    "a context without a msgid": (b'msgctxt "a"\nmsgstr "b"\n', "line 2: msgstr without a msgid"),
    "two msgstr": (
        HEADER.encode() + b'msgid "a"\nmsgstr ""\nmsgstr "b"\n',
        "line 9: expected msgid or a comm",
    ),
    "a form without a plural": (
        HEADER.encode() + b'msgid "a"\nmsgstr[0] ""\n',
        r"expected msgstr, got msgstr\[0",
    ),
    "a plural without forms": (
        HEADER.encode() + b'msgid "a"\nmsgid_plural "b"\nmsgstr ""\n',
        r"line 9: expected msgstr\[0\], got msgstr",
    ),
    "a form left out": (
        HEADER.encode() + b'msgid "a"\nmsgid_plural "b"\nmsgstr[0] ""\nmsgstr[2] ""\n',
        r"line 10: expected msgstr\[1\], got msgstr\[2\]",
    ),
    "a plural at the wrong place": (
        HEADER.encode() + b'msgid "a"\nmsgstr ""\nmsgid_plural "b"\n',
        "line 9: msgid_plural belongs between",
    ),
    "a number where none belongs": (HEADER.encode() + b'msgid[0] "a"\n', "line 7: msgid takes no number"),
}


@pytest.mark.parametrize(("content", "message"), BAD_FILES.values(), ids=list(BAD_FILES))
def test_a_broken_file_ends_with_one_message_that_names_the_place(content: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        read_po_file(content, name="gl.po", to_be_filled=True)
    assert "\n" not in str(caught.value)


def test_escapes_are_read_as_gettext_reads_them() -> None:
    assert unescaped(r"\a\b\f\v\t\r\n\\\"\101\x41") == '\a\b\f\v\t\r\n\\"AA'


def test_a_long_text_is_wrapped_at_words_and_at_line_breaks() -> None:
    lines = written("msgstr", "word " * 20 + "\nend")
    assert lines == [
        'msgstr ""',
        f'"{"word " * 15}"',
        f'"{"word " * 5}\\n"',
        '"end"',
    ]
    assert written("msgstr[0]", "x" * 66) == [f'msgstr[0] "{"x" * 66}"']
    assert written("msgstr[0]", "x" * 68) == ['msgstr[0] ""', f'"{"x" * 68}"']


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=120)


@settings(deadline=None)
@given(TEXTS)
def test_what_is_written_is_read_again(text: str) -> None:
    lines = written("msgstr", text)
    assert "".join(unescaped(line[line.index('"') + 1 : -1]) for line in lines) == text
    found = read(HEADER + 'msgid "a"\nmsgstr ""\n').filled({1: [text or "-"]})
    assert read_po_file(found, name="gl.po").entries[1].forms == [text or "-"]


LINES = [HEADER, 'msgid "a"', 'msgid_plural "b"', 'msgstr ""', 'msgstr[0] "x"', 'msgctxt "c"', '"d"', "# x"]
LINES += ["#, fuzzy", '#~ msgid "o"', '#| msgid "p"', "", "junk", '"open']


@settings(deadline=None)
@given(st.lists(st.sampled_from(LINES)))
def test_any_lines_are_refused_or_come_back_byte_for_byte(lines: list[str]) -> None:
    content = "\n".join([HEADER, *lines]).encode()
    try:
        found = read_po_file(content, name="gl.po", to_be_filled=True)
    except DataError:
        return
    assert found.filled({}) == content


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_refused_or_come_back(content: bytes) -> None:
    try:
        found = read_po_file(HEADER.encode() + content, name="gl.po", to_be_filled=True)
    except DataError:
        return
    assert found.filled({}) == HEADER.encode() + content


def test_polib_reads_the_same(tmp_path: Path) -> None:
    # Without what polib does not read: a comment without a space, two strings on a line, no space before one.
    text = UNTIDY.replace("#No", "# No").replace("#:other", "#: other").replace('"   "', "")
    text = text.replace('msgstr"', 'msgstr "')
    (tmp_path / "gl.po").write_text(text)
    other = [entry for entry in polib.pofile(str(tmp_path / "gl.po")) if not entry.obsolete]
    ours = read(text).entries[1:]
    assert [entry.source for entry in ours] == [entry.msgid for entry in other]
    assert [entry.forms for entry in ours] == [
        list(entry.msgstr_plural.values()) or [entry.msgstr] for entry in other
    ]
    assert [entry.flags for entry in ours] == [entry.flags for entry in other]
