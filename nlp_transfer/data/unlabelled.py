"""Target text without labels: where it is from, and which of it may be learnt from.

A file, a card, or the target's own training rows that `train_size` leaves out. No label is read, and no text
of a test row is kept: those would be learnt before they are scored.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence

import numpy as np

from nlp_transfer.config import DomainConfig, UnlabelledConfig
from nlp_transfer.data.cards import load_card
from nlp_transfer.data.columns import columns_of
from nlp_transfer.data.labels import TEXT_COLUMNS
from nlp_transfer.data.leaks import IN_EARLIER_TEST
from nlp_transfer.data.rows import TransferData, UnlabelledTexts
from nlp_transfer.data.splits import normalise_text
from nlp_transfer.data.tables import read_source
from nlp_transfer.data.texts import whole_characters
from nlp_transfer.errors import DataError, did_you_mean

EMPTY, TEST, LABELLED = "empty or non-string text", "text of a test row", "text of a labelled row"
REPEATED, OVER = "repeated text", "over max_rows"
KEY = "adaptation.unlabelled"


def load_unlabelled(
    config: UnlabelledConfig, data: TransferData, *, seed: int, forbidden: Collection[str] = ()
) -> UnlabelledTexts:
    """Read the unlabelled text of a run, and leave out what may not be learnt from.

    Args:
        config: the recipe's `adaptation.unlabelled`.
        data: both domains, split.
        seed: draws the texts where there are more than `max_rows`.
        forbidden: keys of rows that earlier runs test on (leaks.py).

    Raises:
        DataError: the text cannot be read, or none is left.
    """
    if config.card is None and config.path is None:
        origin = "the target's training rows beyond train_size"
        found: Iterable[object] = data.target.unused_texts
    else:
        origin = "your own file" if config.card is None else f"the card {config.card}"
        found = _file_texts(_as_domain(config)) if config.card is None else _card_texts(config.card)
    domains = [data.target] if data.source is None else [data.target, data.source]
    texts, dropped = usable_texts(
        found,
        test=[text for domain in domains for text in domain.test.texts],
        labelled=data.target.selection.texts,
        forbidden=forbidden,
    )
    if config.max_rows is not None and len(texts) > config.max_rows:
        dropped[OVER] = len(texts) - config.max_rows
        drawn = np.random.default_rng(seed).permutation(len(texts))[: config.max_rows]
        texts = [texts[row] for row in np.sort(drawn)]
    if not texts:
        raise DataError(_nothing_left(config, data, dropped))
    return UnlabelledTexts(texts, origin, dropped)


def usable_texts(
    texts: Iterable[object],
    *,
    test: Sequence[str],
    labelled: Sequence[str],
    forbidden: Collection[str] = (),
) -> tuple[list[str], dict[str, int]]:
    """Return the distinct texts that are neither a test row's nor labelled, and why others were left out;
    `forbidden` are normalised.

    >>> usable_texts(["Good!", "good", "bad", ""], test=["BAD."], labelled=[])
    (['Good!'], {'repeated text': 1, 'text of a test row': 1, 'empty or non-string text': 1})
    """
    reasons = dict.fromkeys(forbidden, IN_EARLIER_TEST)
    reasons |= {normalise_text(text): LABELLED for text in labelled}
    reasons |= {normalise_text(text): TEST for text in test}
    kept: list[str] = []
    dropped: Counter[str] = Counter()
    for text in texts:
        if not isinstance(text, str) or not text.strip():
            dropped[EMPTY] += 1
            continue
        key = normalise_text(text)
        if key in reasons:
            dropped[reasons[key]] += 1
            continue
        reasons[key] = REPEATED
        kept.append(whole_characters(text))
    return kept, dict(dropped)


def _card_texts(name: str) -> Iterator[object]:
    """Yield the texts of a card's first source that is at hand, those of its own test split left out."""
    card = load_card(name)
    if card.spec.task != "sentiment":
        raise DataError(f"{KEY}: the card {name} is for {card.spec.task}, not for sentiment")
    failures: list[str] = []
    for candidate in card.domains(DomainConfig(card=name)):
        try:
            yield from list(_file_texts(candidate))
            return
        except DataError as error:
            failures.append(str(error))
    raise DataError(f"{KEY}: no source of the card {name} can be used:\n  " + "\n  ".join(failures))


def _file_texts(config: DomainConfig) -> Iterator[object]:
    """Yield the text cells of a domain's files, whatever their labels are."""
    files = config.splits or {"all": str(config.path)}
    for split, uri in files.items():
        if split == "test":
            continue
        rows = read_source(
            uri, format=config.format, columns=config.columns, encoding=config.encoding, sha256=config.sha256
        )
        columns, rows = columns_of(rows)
        if columns:
            column = _text_column(config.text_column, columns, uri)
            yield from (row.get(column) for row in rows)


def _text_column(chosen: str | None, columns: Sequence[str], uri: str) -> str:
    if chosen is not None and chosen not in columns:
        raise DataError(
            f"{KEY}: {uri} has no column {chosen!r} (text_column); {did_you_mean(chosen, columns)}"
        )
    for name in [chosen] if chosen is not None else TEXT_COLUMNS:
        if name in columns:
            return name
    raise DataError(f"{KEY}: set text_column to one of the columns of {uri}: {', '.join(map(str, columns))}")


def _as_domain(config: UnlabelledConfig) -> DomainConfig:
    shared = ("path", "sha256", "format", "encoding", "columns", "text_column")
    return DomainConfig(**{name: getattr(config, name) for name in shared})


def _nothing_left(config: UnlabelledConfig, data: TransferData, dropped: dict[str, int]) -> str:
    why = f" ({', '.join(f'{count:,} {reason}' for reason, count in dropped.items())})" if dropped else ""
    if config.card is None and config.path is None and not data.target.unused:
        return (
            f"{KEY}: data.target.train_size takes every training row, so none is left to be learnt from "
            f"without its label; lower it, or give {KEY}.path"
        )
    return f"{KEY}: no text is left to learn from{why}; give a file with other texts"
