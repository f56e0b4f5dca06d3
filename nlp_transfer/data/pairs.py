"""Sentence pairs, and the two domains that a translation transfer is made of, as everything right of here
sees them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from nlp_transfer.data.cards import DataCard
from nlp_transfer.data.languages import standard

Direction = tuple[str, str]
"""Codes of the language translated from and of the one translated into."""


@dataclass(frozen=True)
class Pairs:
    """Sentence pairs in one order: `ids`, `sources`, `targets` and the `directions` of each."""

    ids: list[str]
    sources: list[str]
    targets: list[str]
    directions: list[Direction]

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, rows: Sequence[int] | npt.NDArray[np.int64]) -> Pairs:
        """Return these rows, in this order."""
        return Pairs(
            ids=[self.ids[row] for row in rows],
            sources=[self.sources[row] for row in rows],
            targets=[self.targets[row] for row in rows],
            directions=[self.directions[row] for row in rows],
        )

    def joined(self, other: Pairs) -> Pairs:
        """Return these pairs followed by others."""
        return Pairs(
            self.ids + other.ids,
            self.sources + other.sources,
            self.targets + other.targets,
            self.directions + other.directions,
        )

    def fingerprint(self) -> str:
        """Hash ids, both sides and directions to 16 hexadecimal digits."""
        digest = hashlib.blake2b(digest_size=8)
        for row_id, source, target, direction in zip(
            self.ids, self.sources, self.targets, self.directions, strict=True
        ):
            digest.update(f"{row_id}\0{source}\0{target}\0{direction}\n".encode("utf-8", "surrogatepass"))
        return digest.hexdigest()


NO_PAIRS = Pairs(ids=[], sources=[], targets=[], directions=[])


@dataclass(frozen=True)
class PairDomain:
    """One domain of sentence pairs, split: what may be learnt from, selected on, and scored on."""

    name: str
    directions: list[Direction]
    train: Pairs
    dev: Pairs
    test: Pairs
    card: DataCard | None
    unused: int = 0
    """Training pairs that `train_size` leaves out."""
    dropped: dict[str, int] = field(default_factory=dict)
    """Pairs left out, by reason."""
    notes: list[str] = field(default_factory=list)
    """What was assumed, for the log and the report."""

    @property
    def selection(self) -> Pairs:
        """Every pair that the run may learn from or select on: train and dev together."""
        return self.train.joined(self.dev)

    @property
    def read_languages(self) -> set[str]:
        """Standard tags of the languages translated from."""
        return {standard(src_lang) for src_lang, _ in self.directions}

    @property
    def languages(self) -> list[str]:
        """Codes of all languages, those translated from first, each once."""
        return list(dict.fromkeys([s for s, _ in self.directions] + [t for _, t in self.directions]))


@dataclass(frozen=True)
class TransferPairs:
    """Both domains: the child pair to adapt to, and the parent pairs where there are any."""

    target: PairDomain
    source: PairDomain | None

    @property
    def read_one_language(self) -> bool:
        """Whether all pairs of both domains are translated from one and the same language."""
        both = [domain for domain in (self.target, self.source) if domain is not None]
        return len({language for domain in both for language in domain.read_languages}) == 1
