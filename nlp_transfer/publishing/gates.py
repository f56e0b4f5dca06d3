"""The gates before publishing: each says what it saw and what mends it. A stated reason passes one over."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nlp_transfer.errors import PublishError, TransferError
from nlp_transfer.publishing.contents import FinishedRun
from nlp_transfer.publishing.licences import judge_licence
from nlp_transfer.publishing.origin import BaseModel
from nlp_transfer.publishing.save import MAX_LOGIT_DIFFERENCE, exact_logits

# Texts made of the tokenizer's own words: no row of anybody's data, in whatever language the model reads.
PARITY_TEXTS, LONGEST_TEXT_WORDS = 32, 24


@dataclass(frozen=True)
class Gate:
    """One condition of publishing."""

    name: str
    passed: bool
    evidence: str
    mend: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return dataclasses.asdict(self)


def require_passed(gates: Sequence[Gate], *, override: str | None) -> None:
    """Stop where a gate is closed and no reason was given to pass it over.

    Raises:
        PublishError: listing every closed gate with what mends it.
    """
    closed = [gate for gate in gates if not gate.passed]
    if closed and override is None:
        listing = "\n".join(f"  - {gate.name}: {gate.evidence}; {gate.mend}" for gate in closed)
        raise PublishError(
            f"not published: {len(closed)} gate(s) are closed:\n{listing}\n"
            '--override "REASON" publishes all the same, and the card states the reason'
        )


def findings_gate(run: FinishedRun) -> Gate:
    """Stop a run whose report holds a finding that blocks."""
    blocking = [finding for finding in run.report.findings if finding["severity"] == "block"]
    if not blocking:
        return Gate("findings", True, "no finding of the report blocks")
    evidence = "; ".join(f"{finding['check']}: {finding['evidence']}" for finding in blocking)
    mend = "; ".join(finding["advice"] for finding in blocking if finding["advice"])
    return Gate("findings", False, evidence, mend or "mend it and run again")


def licence_gates(run: FinishedRun, base: BaseModel) -> list[Gate]:
    """Stop at a licence that forbids publishing, and at a base model whose licence nobody knows."""
    return [_base_licence(base), *(_data_licence(name, counts) for name, counts in data_of(run).items())]


def data_of(run: FinishedRun) -> dict[str, dict[str, Any]]:
    """Return what the report says of each domain that was used."""
    data = run.report.content["provenance"].get("data") or {}
    return {name: counts for name, counts in data.items() if isinstance(counts, dict) and counts}


def parity_gate(
    name: str, first: Callable[[], Any], second: Callable[[], Any], *, labels: tuple[str, str], mend: str
) -> Gate:
    """Compare two forms of one model on texts of its own words.

    Args:
        name: the gate's.
        first: loads one form; its tokenizer gives the texts.
        second: loads the other.
        labels: what the two are, for people.
        mend: what to do where they differ.
    """
    try:
        before = first()
        texts = own_texts(before.tokenizer)
        difference = output_difference(before, second(), texts)
    except TransferError as error:
        return Gate(name, False, f"{labels[0]} and {labels[1]} cannot be compared: {error}", mend)
    same = difference <= MAX_LOGIT_DIFFERENCE
    evidence = f"{labels[0]} and {labels[1]} differ by {difference:.2g} on {len(texts)} texts"
    return Gate(name, same, f"{evidence} (at most {MAX_LOGIT_DIFFERENCE:g} is allowed)", "" if same else mend)


def output_difference(first: Any, second: Any, texts: Sequence[str]) -> float:
    """Return the largest difference of two models' logits, or the share of translations that differ."""
    if hasattr(first, "logits"):
        if first.label_names != second.label_names:
            return float("inf")
        difference = float(np.abs(first.logits(texts) - second.logits(texts)).max())
        if difference <= MAX_LOGIT_DIFFERENCE:
            return difference
        return float(np.abs(exact_logits(first, texts) - exact_logits(second, texts)).max())
    pairs = zip(first.translate(texts), second.translate(texts), strict=True)
    return float(np.mean([one != other for one, other in pairs]))


def own_texts(tokenizer: Any) -> list[str]:
    """Make texts of a tokenizer's vocabulary, of one word to many, the same ones each time."""
    words = sorted(set(tokenizer.get_vocab()) - set(tokenizer.all_special_tokens))
    draw = np.random.default_rng(0)
    lengths = draw.integers(1, LONGEST_TEXT_WORDS, size=PARITY_TEXTS)
    texts = [tokenizer.convert_tokens_to_string(list(draw.choice(words, size=length))) for length in lengths]
    return [text.strip() or "a" for text in texts]


def base_identity_gate(base: BaseModel, local: Path | None, hashes: dict[str, str]) -> Gate:
    """Require that the base on the Hub is, byte for byte, the one that the adapter was trained on.

    Args:
        base: with its Hub id.
        local: the folder that was trained from; None where it was the Hub's own file.
        hashes: SHA-256 of the weight files on the Hub, by name.
    """
    from nlp_transfer.data.sources import file_sha256

    name = "base model"
    if local is None:
        return Gate(name, True, f"trained from {base.hub_id} itself")
    here = {path.name: file_sha256(path) for path in sorted(local.glob("*.safetensors"))}
    same = bool(here) and all(hashes.get(file) == digest for file, digest in here.items())
    word = "are" if same else "are not"
    return Gate(
        name,
        same,
        f"the weights of {base.hub_id} on the Hub {word} those that the adapter was trained on",
        "" if same else "publish the merged weights: --merge",
    )


def _base_licence(base: BaseModel) -> Gate:
    judgement = judge_licence(base.licence)
    stated = f"{base.shown}: {base.licence or 'no licence'} ({base.evidence})"
    mends = {
        "permits": "",
        "forbids": "this licence forbids commercial use or derived works; start from another base model",
        "unknown": "find the licence out at its authors', and state it in the base model's card",
    }
    return Gate("base licence", judgement == "permits", stated, mends[judgement])


def _data_licence(name: str, counts: dict[str, Any]) -> Gate:
    """An unknown licence of data does not stop: the card states it."""
    licence = counts.get("licence")
    forbids = judge_licence(licence) == "forbids"
    mend = "this licence forbids commercial use or derived works; train on other data" if forbids else ""
    return Gate(f"{name} licence", not forbids, str(licence or "unknown"), mend)
