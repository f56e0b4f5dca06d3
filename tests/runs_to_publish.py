"""What the tests of publishing share: runs to publish, and how to look at files and reports."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tiny import rows

ENCODER = "tiny-org/encoder"
CARD = "---\nlicense: apache-2.0\n---\n# An encoder\n"
TEXTS = rows("products", 30, seed=3).texts


def quick_run(make_recipe: Callable[..., Any], folder: Path, model: str, method: str) -> Path:
    settings = {"adaptation__method": method, "evaluation__baselines": ["majority"], "data__source": None}
    make_recipe(folder, model__path=model, **settings).run()
    return folder


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def change_report(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = folder / "report.json"
    report = json.loads(path.read_text())
    change(report)
    path.write_text(json.dumps(report))


def plain_scores(model: Any, tokenizer: Any, texts: list[str]) -> Any:
    """Score texts without this package."""
    import torch

    with torch.inference_mode():
        return model.eval()(**tokenizer(texts, padding=True, return_tensors="pt")).logits.numpy()
