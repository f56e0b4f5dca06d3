"""Labelled texts, and the two domains that a transfer is made of, as everything right of here sees them."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from nlp_transfer.data.cards import DataCard
from nlp_transfer.data.splits import leak_free_components
from nlp_transfer.data.texts import Texts


@dataclass(frozen=True)
class Rows:
    """Labelled texts in one order: `ids`, `texts`, `labels` (class ids, shape (rows,)), `groups` if any."""

    ids: Sequence[str]
    """A list, or where they are many an Arrow column on disk, as the texts are."""
    texts: Sequence[str]
    labels: npt.NDArray[np.int64]
    groups: list[str] | None = None

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def own_groups(self) -> list[str]:
        """The group of each row, empty where it has none and its text stands for one; [] without groups."""
        pairs = zip(self.groups or [], self.texts, strict=self.groups is not None)
        return ["" if group == text else group for group, text in pairs]

    def take(self, rows: Sequence[int] | npt.NDArray[np.int64]) -> Rows:
        """Return these rows, in this order."""
        return Rows(
            ids=taken(self.ids, rows),
            texts=taken(self.texts, rows),
            labels=self.labels[np.asarray(rows, dtype=np.int64)],
            groups=None if self.groups is None else [self.groups[row] for row in rows],
        )

    def joined(self, other: Rows) -> Rows:
        """Return these rows followed by others, without groups: two domains do not share them."""
        return Rows(
            joined_texts(self.ids, other.ids),
            joined_texts(self.texts, other.texts),
            np.concatenate([self.labels, other.labels]),
        )

    def fingerprint(self) -> str:
        """Hash ids, texts and labels to 16 hexadecimal digits."""
        digest = hashlib.blake2b(digest_size=8)
        for row_id, text, label in zip(self.ids, self.texts, self.labels, strict=True):
            digest.update(f"{row_id}\0{text}\0{label}\n".encode("utf-8", "surrogatepass"))
        return digest.hexdigest()


def taken(texts: Sequence[str], rows: Sequence[int] | npt.NDArray[np.int64]) -> Sequence[str]:
    """Return these texts, in this order; of an Arrow column it is one again."""
    return texts.take(rows) if isinstance(texts, Texts) else [texts[row] for row in rows]


def joined_texts(first: Sequence[str], second: Sequence[str]) -> Sequence[str]:
    """Return texts followed by others; with an Arrow column among them it is one."""
    if isinstance(first, Texts) or isinstance(second, Texts):
        return (first if isinstance(first, Texts) else Texts.of(first)) + second
    return [*first, *second]


EMPTY = Rows(ids=[], texts=[], labels=np.empty(0, dtype=np.int64))


@dataclass(frozen=True)
class UnlabelledTexts:
    """Target texts without labels, none of which is a test row's."""

    texts: list[str]
    origin: str
    """Where they are from, in words."""
    dropped: dict[str, int] = field(default_factory=dict)
    """Texts left out, by reason."""

    def fingerprint(self) -> str:
        """Hash the texts to 16 hexadecimal digits."""
        digest = hashlib.blake2b(digest_size=8)
        for text in self.texts:
            digest.update(f"{text}\0".encode("utf-8", "surrogatepass"))
        return digest.hexdigest()


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
    unused_texts: Sequence[str] = ()
    """Their texts; nothing learns their labels."""
    dropped: dict[str, int] = field(default_factory=dict)
    """Rows left out, by reason."""
    notes: list[str] = field(default_factory=list)
    """What was assumed, for the log and the report."""

    @property
    def selection(self) -> Rows:
        """Every labelled row that the run may see: train and dev together."""
        return Rows(
            joined_texts(self.train.ids, self.dev.ids),
            joined_texts(self.train.texts, self.dev.texts),
            np.concatenate([self.train.labels, self.dev.labels]),
            None if self.train.groups is None else self.train.groups + (self.dev.groups or []),
        )

    @property
    def used(self) -> Rows:
        """Every row that the run looks at, the test rows last, with their groups."""
        seen, test = self.selection, self.test
        grouped = test.groups is not None and (seen.groups is not None or not len(seen))
        return dataclasses.replace(
            seen.joined(test), groups=[*(seen.groups or []), *(test.groups or [])] if grouped else None
        )


@dataclass(frozen=True)
class TransferData:
    """Both domains, with labels in one order."""

    target: DomainData
    source: DomainData | None
    label_names: list[str]
    unlabelled: UnlabelledTexts | None = None
    """Target text that is learnt from without labels, where the recipe asks for it."""

    def training_rows(self) -> Rows:
        """Return every labelled row that the run may see, the source's first."""
        target = self.target.selection
        return target if self.source is None else self.source.selection.joined(target)


def cross_validation_folds(
    rows: Rows, *, folds: int, seed: int
) -> list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """Divide rows into (train, dev) folds, stratified, with groups and equal texts on one side."""
    from sklearn.model_selection import StratifiedGroupKFold

    components = leak_free_components(rows.texts, rows.groups)
    splitter = StratifiedGroupKFold(n_splits=folds, shuffle=True, random_state=seed)
    return list(splitter.split(np.zeros(len(rows)), rows.labels, components))
