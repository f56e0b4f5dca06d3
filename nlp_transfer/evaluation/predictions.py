"""Predictions as files: one JSON line a row, with its id and without its text."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nlp_transfer.data.rows import Rows
from nlp_transfer.errors import DataError
from nlp_transfer.evaluation.compare import number_groups
from nlp_transfer.runs import write_text

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
    """Read probabilities of shape (rows, classes) back, in the file's order."""
    with path.open(encoding="utf-8") as file:
        rows = [json.loads(line)["probabilities"] for line in file]
    return np.asarray([[row[name] for name in label_names] for row in rows], dtype=np.float64)


@dataclass(frozen=True)
class Predicted:
    """A file of predictions: what was scored, and how."""

    ids: list[str]
    labels: list[str]
    groups: npt.NDArray[np.int64] | None
    """Group number of each row, shape (rows,)."""
    label_names: list[str]
    probabilities: Array
    """Shape (rows, classes), in the order of `label_names`."""


def read_predicted(path: Path) -> Predicted:
    """Read a file of predictions with what it says of its rows.

    Raises:
        DataError: there is no such file, or it is not one of predictions.
    """
    try:
        with path.open(encoding="utf-8") as file:
            records = [json.loads(line) for line in file]
        label_names = list(records[0]["probabilities"])
        return Predicted(
            [str(record["id"]) for record in records],
            [record["label"] for record in records],
            np.asarray([record["group"] for record in records]) if "group" in records[0] else None,
            label_names,
            np.asarray([[record["probabilities"][name] for name in label_names] for record in records]),
        )
    except FileNotFoundError as error:
        raise DataError(f"no predictions at {path}; `nlp-transfer evaluate` writes them") from error
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise DataError(
            f"{path} must hold a prediction as JSON on each line: {error!r}; "
            "make it again with `nlp-transfer evaluate`"
        ) from error
