"""Probes: logistic regression on the cached, mean-pooled features of a frozen encoder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from transformers import PreTrainedTokenizerBase

from nlp_transfer.data.rows import Rows
from nlp_transfer.models.features import encode
from nlp_transfer.models.loading import base_model, load_classifier, quiet_library
from nlp_transfer.models.probe import ProbeHead
from nlp_transfer.training.baselines import fit_probe
from nlp_transfer.whole_files import whole_folder


@dataclass(frozen=True)
class FrozenProbe:
    """A frozen encoder and a head on its mean-pooled features."""

    encoder: Any
    tokenizer: PreTrainedTokenizerBase
    head: ProbeHead
    label_names: list[str]
    max_length_tokens: int
    total: int
    """Parameters of encoder and head."""

    @property
    def parameters(self) -> int:
        """Trained parameters: the head's."""
        return int(self.head.weights.size + self.head.bias.size)

    def logits(self, texts: Sequence[str], *, label: str | None = "encode") -> npt.NDArray[np.float64]:
        """Score texts; returns shape (texts, classes)."""
        features = encode(
            self.encoder, self.tokenizer, texts, max_length_tokens=self.max_length_tokens, label=label
        )
        return self.head.logits(features)


def fit_frozen_probe(
    path: str,
    train: Rows,
    select_on: Rows,
    *,
    label_names: list[str],
    max_length_tokens: int,
    seed: int,
    revision: str | None = None,
    class_weights: str | None = None,
    bf16: bool = False,
) -> FrozenProbe:
    """Fit a probe on all training rows, its strength chosen for the last of them; see `fit_probe`.

    Args:
        path: Hub id or folder of the encoder, with or without a head.
        train: rows to learn from; `select_on` are its last ones.
        select_on: the rows that the strength is chosen for.
        label_names: the classes in order.
        max_length_tokens: longer texts are cut.
        seed: divides the folds.
        revision: Hub revision.
        class_weights: see `fit_probe`.
        bf16: encodes the rows that are learnt in bfloat16; what is scored later is encoded in float32.
    """
    loaded = load_classifier(path, label_names=label_names, revision=revision)
    encoder = base_model(loaded.model).requires_grad_(False)
    features = encode(encoder, loaded.tokenizer, train.texts, max_length_tokens=max_length_tokens, bf16=bf16)
    pipeline = fit_probe(features, train, seed=seed, select_on=select_on, class_weights=class_weights)
    head = ProbeHead.from_pipeline(pipeline, len(label_names))
    weights = sum(parameter.numel() for parameter in encoder.parameters())
    total = weights + head.weights.size + head.bias.size
    return FrozenProbe(encoder, loaded.tokenizer, head, label_names, max_length_tokens, total)


def save_probe(probe: FrozenProbe, folder: Path) -> None:
    """Write encoder, tokenizer and head as a folder that `load_adapted` opens."""
    with whole_folder(folder) as part, quiet_library():
        probe.encoder.save_pretrained(part)
        probe.tokenizer.save_pretrained(part)
        probe.head.save(part, label_names=probe.label_names, max_length_tokens=probe.max_length_tokens)
        (part / "README.md").write_text(
            "# A probe\n\nLogistic regression on a frozen encoder. Only `nlp_transfer.load_adapted(folder)` "
            "opens it as a classifier; `transformers` finds the bare encoder.\n",
            encoding="utf-8",
        )
