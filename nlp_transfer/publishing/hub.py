"""`push_model`: a finished run's model on the Hub, complete and honest, and nothing else of the run.

What travels is staged in a temporary folder, held against the gates, described by its card, committed at once
and tagged. The repository itself is looked after by repository.py.
"""

from __future__ import annotations

import dataclasses
import logging
import re
import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from nlp_transfer.errors import PublishError
from nlp_transfer.publishing import gates as gate_checks
from nlp_transfer.publishing.client import hub_errors, require_token, retried
from nlp_transfer.publishing.contents import (
    FinishedRun,
    Kind,
    open_run,
    require_no_local_path,
    stage,
    staged_files,
)
from nlp_transfer.publishing.gates import Gate
from nlp_transfer.publishing.model_card import gather_facts, render_card
from nlp_transfer.publishing.origin import BaseModel, find_base
from nlp_transfer.publishing.repository import commit, free_tag, make_repository, own_name, tag_revision

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class PushResult:
    """What was published, or would be."""

    repo_id: str
    kind: Kind
    """full, merged, adapter or probe."""
    private: bool
    files: dict[str, int]
    """Sizes in bytes by path in the repository."""
    card: str
    gates: list[Gate]
    override: str | None
    dry_run: bool
    url: str | None = None
    revision: str | None = None
    """The commit; None for a dry run."""
    tag: str | None = None

    @property
    def closed(self) -> list[Gate]:
        """The gates that are not passed."""
        return [gate for gate in self.gates if not gate.passed]

    def as_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return dataclasses.asdict(self)

    def summary(self) -> str:
        """Say for a terminal what was published and where; for a dry run what would be, the card last."""
        if not self.dry_run:
            return f"{self.url} ({'private' if self.private else 'public'}), revision {self.tag}"
        lines = [f"{size:>14,}  {path}" for path, size in self.files.items()]
        gates = [
            f"{'passed' if gate.passed else 'CLOSED'}  {gate.name}: {gate.evidence}" for gate in self.gates
        ]
        total = f"{sum(self.files.values()):>14,}  bytes in all, nothing sent"
        return "\n".join([*lines, total, "", *gates, "", self.card])


def push_model(
    model_folder_or_run: str | Path,
    repo_id: str,
    *,
    private: bool = True,
    merge: bool = False,
    dry_run: bool = False,
    override: str | None = None,
    token: str | None = None,
    tag: str | None = None,
) -> PushResult:
    """Publish a finished run's model with its card, figures and report.

    Args:
        model_folder_or_run: a run folder, or its `model/`.
        repo_id: owner/name; without an owner the token's user is taken.
        private: whether a new repository is private; one that is there and public is then refused.
        merge: for LoRA the merged weights, not the adapter.
        dry_run: stage, check and describe everything, send nothing.
        override: why closed gates are passed over; the card states it.
        token: a Hub token with write access; None takes the one of `hf auth login` or HF_TOKEN.
        tag: the name of this revision; None is the next free one of v1, v2, ...

    Raises:
        PublishError: the run, a gate, the token or the name is wrong; nothing was sent.
        RunError: the Hub cannot be reached or fails; the same call goes on where it stopped.
    """
    from huggingface_hub import HfApi

    run = open_run(model_folder_or_run)
    _require_wording(repo_id, override=override, tag=tag)
    if token is not None or not dry_run:
        token = require_token(token)
    if not dry_run:
        with hub_errors(repo_id):
            repo_id = own_name(HfApi(token=token), repo_id)
    kind = run.kind(merge=merge)
    base = _base_of(run, token)
    with tempfile.TemporaryDirectory(prefix="nlp-transfer-push-") as name:
        folder = Path(name)
        described, identity = _describe_base(run, kind, base, token)
        if described is not None:
            base = dataclasses.replace(base, revision=described["revision"])
        stage(run, kind, folder, base=described)
        gates = [*_gates(run, kind, base, folder), *identity]
        prepared = PushResult(
            repo_id=repo_id, kind=kind, private=private, files={}, card="", gates=gates, override=override,
            dry_run=dry_run, tag=tag,
        )  # fmt: skip
        if dry_run:
            return _with_card(prepared, run, base, folder)
        gate_checks.require_passed(gates, override=override)
        return _send(prepared, run, base, folder, token=str(token))


# Before anything is sent ---------------------------------------------------------------------------


def _require_wording(repo_id: str, *, override: str | None, tag: str | None) -> None:
    """Refuse a name that the Hub would, an empty reason and a tag that is none."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    try:
        validate_repo_id(repo_id)
    except HFValidationError as error:
        raise PublishError(
            f"{repo_id!r} is no name for a repository: it must be owner/name, of letters, digits, -, _ and ."
        ) from error
    if override is not None and not override.strip():
        raise PublishError('an override needs its reason, which the card states: --override "REASON"')
    if tag is not None and not re.fullmatch(r"[\w][\w.-]*", tag):
        raise PublishError(f"{tag!r} is no tag: letters, digits, '.', '-' and '_', such as v1")


def _base_of(run: FinishedRun, token: str | None) -> BaseModel:
    model = run.start
    return find_base(str(model.get("path")), revision=model.get("revision"), token=token)


def _describe_base(
    run: FinishedRun, kind: Kind, base: BaseModel, token: str | None
) -> tuple[dict[str, Any] | None, list[Gate]]:
    """Return what an adapter says of its base, and whether the Hub's base is the one that was trained from.

    Raises:
        PublishError: nobody else could load the adapter.
    """
    if kind != "adapter":
        return None, []
    from nlp_transfer.models.adapter_loading import read_adapter
    from nlp_transfer.models.resolving import resolve_model

    stated = read_adapter(run.adapter or run.model)
    trained_from = run.start.get("path")
    if stated.base != trained_from or base.hub_id is None:
        what = "this run's own source model" if Path(stated.base).name == "source_model" else "a local folder"
        what = what if stated.base != trained_from or "://" not in stated.base else stated.base
        raise PublishError(
            f"the adapter sits on {what}, which is not on the Hub, so nobody else could load it; publish the "
            "merged weights: --merge"
        )
    hashes, revision = _weights_on_hub(base, token)
    local = Path(resolve_model(stated.base))
    gate = gate_checks.base_identity_gate(base, local if local.is_dir() else None, hashes)
    return {"hub_id": base.hub_id, "revision": revision, "weights_sha256": hashes}, [gate]


def _weights_on_hub(base: BaseModel, token: str | None) -> tuple[dict[str, str], str | None]:
    """Return the SHA-256 of a Hub model's weight files by name, and the commit that they are of."""
    from huggingface_hub import HfApi

    hub_id = str(base.hub_id)
    with hub_errors(hub_id):
        info = retried(
            lambda: HfApi(token=token).model_info(hub_id, revision=base.revision, files_metadata=True)
        )
    weights = [file for file in info.siblings or [] if re.fullmatch(r"[^/]+\.safetensors", file.rfilename)]
    return {file.rfilename: file.lfs.sha256 for file in weights if file.lfs is not None}, info.sha


def _gates(run: FinishedRun, kind: Kind, base: BaseModel, folder: Path) -> list[Gate]:
    from nlp_transfer.inference.load import load_adapted

    found = [gate_checks.findings_gate(run), *gate_checks.licence_gates(run, base)]
    if run.adapter is not None and kind in ("adapter", "merged"):
        found.append(
            gate_checks.parity_gate(
                "merged against unmerged",
                partial(load_adapted, run.model),
                partial(_unmerged, run, base),
                labels=("the merged model", "the adapter on its base"),
                mend="train it again: one of the two folders was changed",
            )
        )
    if kind != "adapter":
        found.append(
            gate_checks.parity_gate(
                "reload parity",
                partial(load_adapted, run.model),
                partial(load_adapted, folder),
                labels=("the run's model", "its copy that is published"),
                mend="save it again with `recipe.save_pretrained`, or train it again",
            )
        )
    return found


def _unmerged(run: FinishedRun, base: BaseModel) -> Any:
    """Load a run's adapter on the base that it was trained on, on the Hub at the very commit."""
    from nlp_transfer.inference.load import FullClassifier
    from nlp_transfer.models.adapter_loading import load_adapter, read_adapter

    folder = run.adapter or run.model
    at = base.revision if read_adapter(folder).base == base.hub_id else None
    loaded = load_adapter(folder, revision=at)
    return FullClassifier(loaded.model, loaded.tokenizer)


def _with_card(result: PushResult, run: FinishedRun, base: BaseModel, folder: Path) -> PushResult:
    """Write the card beside what is staged, and list all of it."""
    reason = result.override.strip() if result.override and result.closed else None
    facts = gather_facts(
        run, result.kind, base, repo_id=result.repo_id, tag=result.tag, reason=reason,
        passed_over=result.closed if reason else (),
    )  # fmt: skip
    card = render_card(facts)
    (folder / "README.md").write_text(card, encoding="utf-8")
    require_no_local_path(run, folder)
    return dataclasses.replace(result, card=card, files=staged_files(folder))


# Sending -------------------------------------------------------------------------------------------


def _send(result: PushResult, run: FinishedRun, base: BaseModel, folder: Path, *, token: str) -> PushResult:
    from huggingface_hub import HfApi

    api = HfApi(token=token)
    with hub_errors(result.repo_id):
        private = make_repository(api, result.repo_id, private=result.private)
        tag = free_tag(api, result.repo_id, result.tag)
        result = dataclasses.replace(result, private=private, tag=tag)
        result = _with_card(result, run, base, folder)
        message = f"Publish {tag} with nlp-transfer"
        revision = retried(
            partial(commit, api, result.repo_id, folder, files=list(result.files), message=message)
        )
        tag_revision(api, result.repo_id, tag, revision)
    logger.info("published %s at %s (%s)", result.repo_id, tag, "private" if private else "public")
    return dataclasses.replace(result, url=f"{api.endpoint}/{result.repo_id}", revision=revision, tag=tag)
