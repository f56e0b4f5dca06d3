"""Runs groups of diagnostics in their order, and tells what each group took."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from nlp_transfer.findings import Finding

Run = TypeVar("Run")


def measured(
    groups: Mapping[str, Callable[[Run], Iterable[Finding]]], run: Run, *, seconds: dict[str, float] | None
) -> list[Finding]:
    """Return the findings of all groups.

    Args:
        groups: name to what measures a run.
        run: a finished one.
        seconds: is filled with what each group took; None where nobody asks.
    """
    findings = []
    for name, measure in groups.items():
        began = time.perf_counter()
        findings += list(measure(run))
        if seconds is not None:
            seconds[name] = time.perf_counter() - began
    return findings
