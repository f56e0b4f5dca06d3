"""Pairs come out of every format that translators keep; what is wrong with a file is one message."""

from __future__ import annotations

import gettext
import gzip
import hashlib
import io
import json
import logging
import struct
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from nlp_transfer.data import pair_rows
from nlp_transfer.data.catalogues import OtherLanguageError, RawPair, read_aligned, read_pairs
from nlp_transfer.errors import DataError

HEADER = (
    'msgid ""\nmsgstr ""\n"Language: gl\\n"\n"Content-Type: text/plain; charset=UTF-8\\n"\n'
    '"Plural-Forms: nplurals=2; plural=(n != 1);\\n"\n\n'
)
ENTRIES = """
#, fuzzy
msgid "Close"
msgstr "Pechar?"

msgid "Untranslated"
msgstr ""

#~ msgid "Old"
#~ msgstr "Vello"

msgctxt "verb"
msgid "Open"
msgstr "Abrir"

msgid ""
"Two "
"lines\\n"
msgstr "Dúas \\"liñas\\"\\n"

msgid "%d file"
msgid_plural "%d files"
msgstr[0] "%d ficheiro"
msgstr[1] "%d ficheiros"

#. Default: "Add \\"it\\""
msgid "label_add"
msgstr "Engadir"
"""
PO = HEADER + ENTRIES
PO_PAIRS = [
    ("Open", "Abrir"), ("Two lines\n", 'Dúas "liñas"\n'), ("%d file", "%d ficheiro"), ("%d files", "%d "
    "ficheiros"),
    ('Add "it"', "Engadir"),
]  # fmt: skip
TMX = """<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE tmx SYSTEM "tmx14.dtd">
<tmx version="1.4"><header srclang="gl"/><body>
<tu><tuv xml:lang="gl-ES"><seg>Gardar <bpt i="1">&lt;b></bpt>todo<ept i="1">&lt;/b></ept></seg></tuv>
<tuv xml:lang="EN-us"><seg>Save <bpt i="1">&lt;b></bpt>all<ept i="1">&lt;/b></ept></seg></tuv></tu>
<tu><tuv lang="en"><seg>Hello <ph x="1"/>!</seg></tuv><tuv lang="es"><seg>Hola</seg></tuv>
<tuv lang="gl"><seg>Ola <ph x="1"/>!</seg></tuv></tu>
<tu><tuv lang="en"><seg>No translation</seg></tuv></tu>
</body></tmx>"""
XLIFF = """<?xml version="1.0"?><xliff version="1.2" xmlns="urn:oasis:names:tc:xliff:document:1.2">
<file original="a" source-language="en" target-language="gl" datatype="plaintext"><body>
<trans-unit id="1"><source>Hi <x id="n"/></source><target state="final">Ola <x id="n"/></target></trans-unit>
<trans-unit id="2"><source>Bye</source><target state="needs-translation">Bye</target></trans-unit>
<trans-unit id="3"><source>None</source></trans-unit>
<trans-unit id="4" translate="no"><source>Name</source><target>Nome</target></trans-unit>
</body></file></xliff>"""
XLIFF_2 = """<xliff xmlns="urn:oasis:names:tc:xliff:document:2.0" version="2.0" srcLang="en" trgLang="gl">
<file id="f"><unit id="1"><segment state="final"><source>Hi</source><target>Ola</target></segment></unit>
<unit id="2"><segment state="initial"><source>Bye</source></segment></unit></file></xliff>"""


def mo_bytes(*entries: tuple[bytes, bytes], order: str = "<", version: int = 0) -> bytes:
    count, blob, table = len(entries), b"", {0: [], 1: []}
    start = 28 + 16 * count
    for side in (0, 1):
        for entry in entries:
            table[side].append((len(entry[side]), start + len(blob)))
            blob += entry[side] + b"\0"
    head = struct.pack(f"{order}7I", 0x950412DE, version << 16, count, 28, 28 + 8 * count, 0, start)
    return (
        head + b"".join(struct.pack(f"{order}2I", *place) for side in (0, 1) for place in table[side]) + blob
    )


MO_HEADER = (
    b"",
    b"Language: gl\nContent-Type: text/plain; charset=UTF-8\nPlural-Forms: nplurals=2; plural=(n != 1);\n",
)
MO = mo_bytes(MO_HEADER, (b"verb\x04Open", b"Abrir"), (b"%d file\0%d files", b"%d ficheiro\0%d ficheiros"))


def write(folder: Path, name: str, content: str | bytes) -> str:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    content = content.encode() if isinstance(content, str) else content
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return str(path)


def texts(
    uri: str | list[str], src_lang: str = "en", tgt_lang: str = "gl", **options: Any
) -> list[tuple[str, str]]:
    return [(p.source, p.target) for p in read_pairs(uri, src_lang=src_lang, tgt_lang=tgt_lang, **options)]


# gettext ----------------------------------------------------------------------------------------------------


def test_a_po_file_gives_what_is_vouched_for(tmp_path: Path) -> None:
    dropped: Counter[str] = Counter()
    assert texts(write(tmp_path, "gl.po", PO), dropped=dropped) == PO_PAIRS
    assert dropped == {"fuzzy": 1, "untranslated": 1}


def test_a_pair_knows_its_context_and_where_it_came_from(tmp_path: Path) -> None:
    path = write(tmp_path, "gl.po", PO)
    first = next(read_pairs(path, src_lang="en", tgt_lang="gl"))
    assert first == RawPair("Open", "Abrir", f"{path}, line 18", "verb")


@pytest.mark.parametrize("name", ["gl.po.gz", "app.po"])
def test_a_po_file_may_be_packed_and_have_any_name(tmp_path: Path, name: str) -> None:
    assert texts(write(tmp_path, name, PO)) == PO_PAIRS


def test_the_charset_of_the_header_is_honoured(tmp_path: Path) -> None:
    text = 'msgid ""\nmsgstr "Content-Type: text/plain; charset= koi8-r\\n"\n\nmsgid "File"\nmsgstr "Файл"\n'
    assert texts(write(tmp_path, "ru.po", text.encode("koi8-r")), tgt_lang="ru") == [("File", "Файл")]


def test_a_po_file_without_a_header_is_read(tmp_path: Path) -> None:
    assert texts(write(tmp_path, "a.po", '\ufeffmsgid "File"\nmsgstr "Ficheiro"\n')) == [("File", "Ficheiro")]
    latin = 'msgid "Yes"\nmsgstr "Sí"\n'.encode("latin-1")
    assert texts(write(tmp_path, "b.po", latin), encoding="latin-1") == [("Yes", "Sí")]


@pytest.mark.parametrize(
    ("rule", "forms", "expected"),
    [
        ("nplurals=1; plural=0;", ["A"], [("files", "A")]),
        ("nplurals=2; plural=n>1;", ["A", "B"], [("file", "A"), ("files", "B")]),
        (
            "nplurals=3; plural=(n%10==1 && n%100!=11 ? 0 : n%10>=2 && n%10<=4 && (n%100<10 || n%100>=20) "
            "? 1 : 2);",
            ["A", "B", "C"], [("file", "A"), ("files", "C")],
        ),
        # Latvian's last form is that of zero.
        (
            "nplurals=3; plural=(n%10==1 && n%100!=11 ? 0 : n != 0 ? 1 : 2);", ["A", "B", "C"],
            [("file", "A"), ("files", "B")],
        ),
        # A catalogue that has a form for millions before its header knows of it.
        ("nplurals=2; plural=(n != 1);", ["A", "B", "C"], [("file", "A"), ("files", "B")]),
        ("", ["A", "B"], [("file", "A"), ("files", "B")]),
        ("", ["A", "B", "C"], []),
        ("nplurals=3; plural=(n != 1);", ["A", "B"], []),
        ("nplurals=2; plural=n;", ["A", "B"], []),
        ("nplurals=2; plural=1/(n-1);", ["A", "B"], []),
        ("nplurals=2; plural=(n != 1);", ["A", ""], []),
        ("nplurals=2; plural=import os;", ["A", "B"], [("file", "A"), ("files", "B")]),
    ],
)  # fmt: skip
def test_plural_forms_are_paired_by_the_languages_own_rule(
    tmp_path: Path, rule: str, forms: list[str], expected: list[tuple[str, str]]
) -> None:
    header = 'msgid ""\nmsgstr "Content-Type: text/plain; charset=UTF-8\\n"\n'
    header += f'"Plural-Forms: {rule}\\n"\n' if rule else ""
    lines = "".join(f'msgstr[{index}] "{form}"\n' for index, form in enumerate(forms))
    dropped: Counter[str] = Counter()
    path = write(tmp_path, "a.po", f'{header}\nmsgid "file"\nmsgid_plural "files"\n{lines}')
    assert texts(path, dropped=dropped) == expected
    assert dropped == ({} if expected else {"plural forms": 1})


def test_an_mo_file_gives_what_a_po_file_does(tmp_path: Path) -> None:
    path = write(tmp_path, "app.mo", MO)
    assert gettext.GNUTranslations(io.BytesIO(MO)).ngettext("%d file", "%d files", 5) == "%d ficheiros"
    assert texts(path) == [("Open", "Abrir"), ("%d file", "%d ficheiro"), ("%d files", "%d ficheiros")]
    assert next(read_pairs(path, src_lang="en", tgt_lang="gl")).context == "verb"


def test_an_mo_file_of_either_byte_order_is_read(tmp_path: Path) -> None:
    # A context alone, as Gramps has them, is no text.
    entries = [MO_HEADER, (b"date\x04", b"sobre"), (b"verb\x04Open", b"Abrir")]
    path = write(tmp_path, "app.mo", mo_bytes(*entries, order=">"))
    assert list(read_pairs(path, src_lang="en", tgt_lang="gl")) == [
        RawPair("Open", "Abrir", f"{path}, entry 3", "verb")
    ]


def test_the_charset_of_an_mo_file_is_honoured(tmp_path: Path) -> None:
    header = (b"", b"Content-Type: text/plain; charset=koi8-r\n")
    path = write(tmp_path, "app.mo", mo_bytes(header, (b"File", "Файл".encode("koi8-r"))))
    assert texts(path, tgt_lang="ru") == [("File", "Файл")]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "a.po",
            PO.replace("charset=UTF-8", "charset=utf-9"),
            r"header names 'utf-9', which is no encoding for catalogues; write",
        ),
        ("a.po", PO.encode("latin-1"), r"a\.po, line 25: not utf-8 text \(byte 0xfa\); convert the file"),
        ("a.po", PO.replace("Language: gl", "Language gl"), r"its header .* is broken at 'Language gl'"),
        (
            "a.po",
            PO.replace('msgstr "Abrir"', 'msgstr "Abrir'),
            r"a\.po, line 20: expected a keyword and a quoted text",
        ),
        ("a.po", "hello\n", r"a\.po, line 1: expected a keyword and a quoted text"),
        ("a.po", b"\0\1\2\xff", r"line 1: not utf-8 text \(byte 0xff\)"),
        (
            "a.po",
            PO.replace("Language: gl", "Language: es"),
            r"is in es by its header, expected gl; set "
            "tgt_lang: es",
        ),
        ("a.pot", PO, r"a\.pot is a template, in which nothing is translated; name the PO files"),
        ("a.docx", PO, r"the format is not known by its name; set format to one of csv, jsonl"),
        ("a.mo", mo_bytes(MO_HEADER, version=1), r"is not an MO file that can be read \(version 1\)"),
        ("a.mo", mo_bytes((b"", b"charset=utf-9\n")), r"is not an MO file .*utf-9"),
        ("a.mo", b"text", r"is not an MO file that can be read"),
        ("a.mo", MO[:-20], r"is not an MO file that can be read|overlap"),
        (
            "a.mo",
            mo_bytes(*[(b"", b"")] * 3)[:28] + struct.pack("<2I", 90, 40) * 6 + b"x" * 99,
            r"entries overlap",
        ),
        ("a.mo", struct.pack("<7I", 0x950412DE, 0, 2**30, 28, 28, 0, 28), r"it claims 1073741824 entries"),
    ],
)
def test_a_broken_catalogue_is_refused(tmp_path: Path, name: str, content: str | bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        texts(write(tmp_path, name, content))


def test_a_file_that_is_cut_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.po.gz"
    path.write_bytes(gzip.compress(PO.encode())[:-40])
    with pytest.raises(DataError, match=r"a\.po\.gz is not a whole gzip file"):
        texts(str(path))


def test_a_po_file_translates_from_its_msgids(tmp_path: Path) -> None:
    path = write(tmp_path, "gl.po", PO)
    with pytest.raises(OtherLanguageError, match=r"here en, but src_lang is es; set src_lang: en$"):
        texts(path, src_lang="es")
    with pytest.raises(
        OtherLanguageError,
        match=r"set src_lang: en and tgt_lang: gl \(the pair is given "
        r"backwards\)",
    ):
        texts(path, src_lang="gl", tgt_lang="en")
    french = write(
        tmp_path, "fr.po", PO.replace('"Language: gl', '"X-Source-Language: fr\\n"\n"Language: gl')
    )
    assert texts(french, src_lang="fr") == PO_PAIRS


# XML --------------------------------------------------------------------------------------------------------


def test_a_tmx_serves_in_either_direction_and_under_any_spelling(tmp_path: Path) -> None:
    path = write(tmp_path, "memory.tmx.gz", TMX)
    dropped: Counter[str] = Counter()
    assert texts(path, dropped=dropped) == [
        ("Save <b>all</b>", "Gardar <b>todo</b>"),
        ("Hello {1}!", "Ola {1}!"),
    ]
    assert dropped == {"untranslated": 1}
    assert texts(path, src_lang="gl", tgt_lang="en")[1] == ("Ola {1}!", "Hello {1}!")


@pytest.mark.parametrize(
    ("content", "expected"), [(XLIFF, [("Hi {n}", "Ola {n}")]), (XLIFF_2, [("Hi", "Ola")])]
)
def test_xliff_gives_what_its_states_vouch_for(
    tmp_path: Path, content: str, expected: list[tuple[str, str]]
) -> None:
    dropped: Counter[str] = Counter()
    assert texts(write(tmp_path, "a.xlf", content), dropped=dropped) == expected
    assert dropped == ({"fuzzy": 1, "untranslated": 1} if content is XLIFF else {"untranslated": 1})


@pytest.mark.parametrize(
    ("content", "start", "end"),
    [(XLIFF, '<trans-unit id="1"', "</trans-unit>"), (XLIFF_2, '<unit id="1"', "</unit>")],
)
def test_a_group_that_is_not_to_be_translated_gives_no_pairs(
    tmp_path: Path, content: str, start: str, end: str
) -> None:
    before, _, after = content.partition(start)
    unit, _, after = after.partition(end)
    for said, count in (("", 1), (' translate="yes"', 1), (' translate="no"', 0)):
        grouped = f"{before}<group id='g'{said}>{start}{unit}{end}</group>{after}"
        assert len(texts(write(tmp_path, "a.xlf", grouped))) == count


@pytest.mark.parametrize(
    ("name", "content", "languages", "message"),
    [
        (
            "a.tmx",
            TMX,
            ("en", "fr"),
            r"has no unit in both en and fr; its languages: .*gl.*Set src_lang "
            "and tgt_lang",
        ),
        ("a.tmx", TMX[:-30], ("en", "gl"), r"is not TMX that can be read"),
        ("a.tmx", XLIFF, ("en", "gl"), r"its root is <xliff>, expected <tmx>"),
        ("a.tmx", "", ("en", "gl"), r"is not TMX that can be read"),
        (
            "a.xliff",
            XLIFF,
            ("gl", "en"),
            r"from en into gl, and the pair is given backwards; set src_lang: "
            "en and tgt_lang: gl",
        ),
        ("a.xliff", XLIFF, ("en", "es"), r"from en into gl, expected en into es"),
        ("a.xliff", XLIFF_2, ("fr", "gl"), r"from en into gl, expected fr into gl"),
        ("a.xliff", XLIFF[:-30], ("en", "gl"), r"is not XLIFF that can be read"),
        ("a.xliff", TMX, ("en", "gl"), r"its root is <tmx>, expected <xliff>"),
    ],
)
def test_an_xml_file_without_the_pair_is_refused(
    tmp_path: Path, name: str, content: str, languages: tuple[str, str], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        texts(write(tmp_path, name, content), *languages)


BOMB = '<!DOCTYPE {root} [<!ENTITY a "aaaaaaaaaa">' + "".join(
    f'<!ENTITY {name} "{f"&{inner};" * 10}">' for inner, name in zip("abcdefgh", "bcdefghi", strict=True)
) + "]>"  # fmt: skip
OUTSIDE = '<!DOCTYPE {root} [<!ENTITY i SYSTEM "file://{secret}">]>'


@pytest.mark.parametrize("declared", [BOMB, OUTSIDE])
@pytest.mark.parametrize(("name", "content"), [("a.tmx", TMX), ("a.xlf", XLIFF), ("a.xlf", XLIFF_2)])
def test_entities_are_neither_expanded_nor_fetched(
    tmp_path: Path, declared: str, name: str, content: str
) -> None:
    secret = write(tmp_path, "secret.txt", "the password")
    root = name.removeprefix("a.").replace("xlf", "xliff")
    body = content.partition("?>")[2] if content.startswith("<?") else content
    body = body.replace('<!DOCTYPE tmx SYSTEM "tmx14.dtd">', "").replace("Hi", "&i;").replace("Hello", "&i;")
    document = declared.replace("{root}", root).replace("{secret}", secret) + body
    with pytest.raises(DataError, match=r"declares XML entities|entity amplification") as caught:
        texts(write(tmp_path, name, document))
    assert "password" not in str(caught.value)


# Tables -----------------------------------------------------------------------------------------------------

ROWS = "Open\tAbrir\nSave\tGardar\n"


@pytest.mark.parametrize(
    "header",
    ["", "en\tgl\n", "source\ttarget\n", "SRC\ttgt\n", "english\tnon_english\n", "\ufeffen_US\tgl_ES\n"],
)
def test_two_columns_need_no_header_line(tmp_path: Path, header: str) -> None:
    assert texts(write(tmp_path, "a.tsv.gz", header + ROWS)) == [("Open", "Abrir"), ("Save", "Gardar")]


def test_a_missing_header_line_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger=pair_rows.__name__):
        texts(write(tmp_path, "a.tsv", ROWS))
    assert caplog.messages == [f"{tmp_path}/a.tsv has no header line: its columns are taken for en and gl"]


@pytest.mark.parametrize(
    ("name", "content", "options"),
    [
        ("a.csv", 'gl,en\n"Abrir",Open\n"Gardar","Save"\n', {}),
        ("a.csv", "Open;Abrir\nSave;Gardar\n", {}),
        ("a.tsv", "1\tOpen\tAbrir\n2\tSave\tGardar\n", {"columns": ["id", "en", "gl"]}),
        ("a.tsv", "a\tb\nOpen\tAbrir\nSave\tGardar\n", {"src_column": "a", "tgt_column": "b"}),
        (
            "a.jsonl",
            '{"translation": {"gl": "Abrir", "en": "Open"}}\n{"translation": {"gl": "Gardar", "en": "Save"}}',
            {},
        ),
        (
            "a.jsonl",
            '{"src": "Open", "tgt": "Abrir", "n": 1}\n{"src": "Save", "tgt": "Gardar", "n": 2}\n',
            {},
        ),
        ("a.data", ROWS, {"format": "tsv"}),
    ],
)
def test_columns_are_found_by_their_names(
    tmp_path: Path, name: str, content: str, options: dict[str, Any]
) -> None:
    assert texts(write(tmp_path, name, content), **options) == [("Open", "Abrir"), ("Save", "Gardar")]


def test_parquet_is_read(tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    table = pyarrow.table({"translation": [{"en": "Open", "gl": "Abrir"}, {"en": "Save", "gl": None}]})
    pyarrow.parquet.write_table(table, tmp_path / "a.parquet")
    dropped: Counter[str] = Counter()
    assert texts(str(tmp_path / "a.parquet"), dropped=dropped) == [("Open", "Abrir")]
    assert dropped == {"untranslated": 1}


def test_empty_sides_are_counted(tmp_path: Path) -> None:
    dropped: Counter[str] = Counter()
    assert texts(write(tmp_path, "a.tsv", "Open\t\n\tAbrir\nSave\tGardar\n \t \n"), dropped=dropped) == [
        ("Save", "Gardar")
    ]
    assert dropped == {"untranslated": 2, "empty": 1}


@pytest.mark.parametrize(
    ("name", "content", "options", "message"),
    [
        ("a.tsv", "en\tes\nOpen\tAbrir\n", {}, r"its header names en and es, expected en and gl"),
        (
            "a.tsv",
            "1\tOpen\tAbrir\n2\tSave\tGardar\n",
            {},
            r"cannot be told from 1, Open, Abrir; set "
            "src_column",
        ),
        ("a.tsv", "Open\tAbrir\nSave\n", {}, r"line 2: 1 cells, expected 2"),
        (
            "a.tsv",
            "gl\ten\nAbrir\tOpen\n",
            {"src_column": "gl", "tgt_column": "en"},
            r"the pair is given "
            "backwards: src_lang is en but src_column is 'gl'",
        ),
        (
            "a.tsv",
            "a\tb\nOpen\tAbrir\n",
            {"src_column": "a", "tgt_column": "c"},
            r"has no column 'c' "
            r"\(tgt_column\)",
        ),
        ("a.tsv", ROWS.encode() + b"\xff\t\n", {}, r"is not utf-8 text"),
        (
            "a.jsonl",
            '{"translation": {"en": "Open", "es": "Abrir"}}',
            {},
            r"has translations in en, es, "
            "none in gl; set tgt_lang",
        ),
        ("a.jsonl", '{"en": "Open", "gl": 5}', {}, r"row 1: expected a text, got 5 \(int\)"),
        ("a.jsonl", '{"en": "Open"', {}, r"line 1: not JSON"),
    ],
)
def test_a_table_that_cannot_be_understood_is_refused(
    tmp_path: Path, name: str, content: str | bytes, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        texts(write(tmp_path, name, content), **options)


def test_a_hub_data_set_is_asked_for_its_config(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    asked = []

    def load_dataset(path: str, **options: Any) -> Any:
        asked.append((path, options))
        return datasets.Dataset.from_list([{"english": "Open", "non_english": "Abrir"}])

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    assert texts("hub://me/talks@abc/en-{tgt_lang}/train") == [("Open", "Abrir")]
    assert asked == [("me/talks", {"name": "en-gl", "revision": "abc", "split": "train"})]
    with pytest.raises(DataError, match="leave out sha256, which is said of files"):
        texts("hub://me/talks@abc/en-{tgt_lang}/train", sha256="0" * 64)


# Aligned files ----------------------------------------------------------------------------------------------


def test_aligned_files_are_read_side_by_side(tmp_path: Path) -> None:
    source = write(tmp_path, "a.en.gz", "\ufeffOpen\r\n\r\nA\u2028B\x0bC\n")
    target = write(tmp_path, "a.gl", "Abrir\nNada\nD")
    pairs = [(pair.source, pair.target) for pair in read_aligned(source, target)]
    assert pairs == [("Open", "Abrir"), ("", "Nada"), ("A\u2028B\x0bC", "D")]


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        ("a\nb\nc\n", {}, r"a\.en has 3 lines and .*a\.gl has 2: aligned files have the same number"),
        ("a\n", {}, r"a\.en has 1 lines and .*a\.gl has 2"),
        (b"a\n\xff\n", {}, r"is not utf-8 text near line \d"),
        ("a\nb\n", {"encoding": "utf-9"}, r"there is no text encoding 'utf-9'"),
    ],
)
def test_files_that_are_not_aligned_are_refused(
    tmp_path: Path, source: str | bytes, options: dict[str, str], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        list(read_aligned(write(tmp_path, "a.en", source), write(tmp_path, "a.gl", "x\ny\n"), **options))


# Several sources --------------------------------------------------------------------------------------------


def test_of_several_sources_one_without_the_language_is_passed_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spanish = write(tmp_path, "es.po", PO.replace("Language: gl", "Language: es"))
    table = write(tmp_path, "a.jsonl", json.dumps({"en": "Go", "gl": "Ir"}))
    assert texts([spanish, table]) == [("Go", "Ir")]
    assert "passed over" in caplog.text
    with pytest.raises(OtherLanguageError, match=r"is in es by its header, expected fr"):
        texts([spanish, spanish], tgt_lang="fr")
    with pytest.raises(DataError, match="no file at"):
        texts([table, str(tmp_path / "b.jsonl")])


def test_a_hash_may_stand_behind_a_source(tmp_path: Path) -> None:
    path = write(tmp_path, "a.tsv", ROWS)
    digest = hashlib.sha256(ROWS.encode()).hexdigest()
    assert len(texts(f"{path}#sha256={digest}")) == len(texts(path, sha256=digest)) == 2
    with pytest.raises(DataError, match="the file is not the declared one"):
        texts(f"{path}#sha256={'0' * 64}")
    with pytest.raises(DataError, match="64 hexadecimal digits"):
        texts(f"{path}#sha256=abc")
    with pytest.raises(DataError, match="names another SHA-256"):
        texts(f"{path}#sha256={digest}", sha256="1" * 64)
