"""`training:` blocks are checked against the installed TrainingArguments, and built from our defaults."""

from __future__ import annotations

import dataclasses
import math
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import TrainingArguments

from nlp_transfer.arguments import OURS, REPLACED, argument_problems
from nlp_transfer.errors import ConfigError
from nlp_transfer.training.arguments import DEFAULTS, build_arguments, native_bf16, require_machine


@pytest.mark.parametrize(
    ("block", "problem"),
    [
        (
            {"evaluation_strategy": "epoch"},
            "evaluation_strategy: transformers has no such argument any more; use eval_strategy",
        ),
        (
            {"group_by_length": True},
            "group_by_length: transformers has no such argument any more; use train_sampling_strategy",
        ),
        ({"no_cuda": True}, "no_cuda: transformers has no such argument any more; use use_cpu"),
        (
            {"overwrite_output_dir": True},
            "overwrite_output_dir: transformers has no such argument any more; leave it out: choose another",
        ),
        (
            {"save_safetensors": True},
            "save_safetensors: transformers has no such argument any more; leave it out: weights are always",
        ),
        ({"output_dir": "x"}, "output_dir: this package sets it; set the recipe's output_dir"),
        ({"push_to_hub": True}, "push_to_hub: this package sets it; use `nlp-transfer push`"),
        ({"hub_model_id": "x"}, "hub_model_id: this package sets it; use the hub section of the recipe"),
        (
            {"resume_from_checkpoint": "x"},
            "resume_from_checkpoint: this package sets it; a run resumes by itself",
        ),
        ({"remove_unused_columns": True}, "remove_unused_columns: this package sets it"),
        ({"disable_tqdm": True}, "disable_tqdm: this package sets it"),
        (
            {"learning_rat": 1e-4},
            "learning_rat: TrainingArguments has no such argument; did you mean learning_rate?",
        ),
        ({"epochs": 3}, "epochs: TrainingArguments has no such argument; "),
        ({"learning_rate": "fast"}, "learning_rate: input should be a valid number"),
        ({"learning_rate": "5e-5"}, "learning_rate: input should be a valid number"),
        ({"num_train_epochs": [1]}, "num_train_epochs: input should be a valid number"),
        (
            {"per_device_train_batch_size": 0.5},
            "per_device_train_batch_size: input should be a valid integer",
        ),
        ({"bf16": "maybe"}, "bf16: input should be a valid boolean"),
        (
            {"eval_strategy": "sometimes"},
            "eval_strategy: 'sometimes' is none of its values; known: epoch, no, steps",
        ),
        (
            {"lr_scheduler_type": "lineal"},
            "lr_scheduler_type: 'lineal' is none of its values; did you mean linear",
        ),
        ({"optim": "adam"}, "optim: 'adam' is none of its values; did you mean"),
        ({3: 4}, "3: TrainingArguments has no such argument"),
        ({"learning_rate": -1e-4}, "learning_rate: must be at least 0, got -0.0001"),
        ({"learning_rate": math.nan}, "learning_rate: must be a number, got nan"),
        ({"learning_rate": math.inf}, "learning_rate: must be at most 1.797693135e+308, got inf"),
        ({"warmup_steps": math.nan}, "warmup_steps: must be a number, got nan"),
        ({"per_device_train_batch_size": 0}, "per_device_train_batch_size: must be at least 1, got 0"),
        ({"gradient_accumulation_steps": 0}, "gradient_accumulation_steps: must be at least 1, got 0"),
        ({"label_smoothing_factor": 1.0}, "label_smoothing_factor: must be below 1, got 1.0"),
        ({"num_train_epochs": 0}, "num_train_epochs: must be above 0, got 0"),
        ({"prediction_loss_only": True}, "prediction_loss_only: this package sets it; a step is selected by"),
        ({"label_names": ["x"]}, "label_names: this package sets it; classes are named by the data"),
        (
            {"batch_eval_metrics": True},
            "batch_eval_metrics: this package sets it; dev rows are scored together",
        ),
        ({"eval_do_concat_batches": False}, "eval_do_concat_batches: this package sets it; dev rows are"),
        ({"dataloader_drop_last": True}, "dataloader_drop_last: this package sets it; every row counts"),
        ({"debug": "underflow_overflow"}, "debug: this package sets it; leave it out"),
        (
            {"metric_for_best_model": "f1"},
            "metric_for_best_model: 'f1' is no score of dev rows; known: acc",
        ),
        ({"seed": -1}, "seed: must be at least 0, got -1"),
        ({"seed": 2**40}, "seed: must be at most 2,147,483,647, got 1099511627776"),
    ],
)
def test_a_wrong_argument_is_told_with_what_mends_it(block: dict[Any, Any], problem: str) -> None:
    (found,) = argument_problems(block)
    assert found.startswith(problem)
    assert "\n" not in found


def test_all_problems_are_told_at_once() -> None:
    found = argument_problems({"no_cuda": True, "learning_rate": "x", "epochs": 1, "seed": 3})
    assert [problem.partition(":")[0] for problem in found] == ["no_cuda", "learning_rate", "epochs"]


@pytest.mark.parametrize(
    "block",
    [
        {},
        {"learning_rate": 5e-5, "num_train_epochs": 2, "warmup_steps": 0.1, "seed": 3, "bf16": False},
        {
            "eval_strategy": "steps",
            "eval_steps": 10,
            "save_strategy": "no",
            "lr_scheduler_type": "cosine",
            "optim": "adafactor",
        },
        {
            "max_steps": 10,
            "gradient_accumulation_steps": 2,
            "label_smoothing_factor": 0.1,
            "metric_for_best_model": "eval_loss",
        },
        {"report_to": "none", "eval_steps": None},
        {"report_to": ["tensorboard"]},
    ],
)
def test_arguments_as_the_library_takes_them_are_accepted(block: dict[str, Any]) -> None:
    assert argument_problems(block) == []


def test_the_defaults_are_valid_arguments_themselves() -> None:
    assert argument_problems(DEFAULTS) == []


def test_what_was_replaced_is_gone_and_what_is_ours_is_still_there() -> None:
    """Otherwise the advice is stale: the installed version decides."""
    known = {field.name for field in dataclasses.fields(TrainingArguments)}
    assert not known & set(REPLACED)
    assert set(OURS) <= known
    advice = [re.fullmatch(r"leave it out: .+|use (\w+).*", words) for words in REPLACED.values()]
    assert {match[1] for match in advice if match is not None and match[1]} <= known
    assert None not in advice


def build(tmp_path: Path, **block: Any) -> Any:
    return build_arguments(block, output_dir=tmp_path / "run", seed=7)


def test_defaults_hold_where_the_block_is_silent_and_give_way_where_it_speaks(tmp_path: Path) -> None:
    arguments = build(tmp_path)
    assert {
        name: getattr(arguments, name)
        for name in ("learning_rate", "weight_decay", "per_device_train_batch_size")
    } == {name: DEFAULTS[name] for name in ("learning_rate", "weight_decay", "per_device_train_batch_size")}
    assert arguments.seed == 7
    assert arguments.output_dir == str(tmp_path / "run")
    changed = build(tmp_path, learning_rate=3e-5, seed=9)
    assert (changed.learning_rate, changed.seed, changed.weight_decay) == (3e-5, 9, DEFAULTS["weight_decay"])


def test_bfloat16_follows_the_machine_unless_the_block_says_otherwise(
    tmp_path: Path, monkeypatch: Any
) -> None:
    for native in (True, False):
        monkeypatch.setattr("nlp_transfer.training.arguments.native_bf16", lambda native=native: native)
        assert build(tmp_path).bf16 is native
        assert build(tmp_path, bf16=False).bf16 is False
        assert build(tmp_path, bf16=True).bf16 is True
        assert build(tmp_path, fp16=False).bf16 is False


@pytest.mark.parametrize(("processes", "rows"), [(1, 32), (2, 16), (3, 10), (100, 1)])
def test_the_default_batch_is_of_all_processes_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, processes: int, rows: int
) -> None:
    monkeypatch.setattr("nlp_transfer.training.arguments.num_processes", lambda: processes)
    assert build(tmp_path).per_device_train_batch_size == rows
    assert build(tmp_path, per_device_train_batch_size=8).per_device_train_batch_size == 8


def test_bfloat16_is_native_only_where_the_processor_has_its_instructions(monkeypatch: Any) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for capabilities, native in (
        ({}, False),
        ({"avx512": True}, False),
        ({"avx512_bf16": True}, True),
        ({"amx_bf16": True}, True),
    ):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda found=capabilities: found)
        assert native_bf16() is native


@pytest.mark.parametrize(
    "block",
    [
        {"load_best_model_at_end": True, "eval_strategy": "epoch", "save_strategy": "steps"},
        {"bf16": True, "fp16": True},
        {"warmup_steps": -1},
    ],
)
def test_arguments_that_contradict_each_other_are_refused_with_the_librarys_reason(
    block: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=r"^training: .+"):
        build(tmp_path, **block)


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ({"fp16": True}, "training.fp16: float16 needs a GPU, and this run has none; leave it out"),
        ({"fp16_full_eval": True}, "training.fp16_full_eval: float16 needs a GPU"),
        ({"use_liger_kernel": True}, "training.use_liger_kernel: needs a package; pip install liger-kernel"),
        ({"optim": "adamw_bnb_8bit"}, "training.optim: adamw_bnb_8bit: You need to install `bitsandbytes`"),
        ({"optim": "galore_adamw"}, "training.optim: galore_adamw: You need to install `galore_torch`"),
        ({"optim": "grokadamw"}, "training.optim: grokadamw .*Please install grokadamw"),
        ({"optim": "sgd", "optim_args": "momentum"}, "training.optim: sgd .optim_args 'momentum'.: "),
        ({"report_to": ["wandb"]}, "training.report_to: 'wandb' is not installed; known: none, "),
        ({"report_to": "wandb"}, "training.report_to: 'wandb' is not installed; known: none, "),
        ({"tf32": True}, "training: tf32 requires Ampere"),
        ({"accelerator_config": {"nope": 1}}, "training: .*unexpected keyword argument 'nope'"),
        ({"accelerator_config": "no.json"}, "training: .*No such file or directory: 'no.json'"),
    ],
)
def test_what_this_machine_lacks_is_told_before_training(
    block: dict[str, Any], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a machine without a GPU and without any package for the library's extras."""
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
    for lacking in ("is_bitsandbytes_available", "is_galore_torch_available", "is_grokadamw_available"):
        monkeypatch.setattr(f"transformers.trainer_optimizer.{lacking}", lambda *_: False)
    monkeypatch.setattr("transformers.utils.is_liger_kernel_available", lambda: False)
    monkeypatch.setattr("transformers.utils.import_utils.is_torch_tf32_available", lambda: False)
    monkeypatch.setattr("transformers.training_args.is_torch_tf32_available", lambda: False)
    monkeypatch.setattr(
        "transformers.integrations.integration_utils.get_available_reporting_integrations",
        lambda: ["tensorboard"],
    )
    for ask in (require_machine, lambda block: build(tmp_path, **block)):
        with pytest.raises(ConfigError, match=f"^{message}"):
            ask(block)


def test_float16_is_taken_where_there_is_a_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    require_machine({"fp16": True, "use_cpu": False})
    with pytest.raises(ConfigError, match="float16 needs a GPU"):
        require_machine({"fp16": True, "use_cpu": True})


def test_when_to_evaluate_and_save_is_no_matter_of_the_machine_unless_it_contradicts_itself() -> None:
    require_machine({"eval_strategy": "steps", "eval_steps": 3, "load_best_model_at_end": True})
    require_machine({"save_strategy": "best", "metric_for_best_model": "eval_loss"})
    apart = {
        "eval_strategy": "steps",
        "eval_steps": 7,
        "save_strategy": "epoch",
        "load_best_model_at_end": True,
    }
    with pytest.raises(ConfigError, match=r"^training: load_best_model_at_end requires the save"):
        require_machine(apart)


@pytest.mark.parametrize(
    ("block", "message"),
    [
        (
            {"lr_scheduler_kwargs": {"foo": 1}},
            r"lr_scheduler_type: linear with lr_scheduler_kwargs \{'foo': 1\}",
        ),
        (
            {"lr_scheduler_type": "warmup_stable_decay"},
            "lr_scheduler_type: warmup_stable_decay with .*num_decay_st",
        ),
        ({"lr_scheduler_type": "cosine_with_min_lr"}, "lr_scheduler_type: cosine_with_min_lr with .*min_lr"),
        ({"fsdp": "full_shard"}, "fsdp: needs several processes"),
        (
            {"torch_compile": True, "torch_compile_backend": "inducto"},
            "torch_compile_backend: did you mean inductor",
        ),
    ],
)
def test_what_the_library_would_tell_when_training_begins_is_told_before(
    block: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=rf"^training\.{message}"):
        require_machine(block)


def test_schedules_with_what_they_need_are_accepted() -> None:
    require_machine({"lr_scheduler_type": "cosine_with_min_lr", "lr_scheduler_kwargs": {"min_lr": 1e-6}})
    require_machine({"lr_scheduler_type": "reduce_lr_on_plateau", "eval_strategy": "epoch"})
    require_machine({"lr_scheduler_type": "polynomial", "lr_scheduler_kwargs": {"power": 2.0}})
