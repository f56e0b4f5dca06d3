"""Predictions as files: one JSON line a row, with its id and without the text that it was made from."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nlp_transfer.data.rows import Rows
from nlp_transfer.errors import DataError
from nlp_transfer.evaluation.compare import number_groups
from nlp_transfer.evaluation.translation_scores import SentenceStatistics
from nlp_transfer.runs import damage_told
from nlp_transfer.whole_files import whole_file, write_text

Array = npt.NDArray[np.float64]


def write_predictions(path: Path, rows: Rows, probabilities: Array, label_names: Sequence[str]) -> None:
    """Write id, true label, predicted label and probabilities of each row, and its group's number if any.

    Args:
        path: the file, replaced whole.
        rows: the scored rows.
        probabilities: shape (rows, classes).
        label_names: the classes in order.
    """
    lines = []
    groups = number_groups(rows.groups)
    for row, (row_id, label, scores) in enumerate(zip(rows.ids, rows.labels, probabilities, strict=True)):
        record: dict[str, Any] = {
            "id": row_id,
            "label": label_names[label],
            "predicted": label_names[int(scores.argmax())],
            "probabilities": {
                name: round(float(score), 6) for name, score in zip(label_names, scores, strict=True)
            },
        }
        if groups is not None:
            record["group"] = int(groups[row])
        lines.append(json.dumps(record, ensure_ascii=False) + "\n")
    write_text(path, "".join(lines))


def read_predictions(path: Path, label_names: Sequence[str]) -> Array:
    """Read probabilities of shape (rows, classes) back, in the file's order.

    Raises:
        RunError: the file is damaged or missing; so with translations.
    """
    with damage_told(path), path.open(encoding="utf-8") as file:
        rows = [json.loads(line)["probabilities"] for line in file]
        return np.asarray([[row[name] for name in label_names] for row in rows], dtype=np.float64)


def write_translations(path: Path, ids: Sequence[str], translations: Sequence[str]) -> None:
    """Write id and translation of each row; neither source nor reference.

    Args:
        path: the file, replaced whole.
        ids: of the translated rows.
        translations: one for each.
    """
    lines = [
        json.dumps({"id": row_id, "translation": text}, ensure_ascii=False) + "\n"
        for row_id, text in zip(ids, translations, strict=True)
    ]
    # Half a character cannot be encoded; escaped, it comes back as it was and the file stays UTF-8.
    write_text(path, re.sub("[\ud800-\udfff]", lambda half: f"\\u{ord(half[0]):04x}", "".join(lines)))


def read_translations(path: Path) -> list[str]:
    """Read translations back, in the file's order."""
    with damage_told(path), path.open(encoding="utf-8") as file:
        return [json.loads(line)["translation"] for line in file]


def read_translations_by_id(path: Path) -> dict[str, str]:
    """Read translations back by the id of their row."""
    with damage_told(path), path.open(encoding="utf-8") as file:
        return {record["id"]: record["translation"] for record in map(json.loads, file)}


def write_counts(path: Path, ids: Sequence[str], statistics: SentenceStatistics) -> None:
    """Write what each row's translation counts towards its scores, so that runs compare without references.

    Args:
        path: the file, replaced whole.
        ids: of the rows.
        statistics: of the translations.
    """
    with whole_file(path) as file:
        np.savez_compressed(file, ids=np.asarray(ids), **vars(statistics))


def read_counts(path: Path) -> tuple[list[str], SentenceStatistics]:
    """Read ids and counts back.

    Raises:
        DataError: there is no such file, or it is not one of counts.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            statistics = SentenceStatistics(stored["chrf"], stored["bleu"], stored["ter"])
            return stored["ids"].tolist(), statistics
    except FileNotFoundError as error:
        raise DataError(
            f"no counts at {path}; `nlp-transfer evaluate` with the run's recipe writes them"
        ) from error
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise DataError(
            f"{path} must hold counts of translations: {error!r}; make it again with `nlp-transfer evaluate`"
        ) from error
