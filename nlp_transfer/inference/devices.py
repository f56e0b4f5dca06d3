"""Where a model predicts: on an accelerator where there is one; and on how many cores without."""

from __future__ import annotations

import os


def device() -> str:
    """Return the name of the device to predict on."""
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def usable_cpus() -> int:
    """Return how many cores this process may use: `OMP_NUM_THREADS` where it is set, else all that it is
    given.

    Not torch's number of threads, which another library may have changed in the thread that asks.
    """
    stated = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    if stated.isdecimal() and int(stated):
        return int(stated)
    # A container or taskset may give a process fewer cores than the machine has; macOS cannot tell.
    given = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return given or 1
