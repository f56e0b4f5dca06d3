"""English to Asturian at several sizes, adapted from a parent, against scratch and a rule-based system.

    python benchmarks/translation_quality.py --data ../shared/data/software_ui --sizes 500 1000 5000

Text: the fixed train, dev and test files of shared/data/software_ui (1,000 test sentences, none of which is
near a sentence of the parents' training files). The rule-based system is Apertium's eng-spa and spa-ast; its
chrF of 44.7 on the same sentences stands in that folder's README, and chrF (without words) is computed here
beside chrF++.
The parents' text holds the English of nine child pairs in ten. `--disjoint` is the other condition: of
the child's training pairs those are taken whose English stands in none of the parents' files (3,564 of
50,249), so that the parent has read no sentence that the child learns.
Each cell is kept, and measured again only where a baseline is asked for that it lacks: a run that was
stopped goes on.
"""

from __future__ import annotations

import argparse
import gzip
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from common import RESULTS, describe_machine, save_results

from nlp_transfer import TranslationTransfer
from nlp_transfer.config import parse_config
from nlp_transfer.data.skeletons import skeleton
from nlp_transfer.evaluation.predictions import read_translations

APERTIUM_CHRF = 44.7
# Of the parent's pair: enough to replay from, and to see what it forgets.
SOURCE_PAIRS, SOURCE_TEST_PAIRS = 60_000, 300
PARENT_LANGUAGES = ("es", "pt", "fr", "it", "ca")


def rows_of(path: Path) -> Iterator[str]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        yield from file


def write_disjoint(data: Path, path: Path) -> None:
    """Write the child's training pairs whose English, by its skeleton, no parent's training file holds."""
    read = {
        skeleton(row.split("\t")[0])
        for lang in PARENT_LANGUAGES
        for row in rows_of(data / f"en-{lang}.train.tsv.gz")
    }
    rows = rows_of(data / "en-ast.train.tsv.gz")
    path.write_text(
        "".join(row for row in rows if skeleton(row.split("\t")[0]) not in read), encoding="utf-8"
    )


def run_cell(
    parent: str, data: Path, size: int, seed: int, *, disjoint: bool, baselines: list[str]
) -> dict[str, Any]:
    """Run one size and seed; return each system's scores."""
    import sacrebleu

    splits, of_parent = (
        {side: str(data / f"en-{lang}.{side}.tsv.gz") for side in ("train", "dev", "test")}
        for lang in ("ast", "es")
    )
    with tempfile.TemporaryDirectory() as folder:
        if disjoint:
            splits["train"] = f"{folder}/disjoint.tsv"
            write_disjoint(data, Path(splits["train"]))
        recipe = TranslationTransfer(
            parse_config(
                {
                    "task": "translation",
                    "output_dir": f"{folder}/run",
                    "model": {"path": parent, "max_length_tokens": 128},
                    "data": {
                        "source": {
                            "splits": of_parent, "src_lang": "en", "tgt_lang": "es", "clean": False,
                            "train_size": SOURCE_PAIRS, "test_size": SOURCE_TEST_PAIRS,
                        },
                        "target": {
                            "splits": splits, "src_lang": "en", "tgt_lang": "ast", "clean": False,
                            "train_size": size,
                        },
                        "seed": seed,
                    },
                    "source_stage": None,
                    "training": {"seed": seed},
                    "evaluation": {"baselines": baselines},
                }
            )
        )  # fmt: skip
        report = recipe.run()
        references = recipe.data.target.test.targets
        cell = {}
        for system, entry in report.content["systems"].items():
            written = read_translations(recipe.predictions_folder(0) / f"{system}.target.jsonl")
            chrf = sacrebleu.corpus_chrf(written, [references]).score
            scores = {metric: entry["target"][metric] for metric in ("chrf++", "bleu", "ter")}
            cell[system] = {**scores, "chrf": chrf, "cost": entry["cost"]}
            if entry["source"]:
                cell[system]["source_chrf++"] = entry["source"]["chrf++"]
    return {"systems": cell, "mix": report.content.get("mix")}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--parent", default="embedded://romance")
    parser.add_argument("--sizes", type=int, nargs="+", default=[500, 1000, 5000, 20000, 50000])
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--baselines", nargs="+", default=["copy", "zero_shot", "scratch"])
    parser.add_argument("--disjoint", action="store_true", help="no English that the parents read")
    args = parser.parse_args()
    path = RESULTS / "translation_quality_ast.json"
    results = json.loads(path.read_text()) if path.exists() else {"cells": {}}
    for size in args.sizes:
        for seed in range(args.seeds):
            key = f"{size}/{seed}" + ("/disjoint" if args.disjoint else "")
            kept = results["cells"].get(key, {"systems": {}})
            if {"adapted", *args.baselines} <= set(kept["systems"]):
                continue
            results["cells"][key] = run_cell(
                args.parent, args.data, size, seed, disjoint=args.disjoint, baselines=args.baselines
            )
            scored = results["cells"][key]["systems"]["adapted"]["chrf++"]["n"]
            results |= {
                "what": f"en-ast software text, parent {args.parent}, {scored} of the 1,000 fixed test "
                "sentences (the others are near a training pair)",
                "apertium_chrf": APERTIUM_CHRF,
                "leak_condition": "the parents' training text holds the English of nine child pairs in "
                "ten; in the cells called disjoint it holds none of it (3,564 pairs)",
                "machine": describe_machine(),
            }
            save_results(path, results)
            print(
                size,
                seed,
                {
                    name: round(s["chrf++"]["value"], 1)
                    for name, s in results["cells"][key]["systems"].items()
                },
            )


if __name__ == "__main__":
    main()
