"""Trains faster: steps and seconds until a baseline's best dev score is reached, and the ratio.

Works on the records of history.jsonl; what was not run, or not timed, is said to be not measured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nlp_transfer.findings import Finding

Record = Mapping[str, Any]
# Below 1 transfer is slower.
MIN_SPEED_UP = 1.0


@dataclass(frozen=True)
class Reached:
    """Where a run first reached a score."""

    step: int
    seconds: float | None
    """None where its history does not hold seconds."""


@dataclass(frozen=True)
class SpeedUp:
    """How much sooner the adapted model was as good as a baseline at its best."""

    score: float | None
    """The baseline's best dev score; None where it was not run or not scored on dev rows."""
    baseline: Reached | None
    adapted: Reached | None
    """None where it never got there, or was not scored on dev rows."""
    reason: str
    """Why a part was not measured; empty if all was."""

    @property
    def step_ratio(self) -> float | None:
        """Return the baseline's steps over the adapted model's; a score reached before the first step counts
        as one step.
        """
        if self.baseline is None or self.adapted is None:
            return None
        return max(1, self.baseline.step) / max(1, self.adapted.step)

    @property
    def time_ratio(self) -> float | None:
        """Return the baseline's seconds over the adapted model's, without those of the source model, which is
        made once for all targets.
        """
        if self.baseline is None or self.adapted is None or not self.adapted.seconds:
            return None
        return None if self.baseline.seconds is None else self.baseline.seconds / self.adapted.seconds


def first_reaching(
    history: Sequence[Record], score: float, *, score_key: str = "eval_accuracy", seconds_key: str = "seconds"
) -> Reached | None:
    """Return where a run's dev score first reached `score`, or None.

    Args:
        history: records with `step` and, where dev rows were scored, `score_key`; in order.
        score: higher is better, in the records' unit.
        score_key: names the dev score.
        seconds_key: names the seconds since training began.
    """
    for record in history:
        if record.get(score_key) is not None and record[score_key] >= score:
            seconds = record.get(seconds_key)
            return Reached(int(record["step"]), None if seconds is None else float(seconds))
    return None


def speed_up(
    adapted: Sequence[Record],
    baseline: Sequence[Record],
    *,
    score_key: str = "eval_accuracy",
    seconds_key: str = "seconds",
) -> SpeedUp:
    """Compare how soon two runs reach the baseline's best dev score, on the same dev rows.

    Source: "time to threshold" of Taylor and Stone 2009, Transfer learning for reinforcement learning
    domains, with the baseline's best score as the threshold.

    Args:
        adapted: the adapted model's history; empty if it was not run.
        baseline: that of `scratch` or `target_only`; empty if it was not run.
        score_key: names the dev score, higher is better.
        seconds_key: names the seconds since training began.
    """
    keys = {"score_key": score_key, "seconds_key": seconds_key}
    scores = [record[score_key] for record in baseline if record.get(score_key) is not None]
    if not scores:
        why = "was not scored on dev rows" if baseline else "was not run"
        return SpeedUp(None, None, None, f"the baseline {why}")
    best = max(scores)
    reached = first_reaching(baseline, best, **keys)
    own = first_reaching(adapted, best, **keys)
    if own is None:
        scored = any(record.get(score_key) is not None for record in adapted)
        why = "never reached the baseline's best score" if scored else "was not scored on dev rows"
        return SpeedUp(best, reached, None, f"the adapted model {why}")
    timed = own.seconds is not None and reached is not None and reached.seconds is not None
    return SpeedUp(best, reached, own, "" if timed else "the histories hold no seconds")


def speed_finding(
    found: SpeedUp,
    *,
    against: str,
    source_seconds: float = 0.0,
    trainings: int = 1,
    threshold: float = MIN_SPEED_UP,
) -> Finding:
    """Word how much sooner the adapted model was there; warn where it was later, or never.

    The value is the ratio of seconds, or of steps where seconds are not measured.

    Args:
        found: what was measured.
        against: the baseline's name.
        source_seconds: what the source model took. It is made once for all targets, so it is not in the
            ratio; the evidence tells the ratio with it too.
        trainings: whose weights were averaged for the adapted model.
        threshold: of the ratio.
    """
    check = f"speed_against_{against}"
    ratio = found.step_ratio if found.time_ratio is None else found.time_ratio
    if found.baseline is None or found.score is None:
        return Finding(check, "info", None, threshold, f"not measured: {found.reason}", "")
    at = f"{against} reaches its best dev score, {found.score:.3f}, {_words(found.baseline)}"
    if found.adapted is None or ratio is None:
        late = "never" in found.reason
        return Finding(
            check, "warn" if late else "info", None, threshold,
            f"{at}; not measured further: {found.reason}",
            "transfer did not make training faster here" if late else "",
        )  # fmt: skip
    steps = f"{found.step_ratio:.1f} times the steps" if found.step_ratio is not None else ""
    seconds = (
        "seconds not measured" if found.time_ratio is None else f"{found.time_ratio:.1f} times the seconds"
    )
    return Finding(
        check, "warn" if ratio < threshold else "info", ratio, threshold,
        f"{at}; adapted {_words(found.adapted)}: the baseline takes {steps}, {seconds} "
        f"({_counted(trainings)})" + _with_source(found, source_seconds),
        "transfer did not make training faster here" if ratio < threshold else "",
    )  # fmt: skip


def _with_source(found: SpeedUp, source_seconds: float) -> str:
    """Tell the ratio of seconds with the source model's, where there is one."""
    if not source_seconds:
        return ""
    words = f"; the source model, made once, took {source_seconds:,.1f} s more"
    if found.time_ratio is None or found.baseline is None or found.adapted is None:
        return words
    whole = (found.baseline.seconds or 0.0) / ((found.adapted.seconds or 0.0) + source_seconds)
    return f"{words}: {whole:.1f} times the seconds with it"


def _counted(trainings: int) -> str:
    """Tell what steps and seconds are of."""
    if trainings == 1:
        return "n = 1 run each"
    return f"n = 1 run each; steps of the first of {trainings} trainings, seconds of all"


def _words(reached: Reached) -> str:
    seconds = "" if reached.seconds is None else f", {reached.seconds:,.1f} s"
    return f"at step {reached.step:,}{seconds}"
