"""The chain of adaptations that a run is the last step of: what it must not lose, and what it did lose.

Built before training from what the earlier runs left (history.py), scored by the recipe after it, and then
told: the report's `chain`, its findings, and whether the guard hands the model over.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nlp_transfer.data.leaks import dropped_finding, seen_finding
from nlp_transfer.diagnostics.continual import (
    ROUNDING,
    GuardDecision,
    chain_backward_transfer,
    chain_finding,
    forgetting_measure,
    guard,
    guard_finding,
)
from nlp_transfer.diagnostics.estimates import Estimate
from nlp_transfer.evaluation.compare import DIFFERENCES, Scorer
from nlp_transfer.findings import Finding
from nlp_transfer.history import STORED, EarlierRows, History, TestSet
from nlp_transfer.whole_files import write_text

# Beyond such a loss of the primary metric a test set does not count as kept where no guard says otherwise:
# those of the finding `forgetting`.
TOLERATED = {"accuracy": 0.02, "chrf++": 1.0}


@dataclass(frozen=True)
class Chain:
    """What a run is to be held against, before it is scored."""

    continued_from: str | None
    """Name of the model; None for a first run under a guard."""
    history: History
    sets: list[TestSet]
    learnt: set[str]
    """Keys of the rows that earlier runs were trained on."""
    max_drop: float | None
    """The guard's; None without one."""

    @property
    def scored(self) -> list[TestSet]:
        """Return the test sets whose rows were found."""
        return [each for each in self.sets if each.rows is not None]

    @property
    def lost(self) -> list[TestSet]:
        """Return the test sets that cannot be scored again."""
        return [each for each in self.sets if each.rows is None]


def with_own_source(earlier: EarlierRows, history: History, source: Any, *, run: Path) -> list[TestSet]:
    """Return the earlier test sets and, unless it is one of them, the run's own source's.

    What the run starts from may know its source already, so it counts as learnt before.
    """
    known = {each.fingerprint for each in earlier.sets}
    if source is None or source.test.fingerprint() in known:
        return earlier.sets
    steps = len(history.steps)
    own = TestSet(
        run=run.resolve().name, folder=str(run.resolve()), domain="source",
        fingerprint=source.test.fingerprint(), learnt_at=steps - 1, scores=[None] * steps, rows=source,
    )  # fmt: skip
    return [*earlier.sets, own]


# Before training ---------------------------------------------------------------------------------------


def preflight_findings(chain: Chain, domains: Sequence[Any]) -> list[Finding]:
    """Tell which test sets the chain has, and which rows stand on both sides of it.

    Args:
        chain: the run's.
        domains: the run's own, as they are learnt from.
    """
    found: list[Finding | None] = [
        Finding("chain_start", "warn", None, None, note, "continue from the run folder, where it is kept")
        for note in chain.history.notes
    ]
    for domain in domains:
        found += [dropped_finding(domain), seen_finding(domain, chain.learnt)]
    return [*filter(None, found), *_lost_findings(chain)]


def _lost_findings(chain: Chain) -> list[Finding]:
    """A test set that cannot be scored is not counted as kept; under a guard the run does not begin."""
    return [
        Finding(
            "chain_test_sets", "warn" if chain.max_drop is None else "block", None, None,
            f"the earlier test set {name_of(each, chain.sets)} could not be found and is not counted as "
            f"kept: {each.why_not}",
            "bring its data back where its config.yaml says"
            + ("" if chain.max_drop is None else ", or run without adaptation.guard"),
        )
        for each in chain.lost
    ]  # fmt: skip


def name_of(wanted: TestSet, sets: Sequence[TestSet]) -> str:
    """Name a test set by its run's folder and domain; by its step too where two runs are called the same."""
    name = f"{wanted.domain} of {wanted.run}"
    twins = [each for each in sets if (each.domain, each.run) == (wanted.domain, wanted.run)]
    return name if len(twins) < 2 else f"{name} (step {wanted.learnt_at})"


# Predictions -------------------------------------------------------------------------------------------


def chain_file(run: Path, system: str, fingerprint: str) -> Path:
    """Return where a run keeps a system's predictions for one test set of the chain."""
    return run / "predictions" / "chain" / f"{system}.{fingerprint}.jsonl"


def take_predictions(run: Path, earlier: Path | None, sets: Sequence[TestSet]) -> dict[str, list[TestSet]]:
    """Copy the predictions that are there already into the chain's folder; return what is to be scored yet.

    Args:
        run: this run's folder.
        earlier: that of the model that it continues from.
        sets: with rows.

    Returns:
        By system (`zero_shot` is the model before, `adapted` the one after) what has no predictions yet.
    """
    places: dict[str, list[tuple[Path | None, str]]] = {
        "zero_shot": [(earlier, "adapted"), (run, "zero_shot")],
        "adapted": [(run, "adapted")],
    }
    (run / "predictions" / "chain").mkdir(parents=True, exist_ok=True)
    missing: dict[str, list[TestSet]] = {system: [] for system in places}
    for system, looked_in in places.items():
        for each in sets:
            files = [_predicted(place, name, each) for place, name in looked_in if place is not None]
            content = next(filter(None, files), None)
            if content is None:
                missing[system].append(each)
            else:
                write_text(chain_file(run, system, each.fingerprint), content)
    return missing


def _predicted(run: Path, system: str, wanted: TestSet) -> str | None:
    """Read a run's predictions for a test set, if they are for its very rows."""
    try:
        domains = json.loads((run / "data.json").read_text(encoding="utf-8"))["domains"]
    except (OSError, ValueError, KeyError):
        domains = {}
    files = [chain_file(run, system, wanted.fingerprint)]
    files += [
        run / "predictions" / f"{system}.{name}.jsonl"
        for name, counts in domains.items()
        if counts["fingerprints"]["test"] == wanted.fingerprint
    ]
    for file in files:
        if file.is_file():
            content = file.read_text(encoding="utf-8")
            ids = [str(json.loads(line)["id"]) for line in content.splitlines()]
            if ids == [str(row_id) for row_id in wanted.rows.test.ids]:
                return content
    return None


# After training ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Scored:
    """One test set's scores by the model before and the one after."""

    before: float
    now: dict[str, Any]
    change: dict[str, Any]

    @classmethod
    def of(cls, scorer: Scorer[Any], before: Any, after: Any) -> Scored:
        """Score two predictions of the same rows."""
        primary = scorer.measures.primary
        compared = scorer.compare([after], [before], names=("adapted", "zero_shot"), domain="")
        change = next(entry for entry in compared if entry["metric"] == primary)
        kept = {key: change[key] for key in ("difference", "low", "high", "p")}
        return cls(scorer.seed_values([before])[0], scorer.scores([after])[primary], kept)


@dataclass(frozen=True)
class Outcome:
    """What became of a chain: the report's block, its findings, and the guard's decision."""

    block: dict[str, Any]
    findings: list[Finding]
    decision: GuardDecision | None

    @property
    def refused(self) -> bool:
        """Tell whether the guard keeps the model back."""
        return self.decision is not None and not self.decision.accepted


def outcome_of(chain: Chain, scored: Mapping[str, Scored], *, run: Path, metric: str) -> Outcome:
    """Sum a chain up.

    Args:
        chain: the run's.
        scored: by fingerprint.
        run: the run's folder.
        metric: the primary one.
    """
    names = {each.fingerprint: name_of(each, chain.sets) for each in chain.sets}
    sets = [_with_scores(each, scored.get(each.fingerprint)) for each in chain.sets]
    found = [each for each in sets if each.fingerprint in scored]
    transfer, forgot = _summed_up(found)
    factor, unit = DIFFERENCES[metric]
    tolerated = TOLERATED[metric]
    findings = [
        chain_finding(transfer, forgot, threshold=-tolerated, factor=factor, unit=unit)
        if chain.sets or chain.max_drop is None
        else None
    ]
    decision = None
    if chain.max_drop is not None:
        decision = _decided(found, names, scored, chain.max_drop)
        findings.append(guard_finding(decision, factor=factor, unit=unit))
    limit = tolerated if chain.max_drop is None else chain.max_drop
    block = {
        "continued_from": chain.continued_from,
        "metric": metric,
        "steps": [*chain.history.steps, run.resolve().name],
        "test_sets": [_entry(each, names, scored.get(each.fingerprint), limit) for each in sets],
        "kept_within": limit,
        "backward_transfer": _estimate(transfer),
        "forgetting": _estimate(forgot),
        "guard": None
        if decision is None
        else {"max_drop": decision.max_drop, "accepted": decision.accepted, "worst": decision.worst},
        "origin": chain.history.origin,
        "notes": chain.history.notes,
    }
    return Outcome(block, [each for each in findings if each is not None], decision)


def _with_scores(each: TestSet, scored: Scored | None) -> TestSet:
    """Add what this run saw of a test set: the score of the step before, and its own."""
    if scored is None:
        return each.later(None)
    before = dataclasses.replace(each, scores=[*each.scores[:-1], scored.before])
    return before.later(scored.now["value"])


def _summed_up(sets: Sequence[TestSet]) -> tuple[Estimate, Estimate]:
    """Return backward transfer and forgetting over the test sets that were found."""
    scores = np.full((len(sets[0].scores) if sets else 1, len(sets)), np.nan)
    for column, each in enumerate(sets):
        scores[:, column] = [np.nan if score is None else score for score in each.scores]
    learnt = [_first_score(each) for each in sets]
    return chain_backward_transfer(scores, learnt), forgetting_measure(scores, learnt)


def _first_score(each: TestSet) -> int:
    """Return the step at which a test set was learnt, or the first one after it that was scored."""
    known = [step for step, score in enumerate(each.scores) if score is not None and step >= each.learnt_at]
    return known[0] if known else each.learnt_at


def _decided(
    sets: Sequence[TestSet], names: Mapping[str, str], scored: Mapping[str, Scored], max_drop: float
) -> GuardDecision:
    earlier = [
        {names[each.fingerprint]: score} for each in sets for score in each.scores[:-1] if score is not None
    ]
    now = {names[each.fingerprint]: scored[each.fingerprint].now for each in sets}
    return guard(
        earlier,
        {name: score["value"] for name, score in now.items()},
        max_drop=max_drop,
        test_rows={name: score["n"] for name, score in now.items()},
    )


def _entry(each: TestSet, names: Mapping[str, str], scored: Scored | None, limit: float) -> dict[str, Any]:
    """Return a test set as the report has it; `kept` is None where it was not scored."""
    kept, lost = None, None
    if scored is not None:
        lost = max(score for score in each.scores[:-1] if score is not None) - scored.now["value"]
        # As the guard does: sums of scores in floating point must not decide.
        kept = bool(lost <= limit + ROUNDING)
    stored = {key: getattr(each, key) for key in STORED}
    return {
        "name": names[each.fingerprint],
        **stored,
        "now": None if scored is None else scored.now,
        "change": None if scored is None else scored.change,
        "lost": lost,
        "kept": kept,
        "why_not": each.why_not,
    }


def _estimate(estimate: Estimate) -> dict[str, Any]:
    return {"value": estimate.value, "n": estimate.n, "reason": estimate.reason}


def add_chain(content: dict[str, Any], outcome: Outcome | None) -> None:
    """Put the chain into a report's content, with its findings."""
    if outcome is not None:
        content["chain"] = outcome.block
        content["findings"] += [finding.as_dict() for finding in outcome.findings]
