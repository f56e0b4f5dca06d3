"""Rows that stand in two places at once, across runs: what an earlier run tests on must not be trained on
now, and what it trained on flatters a test of now.

Within one run the splits see to it (splits.py, skeletons.py), and by the same keys.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from typing import TypeVar

from nlp_transfer.data.pairs import PairDomain, Pairs
from nlp_transfer.data.parallel import english_side
from nlp_transfer.data.rows import DomainData, Rows
from nlp_transfer.data.skeletons import skeleton
from nlp_transfer.data.splits import normalise_text
from nlp_transfer.findings import Finding

Domain = TypeVar("Domain", DomainData, PairDomain)
IN_EARLIER_TEST = "in an earlier test set"


def row_keys(rows: Rows | Pairs) -> list[str]:
    """Return for each row what decides whether it is the same as another: its normalised text, for pairs that
    of the English side.
    """
    if isinstance(rows, Pairs):
        return [skeleton(text) for text in english_side(rows)]
    return [normalise_text(text) for text in rows.texts]


def without_rows(domain: Domain, forbidden: Collection[str]) -> Domain:
    """Leave the rows with these keys out of what a domain is learnt from and selected on; they are counted
    among its dropped ones.
    """
    parts = {}
    for name in ("train", "dev"):
        rows = getattr(domain, name)
        kept = [row for row, key in enumerate(row_keys(rows)) if key not in forbidden]
        parts[name] = rows.take(kept)
    lost = len(domain.train) + len(domain.dev) - sum(map(len, parts.values()))
    if not lost:
        return domain
    return dataclasses.replace(domain, **parts, dropped={**domain.dropped, IN_EARLIER_TEST: lost})


def dropped_finding(domain: DomainData | PairDomain) -> Finding | None:
    """Tell how many rows `without_rows` left out."""
    lost = domain.dropped.get(IN_EARLIER_TEST, 0)
    if not lost:
        return None
    learnt = lost + len(domain.train) + len(domain.dev)
    return Finding(
        "earlier_test_overlap", "info", lost / learnt, None,
        f"{domain.name}: {lost:,} of {learnt:,} training rows stand in an earlier run's test rows, and are "
        "left out", "",
    )  # fmt: skip


def seen_finding(domain: DomainData | PairDomain, learnt: Collection[str]) -> Finding | None:
    """Warn where an earlier run has learnt this domain's test rows: the model's score there is flattered."""
    keys = row_keys(domain.test)
    seen = sum(key in learnt for key in keys)
    if not seen:
        return None
    return Finding(
        "earlier_training_overlap", "warn", seen / len(keys), 0.0,
        f"{domain.name}: {seen:,} of {len(keys):,} test rows were training rows of an earlier run, so that "
        "zero_shot and adapted know them already",
        "test on rows that no earlier run was trained on",
    )  # fmt: skip
