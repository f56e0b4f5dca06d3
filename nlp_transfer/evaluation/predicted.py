"""Predictions read back with what they say of their rows, for who has no data at hand."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from nlp_transfer.errors import DataError

Array = npt.NDArray[np.float64]


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


def predictions_folder(run: Path, seed: int, *, first: int) -> Path:
    """Return where a run keeps a seed's predictions: those of its first seed in `predictions/` itself."""
    return run / "predictions" if seed == first else run / "predictions" / f"seed-{seed}"


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
