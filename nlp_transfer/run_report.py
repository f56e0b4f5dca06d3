"""What both tasks' reports share: scores of all systems, paired comparisons, the verdict, provenance.

What is found beside the scores, and what is drawn, stands in sentiment_report.py and translation_report.py.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlp_transfer.config import as_dict
from nlp_transfer.diagnostics.estimates import MIN_ROWS, Estimate, too_few
from nlp_transfer.diagnostics.forgetting import mix_finding
from nlp_transfer.environment import versions
from nlp_transfer.evaluation.compare import Scorer, verdict
from nlp_transfer.evaluation.mixes import read_mix

if TYPE_CHECKING:
    from pathlib import Path

    from nlp_transfer.data.checks import DataReport
    from nlp_transfer.recipe import TransferRecipe

Predicted = Mapping[str, Mapping[str, Sequence[Any]]]
"""Predictions by domain and system, one a seed."""


def compared_systems(
    recipe: TransferRecipe,
    scorers: Mapping[str, Scorer[Any]],
    predicted: Predicted,
    *,
    systems: Sequence[str],
) -> dict[str, Any]:
    """Score all systems and compare `adapted` with each: the head of a report's content.

    Args:
        recipe: the run, trained and scored.
        scorers: one for each domain.
        predicted: a system may be missing from a domain that it has nothing to say about.
        systems: the scored ones, in the report's order.
    """
    primary = scorers["target"].measures.primary
    return {
        "schema": 1,
        "task": recipe.task,
        "primary_metric": primary,
        "systems": {system: _system(recipe, system, scorers, predicted) for system in systems},
        "comparisons": [
            entry
            for name, scorer in scorers.items()
            for system in systems
            if system != "adapted" and system in predicted[name]
            for entry in scorer.compare(
                predicted[name]["adapted"], predicted[name][system], names=("adapted", system), domain=name
            )
        ],
    }


def _system(
    recipe: TransferRecipe, system: str, scorers: Mapping[str, Scorer[Any]], predicted: Predicted
) -> dict[str, Any]:
    scores: dict[str, Any] = {"target": {}, "source": {}}
    per_seed: dict[str, Any] = {}
    for name, scorer in scorers.items():
        if system in predicted[name]:
            scores[name] = scorer.scores(predicted[name][system])
            per_seed[name] = scorer.seed_values(predicted[name][system])
    return {**scores, "per_seed": per_seed, "cost": recipe.cost_of(system)}


def backward_transfer(content: Mapping[str, Any]) -> Estimate | None:
    """Return the source score after adaptation minus before, as the report compares the two systems.

    It is forgetting.backward_transfer's number, over all seeds and in any metric: the primary score of the
    same source test rows, with the interval of their paired bootstrap.

    Args:
        content: the report's, with `systems` and `comparisons`.

    Returns:
        None where there is no source, or nothing before adaptation.
    """
    wanted = {
        "system": "adapted", "against": "zero_shot", "domain": "source", "metric": content["primary_metric"],
    }  # fmt: skip
    for entry in content["comparisons"]:
        if wanted.items() <= entry.items():
            n = content["systems"]["adapted"]["source"][content["primary_metric"]]["n"]
            if n < MIN_ROWS:
                return too_few(n, MIN_ROWS, "source test rows")
            return Estimate(entry["difference"], n, entry["low"], entry["high"])
    return None


def costs_of(content: Mapping[str, Any]) -> dict[str, Mapping[str, float]]:
    """Return each system's cost, for those that have one."""
    return {name: system["cost"] for name, system in content["systems"].items() if system["cost"]}


def stored_mb(folder: Path) -> dict[str, float]:
    """Return the size of the adapted model's weights in MB, as `model` and, for LoRA, as `adapter`."""
    sizes = {
        name: sum(file.stat().st_size for file in (folder / name).glob("*.safetensors"))
        for name in ("model", "adapter")
    }
    return {name: size / 2**20 for name, size in sizes.items() if size}


def run_verdict(
    recipe: TransferRecipe,
    scorer: Scorer[Any],
    predicted: Mapping[str, Sequence[Any]],
    *,
    against: str,
    assumed_seed_spread: float,
    why_not: str,
) -> dict[str, Any]:
    """Say whether transfer helped on the target.

    Args:
        recipe: the run.
        scorer: the target's.
        predicted: the target's predictions by system.
        against: the system without transfer.
        assumed_seed_spread: see `Scorer.noise`.
        why_not: why there is nothing to compare with, where `against` was not scored.
    """
    seeds, primary = len(recipe.config.evaluation.seeds), scorer.measures.primary
    if against not in predicted:
        return verdict(None, metric=primary, against=against, seeds=seeds, why_not=why_not)
    noise = scorer.noise(predicted["adapted"], predicted[against], assumed_seed_spread=assumed_seed_spread)
    return verdict(noise, metric=primary, against=against, seeds=seeds)


def provenance(recipe: TransferRecipe, data: DataReport, *, signatures: Mapping[str, str]) -> dict[str, Any]:
    """Say what the run was made of: configuration, versions, seeds, data, how scores are counted."""
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
        "num_processes": recipe.num_processes(),
        "metric_signatures": dict(signatures),
    }


COUNTED = ("card", "licence", "dropped", "unused", "directions")


def _counts(domain: Any, checked: Mapping[str, Any]) -> dict[str, Any]:
    """Count a domain's rows, with the fingerprint of its test rows."""
    kept = {key: checked[key] for key in COUNTED if key in checked}
    sizes = {"train": len(domain.train), "dev": len(domain.dev), "test": len(domain.test)}
    return {**sizes, "fingerprint": domain.test.fingerprint(), **kept}


def add_mix(content: dict[str, Any], folder: Path) -> None:
    """Add which mix of weights the run keeps, to the findings and as `mix`; all of the change, kept unasked,
    is none.
    """
    choice = read_mix(folder)
    if choice is not None:
        content["mix"] = choice.as_dict()
        content["findings"].append(mix_finding(choice, metric=content["primary_metric"]).as_dict())
