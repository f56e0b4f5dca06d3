"""Real tokens a second while training a translation model: the package beside a stock `Seq2SeqTrainer`.

    python benchmarks/translation_training_speed.py --repeats 3

Same model (the embedded one), same pairs, equal memory: the stock script draws random batches of a fixed
number of rows, the largest of which holds as many padded tokens as the package's largest. It runs with stock
settings (float32), and once more in bfloat16, so that both parts of the difference show.
Tokens of padding do not count.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # as the command sets it, for both sides

import numpy as np
import torch
from common import RESULTS, describe_machine, save_results

from nlp_transfer.config import DataConfig, DomainConfig
from nlp_transfer.data.pairs import Pairs
from nlp_transfer.data.parallel import load_transfer_pairs
from nlp_transfer.models.encoding import encode_pairs
from nlp_transfer.models.translation import load_translator
from nlp_transfer.training.adapt_translation import BATCH_TOKENS, TranslationProcedure, train_translator
from nlp_transfer.training.samplers import TokenBatchSampler

MODEL = "embedded://romance"
MAX_LENGTH = 128


def rows_of_equal_memory(sources: np.ndarray, targets: np.ndarray) -> int:
    """Return how many rows a random batch may have, so that the largest is no larger than the package's."""
    sampler = TokenBatchSampler(sources, targets, batch_tokens=BATCH_TOKENS, seed=0)
    largest = max(len(rows) * (sources[rows].max() + targets[rows].max()) for rows in sampler)
    order = np.random.default_rng(0).permutation(len(sources))
    for rows in range(256, 1, -1):
        batches = [order[first : first + rows] for first in range(0, len(order), rows)]
        if max(len(batch) * (sources[batch].max() + targets[batch].max()) for batch in batches) <= largest:
            return rows
    return 1


def package(pairs: Pairs, steps: int, seed: int) -> float:
    procedure = TranslationProcedure(
        method="full", max_length_tokens=MAX_LENGTH, seed=seed,
        arguments={"max_steps": steps, "report_to": "none"},
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        trained = train_translator(MODEL, procedure, pairs, label="package", folder=Path(folder))
    return trained.fit.tokens / trained.fit.seconds


def stock(pairs: Pairs, rows: int, steps: int, seed: int, *, bf16: bool) -> float:
    from transformers import DataCollatorForSeq2Seq, Seq2SeqTrainer, Seq2SeqTrainingArguments

    loaded = load_translator(MODEL)
    sources, targets, _ = encode_pairs(pairs, loaded, asked_as={})
    features = [
        {"input_ids": source.tolist(), "attention_mask": [1] * len(source), "labels": target.tolist()}
        for source, target in zip(sources, targets, strict=True)
    ]
    seen: list[int] = []
    collate = DataCollatorForSeq2Seq(loaded.tokenizer, model=loaded.model)

    def counting(batch: list[dict[str, Any]]) -> Any:
        seen.append(sum(len(row["input_ids"]) + len(row["labels"]) for row in batch))
        return collate(batch)

    with tempfile.TemporaryDirectory() as folder:
        arguments = Seq2SeqTrainingArguments(
            output_dir=folder, per_device_train_batch_size=rows, max_steps=steps, seed=seed, bf16=bf16,
            label_smoothing_factor=0.1, use_cpu=True, save_strategy="no", report_to="none", disable_tqdm=True,
        )  # fmt: skip
        trainer = Seq2SeqTrainer(
            model=loaded.model,
            args=arguments,
            train_dataset=features,
            data_collator=counting,  # type: ignore[arg-type]
        )
        began = time.perf_counter()
        trainer.train()
        seconds = time.perf_counter() - began
    return sum(seen[:steps]) / seconds


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--steps", type=int, default=60)
    args = parser.parse_args()
    torch.set_num_threads(2)
    domain = DomainConfig(card="software_catalogues", src_lang="en", tgt_lang="es")
    pairs = load_transfer_pairs(DataConfig(target=domain)).target.train
    sources, targets, _ = encode_pairs(pairs, load_translator(MODEL), asked_as={})
    short = np.flatnonzero((sources.lengths <= MAX_LENGTH) & (targets.lengths <= MAX_LENGTH))
    pairs = pairs.take(short)
    rows = rows_of_equal_memory(sources.lengths[short], targets.lengths[short])
    speeds: dict[str, list[float]] = {"package": [], "stock_float32": [], "stock_bfloat16": []}
    for repeat in range(args.repeats):
        speeds["package"].append(package(pairs, args.steps, repeat))
        speeds["stock_float32"].append(stock(pairs, rows, args.steps, repeat, bf16=False))
        speeds["stock_bfloat16"].append(stock(pairs, rows, args.steps, repeat, bf16=True))
        print({name: round(values[-1]) for name, values in speeds.items()}, flush=True)
        save_results(RESULTS / "translation_training_speed.json", summary(speeds, rows, len(pairs)))


def summary(speeds: dict[str, list[float]], rows: int, pairs: int) -> dict[str, Any]:
    """Compare the package's tokens a second with each stock run's, repeat by repeat."""
    return {
        "what": f"real tokens a second on {pairs} en-es pairs of software text; stock: random batches of "
        f"{rows} rows; package: batches of {BATCH_TOKENS} padded tokens; largest batches of equal size",
        "tokens_a_second": speeds,
        "times_faster": {
            name: [fast / slow for fast, slow in zip(speeds["package"], speeds[name], strict=True)]
            for name in speeds
            if name != "package"
        },
        "machine": describe_machine(),
    }


if __name__ == "__main__":
    main()
