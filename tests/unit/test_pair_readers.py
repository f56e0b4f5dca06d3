"""Whatever bytes a file holds, reading it ends in pairs or in one `DataError`, never in another exception."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nlp_transfer.data.catalogues import RawPair, read_pairs
from nlp_transfer.data.cleaning import clean_pairs
from nlp_transfer.data.placeholders import placeholders
from nlp_transfer.errors import DataError

QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
PO_PIECES = [
    'msgid ""\n',
    'msgstr "Content-Type: text/plain; charset=UTF-8\\n"\n',
    'msgid "a"\n',
    'msgstr "b"\n',
    'msgctxt "c"\n',
    'msgid_plural "as"\n',
    'msgstr[0] "x"\n',
    'msgstr[1] "y"\n',
    "msgstr[",
    '"more"\n',
    "#, fuzzy\n",
    '#~ msgid "o"\n',
    '#| msgid "p"\n',
    "#",
    "#.",
    "#: a:1\n",
    "|",
    "\n",
    '"',
    "\\",
    'msgstr "Plural-Forms: nplurals=2; plural=n/0;\\n"\n',
    '"charset=',
    "é",
    "\r",
    "\0",
]
XML_PIECES = [
    "<tmx>",
    "</tmx>",
    "<body>",
    "</body>",
    "<tu>",
    "</tu>",
    '<tuv xml:lang="en">',
    '<tuv lang="gl">',
    "<tuv>",
    "</tuv>",
    "<seg>",
    "</seg>",
    "text",
    "<ph x='1'/>",
    "&amp;",
    "&x;",
    "<![CDATA[",
    "]]>",
    "<!-- -->",
    "<?pi?>",
    "<!DOCTYPE tmx>",
    '<?xml version="1.0" encoding="utf-16"?>',
    "<xliff>",
    "<file source-language='en'>",
    "<trans-unit>",
    "<source>",
    "</source>",
    "<target state='new'>",
    "</target>",
    "</trans-unit>",
    "</file>",
    "</xliff>",
]
TABLE_PIECES = [
    "en",
    "gl",
    "source",
    "target",
    "\t",
    "\n",
    "\r",
    '"',
    ",",
    ";",
    "{",
    "}",
    ":",
    "a b",
    "\0",
    "é",
    "[1]",
    "null",
]
FORMATS = ["po", "mo", "tmx", "xliff", "tsv", "csv", "jsonl", "parquet"]


def read(folder: Path, name: str, content: bytes) -> list[RawPair] | None:
    path = folder / name
    path.write_bytes(content)
    try:
        return list(read_pairs(str(path), src_lang="en", tgt_lang="gl"))
    except DataError as error:
        assert str(path).removesuffix(".gz") in str(error)
        return None


def pieces(kinds: list[str]) -> st.SearchStrategy[bytes]:
    return st.lists(st.sampled_from(kinds), max_size=25).map(lambda parts: "".join(parts).encode())


@pytest.mark.parametrize("format", FORMATS)
@QUICK
@given(content=st.binary(max_size=300))
def test_any_bytes_end_in_pairs_or_an_error(tmp_path: Path, format: str, content: bytes) -> None:
    read(tmp_path, f"a.{format}", content)


@pytest.mark.parametrize("format", ["po.gz", "tmx.gz", "tsv.gz"])
@QUICK
@given(content=st.binary(max_size=50))
def test_any_bytes_end_in_an_error_where_gzip_is_expected(
    tmp_path: Path, format: str, content: bytes
) -> None:
    assert read(tmp_path, f"a.{format}", b"\x1f\x8b\x08" + content) in (None, [])


@QUICK
@given(content=pieces(PO_PIECES))
def test_any_po_pieces_end_in_pairs_or_an_error(tmp_path: Path, content: bytes) -> None:
    read(tmp_path, "a.po", content)


@pytest.mark.parametrize("format", ["tmx", "xliff"])
@QUICK
@given(content=pieces(XML_PIECES))
def test_any_xml_pieces_end_in_pairs_or_an_error(tmp_path: Path, format: str, content: bytes) -> None:
    read(tmp_path, f"a.{format}", content)


@pytest.mark.parametrize("format", ["tsv", "csv", "jsonl"])
@QUICK
@given(content=pieces(TABLE_PIECES))
def test_any_table_pieces_end_in_pairs_or_an_error(tmp_path: Path, format: str, content: bytes) -> None:
    read(tmp_path, f"a.{format}", content)


@QUICK
@given(
    rows=st.lists(
        st.tuples(
            *[st.text(st.characters(exclude_characters="\t\r\n\0", exclude_categories=["Cs"]), min_size=1)]
            * 2
        )
    )
)
def test_a_table_gives_back_what_was_written(tmp_path: Path, rows: list[tuple[str, str]]) -> None:
    content = "en\tgl\n" + "".join(f"{source}\t{target}\n" for source, target in rows)
    expected = [row for row in rows if row[0].strip() and row[1].strip()]
    assert [
        (pair.source, pair.target) for pair in read(tmp_path, "a.tsv", content.encode()) or []
    ] == expected


ANY_TEXT = st.text(
    st.one_of(st.sampled_from("_&~<>%${}()sdFa /"), st.characters(exclude_categories=["Cs"])), max_size=60
)


@QUICK
@given(source=ANY_TEXT, target=ANY_TEXT)
def test_cleaning_any_texts_keeps_equal_placeholders(source: str, target: str) -> None:
    kept = clean_pairs([RawPair(source, target)], src_lang="en", tgt_lang="gl")
    assert all(sorted(placeholders(pair.source)) == sorted(placeholders(pair.target)) for pair in kept)


@pytest.mark.parametrize("header", ["English,Galician", "galego,english", "english,Galego"])
def test_columns_may_be_named_by_their_languages(tmp_path: Path, header: str) -> None:
    swapped = header.startswith("galego")
    first, second = ("abrir", "open") if swapped else ("open", "abrir")
    found = read(tmp_path, "a.csv", f"{header}\n{first},{second}\n".encode())
    assert [(pair.source, pair.target) for pair in found or []] == [("open", "abrir")]


def test_a_first_line_that_names_no_language_of_the_pair_is_a_row(tmp_path: Path) -> None:
    found = read(tmp_path, "a.csv", b"Spanish,Espanol\nopen,abrir\n")
    assert [pair.source for pair in found or []] == ["Spanish", "open"]
