"""A finding: one check or diagnostic, its number, the threshold it is held against, and advice."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

Severity = Literal["info", "warn", "block"]


@dataclass(frozen=True)
class Finding:
    """What one check found; `block` stops a run, `warn` is to be looked at, `info` is to be known."""

    check: str
    severity: Severity
    value: float | None
    """The measured number; None where the check has none or n is too small."""
    threshold: float | None
    """What the number is held against."""
    evidence: str
    """The number in words, with n."""
    advice: str
    """What to do about it; empty for `info` that asks for nothing."""

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for the report."""
        return dataclasses.asdict(self)
