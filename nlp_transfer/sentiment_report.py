"""Assembles a sentiment run's report from its predictions, with what they say of the transfer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nlp_transfer.chain import Outcome, Scored, add_chain, chain_file, outcome_of
from nlp_transfer.data.rows import DomainData
from nlp_transfer.diagnostics.forgetting import forgetting_finding
from nlp_transfer.diagnostics.sentiment_run import FinishedRun, run_diagnostics
from nlp_transfer.evaluation.compare import Scorer
from nlp_transfer.evaluation.predictions import read_predictions
from nlp_transfer.evaluation.scorers import assumed_accuracy_spread, classification_scorer
from nlp_transfer.evaluation.scores import PRIMARY
from nlp_transfer.evidence_files import read_answers, read_drift, read_temperature_fit, read_texts, read_trust
from nlp_transfer.findings import Finding
from nlp_transfer.run_report import (
    add_mix,
    backward_transfer,
    compared_systems,
    costs_of,
    provenance,
    run_verdict,
    stored_mb,
)
from nlp_transfer.runs import read_history

if TYPE_CHECKING:
    from nlp_transfer.data.checks import DataReport
    from nlp_transfer.reporting.report import TransferReport
    from nlp_transfer.sentiment import SentimentTransfer

AGAINST = "target_only"
# Which probabilities the scores are of; the finding `calibration` has the error with the temperature too.
PROBABILITIES = "softmax of the logits, not divided by the model's temperature"


def build_report(recipe: SentimentTransfer, data: DataReport, *, systems: list[str]) -> TransferReport:
    """Compare all scored systems and write the report, in all its forms, into the run folder.

    Args:
        recipe: the run, trained and scored.
        data: what `check` found.
        systems: the scored ones, `adapted` last.
    """
    from nlp_transfer.reporting.classification_figures import classification_figures
    from nlp_transfer.reporting.report import TransferReport
    from nlp_transfer.reporting.worst import worst_classified

    domains = {"target": recipe.data.target, "source": recipe.data.source}
    present = {name: domain for name, domain in domains.items() if domain is not None}
    scorers = {name: _scorer(domain, recipe) for name, domain in present.items()}
    predicted = {name: {system: _per_seed(recipe, system, name) for system in systems} for name in present}
    content = compared_systems(recipe, scorers, predicted, systems=systems)
    content["systems"]["adapted"]["probabilities"] = PROBABILITIES
    content["findings"] = [finding.as_dict() for finding in [*data.findings, *run_findings(content)]]
    content["verdict"] = run_verdict(
        recipe,
        scorers["target"],
        predicted["target"],
        against="scratch" if "scratch" in systems and not recipe.can_have(AGAINST) else AGAINST,
        assumed_seed_spread=assumed_accuracy_spread(len(recipe.data.target.selection)),
        why_not=(
            f"{AGAINST if recipe.can_have(AGAINST) else 'scratch'} was not run: see evaluation.baselines"
            if len(recipe.data.target.train)
            else "there are no target labels"
        ),
    )
    run = finished_run(recipe, predicted, content)
    content["findings"] += [finding.as_dict() for finding in run_diagnostics(run)]
    add_mix(content, recipe.folder)
    add_chain(content, recipe.outcome)
    content["provenance"] = provenance(recipe, data, signatures=_signatures(recipe))
    report = TransferReport(content)
    test = recipe.data.target.test
    report.save(
        recipe.folder,
        figures=classification_figures(
            {system: each[0] for system, each in predicted["target"].items()},
            test.labels,
            label_names=recipe.data.label_names,
        ),
        worst_rows=worst_classified(
            predicted["target"]["adapted"][0],
            test.labels,
            ids=test.ids,
            texts=test.texts,
            label_names=recipe.data.label_names,
        ),
    )
    return report


def chain_outcome(recipe: SentimentTransfer) -> Outcome | None:
    """Score the chain's test sets and sum them up; None where the run has no chain."""
    chain = recipe.chain
    if chain is None:
        return None
    names = recipe.data.label_names
    scored = {
        each.fingerprint: Scored.of(
            _scorer(each.rows, recipe),
            *(
                read_predictions(chain_file(recipe.folder, system, each.fingerprint), names)
                for system in ("zero_shot", "adapted")
            ),
        )
        for each in chain.scored
    }
    return outcome_of(chain, scored, run=recipe.folder, metric=PRIMARY)


def finished_run(
    recipe: SentimentTransfer, predicted: Mapping[str, Mapping[str, list[Any]]], content: Mapping[str, Any]
) -> FinishedRun:
    """Gather what the diagnostics look at: predictions, and what evidence.py kept.

    Args:
        recipe: the run, trained and scored.
        predicted: domain, then system, to its predictions, one a seed.
        content: the report's, as far as its verdict.
    """
    labels, predictions = recipe.data.label_names, recipe.predictions_folder(recipe.first_seed)
    learnt = {
        system: read_answers(predictions / f"{system}.target_train.jsonl", labels)
        for system in ("zero_shot", "adapted")
    }
    return FinishedRun(
        recipe.data,
        predicted,
        verdict=content["verdict"],
        history=read_history(recipe.folder),
        seed=recipe.training_seed(recipe.first_seed),
        learnt={system: answers for system, answers in learnt.items() if answers is not None},
        dev=read_answers(predictions / "adapted.target_dev.jsonl", labels),
        source_dev=read_answers(predictions / "adapted.source_dev.jsonl", labels),
        temperature=read_temperature_fit(recipe.folder),
        trust=read_trust(recipe.folder),
        samples=read_texts(recipe.folder),
        drift=read_drift(recipe.folder),
        costs=costs_of(content),
        stored_mb=stored_mb(recipe.folder),
    )


def run_findings(content: dict[str, Any]) -> list[Finding]:
    """Judge the run by its own scores: does the source model stand, what was forgotten."""
    systems = content["systems"]
    source = {name: system["source"][PRIMARY] for name, system in systems.items() if system["source"]}
    change = backward_transfer(content)
    findings = [] if change is None else [forgetting_finding(change)]
    if "zero_shot" in source and {"majority", "tfidf"} & set(source):
        findings.insert(0, _source_model(source))
    return findings


def _source_model(source: dict[str, Any]) -> Finding:
    """Hold the source model against the better of the naive baselines on the source's own test rows."""
    naive = {name: source[name]["value"] for name in ("majority", "tfidf") if name in source}
    best = max(naive, key=lambda name: naive[name])
    margin = source["zero_shot"]["value"] - naive[best]
    better = margin > 0
    return Finding(
        check="source_model",
        severity="info" if better else "warn",
        value=margin,
        threshold=0.0,
        evidence=f"on {source['zero_shot']['n']:,} source test rows the source model is {margin * 100:+.1f} "
        f"points against {best}, the better naive baseline",
        advice=""
        if better
        else "the source model is not worth transferring: train it longer, or use a pretrained model with "
        "source_stage: null",
    )


def _scorer(domain: DomainData, recipe: SentimentTransfer) -> Scorer[Any]:
    return classification_scorer(
        domain.test.labels, groups=domain.test.groups, resamples=recipe.config.evaluation.bootstrap
    )


def _per_seed(recipe: SentimentTransfer, system: str, domain: str) -> list[Any]:
    return [
        read_predictions(
            recipe.predictions_folder(seed) / f"{system}.{domain}.jsonl", recipe.data.label_names
        )
        for seed in recipe.config.evaluation.seeds
    ]


def _signatures(recipe: SentimentTransfer) -> dict[str, str]:
    grouped = recipe.data.target.test.groups is not None
    of_groups = " of groups" if grouped else ""
    return {
        "accuracy": "share of rows",
        "macro_f1": "average: macro, zero_division: 0",
        "matthews_correlation": "multi-class (Gorodkin)",
        "expected_calibration_error": f"bins: 15, equal width; {PROBABILITIES}",
        "mcnemar_p": "the first seed's labels, two-sided; "
        + ("exact sign flips of whole groups" if grouped else "exact binomial"),
        "interval": f"percentile bootstrap, {recipe.config.evaluation.bootstrap} resamples{of_groups}",
    }
