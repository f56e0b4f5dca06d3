"""What is said of transfer learning, held against what the run measured: a light for each promise and risk.

A light is never a colour alone: it has a word. What no check measured is listed too, with what would.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from nlp_transfer.reporting.plots import minus
from nlp_transfer.reporting.report import TransferReport

State = Literal["stop", "look", "ok", "not_measured"]
STATES: tuple[State, ...] = ("stop", "look", "ok", "not_measured")
OF_SEVERITY: dict[str, State] = {"block": "stop", "warn": "look", "info": "ok"}
OF_VERDICT: dict[str, State] = {"helped": "ok", "no_evidence": "look", "harmed": "stop"}


@dataclass(frozen=True)
class Topic:
    """A promise or a risk, the checks that speak of it, and what measures it where none did.

    `unmeasured` is empty for what needs no row of its own when nothing was found.
    """

    kind: Literal["promise", "risk"]
    said: str
    checks: tuple[str, ...]
    unmeasured: str = ""


TOPICS = (
    Topic(
        "promise", "Trains faster", ("trains_faster", "time_to_quality", "time_to_score", "convergence"),
        "add scratch and target_only to evaluation.baselines",
    ),
    Topic(
        "promise", "Needs less data",
        ("needs_less_data", "labels_saved", "label_efficiency", "learning_curve"),
        "nlp-transfer curve measures it",
    ),
    Topic(
        "promise", "Performs better than the alternatives",
        ("performs_better", "generalises", "generalisation", "gap_closed", "source_model",
         "stochastic_order"),
        "name baselines in evaluation.baselines",
    ),
    Topic(
        "promise", "Adapts to the domain", ("adapts_to_domain", "domain_gap", "adaptation_gap"),
        "needs a source domain",
    ),
    Topic(
        "promise", "Saves resources", ("saves_resources", "resources", "cost", "padding", "efficiency"),
    ),
    Topic(
        "promise", "Keeps learning", ("keeps_learning", "continual", "backward_transfer", "chain"),
        "nlp-transfer run CONFIG --continue-from MODEL measures it",
    ),
    Topic(
        "risk", "Helps on one task and harms on another",
        ("negative_transfer", "task_dependency", "source_harm"),
    ),
    Topic("risk", "Overfits", ("overfitting", "overfit", "generalisation_gap", "best_step"), ""),
    Topic(
        "risk", "Domains do not match",
        ("domain_mismatch", "domain_distance", "proxy_a_distance", "two_sample", "domain_classifier",
         "new_words", "tokens_per_word", "label_shift"),
    ),
    Topic(
        "risk", "Data is not what it should be",
        ("class_balance", "missing_classes", "test_overlap", "domain_overlap", "duplicates",
         "conflicting_labels", "small_test", "truncation", "unknown_tokens", "label_names", "dropped_rows",
         "licence", "overlap", "language", "script", "contamination"),
    ),
    Topic("risk", "Forgets what it knew", ("forgetting", "weight_drift", "drift"), "needs a source domain"),
    Topic(
        "risk", "Leaks private data", ("membership", "membership_inference", "personal_data", "privacy"),
    ),
    Topic(
        "risk", "Is too sure of itself",
        ("calibration", "expected_calibration_error", "temperature", "selective_accuracy"),
    ),
    Topic(
        "risk", "Fails unseen where there are no labels",
        ("atc", "estimated_accuracy", "label_free_accuracy"),
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Light:
    """One row of the table of lights."""

    state: State
    kind: str
    said: str
    check: str
    value: float | None
    threshold: float | None
    evidence: str
    advice: str

    @property
    def number(self) -> str:
        """Write the number behind the light."""
        return number_text(self.value)

    @property
    def held_against(self) -> str:
        """Write the threshold."""
        return number_text(self.threshold)


def lights_of(report: TransferReport) -> list[Light]:
    """Turn a report's verdict and findings into lights, the gravest first, then in the order of the topics.

    A finding is `not_measured` where it has a threshold and no number, or says so. A check of no known topic
    is listed under its own name.
    """
    found = [_light_of_verdict(report), *(_light_of_finding(finding) for finding in report.findings)]
    spoken_of = {light.said for light in found}
    silent = [
        Light("not_measured", topic.kind, topic.said, "", None, None, "", topic.unmeasured)
        for topic in TOPICS
        if topic.unmeasured and topic.said not in spoken_of
    ]
    order = {topic.said: place for place, topic in enumerate(TOPICS)}
    return sorted(
        [*found, *silent],
        key=lambda light: (STATES.index(light.state), order.get(light.said, len(TOPICS))),
    )


def tally(lights: list[Light]) -> list[tuple[State, int]]:
    """Count the lights of each state that occurs."""
    counts = [(state, sum(light.state == state for light in lights)) for state in STATES]
    return [(state, count) for state, count in counts if count]


def _light_of_verdict(report: TransferReport) -> Light:
    verdict = report.verdict
    topic = next(topic for topic in TOPICS if "negative_transfer" in topic.checks)
    state = OF_VERDICT.get(verdict["transfer"], "not_measured")
    advice = {
        "not_measured": f"add {verdict['against']} to evaluation.baselines",
        "look": "give it more target rows or more evaluation.seeds before you rely on it",
        "stop": f"use {verdict['against']}, or another source",
    }
    return Light(
        state, topic.kind, topic.said, "verdict", verdict.get("difference"), 0.0,
        verdict["sentence"].partition(": ")[2] or verdict["sentence"], advice.get(state, ""),
    )  # fmt: skip


def _light_of_finding(finding: Mapping[str, Any]) -> Light:
    check = str(finding["check"])
    topic = next((topic for topic in TOPICS if check in topic.checks), None)
    return Light(
        _state(finding),
        topic.kind if topic else "check",
        topic.said if topic else check.replace("_", " "),
        check,
        finding["value"],
        finding["threshold"],
        str(finding["evidence"]),
        str(finding["advice"]),
    )


def _state(finding: Mapping[str, Any]) -> State:
    state = OF_SEVERITY.get(finding["severity"], "look")
    unknown = finding["value"] is None and (
        finding["threshold"] is not None or "not measured" in str(finding["evidence"]).lower()
    )
    return "not_measured" if state == "ok" and unknown else state


def number_text(value: float | None) -> str:
    """Write a number of unknown unit with three digits that count; whole ones with separators.

    >>> number_text(-0.0283), number_text(1200.0), number_text(None)
    ('−0.0283', '1,200', '–')
    """
    if value is None:
        return "–"
    return minus(f"{value:,.0f}" if float(value).is_integer() else f"{value:,.3g}")
