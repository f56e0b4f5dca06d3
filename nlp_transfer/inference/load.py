"""`load_adapted`: a model folder, a run folder or a Hub id as something that predicts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from nlp_transfer.errors import ModelError
from nlp_transfer.inference.predict import predict_logits, softmax
from nlp_transfer.models.loading import (
    head_labels,
    load_classifier,
    load_encoder,
    load_tokenizer,
    max_input_tokens,
    resolve_model,
)
from nlp_transfer.models.probe import DESCRIPTION, ProbeHead

Array = npt.NDArray[np.float64]
# Where neither model nor tokenizer says how long a text may be.
USUAL_MAX_LENGTH_TOKENS = 512
# A tokenizer without a limit has a length of 10**30.
UNLIMITED = 10**6


class AdaptedClassifier(Protocol):
    """What `load_adapted` returns for a classification model."""

    label_names: list[str]

    def logits(self, texts: Sequence[str], *, label: str | None = None) -> Array:
        """Score texts, shape (texts, classes)."""

    def probabilities(self, texts: Sequence[str], *, label: str | None = None) -> Array:
        """Return probabilities of shape (texts, classes)."""

    def predict(self, texts: Sequence[str], *, label: str | None = None) -> list[dict[str, Any]]:
        """Return label, score and all probabilities for each text."""


class _Predicting:
    """What both kinds of model share: probabilities and labels out of logits."""

    label_names: list[str]

    def logits(self, texts: Sequence[str], *, label: str | None = None) -> Array:
        raise TypeError("a kind of model must compute its logits")

    def probabilities(self, texts: Sequence[str], *, label: str | None = None) -> Array:
        """Return probabilities of shape (texts, classes)."""
        return softmax(self.logits(texts, label=label))

    def predict(self, texts: Sequence[str], *, label: str | None = None) -> list[dict[str, Any]]:
        """Return label, score and all probabilities for each text, in the texts' order.

        Raises:
            TypeError: `texts` is one string, or holds something else than strings.
        """
        if isinstance(texts, str) or not all(isinstance(text, str) for text in texts):
            raise TypeError('predict takes a list of texts: predict(["Battery died."])')
        results = []
        for scores in self.probabilities(texts, label=label):
            best = int(scores.argmax())
            probabilities = {name: float(score) for name, score in zip(self.label_names, scores, strict=True)}
            results.append(
                {
                    "label": self.label_names[best],
                    "score": float(scores[best]),
                    "probabilities": probabilities,
                }
            )
        return results


class FullClassifier(_Predicting):
    """A `transformers` sequence classifier."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.label_names = [model.config.id2label[number] for number in range(model.config.num_labels)]
        stated = tokenizer.model_max_length
        limits = (int(stated) if stated < UNLIMITED else None, max_input_tokens(model.config))
        self.max_length_tokens = min((limit for limit in limits if limit), default=USUAL_MAX_LENGTH_TOKENS)

    def logits(self, texts: Sequence[str], *, label: str | None = None) -> Array:
        """Score texts, shape (texts, classes)."""
        return predict_logits(
            self.model, self.tokenizer, texts, max_length_tokens=self.max_length_tokens, label=label
        )


class ProbeClassifier(_Predicting):
    """A frozen encoder with a regression on its mean-pooled features."""

    def __init__(
        self, encoder: Any, tokenizer: Any, head: ProbeHead, description: dict[str, Any], *, cached: bool
    ) -> None:
        self.encoder = encoder.eval()
        self.tokenizer = tokenizer
        self.head = head
        self.label_names = list(description["label_names"])
        self.max_length_tokens = int(description["max_length_tokens"])
        self.cached = cached

    def logits(self, texts: Sequence[str], *, label: str | None = None) -> Array:
        """Score texts, shape (texts, classes)."""
        from nlp_transfer.models.features import encode, mean_pooled

        if not len(texts):
            return np.zeros((0, len(self.label_names)))
        features = (encode if self.cached else mean_pooled)(
            self.encoder, self.tokenizer, texts, max_length_tokens=self.max_length_tokens, label=label
        )
        return self.head.logits(features)


def load_adapted(
    path: str | Path, *, revision: str | None = None, cached: bool = False
) -> FullClassifier | ProbeClassifier:
    """Load an adapted model for prediction, on an accelerator where there is one.

    Args:
        path: a model folder, a run folder (its `model/` is taken), `package://module/folder`, or a Hub id.
        revision: Hub revision.
        cached: keep a probe's encodings on disk, for texts that are scored again.

    Raises:
        ModelError: there is no model, it cannot be read, or it is no classifier.

    Example::

        load_adapted("runs/products").predict(["Battery died after a week."])
    """
    import torch

    name = str(path)
    if (Path(name) / "model" / "config.json").is_file() and not (Path(name) / "config.json").is_file():
        name = str(Path(name) / "model")
    folder = Path(resolve_model(name))
    device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    if (folder / DESCRIPTION).is_file():
        head, description = ProbeHead.load(folder)
        encoder: Any = load_encoder(name)
        return ProbeClassifier(encoder.to(device), load_tokenizer(name), head, description, cached=cached)
    loaded = load_classifier(name, label_names=head_labels(name, revision=revision), revision=revision)
    if loaded.fresh:
        raise ModelError(
            f"{path} is not an adapted classifier: it has no weights for {', '.join(loaded.fresh[:3])}. "
            "Adapt it first with `nlp-transfer run`"
        )
    return FullClassifier(loaded.model.to(device), loaded.tokenizer)
