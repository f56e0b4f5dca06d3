"""Puts a saved adapter back on its base: labels in the stored order, every weight in its place.

peft itself loads an adapter onto any model that it finds, leaves what does not fit random with a warning, and
knows no class names; each of these is an error here.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peft import PeftModel, get_peft_model_state_dict
from transformers import AutoTokenizer, PreTrainedModel

from nlp_transfer.data.sources import file_sha256
from nlp_transfer.errors import ModelError
from nlp_transfer.models.adapters import merge
from nlp_transfer.models.loading import (
    LoadedClassifier,
    head_modules,
    load_classifier,
    model_labels,
    quiet_library,
)
from nlp_transfer.models.translation import ARCHITECTURES

ADAPTER_CONFIG, ADAPTER_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
LABELS, BASE = "labels.json", "base.json"
# What peft calls the task of a translation model.
SEQ_2_SEQ = "SEQ_2_SEQ_LM"


@dataclass(frozen=True)
class AdapterFolder:
    """What an adapter's folder says: its base, that base's revision and weights, and the classes in order."""

    base: str
    revision: str | None
    label_names: list[str]
    modules_to_save: list[str]
    weights_sha256: dict[str, str]
    """SHA-256 of the base's weight files by name; empty where the folder does not say."""


def is_adapter(folder: Path) -> bool:
    """Tell whether a folder holds an adapter and no model."""
    return (folder / ADAPTER_CONFIG).is_file() and not (folder / "config.json").is_file()


def read_adapter(folder: Path) -> AdapterFolder:
    """Read what an adapter's folder says.

    Raises:
        ModelError: it is a translation model's, names no base or no classes, or cannot be read.
    """
    try:
        config = json.loads((folder / ADAPTER_CONFIG).read_text(encoding="utf-8"))
        _require_classifier(folder, config)
        stated = folder / BASE
        base = json.loads(stated.read_text(encoding="utf-8")) if stated.is_file() else {}
        labels = json.loads((folder / LABELS).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ModelError(
            f"the adapter in {folder} has no {Path(error.filename).name}; {LABELS} must list its classes in "
            'the order of its outputs, such as ["negative", "positive"]'
        ) from error
    except (OSError, ValueError) as error:
        raise ModelError(f"the adapter in {folder} cannot be read: {error}") from error
    name = config.get("base_model_name_or_path")
    if not name or not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
        raise ModelError(f"the adapter in {folder} names no base model, or its {LABELS} is no list of names")
    weights = base.get("weights_sha256", {})
    return AdapterFolder(
        name, config.get("revision"), labels, list(config.get("modules_to_save") or []), weights
    )


def _require_classifier(folder: Path, config: dict[str, Any]) -> None:
    """Refuse the adapter of a translation model, which lacks the tokens that were added to the vocabulary."""
    of_class = str((config.get("auto_mapping") or {}).get("base_model_class"))
    if config.get("task_type") == SEQ_2_SEQ or of_class.endswith(ARCHITECTURES):
        beside = folder.parent / "model"
        whole = (
            f"load {beside}" if (beside / "config.json").is_file() else "load the model it was merged into"
        )
        raise ModelError(
            f"{folder} holds the adapter of a translation model, which is of no use without the tokens that "
            f"were added to its vocabulary; {whole}, which is whole"
        )


def load_adapter(folder: Path, *, base: str | None = None, revision: str | None = None) -> LoadedClassifier:
    """Load an adapter with its base and merge them into a plain classifier.

    Args:
        folder: what `save_adapter` wrote; a tokenizer in it is taken, else the base's.
        base: Hub id or folder to take for the base that the adapter names.
        revision: the base's Hub revision, in place of the one that the adapter names.

    Raises:
        ModelError: the base is missing or another one than the adapter was trained on, or labels and weights
        do not fit.
    """
    stated = read_adapter(folder)
    name, at = base or stated.base, revision or stated.revision
    loaded = _load_base(folder, stated, name, at)
    _require_label_order(stated, loaded.model, name, at)
    _require_weights(stated, name, at)
    try:
        with quiet_library():
            model = PeftModel.from_pretrained(loaded.model, str(folder))
    except (RuntimeError, ValueError, LookupError, OSError, TypeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise ModelError(f"the adapter in {folder} does not fit its base {name}: {reason}") from error
    _require_every_weight(model, folder, name)
    return LoadedClassifier(merge(model), _own_tokenizer(folder) or loaded.tokenizer, [])


def _load_base(folder: Path, stated: AdapterFolder, name: str, revision: str | None) -> LoadedClassifier:
    try:
        return load_classifier(name, label_names=stated.label_names, revision=revision)
    except ModelError as error:
        at = f" at revision {revision}" if revision else ""
        raise ModelError(
            f"the adapter in {folder} needs its base model {name}{at}, which is missing: {error}"
        ) from error


def _require_label_order(
    stated: AdapterFolder, model: PreTrainedModel, name: str, revision: str | None
) -> None:
    """An adapter without a head of its own answers in the order of its base's head."""
    if set(head_modules(model)) <= set(stated.modules_to_save):
        return
    of_base = model_labels(name, revision=revision)
    if of_base != stated.label_names:
        raise ModelError(
            f"the adapter has no head of its own, and its labels are {', '.join(stated.label_names)} while "
            f"its base {name} answers with {', '.join(of_base or ['unnamed classes'])}, in this order; "
            f"correct {LABELS}, or take the base that the adapter was trained on"
        )


def _require_weights(stated: AdapterFolder, name: str, revision: str | None) -> None:
    """Compare the base's weights with those that the adapter was trained on, where it says which."""
    for file_name, expected in stated.weights_sha256.items():
        found = _weight_file(name, file_name, revision)
        if found is None or file_sha256(found) != expected:
            at = f" at revision {revision}" if revision else ""
            raise ModelError(
                f"{name}{at} is not the base model that the adapter was trained on: {file_name} has other "
                "content; take the revision that the adapter names"
            )


def _weight_file(name: str, file_name: str, revision: str | None) -> Path | None:
    """Find a base's weight file on this machine, where it was loaded from just now."""
    from huggingface_hub import try_to_load_from_cache

    from nlp_transfer.models.resolving import resolve_model

    folder = Path(resolve_model(name))
    if folder.is_dir():
        return folder / file_name if (folder / file_name).is_file() else None
    cached = try_to_load_from_cache(name, file_name, revision=revision)
    return Path(cached) if isinstance(cached, str) else None


def _require_every_weight(model: Any, folder: Path, name: str) -> None:
    """Compare the names of the stored weights with those that the model has places for."""
    from safetensors import safe_open

    with safe_open(folder / ADAPTER_WEIGHTS, "pt") as file:
        stored = set(file.keys())
    wanted = set(get_peft_model_state_dict(model, save_embedding_layers=False))
    if stored != wanted:
        odd = sorted(stored ^ wanted)
        raise ModelError(
            f"the adapter in {folder} does not fit its base {name}: {len(odd)} weights have no counterpart, "
            f"such as {odd[0]}"
        )


def _own_tokenizer(folder: Path) -> Any:
    """Load the tokenizer beside an adapter, None where there is none."""
    if not (folder / "tokenizer_config.json").is_file():
        return None
    try:
        return AutoTokenizer.from_pretrained(str(folder))
    except (OSError, ValueError, LookupError) as error:
        reason = " ".join(str(error).split())[:300]
        raise ModelError(f"the tokenizer of the adapter in {folder} cannot be read: {reason}") from error
