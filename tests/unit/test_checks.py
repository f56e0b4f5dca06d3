"""The preflight finds what is doubtful, measures it, and is silent where nothing is."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nlp_transfer.config import DataConfig, DomainConfig
from nlp_transfer.data import row_findings
from nlp_transfer.data.cards import CardSpec, DataCard
from nlp_transfer.data.checks import DataReport, check_data
from nlp_transfer.data.classification import load_domain, load_transfer_data
from nlp_transfer.data.rows import EMPTY, DomainData, Rows, TransferData
from nlp_transfer.findings import Finding

NAMES = ["negative", "positive"]
VADER = (
    "pypi://vaderSentiment==0.5/vaderSentiment-0.5.zip!vaderSentiment-0.5/additional_resources/"
    "hutto_ICWSM_2014.tar.gz!hutto_ICWSM_2014/movieReviewSnippets_GroundTruth.txt"
)


def rows(texts: Sequence[str], labels: Sequence[int] | None = None) -> Rows:
    """Make rows whose labels take turns."""
    ids = [str(number) for number in range(len(texts))]
    return Rows(
        ids,
        list(texts),
        np.asarray([n % 2 for n in range(len(texts))] if labels is None else labels, dtype=np.int64),
    )


def numbered(word: str, count: int) -> list[str]:
    return [f"{word} {number}" for number in range(count)]


def card(licence: str | None) -> DataCard:
    metadata = {} if licence is None else {"license": licence}
    return DataCard("reviews", metadata, CardSpec(task="sentiment", sources=[{"path": "a.csv"}]), "")


SOUND = DomainData(
    name="target", label_names=NAMES, train=rows(numbered("train", 100)), dev=rows(numbered("dev", 20)),
    test=rows(numbered("test", 200)), card=card("mit"),
)  # fmt: skip


def report(target: DomainData = SOUND, source: DomainData | None = None, **options: Any) -> DataReport:
    data = TransferData(target=target, source=source, label_names=NAMES)
    return check_data(data, **{"max_length_tokens": 5, **options})


def found(
    check: str, target: DomainData = SOUND, source: DomainData | None = None, **options: Any
) -> Finding | None:
    """Return the one finding of a check, or None."""
    findings = [finding for finding in report(target, source, **options).findings if finding.check == check]
    assert len(findings) <= 1
    return findings[0] if findings else None


def expect(finding: Finding | None, severity: str, value: float | None, *words: str) -> None:
    """Compare a finding with its known answer; what is doubtful always comes with advice."""
    assert finding is not None
    assert finding.severity == severity
    assert finding.value == (None if value is None else pytest.approx(value))
    for word in words:
        assert word in finding.evidence
    assert finding.advice or severity == "info"


def changed(**changes: Any) -> DomainData:
    return dataclasses.replace(SOUND, **changes)


# One domain -------------------------------------------------------------------------------------------------


def test_sound_data_has_nothing_doubtful() -> None:
    source = changed(
        name="source", train=rows(numbered("learnt", 100)), dev=EMPTY, test=rows(numbered("scored", 200))
    )
    assert {(finding.check, finding.severity) for finding in report(source=source).findings} == {
        ("licence", "info")
    }


@pytest.mark.parametrize(
    ("dropped", "severity", "share"),
    [
        ({"label in no bin": 680}, "info", 0.0),
        ({"empty or non-string text": 10, "no label": 5, "label mapped to null": 2}, "info", 15 / 337),
        ({"empty or non-string text": 10, "no label": 30}, "warn", 40 / 360),
    ],
)
def test_dropped_rows_are_told_by_reason(dropped: dict[str, int], severity: str, share: float) -> None:
    reasons = [f"{count} {reason}" for reason, count in dropped.items()]
    expect(found("dropped_rows", changed(dropped=dropped)), severity, share, *reasons)


@pytest.mark.parametrize(
    ("counts", "share"),
    [
        ([9, 91], 0.09),
        ([10, 90], None),
        ([500, 100, 40], 40 / 640),
        ([5] * 12, None),
        ([100] * 11 + [40], 40 / 1140),
    ],
)
def test_a_rare_class_is_warned_of(counts: list[int], share: float | None) -> None:
    labels = np.repeat(np.arange(len(counts)), counts).tolist()
    names = [f"class {number}" for number in range(len(counts))]
    finding = row_findings.class_balance("target", labels, names)
    if share is None:
        assert finding is None
    else:
        rarest = names[int(np.argmin(counts))]
        expect(finding, "warn", share, rarest, f"{100 * share:.1f}% of {sum(counts):,} rows")


@pytest.mark.parametrize(
    ("labels", "missing"), [([0, 1, 2], None), ([], None), ([0, 0], "b, c"), ([0, 2, 2], "b")]
)
def test_a_class_without_training_rows_is_warned_of(labels: list[int], missing: str | None) -> None:
    finding = row_findings.missing_classes("target", labels, ["a", "b", "c"])
    if missing is None:
        assert finding is None
    else:
        expect(finding, "warn", len(missing.split(", ")), f"class(es) {missing}")


@pytest.mark.parametrize(("copies", "severity"), [(0, None), (1, "info"), (2, "warn")])
def test_copies_among_training_rows_are_counted(copies: int, severity: str | None) -> None:
    texts = numbered("train", 120 - copies) + ["Train 0!", "TRAIN  1"][:copies]
    finding = found("duplicates", changed(train=rows(texts), dev=EMPTY))
    if severity is None:
        assert finding is None
    else:
        expect(finding, severity, copies / 120, f"{copies} of 120 training rows")


@pytest.mark.parametrize(("conflicts", "severity"), [(0, None), (2, "info"), (4, "warn")])
def test_texts_with_two_labels_are_counted(conflicts: int, severity: str | None) -> None:
    again = rows(
        [f"Train {number}." for number in range(conflicts)], [1 - number % 2 for number in range(conflicts)]
    )
    finding = found("conflicting_labels", changed(dev=again, test=rows(numbered("test", 200))))
    if severity is None:
        assert finding is None
    else:
        expect(finding, severity, conflicts / 300, f"{conflicts} of 300 distinct texts")


@pytest.mark.parametrize(
    ("shared", "severity"),
    [(0, None), (1, "warn"), (100, "warn"), (179, "warn"), (180, "block"), (200, "block")],
)
def test_test_rows_that_are_training_rows_are_counted(shared: int, severity: str | None) -> None:
    texts = [f"TRAIN, {number % 100}" if number < shared else f"test {number}" for number in range(200)]
    data = report(changed(test=rows(texts)))
    findings = [finding for finding in data.findings if finding.check == "test_overlap"]
    if severity is None:
        assert findings == []
    else:
        expect(findings[0], severity, shared / 200, f"{shared} of 200 test rows ({shared / 2:.1f}%)")
    assert data.blocking == (findings if severity == "block" else [])


def test_dev_rows_in_the_test_rows_are_found_too() -> None:
    expect(
        found("test_overlap", changed(test=rows(numbered("dev", 20) + numbered("test", 180)))), "warn", 0.1
    )


@pytest.mark.parametrize(
    ("learnt", "scored", "share"),
    [
        (["a", "b"], ["c", "d"], None),
        (["a", "b"], ["b", "b", "c", "d"], 0.5),
        (["", "a"], ["", "c"], None),
        ([], ["a"], None),
        ([], [], None),
    ],
)
def test_test_rows_of_a_group_that_is_learnt_from_are_counted(
    learnt: list[str], scored: list[str], share: float | None
) -> None:
    finding = row_findings.group_overlap("target", learnt, scored)
    if share is None:
        assert finding is None
    else:
        expect(finding, "warn", share, f"2 of 4 test rows ({100 * share:.1f}%)")


@pytest.mark.parametrize(
    ("count", "half_width"), [(199, "±5.6 points"), (100, "±7.8 points"), (16, "±19.6 points")]
)
def test_a_small_test_split_is_warned_of_with_its_interval(count: int, half_width: str) -> None:
    # 1.96 * sqrt(0.8 * 0.2 / n), for instance 0.0784 at n = 100.
    expect(
        found("small_test", changed(test=rows(numbered("test", count)))),
        "warn",
        count,
        f"{count} test rows",
        half_width,
    )
    assert found("small_test") is None


@pytest.mark.parametrize(
    ("card_of_domain", "severity", "words"),
    [
        (card("apache-2.0"), "info", "reviews has the licence apache-2.0"),
        (card("unknown"), "warn", "the licence of reviews is unknown"),
        (card(None), "warn", "the licence of reviews is unknown"),
        (None, "info", "your own file"),
    ],
)
def test_the_licence_is_told(card_of_domain: DataCard | None, severity: str, words: str) -> None:
    expect(found("licence", changed(card=card_of_domain)), severity, None, words)


def test_what_was_assumed_about_labels_is_told() -> None:
    expect(
        found("label_names", changed(notes=["0 = bad, 1 = good"])), "info", None, "target: 0 = bad, 1 = good"
    )


# Two domains ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("shared", "severity"), [(0, None), (2, "info"), (3, "warn"), (50, "warn")])
def test_the_targets_test_rows_in_the_sources_training_rows_are_counted(
    shared: int, severity: str | None
) -> None:
    source = changed(
        name="source", train=rows([f"  TEST: {n}" for n in range(shared)] + numbered("learnt", 100)),
        dev=EMPTY, test=rows(numbered("scored", 200)),
    )  # fmt: skip
    finding = found("domain_overlap", source=source)
    if severity is None:
        assert finding is None
    else:
        of_target = changed().test.ids
        more = ", ..." if shared > 2 else ""
        examples = f"text of a source training row (ids: {of_target[0]}, {of_target[1]}{more})"
        expect(finding, severity, shared / 200, f"target: {shared} of 200 test rows", examples)


def test_the_sources_test_rows_in_the_targets_training_rows_are_counted() -> None:
    long = "a sentence that goes on for much longer than anyone would want to read in a terminal"
    source = changed(
        name="source",
        train=rows(numbered("learnt", 100)),
        dev=EMPTY,
        test=rows([long, *numbered("train", 99)]),
    )
    target = changed(train=rows([long.upper(), *numbered("train", 99)]))
    finding = found("domain_overlap", target, source)
    expect(finding, "warn", 1.0, "source: 100 of 100 test rows (100.0%)", "text of a target training row")
    assert finding is not None
    # A report may be published, and its findings with it: no text is among them.
    assert "sentence" not in finding.evidence


# The tokenizer ----------------------------------------------------------------------------------------------


class Words:
    """A tokenizer that splits at spaces and frames each text; words that begin with x are unknown."""

    def __init__(self, unk_token_id: int | None = 100) -> None:
        self.unk_token_id = unk_token_id
        self.seen = 0

    def num_special_tokens_to_add(self) -> int:
        return 2

    def __call__(self, texts: list[str], **_: object) -> Mapping[str, list[list[int]]]:
        self.seen += len(texts)
        return {
            "input_ids": [[1, *(100 if word[0] == "x" else 7 for word in text.split()), 2] for text in texts]
        }


def with_texts(*texts: str) -> DomainData:
    """Make a domain of 100 rows, the last of which carry these texts."""
    return changed(train=rows([*numbered("word", 100 - len(texts)), *texts]), dev=EMPTY, test=EMPTY)


@pytest.mark.parametrize(("longer", "severity"), [(0, None), (10, "info"), (11, "warn")])
def test_texts_that_are_cut_are_counted(longer: int, severity: str | None) -> None:
    fits, is_cut = "a b c", "a b c d"  # with the two special tokens 5 and 6 long
    finding = found("truncation", with_texts(fits, *[is_cut] * longer), tokenizer=Words())
    if severity is None:
        assert finding is None
    else:
        expect(finding, severity, longer / 100, f"{longer}.0% of 100 texts are cut after 5 tokens")


@pytest.mark.parametrize(("unknown", "severity"), [(0, None), (2, "info"), (3, "warn")])
def test_unknown_tokens_are_counted_without_special_ones(unknown: int, severity: str | None) -> None:
    finding = found("unknown_tokens", with_texts(*["x 1"] * unknown), tokenizer=Words())
    if severity is None:
        assert finding is None
    else:
        expect(finding, severity, unknown / 200, f"{100 * unknown / 200:.1f}% of 200 tokens")


def test_a_tokenizer_without_an_unknown_token_has_none_unknown() -> None:
    assert found("unknown_tokens", with_texts("x x x"), tokenizer=Words(unk_token_id=None)) is None


def test_a_large_domain_is_sampled_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_findings, "MAX_TOKENISED_ROWS", 100)
    tokenizer = Words()
    texts = ["a b c d e" if number < 2_500 else "a" for number in range(10_000)]
    finding = found("truncation", changed(train=rows(texts), dev=EMPTY, test=EMPTY), tokenizer=tokenizer)
    assert tokenizer.seen == 100
    expect(finding, "warn", 0.25)


# The report -------------------------------------------------------------------------------------------------


def test_the_report_counts_each_domain() -> None:
    target = changed(unused=7, dropped={"no label": 3}, train=rows(numbered("train", 80), [0] * 80))
    source = changed(name="source", card=None, train=rows(numbered("learnt", 10)), dev=EMPTY)
    domains = report(target, source).domains
    assert list(domains) == ["source", "target"]
    assert domains["target"] == {
        "train": 80, "dev": 20, "test": 200, "unused": 7, "dropped": {"no label": 3},
        "label_shares": {"negative": 0.6333, "positive": 0.3667},
        "fingerprints": {
            "train": target.train.fingerprint(), "dev": SOUND.dev.fingerprint(),
            "test": SOUND.test.fingerprint(),
        },
        "card": "reviews", "licence": "mit",
    }  # fmt: skip
    assert (domains["source"]["card"], domains["source"]["licence"]) == (None, None)


def test_the_report_is_plain_json() -> None:
    target = changed(dropped={"no label": 30}, test=rows(numbered("train", 150)))
    data = report(target, changed(name="source"), tokenizer=Words())
    assert json.loads(json.dumps(data.as_dict(), allow_nan=False)) == data.as_dict()
    assert set(data.as_dict()) == {"domains", "findings"}


def test_the_summary_has_a_line_a_domain_and_a_line_a_finding_the_gravest_first() -> None:
    data = report(changed(card=None, unused=1_428, test=rows(numbered("train", 100))))
    lines = data.summary().splitlines()
    assert lines[0] == (
        "target: own file; 100 train, 20 dev, 100 test, 1,428 unused, 0 dropped; negative 50%, positive 50%"
    )
    assert [line.split()[0] for line in lines[1:]] == ["block", "warn", "info"]
    assert lines[1] == (
        "block test_overlap: target: 100 of 100 test rows (100.0%) have the text of a training row; remove "
        "them from a split, or give one file as `path` to have it split without leaks"
    )
    assert len(lines) == 1 + len(data.findings)


def test_a_target_without_labels_can_be_checked() -> None:
    data = report(changed(train=EMPTY, dev=EMPTY), changed(name="source", test=rows(numbered("scored", 200))))
    assert {finding.check for finding in data.findings} == {"licence"}


def test_a_million_rows_are_compared_in_seconds() -> None:
    learnt = [f"Review number {number}, with a few words more!" for number in range(800_000)]
    scored = [f"review number {number} with a few words more" for number in range(799_900, 1_000_000)]
    started = time.perf_counter()
    finding = found("test_overlap", changed(train=rows(learnt), dev=EMPTY, test=rows(scored)))
    assert (
        time.perf_counter() - started < 60
    )  # about 5 s on one core; the limit is for a machine that is busy
    expect(finding, "warn", 100 / 200_100)


# Files and real reviews -------------------------------------------------------------------------------------


def test_our_own_splits_have_no_overlap(write_rows: Callable[..., Path]) -> None:
    path = write_rows(
        [(f"Sentence {number % 300}" + "!" * (number // 300), "ab"[number % 2]) for number in range(900)]
    )
    domain = load_domain(DomainConfig(path=str(path)), name="target", seed=0)
    assert found("test_overlap", domain) is None
    expect(found("duplicates", domain), "warn", 2 / 3)


def test_files_that_come_split_may_leak(write_rows: Callable[..., Path]) -> None:
    lines = [(f"sentence {number}", "ab"[number % 2]) for number in range(300)]
    leaky = [
        (text.upper() if number < 30 else f"other {number}", label)
        for number, (text, label) in enumerate(lines)
    ]
    train, test = str(write_rows(lines, name="train.csv")), str(write_rows(leaky, name="test.csv"))
    once = load_domain(DomainConfig(splits={"train": train, "test": test}), name="target", seed=0)
    expect(found("test_overlap", once), "warn", 0.1, "30 of 300 test rows")
    twice = load_domain(DomainConfig(splits={"train": train, "test": train}), name="target", seed=0)
    expect(found("test_overlap", twice), "block", 1.0, "300 of 300 test rows")


def test_files_that_come_split_may_divide_a_group(write_rows: Callable[..., Path]) -> None:
    def lines(split: str, count: int) -> list[tuple[str, str, str]]:
        shops = [f"shop {number // 5}" if number % 2 else "" for number in range(count)]
        return [(f"{split} {number}", "ab"[number % 2], shop) for number, shop in enumerate(shops)]

    files = {
        split: str(write_rows(lines(split, count), name=f"{split}.csv", header="text,label,shop"))
        for split, count in (("train", 100), ("dev", 150), ("test", 300))
    }
    config = DomainConfig(splits=files, group_column="shop")
    divided = load_domain(config, name="target", seed=0)
    # Of the shops 0 to 29, which train or dev rows are of, each has five rows, of which two or three say so.
    expect(found("group_overlap", divided), "warn", 0.25, "75 of 300 test rows (25.0%)")
    ungrouped = load_domain(dataclasses.replace(config, group_column=None), name="target", seed=0)
    assert found("group_overlap", ungrouped) is None
    ours = load_domain(DomainConfig(path=files["test"], group_column="shop"), name="target", seed=0)
    assert len(ours.test) > 0
    assert found("group_overlap", ours) is None


@pytest.mark.real
@pytest.mark.usefixtures("real_data")
def test_movie_review_snippets_are_rotten_tomatoes_in_other_capitals() -> None:
    snippets = DomainConfig(
        path=VADER, sha256="5d97c37f3ef6e24eef331122e055dbedafeb6a56abfce0608b326701116ea49a", format="tsv",
        columns=["id", "rating", "text"], label_column="rating", group_column="id",
        label_bins={"negative": (-4, -0.5), "positive": (0.5, 4)},
    )  # fmt: skip
    data = load_transfer_data(DataConfig(source=DomainConfig(card="rotten_tomatoes"), target=snippets))
    findings = [
        finding
        for finding in check_data(data, max_length_tokens=256).findings
        if finding.check == "domain_overlap"
    ]
    assert [finding.severity for finding in findings] == ["warn", "warn"]
    into_target, into_source = findings
    assert "text of a source training row" in into_target.evidence
    assert "text of a target training row" in into_source.evidence
    assert into_target.value == pytest.approx(0.70, abs=0.03)
    assert into_source.value == pytest.approx(0.75, abs=0.03)


@pytest.mark.real
@pytest.mark.usefixtures("real_data")
def test_product_reviews_and_rotten_tomatoes_are_fit_for_a_run() -> None:
    config = DataConfig(
        source=DomainConfig(card="rotten_tomatoes"),
        target=DomainConfig(card="product_reviews", train_size=64),
    )
    data = check_data(load_transfer_data(config), max_length_tokens=256)
    doubtful = [finding.evidence for finding in data.findings if finding.severity != "info"]
    assert doubtful == ["source: the licence of rotten_tomatoes is unknown"]
    assert data.domains["target"]["train"] == 64
    assert data.domains["target"]["dropped"] == {"label in no bin": 723}
