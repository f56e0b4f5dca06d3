"""What a system costs: seconds, peak memory, trainable parameters."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

# Long enough to cost nothing, short enough to see a training step's peak.
SAMPLE_SECONDS = 0.05


@dataclass
class Cost:
    """The cost of one system; `source_seconds` is what the source model that it starts from took.

    `seconds` is None until somebody sets it, or the span ends (`measured`).

    `tokens_per_second` counts real tokens, `padding_share` is the share of the others, `trainings` are those
    whose weights were averaged; all stay 0 for what is not trained step by step.
    """

    seconds: float | None = None
    selection_seconds: float = 0.0
    peak_rss_mb: float = 0.0
    trainable_parameters: int = 0
    trainable_share: float = 0.0
    source_seconds: float = 0.0
    tokens_per_second: float = 0.0
    padding_share: float = 0.0
    trainings: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for the report."""
        return {name: round(value or 0.0, 4) for name, value in asdict(self).items()}


@contextmanager
def measured() -> Iterator[Cost]:
    """Measure the span's wall time and the highest resident memory sampled in it.

    The body may set `seconds` itself (optimisation alone); otherwise it is the whole span.
    """
    import psutil

    process, cost, done = psutil.Process(), Cost(), threading.Event()

    def sample() -> None:
        while True:
            cost.peak_rss_mb = max(cost.peak_rss_mb, process.memory_info().rss / 2**20)
            if done.wait(SAMPLE_SECONDS):
                return

    sampler = threading.Thread(target=sample, daemon=True)
    sampler.start()
    began = time.perf_counter()
    try:
        yield cost
    finally:
        done.set()
        sampler.join()
        if cost.seconds is None:
            cost.seconds = time.perf_counter() - began
