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

    A check belongs to it by its name or by how its name begins: `speed` for `speed_against_scratch`.
    `unmeasured` is empty for what needs no row of its own when nothing was found.
    """

    kind: Literal["promise", "risk"]
    said: str
    checks: tuple[str, ...]
    unmeasured: str = ""

    def holds(self, check: str) -> bool:
        """Tell whether a check speaks of this."""
        return any(check == name or check.startswith(f"{name}_") for name in self.checks)


VERDICT = Topic(
    "risk", "Harm from the transfer", ("verdict", "negative_transfer", "source_harm", "source_trust")
)
TOPICS = (
    Topic(
        "promise", "Trains faster", ("speed",),
        "scratch and target_only in evaluation.baselines are what it is held against",
    ),
    Topic("promise", "Needs less data", ("labels_saved",), "nlp-transfer curve measures it"),
    Topic("promise", "Starts from a model that is worth it", ("source_model",)),
    Topic("promise", "Performs better", ("gap_closed", "stochastic_order")),
    Topic("promise", "Adapts to the domain", ("domain_gap",), "it takes a source domain"),
    Topic("promise", "Saves resources", ("resources",)),
    Topic(
        "promise", "Keeps learning", ("chain", "guard"),
        "nlp-transfer run with --continue-from measures it",
    ),
    VERDICT,
    Topic("risk", "Overfitting", ("generalisation", "overfitting", "last_step")),
    Topic(
        "risk", "Domains that do not match",
        ("domain_distance", "two_sample_test", "kernel_two_sample_test"),
        "it takes a source domain",
    ),
    Topic("risk", "Words that the source lacks", ("new_words", "tokens_per_word")),
    Topic("risk", "Labels in other proportions", ("label_shift", "estimated_label_shift")),
    Topic("risk", "Forgetting", ("forgetting", "weight_drift", "weight_mix"), "it takes a source domain"),
    Topic(
        "risk", "Private data in the model", ("membership_inference",),
        "it takes target rows that are learnt",
    ),
    Topic("risk", "Private data in the text", ("personal_data",)),
    Topic("risk", "Overconfidence", ("calibration", "coverage")),
    Topic("risk", "Unseen failure where there are no labels", ("accuracy_without_labels",)),
    Topic(
        "risk", "Test rows seen in training",
        ("test_overlap", "earlier_test_overlap", "earlier_training_overlap"),
    ),
    Topic("risk", "Groups on both sides of a split", ("group_overlap",)),
    Topic("risk", "Rows that stand in both domains", ("domain_overlap",)),
    Topic("risk", "Repeated rows", ("duplicates",)),
    Topic("risk", "Labels that contradict each other", ("conflicting_labels",)),
    Topic("risk", "Too few test rows", ("small_test",)),
    Topic("risk", "Classes out of balance", ("class_balance", "missing_classes")),
    Topic("risk", "Text learnt without labels", ("unlabelled",)),
    Topic("risk", "Texts cut short", ("truncation",)),
    Topic("risk", "Tokens unknown to the model", ("unknown_tokens", "unknown_characters")),
    Topic("risk", "Letters of another script", ("script_coverage", "unknown_language")),
    Topic("risk", "Rows that could not be used", ("dropped_rows",)),
    Topic("risk", "Labels taken for others", ("label_names",)),
    Topic("risk", "Licence", ("licence",)),
    Topic("risk", "Translations that are none", ("copied_source", "empty_translations", "wrong_language")),
    Topic("risk", "Translations too short or too long", ("length_ratio",)),
    Topic("risk", "Lost placeholders", ("placeholder_survival",)),
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
    state = OF_VERDICT.get(verdict["transfer"], "not_measured")
    advice = {
        "not_measured": f"add {verdict['against']} to evaluation.baselines",
        "look": "give it more target rows or more evaluation.seeds before you rely on it",
        "stop": f"use {verdict['against']}, or another source",
    }
    return Light(
        state, VERDICT.kind, VERDICT.said, "verdict", verdict.get("difference"), 0.0,
        verdict["sentence"].partition(": ")[2] or verdict["sentence"], advice.get(state, ""),
    )  # fmt: skip


def _light_of_finding(finding: Mapping[str, Any]) -> Light:
    check = str(finding["check"])
    topic = next((topic for topic in TOPICS if topic.holds(check)), None)
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
