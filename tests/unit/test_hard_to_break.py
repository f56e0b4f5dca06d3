"""Whatever comes in as rows, labels or configuration gives a result or one message; archives are not trusted.

The readers of translations are fuzzed in test_pair_readers.py.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
import tarfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from odd_texts import ODD

from nlp_transfer.config import DomainConfig, parse_config, read_yaml, write_yaml
from nlp_transfer.data import archives, sources
from nlp_transfer.data.catalogues import read_aligned, read_pairs
from nlp_transfer.data.columns import canonical
from nlp_transfer.data.labels import LabelReader
from nlp_transfer.data.tables import read_rows, read_source
from nlp_transfer.data.texts import BLOCK_TEXTS, Texts
from nlp_transfer.errors import DataError, TransferError, for_terminal

FUZZED = settings(max_examples=60, deadline=None)
CELLS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
NAMES = st.text(st.sampled_from("abcdefgh"), min_size=1, max_size=8)


def rows_of(content: bytes, name: str) -> list[dict[str, Any]]:
    return list(read_rows(io.BytesIO(content), name=name))


# Tables ------------------------------------------------------------------------------------------------


@FUZZED
@given(st.lists(NAMES, min_size=2, max_size=4, unique=True), st.data())
def test_a_csv_comes_back_as_it_was_written(header: list[str], data: st.DataObject) -> None:
    rows = data.draw(st.lists(st.lists(CELLS, min_size=len(header), max_size=len(header)), max_size=8))
    file = io.StringIO(newline="")
    table = csv.writer(file)
    table.writerow(header)
    table.writerows(rows)
    found = rows_of(file.getvalue().encode(), "a.csv")
    assert found == [dict(zip(header, row, strict=True)) for row in rows]


@FUZZED
@given(st.lists(st.dictionaries(NAMES, CELLS | st.none() | st.integers() | st.booleans(), min_size=1)))
def test_json_lines_come_back_as_they_were_written(rows: list[dict[str, Any]]) -> None:
    for ascii_only in (True, False):
        content = "".join(json.dumps(row, ensure_ascii=ascii_only) + "\n" for row in rows)
        assert rows_of(content.encode(), "a.jsonl") == rows


def lines_of(text: str) -> list[str]:
    """Split as every reader of text does: at a line feed, a carriage return, or both."""
    return [line.decode() for line in text.encode().splitlines()]


def rows_in_csv(text: str) -> int:
    first = (lines_of(text) or [""])[0]
    separator = ";" if ";" in first and "," not in first else ","
    records = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    return sum(1 for record in records if record) - 1


# How many rows a text holds that could be read, told without the reader.
ROWS_IN: dict[str, Callable[[str], int]] = {
    "csv": rows_in_csv,
    "csv.gz": rows_in_csv,
    "tsv": lambda text: sum(1 for line in lines_of(text) if line) - 1,
    "jsonl": lambda text: sum(1 for line in lines_of(text) if line.strip()),
    "txt": lambda text: len(lines_of(text)),
}
# Pieces that make whole tables often: bytes at random hardly ever do.
TABLE_PIECES = st.lists(
    st.sampled_from(
        [
            "a",
            "b,c",
            ",",
            ";",
            "\t",
            "\n",
            "\r\n",
            "\r",
            '"',
            '"x\ny"',
            "{}",
            '{"a": 1}',
            " ",
            "\0",
            "\x85",
            "\u2028",
        ]
    ),
    max_size=30,
).map("".join)


@pytest.mark.parametrize("suffix", [*ROWS_IN, "parquet"])
@FUZZED
@given(
    content=st.binary(max_size=200)
    | (TABLE_PIECES | st.text(max_size=100)).map(lambda text: text.encode("utf-8", "replace"))
)
def test_any_bytes_are_all_their_rows_or_one_error(suffix: str, content: bytes) -> None:
    try:
        rows = rows_of(gzip.compress(content) if suffix.endswith("gz") else content, f"a.{suffix}")
    except TransferError as error:
        assert str(error).startswith(f"a.{suffix}")
    else:
        assert all(isinstance(row, dict) for row in rows)
        assert len(rows) == ROWS_IN[suffix](content.decode("utf-8-sig"))


# Labels ------------------------------------------------------------------------------------------------


@FUZZED
@given(
    labels=st.lists(CELLS.filter(lambda cell: bool(cell.strip())), min_size=1, max_size=8),
    mapped=st.dictionaries(CELLS, st.sampled_from(["negative", "positive", None]), max_size=6),
    known=st.sampled_from([None, ["negative", "positive"]]),
)
def test_a_label_map_names_every_row_drops_it_or_is_refused(
    labels: list[str], mapped: dict[str, str | None], known: list[str] | None, tmp_path_factory: Any
) -> None:
    file = tmp_path_factory.mktemp("rows") / "a.jsonl"
    file.write_text(
        "".join(json.dumps({"text": f"row {n}", "label": label}) + "\n" for n, label in enumerate(labels))
    )
    reader = LabelReader(DomainConfig(path=str(file), label_map=mapped), name="target", known_labels=known)
    try:
        rows = reader.read()["all"]
    except TransferError:
        return
    assert len(rows) + sum(reader.dropped.values()) == len(labels)
    assert set(rows.labels.tolist()) <= set(range(len(reader.label_names)))
    assert known is None or reader.label_names == known
    # A map that speaks of "1.0" speaks of "1" too, and the last word counts: both in the file's own spelling.
    chosen = {canonical(label): name for label, name in mapped.items()}
    ids = dict(enumerate(known or []))
    for row_id, label in zip(rows.ids, rows.labels, strict=True):
        written = canonical(labels[int(row_id)])
        by_id = ids.get(int(written)) if re.fullmatch("[01]", written) else None
        named = {written, chosen.get(written), by_id, chosen.get(by_id or "")} - {None}
        name = reader.label_names[label]
        if written in chosen:
            assert name == chosen[written]
        else:
            assert name in named


@pytest.mark.parametrize(
    ("mapped", "expected"),
    [
        ({"neg": "negative", "pos": "positive"}, ["negative", "positive", "negative"]),
        ({"pos": "negative", "neg": "positive"}, ["positive", "negative", "positive"]),
    ],
)
def test_each_row_gets_the_class_that_its_label_is_mapped_to(
    mapped: dict[Any, str | None], expected: list[str], tmp_path: Path
) -> None:
    file = tmp_path / "a.csv"
    file.write_text("text,label\na b,neg\nc d,pos\ne f, neg \n")
    reader = LabelReader(DomainConfig(path=str(file), label_map=mapped), name="target", known_labels=None)
    rows = reader.read()["all"]
    assert [reader.label_names[label] for label in rows.labels] == expected


@pytest.mark.parametrize(
    ("content", "mapped", "message"),
    [
        ('{"text": "a", "label": 1}', {1: "x", "1": "y", 0: "y"}, "leads 1 to x and to y: two of its keys"),
        ('{"text": "a", "label": true}', {True: "x", "True": None}, "leads true to x and to None"),
        ('{"text": "a", "label": {"b": 1}}', {}, "row 0: column 'label' holds dict, expected one label"),
        ('{"text": "a", "label": ["b"]}', {}, "row 0: column 'label' holds list, expected one label"),
    ],
)
def test_a_label_that_could_be_two_things_is_refused(
    content: str, mapped: dict[Any, str | None], message: str, tmp_path: Path
) -> None:
    (tmp_path / "a.jsonl").write_text(content + "\n")
    config = DomainConfig(path=str(tmp_path / "a.jsonl"), label_map=mapped)
    with pytest.raises(TransferError, match=message):
        LabelReader(config, name="target", known_labels=None).read()


@pytest.mark.parametrize(
    ("target", "evaluation", "message"),
    [
        ({"label_map": {"a": " "}}, {}, "data.target: a class has no name in label_map"),
        (
            {"label_names": ["a", "a"]},
            {},
            "data.target.label_names: at least two names are needed, each once",
        ),
        ({"label_names": []}, {}, "data.target.label_names: at least two"),
        ({"label_bins": {"a": [2, 1]}}, {}, "data.target.label_bins.a: goes from 2.0 to 1.0"),
        ({"label_bins": {"a": [float("nan"), 1]}}, {}, "data.target.label_bins.a: goes from nan"),
        (
            {"label_bins": {"negative": [1, 3], "positive": [3, 5]}},
            {},
            "data.target.label_bins: negative and positive share 3; ends are included",
        ),
        (
            {"label_bins": {"good": [4, 5], "all": [1, 10], "bad": [0, 0.5]}},
            {},
            "data.target.label_bins: good and all share 4 to 5; ends",
        ),
        ({"path": ["a.csv", "b.csv"]}, {}, "data.target.path: several files are read for translation alone"),
        ({"path": ""}, {}, "data.target.path: is empty"),
        ({}, {"seeds": [-1]}, "evaluation.seeds: must be from 0 to 2147483647, got .-1."),
        ({}, {"seeds": [2**40]}, "evaluation.seeds: must be from 0"),
        ({}, {"bootstrap": 10**12}, "evaluation.bootstrap: input should be less than or equal to 1000000"),
    ],
)
def test_what_could_only_fail_later_is_told_of_the_recipe(
    target: dict[str, Any], evaluation: dict[str, Any], message: str
) -> None:
    content = {"task": "sentiment", "output_dir": "run", "model": {"path": "m"}, "evaluation": evaluation,
               "data": {"target": {"path": "a.csv", **target}}}  # fmt: skip
    with pytest.raises(TransferError, match=message):
        parse_config(content)


# Configurations ----------------------------------------------------------------------------------------

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | CELLS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES | CELLS, inner, max_size=3),
    max_leaves=6,
)
SECTIONS = ["model", "data", "adaptation", "training", "evaluation", "source_stage", "hub"]


@FUZZED
@given(st.dictionaries(st.sampled_from(SECTIONS) | NAMES, VALUES, max_size=5))
def test_any_mapping_is_a_recipe_or_one_error(changes: dict[str, Any]) -> None:
    content = {"task": "sentiment", "output_dir": "run", "model": {"path": "m"},
               "data": {"target": {"path": "a.csv"}}, **changes}  # fmt: skip
    try:
        parse_config(content)
    except TransferError as error:
        assert str(error)


@FUZZED
@given(st.dictionaries(CELLS, VALUES, max_size=4))
def test_what_is_written_as_yaml_is_read_back(content: dict[str, Any]) -> None:
    assert read_yaml(write_yaml(content), where="a.yaml") == content


PIECES = st.lists(
    st.sampled_from(
        [
            "a", "b: ", "task: ", "model: ", "- ", "? ", ": ", "\n", "\n  ", "\n    ", "[", "]", "{", "}",
            ", ", "&x ", "*x ", "&y ", "*y", "<<: ", "|\n", ">-\n", "'", '"', "\\x", "#", "%YAML 1.1\n",
            "---\n", "...\n", "!!int ", "!!float ", "!!bool ", "!!null ", "!!set ", "!!omap ", "!!pairs ",
            "!!binary ", "!!timestamp ", "!!merge ", "!x ", "2024-02-30", "1e999", ".nan", "0x", "9" * 60,
            "-", "~", "=", "\t", "\0", "\x85", "\ufeff",
        ]
    )
    | st.text(max_size=3),
    max_size=25,
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(PIECES)
def test_any_text_is_yaml_or_one_error(pieces: list[str]) -> None:
    """And what it says is a recipe, or one error."""
    try:
        content = read_yaml("".join(pieces), where="a.yaml")
        if isinstance(content, dict):
            parse_config(content)
    except TransferError as error:
        assert str(error)


def doubled(levels: int, first: str, pattern: str) -> str:
    """Write lines of which each says the one before nine times."""
    lines = [f"v0: &v0 {first}"]
    lines += [f"v{n}: &v{n} " + pattern.format(", ".join([f"*v{n - 1}"] * 9)) for n in range(1, levels + 1)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: " + "9" * 5000, "'9+' cannot be read as int .* line 1, column 4"),
        ("a: 0x" + "f" * 5000, "'0xf+' cannot be read as int"),
        ("b: 1\na: !!int abc", "'abc' cannot be read as int .* line 2, column 4"),
        ("a: !!float abc", "'abc' cannot be read as float"),
        ("a: !!bool abc", "'abc' cannot be read as bool"),
        ("[" * 5000, "nests more than 50 levels"),
        ("{" * 5000, "nests more than 50 levels"),
        ("- " * 5000, "nests more than 50 levels"),
        (doubled(9, "[x]", "[{}]"), "more than 100,000 values, those that its aliases stand for included"),
        (doubled(9, "{k: 1}", "{{<<: [{}]}}"), "more than 100,000 values"),
        ("a: &a [*a]", "an alias \\*a inside what it stands for"),
        ("#" * 500_001, "has 500,001 characters, and at most 500,000 are read as YAML"),
    ],
)
def test_yaml_beyond_its_bounds_is_refused_at_once(text: str, message: str) -> None:
    began = time.monotonic()
    with pytest.raises(TransferError, match=f"^a.yaml .*{message}"):
        read_yaml(text, where="a.yaml")
    assert time.monotonic() - began < 10


def test_aliases_and_merged_sections_are_read() -> None:
    content = read_yaml("a: &a {x: 1}\nb: *a\nc: {<<: *a, y: 2}\nd: &a 3\ne: *a", where="a.yaml")
    assert content == {"a": {"x": 1}, "b": {"x": 1}, "c": {"x": 1, "y": 2}, "d": 3, "e": 3}


@pytest.mark.parametrize(
    "text",
    [
        "a: !!python/object/apply:os.system ['exit 3']",
        "a: !!python/name:os.system",
        "a: !include /etc/passwd",
    ],
)
def test_a_configuration_runs_nothing(text: str, tmp_path: Path) -> None:
    with pytest.raises(TransferError):
        parse_config({"task": "sentiment", "output_dir": str(tmp_path), **read_yaml(text, where="a.yaml")})


# Texts on disk -----------------------------------------------------------------------------------------


@FUZZED
@given(st.lists(st.text(max_size=10), max_size=20), st.data())
def test_texts_in_arrow_are_the_texts(texts: list[str], data: st.DataObject) -> None:
    held = Texts.of(texts)
    assert (list(held), len(held), held == texts) == (texts, len(texts), True)
    rows = data.draw(st.lists(st.integers(0, len(texts) - 1), max_size=5)) if texts else []
    assert list(held.take(rows)) == [texts[row] for row in rows] == [held[row] for row in rows]
    assert held[1:3] == texts[1:3]
    assert list(held + texts) == [*texts, *texts] == list(texts + held)


def test_many_texts_are_mapped_from_a_file_that_goes_with_them(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("nlp_transfer.data.texts.MAPPED_FROM_TEXTS", 0)
    monkeypatch.setenv("NLP_TRANSFER_CACHE", str(tmp_path / "cache"))
    texts = [*ODD.values(), *map(str, range(BLOCK_TEXTS + 5))]
    held = Texts.of(texts)
    assert list(held) == texts
    assert (held[-1], held[BLOCK_TEXTS + 1]) == (texts[-1], texts[BLOCK_TEXTS + 1])
    assert list((tmp_path / "cache").iterdir()) == []
    with pytest.raises(IndexError):
        held[len(texts)]


# Archives and terminals --------------------------------------------------------------------------------


def test_a_member_that_climbs_out_of_an_archive_is_read_and_never_written(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    with zipfile.ZipFile(tmp_path / "in" / "a.zip", "w") as archive:
        archive.writestr("../../outside.csv", "text,label\na,b\n")
    link = tarfile.TarInfo("rows.csv")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    with tarfile.open(tmp_path / "in" / "a.tar", "w") as archive:
        archive.addfile(link)
    before = sorted(tmp_path.rglob("*"))
    with sources.open_source(f"{tmp_path}/in/a.zip!../../outside.csv") as stream:
        assert stream.read() == b"text,label\na,b\n"
    with pytest.raises(TransferError):
        sources.open_source(f"{tmp_path}/in/a.tar!rows.csv")
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("suffix", ["zip", "tar.gz"])
def test_an_archive_that_expands_without_bound_is_refused_before_it_fills_memory(
    suffix: str, tmp_path: Path, monkeypatch: Any
) -> None:
    size = 8 * 2**20
    path = tmp_path / f"a.{suffix}"
    if suffix == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("rows.csv", b"\0" * size)
    else:
        member = tarfile.TarInfo("rows.csv")
        member.size = size
        with tarfile.open(path, "w:gz") as archive:
            archive.addfile(member, io.BytesIO(b"\0" * size))
    assert path.stat().st_size < size // 100
    monkeypatch.setattr(archives, "MAX_MEMBER_BYTES", 2**20)
    with pytest.raises(TransferError, match=r"rows\.csv expands past"):
        sources.open_source(f"{path}!rows.csv")


@pytest.mark.parametrize(
    "content", [b"text,label\n" + b"a,1\n" * 2**19, b"a" * 2**21], ids=["rows", "one line"]
)
@pytest.mark.parametrize(
    "suffix", ["csv", "tsv", "jsonl", "txt", "parquet", "po", "mo", "tmx", "xliff", "aligned"]
)
def test_a_gzip_file_that_expands_without_bound_is_refused_before_it_fills_memory(
    suffix: str, content: bytes, tmp_path: Path, monkeypatch: Any
) -> None:
    path = tmp_path / f"rows.{suffix}.gz"
    start = {"tmx": b"<tmx><body>", "xliff": b"<xliff><file>"}.get(suffix, b"")
    if suffix == "jsonl":
        content = content.replace(b"text,label", b"{}").replace(b"a,1", b"{}")
    path.write_bytes(gzip.compress(start + content))
    read: list[int] = []
    monkeypatch.setattr(archives, "MAX_MEMBER_BYTES", 2**20)
    readinto = archives._BoundedGzip.readinto
    monkeypatch.setattr(
        archives._BoundedGzip,
        "readinto",
        lambda self, buffer: read.append(readinto(self, buffer)) or read[-1],
    )
    with pytest.raises(
        DataError, match=rf"rows\.{suffix}\.gz expands past 1048576 bytes; if that is meant, unpack"
    ):
        if suffix == "aligned":
            list(read_aligned(str(path), str(path)))
        elif suffix in ("csv", "tsv", "jsonl", "txt", "parquet"):
            list(read_source(str(path)))
        else:
            list(read_pairs(str(path), src_lang="en", tgt_lang="gl"))
    # Two files are read side by side.
    assert sum(read) <= 2**20 * (2 if suffix == "aligned" else 1)


def test_a_gzip_file_within_the_bound_is_read_whole(tmp_path: Path, monkeypatch: Any) -> None:
    content = b"text,label\n" + b"a,1\n" * 1000
    (tmp_path / "rows.csv.gz").write_bytes(gzip.compress(content))
    monkeypatch.setattr(archives, "MAX_MEMBER_BYTES", len(content))
    assert len(list(read_source(str(tmp_path / "rows.csv.gz")))) == 1000


@given(st.text())
def test_no_text_acts_on_a_terminal(text: str) -> None:
    shown = for_terminal(text)
    shown.encode()
    assert all(letter in "\n\t" or ord(letter) >= 32 for letter in shown)
    assert not any(0x7F <= ord(letter) < 0xA0 for letter in shown)
