"""What all benchmarks share: where results go, and what they were measured on."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"


def describe_machine() -> dict[str, Any]:
    """Describe hardware and versions, as every result carries them."""
    import psutil
    import torch

    from nlp_transfer.environment import versions

    cpuinfo = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    models = [line.partition(":")[2].strip() for line in cpuinfo if line.startswith("model name")]
    processor = models[0] if models else platform.processor()
    return {
        "processor": processor,
        "cores": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "memory_gb": round(psutil.virtual_memory().total / 2**30),
        "python": platform.python_version(),
        "versions": versions(),
        "measured": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def code_version() -> str:
    """Return the commit that is measured; `+` where files differ from it."""
    told = subprocess.run(
        ["git", "describe", "--always", "--dirty=+"],
        cwd=RESULTS.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    return told.stdout.strip()


def save_results(path: Path, results: dict[str, Any]) -> None:
    """Write a results file whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    part.replace(path)
