"""Labelled rows are read, named and split as the configuration says, and nothing is mended in silence."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nlp_transfer.config import DataConfig, DomainConfig
from nlp_transfer.data.cards import load_card
from nlp_transfer.data.classification import load_domain, load_transfer_data
from nlp_transfer.data.rows import DomainData, Rows, cross_validation_folds
from nlp_transfer.data.splits import normalise_text
from nlp_transfer.errors import DataError

SENTIMENT = ["negative", "positive"]


def reviews(labels: Sequence[object], *, count: int = 100) -> list[tuple[str, object]]:
    """Make `count` different sentences that carry the labels in turn."""
    return [(f"sentence number {number}", labels[number % len(labels)]) for number in range(count)]


def load(path: Path | str, *, known: Sequence[str] | None = None, seed: int = 0, **keys: Any) -> DomainData:
    return load_domain(DomainConfig(path=str(path), **keys), name="target", seed=seed, known_labels=known)


def named_labels(domain: DomainData) -> dict[str, str]:
    """Return the class name of each text."""
    splits = (domain.train, domain.dev, domain.test)
    return {
        text: domain.label_names[label]
        for rows in splits
        for text, label in zip(rows.texts, rows.labels, strict=True)
    }


# Reading ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "keys"),
    [
        ("text,label", {}),
        ("sentence,sentiment", {}),
        ("review,stars", {}),
        ("content,rating", {}),
        ("body,verdict", {"text_column": "body", "label_column": "verdict"}),
    ],
)
def test_usual_columns_are_found_and_others_are_named(
    write_rows: Any, header: str, keys: dict[str, str]
) -> None:
    domain = load(write_rows(reviews(["bad", "good"]), header=header), **keys)
    assert named_labels(domain)["sentence number 0"] == "bad"
    assert named_labels(domain)["sentence number 99"] == "good"
    assert domain.label_names == ["bad", "good"]


def test_what_is_left_out_is_counted_by_its_reason(tmp_path: Path) -> None:
    lines: list[dict[str, Any]] = [{"text": text, "label": label} for text, label in reviews([1, 5])]
    lines += [{"text": " ", "label": 1}, {"text": None, "label": 1}, {"text": 7, "label": 5}, {"label": 5}]
    lines += [
        {"text": "no label", "label": None},
        {"text": "nor here", "label": float("nan")},
        {"text": "or", "label": ""},
    ]
    lines += [{"text": "undecided", "label": 3}] * 2
    (tmp_path / "rows.jsonl").write_text("\n".join(json.dumps(line) for line in lines))
    domain = load(tmp_path / "rows.jsonl", label_map={1: "negative", 5: "positive", 3: None})
    assert domain.dropped == {"empty or non-string text": 4, "no label": 3, "label mapped to null": 2}
    assert len(domain.train) + len(domain.dev) + len(domain.test) == 100


def test_bins_name_ranges_with_both_ends(write_rows: Any) -> None:
    ratings = [-4, -0.5, -0.4, 0, 0.49, 0.5, 4, 4.1]
    path = write_rows([*reviews([-2, 2]), *((f"rated {rating}", rating) for rating in ratings)])
    domain = load(path, label_bins={"negative": (-4, -0.5), "positive": (0.5, 4)})
    named = named_labels(domain)
    found = {rating: named.get(f"rated {rating}") for rating in ratings}
    assert found == {
        -4: "negative", -0.5: "negative", -0.4: None, 0: None, 0.49: None, 0.5: "positive", 4: "positive",
        4.1: None,
    }  # fmt: skip
    assert domain.dropped == {"label in no bin": 4}


def test_rows_are_chosen_by_other_columns(write_rows: Any) -> None:
    rows = [
        (text, label, ["shop", "5"][number % 4 < 2])
        for number, (text, label) in enumerate(reviews(["a", "b"]))
    ]
    path = write_rows(rows, header="text,label,origin")
    domain = load(path, where={"origin": 5.0})
    assert sorted(named_labels(domain)) == sorted(row[0] for row in rows if row[2] == "5")
    assert domain.dropped == {}


def test_half_characters_become_question_marks(tmp_path: Path) -> None:
    lines = [json.dumps({"text": f"{text} \ud83d", "label": label}) for text, label in reviews(["a", "b"])]
    (tmp_path / "rows.jsonl").write_text("\n".join(lines))
    assert load(tmp_path / "rows.jsonl").train.texts[0].endswith(" ?")


def test_row_ids_lead_back_to_the_file(write_rows: Any) -> None:
    rows = [("", "a"), *reviews(["a", "b"])]
    domain = load(write_rows(rows))
    for row_id, text in zip(domain.test.ids, domain.test.texts, strict=True):
        assert rows[int(row_id)][0] == text


# Naming the classes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "keys", "known", "names", "first_and_second"),
    [
        (["pos", "neg"], {}, None, ["neg", "pos"], ("pos", "neg")),
        ([10, 9, 2], {}, None, ["2", "9", "10"], ("10", "9")),
        (["5.0", 1], {}, None, ["1", "5"], ("5", "1")),
        (["True", "FALSE"], {"label_map": {True: "positive", False: "negative"}}, None, SENTIMENT,
         ("positive", "negative")),
        ([1, 0], {"label_names": SENTIMENT}, None, SENTIMENT, ("positive", "negative")),
        ([1, 0], {}, SENTIMENT, SENTIMENT, ("positive", "negative")),
        ([1, 0], {"label_names": SENTIMENT}, ["positive", "negative"], ["positive", "negative"],
         ("positive", "negative")),
        (["positive", "negative"], {}, ["positive", "negative"], ["positive", "negative"],
         ("positive", "negative")),
        (["1", "0"], {}, ["0", "1"], ["0", "1"], ("1", "0")),
        ([5, 1], {"label_map": {5: "positive", "1.0": "negative"}}, SENTIMENT, SENTIMENT,
         ("positive", "negative")),
        ([2, 0, 1], {"label_map": {2: None}}, SENTIMENT, SENTIMENT, (None, "negative")),
        ([0, 2], {}, ["bad", "so so", "good"], ["bad", "so so", "good"], ("bad", "good")),
        ([1, 0], {"label_names": SENTIMENT, "label_map": {"negative": "bad", "positive": "good"}},
         ["good", "bad"], ["good", "bad"], ("good", "bad")),
    ],
)  # fmt: skip
def test_labels_become_class_names(
    write_rows: Any,
    raw: list[object],
    keys: dict[str, Any],
    known: list[str] | None,
    names: list[str],
    first_and_second: tuple[str | None, str | None],
) -> None:
    domain = load(write_rows(reviews(raw)), known=known, **keys)
    assert domain.label_names == names
    named = named_labels(domain)
    assert (named.get("sentence number 0"), named.get("sentence number 1")) == first_and_second


@pytest.mark.parametrize(
    "labels", [list(range(50)), [f"intent {n}" for n in range(50)], [n / 8 for n in range(20)]]
)
def test_many_classes_with_rows_enough_are_classes(write_rows: Any, labels: list[object]) -> None:
    assert len(load(write_rows(reviews(labels, count=200))).label_names) == len(labels)


def test_class_ids_in_the_sources_order_are_said_once(
    write_rows: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", logger="nlp_transfer"):
        domain = load(write_rows(reviews([0, 1])), known=["bad", "good"])
    assert domain.notes == ["labels are class ids in the source's order: 0 = bad, 1 = good"]
    assert caplog.text.count("0 = bad, 1 = good") == 1
    assert load(write_rows(reviews([0, 1])), label_names=["bad", "good"]).notes == []


@pytest.mark.parametrize(
    ("raw", "keys", "known", "message"),
    [
        ([1, 2, 3, 4, 5], {}, SENTIMENT,
         r"the label\(s\) 1, 2, 3, 4, 5 are none of the known ones \(negative, positive\)[\s\S]*"
         r"data\.label_map: \{1: negative, 2: negative, 3: null, 4: positive, 5: positive\}"),
        ([-1, 1], {}, SENTIMENT, r"\{-1: negative, 1: positive\}"),
        ([0, 4], {}, SENTIMENT, r"\{0: negative, 4: positive\}"),
        (["positive", "negative", 3], {}, SENTIMENT, r"\{3: null\}"),
        (["neg", "Positive"], {}, SENTIMENT, r"\{Positive: positive, neg: negative\}"),
        (["bad", "good"], {}, SENTIMENT,
         r"\{bad: null\|negative\|positive, good: null\|negative\|positive\}"),
        (["bad", "good"], {"label_names": SENTIMENT}, None, r"the label\(s\) bad, good are none"),
        ([0, 1, 2], {}, SENTIMENT, r"the label\(s\) 0, 1, 2 are none"),
        (list(range(100, 130)), {}, SENTIMENT,
         r"105, 106, 107, 108, 109 and 20 more are none[\s\S]*109: negative, \.\.\.\}\n"
         r"So many labels look like a number or a text: label_bins"),
        ([1, 5], {"label_map": {1: "negative", 5: "postive"}}, SENTIMENT,
         r"the label map leads to postive, none of the known classes .*did you mean positive\?[\s\S]*"
         r"renamed by data\.source\.label_map"),
        ([1, 2, 4, 5], {"label_map": {1: "negative", 5: "positive"}}, None,
         r"the label\(s\) 2, 4 are none of the known ones \(negative, positive\).*\n"
         r".*data\.label_map: \{2: negative, 4: positive\}"),
        # What could be class ids: a star that the map forgot, stars without the highest, counts from 1.
        ([1, 2, 3, 4, 5], {"label_map": {2: "negative", 3: None, 4: "positive", 5: "positive"}}, SENTIMENT,
         r"the label\(s\) 1 are none of the known ones.* class ids only where they begin at 0 and the label "
         r"map names no class[\s\S]*\{1: negative\}"),
        ([0, 1, 2], {"label_map": {1: None, 2: "positive"}}, SENTIMENT, r"the label\(s\) 0 are none"),
        ([0, 1, 2], {"label_map": {0: None}}, ["bad", "so so", "good"], r"the label\(s\) 1, 2 are none"),
        ([1, 2, 3, 4], {}, [f"{stars} stars" for stars in range(1, 6)],
         r"the label\(s\) 1, 2, 3, 4 are none of .*begin at 0[\s\S]*\{1: 1 stars, 2: 2 stars, 3: 3 stars"),
        ([1, 2], {}, ["negative", "neutral", "positive"],
         r"the label\(s\) 1, 2 are none of .*[\s\S]*\{1: negative, 2: positive\}"),
        ([1, 2], {"label_names": ["negative", "neutral", "positive"]}, None, r"the label\(s\) 1, 2 are none"),
        # Half stars are numbers too.
        ([0.5, 2.5, 4.5], {}, SENTIMENT, r"\{0\.5: negative, 2\.5: null, 4\.5: positive\}"),
    ],
)  # fmt: skip
def test_labels_that_do_not_map_are_refused_with_the_map_that_mends_it(
    write_rows: Any, raw: list[object], keys: dict[str, Any], known: list[str] | None, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        load(write_rows(reviews(raw)), known=known, **keys)


def test_whether_labels_are_class_ids_is_told_by_all_splits_together(write_rows: Any) -> None:
    names = ["bad", "so so", "good"]
    splits = {
        split: str(
            write_rows([(f"{split} {text}", label) for text, label in reviews(ids)], name=f"{split}.csv")
        )
        for split, ids in (("train", [0, 1, 2]), ("test", [1, 2]))
    }
    domain = load_domain(DomainConfig(splits=splits), name="target", seed=0, known_labels=names)
    assert named_labels(domain)["test sentence number 0"] == "so so"
    splits["train"] = splits["test"]
    with pytest.raises(DataError, match=r"1, 2 are none of the known ones"):
        load_domain(DomainConfig(splits=splits), name="target", seed=0, known_labels=names)


def test_the_advised_map_of_a_source_is_put_where_it_is_read(write_rows: Any) -> None:
    config = DomainConfig(path=str(write_rows(reviews([1, 5]))))
    with pytest.raises(DataError, match=r"data\.source\.label_map: \{1: negative, 5: positive\}"):
        load_domain(config, name="source", seed=0, known_labels=SENTIMENT)


# Bad input --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "keys", "message"),
    [
        (reviews(["a", "b"]), {"text_column": "txet"},
         r"has no column 'txet' \(text_column\); did you mean text\?"),
        (reviews(["a", "b"]), {"label_column": "lable"},
         r"has no column 'lable' \(label_column\); did you mean label\?"),
        (reviews(["a", "b"]), {"group_column": "product"}, r"has no column 'product' \(group_column\)"),
        (reviews(["a", "b"]), {"where": {"origin": "shop"}}, r"has no column 'origin' \(where\)"),
        (reviews(["positive", "negative"]), {"where": {"label": "positve"}},
         r"csv has no usable row; where: no row has 'positve' in column 'label'; did you mean positive\?"),
        (reviews([1, 5]), {"where": {"label": "c"}}, r"no row has 'c' in column 'label'; known: 1, 5$"),
        ([(f"text {n}", "ab"[n % 2], "cd"[n % 2]) for n in range(50)], {"where": {"label": "a", "shop": "d"}},
         r"where: no row has all of \{'label': 'a', 'shop': 'd'\} together"),
        ([], {"where": {"label": "a"}}, r"has no usable row$"),
        ([("", "a"), (" ", "b")], {"where": {"label": "a"}}, r"\(\{'empty or non-string text': 1\}\)$"),
        (reviews(["a", "b"]), {"group_column": "text", "group_pattern": "("},
         r"data\.target\.group_pattern is not a regular expression: '\('"),
        (reviews(["a", "b"]), {"label_bins": {"negative": (0, 1)}},
         r"row 0: label_bins needs numbers, got 'a'"),
        ([("", "a"), (" ", "b")], {}, r"has no usable row \(\{'empty or non-string text': 2\}\)"),
        ([], {}, r"has no usable row"),
        (reviews(["a"]), {}, r"all labels are a, and there is nothing to tell apart"),
        (reviews([1, 5]), {"label_map": {1: "bad", 5: "bad"}}, r"all labels are bad, .*the label map"),
        (reviews([1, 5]), {"label_map": {1: None, 5: None}},
         r"no row of .*rows\.csv is left: its labels are all mapped to null"),
        (reviews([1, 5]), {"label_map": {1: None}}, r"all labels are 5, and there is nothing to tell apart"),
        (reviews(["a", "b"]), {"train_size": 81},
         r"train_size is 81 and only 80 training rows are left after 20 were held"),
        (reviews(["a", "b"]), {"train_size": 1}, r"its train rows have only the class\(es\) [ab]"),
        (reviews(["a", "b"]), {"test_size": 1}, r"its test rows have only the class\(es\) [ab]"),
        ([(f"text {n}", "ab"[n % 2], "one shop") for n in range(50)], {"group_column": "shop"},
         r"none of the 50 rows can be held out for testing.*name a group_column with more groups"),
        ([("the same", "a"), ("The same!", "b")], {},
         r"none of the 2 rows .* each class keeps a row for training"),
        ([(f"text {n}", n) for n in range(20)], {},
         r"none of the 20 rows .* each class keeps a row for training"),
        ([(f"text {n}", n) for n in range(50)], {},
         r"data\.target: its label column has 50 different values in 50 rows \(0, 1, 2, \.\.\.\): it "
         r"looks like a number, not like classes; label_bins makes ranges .* label_column takes another"),
        (reviews([n / 8 for n in range(21)], count=100), {}, r"21 different values in 100 rows .* a number"),
        (reviews([f"review {n}" for n in range(51)], count=101), {}, r"51 different .* 101 rows .* a text"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_refused(
    write_rows: Any, rows: list[tuple[object, ...]], keys: dict[str, Any], message: str
) -> None:
    header = "text,label,shop" if rows and len(rows[0]) == 3 else "text,label"
    with pytest.raises(DataError, match=message):
        load(write_rows(rows, header=header), **keys)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("words,label", r"set text_column to one of the columns of .*rows\.csv: words, label"),
        ("text,verdict", r"set label_column to one of the columns of .*rows\.csv: text, verdict"),
    ],
)
def test_columns_that_are_not_found_are_asked_for(write_rows: Any, header: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        load(write_rows(reviews(["a", "b"]), header=header))


@pytest.mark.parametrize(
    ("header", "keys", "message"),
    [
        ("text", {}, r"rows\.csv has no column beside text, and its rows need a label\. Target rows need "
         r"labels with train_size: 0 too, since test rows are scored; text without labels goes to "
         r"adaptation\.unlabelled\.path"),
        ("words,verdict", {"text_column": "words", "train_size": 0},
         r"set label_column to one of the columns of .*rows\.csv: words, verdict\. Target rows need labels"),
        ("words,verdict", {"text_column": "words"}, r"set label_column to one of .*csv: words, verdict$"),
    ],
)  # fmt: skip
def test_where_labels_are_missing_it_is_said_what_they_are_for(
    write_rows: Any, header: str, keys: dict[str, Any], message: str
) -> None:
    rows = [row[: header.count(",") + 1] for row in reviews(["a", "b"])]
    with pytest.raises(DataError, match=message):
        load(write_rows(rows, header=header), **keys)


def test_a_source_without_labels_is_not_sent_to_the_unlabelled_texts(write_rows: Any) -> None:
    config = DomainConfig(path=str(write_rows([("good",)], header="text")))
    with pytest.raises(DataError, match=r"data\.source: .* has no column beside text, and .* need a label$"):
        load_domain(config, name="source", seed=0)


def test_columns_are_those_of_the_first_rows_together(tmp_path: Path) -> None:
    lines: list[dict[str, Any]] = [{"id": 0, "stars": 5}, {"id": 1, "body": "unread"}]
    lines += [{"body": text, "stars": label} for text, label in reviews([1, 5])]
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(json.dumps(line) for line in lines))
    assert load(path, text_column="body").dropped == {"empty or non-string text": 1, "no label": 1}
    with pytest.raises(DataError, match=r"set text_column to one of the columns of .*: id, stars, body$"):
        load(path)


def test_a_target_without_labels_is_a_valid_run(write_rows: Any) -> None:
    domain = load(write_rows(reviews(["a", "b"])), train_size=0)
    assert (len(domain.train), len(domain.dev), len(domain.test), domain.unused) == (0, 0, 20, 80)


# Splits -----------------------------------------------------------------------------------------------------


@pytest.fixture
def many(write_rows: Any) -> Path:
    """2,000 rows of 400 shops; every tenth row repeats the one before, some rows have no shop."""
    rows = [
        (
            f"sentence {number - (number % 10 == 9)}",
            "ab"[number % 3 == 0],
            f"shop {number // 5}" if number % 7 else "",
        )
        for number in range(2_000)
    ]
    return write_rows(rows, header="text,label,shop")


def test_test_rows_move_neither_with_the_seed_nor_with_the_size(many: Path) -> None:
    tests = {
        load(many, seed=seed, train_size=size, group_column="shop").test.fingerprint()
        for seed in (0, 1)
        for size in (0, 64, 500, None)
    }
    assert len(tests) == 1


def test_a_smaller_train_size_sees_part_of_what_a_larger_one_sees(many: Path) -> None:
    seen = [set(load(many, seed=3, train_size=size).selection.ids) for size in (16, 64, 256, 1_000)]
    assert [len(ids) for ids in seen] == [16, 64, 256, 1_000]
    assert seen[0] < seen[1] < seen[2] < seen[3]
    assert set(load(many, seed=4, train_size=64).selection.ids) != seen[1]


@pytest.mark.parametrize(("size", "dev"), [(199, 0), (200, 30), (1_000, 150)])
def test_dev_rows_are_carved_out_of_the_labels_that_are_paid_for(many: Path, size: int, dev: int) -> None:
    domain = load(many, train_size=size)
    assert len(domain.train) + len(domain.dev) == size
    assert len(domain.dev) == pytest.approx(dev, abs=3)
    assert domain.unused == 2_000 - len(domain.test) - size


@pytest.mark.parametrize("size", [None, 700])
def test_no_text_and_no_shop_straddles_a_split(many: Path, size: int | None) -> None:
    domain = load(many, train_size=size, group_column="shop", test_share=0.3)
    splits = [domain.train, domain.dev, domain.test]
    assert all(len(rows) > 50 for rows in splits)
    for number, rows in enumerate(splits):
        for other in splits[number + 1 :]:
            assert not {normalise_text(text) for text in rows.texts} & {
                normalise_text(text) for text in other.texts
            }
            assert not set(rows.groups or []) & set(other.groups or [])


@pytest.mark.parametrize(
    ("keys", "share"), [({}, 0.2), ({"test_share": 0.5}, 0.5), ({"group_column": "shop"}, 0.2)]
)
def test_about_the_asked_share_is_held_out_of_each_class(
    many: Path, keys: dict[str, Any], share: float
) -> None:
    domain = load(many, **keys)
    assert len(domain.test) / 2_000 == pytest.approx(share, abs=0.02)
    everything = Rows.joined(domain.selection, domain.test).labels
    assert domain.test.labels.mean() == pytest.approx(everything.mean(), abs=0.02)


def test_rows_without_a_group_are_held_out_like_others(write_rows: Any) -> None:
    rows = [
        (f"sentence {number}", "ab"[number % 2], "" if number < 150 else f"shop {number}")
        for number in range(200)
    ]
    domain = load(write_rows(rows, header="text,label,shop"), group_column="shop")
    assert len(domain.test) == 40
    assert sum(int(row_id) < 150 for row_id in domain.test.ids) == pytest.approx(30, abs=9)


def test_a_group_is_the_first_match_of_its_pattern(write_rows: Any) -> None:
    rows = [(f"sentence {n}", "ab"[n % 2], f"{n // 4}_{n % 4}") for n in range(400)]
    domain = load(write_rows(rows, header="text,label,id"), group_column="id", group_pattern="^[^_]+")
    assert set(domain.selection.groups or []) | set(domain.test.groups or []) == {str(n) for n in range(100)}
    assert not set(domain.selection.groups or []) & set(domain.test.groups or [])


def test_a_smaller_test_size_is_part_of_the_test_rows(many: Path) -> None:
    everything, some, few = (load(many, test_size=size) for size in (None, 100, 10))
    assert (len(some.test), len(few.test)) == (100, 10)
    assert set(few.test.ids) < set(some.test.ids) < set(everything.test.ids)
    assert some.unused == everything.unused == 0
    assert some.train.fingerprint() == everything.train.fingerprint()
    assert load(many, test_size=100, seed=9).test.fingerprint() == some.test.fingerprint()


@pytest.mark.parametrize(
    ("train_size", "train", "dev"),
    [(None, 100, 60), (16, 16, 0), (100, 100, 0), (120, 100, 20), (160, 100, 60)],
)
def test_splits_of_ones_own_are_kept(write_rows: Any, train_size: int | None, train: int, dev: int) -> None:
    files = {
        "train": str(write_rows(reviews(["a", "b"]), name="train.csv")),
        "dev": str(write_rows([(f"dev {n}", "ab"[n % 2]) for n in range(60)], name="dev.csv")),
        "test": str(write_rows([(f"test {n}", "ab"[n % 2]) for n in range(40)], name="test.csv")),
    }
    domain = load_domain(DomainConfig(splits=files, train_size=train_size), name="target", seed=0)
    assert (len(domain.train), len(domain.dev), len(domain.test)) == (train, dev, 40)
    assert all(text.startswith("sentence") for text in domain.train.texts)
    assert all(text.startswith("dev") for text in domain.dev.texts)
    assert domain.test.ids == [f"test/{number}" for number in range(40)]


def test_splits_without_dev_rows_get_some_from_training(write_rows: Any) -> None:
    files = {
        "train": str(write_rows(reviews(["a", "b"], count=400), name="train.csv")),
        "test": str(write_rows([(f"test {n}", "ab"[n % 2]) for n in range(40)], name="test.csv")),
    }
    domain = load_domain(DomainConfig(splits=files), name="target", seed=0)
    assert (len(domain.train), len(domain.dev), len(domain.test)) == (340, 60, 40)


def test_cross_validation_keeps_copies_in_one_fold() -> None:
    texts = [f"sentence {number // 2}" for number in range(80)]
    rows = Rows([str(n) for n in range(80)], texts, np.arange(80) // 2 % 2)
    folds = cross_validation_folds(rows, folds=4, seed=0)
    assert sorted(row for _, dev in folds for row in dev) == list(range(80))
    for train, dev in folds:
        assert not {texts[row] for row in train} & {texts[row] for row in dev}
        assert rows.labels[dev].mean() == pytest.approx(0.5, abs=0.1)


def test_a_fingerprint_tells_ids_texts_and_labels_apart() -> None:
    rows = Rows(["0", "1"], ["a", "b"], np.array([0, 1]))
    others = [
        Rows(["0", "2"], ["a", "b"], np.array([0, 1])),
        Rows(["0", "1"], ["a", "c"], np.array([0, 1])),
        Rows(["0", "1"], ["a", "b"], np.array([0, 0])),
        rows.take([1, 0]),
    ]
    assert rows.fingerprint() == rows.take([0, 1]).fingerprint()
    assert len({other.fingerprint() for other in [rows, *others]}) == 5


# Two domains ------------------------------------------------------------------------------------------------


def test_the_targets_labels_follow_the_sources_order(write_rows: Any) -> None:
    source = DomainConfig(
        path=str(write_rows(reviews(["worse", "better"]), name="source.csv")), label_names=["worse", "better"]
    )
    target = DomainConfig(path=str(write_rows(reviews([1, 3, 5]), name="target.csv")), label_map={5: "worse"})
    data = load_transfer_data(
        DataConfig(source=source, target=target, label_map={1: "worse", 3: None, 5: "better"})
    )
    assert data.label_names == data.target.label_names == ["worse", "better"]
    assert named_labels(data.target)["sentence number 0"] == "worse"
    assert (
        named_labels(data.target)["sentence number 2"] == "better"
    )  # data.label_map wins over the target's own
    assert data.target.dropped == {"label mapped to null": 33}
    assert len(data.training_rows()) == len(data.source.selection if data.source else []) + len(
        data.target.selection
    )


def test_without_a_source_the_models_own_labels_are_followed(write_rows: Any) -> None:
    config = DataConfig(target=DomainConfig(path=str(write_rows(reviews(["negative", "positive"])))))
    assert load_transfer_data(config, model_labels=["positive", "negative"]).label_names == [
        "positive",
        "negative",
    ]
    assert load_transfer_data(config).label_names == ["negative", "positive"]
    assert load_transfer_data(config).source is None


# Cards ------------------------------------------------------------------------------------------------------


def card_file(folder: Path, sources: str, declared: str = "", task: str = "sentiment") -> str:
    path = folder / "mine.md"
    path.write_text(f"---\nnlp_transfer:\n  task: {task}\n  sources: {sources}\n{declared}---\n# Mine\n")
    return str(path)


def test_the_first_source_at_hand_is_used(write_rows: Any, tmp_path: Path) -> None:
    path = write_rows(reviews(["a", "b"]))
    card = card_file(tmp_path, f"[{{path: {tmp_path}/nowhere.csv}}, {{path: {path}}}]")
    domain = load_domain(DomainConfig(card=card), name="source", seed=0)
    assert len(named_labels(domain)) == 100
    assert domain.card is not None
    assert domain.card.name == "mine"


def test_where_no_source_is_at_hand_each_ones_lack_is_told(tmp_path: Path) -> None:
    card = card_file(tmp_path, f"[{{path: {tmp_path}/one.csv}}, {{path: package://not_here/two.csv}}]")
    with pytest.raises(
        DataError,
        match=r"no source of the card .*mine\.md can be used:\s+no file at .*one\.csv.*\s+package://not",
    ):
        load_domain(DomainConfig(card=card), name="source", seed=0)


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ("rows: 101", r"rows: declared 101, found 100"),
        (
            "rows: 100, labels: {a: 60, b: 40}",
            r"labels: declared \{'a': 60, 'b': 40\}, found \{'a': 50, 'b': 50\}",
        ),
        ("rows: 100, groups: 7", r"groups: declared 7, found 10"),
    ],
)
def test_data_that_a_card_does_not_describe_is_refused(
    write_rows: Any, tmp_path: Path, declared: str, message: str
) -> None:
    rows = [(text, label, number // 10) for number, (text, label) in enumerate(reviews(["a", "b"]))]
    path = write_rows(rows, header="text,label,shop")
    sources = f"[{{path: {path}, group_column: shop}}]"
    with pytest.raises(DataError, match=rf"the data of card mine is not what the card declares: {message}"):
        load_domain(
            DomainConfig(card=card_file(tmp_path, sources, f"  declared: {{{declared}}}\n")),
            name="source",
            seed=0,
        )
    true = card_file(tmp_path, sources, "  declared: {rows: 100, labels: {a: 50, b: 50}, groups: 10}\n")
    assert len(named_labels(load_domain(DomainConfig(card=true), name="source", seed=0))) == 100


def test_a_recipe_may_choose_among_a_cards_rows_and_rename_its_classes(
    write_rows: Any, tmp_path: Path
) -> None:
    card = card_file(
        tmp_path, f"[{{path: {write_rows(reviews(['a', 'b', 'c']))}}}]", "  declared: {rows: 100}\n"
    )
    config = DomainConfig(card=card, label_map={"a": "bad", "b": "good", "c": None})
    domain = load_domain(config, name="target", seed=0, known_labels=["good", "bad"])
    assert domain.label_names == ["good", "bad"]
    assert domain.dropped == {"label mapped to null": 33}


def test_a_card_of_another_task_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the card mine is for translation, not for sentiment"):
        load_domain(
            DomainConfig(card=card_file(tmp_path, "[{path: a.csv}]", task="translation")),
            name="source",
            seed=0,
        )


# Real reviews -----------------------------------------------------------------------------------------------


@pytest.mark.real
@pytest.mark.usefixtures("real_data")
def test_product_reviews_are_what_the_card_says() -> None:
    card = load_card("product_reviews")
    domain = load_domain(DomainConfig(card=card.name), name="target", seed=0)
    labels = np.concatenate([domain.selection.labels, domain.test.labels])
    groups = set(domain.selection.groups or []) | set(domain.test.groups or [])
    assert (len(labels), int((labels == 1).sum()), len(groups)) == (2_985, 1_750, 298)
    assert domain.label_names == ["negative", "positive"]
    assert domain.dropped == {"label in no bin": 723}
    assert len(domain.test) / 2_985 == pytest.approx(0.5, abs=0.01)
    assert not set(domain.selection.groups or []) & set(domain.test.groups or [])


@pytest.mark.real
def test_rotten_tomatoes_come_with_the_demo_package() -> None:
    domain = load_domain(DomainConfig(card="rotten_tomatoes"), name="source", seed=0)
    assert len(domain.selection) + len(domain.test) == 8_530
    assert len(domain.test) == 1_068
    assert named_labels(domain)[domain.test.texts[0]] in SENTIMENT


def test_a_compressed_tsv_with_its_own_columns_is_read(tmp_path: Path) -> None:
    lines = "\n".join(f"{n}\t{label}\t{text}" for n, (text, label) in enumerate(reviews([1, 5])))
    (tmp_path / "rows.tsv.gz").write_bytes(gzip.compress(lines.encode()))
    domain = load(tmp_path / "rows.tsv.gz", columns=["id", "stars", "text"])
    assert domain.label_names == ["1", "5"]
    assert len(named_labels(domain)) == 100
