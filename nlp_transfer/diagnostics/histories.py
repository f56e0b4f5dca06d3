"""What history.jsonl tells of one system, whose training may have been several.

A mean of trainings (training/soup.py) takes the seconds of all of them, and what a last stage starts from,
such as the labels that self-training learns first, takes its own before it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Record = Mapping[str, Any]
MEMBER = re.compile(r"\d+ of \d+")


@dataclass(frozen=True)
class SystemHistory:
    """The records of the first of a system's trainings, in its last stage."""

    records: list[Record]
    """In order; `seconds` are what all trainings had taken when each was as far."""
    trainings: int
    """Whose weights were averaged in that stage."""


def system_history(records: Sequence[Record], system: str, *, seed: int) -> SystemHistory:
    """Pick one system's records out of a run's history.

    Args:
        records: of the run, each with `stage` and `seed`.
        system: its name, which titles of further trainings and earlier stages begin with.
        seed: which of `evaluation.seeds`.
    """
    last, own = {}, []
    for record in records:
        title = str(record.get("stage"))
        if record.get("seed") == seed and (title == system or title.startswith(f"{system}: ")):
            own.append(record)
            last[title.removeprefix(system).removeprefix(": ")] = record.get("seconds")
    members = 1 + sum(MEMBER.fullmatch(part) is not None for part in last)
    before = sum(seconds or 0.0 for part, seconds in last.items() if part and not MEMBER.fullmatch(part))
    return SystemHistory(
        [
            record if record.get("seconds") is None
            else {**record, "seconds": before + members * record["seconds"]}
            for record in own
            if record["stage"] == system
        ],
        members,
    )  # fmt: skip
