"""What a trained model becomes before it is handed on: adapters merged, every parameter free again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from peft import PeftModel

from nlp_transfer.models.adapters import merge, save_adapter
from nlp_transfer.training.processes import is_main


def finished(model: Any, *, base: str, label_names: Sequence[str] | None, adapter_folder: Path | None) -> Any:
    """Return a trained model without adapters, with every parameter trainable.

    Args:
        model: as it was trained.
        base: what it started from, for an adapter's own description.
        label_names: the classes in the head's order; None of a translation model.
        adapter_folder: where an adapter is left alone, None for nowhere.
    """
    if isinstance(model, PeftModel):
        if adapter_folder is not None and is_main():
            save_adapter(model, adapter_folder, base=base, label_names=label_names)
        model = merge(model)
    for parameter in model.parameters():
        parameter.requires_grad_(True)
    return model
