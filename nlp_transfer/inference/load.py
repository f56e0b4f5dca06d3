"""`load_adapted`: a model folder, a run folder or a Hub id as something that predicts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from nlp_transfer.errors import ModelError
from nlp_transfer.inference.devices import device as best_device
from nlp_transfer.inference.exported import TORCH, load_exported, read_export, require_runtime
from nlp_transfer.inference.fetch import fetch_model
from nlp_transfer.inference.predict import predict_logits, softmax
from nlp_transfer.inference.translator import load_translation_model
from nlp_transfer.models.calibration import read_temperature
from nlp_transfer.models.loading import (
    head_labels,
    load_classifier,
    load_encoder,
    load_tokenizer,
    max_input_tokens,
)
from nlp_transfer.models.probe import DESCRIPTION, ProbeHead
from nlp_transfer.models.resolving import require_named, resolve_model
from nlp_transfer.models.translation import is_translation_model
from nlp_transfer.runs import refusal_of

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
        """Return probabilities of shape (texts, classes), of the logits divided by the temperature."""

    def predict(self, texts: Sequence[str], *, label: str | None = None) -> list[dict[str, Any]]:
        """Return label, score and all probabilities for each text."""


class Predicting:
    """What all kinds of model share: probabilities and labels out of logits."""

    label_names: list[str]
    temperature: float = 1.0
    """What logits are divided by before they become probabilities; no label changes by it."""

    def logits(self, texts: Sequence[str], *, label: str | None = None) -> Array:
        raise TypeError("a kind of model must compute its logits")

    def probabilities(self, texts: Sequence[str], *, label: str | None = None) -> Array:
        """Return probabilities of shape (texts, classes), of the logits divided by the temperature."""
        return softmax(self.logits(texts, label=label) / self.temperature)

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


class FullClassifier(Predicting):
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


class ProbeClassifier(Predicting):
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
    path: str | Path,
    *,
    revision: str | None = None,
    cached: bool = False,
    src_lang: str | None = None,
    tgt_lang: str | None = None,
    runtime: str | None = None,
) -> Any:
    """Load an adapted model for use, on an accelerator where there is one.

    A classifier has `predict`, a translation model `translate`.

    Args:
        path: a model folder, a run folder (its `model/` is taken), an adapter's folder, a folder that
            `nlp-transfer export` made, `package://module/folder`, or a Hub id.
        revision: Hub revision.
        cached: keep a probe's encodings on disk, for texts that are scored again.
        src_lang: language that a translation model of another's translates from, where it does not say it.
        tgt_lang: language that a translation model is to translate into; None is its default.
        runtime: `torch`, `onnx` or `ctranslate2`; None is the one that the folder is for. Nothing is exported
            on the way: that takes minutes and is measured, so it is a command of its own.

    Raises:
        ConfigError: there is no such runtime, or the `fast` extra that it needs is not installed.
        ModelError: the folder is for another runtime, there is no model or revision, it cannot be read, its
        base is missing or another one, or it is neither a classifier nor a translation model.

    Example::

        load_adapted("runs/products").predict(["Battery died after a week."])
        load_adapted("runs/galician").translate(["Save the file"])
    """
    from nlp_transfer.models.adapter_loading import is_adapter, load_adapter

    folder, device = folder_of(str(path), revision), best_device()
    exported = read_export(folder)
    require_runtime(runtime, exported["runtime"] if exported else TORCH, path)
    if exported:
        return load_exported(folder, exported, src_lang=src_lang, tgt_lang=tgt_lang)
    if is_adapter(folder):
        adapted = load_adapter(folder)
        return _calibrated(FullClassifier(adapted.model.to(device), adapted.tokenizer), folder)
    if is_translation_model(folder):
        return load_translation_model(str(folder), src_lang=src_lang, tgt_lang=tgt_lang)
    if (folder / DESCRIPTION).is_file():
        head, description = ProbeHead.load(folder)
        encoder: Any = load_encoder(str(folder))
        tokenizer = load_tokenizer(str(folder))
        probe = ProbeClassifier(encoder.to(device), tokenizer, head, description, cached=cached)
        return _calibrated(probe, folder)
    _require_one_order(folder, path)
    loaded = load_classifier(str(folder), label_names=head_labels(str(folder)))
    if loaded.fresh:
        raise ModelError(
            f"{path} is not an adapted classifier: it has no weights for {', '.join(loaded.fresh[:3])}. "
            "Adapt it first with `nlp-transfer run`"
        )
    return _calibrated(FullClassifier(loaded.model.to(device), loaded.tokenizer), folder)


def _calibrated(classifier: Predicting, folder: Path) -> Predicting:
    """Give a classifier the temperature that its folder holds."""
    classifier.temperature = read_temperature(folder)
    return classifier


def folder_of(name: str, revision: str | None) -> Path:
    """Return the folder with a model's files; those of a Hub model are fetched."""
    from nlp_transfer.models.adapter_loading import is_adapter

    require_named(name)
    local = Path(name).expanduser()
    reason = refusal_of(local) if local.is_dir() or local.name in ("model", "adapter") else None
    if reason is not None:
        raise ModelError(
            f"{name} has no model to hand over: {reason}. Its weights are in refused_model/, if you want them"
        )
    if (local / "model" / "config.json").is_file() and not (local / "config.json").is_file():
        return local / "model"
    if is_adapter(local):
        return local
    resolved = Path(resolve_model(name))
    if resolved.is_dir():
        return resolved
    fetched = fetch_model(name, revision=revision)
    return fetched if is_adapter(fetched) else Path(resolve_model(str(fetched)))


def _require_one_order(folder: Path, path: str | Path) -> None:
    """Refuse a configuration that gives its classes in two orders: half of all readers would be wrong."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        numbered = {int(number): name for number, name in config.get("id2label", {}).items()}
        named = {int(number): name for name, number in config.get("label2id", {}).items()}
    except (OSError, ValueError, AttributeError, TypeError):
        return  # what is no configuration at all is told by the loader
    # Other names than the classes' are leftovers that nobody reads.
    if numbered != named and set(numbered.values()) == set(named.values()):
        orders = [", ".join(str(order[number]) for number in sorted(order)) for order in (numbered, named)]
        raise ModelError(
            f"config.json of {path} gives its labels in two orders: id2label says {orders[0]}, label2id says "
            f"{orders[1]}; correct the wrong one"
        )
