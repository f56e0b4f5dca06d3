"""A recipe's `training:` block, checked against the installed `transformers.TrainingArguments`.

Users write the library's own names; there is no second vocabulary. Names that the library dropped are
answered with what replaced them, and the few that this package sets itself are refused. Building the
arguments is left to training/arguments.py.
"""

from __future__ import annotations

import dataclasses
import enum
import math
import sys
import typing
from collections.abc import Mapping
from typing import Any

from nlp_transfer.errors import did_you_mean

# Left: names that guides and older scripts use. Right: what transformers 5 has in their place.
REPLACED = {
    "evaluation_strategy": "use eval_strategy",
    "warmup_ratio": "use warmup_steps (a float below 1 is a share of all steps)",
    "group_by_length": 'use train_sampling_strategy: "group_by_length" (the default here)',
    "include_inputs_for_metrics": "use include_for_metrics",
    "no_cuda": "use use_cpu",
    "use_mps_device": "leave it out: the device is found by itself",
    "per_gpu_train_batch_size": "use per_device_train_batch_size",
    "per_gpu_eval_batch_size": "use per_device_eval_batch_size",
    "save_safetensors": "leave it out: weights are always saved as safetensors",
    "logging_dir": "leave it out: history.jsonl stands in the run folder",
    "overwrite_output_dir": "leave it out: choose another output_dir, or delete the old one",
    "fp16_backend": "use fp16",
    "half_precision_backend": "use fp16",
    "adafactor": "use optim: adafactor",
    "tpu_num_cores": "leave it out: accelerate launch sets it",
}
# What users write in short, or after another library, and what is meant.
SHORT = {
    "lr": "use learning_rate",
    "epochs": "use num_train_epochs",
    "num_epochs": "use num_train_epochs",
    "batch_size": "use per_device_train_batch_size",
    "warmup": "use warmup_steps",
    "steps": "use max_steps",
    "decay": "use weight_decay",
    "max_length": "set the recipe's model.max_length_tokens",
    "max_seq_length": "set the recipe's model.max_length_tokens",
}
OURS = {
    "output_dir": "set the recipe's output_dir",
    "resume_from_checkpoint": "a run resumes by itself from its folder",
    "push_to_hub": "use `nlp-transfer push`",
    "disable_tqdm": "one progress bar is shown, on stderr",
    "remove_unused_columns": "the batches hold what the model takes already",
    "label_names": "classes are named by the data, or by the recipe's model.label_names",
    "dataloader_drop_last": "every row counts, of the dev rows too",
    "prediction_loss_only": "a step is selected by its predictions of the dev rows",
    "batch_eval_metrics": "dev rows are scored together",
    "eval_do_concat_batches": "dev rows are scored together",
    "debug": "leave it out: a loss or a weight that is no number is told with its step",
}
# The scores of dev rows that a step can be chosen by.
DEV_SCORES = ("loss", "accuracy", "macro_f1", "chrf", "selection")
# Lowest and highest of the numbers that the library takes and fails on later, or trains nothing with.
AT_LEAST_ONE, NOT_NEGATIVE = (1, math.inf), (0, sys.float_info.max)
BELOW_ONE = (0, math.nextafter(1, 0))
ABOVE_NOTHING = math.nextafter(0, 1)
BOUNDS: dict[str, tuple[float, float]] = {
    "per_device_train_batch_size": AT_LEAST_ONE,
    "per_device_eval_batch_size": AT_LEAST_ONE,
    "gradient_accumulation_steps": AT_LEAST_ONE,
    "save_total_limit": AT_LEAST_ONE,
    "learning_rate": NOT_NEGATIVE,
    "weight_decay": NOT_NEGATIVE,
    "adam_epsilon": NOT_NEGATIVE,
    "max_grad_norm": (0, math.inf),
    "dataloader_num_workers": (0, 1024),
    "logging_steps": NOT_NEGATIVE,
    "eval_steps": NOT_NEGATIVE,
    "save_steps": NOT_NEGATIVE,
    "num_train_epochs": (ABOVE_NOTHING, sys.float_info.max),
    "max_steps": (-1, 2**31 - 1),
    "adam_beta1": BELOW_ONE,
    "adam_beta2": BELOW_ONE,
    "label_smoothing_factor": BELOW_ONE,
    # What NumPy takes; a recipe's own seeds are added.
    "seed": (0, 2**31 - 1),
    "data_seed": (0, 2**31 - 1),
}


def argument_problems(block: Mapping[str, Any]) -> list[str]:
    """List what is wrong with a recipe's `training:` block, one `name: problem` each.

    >>> argument_problems({"learning_rat": 1e-4})
    ['learning_rat: TrainingArguments has no such argument; did you mean learning_rate?']
    """
    from transformers import TrainingArguments

    hints = typing.get_type_hints(TrainingArguments)
    known = {field.name for field in dataclasses.fields(TrainingArguments) if field.init}
    found = {str(name): _problem(str(name), value, hints, known) for name, value in block.items()}
    return [f"{name}: {problem}" for name, problem in found.items() if problem]


def _problem(name: str, value: Any, hints: Mapping[str, Any], known: set[str]) -> str:
    """Say what is wrong with one argument; empty where nothing is."""
    if name in REPLACED and name not in known:
        return f"transformers has no such argument any more; {REPLACED[name]}"
    if name.startswith("hub_") or name in OURS:
        return f"this package sets it; {OURS.get(name) or 'use the hub section of the recipe'}"
    if name in SHORT and name not in known:
        return f"TrainingArguments has no such argument; {SHORT[name]}"
    if name not in known:
        return f"TrainingArguments has no such argument; {did_you_mean(name, known)}"
    if name == "metric_for_best_model" and value is not None:
        return _metric_problem(value)
    return _value_problem(value, hints[name]) or _bound_problem(name, value)


def _metric_problem(value: Any) -> str:
    if str(value).removeprefix("eval_") in DEV_SCORES:
        return ""
    return f"{value!r} is no score of dev rows; {did_you_mean(str(value), DEV_SCORES)}"


def _bound_problem(name: str, value: Any) -> str:
    """Say where a number is out of its bounds; what is no number is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return ""
    if math.isnan(value):
        return "must be a number, got nan"
    low, high = BOUNDS.get(name, (-math.inf, math.inf))
    if low <= value <= high:
        return ""
    least = "above 0" if low == ABOVE_NOTHING else f"at least {low}"
    limit = least if value < low else "below 1" if high < 1 else f"at most {high:,.10g}"
    return f"must be {limit}, got {value!r}"


def _value_problem(value: Any, hint: Any) -> str:
    from pydantic import ConfigDict, TypeAdapter, ValidationError

    for choices in (*typing.get_args(hint), hint):
        if isinstance(choices, enum.EnumMeta):
            members: list[enum.Enum] = list(choices.__members__.values())
            names = [str(member.value) for member in members]
            if value not in names:
                return f"{value!r} is none of its values; {did_you_mean(str(value), names)}"
    try:
        TypeAdapter(hint, config=ConfigDict(arbitrary_types_allowed=True, strict=True)).validate_python(value)
    except ValidationError as error:
        return f"{error.errors()[0]['msg'].lower()}, got {value!r}"
    return ""
