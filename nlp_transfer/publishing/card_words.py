"""Puts what a report holds into the sentences and tables of a model card; the template escapes them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from nlp_transfer.data.cards import DataCard, load_card
from nlp_transfer.errors import TransferError
from nlp_transfer.publishing.licences import judge_licence
from nlp_transfer.publishing.origin import BaseModel
from nlp_transfer.reporting.chain_tables import chain_headings, chain_rows
from nlp_transfer.reporting.markdown import escaped, table
from nlp_transfer.reporting.report import TransferReport
from nlp_transfer.reporting.wording import METRICS, metric_of

HUB_DATA = re.compile(r"hub://([^@]+)@")
PRIVACY_CHECK = re.compile(r"privacy|memori[sz]|membership|extraction|exposure|canary")
# Findings that have a section of their own, or say what the table of data says.
TOLD_ELSEWHERE = ("licence", "forgetting", "calibration", "chain_backward_transfer", "chain_start")


@dataclass(frozen=True)
class DataSource:
    """One domain's data, as it can be told to others."""

    domain: str
    name: str
    identifier: str
    """A word for `model-index`."""
    licence: str
    hub_id: str | None = None
    languages: tuple[str, ...] = ()
    remark: str = ""


def data_sources(report: TransferReport) -> list[DataSource]:
    """Return where each domain's rows are from, the target first.

    Args:
        report: the run's own, with its paths: a card of one's own is read from where it is.
    """
    data = report.content["provenance"].get("data") or {}
    found = [(name, data.get(name) or {}) for name in ("target", "source")]
    return [_data_source(name, counts) for name, counts in found if counts]


def languages(report: TransferReport, data: Sequence[DataSource]) -> list[str]:
    """Return language codes for the metadata: the pair of a translation, else what the data cards say."""
    pair = [code for code in language_pair(report) if code]
    return pair or list(dict.fromkeys(code for source in data for code in source.languages))


def language_pair(report: TransferReport) -> tuple[str, str]:
    """Return source and target language of a translation run, each empty where the report names none."""
    provenance = report.content["provenance"]
    config = ((provenance.get("config") or {}).get("data") or {}).get("target") or {}
    data = provenance.get("data") or {}
    places = [data.get("target") or {}, data, config]
    pair = (next((place[key] for place in places if place.get(key)), "") for key in ("src_lang", "tgt_lang"))
    src_lang, tgt_lang = (str(code) for code in pair)
    return src_lang, tgt_lang


def how_it_was_made(report: TransferReport) -> str:
    """Say by which route and method, from how many labels."""
    config = report.content["provenance"].get("config") or {}
    method = (config.get("adaptation") or {}).get("method", "full")
    labels = report.labels_seen("target") or 0
    noun = "pairs" if report.content["task"] == "translation" else "labels"
    start = "first on the source domain, then" if report.labels_seen("source") else "directly"
    texts = _unlabelled_words(report)
    chain = report.content.get("chain") or {}
    if chain.get("continued_from"):
        steps = " -> ".join(str(step) for step in chain["steps"])
        learnt = " and ".join(filter(None, [f"{labels:,} more {noun}" if labels else "", texts]))
        how = f" trained on {learnt} (method {method})" if learnt else " not trained further"
        return f"adapted in steps ({steps}), in the last one{how}"
    if not labels and texts:
        return f"trained {start} on {texts} (method {method}), without {noun} of the target"
    if not labels:
        return f"trained on the source domain alone, without {noun} of the target"
    joined = f" and {texts}" if texts else ""
    return f"trained {start} on {labels:,} target {noun}{joined} (method {method})"


def _unlabelled_words(report: TransferReport) -> str:
    """Say how many target texts were learnt without labels, and how; empty where none were."""
    found = _finding(report, "unlabelled")
    config = (report.content["provenance"].get("config") or {}).get("adaptation") or {}
    if found is None or not config.get("unlabelled"):
        return ""
    how = {"self_training": "self-training", "mlm": "masked words"}[config["unlabelled"]["method"]]
    return f"{round(found['value']):,} target texts without labels by {how}"


def licence_sentence(base: BaseModel) -> str:
    """Say what the base model's licence is, or that nobody knows."""
    if judge_licence(base.licence) == "unknown":
        return f"Its licence is not known ({base.evidence}: {base.licence or 'none stated'})."
    return f"Its licence is {base.licence} ({base.evidence}), and holds for what was made from it too."


def data_table(report: TransferReport, data: Sequence[DataSource]) -> str:
    """Render where the rows are from, how many there were, and their licences."""
    counts = report.content["provenance"].get("data") or {}
    rows = [
        [
            source.domain,
            source.name,
            source.licence,
            *(f"{counts[source.domain].get(part) or 0:,}" for part in ("train", "dev", "test")),
        ]
        for source in data
    ]
    return table(["domain", "data", "licence", "train", "dev", "test"], rows, numbers=3)


def system_tables(report: TransferReport) -> list[dict[str, str]]:
    """Render the scores, a table for each domain."""
    return [
        {"domain": domain, "rows": report.test_rows(domain), "text": _system_table(report, domain)}
        for domain in report.domains
    ]


def forgetting(report: TransferReport) -> str:
    """Say what adapting cost on the source domain, by the report's own finding."""
    found = _finding(report, "forgetting")
    if found is None:
        return "Not measured: the run has no source domain to compare on before and after."
    parts = [found["evidence"], found.get("advice")]
    return " ".join(_sentence(part) for part in parts if part)


def chain_table(report: TransferReport) -> str:
    """Render the scores of every earlier test set after each step of a chain; empty without one."""
    rows = chain_rows(report)
    return table([*map(escaped, chain_headings(report))], rows) if rows else ""


def calibration(report: TransferReport, *, temperature: float = 1.0) -> str:
    """Say how far its probabilities can be believed; empty where that was not measured.

    Args:
        report: the run's.
        temperature: what stands beside the model's weights.
    """
    score = report.score("adapted", "target", "expected_calibration_error")
    parts = []
    if score is not None:
        metric = metric_of("expected_calibration_error")
        low, high = metric.text(score["low"]), metric.text(score["high"])
        bare = "Without the temperature its" if temperature != 1.0 else "Its"
        parts.append(
            f"{bare} probabilities are off by {metric.text(score['value'])} points on average (expected "
            f"calibration error on target test rows, 95% interval {low} to {high}, n = {score['n']:,})."
        )
    if temperature != 1.0:
        parts.append(
            f"`load_adapted` divides the logits by {temperature:.2f} (calibration.json), which changes no "
            "label but makes the probabilities fit dev rows; the pipeline of transformers does not."
        )
    found = _finding(report, "calibration")
    return " ".join([*parts, *([_sentence(found["evidence"])] if found else [])])


def privacy(report: TransferReport) -> list[str]:
    """Return what the report measured about training rows showing through."""
    return [
        f"{finding['check']}: {_sentence(finding['evidence'])}"
        for finding in report.findings
        if PRIVACY_CHECK.search(str(finding["check"]))
    ]


def limits(
    report: TransferReport,
    data: Sequence[DataSource],
    label_names: Sequence[str],
    max_length_tokens: int | None,
) -> list[str]:
    """List in plain words what the model is not good for, and what is doubtful about its scores."""
    rows = report.test_rows("target")
    found = [
        f"The scores hold for texts like the target's test rows ({rows}); on other texts they are unknown."
    ]
    if report.content["task"] == "translation":
        found.append(
            "It translates sentence by sentence, and like all such models may leave out or invent content."
        )
    elif label_names:
        found.append(f"It always answers with one of {', '.join(label_names)}, also where none of them fits.")
    if max_length_tokens:
        found.append(f"Texts are cut after {max_length_tokens:,} tokens; what stands behind is not read.")
    found += [
        f"The licence of the {source.domain} data ({source.name}) is not known: find it out first."
        for source in data
        if judge_licence(source.licence) == "unknown"
    ]
    found += [
        _sentence(finding["evidence"])
        for finding in report.findings
        if finding["severity"] != "info"
        and finding["check"] not in TOLD_ELSEWHERE
        and not PRIVACY_CHECK.search(str(finding["check"]))
    ]
    return found


def cost(report: TransferReport) -> str:
    """Say what making the adapted model took."""
    spent = (report.systems.get("adapted") or {}).get("cost") or {}
    if not spent:
        return "Not measured."
    source = (
        f", after {spent['source_seconds']:,.0f} s for the source model"
        if spent.get("source_seconds")
        else ""
    )
    memory = f" Peak memory: {spent['peak_rss_mb']:,.0f} MB." if spent.get("peak_rss_mb") else ""
    share = spent.get("trainable_share") or 0.0
    several = spent.get("trainings") or 0
    averaged = f" (the weights are the mean of {several} trainings)" if several > 1 else ""
    return (
        f"Adapting took {spent.get('seconds') or 0:,.0f} s of training{averaged} and "
        f"{spent.get('selection_seconds') or 0:,.0f} s of selection{source}; "
        f"{spent.get('trainable_parameters') or 0:,} weights were trained "
        f"({share * 100:.1f}% of all).{memory}"
    )


def provenance(report: TransferReport) -> str:
    """Say with which seeds and versions it was made."""
    about = report.content["provenance"]
    versions = ", ".join(f"{name} {version}" for name, version in (about.get("versions") or {}).items())
    return f"Seeds: {', '.join(map(str, about.get('seeds') or []))}. Versions: {versions}."


def _system_table(report: TransferReport, domain: str) -> str:
    scored = dict.fromkeys(name for system in report.systems.values() for name in system.get(domain) or {})
    metrics = [name for name in METRICS if name in scored] + [name for name in scored if name not in METRICS]
    metrics.sort(key=lambda name: name != report.primary_metric)
    rows = [
        [system, report.learnt_from(system), *(_score(report, system, domain, name) for name in metrics)]
        for system in report.systems
    ]
    headings = ["system", "learnt from", *(metric_of(name).heading for name in metrics)]
    return table(headings, rows, numbers=len(metrics))


def _score(report: TransferReport, system: str, domain: str, name: str) -> str:
    entry = report.score(system, domain, name)
    if entry is None:
        return "-"
    value, low, high = (metric_of(name).text(entry[part]) for part in ("value", "low", "high"))
    return f"{value} ({low} to {high})"


def _finding(report: TransferReport, check: str) -> dict[str, Any] | None:
    return next((finding for finding in report.findings if finding["check"] == check), None)


def _sentence(evidence: object) -> str:
    """Write a finding's evidence as a sentence."""
    text = str(evidence).strip().rstrip(".")
    return f"{text[:1].upper()}{text[1:]}."


def _data_source(domain: str, counts: dict[str, Any]) -> DataSource:
    licence = str(counts.get("licence") or "unknown")
    card = _card(counts.get("card"))
    if card is None:
        own = "a data set of the author's own (not published)"
        return DataSource(domain, own, f"own-{domain}", licence)
    hub = (HUB_DATA.match(str(source.get("path", ""))) for source in card.spec.sources)
    stated = card.metadata.get("language") or ()
    return DataSource(
        domain,
        str(card.metadata.get("pretty_name") or card.name),
        card.name,
        licence,
        hub_id=next((match[1] for match in hub if match), None),
        languages=(stated,) if isinstance(stated, str) else tuple(str(code) for code in stated),
        remark=_remark(card),
    )


def _remark(card: DataCard) -> str:
    evidence = card.spec.licence_evidence
    return f"Licence of {card.name}: {evidence}." if evidence else ""


def _card(name: str | None) -> DataCard | None:
    """Load a data card; one that is gone since is told like a file of one's own."""
    try:
        return load_card(name) if name else None
    except TransferError:
        return None
