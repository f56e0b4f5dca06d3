"""One domain's labelled rows, split: what may be learnt from, selected on, and scored on.

Reading files and naming classes is left to labels.py, findings about the rows (balance, overlap, ...) to
checks.py.
"""

from __future__ import annotations

import dataclasses
import logging
from collections import Counter
from collections.abc import Sequence

import numpy as np

from nlp_transfer.config import DataConfig, DomainConfig
from nlp_transfer.data.cards import DataCard, Declared, load_card
from nlp_transfer.data.labels import LabelReader
from nlp_transfer.data.rows import EMPTY, DomainData, Rows, TransferData, joined_texts, taken
from nlp_transfer.data.splits import hold_out, nested_subset, stable_hash
from nlp_transfer.errors import DataError

logger = logging.getLogger(__name__)

# Below this many target rows a dev set of its own would be too small to choose anything by; see
# CONTRIBUTING.md.
MIN_ROWS_FOR_DEV = 200
DEV_SHARE, MAX_DEV_ROWS = 0.15, 500
TEST_SHARE = 0.2


def load_transfer_data(config: DataConfig, *, model_labels: Sequence[str] | None = None) -> TransferData:
    """Read, name and split both domains.

    Args:
        config: the recipe's `data`.
        model_labels: class names of a model that has a head already and is used as it is.

    Raises:
        DataError: something in the data cannot work; the message says how to mend it.
    """
    source = None
    if config.source is not None:
        source = load_domain(config.source, name="source", seed=config.seed, known_labels=model_labels)
    known = source.label_names if source is not None else model_labels
    target_config = dataclasses.replace(
        config.target, label_map={**config.target.label_map, **config.label_map}
    )
    target = load_domain(target_config, name="target", seed=config.seed, known_labels=known)
    return TransferData(target=target, source=source, label_names=list(known or target.label_names))


def load_domain(
    config: DomainConfig, *, name: str, seed: int, known_labels: Sequence[str] | None = None
) -> DomainData:
    """Read, name and split one domain.

    Args:
        config: where the rows are and how to read them.
        name: `source` or `target`, for messages.
        seed: draws the training rows.
        known_labels: class names whose order the labels must follow, if there are any yet.

    Raises:
        DataError: see `load_transfer_data`.
    """
    card = load_card(config.card) if config.card is not None else None
    if card is not None and card.spec.task != "sentiment":
        raise DataError(f"data.{name}: the card {card.name} is for {card.spec.task}, not for sentiment")
    candidates = card.domains(config) if card is not None else [config]
    reader, splits = _read_first_at_hand(candidates, name, config.card, known_labels)
    for note in reader.notes:
        logger.info("data.%s: %s", name, note)
    if card is not None and card.spec.declared is not None and card.describes(config):
        _compare_with_declared(card, card.spec.declared, splits, reader.label_names)
    pool, dev, test = _split(splits, reader.config)
    if "all" in splits and len(test) == 0:
        raise DataError(
            f"data.{name}: none of the {len(pool)} rows can be held out for testing, since rows that share a "
            "group or a text are never divided and each class keeps a row for training; name a group_column "
            "with more groups, or files that are split already (splits: {train: ..., test: ...})"
        )
    available = len(pool) + len(dev)
    if config.train_size is not None and config.train_size > available:
        raise DataError(
            f"data.{name}.train_size is {config.train_size} and only {available} training rows are left "
            f"after {len(test)} were held out for testing; lower it"
        )
    labelled = pool, dev
    train, dev = _draw(pool, dev, config.train_size, seed)
    if config.test_size is not None and config.test_size < len(test):
        test = test.take(np.sort(np.argsort([stable_hash(text) for text in test.texts])[: config.test_size]))
    if config.train_size != 0:
        _require_classes(train, reader.label_names, name, "train")
    _require_classes(test, reader.label_names, name, "test")
    return DomainData(
        name=name, label_names=reader.label_names, train=train, dev=dev, test=test, card=card,
        unused=available - len(train) - len(dev), unused_texts=_texts_left(labelled, (train, dev)),
        dropped=dict(reader.dropped), notes=reader.notes,
    )  # fmt: skip


def _read_first_at_hand(
    candidates: list[DomainConfig], name: str, card: str | None, known_labels: Sequence[str] | None
) -> tuple[LabelReader, dict[str, Rows]]:
    """Read the first source that is at hand; where none is, tell what each one lacked."""
    failures: list[str] = []
    for config in candidates:
        reader = LabelReader(config, name=name, known_labels=known_labels)
        try:
            return reader, reader.read()
        except DataError as error:
            if len(candidates) == 1:
                raise
            failures.append(str(error))
    raise DataError(f"data.{name}: no source of the card {card} can be used:\n  " + "\n  ".join(failures))


def _compare_with_declared(
    card: DataCard, declared: Declared, splits: dict[str, Rows], label_names: list[str]
) -> None:
    """Raise where a card's counts are not the observed ones: the data is not what the card describes."""
    observed = Counter(label_names[label] for rows in splits.values() for label in rows.labels)
    groups = {group for rows in splits.values() for group in rows.groups or []}
    found = {"rows": sum(observed.values()), "labels": dict(observed), "groups": len(groups) or None}
    wanted = {
        "rows": declared.rows,
        "labels": declared.labels or found["labels"],
        "groups": declared.groups or found["groups"],
    }
    wrong = [
        f"{key}: declared {wanted[key]}, found {found[key]}" for key in wanted if wanted[key] != found[key]
    ]
    if wrong:
        raise DataError(f"the data of card {card.name} is not what the card declares: {'; '.join(wrong)}")


def _split(splits: dict[str, Rows], config: DomainConfig) -> tuple[Rows, Rows, Rows]:
    """Return (pool, dev, test); dev is empty unless the data has its own."""
    if "all" not in splits:
        return splits["train"], splits.get("dev", EMPTY), splits["test"]
    rows = splits["all"]
    pool, test = hold_out(rows.texts, rows.labels, groups=rows.groups, share=config.test_share or TEST_SHARE)
    return rows.take(pool), EMPTY, rows.take(test)


def _draw(pool: Rows, dev: Rows, train_size: int | None, seed: int) -> tuple[Rows, Rows]:
    """Draw the rows that the run may see, and carve dev rows out of them when there are enough."""
    if len(dev):
        if train_size is None:
            return pool, dev
        dev_size = min(len(dev), round(train_size * DEV_SHARE)) if train_size >= MIN_ROWS_FOR_DEV else 0
        dev_size = max(dev_size, train_size - len(pool))
        drawn = pool.take(nested_subset(pool.labels, train_size - dev_size, seed=seed))
        return drawn, dev.take(nested_subset(dev.labels, dev_size, seed=seed)) if dev_size else EMPTY
    size = len(pool) if train_size is None else train_size
    drawn = pool.take(nested_subset(pool.labels, size, seed=seed))
    if size < MIN_ROWS_FOR_DEV:
        return drawn, EMPTY
    share = min(DEV_SHARE, MAX_DEV_ROWS / size)
    train_rows, dev_rows = hold_out(drawn.texts, drawn.labels, groups=drawn.groups, share=share)
    return drawn.take(train_rows), drawn.take(dev_rows)


def _texts_left(all_rows: Sequence[Rows], drawn: Sequence[Rows]) -> Sequence[str]:
    """Return the texts of the rows that were not drawn."""
    used = {row_id for rows in drawn for row_id in rows.ids}
    left: Sequence[str] = []
    for rows in all_rows:
        unused = np.fromiter((row_id not in used for row_id in rows.ids), dtype=bool, count=len(rows))
        left = joined_texts(left, taken(rows.texts, np.flatnonzero(unused)))
    return left


def _require_classes(rows: Rows, label_names: list[str], name: str, split: str) -> None:
    """Raise where a split has one class alone: nothing can be learnt or measured on it."""
    present = [label_names[label] for label in np.unique(rows.labels)]
    if len(label_names) == 1:
        raise DataError(
            f"data.{name}: all labels are {label_names[0]}, and there is nothing to tell apart; give rows of "
            "another class, or look at the label map"
        )
    if len(present) < 2:
        raise DataError(
            f"data.{name}: its {split} rows have only the class(es) {', '.join(present) or 'none'}; at least "
            f"two of {', '.join(label_names) or 'the labels'} are needed"
        )
