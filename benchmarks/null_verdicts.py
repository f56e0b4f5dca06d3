"""How often the verdict speaks where there is nothing to say: two systems that differ by chance alone.

    python benchmarks/null_verdicts.py

`adapted` and `target_only` are the same small network on the frozen encoder's features of product reviews,
trained from other random starts. `seed`: on the same drawn rows, so that the seed alone differs. `draw`: each
on rows of its own draw of one pool, which differ more than two systems of a run ever do. 200 pairs of runs
for each number of rows and of seeds in a run, scored on the same test rows by the package's own scorer and
verdict. `helped` and `harmed` are counted with the upper end of their exact interval (Clopper and Pearson
1934, one-sided, 95%).
"""

from __future__ import annotations

import argparse
from collections import Counter
from typing import Any

import numpy as np
from common import RESULTS, describe_machine, save_results
from quality import ENCODER
from scipy import stats
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler
from tqdm.auto import tqdm

from nlp_transfer.config import parse_config
from nlp_transfer.evaluation.compare import verdict
from nlp_transfer.evaluation.scorers import assumed_accuracy_spread, classification_scorer
from nlp_transfer.models.features import encode
from nlp_transfer.models.loading import load_encoder, load_tokenizer
from nlp_transfer.models.resolving import resolve_model
from nlp_transfer.sentiment import SentimentTransfer


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--rows", type=int, nargs="+", default=[64])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 3])
    args = parser.parse_args()
    features, labels, test, groups = features_of_products()
    cells = {}
    for rows in args.rows:
        for seeds in args.seeds:
            for differ in ("seed", "draw"):
                found: Counter[str] = Counter()
                for run in tqdm(range(args.runs), desc=f"{rows} rows, {seeds} seeds, {differ}"):
                    found[one_verdict(features, labels, test, groups, rows, seeds, differ, run)] += 1
                spoke = found["helped"] + found["harmed"]
                cells[f"{rows}/{seeds}/{differ}"] = {
                    **found,
                    "runs": args.runs,
                    "spoke_share": spoke / args.runs,
                    "upper_95": upper_bound(spoke, args.runs),
                }
                print(rows, seeds, differ, cells[f"{rows}/{seeds}/{differ}"], flush=True)
    save_results(
        RESULTS / "null_verdicts.json",
        {
            "what": "verdicts on product reviews where adapted and target_only differ by chance alone; "
            f"{len(test[1])} test rows; upper_95: one-sided exact bound of the share of helped and harmed",
            "cells": cells,
            "machine": describe_machine(),
        },
    )


def features_of_products() -> tuple[Any, Any, tuple[Any, Any], Any]:
    """Encode the training and the test rows of product reviews once."""
    recipe = SentimentTransfer(
        parse_config(
            {
                "task": "sentiment",
                "output_dir": "unused",
                "model": {"path": ENCODER, "max_length_tokens": 128},
                "data": {"target": {"card": "product_reviews"}},
            }
        )
    )
    target = recipe.data.target
    folder = resolve_model(ENCODER)
    encoder, tokenizer = load_encoder(folder), load_tokenizer(folder)
    vectors = [
        encode(encoder, tokenizer, rows.texts, max_length_tokens=128) for rows in (target.train, target.test)
    ]
    scaler = StandardScaler().fit(vectors[0])
    return (
        scaler.transform(vectors[0]), target.train.labels,
        (scaler.transform(vectors[1]), target.test.labels), target.test.groups,
    )  # fmt: skip


def one_verdict(
    features: Any,
    labels: Any,
    test: tuple[Any, Any],
    groups: Any,
    rows: int,
    seeds: int,
    differ: str,
    run: int,
) -> str:
    """Train both systems at each seed, and return the verdict."""
    predicted: dict[str, list[Any]] = {"adapted": [], "target_only": []}
    for seed in range(seeds):
        drawn = np.random.default_rng([run, seed]).permutation(len(features))
        for number, per_seed in enumerate(predicted.values()):
            # Two systems of one run are given the same rows; under `draw` the second gets others.
            first = number * rows if differ == "draw" else 0
            chosen = drawn[first : first + rows]
            start = 2 * (1000 * run + seed) + number
            network = MLPClassifier((32,), batch_size=16, max_iter=30, random_state=start)
            network.fit(features[chosen], labels[chosen])
            per_seed.append(network.predict_proba(test[0]))
    scorer = classification_scorer(test[1], groups=groups, resamples=1000, seed=run)
    noise = scorer.noise(
        predicted["adapted"], predicted["target_only"], assumed_seed_spread=assumed_accuracy_spread(rows)
    )
    return str(verdict(noise, metric="accuracy", against="target_only", seeds=seeds)["transfer"])


def upper_bound(found: int, n: int) -> float:
    """Return the upper end of the one-sided exact 95% interval of a share."""
    return 1.0 if found == n else float(stats.beta.ppf(0.95, found + 1, n - found))


if __name__ == "__main__":
    main()
