"""A probe: logistic regression on a frozen encoder's mean-pooled features, as a model folder of its own.

`transformers` cannot load such a folder as a classifier; `load_adapted` can, and the folder's README says so.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from nlp_transfer.errors import ModelError

Array = npt.NDArray[np.float64]
# Of a class that the fit has not seen: it is never predicted.
UNSEEN_BIAS = -1e4
DESCRIPTION, WEIGHTS = "probe.json", "probe.safetensors"


@dataclass(frozen=True)
class ProbeHead:
    """Standardisation and regression: `mean` and `scale` (hidden,), `weights` (classes, hidden), `bias`
    (classes,).
    """

    mean: Array
    scale: Array
    weights: Array
    bias: Array

    @classmethod
    def from_pipeline(cls, pipeline: Any, classes: int) -> ProbeHead:
        """Take the numbers out of a fitted scikit-learn pipeline of scaler and regression.

        Two classes have one line of weights there and two here; a class that training did not show gets the
        lowest possible bias.
        """
        scaler, regression = pipeline[0], pipeline[-1]
        coefficients, intercepts = regression.coef_, regression.intercept_
        if len(coefficients) == 1:
            coefficients, intercepts = (
                np.vstack([-coefficients, coefficients]) / 2,
                np.append(-intercepts, intercepts) / 2,
            )
        weights = np.zeros((classes, coefficients.shape[1]))
        bias = np.full(classes, UNSEEN_BIAS)
        weights[regression.classes_], bias[regression.classes_] = coefficients, intercepts
        return cls(scaler.mean_, scaler.scale_, weights, bias)

    def logits(self, features: npt.NDArray[np.floating[Any]]) -> Array:
        """Score features of shape (rows, hidden); returns (rows, classes)."""
        return np.asarray(((features - self.mean) / self.scale) @ self.weights.T + self.bias)

    def start_linear(self, layer: nn.Linear) -> None:
        """Copy the probe into a linear layer, the standardisation folded into its weights.

        The line of a class that the probe has not seen stays as it is: the layer may know that class.
        """
        weights = self.weights / self.scale
        bias, seen = self.bias - weights @ self.mean, np.flatnonzero(self.bias != UNSEEN_BIAS)
        with torch.no_grad():
            layer.weight[seen] = torch.as_tensor(weights[seen]).to(layer.weight)
            layer.bias[seen] = torch.as_tensor(bias[seen]).to(layer.bias)

    def save(self, folder: Path, *, label_names: list[str], max_length_tokens: int) -> None:
        """Write the head beside an encoder."""
        from safetensors.numpy import save_file

        arrays = {"mean": self.mean, "scale": self.scale, "weights": self.weights, "bias": self.bias}
        save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, folder / WEIGHTS)
        description = {"label_names": label_names, "pooling": "mean", "max_length_tokens": max_length_tokens}
        (folder / DESCRIPTION).write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> tuple[ProbeHead, dict[str, Any]]:
        """Read a head and its description (label_names, pooling, max_length_tokens).

        Raises:
            ModelError: the folder holds no whole probe.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        try:
            description = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
            return cls(**load_file(folder / WEIGHTS)), description
        except (OSError, ValueError, TypeError, SafetensorError) as error:
            raise ModelError(f"{folder} holds no whole probe: {error}") from error
