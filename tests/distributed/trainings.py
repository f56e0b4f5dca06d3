"""Short trainings, mostly with dropout 0, which any number of processes can run; their losses are compared.

`python -m trainings CASES.json` runs the cases of a file in the processes that accelerate started, and the
main one writes beside it what they logged.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import tiny

STEPS = 4
# Evaluated rows: no multiple of two processes, nor of their batches.
DEV_ROWS = 37
SETTINGS = {
    "bf16": False,
    "logging_steps": 1,
    "max_steps": STEPS,
    "eval_strategy": "steps",
    "eval_steps": STEPS // 2,
    "save_strategy": "no",
    "max_grad_norm": 0.5,
}
FORWARD = {"good": "bom", "great": "otimo", "bad": "mau", "awful": "pessimo", "film": "filme", "the": "o"}


@dataclass(frozen=True)
class Case:
    """One training: `rows` of a global batch are cut by processes and `accumulation`."""

    task: str
    method: str
    model: str
    accumulation: int = 1
    processes: int = 1
    steps: int = STEPS
    seed: int = 0
    learning_rate: float | None = None
    """None is the task's own."""
    dropout: bool = False
    """As shipped: the model's own, and an adapter's."""

    @property
    def name(self) -> str:
        return f"{self.task} {self.method} x{self.accumulation} seed {self.seed}"


def pairs(count: int, *, seed: int) -> Any:
    """Return sentences beside a word-for-word mock translation of each."""
    from nlp_transfer.data.pairs import Pairs

    sources = [text for text, _ in tiny.sentences("movies", count, seed=seed)]
    targets = [" ".join(FORWARD.get(word, f"{word}o") for word in text.split()) for text in sources]
    return Pairs([str(row) for row in range(count)], sources, targets, [("en", "gl")] * count)


def build_translator(folder: Path, *, dropout: float = 0.0) -> Path:
    """Save a small Marian model with the vocabulary of `pairs`, as a recipe without a start makes it."""
    import torch

    from nlp_transfer.models.translation import Architecture, new_translator

    torch.manual_seed(0)
    shape = Architecture(300, 16, 32, 1, 1, 2, dropout, 0.2)
    train = pairs(200, seed=1)
    texts = [*train.sources, *train.targets]
    loaded = new_translator(shape, texts, languages=["gl"], max_length_tokens=32)
    loaded.model.save_pretrained(folder)
    loaded.tokenizer.save_pretrained(folder)
    return folder


def run(case: Case, folder: Path) -> list[dict[str, Any]]:
    """Train one case and return what was logged."""
    kept = ("step", "loss", "grad_norm", "eval_loss", "eval_accuracy", "eval_chrf")
    history = train_case(case, folder).fit.history
    return [{name: record[name] for name in kept if name in record} for record in history]


def train_case(case: Case, folder: Path) -> Any:
    """Train one case, without any dropout unless it asks for it."""
    from nlp_transfer.models import adapters

    train = {"sentiment": _classifier, "self_training": _classifier, "translation": _translator}[case.task]
    # For this training alone: the tests that follow in the same process have the shipped dropout.
    with patch.object(adapters, "DROPOUT", adapters.DROPOUT if case.dropout else 0.0):
        return train(case, folder / case.name.replace(" ", "-"))


def _classifier(case: Case, folder: Path) -> Any:
    from nlp_transfer.training.adapt import train_classifier
    from nlp_transfer.training.procedure import Procedure
    from nlp_transfer.training.unlabelled import Unlabelled

    rows = 16 // (case.processes * case.accumulation)
    arguments = {**_settings(case), "per_device_train_batch_size": rows}
    train, dev = tiny.rows("movies", 100), tiny.rows("products", DEV_ROWS)
    extra: dict[str, Any] = {}
    if case.task == "self_training":
        # Every guess is learnt (threshold 0.5), and labels that are out of balance are weighed.
        train = train.take([*range(0, 100, 2), *range(1, 20, 2)])
        texts = tiny.rows("products", 60, seed=4).texts
        extra = {"unlabelled": Unlabelled(texts, "self_training", threshold=0.5)}
    weights = "balanced" if extra else None
    procedure = Procedure(case.method, tiny.LABELS, 40, case.seed, arguments, rank=4, class_weights=weights)
    return train_classifier(case.model, procedure, train, dev, label=case.name, folder=folder, **extra)


def _translator(case: Case, folder: Path) -> Any:
    from nlp_transfer.training.adapt_translation import TranslationProcedure, train_translator

    procedure = TranslationProcedure(case.method, 32, case.seed, _settings(case), batch_tokens=400, rank=4)
    train, dev = pairs(96, seed=2), pairs(DEV_ROWS, seed=3)
    return train_translator(case.model, procedure, train, dev, label=case.name, folder=folder)


def _settings(case: Case) -> dict[str, Any]:
    """Return training arguments; dev rows are scored in the middle and at the end."""
    parts = {"gradient_accumulation_steps": case.accumulation, "per_device_eval_batch_size": 8}
    rate = case.learning_rate or (1e-2 if case.task == "translation" else 1e-3)
    steps = {"max_steps": case.steps, "eval_steps": case.steps // 2}
    return {**SETTINGS, **parts, **steps, "learning_rate": rate}


def write_cases(path: Path, cases: Sequence[Case]) -> None:
    path.write_text(json.dumps([dataclasses.asdict(case) for case in cases]))


def main() -> None:
    from nlp_transfer.training.processes import is_main, num_processes

    path = Path(sys.argv[1])
    cases = [Case(**content) for content in json.loads(path.read_text())]
    logged = {case.name: run(case, path.parent / "checkpoints") for case in cases}
    if is_main():
        found = {"num_processes": num_processes(), "logged": logged}
        path.with_suffix(".logged.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main()
