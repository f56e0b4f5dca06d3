"""`transformers.TrainingArguments` out of a recipe's `training:` block and this package's defaults.

The block's names and types were checked before, in nlp_transfer/arguments.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlp_transfer.errors import ConfigError

if TYPE_CHECKING:
    from transformers import TrainingArguments

# Chosen on the dev rows of several domain pairs; benchmarks/results/defaults.json has the runs.
DEFAULTS: dict[str, Any] = {
    "per_device_train_batch_size": 32,
    "per_device_eval_batch_size": 64,
    "learning_rate": 1e-4,
    "num_train_epochs": 1,
    "warmup_steps": 0.1,
    "weight_decay": 0.01,
    "lr_scheduler_type": "linear",
    "logging_steps": 10,
    "logging_nan_inf_filter": False,  # a loss that is not a number is told, not smoothed away
    "save_strategy": "epoch",
    "save_total_limit": 2,
    "train_sampling_strategy": "group_by_length",
    "report_to": "none",
}


def native_bf16() -> bool:
    """Tell whether this machine computes bfloat16 natively; emulated, it is slower than float32."""
    import torch

    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capabilities: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def build_arguments(block: Mapping[str, Any], *, output_dir: Path, seed: int) -> TrainingArguments:
    """Build TrainingArguments from the defaults above and a recipe's `training:` block.

    bfloat16 is used where the hardware has it and the block does not say otherwise.

    Raises:
        ConfigError: arguments contradict each other, or the machine cannot do what one asks for.
    """
    import torch
    from transformers import TrainingArguments

    settings = {**DEFAULTS, "seed": seed, **block}
    if not {"bf16", "fp16"} & set(block):
        settings["bf16"] = native_bf16()
    if not torch.cuda.is_available():
        settings.setdefault("use_cpu", not torch.backends.mps.is_available())
        settings.setdefault("dataloader_pin_memory", False)
    try:
        return TrainingArguments(
            output_dir=str(output_dir), remove_unused_columns=False, disable_tqdm=True, **settings
        )
    except (ValueError, ImportError) as error:
        raise ConfigError(f"training: {' '.join(str(error).split())}") from error
