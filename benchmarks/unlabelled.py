"""What target text without labels brings: self-training and hidden words beside the same adaptation without.

    python benchmarks/unlabelled.py --target product_reviews --sizes 0,64 --seeds 0,1,2

Every run starts from one source model and is scored on the same test rows. The text is the target's own
training rows beyond `train_size`, whose labels nothing reads. A run that was cut off goes on where it stood.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from common import RESULTS, describe_machine, save_results
from quality import ENCODER, domain

from nlp_transfer.config import parse_config
from nlp_transfer.data.sources import cache_dir
from nlp_transfer.evaluation.predictions import read_predictions
from nlp_transfer.runs import read_history
from nlp_transfer.sentiment import SentimentTransfer

METHODS = ("none", "self_training", "mlm")
DOMAINS = ("target", "source")


def recipe_of(args: argparse.Namespace, size: int, method: str, folder: Path) -> SentimentTransfer:
    unlabelled = None if method == "none" else {"method": method, **json.loads(args.settings)}
    return SentimentTransfer(
        parse_config(
            {
                "task": "sentiment",
                "output_dir": str(folder),
                "model": {"path": ENCODER, "max_length_tokens": 128},
                "data": {
                    "source": domain(args.source),
                    "target": {**domain(args.target), "train_size": size},
                },
                "adaptation": {"unlabelled": unlabelled},
                "evaluation": {"seeds": args.seeds, "baselines": ["zero_shot"]},
            }
        )
    )


def measure(recipe: SentimentTransfer, seeds: list[int]) -> dict[str, Any]:
    """Run a recipe; return each seed's scores of `adapted` and `zero_shot`, and how sure the teacher was."""
    report = recipe.run()
    data, scores = recipe.data, {"adapted": [], "zero_shot": []}
    tests = {name: getattr(data, name).test for name in DOMAINS}
    for seed in seeds:
        for system, cells in scores.items():
            cell: dict[str, float] = {"seed": seed}
            for name, test in tests.items():
                path = recipe.predictions_folder(seed) / f"{system}.{name}.jsonl"
                predicted = read_predictions(path, data.label_names).argmax(axis=1)
                cell[name] = float((predicted == test.labels).mean())
            cells.append(cell)
    sure = [line["sure_share"] for line in read_history(recipe.folder) if "sure_share" in line]
    against = [c for c in report.comparisons if c["against"] == "zero_shot" and c["domain"] == "target"]
    return {
        **scores,
        "n": {name: len(test) for name, test in tests.items()},
        "texts": 0 if data.unlabelled is None else len(data.unlabelled.texts),
        "dropped": {} if data.unlabelled is None else data.unlabelled.dropped,
        "seconds": report.systems["adapted"]["cost"]["seconds"],
        "mean_sure_share": float(np.mean(sure)) if sure else None,
        "against_zero_shot": [c for c in against if c["metric"] == "accuracy"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--source", default="rotten_tomatoes")
    parser.add_argument("--target", default="product_reviews")
    parser.add_argument("--sizes", default="0,64")
    parser.add_argument("--seeds", default="0,1,2", help="seeds, by number")
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--settings", default="{}", help="further keys of adaptation.unlabelled, as JSON")
    parser.add_argument("--folder", type=Path, default=cache_dir() / "benchmark_unlabelled")
    args = parser.parse_args()
    args.seeds = [int(seed) for seed in args.seeds.split(",")]
    name = f"unlabelled_{args.source}_{args.target}"
    path = RESULTS / f"{name}.json"
    results = json.loads(path.read_text()) if path.exists() else {"cells": {}}
    results["what"] = f"accuracy on {args.target} test rows; source {args.source}; encoder all-MiniLM-L6-v2"
    results["machine"] = describe_machine()
    for size in map(int, args.sizes.split(",")):
        for method in args.methods.split(","):
            key = f"{size}/{method}" + ("" if args.settings == "{}" else f"/{args.settings}")
            if key in results["cells"] or (size == 0 and method == "none"):
                continue  # without labels and without texts nothing is learnt: that is `zero_shot`
            seeds = "-".join(map(str, args.seeds))
            folder = args.folder / name / f"{key.replace('/', '-')}-{seeds}"
            results["cells"][key] = measure(recipe_of(args, size, method, folder), args.seeds)
            save_results(path, results)
            found = [round(100 * cell["target"], 1) for cell in results["cells"][key]["adapted"]]
            print(key, found, flush=True)


if __name__ == "__main__":
    main()
