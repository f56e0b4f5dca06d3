"""Data cards: one Hugging Face dataset card per source, its YAML head the registry.

The head's `nlp_transfer` block says where the rows come from (several sources, tried in order), how they are
read, and how many there are; the rest of the head and the body are for people and for the Hub. Reading the
rows is left to classification.py.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from pydantic import Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from nlp_transfer.config import STRICT, DomainConfig, read_yaml
from nlp_transfer.errors import DataError, did_you_mean
from nlp_transfer.resources import resource_dir


@dataclass(frozen=True, config=STRICT)
class Declared:
    """What a card promises about its rows; loading compares it with what arrived."""

    rows: int
    """Rows left after dropping."""
    labels: dict[str, int] = Field(default_factory=dict)
    """Rows of each class."""
    groups: int | None = None
    """Distinct groups, for a card with a group column."""


@dataclass(frozen=True, config=STRICT)
class CardSpec:
    """The `nlp_transfer` block of a card's head."""

    task: str
    """sentiment or translation."""
    sources: list[dict[str, Any]] = Field(min_length=1)
    """Keys of `DomainConfig` that say where the rows come from; the first that is at hand is used."""
    rows: dict[str, Any] = Field(default_factory=dict)
    """Keys of `DomainConfig` that all the sources share."""
    declared: Declared | None = None
    """Expected counts."""
    licence_evidence: str = ""
    """Where the licence is stated."""


@dataclass(frozen=True)
class DataCard:
    """A card: its name, the Hub's metadata, our block, and the text for people."""

    name: str
    metadata: dict[str, Any]
    spec: CardSpec
    body: str

    @property
    def licence(self) -> str:
        """The licence as the head gives it; `unknown` where it does not."""
        return str(self.metadata.get("license", "unknown"))

    def domains(self, chosen: DomainConfig) -> list[DomainConfig]:
        """Complete a config's domain with each of the card's sources; what the config sets wins.

        A config's label map speaks of the card's classes: it is applied after the card's own.
        """
        own = _set_keys(chosen)
        own.pop("card", None)
        label_map = own.pop("label_map", {})
        completed = []
        for source in self.spec.sources:
            domain = _as_domain({**self.spec.rows, **source, **own}, self.name)
            named = {
                raw: label_map.get(name, name) for raw, name in domain.label_map.items() if name is not None
            }
            completed.append(
                dataclasses.replace(domain, label_map={**domain.label_map, **named, **label_map})
            )
        return completed

    def describes(self, chosen: DomainConfig) -> bool:
        """Tell whether the declared counts hold for a config's domain: it only chooses how many rows."""
        return set(_set_keys(chosen)) <= {"card", "train_size", "test_size", "test_share"}


def list_cards() -> list[str]:
    """Return the names of the shipped data cards."""
    return sorted(path.stem for path in resource_dir("data_cards").glob("*.md") if path.stem != "README")


def load_card(name: str) -> DataCard:
    """Load a data card by its name, or from a path to a card of your own.

    Raises:
        DataError: there is no such card, or its head is not valid.

    >>> load_card("product_reviews").spec.declared.rows
    2985
    """
    path = Path(name) if name.endswith(".md") else resource_dir("data_cards") / f"{name}.md"
    if not path.is_file():
        raise DataError(f"no data card {name!r}; {did_you_mean(name, list_cards())}")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"the data card {path} cannot be read as a UTF-8 text file: {error}") from error
    opening, _, rest = text.partition("---\n")
    head, closing, body = rest.partition("\n---\n")
    if opening.strip() or not closing:
        raise DataError(f"{path} must open with a YAML head between two lines of ---")
    metadata = read_yaml(head, where=str(path))
    block = metadata.pop("nlp_transfer", None) if isinstance(metadata, dict) else None
    if block is None:
        raise DataError(f"{path}: its head has no nlp_transfer block, which says where the rows are")
    try:
        spec = TypeAdapter(CardSpec).validate_python(block)
    except ValidationError as error:
        raise DataError(f"{path}: {error}") from error
    card = DataCard(name=path.stem, metadata=dict(metadata), spec=spec, body=body.strip())
    card.domains(DomainConfig())
    return card


def _set_keys(domain: DomainConfig) -> dict[str, Any]:
    """Return the keys of a domain that differ from their defaults."""
    blank = DomainConfig()
    values = {field.name: getattr(domain, field.name) for field in dataclasses.fields(domain)}
    return {key: value for key, value in values.items() if value != getattr(blank, key)}


def _as_domain(keys: dict[str, Any], card: str) -> DomainConfig:
    try:
        return TypeAdapter(DomainConfig).validate_python(keys)
    except ValidationError as error:
        raise DataError(f"data card {card}: {error}") from error
