"""Assembles a sentiment run's report from its predictions: scores, comparisons, findings, verdict,
provenance.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from nlp_transfer.config import as_dict
from nlp_transfer.data.rows import DomainData
from nlp_transfer.evaluation.compare import PRIMARY, Scorer, number_groups, verdict
from nlp_transfer.evaluation.predictions import read_predictions
from nlp_transfer.findings import Finding
from nlp_transfer.runs import versions

if TYPE_CHECKING:
    from nlp_transfer.data.checks import DataReport
    from nlp_transfer.reporting.report import TransferReport
    from nlp_transfer.sentiment import SentimentTransfer

AGAINST = "target_only"
# Forgetting is warned of beyond this many points of accuracy on the source; see CONTRIBUTING.md.
FORGETTING_THRESHOLD = -0.02


def build_report(recipe: SentimentTransfer, data: DataReport, *, systems: list[str]) -> TransferReport:
    """Compare all scored systems and write the report, in all its forms, into the run folder.

    Args:
        recipe: the run, trained and scored.
        data: what `check` found.
        systems: the scored ones, `adapted` last.
    """
    from nlp_transfer.reporting.report import TransferReport
    from nlp_transfer.reporting.worst import worst_classified

    domains = {"target": recipe.data.target, "source": recipe.data.source}
    present = {name: domain for name, domain in domains.items() if domain is not None}
    scorers = {name: _scorer(domain, recipe) for name, domain in present.items()}
    predicted = {name: {system: _per_seed(recipe, system, name) for system in systems} for name in present}
    content = {
        "schema": 1,
        "task": recipe.task,
        "primary_metric": PRIMARY,
        "systems": {system: _system(recipe, system, scorers, predicted) for system in systems},
        "comparisons": [
            entry
            for name, scorer in scorers.items()
            for system in systems
            if system != "adapted"
            for entry in scorer.compare(
                predicted[name]["adapted"], predicted[name][system], names=("adapted", system), domain=name
            )
        ],
    }
    content["findings"] = [finding.as_dict() for finding in [*data.findings, *run_findings(content)]]
    content["verdict"] = _verdict(recipe, scorers["target"], predicted["target"])
    content["provenance"] = _provenance(recipe, data)
    report = TransferReport(content)
    test = recipe.data.target.test
    report.save(
        recipe.folder,
        probabilities={system: each[0] for system, each in predicted["target"].items()},
        references=test.labels,
        label_names=recipe.data.label_names,
        worst_rows=worst_classified(
            predicted["target"]["adapted"][0],
            test.labels,
            ids=test.ids,
            texts=test.texts,
            label_names=recipe.data.label_names,
        ),
    )
    return report


def run_findings(content: dict[str, Any]) -> list[Finding]:
    """Judge the run by its own scores: does the source model stand, what was forgotten."""
    systems = content["systems"]
    source = {name: system["source"][PRIMARY] for name, system in systems.items() if system["source"]}
    if "zero_shot" not in source:
        return []
    findings = [_forgetting(source)]
    if {"majority", "tfidf"} & set(source):
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


def _forgetting(source: dict[str, Any]) -> Finding:
    """Measure backward transfer: the source's score after adaptation minus before (Lopez-Paz and Ranzato
    2017).
    """
    change = source["adapted"]["value"] - source["zero_shot"]["value"]
    kept = change >= FORGETTING_THRESHOLD
    return Finding(
        check="forgetting",
        severity="info" if kept else "warn",
        value=change,
        threshold=FORGETTING_THRESHOLD,
        evidence=f"accuracy on {source['adapted']['n']:,} source test rows changed by {change * 100:+.1f} "
        "points",
        advice="" if kept else "raise adaptation.replay if the source domain still matters",
    )


def _scorer(domain: DomainData, recipe: SentimentTransfer) -> Scorer:
    return Scorer(
        domain.test.labels,
        groups=number_groups(domain.test.groups),
        resamples=recipe.config.evaluation.bootstrap,
    )


def _per_seed(recipe: SentimentTransfer, system: str, domain: str) -> list[Any]:
    return [
        read_predictions(
            recipe.predictions_folder(seed) / f"{system}.{domain}.jsonl", recipe.data.label_names
        )
        for seed in recipe.config.evaluation.seeds
    ]


def _system(
    recipe: SentimentTransfer,
    system: str,
    scorers: dict[str, Scorer],
    predicted: dict[str, dict[str, list[Any]]],
) -> dict[str, Any]:
    scores: dict[str, Any] = {"target": {}, "source": {}}
    for name, scorer in scorers.items():
        scores[name] = scorer.scores(predicted[name][system])
    per_seed = {name: scorer.seed_values(predicted[name][system]) for name, scorer in scorers.items()}
    return {**scores, "per_seed": per_seed, "cost": recipe.cost_of(system)}


def _verdict(recipe: SentimentTransfer, scorer: Scorer, predicted: dict[str, list[Any]]) -> dict[str, Any]:
    seeds = len(recipe.config.evaluation.seeds)
    if AGAINST not in predicted:
        why = "there are no target labels" if not len(recipe.data.target.train) else f"{AGAINST} was not run"
        return verdict(None, against=AGAINST, seeds=seeds, why_not=why)
    noise = scorer.noise(
        predicted["adapted"], predicted[AGAINST], train_rows=len(recipe.data.target.selection)
    )
    return verdict(noise, against=AGAINST, seeds=seeds)


def _provenance(recipe: SentimentTransfer, data: DataReport) -> dict[str, Any]:
    domains = {"target": recipe.data.target, "source": recipe.data.source}
    counts = {
        name: {} if domain is None else _counts(domain, data.domains[name])
        for name, domain in domains.items()
    }
    return {
        "config": json.loads(json.dumps(as_dict(recipe.config))),
        "versions": versions(),
        "seeds": recipe.config.evaluation.seeds,
        "data": counts,
        "num_processes": recipe._num_processes(),
        "metric_signatures": {
            "accuracy": "share of rows",
            "macro_f1": "average: macro, zero_division: 0",
            "matthews_correlation": "multi-class (Gorodkin)",
            "expected_calibration_error": "bins: 15, equal width",
            "interval": f"percentile bootstrap, {recipe.config.evaluation.bootstrap} resamples"
            + (" of groups" if recipe.data.target.test.groups is not None else ""),
        },
    }


def _counts(domain: DomainData, checked: dict[str, Any]) -> dict[str, Any]:
    """Count a domain's rows, with the fingerprint of its test rows."""
    kept: dict[str, Any] = {
        key: checked[key] for key in ("card", "licence", "dropped", "unused") if key in checked
    }
    sizes = {"train": len(domain.train), "dev": len(domain.dev), "test": len(domain.test)}
    return {**sizes, "fingerprint": domain.test.fingerprint(), **kept}
