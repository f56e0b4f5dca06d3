"""What a licence's name says about publishing what was made under it; no legal advice."""

from __future__ import annotations

import re
from typing import Literal

Judgement = Literal["permits", "forbids", "unknown"]
UNKNOWN = ("", "unknown", "none", "null", "other", "unlicensed", "n/a", "not stated")
# Names on the Hub that forbid commercial use or derived works without saying so by -nc or -nd.
FORBIDDING = (
    "apple-amlr",
    "apple-ascl",
    "deepfloyd-if-license",
    "fair-noncommercial-research-license",
    "h-research",
    "intel-research",
)
NO_COMMERCE_OR_DERIVATIVES = re.compile(r"(^|[^a-z])(nc|nd|non-?commercial|no-?deriv\w*)([^a-z]|$)")


def judge_licence(licence: str | None) -> Judgement:
    """Judge a licence, or several joined by commas, by its name as the Hub writes it.

    >>> judge_licence("apache-2.0"), judge_licence("cc-by-nc-4.0"), judge_licence("other")
    ('permits', 'forbids', 'unknown')
    """
    names = [name.strip().lower() for name in re.split(r"[,;|\[\]']+", licence or "")]
    names = [name for name in names if name] or [""]
    if any(name in FORBIDDING or NO_COMMERCE_OR_DERIVATIVES.search(name) for name in names):
        return "forbids"
    return "unknown" if any(name in UNKNOWN for name in names) else "permits"
