"""Predictions for 3,000 texts: `load_adapted(...).predict` beside `pipeline("text-classification")`,
interleaved.

    python benchmarks/predict_speed.py MODEL --rows 3000 --repeats 3

The pipeline runs row by row and with batches of 32 in input order. Labels must be equal for all three.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

from common import RESULTS, describe_machine, save_results

from nlp_transfer import load_adapted
from nlp_transfer.config import DomainConfig
from nlp_transfer.data.classification import load_domain


def timed(predict: Callable[[list[str]], list[dict[str, Any]]], texts: list[str]) -> tuple[float, list[str]]:
    began = time.perf_counter()
    labels = [result["label"] for result in predict(texts)]
    return time.perf_counter() - began, labels


def main() -> None:
    from transformers import pipeline

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", help="a model folder")
    parser.add_argument("--rows", type=int, default=3000)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    texts = load_domain(DomainConfig(card="rotten_tomatoes"), name="source", seed=0).train.texts[: args.rows]
    adapted = load_adapted(args.model)
    stock = pipeline("text-classification", args.model, device="cpu")
    ways = {
        "package": adapted.predict,
        "pipeline_batch_32": lambda rows: stock(rows, batch_size=32),
        "pipeline_row_by_row": lambda rows: [stock(row)[0] for row in rows],
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for predict in ways.values():
        predict(texts[:64])
    for _ in range(args.repeats):
        labels = {}
        for name, predict in ways.items():
            taken, labels[name] = timed(predict, texts)
            seconds[name].append(taken)
        different = sum(len(set(row)) > 1 for row in zip(*labels.values(), strict=True))
        print(
            {name: round(times[-1], 2) for name, times in seconds.items()},
            "different labels:",
            different,
            flush=True,
        )
        save_results(RESULTS / "predict_speed.json", summary(seconds, len(texts), different))


def summary(seconds: dict[str, list[float]], rows: int, different: int) -> dict[str, Any]:
    """Compare the package's seconds with each other way's, pass by pass."""
    others = [name for name in seconds if name != "package"]
    return {
        "what": f"labels for {rows} rotten_tomatoes sentences in float32, seconds a pass",
        "seconds": seconds,
        "times_faster": {
            name: [slow / fast for slow, fast in zip(seconds[name], seconds["package"], strict=True)]
            for name in others
        },
        "different_labels": different,
        "machine": describe_machine(),
    }


if __name__ == "__main__":
    main()
