"""Joins two processes and says how long each waits for the other; started by test_waiting.py.

Where its recipe has a `ddp_timeout` the main process then takes longer than that.
"""

from __future__ import annotations

import atexit
import json
import os
import sys
import time
from pathlib import Path
from typing import Any


def timeout_seconds() -> float:
    from torch import device
    from torch.distributed import distributed_c10d

    backend: Any = distributed_c10d._get_default_group()._get_backend(device("cpu"))
    return float(backend.options._timeout.total_seconds())


def main() -> None:
    from torch import distributed
    from transformers import TrainingArguments

    from nlp_transfer.config import parse_config
    from nlp_transfer.recipes_by_task import recipe_class
    from nlp_transfer.training.processes import computed_on_main, is_main

    folder, recipe = Path(sys.argv[1]), json.loads(sys.argv[2])
    # What is registered first is called last: after the group was left.
    left = folder / f"{os.environ['RANK']}.left"
    atexit.register(lambda: left.write_text(str(not distributed.is_initialized())))
    is_main()
    seconds: dict[str, Any] = {"joined": timeout_seconds()}
    # What a training makes of itself does not change it.
    TrainingArguments(output_dir=str(folder / "checkpoints"), use_cpu=True)
    given = "ddp_timeout" in recipe["training"]
    run = recipe_class(recipe["task"])(parse_config(recipe))
    with run._run_folder():
        seconds["in a run"] = timeout_seconds()
        try:
            computed_on_main(lambda: time.sleep(recipe["training"]["ddp_timeout"] + 2 if given else 0))
        except RuntimeError as error:
            seconds["gave up"] = "timed out" in str(error).lower() or str(error)
        (folder / f"{os.environ['RANK']}.json").write_text(json.dumps(seconds))


if __name__ == "__main__":
    main()
