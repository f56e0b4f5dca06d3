"""Rows come out of bytes unchanged, and a file that is not what its name says is refused by name and line."""

from __future__ import annotations

import gzip
import io
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from nlp_transfer.data.tables import format_of, read_rows, read_source
from nlp_transfer.errors import DataError

GOOD, BAD = {"text": "Good, really", "label": "1"}, {"text": "Bad", "label": "0"}


def rows(content: bytes, name: str, **options: Any) -> list[dict[str, Any]]:
    return list(read_rows(io.BytesIO(content), name=name, **options))


def typed_parquet(kind: str, numbers: list[int], *, names: Sequence[str] = ("when",)) -> bytes:
    """Write the same integers as columns of a type that they stand for."""
    import pyarrow
    import pyarrow.parquet

    width = 32 if kind == "date32" else 64
    kinds = {
        "date32": pyarrow.date32(),
        "int64": pyarrow.int64(),
        "duration[s]": pyarrow.duration("s"),
        "timestamp[ms]": pyarrow.timestamp("ms"),
    }
    column = pyarrow.array(numbers, pyarrow.int32() if width == 32 else pyarrow.int64()).cast(kinds[kind])
    stream = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table([column] * len(names), names=list(names)), stream)
    return stream.getvalue()


def parquet_bytes(**columns: list[Any]) -> bytes:
    import pyarrow
    import pyarrow.parquet

    stream = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table(columns), stream)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (b'text,label\n"Good, really",1\nBad,0\n', "a.csv"),
        (b'text,label\r\n"Good, really",1\r\n\r\nBad,0', "a.CSV"),
        (b"text;label\nGood, really;1\nBad;0\n", "a.csv"),
        (b'\xef\xbb\xbftext,label\n"Good, really",1\nBad,0\n', "a.csv"),
        (b"text\tlabel\nGood, really\t1\nBad\t0\n", "a.tsv"),
        (b'{"text": "Good, really", "label": "1"}\n\n{"text": "Bad", "label": "0"}', "a.jsonl"),
        (b'{"text": "Good, really", "label": "1"}\r\n{"text": "Bad", "label": "0"}\r\n', "a.ndjson"),
        (gzip.compress(b'text,label\n"Good, really",1\nBad,0\n', mtime=0), "a.csv.gz"),
        (gzip.compress(b'text,label\n"Good, really",1\nBad,0\n', mtime=0), "A.CSV.GZ"),
        (parquet_bytes(text=["Good, really", "Bad"], label=["1", "0"]), "a.parquet"),
        (
            gzip.compress(parquet_bytes(text=["Good, really", "Bad"], label=["1", "0"]), mtime=0),
            "a.parquet.gz",
        ),
        (b'text,label\n"Good, really",1\nBad,0\n', "pypi://a==1/a.zip!a.csv"),
    ],
)
def test_each_format_gives_the_same_rows(content: bytes, name: str) -> None:
    assert rows(content, name) == [GOOD, BAD]


@pytest.mark.parametrize(
    ("content", "name", "options", "expected"),
    [
        (b"1\tgood\n", "a.txt", {"format": "tsv", "columns": ["id", "text"]}, [{"id": "1", "text": "good"}]),
        (b"1,good\n", "a.csv", {"columns": ["id", "text"]}, [{"id": "1", "text": "good"}]),
        (b'text\tlabel\n"6" wide\t1\n', "a.tsv", {}, [{"text": '"6" wide', "label": "1"}]),
        (b'text,label\n"two\nlines, ""quoted""",1\n', "a.csv", {},
         [{"text": 'two\nlines, "quoted"', "label": "1"}]),
        (b"text,label\n 007 ,1.50\n", "a.csv", {}, [{"text": " 007 ", "label": "1.50"}]),
        (b"one\r\n\r\ntwo", "a.txt", {}, [{"text": "one"}, {"text": ""}, {"text": "two"}]),
        (b'{"text": "a", "label": 5, "more": null}', "a.jsonl", {},
         [{"text": "a", "label": 5, "more": None}]),
        (b"text,label\n", "a.csv", {}, []),
        (b"a\tb\n", "a.csv", {"columns": ["text"]}, [{"text": "a\tb"}]),
        (b"", "a.jsonl", {}, []),
        ("text,label\ncafé,1\n".encode("cp1252"), "a.csv", {"encoding": "cp1252"},
         [{"text": "café", "label": "1"}]),
        ("text,label\ncafé,1\n".encode("utf-16"), "a.csv", {"encoding": "utf-16"},
         [{"text": "café", "label": "1"}]),
        ("text,label\n日本,1\n".encode(), "a.csv", {"encoding": "UTF8"}, [{"text": "日本", "label": "1"}]),
        (parquet_bytes(text=["a", None], stars=[5, 1]), "a.parquet", {},
         [{"text": "a", "stars": 5}, {"text": None, "stars": 1}]),
    ],
)  # fmt: skip
def test_cells_are_read_as_they_stand(
    content: bytes, name: str, options: dict[str, Any], expected: list[dict[str, Any]]
) -> None:
    assert rows(content, name, **options) == expected


FRENCH = "Ce café était très bon et le garçon a été gentil"
LATIN = "text,label\n" + f"{FRENCH},1\n" * 20


@pytest.mark.parametrize(
    ("content", "name", "options", "message"),
    [
        (b"", "a.csv", {}, r"a\.csv is empty: a header line with column names was expected"),
        (b"text,text\n", "a.csv", {}, r"two columns have the same name in its header \['text', 'text'\]"),
        (b"text,label\na,1\nb\n", "a.csv", {}, r"a\.csv, line 3: 1 cells, expected 2 \(text, label\)"),
        (b"text\tlabel\na\tb\tc\n", "a.tsv", {}, r"a\.tsv, line 2: 3 cells, expected 2"),
        (b'text,label\n"open,1\n', "a.csv", {}, r"a\.csv, line 2: unexpected end of data"),
        (b'text,label\n"a"b,1\n', "a.csv", {}, r"a\.csv, line 2: '.' expected after '.'"),
        (b"{}\n{'text': 1}\n", "a.jsonl", {}, r"a\.jsonl, line 2: not JSON"),
        (b"[" * 100_000, "a.jsonl", {}, r"a\.jsonl, line 1: not JSON"),
        (b'\n["a", 1]\n', "a.jsonl", {}, r"a\.jsonl, line 2: expected an object with columns, got list"),
        (b"PAR1 but not really", "a.parquet", {}, r"a\.parquet is not a parquet file"),
        (b"text,label\n", "a.parquet", {}, r"a\.parquet is not a parquet file"),
        (b"text,label\n", "a.csv.gz", {}, r"a\.csv\.gz is not a whole gzip file"),
        (gzip.compress(bytes(5_000), mtime=0)[:-9], "a.txt.gz", {}, r"a\.txt\.gz is not a whole gzip file"),
        (
            b"text,label\n",
            "a.xlsx",
            {},
            r"a\.xlsx: spreadsheets are not read; save the sheet as csv \(UTF-8\)",
        ),
        (b"text,label\n", "a", {}, r"a: the format is not known by its name"),
        (b"text,label\n", "a.csv", {"encoding": "utf-9"}, r"there is no text encoding 'utf-9'"),
        (b"text,label\na,1\n", "a.csv", {"encoding": "base64"}, r"there is no text encoding 'base64'"),
        (b"text,label\na,1\n", "a.jsonl", {"encoding": "rot13"}, r"there is no text encoding 'rot13'"),
        (b"text,label\na,1\n", "a.txt", {"encoding": "zip"}, r"there is no text encoding 'zip'"),
        (b"text,label\na,1\n", "a.csv", {"encoding": "undefined"}, r"there is no text encoding 'undefined'"),
        (b"text,label\na,1\n", "a.csv", {"encoding": "a\0b"}, r"there is no text encoding 'a"),
        (b"text,label\na,1\n", "a.csv", {"encoding": "punycode"}, r"a\.csv is not punycode text \(Invalid"),
        (b"text,label\na,1\n", "a.csv", {"encoding": "utf-16"}, r"a\.csv is not utf-16 text \(UTF-16 stream"),
        (
            b'{"text": "a"}\n{"n": ' + b"9" * 5000 + b"}",
            "a.jsonl",
            {},
            r"a\.jsonl, line 2: not JSON \(Exceeds",
        ),
        (
            typed_parquet("date32", [2**31 - 1]),
            "a.parquet",
            {},
            r"a\.parquet: column 'when' \(date32\[day\]\) holds a value that cannot be read",
        ),
        (typed_parquet("duration[s]", [2**62]), "a.parquet", {}, r"column 'when' \(duration\[s\]\) holds"),
        (
            typed_parquet("timestamp[ms]", [2**62]),
            "a.parquet",
            {},
            r"column 'when' \(timestamp\[ms\]\) holds",
        ),
        (
            typed_parquet("int64", [1], names=["when", "when"]),
            "a.parquet",
            {},
            r"a\.parquet: two columns have the same name among \['when', 'when'\]",
        ),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "a.csv", {}, r"is not utf-8 text \(it looks like a binary file\)"),
        (b"\0", "a.csv", {}, r"is not utf-8 text \(it looks like a binary file\)"),
        (b"PK\x03\x04\0\0\n", "a.csv", {}, r"is not utf-8 text \(it looks like a binary"),
        (
            "text,label\na,1\n".encode("utf-16-le"),
            "a.csv",
            {},
            r"set encoding: utf-16le in the recipe \(it looks like UTF-16 without a byte-order mark\)",
        ),
        ("text,label\ncafé,1\n".encode("utf-16-be"), "a.csv", {}, r"set encoding: utf-16be in the recipe"),
        ("one\ntwo\n".encode("utf-16-le"), "a.txt", {}, r"set encoding: utf-16le in the recipe"),
        ('{"text": "a"}\n'.encode("utf-16-le"), "a.jsonl", {}, r"set encoding: utf-16le in the recipe"),
        (
            "one,two\n".encode("utf-16-le"),
            "a.csv",
            {"in_recipe": False},
            r"it looks like UTF-16 .*: iconv -f utf-16le -t UTF-8 a\.csv > utf8_a\.csv$",
        ),
        (
            LATIN.encode("latin-1"),
            "my reviews.csv",
            {"in_recipe": False},
            r"save it as UTF-8 \(a guess: look at the texts\), for example: iconv -f cp1252 -t UTF-8 'my rev",
        ),
        (b"text,label\na,\xff\n", "a.csv", {"in_recipe": False}, r"\(byte 0xff\); save it as UTF-8"),
        (b"text,label\n", "a", {"in_recipe": False}, r"let the name end in one of \.csv, \.jsonl, \.ndjson"),
        (
            b"text\tlabel\na\t1\n",
            "a.csv",
            {},
            r"a\.csv: its first line has tabs and no commas; set format: tsv",
        ),
        (b"text\tlabel\na\t1\n", "a.csv", {"in_recipe": False}, r"no commas; name it \.tsv"),
        (b"a\t1\n", "a.csv", {"columns": ["text", "label"]}, r"no commas; set format: tsv"),
        ("text,label\na,1\n".encode("utf-16"), "a.csv", {}, r"is not utf-8 text; set encoding: utf-16"),
        (b"text,label\na,\xff\n", "a.csv", {}, r"is not utf-8 text \(byte 0xff\); set encoding"),
        (
            LATIN.encode("latin-1"),
            "a.csv",
            {},
            r"is not utf-8 text \(byte 0xe9\); set encoding: cp1252 in the recipe \(a guess",
        ),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_with_its_name_and_line(
    content: bytes, name: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        rows(content, name, **options)


@pytest.mark.parametrize(
    ("sentence", "encoding"),
    [
        (FRENCH, "latin-1"),
        ("Das Gerät läuft überhaupt nicht und ist die größte Enttäuschung meines Lebens", "cp1252"),
        ("Zażółć gęślą jaźń produkt jest bardzo dobry i świetnie działa", "cp1250"),
        ("Это очень плохой телефон и батарея умерла через неделю", "cp1251"),
    ],
)
def test_the_advised_encoding_reads_the_file(sentence: str, encoding: str) -> None:
    content = ("text,label\n" + f"{sentence},1\n" * 20).encode(encoding)
    with pytest.raises(DataError) as caught:
        rows(content, "a.csv")
    advised = re.search(r"set encoding: (\S+)", str(caught.value))
    assert advised is not None
    assert rows(content, "a.csv", encoding=advised[1])[0]["text"] == sentence


@pytest.mark.parametrize(
    ("name", "expected"),
    [("a.csv", "csv"), ("b/a.TSV.gz", "tsv"), ("x.zip!y/z.ndjson", "jsonl"), ("x.tar.gz!z.txt", "txt")],
)
def test_the_format_follows_the_innermost_name(name: str, expected: str) -> None:
    assert format_of(name) == expected


def test_a_source_is_opened_and_read(tmp_path: Path) -> None:
    path = tmp_path / "a.data"
    path.write_text("good\t1\n")
    assert list(read_source(str(path), format="tsv", columns=["text", "label"])) == [
        {"text": "good", "label": "1"}
    ]


# The Hub ----------------------------------------------------------------------------------------------------


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], list[dict[str, Any]]]:
    """Put a function in the place of `datasets.load_dataset`; the list fills with what it is called with."""
    import datasets

    calls: list[dict[str, Any]] = []

    def install(answer: Any) -> list[dict[str, Any]]:
        def load_dataset(name: str, **options: Any) -> Any:
            calls.append({"name": name, **options})
            if isinstance(answer, Exception):
                raise answer
            return answer

        monkeypatch.setattr(datasets, "load_dataset", load_dataset)
        return calls

    return install


def test_class_ids_of_a_hub_data_set_become_names(hub: Callable[[Any], list[dict[str, Any]]]) -> None:
    from datasets import ClassLabel, Dataset, Features, Value

    features = Features({"text": Value("string"), "label": ClassLabel(names=["neg", "pos"])})
    columns = {"text": ["a", "b", "c"], "label": [1, 0, None]}
    calls = hub(Dataset.from_dict(columns, features=features))
    assert [row["label"] for row in read_source("hub://me/reviews@abc/train")] == ["pos", "neg", None]
    assert calls == [{"name": "me/reviews", "revision": "abc", "split": "train"}]


def test_a_hub_data_set_without_a_revision_is_its_newest(
    hub: Callable[[Any], list[dict[str, Any]]], caplog: pytest.LogCaptureFixture
) -> None:
    from datasets import Dataset

    calls = hub(Dataset.from_dict({"text": ["a"], "stars": [5]}))
    assert list(read_source("hub://me/reviews/test")) == [{"text": "a", "stars": 5}]
    assert "hub://me/reviews/test names no commit: another day it may hold other rows" in caplog.text
    caplog.clear()
    list(read_source(f"hub://me/reviews@{'a1' * 20}/test"))
    assert caplog.text == ""
    assert calls[0] == {"name": "me/reviews", "revision": None, "split": "test"}


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (ValueError('Unknown split "trian".'), r'Unknown split "trian".; did you mean train\?'),
        (
            ConnectionError("Couldn't reach the Hub"),
            r"cannot be read from the Hub \(Couldn't reach the Hub\); is the network",
        ),
        (FileNotFoundError("no such data set"), r"cannot be read from the Hub \(no such data set\)"),
    ],
)
def test_a_hub_data_set_that_cannot_be_had_is_refused(
    hub: Callable[[Any], list[dict[str, Any]]], answer: Exception, message: str
) -> None:
    hub(answer)
    with pytest.raises(DataError, match=message):
        list(read_source("hub://me/reviews/trian"))


@pytest.mark.parametrize(
    ("uri", "options", "left_out"),
    [
        ("hub://me/reviews@abc/train", {"sha256": "0" * 64}, "sha256"),
        (f"hub://me/reviews@abc/train#sha256={'0' * 64}", {}, "sha256"),
        ("hub://me/reviews@abc/train", {"format": "csv", "encoding": "cp1252"}, "format, encoding"),
        ("hub://me/reviews@abc/train", {"columns": ["text", "label"]}, "columns"),
    ],
)
def test_what_is_said_of_files_is_refused_for_a_hub_data_set(
    uri: str, options: dict[str, Any], left_out: str
) -> None:
    with pytest.raises(DataError, match=f"leave out {left_out}, which is said of files.* pinned by a commit"):
        list(read_source(uri, **options))


@pytest.mark.parametrize("uri", ["hub://reviews", "hub://me/reviews", "hub://me/reviews/"])
def test_a_hub_source_has_owner_name_and_split(uri: str) -> None:
    with pytest.raises(DataError, match=r"must have the form hub://owner/name@revision/split"):
        list(read_source(uri))
