"""Reads a domain's files and names the classes: label maps, bins, ids, and what is dropped on the way.

Which rows are trained or tested on is left to classification.py.
"""

from __future__ import annotations

import re
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from nlp_transfer.config import DomainConfig
from nlp_transfer.data.columns import Where, canonical, columns_of
from nlp_transfer.data.label_advice import doubtful_classes, map_advice, numbers_first
from nlp_transfer.data.rows import Rows
from nlp_transfer.data.tables import read_source
from nlp_transfer.data.texts import Texts, listed, whole_characters
from nlp_transfer.errors import DataError, LabelError, did_you_mean

TEXT_COLUMNS = ("text", "sentence", "review", "content")
LABEL_COLUMNS = ("label", "labels", "sentiment", "stars", "rating")


@dataclass
class _Columns:
    """What one file holds: row numbers, texts, raw labels, and groups, empty where a cell is.

    Without strings of their own for each row, so that memory hardly grows with the rows.
    """

    numbers: array[int] = field(default_factory=lambda: array("q"))
    texts: Sequence[str] = ()
    codes: array[int] = field(default_factory=lambda: array("q"))
    """Each row's raw label, as its place in `labels`."""
    labels: dict[str, int] = field(default_factory=dict)
    groups: list[str] = field(default_factory=list)

    def ids(self, split: str | None) -> Sequence[str]:
        """Name rows by their numbers in the file, behind the split's name where there are several."""
        return listed(Texts.of(f"{split}/{number}" if split else str(number) for number in self.numbers))

    def groups_or_texts(self) -> list[str]:
        """Name groups; a row without one is its own, named by its text: such rows have nothing in common."""
        return [group or text for group, text in zip(self.groups, self.texts, strict=True)]


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
        raw = {split: self._read_file(uri) for split, uri in files.items()}
        names = self._name_labels({label for rows in raw.values() for label in rows.labels})
        self._refuse_numbers_and_texts(sum(len(rows.codes) for rows in raw.values()))
        order = {label: number for number, label in enumerate(self.label_names)}
        numbers = {label: -1 if name is None else order[str(name)] for label, name in names.items()}
        splits = {}
        for split, rows in raw.items():
            classes = np.asarray([numbers[label] for label in rows.labels], dtype=np.int64)
            labels = classes[np.frombuffer(rows.codes, dtype=np.int64)]
            ids = rows.ids(split if self.config.splits else None)
            whole = Rows(
                ids, rows.texts, labels, rows.groups_or_texts() if self.config.group_column else None
            )
            kept = np.flatnonzero(labels >= 0)
            if not len(kept):
                raise DataError(
                    f"data.{self.name}: no row of {files[split]} is left: its labels are all mapped to null"
                )
            self.dropped["label mapped to null"] += len(labels) - len(kept)
            splits[split] = whole if len(kept) == len(labels) else whole.take(kept)
        self.dropped += Counter()  # forgets the reasons that dropped nothing
        return splits

    def _read_file(self, uri: str) -> _Columns:
        """Read one file; the texts go to an Arrow column as they come."""
        read, where = _Columns(), Where(self.config.where)
        texts = Texts.of(self._usable_texts(uri, read, where))
        if not len(texts):
            misses = where.misses()
            why = f"; {misses}" if misses else f" ({dict(self.dropped)})" if self.dropped else ""
            raise DataError(f"data.{self.name}: {uri} has no usable row{why}")
        read.texts = listed(texts)
        return read

    def _usable_texts(self, uri: str, read: _Columns, where: Where) -> Iterator[str]:
        """Yield the text of each usable row; id, raw label and group go to `read`."""
        config = self.config
        rows = read_source(
            uri, format=config.format, columns=config.columns, encoding=config.encoding, sha256=config.sha256
        )
        columns, rows = columns_of(rows)
        if not columns:
            return
        text_column, label_column = self._find_columns(columns, uri)
        pattern = self._group_pattern()
        same: dict[str, str] = {}
        for number, row in enumerate(rows):
            if not where.keeps(row):
                continue
            if isinstance(raw := row.get(label_column), dict | list):
                raise DataError(
                    f"data.{self.name}: {uri}, row {number}: column {label_column!r} holds "
                    f"{type(raw).__name__}, expected one label"
                )
            text, label = row.get(text_column), canonical(raw)
            if not isinstance(text, str) or not text.strip():
                self.dropped["empty or non-string text"] += 1
            elif label == "":
                self.dropped["no label"] += 1
            elif (binned := self._bin(label, uri, number)) is None:
                self.dropped["label in no bin"] += 1
            else:
                group = canonical(row.get(config.group_column)) if config.group_column else ""
                match = pattern.search(group) if pattern else None
                read.numbers.append(number)
                read.codes.append(read.labels.setdefault(binned, len(read.labels)))
                if config.group_column:
                    group = match.group() if match else group
                    read.groups.append(same.setdefault(group, group))
                yield whole_characters(text)

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

    def _find_columns(self, columns: Sequence[str], uri: str) -> tuple[str, str]:
        """Name the columns with the text and the label; others that the recipe names must be there."""
        config = self.config
        text = self._column(columns, config.text_column, TEXT_COLUMNS, "text_column", uri)
        if text is None:
            raise DataError(f"data.{self.name}: set text_column to one of {_listed(columns, uri)}")
        label = self._column(columns, config.label_column, LABEL_COLUMNS, "label_column", uri)
        if label is None:
            raise DataError(f"data.{self.name}: {self._no_label(columns, text, uri)}")
        self._column(columns, config.group_column, (), "group_column", uri)
        for column in config.where or {}:
            self._column(columns, column, (), "where", uri)
        return text, label

    def _column(
        self, columns: Sequence[str], chosen: str | None, usual: Iterable[str], key: str, uri: str
    ) -> str | None:
        """Find a column by its configured name, else by the usual ones."""
        if chosen is not None and chosen not in columns:
            raise DataError(
                f"data.{self.name}: {uri} has no column {chosen!r} ({key}); {did_you_mean(chosen, columns)}"
            )
        return chosen or next((name for name in usual if name in columns), None)

    def _no_label(self, columns: Sequence[str], text: str, uri: str) -> str:
        """Word what to do where no column holds labels, as far as can be seen."""
        alone = set(columns) == {text}
        advice = (
            f"{uri} has no column beside {text}, and its rows need a label"
            if alone
            else f"set label_column to one of {_listed(columns, uri)}"
        )
        if self.name != "target" or not (alone or self.config.train_size == 0):
            return advice
        return (
            f"{advice}. Target rows need labels with train_size: 0 too, since test rows are scored; text "
            "without labels goes to adaptation.unlabelled.path"
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
        names, or drop a label); the known names, likewise; else the labels as they are, sorted.
        """
        chosen = self._canonical_map()
        names: dict[str, str | None] = {label: chosen.get(label, label) for label in raw}
        declared = self.config.label_names or self.known_labels or []
        unmapped = {label for label in raw if label not in chosen}
        numbers = {str(number) for number in range(len(declared))} - set(declared)
        look_like_ids = bool(unmapped) and unmapped <= numbers
        # A map that names a class for one label speaks of stars, not of ids, and was to name all. What does
        # not begin at 0 may count from 1, and each label would be taken for its neighbour.
        if look_like_ids and "0" in unmapped and not any(chosen.get(label) for label in raw):
            named = {label: declared[int(label)] for label in unmapped}
            names |= {label: chosen.get(name, name) for label, name in named.items()}
            if self.config.label_names is None:
                pairs = ", ".join(f"{number} = {name}" for number, name in enumerate(declared))
                self.notes.append(f"labels are class ids in the source's order: {pairs}")
        used = {name for name in names.values() if name is not None}
        # A map that names classes names all of them: what it passes over would else be a class of its own.
        mapped = {str(name) for name in chosen.values() if name is not None}
        allowed = self.known_labels or self.config.label_names or sorted(mapped or used, key=numbers_first)
        unknown = used - set(allowed)
        if invented := sorted(unknown & {str(name) for name in chosen.values()}):
            raise LabelError(
                f"data.{self.name}: the label map leads to {', '.join(invented)}, none of the known "
                f"classes ({', '.join(allowed)}); {did_you_mean(invented[0], allowed)}. Those are the "
                "classes of the source or the model: a source's labels are renamed by data.source.label_map"
            )
        if unknown:
            raise LabelError(map_advice(self.name, unknown, allowed, look_like_ids=look_like_ids))
        self.label_names = list(allowed)
        return names

    def _refuse_numbers_and_texts(self, rows: int) -> None:
        """Raise where classes that nobody named are so many that the column holds something else."""
        named = self.known_labels or self.config.label_names
        doubt = None if named else doubtful_classes([label[:40] for label in self.label_names], rows)
        if doubt is not None:
            raise LabelError(f"data.{self.name}: {doubt}")

    def _canonical_map(self) -> dict[str, str | None]:
        """Write the label map's keys as labels are written: 1, 1.0 and "1" are one.

        Raises:
            DataError: two keys stand for one label, and lead to different classes.
        """
        chosen: dict[str, str | None] = {}
        for key, name in self.config.label_map.items():
            label = canonical(key)
            if chosen.setdefault(label, name) != name:
                raise DataError(
                    f"data.{self.name}: the label map leads {label} to {chosen[label]} and to {name}: two of "
                    "its keys stand for one label; keep one of them"
                )
        return chosen


def _listed(columns: Sequence[str], uri: str) -> str:
    return f"the columns of {uri}: {', '.join(map(str, columns))}"
