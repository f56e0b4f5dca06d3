"""Where a model predicts: on an accelerator where there is one."""

from __future__ import annotations


def device() -> str:
    """Return the name of the device to predict on."""
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"
