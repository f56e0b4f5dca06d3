"""Data cards are found, checked and completed by what a recipe sets."""

from __future__ import annotations

from pathlib import Path

import pytest

from nlp_transfer import resources
from nlp_transfer.config import DomainConfig
from nlp_transfer.data.cards import list_cards, load_card
from nlp_transfer.data.sources import split_hash
from nlp_transfer.errors import ConfigError, DataError, TransferError

LABELLED = ["amazon_polarity", "imdb", "product_reviews", "rotten_tomatoes"]
PARALLEL = ["software_catalogues", "ted_talks"]
SHIPPED = sorted([*LABELLED, *PARALLEL])

CARD = """---
license: mit
nlp_transfer:
  task: sentiment
  sources:
  - path: a.csv
  - path: b.csv
    label_map: {neg: negative, pos: positive, unsure: null}
  rows: {text_column: review, test_share: 0.5}
---

# Reviews

What they are.
"""


def uris_of(domain: DomainConfig) -> list[str]:
    paths = [domain.path] if isinstance(domain.path, str) else domain.path or []
    return [*paths, *(domain.splits or {}).values()]


def card_file(folder: Path, text: str) -> str:
    path = folder / "mine.md"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_the_shipped_cards_are_listed() -> None:
    assert list_cards() == SHIPPED


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_card_is_complete(name: str) -> None:
    card = load_card(name)
    assert card.name == name
    assert card.body.startswith("# ")
    assert card.licence != ""
    assert card.spec.licence_evidence
    assert {"pretty_name", "language", "license", "task_categories", "size_categories"} <= set(card.metadata)


@pytest.mark.parametrize("name", LABELLED)
def test_a_card_of_labelled_texts_declares_its_rows(name: str) -> None:
    card = load_card(name)
    assert card.spec.task == "sentiment"
    assert card.spec.declared is not None
    assert sum(card.spec.declared.labels.values()) == card.spec.declared.rows


@pytest.mark.parametrize("name", PARALLEL)
def test_a_card_of_pairs_leaves_the_languages_to_the_recipe(name: str) -> None:
    card = load_card(name)
    assert card.spec.task == "translation"
    for domain in card.domains(DomainConfig(card=name)):
        assert all("{tgt_lang}" in uri for uri in uris_of(domain))


@pytest.mark.parametrize("name", SHIPPED)
def test_whatever_a_shipped_card_fetches_is_pinned(name: str) -> None:
    for domain in load_card(name).domains(DomainConfig(card=name)):
        for uri in uris_of(domain):
            hashed = domain.sha256 is not None or split_hash(uri)[1] is not None
            assert "@" in uri if uri.startswith("hub://") else hashed, uri


def test_a_card_of_ones_own_is_loaded_by_its_path(tmp_path: Path) -> None:
    card = load_card(card_file(tmp_path, CARD))
    assert (card.name, card.licence, card.body) == ("mine", "mit", "# Reviews\n\nWhat they are.")


def test_a_card_without_a_licence_has_an_unknown_one(tmp_path: Path) -> None:
    assert load_card(card_file(tmp_path, CARD.replace("license: mit\n", ""))).licence == "unknown"


def test_a_recipe_completes_each_source_and_wins(tmp_path: Path) -> None:
    card = load_card(card_file(tmp_path, CARD))
    first, second = card.domains(
        DomainConfig(card="mine", train_size=64, text_column="title", test_share=0.2)
    )
    assert (first.path, second.path) == ("a.csv", "b.csv")
    for domain in (first, second):
        assert (domain.card, domain.train_size, domain.text_column, domain.test_share) == (
            None,
            64,
            "title",
            0.2,
        )
    assert card.domains(DomainConfig(card="mine"))[0].test_share == 0.5


def test_a_recipes_label_map_is_applied_after_the_cards(tmp_path: Path) -> None:
    card = load_card(card_file(tmp_path, CARD))
    first, second = card.domains(DomainConfig(card="mine", label_map={"negative": "bad", "positive": "good"}))
    own = {"negative": "bad", "positive": "good"}
    assert first.label_map == own
    assert second.label_map == {"neg": "bad", "pos": "good", "unsure": None, **own}


@pytest.mark.parametrize(
    ("keys", "described"),
    [
        ({}, True),
        ({"train_size": 64, "test_size": 100, "test_share": 0.3}, True),
        ({"where": {"year": 2004}}, False),
        ({"label_map": {"negative": None}}, False),
    ],
)
def test_declared_counts_hold_unless_a_recipe_chooses_other_rows(
    tmp_path: Path, keys: dict[str, object], described: bool
) -> None:
    assert load_card(card_file(tmp_path, CARD)).describes(DomainConfig(card="mine", **keys)) is described  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (CARD.removeprefix("---\n"), r"must open with a YAML head between two lines of ---"),
        ("# No head\n", r"must open with a YAML head"),
        ("---\nlicense: mit\n", r"must open with a YAML head"),
        (CARD.replace("nlp_transfer:", "other:"), r"its head has no nlp_transfer block"),
        ("---\n- a\n---\n", r"its head has no nlp_transfer block"),
        ("---\n\n---\n", r"its head has no nlp_transfer block"),
        (CARD.replace("  task: sentiment\n", ""), r"task\s+Field required"),
        (CARD.replace("  task:", "  tsak: sentiment\n  task:"), r"tsak\s+Unexpected keyword argument"),
        (
            CARD.replace("- path: a.csv", "- pth: a.csv"),
            r"data card mine: .*\spth\s+Unexpected keyword argument",
        ),
        (
            CARD.replace("{neg: negative, pos: positive, unsure: null}", "[neg, pos]"),
            r"data card mine: .*\slabel_map\s",
        ),
    ],
)
def test_a_card_that_is_not_one_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        load_card(card_file(tmp_path, text))


def test_a_card_whose_head_is_not_yaml_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"mine\.md is not valid YAML"):
        load_card(card_file(tmp_path, CARD.replace("license: mit", "license: [mit")))


def test_a_card_in_another_encoding_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.md").write_bytes(CARD.replace("What", "Ü").encode("latin-1"))
    with pytest.raises(DataError, match=r"the data card .*mine\.md cannot be read as a UTF-8 text file"):
        load_card(str(tmp_path / "mine.md"))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("product_review", r"no data card 'product_review'; did you mean product_reviews\?"),
        ("xyz", r"no data card 'xyz'; known: amazon_polarity, imdb"),
        ("nowhere/mine.md", r"no data card 'nowhere/mine\.md'"),
    ],
)
def test_an_unknown_card_is_answered_with_the_known_ones(name: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        load_card(name)


def test_an_installation_without_cards_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources, "__file__", str(tmp_path / "nlp_transfer" / "resources.py"))
    with pytest.raises(
        TransferError, match="the installation of nlp-transfer has no data_cards; install it again"
    ):
        load_card("imdb")
