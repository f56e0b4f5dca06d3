"""`transformers.TrainingArguments` out of a recipe's `training:` block and this package's defaults.

The block's names and types were checked before, in nlp_transfer/arguments.py.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlp_transfer.config import RecipeConfig
from nlp_transfer.errors import ConfigError, did_you_mean
from nlp_transfer.training.processes import num_processes

if TYPE_CHECKING:
    from transformers import TrainingArguments

# Chosen on the dev rows of several domain pairs; benchmarks/results/defaults.json has the runs.
DEFAULTS: dict[str, Any] = {
    "per_device_train_batch_size": 32,  # of one process; several divide it (build_arguments)
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

    bfloat16 is used where the hardware has it and the block does not say otherwise. The default batch is of
    all processes together: with more rows a step, few rows would be learnt in fewer steps, and a run would
    end elsewhere for the number of its processes. A size that the block names is each process's own.

    Raises:
        ConfigError: arguments contradict each other, or the machine cannot do what one asks for.
    """
    import torch
    from transformers import TrainingArguments

    share = max(1, DEFAULTS["per_device_train_batch_size"] // num_processes())
    settings = {**DEFAULTS, "per_device_train_batch_size": share, "seed": seed, **block}
    if not {"bf16", "fp16"} & set(block):
        settings["bf16"] = native_bf16()
    if not torch.cuda.is_available():
        settings.setdefault("use_cpu", not torch.backends.mps.is_available())
        settings.setdefault("dataloader_pin_memory", False)
    try:
        arguments = TrainingArguments(
            output_dir=str(output_dir), remove_unused_columns=False, disable_tqdm=True, **settings
        )
    except (ValueError, TypeError, ImportError, OSError, NotImplementedError) as error:
        # The library names its arguments as flags of a command line.
        words = re.sub(r"--(\w+)", r"\1", " ".join(str(error).split()))
        raise ConfigError(f"training: {words}") from error
    if lacking := _lacking(arguments):
        raise ConfigError("\n".join(f"training.{problem}" for problem in lacking))
    return arguments


def require_machine(block: Mapping[str, Any]) -> None:
    """Stop before anything is trained where this machine cannot do what a `training:` block asks for.

    Raises:
        ConfigError: it lacks a GPU or a package.
    """
    from nlp_transfer.training.loop import with_selection

    # As if there were rows to select on; without them, what is said of selection is passed over.
    selecting = with_selection(block, dev=True, evaluations=1, label="check")
    build_arguments(selecting, output_dir=Path("nowhere"), seed=0)


def require_machine_for(config: RecipeConfig) -> None:
    """Stop before anything is trained where this machine cannot do what a recipe's stages ask for.

    Raises:
        ConfigError: it lacks a GPU or a package.
    """
    stages = [] if config.source_stage is None else [config.source_stage.training]
    blocks = [{**config.training, **stage} for stage in (*stages, config.adaptation.training)]
    # The defaults alone work on every machine.
    if any(blocks):
        for block in blocks:
            require_machine(block)


def _lacking(arguments: TrainingArguments) -> list[str]:
    """List what arguments ask for that this machine lacks: the library tells it late, or not at all."""
    import torch
    from transformers.utils import is_liger_kernel_available

    problems = []
    if arguments.use_cpu or not torch.accelerator.is_available():
        problems += [
            f"{name}: float16 needs a GPU, and this run has none; leave it out (bfloat16 is used where the "
            "processor computes it)"
            for name in ("fp16", "fp16_full_eval")
            if getattr(arguments, name)
        ]
    if arguments.use_liger_kernel and not is_liger_kernel_available():
        problems.append("use_liger_kernel: needs a package; pip install liger-kernel")
    if arguments.fsdp and num_processes() == 1:
        problems.append("fsdp: needs several processes; start the recipe with `accelerate launch`")
    return [
        *problems,
        *_lacking_trackers(arguments),
        *_lacking_optimizer(arguments),
        *_lacking_schedule(arguments),
        *_lacking_compiler(arguments),
    ]


def _lacking_schedule(arguments: TrainingArguments) -> list[str]:
    """Say what is wrong with a schedule's arguments, which the library tells when training begins."""
    import torch
    from transformers import get_scheduler

    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    given = arguments.lr_scheduler_kwargs or {}
    try:
        get_scheduler(
            arguments.lr_scheduler_type, optimizer, num_warmup_steps=1, num_training_steps=10,
            scheduler_specific_kwargs=dict(given),
        )  # fmt: skip
    except (ValueError, TypeError) as error:
        kind = arguments.lr_scheduler_type.value
        return [f"lr_scheduler_type: {kind} with lr_scheduler_kwargs {given!r}: {error}"]
    return []


def _lacking_compiler(arguments: TrainingArguments) -> list[str]:
    """Say that a compiler's name is unknown."""
    if not arguments.torch_compile or arguments.torch_compile_backend in (None, "inductor"):
        return []
    from torch import compiler

    known = compiler.list_backends(exclude_tags=())
    if arguments.torch_compile_backend in known:
        return []
    return [f"torch_compile_backend: {did_you_mean(arguments.torch_compile_backend, known)}"]


def _lacking_trackers(arguments: TrainingArguments) -> list[str]:
    """Say which of `report_to` are unknown or not installed."""
    from transformers.integrations.integration_utils import (
        INTEGRATION_TO_CALLBACK,
        get_available_reporting_integrations,
    )

    installed = get_available_reporting_integrations()
    return [
        f"report_to: {name!r} is not installed; known: none, {', '.join(sorted(INTEGRATION_TO_CALLBACK))}"
        for name in arguments.report_to
        if name not in installed
    ]


def _lacking_optimizer(arguments: TrainingArguments) -> list[str]:
    """Say which package an optimizer needs, or what is wrong with its arguments."""
    from transformers import Trainer

    try:
        Trainer.get_optimizer_cls_and_kwargs(arguments)
    except ImportError as error:
        return [f"optim: {arguments.optim.value}: {' '.join(str(error).split())}"]
    except (ValueError, TypeError, AttributeError) as error:
        # These ask for the model, which is not there yet.
        if arguments.optim.value.startswith(("galore", "apollo", "lomo", "adalomo")):
            return []
        return [f"optim: {arguments.optim.value} (optim_args {arguments.optim_args!r}): {error}"]
    return []
