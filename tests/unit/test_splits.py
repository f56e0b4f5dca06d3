"""Splits are leak-free, stable and nested."""

from __future__ import annotations

import itertools
import random
from collections import Counter

import numpy as np
import pytest

from nlp_transfer.data.splits import (
    connected_components,
    hold_out,
    leak_free_components,
    nested_subset,
    normalise_text,
    stable_hash,
)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("It 's GREAT !", "it's great"),
        ("well-made", "Well made"),
        ("ﬁne", "FINE"),
        ("Straße", "STRASSE"),
        ("ｆｕｌｌ　ｗｉｄｔｈ １", "full width 1"),
        (" 👍 ", "👍"),
    ],
)
def test_spelling_variants_are_the_same_text(one: str, other: str) -> None:
    assert normalise_text(one) == normalise_text(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("good", "goods"),
        ("कि", "की"),
        ("👍", "👎"),
        ("5 stars", "4 stars"),
        ("...", "!!!"),
        ("resume", "résumé"),
    ],
)
def test_different_texts_stay_different(one: str, other: str) -> None:
    assert normalise_text(one) != normalise_text(other)


@pytest.mark.parametrize(
    ("text", "normalised"),
    [("A b_c-1!", "abc1"), ("", ""), ("  ?! ", "?!"), ("हिन्दी", "हिन्दी"), ("word\u200bword", "wordword")],
)
def test_only_letters_marks_and_digits_are_kept(text: str, normalised: str) -> None:
    assert normalise_text(text) == normalised


def test_the_hash_is_the_same_on_every_machine_and_day() -> None:
    # First 8 bytes of BLAKE2b, as `printf '' | b2sum -l 64` prints them.
    assert stable_hash("") == 0xE4A6A0577479B2B4
    assert stable_hash("a") == stable_hash("a") != stable_hash("b")
    assert stable_hash(5) == stable_hash("5")


def test_the_hash_depends_on_the_seed_and_takes_half_characters() -> None:
    assert len({stable_hash("a", seed=seed) for seed in (0, 1, -1)} | {stable_hash("a")}) == 4
    assert stable_hash("\ud83d") != stable_hash("?")


@pytest.mark.parametrize(
    ("keys", "components"),
    [
        ([], []),
        ([[], [], []], [0, 1, 2]),
        ([["a"], ["b"], ["a"]], [0, 1, 0]),
        ([["a", 1], ["b", 2], ["a", 3], ["c", 3]], [0, 1, 0, 0]),
        ([["a"], ["b"], ["c"], ["d"], ["a", "d"], ["b", "c"], ["d", "c"]], [0, 0, 0, 0, 0, 0, 0]),
        ([["x"], ["y"], ["z"], ["z", "y"]], [0, 1, 1, 1]),
    ],
)
def test_rows_that_share_a_key_are_one_component(keys: list[list[object]], components: list[int]) -> None:
    assert connected_components(keys) == components


@pytest.mark.parametrize(
    ("texts", "groups", "components"),
    [
        (["a", "b", "A!"], None, [0, 1, 0]),
        (["a", "b", "c"], ["x", "y", "x"], [0, 1, 0]),
        (["a", "b", "c"], [None, None, None], [0, 1, 2]),
        (["a", "b", "b", "c"], ["x", "x", "y", "y"], [0, 0, 0, 0]),
        (["x", "b"], ["b", "x"], [0, 1]),  # a text is not a group, even where it looks like one
    ],
)
def test_texts_and_groups_make_components(
    texts: list[str], groups: list[str | None] | None, components: list[int]
) -> None:
    assert leak_free_components(texts, groups) == components


def _rows(count: int, *, seed: int = 0) -> tuple[list[str], list[int], list[str]]:
    """Make rows of which some repeat another's text, in groups of one to seven rows."""
    generator = random.Random(seed)
    texts = [f"sentence number {generator.randrange(int(count * 0.9))}" for _ in range(count)]
    labels = [int(generator.random() < 0.3) for _ in range(count)]
    sizes = itertools.cycle([1, 7, 2, 4])
    groups = [f"review {number}" for number in range(count) for _ in range(next(sizes))][:count]
    return texts, labels, groups


@pytest.mark.parametrize("share", [0.1, 0.2, 0.5])
@pytest.mark.parametrize("grouped", [False, True])
def test_about_the_asked_share_of_each_class_is_held_out(share: float, grouped: bool) -> None:
    texts, labels, groups = _rows(2_000)
    texts = [f"{row} {text}" for row, text in enumerate(texts)]
    pool, held = hold_out(texts, labels, groups=groups if grouped else None, share=share)
    assert sorted([*pool, *held]) == list(range(2_000))
    for label, count in Counter(labels).items():
        observed = sum(labels[row] == label for row in held) / count
        assert observed == pytest.approx(share, abs=0.02)


@pytest.mark.parametrize("grouped", [False, True])
def test_no_text_and_no_group_is_on_both_sides(grouped: bool) -> None:
    texts, labels, groups = _rows(1_000)
    pool, held = hold_out(texts, labels, groups=groups if grouped else None, share=0.3)
    assert len(pool)
    assert len(held)
    assert not {normalise_text(texts[row]) for row in pool} & {normalise_text(texts[row]) for row in held}
    if grouped:
        assert not {groups[row] for row in pool} & {groups[row] for row in held}


def test_the_same_texts_are_held_out_in_whatever_order_they_come() -> None:
    texts = [f"sentence {number}" for number in range(500)]
    labels = [number % 3 for number in range(500)]
    order = random.Random(1).sample(range(500), 500)
    _, held = hold_out(texts, labels, share=0.2)
    _, held_after = hold_out([texts[row] for row in order], [labels[row] for row in order], share=0.2)
    assert {texts[row] for row in held} == {texts[order[row]] for row in held_after}


def test_rows_without_a_group_are_not_one_group() -> None:
    texts = [f"sentence {number}" for number in range(200)]
    groups = [None] * 150 + ["one big group"] * 50
    _, held = hold_out(texts, [number % 2 for number in range(200)], groups=groups, share=0.2)
    assert len(held) == 40


def test_one_group_cannot_be_divided() -> None:
    pool, held = hold_out(["a", "b", "c"], [0, 1, 0], groups=["x", "x", "x"], share=0.5)
    assert pool.tolist() == [0, 1, 2]
    assert held.tolist() == []


def test_a_rare_class_keeps_a_row_in_the_pool() -> None:
    pool, held = hold_out([f"sentence {number}" for number in range(12)], [0] * 10 + [1, 2], share=0.5)
    assert len(held) == 5
    assert {10, 11} <= set(pool.tolist())


def test_no_rows_make_empty_sides() -> None:
    pool, held = hold_out([], [], share=0.2)
    assert (len(pool), len(held)) == (0, 0)


@pytest.mark.parametrize("seed", [0, 1, 7])
def test_a_smaller_draw_of_the_same_seed_is_part_of_a_larger_one(seed: int) -> None:
    labels = [int(row % 5 == 0) for row in range(1_000)]
    draws = [set(nested_subset(labels, size, seed=seed).tolist()) for size in (0, 1, 16, 64, 256, 1_000)]
    assert [len(draw) for draw in draws] == [0, 1, 16, 64, 256, 1_000]
    assert all(small < large for small, large in itertools.pairwise(draws))


@pytest.mark.parametrize("size", [10, 16, 64, 255, 999])
def test_every_draw_has_each_class_in_proportion_within_one_row(size: int) -> None:
    labels = np.repeat([0, 1, 2], [700, 200, 100])
    drawn = labels[nested_subset(labels.tolist(), size, seed=3)]
    for label, share in ((0, 0.7), (1, 0.2), (2, 0.1)):
        assert abs((drawn == label).sum() - size * share) <= 1


def test_another_seed_draws_other_rows() -> None:
    labels = [row % 2 for row in range(1_000)]
    assert set(nested_subset(labels, 64, seed=0)) != set(nested_subset(labels, 64, seed=1))


def test_a_draw_larger_than_the_pool_is_refused() -> None:
    with pytest.raises(ValueError, match="4 rows were asked for and the pool has 3"):
        nested_subset([0, 1, 0], 4, seed=0)
