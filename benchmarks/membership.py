"""Can learnt rows be told from unseen ones, the more often the model saw them.

    python benchmarks/membership.py --epochs 1,4,16,64

A small target set of product reviews, adapted from the source model for so many passes. The attack is the
report's: each row's loss before adaptation minus its loss after. Learnt rows against test rows; as a control
as many rows of the same pool that the model never saw, against the same test rows: near one half.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from common import RESULTS, describe_machine, save_results
from quality import ENCODER

from nlp_transfer import load_adapted
from nlp_transfer.config import parse_config
from nlp_transfer.data.rows import Rows
from nlp_transfer.diagnostics.privacy import membership_inference, membership_scores, row_losses
from nlp_transfer.sentiment import SentimentTransfer


def recipe_of(folder: str, rows: int, epochs: int, seed: int) -> SentimentTransfer:
    return SentimentTransfer(
        parse_config(
            {
                "task": "sentiment",
                "output_dir": folder,
                "model": {"path": ENCODER, "max_length_tokens": 128},
                "data": {
                    "source": {"card": "rotten_tomatoes"},
                    "target": {"card": "product_reviews", "train_size": rows},
                    "seed": seed,
                },
                # The passes are the adaptation's alone: the source model is the reference, one for all.
                "adaptation": {"replay": 0, "mix": None, "training": {"num_train_epochs": epochs}},
                "training": {"seed": seed},
                "evaluation": {"baselines": ["zero_shot"], "seeds": [seed]},
            }
        )
    )


def measure(rows: int, epochs: int, seed: int) -> dict[str, Any]:
    """Adapt on so many rows for so many passes, and attack the model."""
    with tempfile.TemporaryDirectory() as folder:
        recipe = recipe_of(f"{folder}/run", rows, epochs, seed)
        report = recipe.run()
        target, learnt = recipe.data.target, recipe.data.target.selection
        # Draws are nested: the larger one holds the learnt rows, and as many that the run never saw.
        drawn = recipe_of(f"{folder}/unused", 2 * rows, epochs, seed).data.target.selection
        seen = set(learnt.ids)
        control = drawn.take([row for row, name in enumerate(drawn.ids) if name not in seen])
        before, after = load_adapted(recipe.folder / "source_model"), load_adapted(recipe.folder)

        def scores(of: Rows) -> Any:
            losses = [row_losses(m.probabilities(of.texts), of.labels) for m in (before, after)]
            return membership_scores(losses[0], losses[1])

        test = scores(target.test)
        found = {
            name: membership_inference(scores(of), test)
            for name, of in (("learnt", learnt), ("control", control))
        }
        accuracy = {
            name: float((after.probabilities(of.texts).argmax(axis=1) == of.labels).mean())
            for name, of in (("learnt", learnt), ("test", target.test))
        }
    return {
        "auc": {name: vars(each.auc) for name, each in found.items()},
        "tpr_at_1_percent_fpr": {name: vars(each.tpr_at_1_percent_fpr) for name, each in found.items()},
        "accuracy": accuracy,
        "finding": [f for f in report.findings if f["check"] == "membership_inference"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=128)
    parser.add_argument("--epochs", default="1,4,16,64")
    parser.add_argument("--seeds", default="0,1,2")
    args = parser.parse_args()
    path: Path = RESULTS / "membership.json"
    results = json.loads(path.read_text()) if path.exists() else {"cells": {}}
    results["what"] = f"membership inference after {args.rows} product reviews, by passes over them"
    results["machine"] = describe_machine()
    for epochs in map(int, args.epochs.split(",")):
        for seed in map(int, args.seeds.split(",")):
            key = f"{epochs}/{seed}"
            if key not in results["cells"]:
                cell = results["cells"][key] = measure(args.rows, epochs, seed)
                save_results(path, results)
                print(key, {name: round(auc["value"], 2) for name, auc in cell["auc"].items()}, flush=True)


if __name__ == "__main__":
    main()
