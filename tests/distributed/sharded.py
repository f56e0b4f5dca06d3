"""Trains a classifier in FSDP's shards on a CPU and saves it; started by test_fsdp.py in two processes.

torch cuts weights over CPU processes (gloo). accelerate does it for processes with an accelerator alone, and
so this script has it take its CPU processes for such ones; the rest is as on GPUs.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import tiny
import torch
from accelerate import PartialState
from accelerate.utils import DistributedType, gather_object
from trainings import SETTINGS
from transformers import Trainer

began = PartialState.__init__


def take_for_accelerators(self: Any, *given: Any, **named: Any) -> None:
    began(self, *given, **named)
    if self.distributed_type == DistributedType.MULTI_CPU:
        self.distributed_type = DistributedType.MULTI_GPU


def train(method: str, start: str, folder: Path) -> dict[str, Any]:
    """Train in shards and save on the main process; return losses, and the sum of each process's weights."""
    from nlp_transfer.training.adapt import train_classifier
    from nlp_transfer.training.procedure import Procedure
    from nlp_transfer.training.processes import computed_on_main

    arguments = {**SETTINGS, "learning_rate": 1e-3, "per_device_train_batch_size": 8}
    procedure = Procedure(method, tiny.LABELS, 40, 0, arguments, rank=4)
    trained = train_classifier(
        start, procedure, tiny.rows("movies", 100), tiny.rows("products", 37), label=method,
        folder=folder / "checkpoints", adapter_folder=folder / f"{method}-adapter",
    )  # fmt: skip

    def save() -> None:
        trained.model.save_pretrained(folder / method)
        trained.tokenizer.save_pretrained(folder / method)

    computed_on_main(save)
    with torch.no_grad():
        total = sum(float(weight.double().abs().sum()) for weight in trained.model.state_dict().values())
    totals = gather_object([total])
    losses = [record["loss"] for record in trained.fit.history if "loss" in record]
    return {"losses": losses, "totals": totals}


def main() -> None:
    from nlp_transfer.models import adapters
    from nlp_transfer.training.processes import is_main, num_processes

    PartialState.__init__ = take_for_accelerators  # type: ignore[method-assign]
    # Takes the number of an accelerator, which the processes of a CPU do not have.
    wait, torch.distributed.barrier = torch.distributed.barrier, lambda *_, **__: wait()
    adapters.DROPOUT = 0.0
    shards: list[int] = []
    evaluate = Trainer.evaluate

    def watched(self: Trainer, *given: Any, **named: Any) -> Any:
        shards.append(
            sum(p.to_local().numel() for p in self.model_wrapped.parameters() if hasattr(p, "to_local"))
        )
        return evaluate(self, *given, **named)

    Trainer.evaluate = watched
    start, folder = sys.argv[1], Path(sys.argv[2])
    found = {method: train(method, start, folder) for method in ("full", "lora")}
    if is_main():
        content = {"num_processes": num_processes(), "shard": shards[0], "methods": found}
        (folder / "found.json").write_text(json.dumps(content))


if __name__ == "__main__":
    main()
