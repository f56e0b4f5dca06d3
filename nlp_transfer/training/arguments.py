"""`transformers.TrainingArguments` as a recipe writes them: checked against the installed version, then built.

Users write the library's own names; there is no second vocabulary. Names that the library dropped are answered with
what replaced them, and the few that this package sets itself are refused.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlp_transfer.errors import did_you_mean

if TYPE_CHECKING:
    from transformers import TrainingArguments

# Left: names that guides and older scripts use. Right: what transformers 5 has in their place.
REPLACED = {
    "evaluation_strategy": "eval_strategy",
    "warmup_ratio": "warmup_steps (a float below 1 is a share of all steps)",
    "group_by_length": 'train_sampling_strategy: "group_by_length" (the default here)',
    "include_inputs_for_metrics": "include_for_metrics",
    "no_cuda": "use_cpu",
    "use_mps_device": "nothing: the device is found by itself",
    "per_gpu_train_batch_size": "per_device_train_batch_size",
    "per_gpu_eval_batch_size": "per_device_eval_batch_size",
    "save_safetensors": "nothing: weights are always saved as safetensors",
    "logging_dir": "nothing: history.jsonl stands in the run folder",
    "overwrite_output_dir": "nothing: choose another output_dir, or delete the old one",
    "fp16_backend": "fp16",
    "half_precision_backend": "fp16",
    "adafactor": "optim: adafactor",
    "tpu_num_cores": "nothing: accelerate launch sets it",
}
OURS = {
    "output_dir": "set the recipe's output_dir",
    "resume_from_checkpoint": "a run resumes by itself from its folder",
    "push_to_hub": "use `nlp-transfer push`",
    "seed": None,
    "remove_unused_columns": "the batches hold what the model takes already",
}

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
    "save_strategy": "epoch",
    "save_total_limit": 2,
    "train_sampling_strategy": "group_by_length",
    "report_to": "none",
}


def argument_problems(block: Mapping[str, Any]) -> list[str]:
    """List what is wrong with a recipe's `training:` block, one `name: problem` each."""
    from pydantic import ConfigDict, TypeAdapter, ValidationError
    from transformers import TrainingArguments

    hints = typing.get_type_hints(TrainingArguments)
    known = {field.name for field in dataclasses.fields(TrainingArguments) if field.init}
    problems = []
    for name, value in block.items():
        if name in REPLACED and name not in known:
            problems.append(f"{name}: transformers has no such argument any more; use {REPLACED[name]}")
        elif name.startswith("hub_") or (OURS.get(name) is not None):
            problems.append(f"{name}: this package sets it; {OURS.get(name) or 'use the hub section of the recipe'}")
        elif name not in known:
            problems.append(f"{name}: TrainingArguments has no such argument; {did_you_mean(name, known)}")
        else:
            adapter = TypeAdapter(hints[name], config=ConfigDict(arbitrary_types_allowed=True))
            try:
                adapter.validate_python(value)
            except ValidationError as error:
                problems.append(f"{name}: {error.errors()[0]['msg'].lower()}, got {value!r}")
    return problems


def native_bf16() -> bool:
    """Tell whether this machine computes bfloat16 natively; emulated, it is slower than float32."""
    import torch

    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def build_arguments(block: Mapping[str, Any], *, output_dir: Path, seed: int) -> TrainingArguments:
    """Build TrainingArguments from the defaults above and a recipe's `training:` block.

    bfloat16 is used where the hardware has it and the block does not say otherwise.
    """
    import torch
    from transformers import TrainingArguments

    settings = {**DEFAULTS, "seed": seed, **block}
    if not {"bf16", "fp16"} & set(block):
        settings["bf16"] = native_bf16()
    if not torch.cuda.is_available():
        settings.setdefault("use_cpu", not torch.backends.mps.is_available())
        settings.setdefault("dataloader_pin_memory", False)
    return TrainingArguments(
        output_dir=str(output_dir), remove_unused_columns=False, disable_tqdm=True, **settings
    )
