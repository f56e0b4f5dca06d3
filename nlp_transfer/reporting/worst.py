"""The rows on which a model was surest and wrong: what a person reads first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

MAX_WORST_ROWS = 10


def worst_classified(
    probabilities: npt.NDArray[np.float64],
    references: npt.NDArray[np.int64],
    *,
    ids: Sequence[str],
    texts: Sequence[str],
    label_names: Sequence[str],
    most: int = MAX_WORST_ROWS,
) -> list[dict[str, Any]]:
    """List the wrongly labelled rows whose true label got the least probability, the worst first.

    Args:
        probabilities: shape (rows, classes).
        references: true class ids, shape (rows,).
        ids: of the rows.
        texts: of the rows.
        label_names: of the classes.
        most: how many at most.

    Returns:
        Rows of id, text, label, predicted, and the model's probability of both.

    >>> worst_classified(np.array([[0.9, 0.1], [0.2, 0.8]]), np.array([1, 1]), ids=["a", "b"],
    ...     texts=["x", "y"], label_names=["negative", "positive"])[0]["predicted"]
    'negative'
    """
    of_truth = probabilities[np.arange(len(references)), references]
    predicted = probabilities.argmax(axis=1)
    wrong = np.flatnonzero(predicted != references)
    rows = wrong[np.argsort(of_truth[wrong], kind="stable")][:most]
    return [
        {
            "id": ids[row],
            "text": texts[row],
            "label": label_names[references[row]],
            "predicted": label_names[predicted[row]],
            "p_predicted": round(float(probabilities[row, predicted[row]]), 3),
            "p_label": round(float(of_truth[row]), 3),
        }
        for row in rows
    ]
