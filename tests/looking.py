"""Looks into run folders, at how a command ended, and kills runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from nlp_transfer.training import adapt, fit


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    status: int
    out: str
    err: str


Call = Callable[..., Ended]


class Killed(BaseException):
    """As a signal would end the run."""


def kill_in(label: str, monkeypatch: Any) -> Any:
    """Have the run killed when it trains the system of this label."""

    def killed(*given: Any, **settings: Any) -> Any:
        if settings["run"].label == label:
            raise Killed
        return fit.fit(*given, **settings)

    monkeypatch.setattr(adapt, "fit", killed)


def report_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "report.json").read_text())  # type: ignore[no-any-return]


def accuracy(folder: Path, system: str, domain: str = "target") -> float:
    return float(report_of(folder)["systems"][system][domain]["accuracy"]["value"])


def plain_logits(folder: Path, texts: list[str]) -> np.ndarray:
    """Score texts with `transformers` alone."""
    model, tokenizer = (
        AutoModelForSequenceClassification.from_pretrained(folder),
        AutoTokenizer.from_pretrained(folder),
    )
    with torch.inference_mode():
        return np.asarray(
            model(**tokenizer(texts, padding=True, truncation=True, return_tensors="pt")).logits
        )


def softmax(scores: np.ndarray) -> np.ndarray:
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))
