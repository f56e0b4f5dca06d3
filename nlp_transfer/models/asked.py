"""What a recipe names of its model's modules, for outlines.py; apart from it, since that needs torch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from nlp_transfer.config import RecipeConfig


def asked_of_modules(config: RecipeConfig) -> Iterator[dict[str, Any]]:
    """Return for each stage of a recipe what it names of its model's modules, where it names any: arguments
    of models/outlines.py.
    """
    adaptation = config.adaptation
    stages = [(adaptation.method, adaptation.freeze_layers)]
    if config.source_stage is not None:
        stages.append((config.source_stage.method, 0))
    for method, freeze_layers in stages:
        targets = adaptation.target_modules if method == "lora" else None
        if freeze_layers or targets is not None:
            yield {"freeze_layers": freeze_layers, "targets": targets, "rank": adaptation.rank}
