"""LoRA: which modules get an adapter, what is saved beside it, and merging back."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from peft import LoraConfig, PeftModel, get_peft_model
from torch import nn
from transformers import PreTrainedModel

from nlp_transfer.errors import ModelError, did_you_mean
from nlp_transfer.models.loading import head_modules, save_json
from nlp_transfer.whole_files import whole_folder

# All linear maps of attention and feed-forward, by model family; peft itself has no entry for half of these.
# A name is a suffix of the module's path: "output.dense" is the attention's output and the feed-forward's.
BERT_LIKE = ["query", "key", "value", "intermediate.dense", "output.dense"]
BART_LIKE = ["q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"]
TARGET_MODULES: dict[str, list[str]] = {
    "bert": BERT_LIKE,
    "roberta": BERT_LIKE,
    "xlm-roberta": BERT_LIKE,
    "electra": BERT_LIKE,
    "camembert": BERT_LIKE,
    "ernie": BERT_LIKE,
    "distilbert": ["q_lin", "k_lin", "v_lin", "out_lin", "lin1", "lin2"],
    "deberta-v2": ["query_proj", "key_proj", "value_proj", "intermediate.dense", "output.dense"],
    "deberta": ["in_proj", "intermediate.dense", "output.dense"],
    "modernbert": ["Wqkv", "Wo", "Wi"],
    "albert": ["query", "key", "value", "attention.dense", "ffn", "ffn_output"],
    "mpnet": ["attn.q", "attn.k", "attn.v", "attn.o", "intermediate.dense", "output.dense"],
    "marian": BART_LIKE,
    "m2m_100": BART_LIKE,
    "mbart": BART_LIKE,
    "t5": ["q", "k", "v", "o", "wi", "wo", "wi_0", "wi_1"],
    "mt5": ["q", "k", "v", "o", "wi", "wo", "wi_0", "wi_1"],
}
# Share of an adapter's inputs that are left out while training.
DROPOUT = 0.05


def target_modules(model: PreTrainedModel, chosen: str | Sequence[str]) -> str | list[str]:
    """Return the modules that get an adapter.

    Raises:
        ModelError: `auto` was chosen for a family that is not in the map, or the model has no module of a
        name.
    """
    if chosen != "auto":
        if not isinstance(chosen, str):
            _require_modules(model, chosen)
        return chosen if isinstance(chosen, str) else list(chosen)
    family = model.config.model_type
    if family not in TARGET_MODULES:
        raise ModelError(
            f"no LoRA target modules are known for {family} (known: {', '.join(sorted(TARGET_MODULES))}); "
            "name them in adaptation.target_modules, or set it to all-linear"
        )
    return TARGET_MODULES[family]


def _require_modules(model: PreTrainedModel, names: Sequence[str]) -> None:
    linear = {f".{path}" for path, module in model.named_modules() if isinstance(module, nn.Linear)}
    for name in names:
        if not any(path.endswith(f".{name}") for path in linear):
            known = {path.rpartition(".")[2] for path in linear}
            raise ModelError(
                f"adaptation.target_modules: the model has no module {name!r}; {did_you_mean(name, known)}"
            )


def frozen_modules(model: PreTrainedModel) -> list[str]:
    """Return the linear maps that were frozen before (`freeze_layers`); an adapter would move them after
    all.
    """
    return [
        path
        for path, module in model.named_modules()
        if isinstance(module, nn.Linear) and not module.weight.requires_grad
    ]


def _require_unfrozen(
    model: PreTrainedModel, chosen: str | Sequence[str], frozen: Sequence[str], left_out: Sequence[str]
) -> None:
    """Raise where all modules that were to get an adapter are frozen; peft would not know why."""
    for path, module in model.named_modules():
        named = isinstance(chosen, str) or any(f".{path}".endswith(f".{name}") for name in chosen)
        beside = path in frozen or set(left_out) & set(path.split("."))
        if isinstance(module, nn.Linear) and named and not beside:
            return
    raise ModelError(
        "adaptation.freeze_layers leaves no module for an adapter: all that adaptation.target_modules names "
        "are in frozen layers; lower freeze_layers, or set adaptation.method: probe to learn the head alone"
    )


def modules_to_save(model: PreTrainedModel, fresh: Sequence[str]) -> list[str]:
    """Return the modules that train in full beside the adapter: the head, and whatever the checkpoint lacked.

    A fresh module that is not saved is the commonest way to lose a model: right in memory, random after
    reloading (peft issue 2171).
    """
    prefix = f"{model.base_model_prefix}."
    lacked = {name.removeprefix(prefix).partition(".")[0] for name in fresh if name.startswith(prefix)}
    return sorted({*head_modules(model), *lacked})


def add_adapter(
    model: PreTrainedModel,
    *,
    rank: int,
    alpha: int,
    targets: str | Sequence[str],
    fresh: Sequence[str],
    seed: int,
) -> PeftModel:
    """Wrap a classifier so that only low-rank adapters, its head and its fresh modules train.

    Args:
        model: the classifier; frozen layers get no adapter.
        rank: of the two factors of each update.
        alpha: the update's scale is alpha / rank (Hu et al. 2021, section 4.1).
        targets: `auto`, `all-linear`, or module names.
        fresh: weights that the checkpoint lacked, from `load_classifier`.
        seed: starts the adapters.

    Raises:
        ModelError: no module has such a name, or all that have are frozen.
    """
    return _with_lora(
        model, rank=rank, alpha=alpha, targets=targets, seed=seed, left_out=sorted(head_modules(model)),
        modules_to_save=modules_to_save(model, fresh),
    )  # fmt: skip


def add_translation_adapter(
    model: PreTrainedModel,
    *,
    rank: int,
    alpha: int,
    targets: str | Sequence[str],
    new_ids: Sequence[int],
    seed: int,
) -> PeftModel:
    """Wrap a translation model so that only low-rank adapters and the new tokens' embeddings train.

    New rows train through `trainable_token_indices`, which keeps the tie between embedding and output layer;
    `modules_to_save` loses it when the adapter is merged (TRAPS.md).

    Args:
        model: the model; frozen layers get no adapter.
        rank: of the two factors of each update.
        alpha: the update's scale is alpha / rank (Hu et al. 2021, section 4.1).
        targets: `auto`, `all-linear`, or module names.
        new_ids: tokens that were added to the vocabulary.
        seed: starts the adapters.

    Raises:
        ModelError: no module has such a name, or all that have are frozen.
    """
    return _with_lora(
        model, rank=rank, alpha=alpha, targets=targets, seed=seed, left_out=["lm_head"],
        trainable_token_indices=_trainable_rows(model, new_ids),
    )  # fmt: skip


def _with_lora(
    model: PreTrainedModel,
    *,
    rank: int,
    alpha: int,
    targets: str | Sequence[str],
    seed: int,
    left_out: Sequence[str],
    **trained_beside: Any,
) -> PeftModel:
    """Wrap a model by peft; `trained_beside` are LoRA's settings of what trains in full."""
    import torch

    torch.manual_seed(seed)
    chosen, frozen = target_modules(model, targets), frozen_modules(model)
    if frozen:
        _require_unfrozen(model, chosen, frozen, left_out)
    config = LoraConfig(
        r=rank,
        lora_alpha=alpha,
        lora_dropout=DROPOUT,
        target_modules=chosen,
        exclude_modules=[*left_out, *frozen],
        **trained_beside,
    )
    try:
        return get_peft_model(model, config)
    except ValueError as error:
        raise ModelError(f"LoRA cannot be added: {' '.join(str(error).split())}") from error


def _trainable_rows(
    model: PreTrainedModel, new_ids: Sequence[int]
) -> dict[str, list[int]] | list[int] | None:
    """Name the table whose new rows train; peft ties all others to it.

    Left to itself, peft wraps Marian's `shared`, by whose name no layer of Marian looks a token up: the rows
    would neither train nor be missed.
    """
    if not new_ids:
        return None
    return {"encoder.embed_tokens": list(new_ids)} if model.config.model_type == "marian" else list(new_ids)


def save_adapter(
    model: PeftModel, folder: Path, *, base: str, label_names: Sequence[str] | None = None
) -> None:
    """Write the adapter alone, with its base by name and a classifier's labels in `labels.json` (peft stores
    none); the folder is replaced whole, or not at all.
    """
    model.peft_config["default"].base_model_name_or_path = base
    with whole_folder(folder) as part:
        # The embeddings are never trained; peft would ask the Hub for the base's configuration to find out.
        model.save_pretrained(str(part), save_embedding_layers=False)
        if label_names is not None:
            save_json(part / "labels.json", list(label_names))


def merge(model: PeftModel) -> PreTrainedModel:
    """Fold the adapters into the weights and return the plain classifier."""
    return model.merge_and_unload(safe_merge=True)  # type: ignore[no-any-return]
