"""The related language of one that a model lacks: looked for by name and by text, chosen by translating."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import Any

import pytest

from nlp_transfer.data.pairs import Pairs
from nlp_transfer.errors import ModelError
from nlp_transfer.related import gain_over_copy, related_languages

# As M2M100 spells some of its hundred.
MANY = [
    "ast",
    "be",
    "bg",
    "ca",
    "cs",
    "de",
    "en",
    "es",
    "fr",
    "gl",
    "it",
    "ja",
    "nl",
    "pl",
    "pt",
    "ro",
    "ru",
    "uk",
]
MIRANDESE = [
    "Todos ls seres houmanos nácen lhibres i eiguales an denidade i an dreitos.",
    "La lhéngua mirandesa ye falada ne l nordeste de Pertual, an Miranda de l Douro.",
    "El fui a casa de sou pai i trouxo l pan que staba na cozina.",
]


ENGLISH = ["All human beings are born free.", "It is spoken in the north.", "He brought the bread."]


class Parent:
    """Translates well into one language, and badly into all others; remembers which were tried."""

    def __init__(self, known: list[str], good: str) -> None:
        family = SimpleNamespace(languages=lambda: known)
        self.loaded = SimpleNamespace(family=family, source_languages=lambda: ["en", *known])
        self.good, self.tried = good, list[str]()

    max_length_tokens = 99

    def count_tokens(self, texts: list[str], **_: Any) -> list[int]:
        return [len(text) for text in texts]

    def translate(self, texts: list[str], *, src_lang: str, tgt_lang: str, **_: Any) -> list[str]:
        asked = tgt_lang if src_lang == "en" else src_lang
        self.tried.append(asked)
        if asked != self.good:
            return texts
        if src_lang == "en":
            return [MIRANDESE[int(text)] for text in texts]
        return [ENGLISH[MIRANDESE.index(text)] for text in texts]


def dev_pairs(rows: int = 3) -> Pairs:
    return Pairs(
        ids=[str(row) for row in range(rows)],
        sources=[str(row) for row in range(rows)],
        targets=MIRANDESE[:rows],
        directions=[("en", "mwl")] * rows,
    )


@pytest.mark.parametrize("good", ["pt", "es", "gl"])
def test_of_many_languages_those_that_the_text_looks_like_are_tried_and_the_best_is_taken(good: str) -> None:
    parent: Any = Parent(MANY, good)
    assert related_languages(parent, [("en", "mwl")], dev_pairs()) == {"mwl": good}
    assert 1 < len(parent.tried) <= 8


@pytest.mark.parametrize("good", ["pt", "gl"])
def test_a_new_language_to_translate_from_has_a_related_one_as_well(good: str) -> None:
    parent: Any = Parent(MANY, good)
    pairs = Pairs(["0", "1", "2"], MIRANDESE, ENGLISH, [("mwl", "en")] * 3)
    assert related_languages(parent, [("mwl", "en")], pairs) == {"mwl": good}
    # Asked to read English it would leave the text as it is, which is no translation.
    assert 1 < len(parent.tried) <= 8 and "en" not in parent.tried


def test_a_model_that_is_told_no_source_language_lacks_none() -> None:
    parent: Any = Parent(MANY, "pt")
    parent.loaded.source_languages = lambda: []
    assert related_languages(parent, [("mwl", "en")], dev_pairs()) == {}


def test_where_both_sides_are_new_both_have_a_related_language() -> None:
    parent: Any = Parent(MANY, "pt")
    new = Pairs(["0", "1", "2"], MIRANDESE, ENGLISH, [("mwl", "ext")] * 3)
    found = related_languages(parent, [("mwl", "ext")], new)
    assert found["mwl"] == "pt" and found["ext"] in MANY
    assert related_languages(parent, [("mwl", "ext")], new, chosen="es") == {"mwl": "es", "ext": "es"}


def test_a_new_source_language_stands_for_itself_in_its_second_direction() -> None:
    """It was found with the first direction, and the second one lacks another language."""

    class Strict(Parent):
        def translate(self, texts: list[str], *, src_lang: str, tgt_lang: str, **_: Any) -> list[str]:
            assert {src_lang, tgt_lang} <= {"en", *MANY}
            return super().translate(texts, src_lang=src_lang, tgt_lang=tgt_lang)

    parent: Any = Strict(MANY, "pt")
    directions = [("mwl", "en"), ("mwl", "ext")]
    pairs = Pairs([str(row) for row in range(6)], MIRANDESE * 2, ENGLISH * 2,
                  [each for each in directions for _ in range(3)])  # fmt: skip
    found = related_languages(parent, directions, pairs)
    assert set(found) == {"mwl", "ext"} and found["mwl"] == "pt"


def test_of_few_languages_all_are_tried() -> None:
    parent: Any = Parent(["ja", "fi", "pt"], "fi")
    assert related_languages(parent, [("en", "mwl")], dev_pairs()) == {"mwl": "fi"}
    assert parent.tried == ["ja", "fi", "pt"]


def test_without_dev_pairs_the_nearest_by_name_is_taken() -> None:
    parent: Any = Parent(MANY, "pt")
    assert related_languages(parent, [("en", "pt-BR-x"), ("en", "nb")][:0], dev_pairs(0)) == {}
    [(language, related)] = related_languages(parent, [("en", "oc")], dev_pairs(0)).items()
    assert (language, related in MANY, parent.tried) == ("oc", True, [])


def test_a_language_that_is_near_none_asks_for_a_name() -> None:
    parent: Any = Parent(["ja", "am", "el", "hi", "bn", "he", "fa", "ar", "be"], "ja")
    nothing = Pairs(ids=["0"], sources=["0"], targets=["123"], directions=[("en", "chr")])
    with pytest.raises(ModelError, match=r"no language near 'chr'; name one in adaptation\.related_lang: ja"):
        related_languages(parent, [("en", "chr")], nothing)


def test_what_a_model_gains_over_a_copy_is_told_by_the_language_that_is_asked_for() -> None:
    parent: Any = Parent(MANY, "pt")
    assert gain_over_copy(parent, dev_pairs(), asked_as={"mwl": "pt"}) == pytest.approx(100)
    assert gain_over_copy(parent, dev_pairs(), asked_as={"mwl": "ro"}) == pytest.approx(0)


def test_each_pair_is_asked_for_in_its_own_language() -> None:
    parent: Any = Parent(MANY, "pt")
    pairs = dataclasses.replace(dev_pairs(), directions=[("en", "mwl"), ("en", "ro"), ("en", "pt")])
    assert 0 < gain_over_copy(parent, pairs, asked_as={"mwl": "pt"}) < 100
    assert parent.tried == ["pt", "ro", "pt"]


def test_sources_that_the_model_cannot_read_are_left_out() -> None:
    parent: Any = Parent(MANY, "pt")
    pairs = dataclasses.replace(dev_pairs(), sources=["0", "1" * 100, "2"])
    assert 0 < gain_over_copy(parent, pairs, asked_as={"mwl": "pt"}) < 100
    assert related_languages(parent, [("en", "mwl")], pairs) == {"mwl": "pt"}
