"""Sentence pairs read, split by their English side, and drawn: nothing leaks, and test pairs stay."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny import write_csv

from nlp_transfer.config import DataConfig, DomainConfig
from nlp_transfer.data import parallel
from nlp_transfer.data.checks import gravest_first
from nlp_transfer.data.pair_checks import EncodedSide, EncodedSides, check_pairs
from nlp_transfer.data.pairs import PairDomain, Pairs
from nlp_transfer.data.parallel import directions_of, english_side, load_transfer_pairs
from nlp_transfer.data.skeletons import hash_order, side_of, skeleton
from nlp_transfer.errors import DataError
from nlp_transfer.findings import Finding

# Thirty letters make words that share nothing with each other.
WORDS = ["".join(letters) for letters in itertools.product("bdfgklmnprst", "aeiou", "bdfgklmnprst", "ae")]
Write = Callable[..., Path]


def sentences(rows: int, *, seed: int = 0) -> list[str]:
    """Write sentences of five words, no two of them near."""
    draw = np.random.default_rng(seed)
    return [" ".join(draw.choice(WORDS, size=5, replace=False)) for _ in range(rows)]


def twisted(text: str) -> str:
    return " ".join(word[::-1] + "o" for word in text.split())


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write pairs of given English texts as a csv with the columns en and gl (or another)."""

    def made(texts: list[str], *, name: str = "pairs.csv", lang: str = "gl") -> Path:
        return write_csv(tmp_path / name, ("en", lang), [(text, twisted(text)) for text in texts])

    return made


def read(path: Path | str, *, seed: int = 0, source: dict[str, Any] | None = None, **keys: Any) -> PairDomain:
    return both(path, seed=seed, source=source, **keys).target


def both(path: Path | str, *, seed: int = 0, source: dict[str, Any] | None = None, **keys: Any) -> Any:
    target = {"path": str(path), "src_lang": "en", "tgt_lang": "gl", **keys}
    other = None if source is None else DomainConfig(**{"src_lang": "en", "tgt_lang": "es", **source})
    return load_transfer_pairs(DataConfig(target=DomainConfig(**target), source=other, seed=seed))


def texts_of(pairs: Pairs) -> set[str]:
    return {skeleton(text) for text in english_side(pairs)}


def test_the_sides_follow_from_the_english_text(write: Write) -> None:
    texts = sentences(600)
    domain = read(write(texts))
    expected: dict[str, set[str]] = {"train": set(), "dev": set(), "test": set()}
    for text in texts:
        expected[side_of(text)].add(text)
    assert texts_of(domain.train) == expected["train"]
    assert texts_of(domain.dev) == expected["dev"]
    assert texts_of(domain.test) == expected["test"]
    assert domain.dropped == {} and domain.unused == 0
    assert 60 < len(domain.test) < 120 and 15 < len(domain.dev) < 50
    assert all(row_id.startswith("en-gl:") for row_id in domain.train.ids)
    assert domain.train.directions == [("en", "gl")] * len(domain.train)
    assert dict(zip(domain.test.sources, domain.test.targets, strict=True)) == {
        text: twisted(text) for text in domain.test.sources
    }


def test_into_english_the_sides_are_those_of_the_same_pairs_the_other_way_round(write: Write) -> None:
    path = write(sentences(200))
    forth, back = read(path), read(path, src_lang="gl", tgt_lang="en")
    assert texts_of(back.test) == texts_of(forth.test)
    assert texts_of(back.train) == texts_of(forth.train)
    assert set(back.test.targets) == set(forth.test.sources)


def test_a_sentence_in_several_forms_and_languages_is_on_one_side(write: Write) -> None:
    texts = sentences(300)
    forms = [form for text in texts for form in (text, f"{text.upper()}!", f"{text} %d")]
    domain = read(write(forms), clean=False)
    sides = [texts_of(pairs) for pairs in (domain.train, domain.dev, domain.test)]
    assert not sides[0] & sides[1] and not sides[0] & sides[2] and not sides[1] & sides[2]
    data = both(
        write(texts), source={"path": str(write(sentences(300), name="es.csv", lang="es"))}, clean=False
    )
    assert not texts_of(data.source.selection) & texts_of(data.target.test)
    assert texts_of(data.source.test) == texts_of(data.target.test)


def test_test_pairs_do_not_move_with_seed_or_train_size(write: Write) -> None:
    path = write(sentences(400))
    whole = read(path)
    for keys in ({"seed": 3}, {"train_size": 10}, {"train_size": 0}, {"seed": 3, "train_size": 100}):
        assert read(path, **keys).test.ids == whole.test.ids


def test_a_larger_draw_holds_the_smaller_one_and_dev_is_carved_out_of_it(write: Write) -> None:
    path = write(sentences(400))
    drawn = {size: read(path, train_size=size) for size in (0, 16, 64, 256)}
    for size, domain in drawn.items():
        assert len(domain.train) + len(domain.dev) == size
        assert domain.unused == 400 - len(domain.test) - size
    for small, large in itertools.pairwise(drawn.values()):
        assert set(small.train.ids) <= set(large.train.ids)
        assert set(small.dev.ids) <= set(large.dev.ids)
    assert set(read(path, train_size=64, seed=1).train.ids) != set(drawn[64].train.ids)


def test_what_is_over_the_caps_is_never_trained_on(write: Write, monkeypatch: Any) -> None:
    monkeypatch.setattr(parallel, "MAX_TEST_PAIRS", 30)
    monkeypatch.setattr(parallel, "MAX_DEV_PAIRS", 5)
    texts = sentences(600)
    domain = read(write(texts))
    held_out = [text for text in texts if side_of(text) == "test"]
    dev = [text for text in texts if side_of(text) == "dev"]
    assert (len(domain.test), len(domain.dev)) == (30, 5)
    assert domain.dropped == {"more test pairs than are used": len(held_out) - 30}
    assert domain.unused == len(dev) - 5
    assert not texts_of(domain.train) & {*held_out, *dev}
    # The first by hash, so that a smaller test set is a part of a larger one; in the file's order.
    first = {held_out[row] for row in hash_order(held_out)[:30]}
    assert domain.test.sources == [text for text in texts if text in first]
    smaller = read(write(texts), test_size=10).test
    assert set(smaller.sources) == {held_out[row] for row in hash_order(held_out)[:10]}


def test_a_test_pair_near_a_training_pair_is_dropped_and_counted(write: Write) -> None:
    texts = sentences(300)
    held_out = [text for text in texts if side_of(text) == "test"]
    # Five of six words are shared; the first word that puts it on the train side is taken.
    near = [
        next(f"{text} {word}" for word in WORDS if side_of(f"{text} {word}") == "train")
        for text in held_out[:7]
    ]
    domain = read(write([*texts, *near]))
    assert domain.dropped == {"near a training sentence": 7}
    assert set(domain.test.sources) == set(held_out[7:])
    # Near one of the source's sentences is as near, and what is not drawn counts as well.
    source = {"path": str(write(near, name="es.csv", lang="es")), "train_size": 1, "clean": False}
    with_source = [*near, *[next(text for text in sentences(99, seed=9) if side_of(text) == "test")]]
    source["path"] = str(write(with_source, name="es.csv", lang="es"))
    data = both(write(texts), source=source)
    assert data.target.dropped == {"near a training sentence": 7}


def test_files_that_are_split_keep_their_split(write: Write) -> None:
    texts = sentences(60)
    files = {
        "train": str(write(texts[:30], name="a.csv")),
        "dev": str(write(texts[30:40], name="b.csv")),
        "test": str(write(texts[40:], name="c.csv")),
    }
    domain = load_transfer_pairs(
        DataConfig(target=DomainConfig(splits=files, src_lang="en", tgt_lang="gl"))
    ).target
    assert set(domain.train.sources) == set(texts[:30])
    assert set(domain.dev.sources) == set(texts[30:40])
    assert set(domain.test.sources) == set(texts[40:])
    del files["dev"]
    without = load_transfer_pairs(
        DataConfig(target=DomainConfig(splits=files, src_lang="en", tgt_lang="gl"))
    ).target
    assert len(without.dev) == 0 and len(without.train) == 30


def test_aligned_plain_files(tmp_path: Path) -> None:
    texts = sentences(80)
    (tmp_path / "a.en").write_text("".join(f"{text}\n" for text in texts))
    (tmp_path / "a.gl").write_text("".join(f"{twisted(text)}\n" for text in texts))
    target = DomainConfig(
        src_path=str(tmp_path / "a.en"), tgt_path=str(tmp_path / "a.gl"), src_lang="en", tgt_lang="gl"
    )
    domain = load_transfer_pairs(DataConfig(target=target)).target
    assert len(domain.train) + len(domain.dev) + len(domain.test) == 80
    (tmp_path / "a.gl").write_text("".join(f"{twisted(text)}\n" for text in texts[:-1]))
    with pytest.raises(DataError, match=r"80.*79|79.*80"):
        load_transfer_pairs(DataConfig(target=target))


def test_several_languages_are_drawn_in_turn(tmp_path: Path) -> None:
    texts = sentences(400)
    for lang, rows in (("es", 400), ("pt", 200)):
        write_csv(tmp_path / f"{lang}.csv", ("en", lang), [(t, f"{twisted(t)} {lang}") for t in texts[:rows]])
    domain = read(tmp_path / "{tgt_lang}.csv", tgt_lang=["es", "pt"], train_size=60)
    assert domain.directions == [("en", "es"), ("en", "pt")]
    assert domain.languages == ["en", "es", "pt"]
    drawn = [target for _, target in domain.selection.directions]
    assert (drawn.count("es"), drawn.count("pt")) == (40, 20)
    sides = [texts_of(pairs) for pairs in (domain.train, domain.dev, domain.test)]
    assert not sides[0] & sides[2] and not sides[1] & sides[2]


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"src_lang": "en", "tgt_lang": "gl"}, [("en", "gl")]),
        ({"src_lang": "en", "tgt_lang": ["gl", "pt"]}, [("en", "gl"), ("en", "pt")]),
        ({"src_lang": ["es", "pt"], "tgt_lang": "en"}, [("es", "en"), ("pt", "en")]),
        ({"src_lang": ["en"], "tgt_lang": ["gl", "pt"]}, [("en", "gl"), ("en", "pt")]),
    ],
)
def test_directions(keys: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    assert directions_of(DomainConfig(path="x", **keys), name="target") == expected


def test_several_languages_on_both_sides_are_refused() -> None:
    with pytest.raises(DataError, match="only one of them may name several languages"):
        directions_of(DomainConfig(path="x", src_lang=["en", "de"], tgt_lang=["gl", "pt"]), name="target")


def test_several_languages_of_the_same_pairs_are_refused(write: Write, tmp_path: Path) -> None:
    texts = sentences(60)
    message = r"data.target: en-gl and en-ru read the same pairs.*\{tgt_lang\} in the path"
    columns = {"src_column": "en", "tgt_column": "gl"}
    with pytest.raises(DataError, match=message):
        read(write(texts), tgt_lang=["gl", "ru"], **columns)
    with pytest.raises(DataError, match=message):
        read(write_csv(tmp_path / "a.csv", ("source", "target"), [(t, twisted(t)) for t in texts]),
             tgt_lang=["gl", "ru"])  # fmt: skip
    split = {"train": str(write(texts[:30], name="b.csv")), "test": str(write(texts[30:], name="c.csv"))}
    with pytest.raises(DataError, match=message):
        load_transfer_pairs(
            DataConfig(target=DomainConfig(splits=split, src_lang="en", tgt_lang=["gl", "ru"], **columns))
        )


def test_several_languages_may_be_columns_of_one_file(tmp_path: Path) -> None:
    rows = [(text, f"{twisted(text)} o", f"{twisted(text)} os") for text in sentences(60)]
    domain = read(write_csv(tmp_path / "a.csv", ("en", "gl", "pt"), rows), tgt_lang=["gl", "pt"])
    assert domain.directions == [("en", "gl"), ("en", "pt")]


def test_a_code_of_no_known_language_is_a_warning(write: Write) -> None:
    path = write(sentences(60), lang="zz")
    found = [f for f in check_pairs(both(path, tgt_lang="zz"), encode=None, max_length_tokens=64).findings
             if f.check == "unknown_language"]  # fmt: skip
    assert [(f.severity, f.evidence) for f in found] == [
        ("warn", "target: zz is the code of no language in CLDR or ISO 639")
    ]


def test_more_training_pairs_than_there_are_are_refused_with_the_number(write: Write) -> None:
    texts = sentences(100)
    held_out = sum(side_of(text) == "test" for text in texts)
    message = (
        f"data.target.train_size is 200 and only {100 - held_out} training pairs are left after {held_out} "
        "were held out for testing; lower it"
    )
    with pytest.raises(DataError, match=message):
        read(write(texts), train_size=200)


def test_nothing_left_says_what_was_dropped(write: Write, tmp_path: Path) -> None:
    path = write_csv(tmp_path / "same.csv", ("en", "gl"), [(text, text) for text in sentences(5)])
    with pytest.raises(DataError, match=r"no pair of en-gl is left \(dropped: .* 5\)"):
        read(path)


def test_without_a_pair_to_test_on_nothing_is_started(write: Write) -> None:
    texts = [text for text in sentences(60) if side_of(text) == "train"]
    with pytest.raises(DataError, match=r"none of its pairs can be held out for testing"):
        read(write(texts))


def test_a_card_of_the_other_task_is_refused() -> None:
    target = DomainConfig(card="rotten_tomatoes", src_lang="en", tgt_lang="gl")
    with pytest.raises(DataError, match="the card rotten_tomatoes is for sentiment, not for translation"):
        load_transfer_pairs(DataConfig(target=target))


# What `check` finds -------------------------------------------------------------------------------


def findings_of(data: Any, encode: Any = None) -> dict[str, list[Any]]:
    report = check_pairs(data, encode=encode, max_length_tokens=20)
    found: dict[str, list[Any]] = {}
    for finding in report.findings:
        found.setdefault(finding.check, []).append(finding)
    return found


def test_counts_and_what_was_left_out(write: Write, tmp_path: Path) -> None:
    rows = [(text, twisted(text)) for text in sentences(300)]
    data = both(
        write_csv(tmp_path / "some.csv", ("en", "gl"), [*rows, *[(t, t) for t in sentences(9, seed=4)]])
    )
    report = check_pairs(data, encode=None, max_length_tokens=20)
    counts = report.domains["target"]
    assert counts["train"] + counts["dev"] + counts["test"] == 300
    assert counts["directions"] == {"en-gl": 300}
    assert list(counts["dropped"].values()) == [9]
    assert set(counts["fingerprints"]) == {"train", "dev", "test"}
    json.dumps(report.as_dict())
    found = findings_of(data)
    assert found["dropped_rows"][0].value == pytest.approx(9 / 309)
    assert found["small_test"][0].severity == "warn"
    assert found["small_test"][0].value == counts["test"]
    assert "no_training_pairs" not in found


def test_pairs_that_all_fall_to_the_test_side_stop_the_run(write: Write, tmp_path: Path) -> None:
    data = both(write_csv(tmp_path / "some.csv", ("en", "gl"), [(t, twisted(t)) for t in sentences(300)]))
    target = dataclasses.replace(data.target, train=data.target.train.take([]), dev=data.target.dev.take([]))
    (finding,) = findings_of(dataclasses.replace(data, target=target))["no_training_pairs"]
    assert finding.severity == "block"
    assert f"{len(target.test)} are held out for testing" in finding.evidence
    drawn = dataclasses.replace(target, unused=5)  # train_size: 0 is a run without training
    assert "no_training_pairs" not in findings_of(dataclasses.replace(data, target=drawn))


def encoder(tokens: int, unknown: int, missing: dict[str, int] | None = None, **adds: bool) -> Any:
    """Cut every text into so many tokens, of which so many are unknown on the target side."""

    def encode(pairs: Pairs) -> EncodedSides:
        sizes = np.full(len(pairs), tokens, dtype=np.int64)
        source = EncodedSide(np.full(len(pairs), 6), 0, 30 * len(pairs), {})
        target = EncodedSide(sizes, unknown * len(pairs), 30 * len(pairs), missing or {})
        return EncodedSides(source, target, **adds)

    return encode


@pytest.mark.parametrize(
    ("tokens", "unknown", "expected"),
    [
        (10, 0, {}),
        (10, 1, {"unknown_tokens": "warn"}),
        (10, 3, {"unknown_tokens": "block"}),
        (19, 0, {"tokens_per_word": "warn"}),
        (21, 0, {"tokens_per_word": "warn", "too_long": "warn"}),
    ],
)
def test_what_a_vocabulary_makes_of_the_pairs(
    write: Write, tokens: int, unknown: int, expected: dict[str, str]
) -> None:
    found = findings_of(both(write(sentences(300))), encoder(tokens, unknown))
    judged = {
        check: severity
        for check, findings in found.items()
        if check in ("unknown_tokens", "tokens_per_word", "too_long")
        for severity in [gravest_first(findings)[0].severity]
        if severity != "info"
    }
    assert judged == expected
    rate = found["tokens_per_word"][0]
    assert rate.value == pytest.approx(tokens / 5)
    assert rate.threshold == pytest.approx(3 * 6 / 5)


def test_characters_that_no_piece_holds_are_named(write: Write) -> None:
    pairs = both(write(sentences(300)))
    count = 30 * (len(pairs.target.selection) + len(pairs.target.test))
    found = findings_of(pairs, encoder(10, 0, {"ẑ": count // 40, "ḿ": count // 80}))["unknown_characters"]
    assert [finding.severity for finding in found] == ["warn", "info"]
    assert "the commonest ẑ ḿ" in found[0].evidence


def test_what_is_added_to_the_vocabulary_is_no_reason_to_choose_another(write: Write) -> None:
    pairs = both(write(sentences(300)))

    def found(unknown: int, **adds: bool) -> Finding:
        return gravest_first(findings_of(pairs, encoder(10, unknown, **adds))["unknown_tokens"])[0]

    assert "come out wrong" in found(1).advice
    assert "are added to the vocabulary" in found(1, adds_characters=True).advice
    # A whole script is taught where it was asked for alone.
    asked = found(3, adds_characters=True)
    assert asked.severity == "block" and "adaptation.new_pieces: 1000" in asked.advice
    assert found(3, adds_characters=True, adds_script=True).severity == "warn"


def test_the_scripts_of_both_languages_are_told(tmp_path: Path) -> None:
    rows = [(text, twisted(text)) for text in sentences(300)]
    found = findings_of(both(write_csv(tmp_path / "a.csv", ("en", "gl"), rows)))["script_coverage"]
    assert [(f.severity, f.value) for f in found] == [("info", 1.0)] * 2
    other = both(write_csv(tmp_path / "b.csv", ("en", "uk"), rows), tgt_lang="uk", clean=False)
    found = findings_of(other)["script_coverage"]
    assert [(f.severity, f.value) for f in found] == [("warn", 0.0), ("info", 1.0)]
    assert "in uk stand in its script (Cyrl)" in found[0].evidence


def test_a_test_sentence_that_the_source_trains_on_is_found(write: Write, tmp_path: Path) -> None:
    """Files that come split may overlap: nothing is moved, and it is said."""
    texts = sentences(90)
    files = {"train": str(write(texts[:60], name="a.csv")), "test": str(write(texts[60:], name="b.csv"))}
    other = {
        "train": str(write(texts[50:80], name="c.csv", lang="es")),
        "test": str(write(texts[80:], name="d.csv", lang="es")),
    }
    data = load_transfer_pairs(
        DataConfig(
            target=DomainConfig(splits=files, src_lang="en", tgt_lang="gl"),
            source=DomainConfig(splits=other, src_lang="en", tgt_lang="es"),
        )
    )
    # A sentence that stands in training word for word is nearer than near.
    assert data.target.dropped == {"near a training sentence": 20}
    assert len(data.target.test) == 10
