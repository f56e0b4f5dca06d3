"""A classifier, or a probe, that ONNX Runtime computes: the same words as the model that it was made from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nlp_transfer.errors import ModelError
from nlp_transfer.inference.load import Array, Predicting
from nlp_transfer.models.batching import length_sorted_batches
from nlp_transfer.models.calibration import read_temperature
from nlp_transfer.models.loading import load_tokenizer

GRAPH = "model.onnx"


class OnnxClassifier(Predicting):
    """A graph from token ids to logits.

    Args:
        session: an `onnxruntime.InferenceSession` whose first output is of shape (rows, classes).
        tokenizer: the model's.
        label_names: the classes in order.
        max_length_tokens: longer texts are cut.
    """

    def __init__(
        self, session: Any, tokenizer: Any, *, label_names: Sequence[str], max_length_tokens: int
    ) -> None:
        self.session = session
        self.tokenizer = tokenizer
        self.label_names = list(label_names)
        self.max_length_tokens = max_length_tokens
        self._inputs = [each.name for each in session.get_inputs()]

    def logits(self, texts: Sequence[str], *, label: str | None = None) -> Array:
        """Score texts, shape (texts, classes)."""
        logits = np.zeros((len(texts), len(self.label_names)))
        for rows, inputs in length_sorted_batches(
            self.tokenizer, texts, max_length_tokens=self.max_length_tokens, label=label
        ):
            given = {name: inputs[name].numpy() for name in self._inputs}
            logits[rows] = self.session.run(None, given)[0]
        return logits


def load_onnx_classifier(folder: Path, description: dict[str, Any]) -> OnnxClassifier:
    """Open a folder that holds a graph, a tokenizer and what `export.json` says of them.

    Raises:
        ModelError: one of them is missing or damaged.
    """
    tokenizer = load_tokenizer(str(folder))
    try:
        label_names = [str(name) for name in description["label_names"]]
        limit = int(description["max_length_tokens"])
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{folder}/export.json is not whole ({error!r}); export the model again") from error
    session = open_session(folder / GRAPH)
    classifier = OnnxClassifier(session, tokenizer, label_names=label_names, max_length_tokens=limit)
    classifier.temperature = read_temperature(folder)
    return classifier


def open_session(path: Path) -> Any:
    """Open a graph on as many threads as torch would take, so that OMP_NUM_THREADS holds for both.

    Raises:
        ModelError: the file is missing or damaged.
    """
    import onnxruntime
    import torch

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's own errors share no other base.
        reason = " ".join(str(error).split())[:200]
        raise ModelError(f"{path} cannot be opened ({reason}); export the model again") from error
