"""Assembles a translation run's report from its translations, with what they say of the transfer."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlp_transfer.chain import Outcome, Scored, add_chain, chain_file, outcome_of
from nlp_transfer.data.pairs import PairDomain
from nlp_transfer.diagnostics.forgetting import MIN_CHRF_BACKWARD_TRANSFER, forgetting_finding
from nlp_transfer.diagnostics.translation_run import FinishedTranslations, run_diagnostics
from nlp_transfer.errors import DataError
from nlp_transfer.evaluation.compare import Scorer
from nlp_transfer.evaluation.predictions import read_translations, read_translations_by_id, write_counts
from nlp_transfer.evaluation.scorers import ASSUMED_CHRF_SEED_SPREAD, counted_translation_scorer
from nlp_transfer.evaluation.translation_scores import (
    PRIMARY,
    SentenceStatistics,
    metric_signatures,
    sentence_statistics,
    worst_rows,
)
from nlp_transfer.evidence_files import read_drift, read_losses, read_related, read_texts
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
    from nlp_transfer.translation import TranslationTransfer

AGAINST = "scratch"


def build_report(recipe: TranslationTransfer, data: DataReport, *, systems: list[str]) -> TransferReport:
    """Compare all scored systems and write `report.json`, `report.md` and the figures into the run folder.

    Args:
        recipe: the run, trained and scored.
        data: what `check` found.
        systems: the scored ones, `adapted` last; other programs' outputs are added.
    """
    from nlp_transfer.reporting.report import TransferReport
    from nlp_transfer.reporting.translation_figures import translation_figures

    domains = {"target": recipe.data.target, "source": recipe.data.source}
    present = {name: domain for name, domain in domains.items() if domain is not None}
    scorers = {name: _scorer(domain, recipe) for name, domain in present.items()}
    translated = {name: _translated(recipe, name, systems) for name in present}
    external = read_external(recipe)
    translated["target"] |= {name: [translations] for name, translations in external.items()}
    predicted = {name: _counted(domain, translated[name]) for name, domain in present.items()}
    for name, domain in present.items():
        _keep_counts(recipe, name, domain, predicted[name]["adapted"])
    scored = [*systems[:-1], *external, *systems[-1:]]
    content = compared_systems(recipe, scorers, predicted, systems=scored)
    target = recipe.data.target
    first = {system: list(each[0]) for system, each in translated["target"].items()}
    content["verdict"] = run_verdict(
        recipe,
        scorers["target"],
        predicted["target"],
        against=AGAINST,
        assumed_seed_spread=ASSUMED_CHRF_SEED_SPREAD,
        why_not=_why_not(recipe),
    )
    findings = [
        *data.findings,
        *run_findings(content),
        *run_diagnostics(finished_translations(recipe, predicted, content)),
        *_sanity(recipe, first["adapted"]),
    ]
    content["findings"] = [finding.as_dict() for finding in findings]
    add_chain(content, recipe.outcome)
    add_mix(content, recipe.folder)
    signatures = {
        **metric_signatures(_only_language(target)),
        "interval": f"percentile bootstrap, {recipe.config.evaluation.bootstrap} resamples",
    }
    content["provenance"] = provenance(recipe, data, signatures=signatures)
    report = TransferReport(content)
    report.save(
        recipe.folder,
        figures=translation_figures(first, target.test.targets, target.test.sources),
        worst_rows=worst_rows(target.test.ids, target.test.sources, target.test.targets, first["adapted"]),
    )
    return report


def chain_outcome(recipe: TranslationTransfer) -> Outcome | None:
    """Score the chain's test sets and sum them up; None where the run has no chain."""
    chain = recipe.chain
    if chain is None:
        return None
    scored = {}
    for each in chain.scored:
        written = {
            system: [read_translations(chain_file(recipe.folder, system, each.fingerprint))]
            for system in ("zero_shot", "adapted")
        }
        counts = _counted(each.rows, written)
        scored[each.fingerprint] = Scored.of(
            _scorer(each.rows, recipe), counts["zero_shot"][0], counts["adapted"][0]
        )
    return outcome_of(chain, scored, run=recipe.folder, metric=PRIMARY)


def finished_translations(
    recipe: TranslationTransfer,
    predicted: Mapping[str, Mapping[str, list[SentenceStatistics]]],
    content: Mapping[str, Any],
) -> FinishedTranslations:
    """Gather what the diagnostics look at: counted translations, and what translation_evidence.py kept.

    Args:
        recipe: the run, trained and scored.
        predicted: domain, then system, to its counted translations, one a seed.
        content: the report's, with the systems' scores and costs and the verdict.
    """
    folder = recipe.predictions_folder(recipe.first_seed)
    written = {
        name: read_translations_by_id(path) if (path := folder / f"adapted.{name}.jsonl").is_file() else {}
        for name in ("target_train", "target_dev", "source_dev")
    }
    return FinishedTranslations(
        recipe.data,
        counts={
            domain: {system: each[0].chrf for system, each in systems.items()}
            for domain, systems in predicted.items()
        },
        per_seed={name: system["per_seed"].get("target", ()) for name, system in content["systems"].items()},
        verdict=content["verdict"],
        history=read_history(recipe.folder),
        seed=recipe.training_seed(recipe.first_seed),
        learnt=written["target_train"],
        dev=written["target_dev"],
        source_dev=written["source_dev"],
        losses=read_losses(recipe.folder),
        samples=read_texts(recipe.folder),
        drift=read_drift(recipe.folder),
        costs=costs_of(content),
        stored_mb=stored_mb(recipe.folder),
    )


def run_findings(content: dict[str, Any]) -> list[Finding]:
    """Judge the run by its own scores: is the parent any good, what was forgotten, is copying beaten."""
    systems = content["systems"]
    findings = []
    source = {name: system["source"][PRIMARY] for name, system in systems.items() if system["source"]}
    if {"zero_shot", "copy"} <= set(source):
        findings.append(
            _beats_copy("source_model", "the parent", source["zero_shot"], source["copy"], "source")
        )
    change = backward_transfer(content)
    if change is not None:
        findings.append(
            forgetting_finding(
                change,
                threshold=MIN_CHRF_BACKWARD_TRANSFER,
                score="chrF++",
                factor=1.0,
                unit="points of chrF++",
            )
        )
    target = {name: system["target"][PRIMARY] for name, system in systems.items()}
    if "copy" in target:
        findings.append(_beats_copy("beats_copy", "adapted", target["adapted"], target["copy"], "target"))
    return findings


def _beats_copy(check: str, name: str, score: dict[str, Any], copy: dict[str, Any], domain: str) -> Finding:
    """Hold a system against the source left as it is: what a user has without any system."""
    margin = score["value"] - copy["value"]
    better = margin > 0
    return Finding(
        check=check,
        severity="info" if better else "warn",
        value=margin,
        threshold=0.0,
        evidence=f"on {score['n']:,} {domain} test pairs {name} is {margin:+.1f} chrF++ against copying the "
        "source",
        advice=""
        if better
        else "it translates worse than leaving the text as it is: train it longer, on more "
        "pairs, or start from another parent",
    )


def _sanity(recipe: TranslationTransfer, translations: list[str]) -> list[Finding]:
    from nlp_transfer.diagnostics.translation_sanity import sanity_findings

    target, source = recipe.data.target, recipe.data.source
    language = _only_language(target)
    if language is None:
        return []
    others = {code for pair in [*target.directions, *(source.directions if source else [])] for code in pair}
    others |= set(read_related(recipe.folder).values())
    return sanity_findings(
        translations,
        target.test.targets,
        target.test.sources,
        tgt_lang=language,
        candidates=sorted(others - {language}),
    )


def _only_language(domain: PairDomain) -> str | None:
    """Return the language that all of a domain is translated into, or None where there are several."""
    languages = {tgt_lang for _, tgt_lang in domain.directions}
    return next(iter(languages)) if len(languages) == 1 else None


def _why_not(recipe: TranslationTransfer) -> str:
    if not len(recipe.data.target.train):
        return "there are no target pairs"
    if not recipe.maker(recipe.first_seed).is_trained():
        return "the model was made from nothing, so that nothing was transferred"
    return f"{AGAINST} was not run"


def _scorer(domain: PairDomain, recipe: TranslationTransfer) -> Scorer[Any]:
    return counted_translation_scorer(len(domain.test), resamples=recipe.config.evaluation.bootstrap)


def _counted(
    domain: PairDomain, translated: dict[str, list[list[str]]]
) -> dict[str, list[SentenceStatistics]]:
    """Count each system's translations, row by row."""
    language = _only_language(domain)
    return {
        system: [sentence_statistics(each, domain.test.targets, tgt_lang=language) for each in per_seed]
        for system, per_seed in translated.items()
    }


def _keep_counts(
    recipe: TranslationTransfer, name: str, domain: PairDomain, per_seed: list[SentenceStatistics]
) -> None:
    """Keep the adapted model's counts beside its translations: `compare` has no references."""
    for seed, statistics in zip(recipe.config.evaluation.seeds, per_seed, strict=True):
        path = recipe.predictions_folder(seed) / f"adapted.{name}.counts.npz"
        write_counts(path, domain.test.ids, statistics)


def _translated(recipe: TranslationTransfer, domain: str, systems: list[str]) -> dict[str, list[list[str]]]:
    """Read each system's translations, one list a seed; `copy` has one for all."""
    found = {}
    for system in systems:
        seeds = recipe.config.evaluation.seeds[: 1 if system == "copy" else None]
        files = [recipe.predictions_folder(seed) / f"{system}.{domain}.jsonl" for seed in seeds]
        if all(file.is_file() for file in files):
            found[system] = [read_translations(file) for file in files]
    return found


def read_external(recipe: TranslationTransfer) -> dict[str, list[str]]:
    """Read other systems' translations of the target's test sources, a line each.

    Raises:
        DataError: a file cannot be read, or has another number of lines than there are test pairs.
    """
    found = {}
    wanted = len(recipe.data.target.test)
    for name, path in recipe.config.evaluation.external.items():
        try:
            lines = Path(path).expanduser().read_text(encoding="utf-8").split("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"evaluation.external.{name}: {path} cannot be read: {error}") from error
        lines = lines[:-1] if lines and not lines[-1] else lines
        if len(lines) != wanted:
            raise DataError(
                f"evaluation.external.{name}: {path} has {len(lines):,} lines and there are {wanted:,} test "
                "pairs; `nlp-transfer check CONFIG --write-test FILE` writes their sources, a line each"
            )
        found[name] = [line.rstrip("\r") for line in lines]
    return found
