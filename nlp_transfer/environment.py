"""What a run was made with: versions, hardware, processes, seeds and the state of the code."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from importlib import metadata
from typing import Any

REPORTED_PACKAGES = (
    "nlp-transfer",
    "torch",
    "transformers",
    "peft",
    "accelerate",
    "datasets",
    "evaluate",
    "scikit-learn",
    "numpy",
)


def environment(*, seeds: list[int], num_processes: int) -> dict[str, Any]:
    """Describe versions, hardware, processes, seeds and the state of the code."""
    import psutil
    import torch

    gpus = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return {
        "versions": versions(),
        "python": platform.python_version(),
        "hardware": {
            "machine": platform.machine(),
            "processors": os.cpu_count(),
            "torch_threads": torch.get_num_threads(),
            "memory_gb": round(psutil.virtual_memory().total / 2**30, 1),
            "gpus": gpus,
        },
        "num_processes": num_processes,
        "seeds": seeds,
        "git": _git_state(),
        "command": sys.argv,
    }


def versions() -> dict[str, str]:
    """Return the versions of the packages that results depend on."""
    found = {}
    for name in REPORTED_PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def _git_state() -> dict[str, Any] | None:
    """Return commit and cleanliness of the working directory's repository, if it is one."""
    try:
        commit = subprocess.run(
            ["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True
        ).stdout.strip()
        changes = subprocess.run(
            ["git", "status", "--porcelain"], capture_output=True, text=True, check=True
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    return {"commit": commit, "clean": not changes.strip()}
