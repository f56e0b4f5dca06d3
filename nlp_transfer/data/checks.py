"""The preflight: what both domains hold, and what is doubtful about it, before anything is trained.

Runs the checks of row_findings.py over `TransferData` and gathers the report. What cannot be read, named or
split at all was refused before, in classification.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from nlp_transfer.data import row_findings
from nlp_transfer.data.row_findings import Tokenizer
from nlp_transfer.data.rows import DomainData, TransferData, joined_texts
from nlp_transfer.data.splits import text_hashes
from nlp_transfer.findings import Finding

GRAVEST_FIRST = ("block", "warn", "info")


@dataclass(frozen=True)
class DataReport:
    """Counts of each domain, and what the checks found."""

    domains: dict[str, dict[str, Any]]
    """By name (source, target), what `domain_counts` returns."""
    findings: list[Finding]
    """The gravest first."""

    @property
    def blocking(self) -> list[Finding]:
        """Return the findings that stop a run."""
        return [finding for finding in self.findings if finding.severity == "block"]

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for data.json."""
        return {"domains": self.domains, "findings": [finding.as_dict() for finding in self.findings]}

    def with_findings(self, more: Sequence[Finding]) -> DataReport:
        """Return the same with more findings."""
        return replace(self, findings=gravest_first([*self.findings, *more]))

    def summary(self) -> str:
        """List the domains and the findings for a terminal, one line each."""
        lines = [_domain_line(name, counts) for name, counts in self.domains.items()]
        for finding in self.findings:
            said = "; ".join(filter(None, [finding.evidence, finding.advice]))
            lines.append(f"{finding.severity:<5} {finding.check}: {said}")
        return "\n".join(lines)


@dataclass(frozen=True)
class _Checked:
    """One domain with the hashes of its normalised texts, made once for all checks that compare them."""

    domain: DomainData
    learnt: npt.NDArray[np.uint64]
    scored: npt.NDArray[np.uint64]

    @classmethod
    def of(cls, domain: DomainData) -> _Checked:
        return cls(domain, text_hashes(domain.selection.texts), text_hashes(domain.test.texts))


def check_data(
    data: TransferData,
    *,
    tokenizer: Tokenizer | None = None,
    max_length_tokens: int,
    more: Sequence[Finding] = (),
) -> DataReport:
    """Count the rows of both domains and list what is doubtful about them.

    Args:
        data: both domains, split.
        tokenizer: the model's; without one, lengths and unknown tokens are not looked at.
        max_length_tokens: longer texts are cut by the model.
        more: what was found elsewhere.
    """
    source = None if data.source is None else _Checked.of(data.source)
    target = _Checked.of(data.target)
    found: list[Finding | None] = [*more]
    for checked in filter(None, (source, target)):
        found += _row_findings(checked)
        if tokenizer is not None:
            texts = joined_texts(checked.domain.selection.texts, checked.domain.test.texts)
            found += row_findings.token_findings(
                checked.domain.name, texts, tokenizer, max_length_tokens=max_length_tokens
            )
    if source is not None:
        found += [_domain_overlap(source, target), _domain_overlap(target, source)]
    if data.unlabelled is not None:
        found.append(row_findings.unlabelled_texts(data.unlabelled))
    domains = [checked.domain for checked in (source, target) if checked is not None]
    return DataReport({domain.name: domain_counts(domain) for domain in domains}, gravest_first(found))


def gravest_first(found: Iterable[Finding | None]) -> list[Finding]:
    """Leave out what found nothing, and sort the rest by severity."""
    return sorted(filter(None, found), key=lambda finding: GRAVEST_FIRST.index(finding.severity))


def domain_counts(domain: DomainData) -> dict[str, Any]:
    """Count a domain's rows by split, reason and class, fingerprint the splits, and name card and licence."""
    splits = {"train": domain.train, "dev": domain.dev, "test": domain.test}
    labels = np.concatenate([rows.labels for rows in splits.values()])
    shares = np.bincount(labels, minlength=len(domain.label_names)) / max(len(labels), 1)
    return {
        **{split: len(rows) for split, rows in splits.items()},
        "unused": domain.unused,
        "dropped": dict(domain.dropped),
        "label_shares": dict(zip(domain.label_names, shares.round(4).tolist(), strict=True)),
        "fingerprints": {split: rows.fingerprint() for split, rows in splits.items()},
        "card": None if domain.card is None else domain.card.name,
        "licence": None if domain.card is None else domain.card.licence,
    }


def _row_findings(checked: _Checked) -> Iterator[Finding | None]:
    """Run the checks that look at one domain alone."""
    domain, name = checked.domain, checked.domain.name
    learnt, scored = domain.selection.labels.tolist(), domain.test.labels.tolist()
    kept = len(learnt) + len(scored) + domain.unused
    yield row_findings.test_overlap(name, checked.learnt, checked.scored)
    yield row_findings.group_overlap(name, domain.selection.own_groups, domain.test.own_groups)
    yield row_findings.dropped_rows(name, domain.dropped, kept=kept)
    yield row_findings.class_balance(name, learnt + scored, domain.label_names)
    yield row_findings.missing_classes(name, learnt, domain.label_names)
    yield row_findings.duplicates(name, checked.learnt)
    yield row_findings.conflicting_labels(
        name, np.concatenate([checked.learnt, checked.scored]), learnt + scored
    )
    yield row_findings.small_test(name, len(scored))
    yield row_findings.licence(name, domain.card)
    for note in domain.notes:
        yield Finding("label_names", "info", None, None, f"{name}: {note}", "")


def _domain_overlap(learnt: _Checked, scored: _Checked) -> Finding | None:
    return row_findings.domain_overlap(
        (learnt.domain.name, learnt.learnt),
        (scored.domain.name, scored.scored),
        ids=scored.domain.test.ids,
    )


def _domain_line(name: str, counts: dict[str, Any]) -> str:
    sizes = ", ".join(f"{counts[split]:,} {split}" for split in ("train", "dev", "test", "unused"))
    kinds = [f"{label} {100 * share:.0f}%" for label, share in counts.get("label_shares", {}).items()]
    kinds += [f"{direction} {pairs:,}" for direction, pairs in counts.get("directions", {}).items()]
    dropped = sum(counts["dropped"].values())
    return f"{name}: {counts['card'] or 'own file'}; {sizes}, {dropped:,} dropped; {', '.join(kinds)}"
