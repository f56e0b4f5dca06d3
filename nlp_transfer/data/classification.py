"""Labelled rows of one domain: read, checked, named and split.

Turns what tables.py yields into texts with class ids, keeps count of everything it drops and why, and splits
without leaks. The findings about the rows (balance, overlap, ...) are left to checks.py.
"""

from __future__ import annotations

import dataclasses
import hashlib
import logging
import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from nlp_transfer.config import DataConfig, DomainConfig
from nlp_transfer.data.cards import DataCard, Declared, load_card
from nlp_transfer.data.splits import hold_out, leak_free_components, nested_subset, stable_hash
from nlp_transfer.data.tables import Row, read_source
from nlp_transfer.errors import DataError, did_you_mean

logger = logging.getLogger(__name__)

TEXT_COLUMNS = ("text", "sentence", "review", "content")
LABEL_COLUMNS = ("label", "labels", "sentiment", "stars", "rating")
# Below this many target rows a dev set of its own would be too small to choose anything by; see
# CONTRIBUTING.md.
MIN_ROWS_FOR_DEV = 200
DEV_SHARE, MAX_DEV_ROWS = 0.15, 500
TEST_SHARE = 0.2


@dataclass(frozen=True)
class Rows:
    """Labelled texts in one order: `ids`, `texts`, `labels` (class ids, shape (rows,)), `groups` if any."""

    ids: list[str]
    texts: list[str]
    labels: npt.NDArray[np.int64]
    groups: list[str] | None = None

    def __len__(self) -> int:
        return len(self.texts)

    def take(self, rows: Sequence[int] | npt.NDArray[np.int64]) -> Rows:
        """Return these rows, in this order."""
        return Rows(
            ids=[self.ids[row] for row in rows],
            texts=[self.texts[row] for row in rows],
            labels=self.labels[np.asarray(rows, dtype=np.int64)],
            groups=None if self.groups is None else [self.groups[row] for row in rows],
        )

    def joined(self, other: Rows) -> Rows:
        """Return these rows followed by others, without groups: two domains do not share them."""
        return Rows(
            self.ids + other.ids, self.texts + other.texts, np.concatenate([self.labels, other.labels])
        )

    def fingerprint(self) -> str:
        """Hash ids, texts and labels to 16 hexadecimal digits."""
        digest = hashlib.blake2b(digest_size=8)
        for row_id, text, label in zip(self.ids, self.texts, self.labels, strict=True):
            digest.update(f"{row_id}\0{text}\0{label}\n".encode("utf-8", "surrogatepass"))
        return digest.hexdigest()


EMPTY = Rows(ids=[], texts=[], labels=np.empty(0, dtype=np.int64))


@dataclass(frozen=True)
class DomainData:
    """One domain, split: what may be learnt from, selected on, and scored on."""

    name: str
    label_names: list[str]
    train: Rows
    dev: Rows
    test: Rows
    card: DataCard | None
    unused: int = 0
    """Training rows that `train_size` leaves out."""
    dropped: dict[str, int] = field(default_factory=dict)
    """Rows left out, by reason."""
    notes: list[str] = field(default_factory=list)
    """What was assumed, for the log and the report."""

    @property
    def selection(self) -> Rows:
        """Every labelled row that the run may see: train and dev together."""
        return Rows(
            self.train.ids + self.dev.ids,
            self.train.texts + self.dev.texts,
            np.concatenate([self.train.labels, self.dev.labels]),
            None if self.train.groups is None else self.train.groups + (self.dev.groups or []),
        )


@dataclass(frozen=True)
class TransferData:
    """Both domains, with labels in one order."""

    target: DomainData
    source: DomainData | None
    label_names: list[str]

    def training_rows(self) -> Rows:
        """Return every labelled row that the run may see, the source's first."""
        target = self.target.selection
        return target if self.source is None else self.source.selection.joined(target)


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
    train, dev = _draw(pool, dev, config.train_size, seed)
    if config.test_size is not None and config.test_size < len(test):
        test = test.take(np.sort(np.argsort([stable_hash(text) for text in test.texts])[: config.test_size]))
    if config.train_size != 0:
        _require_classes(train, reader.label_names, name, "train")
    _require_classes(test, reader.label_names, name, "test")
    return DomainData(
        name=name, label_names=reader.label_names, train=train, dev=dev, test=test, card=card,
        unused=available - len(train) - len(dev),
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


class LabelReader:
    """Reads a domain's files and names the classes, counting what is dropped."""

    def __init__(self, config: DomainConfig, *, name: str, known_labels: Sequence[str] | None) -> None:
        self.config = config
        self.name = name
        self.known_labels = list(known_labels) if known_labels else None
        self.label_names: list[str] = []
        self.dropped: Counter[str] = Counter()
        self.notes: list[str] = []

    def read(self) -> dict[str, Rows]:
        """Return the rows of each split file, or of the one file under `all`.

        Raises:
            DataError: a file, a column or a label is not what was expected.
        """
        files = self.config.splits or {"all": str(self.config.path)}
        raw = {split: self._read_file(split, uri) for split, uri in files.items()}
        names = self._name_labels({label for rows in raw.values() for _, _, label, _ in rows})
        order = {label: number for number, label in enumerate(self.label_names)}
        splits = {}
        for split, rows in raw.items():
            named = [(row_id, text, names[label], group) for row_id, text, label, group in rows]
            kept = [row for row in named if row[2] is not None]
            if not kept:
                raise DataError(
                    f"data.{self.name}: no row of {files[split]} is left: its labels are all mapped to null"
                )
            self.dropped["label mapped to null"] += len(named) - len(kept)
            splits[split] = Rows(
                ids=[row[0] for row in kept],
                texts=[row[1] for row in kept],
                labels=np.asarray([order[str(row[2])] for row in kept], dtype=np.int64),
                # A row without a group is its own group, named by its text: such rows have nothing in common.
                groups=[row[3] or row[1] for row in kept] if self.config.group_column else None,
            )
        self.dropped += Counter()  # forgets the reasons that dropped nothing
        return splits

    def _read_file(self, split: str, uri: str) -> list[tuple[str, str, str, str]]:
        """Read one file as (row id, text, raw label, group); the group is empty where its cell is."""
        config = self.config
        rows = read_source(
            uri, format=config.format, columns=config.columns, encoding=config.encoding, sha256=config.sha256
        )
        pattern = self._group_pattern()
        found: list[tuple[str, str, str, str]] = []
        text_column = label_column = ""
        for number, row in enumerate(rows):
            if number == 0:
                text_column = self._column(row, config.text_column, TEXT_COLUMNS, "text_column", uri)
                label_column = self._column(row, config.label_column, LABEL_COLUMNS, "label_column", uri)
                for column in filter(None, [config.group_column, *(config.where or {})]):
                    self._column(
                        row, column, (), "group_column" if column == config.group_column else "where", uri
                    )
            if any(
                _canonical(row.get(column)) != _canonical(value)
                for column, value in (config.where or {}).items()
            ):
                continue
            text, label = row.get(text_column), _canonical(row.get(label_column))
            if not isinstance(text, str) or not text.strip():
                self.dropped["empty or non-string text"] += 1
            elif label == "":
                self.dropped["no label"] += 1
            elif (binned := self._bin(label, uri, number)) is None:
                self.dropped["label in no bin"] += 1
            else:
                group = _canonical(row.get(config.group_column)) if config.group_column else ""
                match = pattern.search(group) if pattern else None
                row_id = f"{split}/{number}" if config.splits else str(number)
                # Half a character (a lone surrogate, as JSON can hold) makes tokenizers fail: it becomes "?".
                whole = text.encode("utf-8", "replace").decode("utf-8")
                found.append((row_id, whole, binned, match.group() if match else group))
        if not found:
            raise DataError(
                f"data.{self.name}: {uri} has no usable row"
                + (f" ({dict(self.dropped)})" if self.dropped else "")
            )
        return found

    def _group_pattern(self) -> re.Pattern[str] | None:
        """Compile the regular expression that finds the group in its column."""
        if self.config.group_pattern is None:
            return None
        try:
            return re.compile(self.config.group_pattern)
        except re.error as error:
            raise DataError(
                f"data.{self.name}.group_pattern is not a regular expression: {self.config.group_pattern!r} "
                f"({error})"
            ) from error

    def _column(self, row: Row, chosen: str | None, usual: Iterable[str], key: str, uri: str) -> str:
        """Find a column by its configured name, else by the usual ones."""
        if chosen is not None:
            if chosen not in row:
                raise DataError(
                    f"data.{self.name}: {uri} has no column {chosen!r} ({key}); {did_you_mean(chosen, row)}"
                )
            return chosen
        for name in usual:
            if name in row:
                return name
        raise DataError(
            f"data.{self.name}: set {key} to one of the columns of {uri}: {', '.join(map(str, row))}"
        )

    def _bin(self, label: str, uri: str, number: int) -> str | None:
        """Name the range that a numeric label is in; None where it is in none."""
        if not self.config.label_bins:
            return label
        try:
            value = float(label)
        except ValueError as error:
            raise DataError(
                f"data.{self.name}: {uri}, row {number}: label_bins needs numbers, got {label!r}"
            ) from error
        for name, (low, high) in self.config.label_bins.items():
            if low <= value <= high:
                return name
        return None

    def _name_labels(self, raw: set[str]) -> dict[str, str | None]:
        """Map each raw label to a class name (None drops its rows), and set `label_names`.

        In order: the label map; the declared names, which ids 0..k-1 stand for (the map may speak of the
        names); the known names, likewise; else the labels as they are, sorted.
        """
        chosen = {_canonical(label): name for label, name in self.config.label_map.items()}
        names: dict[str, str | None] = {label: chosen.get(label, label) for label in raw}
        unmapped = {label for label in raw if label not in chosen}
        declared = self.config.label_names or self.known_labels or []
        ids = {str(number) for number in range(len(declared))}
        if unmapped and unmapped <= ids and not unmapped & set(declared):
            named = {label: declared[int(label)] for label in unmapped}
            names |= {label: chosen.get(name, name) for label, name in named.items()}
            if self.config.label_names is None:
                pairs = ", ".join(f"{number} = {name}" for number, name in enumerate(declared))
                self.notes.append(f"labels are class ids in the source's order: {pairs}")
        used = {name for name in names.values() if name is not None}
        allowed = self.known_labels or self.config.label_names or sorted(used, key=_numbers_first)
        unknown = used - set(allowed)
        if invented := sorted(unknown & {str(name) for name in chosen.values()}):
            raise DataError(
                f"data.{self.name}: the label map leads to {', '.join(invented)}, which is none of the known "
                f"classes ({', '.join(allowed)}); {did_you_mean(invented[0], allowed)}"
            )
        if unknown:
            raise DataError(self._map_advice(unknown, allowed))
        self.label_names = list(allowed)
        return names

    def _map_advice(self, unknown: set[str], allowed: Sequence[str]) -> str:
        """Word the label map that would mend unknown labels."""
        labels = sorted(unknown, key=_numbers_first)
        shown = labels[:10]
        listing = ", ".join(f"{label}: {_nearest(label, labels, allowed)}" for label in shown)
        more = "" if len(labels) == len(shown) else f" and {len(labels) - len(shown)} more"
        key = "data.label_map" if self.name == "target" else f"data.{self.name}.label_map"
        return (
            f"data.{self.name}: the label(s) {', '.join(shown)}{more} are none of the known ones "
            f"({', '.join(allowed)}). Map them, with null for rows to leave out, for example\n"
            f"  {key}: {{{listing}{', ...' if more else ''}}}"
        )


def _nearest(label: str, labels: Sequence[str], allowed: Sequence[str]) -> str:
    """Guess a class for an unknown label: by its beginning, or by its number's side of the middle of all."""
    for name in allowed:
        if name.lower().startswith(label.lower()[:3]):
            return name
    numbers = [int(other) for other in labels if re.fullmatch(r"-?\d+", other)]
    if re.fullmatch(r"-?\d+", label) and {"negative", "positive"} <= set(allowed):
        # One number alone has no middle; taken for stars, it is above or below three.
        middle = (min(numbers) + max(numbers)) / 2 if len(numbers) > 1 else 3
        return "null" if int(label) == middle else "negative" if int(label) < middle else "positive"
    return "|".join(["null", *allowed])


def _numbers_first(label: str) -> tuple[int, float, str]:
    try:
        return (0, float(label), label)
    except ValueError:
        return (1, 0.0, label)


def _canonical(value: object) -> str:
    """Write a cell as text: 5, 5.0 and "5" are one label, True and "true" too; None and NaN are none."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = str(value).strip()
    if text.lower() in ("true", "false"):
        return text.lower()
    return text[:-2] if re.fullmatch(r"-?\d+\.0", text) else text


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
    pool, test = hold_out(
        rows.texts, rows.labels.tolist(), groups=rows.groups, share=config.test_share or TEST_SHARE
    )
    return rows.take(pool), EMPTY, rows.take(test)


def _draw(pool: Rows, dev: Rows, train_size: int | None, seed: int) -> tuple[Rows, Rows]:
    """Draw the rows that the run may see, and carve dev rows out of them when there are enough."""
    if len(dev):
        if train_size is None:
            return pool, dev
        dev_size = min(len(dev), round(train_size * DEV_SHARE)) if train_size >= MIN_ROWS_FOR_DEV else 0
        dev_size = max(dev_size, train_size - len(pool))
        drawn = pool.take(nested_subset(pool.labels.tolist(), train_size - dev_size, seed=seed))
        return drawn, dev.take(nested_subset(dev.labels.tolist(), dev_size, seed=seed)) if dev_size else EMPTY
    size = len(pool) if train_size is None else train_size
    drawn = pool.take(nested_subset(pool.labels.tolist(), size, seed=seed))
    if size < MIN_ROWS_FOR_DEV:
        return drawn, EMPTY
    share = min(DEV_SHARE, MAX_DEV_ROWS / size)
    train_rows, dev_rows = hold_out(drawn.texts, drawn.labels.tolist(), groups=drawn.groups, share=share)
    return drawn.take(train_rows), drawn.take(dev_rows)


def cross_validation_folds(
    rows: Rows, *, folds: int, seed: int
) -> list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """Divide rows into (train, dev) folds, stratified, with groups and equal texts on one side."""
    from sklearn.model_selection import StratifiedGroupKFold

    components = leak_free_components(rows.texts, rows.groups)
    splitter = StratifiedGroupKFold(n_splits=folds, shuffle=True, random_state=seed)
    return list(splitter.split(np.zeros(len(rows)), rows.labels, components))


def _require_classes(rows: Rows, label_names: list[str], name: str, split: str) -> None:
    """Raise where a split has one class alone: nothing can be learnt or measured on it."""
    present = [label_names[label] for label in np.unique(rows.labels)]
    if len(present) < 2:
        raise DataError(
            f"data.{name}: its {split} rows have only the class(es) {', '.join(present) or 'none'}; at least "
            f"two of {', '.join(label_names) or 'the labels'} are needed"
        )
