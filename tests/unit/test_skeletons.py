"""The side of a sentence: fixed for good, the same for all that differs in form alone; near neighbours."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nlp_transfer.data.skeletons import NEAR_OVERLAP, NearNeighbours, hash_order, side_of, skeleton

# Frozen: the embedded parent was trained on the train side of these. A change here is a leak.
GOLDEN = {
    "Save the file": "test",
    "Search": "test",
    "Enter a valid email address.": "test",
    "This field is required.": "dev",
    "Welcome, %(name)s!": "dev",
    "Save %s": "train",
    "Delete": "train",
    "Your password has expired": "train",
    "Cancel": "train",
    "%d files were deleted": "train",
    "Choose a language": "train",
    "The page was not found.": "train",
    "Log in": "train",
}


@pytest.mark.parametrize(("text", "side"), GOLDEN.items())
def test_a_sentence_stays_on_its_side_for_good(text: str, side: str) -> None:
    assert side_of(skeleton(text)) == side


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Save %s", "save"),
        ("save", "save"),
        ("SAVE!", "save"),
        ("  “Save” … 12 ", "save"),
        ("Save %(file)s to {0}", "save to"),
        ("%1$s of %2$d", "of"),
        ("Save ${name}", "save"),
        ("100% sure", "sure"),
        ("It's snake_case", "it s snake case"),
        ("Árbol ÑU", "árbol ñu"),
        ("文件", "文件"),
        ("%d", "%d"),
        (" 42 ", "42"),
        ("", ""),
    ],
)
def test_a_skeleton_is_the_words_alone(text: str, words: str) -> None:
    assert skeleton(text) == words


def test_the_shares_are_those_that_are_promised() -> None:
    counts = Counter(side_of(f"sentence {number}") for number in range(20_000))
    assert counts["test"] / 20_000 == pytest.approx(0.15, abs=0.008)
    assert counts["dev"] / 20_000 == pytest.approx(0.05, abs=0.005)


def test_the_hash_order_is_the_texts_own_and_not_the_sides() -> None:
    texts = [f"sentence {number} of them all" for number in range(50)]
    texts = [f"{text} {'x' * number}" for number, text in enumerate(texts)]
    order = [texts[row] for row in hash_order(texts)]
    assert sorted(order) == sorted(texts) != order
    assert [texts[::-1][row] for row in hash_order(texts[::-1])] == order


WORDS = st.lists(st.sampled_from("abcdefghij"), min_size=0, max_size=12).map(" ".join)


@settings(max_examples=150, deadline=None)
@given(st.lists(WORDS, max_size=30), st.lists(WORDS, max_size=8))
def test_near_neighbours_are_those_that_brute_force_finds(training: list[str], asked: list[str]) -> None:
    def near(first: str, second: str) -> bool:
        one, other = set(first.split()), set(second.split())
        return bool(one & other) and len(one & other) / len(one | other) >= NEAR_OVERLAP

    expected = [any(near(text, other) for other in training) for text in asked]
    assert list(NearNeighbours(iter(training), asked)) == expected


@pytest.mark.parametrize(
    ("text", "is_near"),
    [
        ("Delete all of the files", True),
        ("DELETE all of the files %d!", True),
        ("Delete all of the old files", True),
        ("Delete all of the very old files", False),
        ("Delete files", False),
        ("", False),
    ],
)
def test_near_means_eight_words_of_ten(text: str, is_near: bool) -> None:
    training = ["something else", "delete all of the files"]
    assert list(NearNeighbours(training, [text])) == [is_near]


def test_asking_twice_answers_twice() -> None:
    near = NearNeighbours(["one two three"], ["one two three", "four"])
    assert list(itertools.chain(near, near)) == [True, False, True, False]
