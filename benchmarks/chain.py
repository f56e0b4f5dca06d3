"""A chain of adaptations on real text: what each step keeps of the earlier ones.

    python benchmarks/chain.py --size 256

Movie reviews, then product reviews, then tweets, then newspaper sentences; each step starts from the model of
the one before (`--continue-from`) and learns from `size` labelled rows. After each step every earlier test
set is scored again.
"""

from __future__ import annotations

import argparse
import tempfile

from common import RESULTS, describe_machine, save_results
from quality import ENCODER, domain

from nlp_transfer.config import parse_config
from nlp_transfer.sentiment import SentimentTransfer

STEPS = ("product_reviews", "tweets", "nyt")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, default=256)
    args = parser.parse_args()
    results = {
        "what": f"accuracy along a chain; {args.size} labelled rows a step; encoder all-MiniLM-L6-v2",
        "machine": describe_machine(),
        "steps": {},
    }
    with tempfile.TemporaryDirectory() as folder:
        before = None
        for step in STEPS:
            data = {"target": {**domain(step), "train_size": args.size}}
            if before is None:
                data["source"] = {"card": "rotten_tomatoes"}
            report = SentimentTransfer(
                parse_config(
                    {
                        "task": "sentiment",
                        "output_dir": f"{folder}/{step}",
                        "model": {"path": ENCODER, "max_length_tokens": 128},
                        "data": data,
                        "continue_from": before,
                        "evaluation": {"baselines": ["zero_shot", "target_only"]},
                    }
                )
            ).run()
            before = f"{folder}/{step}"
            results["steps"][step] = {
                name: entry["target"]["accuracy"] for name, entry in report.systems.items()
            }
            if chain := report.content.get("chain"):
                # Without the folders, which are of this machine and gone.
                results["chain"] = {
                    "steps": chain["steps"],
                    "test_sets": [
                        {"name": each["name"], "n": each["now"]["n"], "scores": each["scores"]}
                        for each in chain["test_sets"]
                    ],
                }
            save_results(RESULTS / "chain.json", results)
            print(report.verdict["sentence"], flush=True)


if __name__ == "__main__":
    main()
