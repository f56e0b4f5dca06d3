"""The model card: what a run's report says, for the people who find the model on the Hub.

The words stand in `templates/model_card.md.jinja` and card_words.py; the metadata is built with the
classes of `huggingface_hub`. No row of data is in a card, and text from data is escaped.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nlp_transfer.models.calibration import read_temperature
from nlp_transfer.models.probe import DESCRIPTION
from nlp_transfer.models.translation import is_translation_model
from nlp_transfer.publishing import card_words
from nlp_transfer.publishing.contents import FinishedRun, Kind, open_run, public_report
from nlp_transfer.publishing.gates import Gate
from nlp_transfer.publishing.licences import judge_licence
from nlp_transfer.publishing.origin import BaseModel, find_base
from nlp_transfer.publishing.plain_code import PlainTranslation, plain_translation
from nlp_transfer.reporting.chain_tables import chain_sentences
from nlp_transfer.reporting.markdown import escaped
from nlp_transfer.reporting.report import TransferReport
from nlp_transfer.reporting.wording import metric_of
from nlp_transfer.whole_files import write_text

PIPELINES = {"sentiment": "text-classification", "translation": "translation"}
EXAMPLES = {"sentiment": "Battery died after a week.", "translation": "Save the file"}
LIBRARIES = {"full": "transformers", "merged": "transformers", "adapter": "peft", "probe": "nlp-transfer"}
# Our names of metrics -> those on the Hub, where they differ.
HUB_METRICS = {"macro_f1": "f1", "chrf++": "chrf"}
TAG = "nlp-transfer"


@dataclass(frozen=True)
class CardFacts:
    """What a card is made of."""

    report: TransferReport
    """As others may see it."""
    kind: Kind
    base: BaseModel
    data: list[card_words.DataSource]
    """The target first."""
    label_names: list[str] = field(default_factory=list)
    max_length_tokens: int | None = None
    plain: PlainTranslation | None = None
    """What a translation model is told where it is used without this package."""
    temperature: float = 1.0
    """What `load_adapted` divides the logits by."""
    figures: list[str] = field(default_factory=list)
    repo_id: str | None = None
    """Where it is published; None for a folder on this machine."""
    tag: str | None = None
    passed_over: list[Gate] = field(default_factory=list)
    reason: str | None = None
    """Why closed gates were passed over."""

    @property
    def name(self) -> str:
        """The repository's name without its owner."""
        return self.repo_id.rsplit("/", 1)[-1] if self.repo_id else f"{self.report.content['task']}-transfer"


def gather_facts(
    run: FinishedRun,
    kind: Kind,
    base: BaseModel,
    *,
    repo_id: str | None = None,
    tag: str | None = None,
    passed_over: Sequence[Gate] = (),
    reason: str | None = None,
) -> CardFacts:
    """Gather what a card of a run says.

    Args:
        run: a finished run.
        kind: which form of the model the card is for.
        base: the model that the run started from.
        repo_id: where it is published.
        tag: the revision that the code in the card loads.
        passed_over: closed gates.
        reason: why they were passed over.
    """
    report = TransferReport(public_report(run.report))
    labels, limit = _labels_and_limit(run.model)
    return CardFacts(
        report,
        kind,
        base,
        card_words.data_sources(run.report),
        label_names=labels,
        max_length_tokens=limit,
        plain=plain_translation(run.model) if is_translation_model(run.model) else None,
        temperature=read_temperature(run.model),
        figures=[path.name for path in sorted((run.folder / "figures").glob("*.png"))],
        repo_id=repo_id,
        tag=tag,
        passed_over=list(passed_over),
        reason=reason,
    )


def render_card(facts: CardFacts) -> str:
    """Render a card: its YAML head and its text."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("nlp_transfer.publishing"),
        autoescape=False,  # the text is Markdown, escaped by the filter `md`
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["md"] = escaped
    template = environment.get_template("model_card.md.jinja")
    return template.render(head=card_metadata(facts).to_yaml(), **_context(facts))


def card_metadata(facts: CardFacts) -> Any:
    """Build the metadata as `huggingface_hub.ModelCardData`, `model-index` included."""
    from huggingface_hub import ModelCardData

    task = str(facts.report.content["task"])
    metrics = [HUB_METRICS.get(name, name) for name in _scored_metrics(facts.report)]
    relation = "adapter" if facts.kind == "adapter" else "finetune"
    return ModelCardData(
        language=card_words.languages(facts.report, facts.data) or None,
        license=_licence_ids(facts.base.licence),
        library_name=LIBRARIES[facts.kind],
        pipeline_tag=PIPELINES[task],
        tags=[TAG, "transfer-learning", *(["lora"] if facts.kind in ("adapter", "merged") else [])],
        base_model=facts.base.hub_id,
        base_model_relation=relation if facts.base.hub_id else None,
        datasets=[source.hub_id for source in facts.data if source.hub_id] or None,
        metrics=metrics or None,
        model_name=facts.name,
        eval_results=_eval_results(facts, PIPELINES[task]) or None,
    )


def write_card(run_folder: str | Path) -> Path:
    """Write the card of a run's `model/` beside its weights, from what is on this machine.

    Args:
        run_folder: a finished run.

    Returns:
        The written `model/README.md`.

    Raises:
        PublishError: the folder holds no finished run.
    """
    run = open_run(run_folder)
    model = run.start
    base = find_base(str(model.get("path")), revision=model.get("revision"), online=False)
    path = run.model / "README.md"
    facts = gather_facts(run, run.kind(merge=True), base)
    # The figures stand in the run folder, not in model/.
    write_text(path, render_card(facts).replace("(figures/", "(../figures/"))
    return path


def _context(facts: CardFacts) -> dict[str, Any]:
    """Return what the template names."""
    report, task = facts.report, str(facts.report.content["task"])
    src_lang, tgt_lang = card_words.language_pair(report)
    revision = f', revision="{facts.tag}"' if facts.tag else ""
    base_revision = f', revision="{facts.base.revision}"' if facts.base.revision else ""
    where = f'"{facts.repo_id or "path/to/this/folder"}"{revision}'
    return {
        "report": report,
        "task": task,
        "kind": facts.kind,
        "name": facts.name,
        "figures": facts.figures,
        "label_names": facts.label_names,
        "src_lang": src_lang,
        "tgt_lang": tgt_lang,
        "data": facts.data,
        "base": facts.base,
        "made": card_words.how_it_was_made(report),
        "example": EXAMPLES[task],
        "where": where,
        "plain_code": facts.plain.code(where, EXAMPLES[task]) if facts.plain is not None else "",
        "labels_in_code": json.dumps(facts.label_names, ensure_ascii=False),
        "base_in_code": f'"{facts.base.hub_id}"{base_revision}',
        "licence_sentence": card_words.licence_sentence(facts.base),
        "data_table": card_words.data_table(report, facts.data),
        "system_tables": card_words.system_tables(report),
        "chain": chain_sentences(report),
        "metric_heading": metric_of(report.primary_metric).heading,
        "chain_table": card_words.chain_table(report),
        "forgetting": card_words.forgetting(report),
        "calibration": card_words.calibration(report, temperature=facts.temperature),
        "privacy": card_words.privacy(report),
        "limits": card_words.limits(report, facts.data, facts.label_names, facts.max_length_tokens),
        "passed_over": facts.passed_over,
        "reason": facts.reason or "",
        "cost": card_words.cost(report),
        "provenance": card_words.provenance(report),
    }


def _eval_results(facts: CardFacts, task_type: str) -> list[Any]:
    """Turn the adapted model's scores into the entries of `model-index`, each with its interval and n."""
    from huggingface_hub import EvalResult

    results = []
    for domain, source in zip(("target", "source"), facts.data, strict=False):
        for name in _scored_metrics(facts.report):
            score = facts.report.score("adapted", domain, name)
            if score is None:
                continue
            results.append(
                EvalResult(
                    task_type=task_type,
                    dataset_type=source.hub_id or source.identifier,
                    dataset_name=f"{source.name} ({domain})",
                    dataset_split="test",
                    metric_type=HUB_METRICS.get(name, name),
                    metric_value=round(float(score["value"]), 4),
                    metric_name=f"{metric_of(name).label}, 95% interval {score['low']:.4f} to "
                    f"{score['high']:.4f}, n = {score['n']:,}",
                )
            )
    return results


def _licence_ids(licence: str | None) -> Any:
    """Return the licence as the Hub writes it, or a list of them; None where it is no such name."""
    names = (licence or "").split(", ")
    if judge_licence(licence) != "permits" or not all(
        re.fullmatch(r"[a-z0-9][a-z0-9.+-]*", n) for n in names
    ):
        return None
    return names[0] if len(names) == 1 else names


def _scored_metrics(report: TransferReport) -> list[str]:
    """List the metrics of the adapted model, the primary one first."""
    adapted = report.systems.get("adapted", {})
    names = dict.fromkeys(name for domain in ("target", "source") for name in adapted.get(domain) or {})
    return sorted(names, key=lambda name: name != report.primary_metric)


def _labels_and_limit(model: Path) -> tuple[list[str], int | None]:
    """Read a model folder's class names and the tokens that it reads at most."""
    if (model / DESCRIPTION).is_file():
        probe = _read(model / DESCRIPTION)
        return list(probe["label_names"]), int(probe["max_length_tokens"])
    names = _read(model / "config.json").get("id2label") or {}
    limit = _read(model / "tokenizer_config.json").get("model_max_length")
    ordered = [str(names[number]) for number in sorted(names, key=int)]
    return ordered, int(limit) if limit and limit < 10**6 else None


def _read(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}
