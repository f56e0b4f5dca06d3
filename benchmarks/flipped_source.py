"""A source that teaches the opposite: does the report say so, or did the method notice.

    python benchmarks/flipped_source.py --sizes 16,64,256 --seeds 0,1,2

Movie reviews with positive and negative exchanged, adapted to product reviews. A run is honest if its verdict
is `harmed`, or if adapted is no worse than target_only beyond noise and a `source_harm` finding warns. With
`--trust always` the source is learnt from whatever the target's labels say of it.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from typing import Any

from common import RESULTS, describe_machine, save_results
from quality import ENCODER

from nlp_transfer.config import parse_config
from nlp_transfer.sentiment import SentimentTransfer

SYSTEMS = ("zero_shot", "target_only", "adapted")


def measure(size: int, trust: str, seeds: list[int]) -> dict[str, Any]:
    """Run the recipe at one size; return what it says and the systems' accuracies."""
    with tempfile.TemporaryDirectory() as folder:
        report = SentimentTransfer(
            parse_config(
                {
                    "task": "sentiment",
                    "output_dir": f"{folder}/run",
                    "model": {"path": ENCODER, "max_length_tokens": 128},
                    "data": {
                        # The ids 0 and 1 are negative and positive; named the other way round.
                        "source": {"card": "rotten_tomatoes", "label_names": ["positive", "negative"]},
                        "target": {"card": "product_reviews", "train_size": size},
                    },
                    "adaptation": {"trust_source": trust},
                    "evaluation": {"baselines": ["zero_shot", "target_only"], "seeds": seeds},
                }
            )
        ).run()
    noticed = [f for f in report.findings if f["check"] in ("source_harm", "source_trust")]
    verdict = report.verdict
    warned = any(f["severity"] != "info" for f in noticed if f["check"] == "source_harm")
    return {
        "accuracy": {name: report.systems[name]["target"]["accuracy"] for name in SYSTEMS},
        "verdict": verdict,
        "findings": noticed,
        "honest": verdict["transfer"] == "harmed" or (warned and verdict["high"] >= 0),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", default="16,64,256")
    parser.add_argument("--seeds", default="0,1,2", help="seeds, by number")
    parser.add_argument("--trust", default="auto", choices=("auto", "always"))
    args = parser.parse_args()
    path = RESULTS / "flipped_source.json"
    results = json.loads(path.read_text()) if path.exists() else {"cells": {}}
    results["what"] = "product reviews after movie reviews with exchanged labels; encoder all-MiniLM-L6-v2"
    results["machine"] = describe_machine()
    for size in map(int, args.sizes.split(",")):
        key = f"{size}/{args.trust}"
        if key not in results["cells"]:
            seeds = [int(seed) for seed in args.seeds.split(",")]
            cell = results["cells"][key] = measure(size, args.trust, seeds)
            save_results(path, results)
            print(key, cell["honest"], cell["verdict"]["sentence"], flush=True)


if __name__ == "__main__":
    main()
