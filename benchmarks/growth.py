"""Time and memory by the number of rows: `benchmarks/results/growth.json` and `growth.png`.

    python benchmarks/growth.py --rows 1000 10000 100000 1000000

Each row is the first half of one sentence of the card rotten_tomatoes and the second half of another, each
pair once. The model is a tiny random one (two layers of 32) with a tokenizer of 4,000 pieces trained on
them, so that what is measured is the package and not the model. Each step runs in a process
of its own: `predict` is the command, csv in and csv out; `encode` fills the cache of encodings and reads it
back (8 tokens of each text); `check` is the preflight of a recipe; `epoch` is a whole `train` on 2,000 of the
rows. Memory is the most that the process held itself (anonymous pages; pages of mapped files are the system's
to take back), and beside it the peak resident size. What the process holds before the first row is in both.
Sizes and steps that another call measured stay in the output.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from common import RESULTS, describe_machine, save_results

STEPS = ("predict", "encode", "check", "epoch")
SUBSET = 2_000
# Few, so that a million rows take minutes: the encoder's own work is measured by `predict`.
ENCODED_TOKENS = 8


def real_sentences() -> list[tuple[str, str]]:
    """Return (text, label) of the card rotten_tomatoes."""
    from nlp_transfer.config import DomainConfig
    from nlp_transfer.data.classification import load_domain

    domain = load_domain(DomainConfig(card="rotten_tomatoes"), name="source", seed=0)
    rows = domain.selection
    return [(text, domain.label_names[label]) for text, label in zip(rows.texts, rows.labels, strict=True)]


def pairs(sentences: list[tuple[str, str]], rows: int) -> Iterator[tuple[str, str]]:
    """Yield so many rows of two halves of sentences, no pair twice; the first one's label."""
    count = len(sentences)
    for number in range(rows):
        first, shift = number % count, 1 + number // count
        text, label = sentences[first]
        other = sentences[(first + shift) % count][0]
        begin, end = text[: len(text) // 2].rpartition(" ")[0], other[len(other) // 2 :].partition(" ")[2]
        yield f"{begin} {end}", label


def write_rows(path: Path, sentences: list[tuple[str, str]], rows: int) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(("text", "label"))
        table.writerows(itertools.islice(pairs(sentences, rows), rows))


def build_models(folder: Path, texts: list[str]) -> None:
    """Save a tiny random encoder and classifier with a tokenizer that knows these texts."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import BertConfig, BertForSequenceClassification, BertModel, BertTokenizer

    trained = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    trained.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    trainer = trainers.WordPieceTrainer(vocab_size=4_000, special_tokens=special, show_progress=False)
    trained.train_from_iterator(texts, trainer)
    tokenizer = BertTokenizer(vocab=trained.get_vocab(), model_max_length=64)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}
    names = {"id2label": {0: "negative", 1: "positive"}, "label2id": {"negative": 0, "positive": 1}}
    config = BertConfig(vocab_size=len(tokenizer), max_position_embeddings=80, **sizes, **names)
    torch.manual_seed(0)
    made = {"encoder": BertModel(config), "classifier": BertForSequenceClassification(config)}
    for name, model in made.items():
        model.save_pretrained(folder / name)
        tokenizer.save_pretrained(folder / name)


# One step, in a process of its own -----------------------------------------------------------------


class Watch:
    """Samples the anonymous memory of this process."""

    def __init__(self) -> None:
        self.peak_kb = 0
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._sample, daemon=True)

    def _sample(self) -> None:
        while not self.over.wait(0.02):
            status = Path("/proc/self/status").read_text()
            self.peak_kb = max(self.peak_kb, int(status.partition("RssAnon:")[2].split()[0]))

    def __enter__(self) -> Watch:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.thread.join()


def predict(folder: Path, rows: int) -> None:
    from nlp_transfer.inference.documents import predict_documents

    predict_documents(
        str(folder / "classifier"), texts=None, source=folder / f"{rows}.csv", output=folder / "out.csv",
        text_column=None, revision=None, as_json=False,
    )  # fmt: skip
    with (folder / "out.csv").open() as file:
        found = sum(1 for _ in file) - 1
    if found != rows:
        raise SystemExit(f"{found} predictions of {rows} rows")


def encode(folder: Path, rows: int) -> None:
    import numpy as np

    from nlp_transfer.data.tables import read_source
    from nlp_transfer.data.texts import Texts
    from nlp_transfer.models.features import encode as encode_texts
    from nlp_transfer.models.loading import load_encoder, load_tokenizer

    encoder, tokenizer = load_encoder(str(folder / "encoder")), load_tokenizer(str(folder / "encoder"))
    texts = Texts.of(row["text"] for row in read_source(str(folder / f"{rows}.csv")))
    for _ in range(2):
        vectors = encode_texts(encoder, tokenizer, texts, max_length_tokens=ENCODED_TOKENS, label=None)
        if vectors.shape != (rows, 32) or not np.isfinite(vectors[-1]).all():
            raise SystemExit(f"{vectors.shape} vectors of {rows} rows")


def recipe(folder: Path, rows: int) -> Any:
    from nlp_transfer import SentimentTransfer
    from nlp_transfer.config import parse_config

    return SentimentTransfer(
        parse_config(
            {
                "task": "sentiment",
                "output_dir": str(folder / f"run-{rows}"),
                "model": {"path": str(folder / "encoder"), "max_length_tokens": 64},
                "data": {
                    "target": {"path": str(folder / f"{rows}.csv"), "train_size": min(SUBSET, rows // 2)}
                },
                "source_stage": None,
                "adaptation": {"training": {"num_train_epochs": 1, "bf16": False}},
            }
        )
    )


def check(folder: Path, rows: int) -> None:
    recipe(folder, rows).check()


def epoch(folder: Path, rows: int) -> None:
    recipe(folder, rows).train()


def one_step(step: str, folder: Path, rows: int) -> None:
    """Run one step here and print what it took."""
    import nlp_transfer.training.adapt  # noqa: F401 - the libraries are loaded before the clock starts

    ways: dict[str, Callable[[Path, int], None]] = {
        "predict": predict, "encode": encode, "check": check, "epoch": epoch
    }  # fmt: skip
    with Watch() as watch:
        time.sleep(0.1)
        before = watch.peak_kb
        began = time.perf_counter()
        ways[step](folder, rows)
        seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    kilobytes = {"before_mb": before, "peak_mb": watch.peak_kb, "rss_mb": peak}
    found = {"seconds": round(seconds, 2), **{name: kb // 1024 for name, kb in kilobytes.items()}}
    print(json.dumps(found))


# All of them ---------------------------------------------------------------------------------------


def measure(steps: list[str], sizes: list[int], repeats: int) -> dict[str, Any]:
    cells: dict[str, dict[str, Any]] = {step: {} for step in steps}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sentences = real_sentences()
        build_models(folder, [text for text, _ in sentences])
        for rows in sizes:
            write_rows(folder / f"{rows}.csv", sentences, rows)
            for step in steps:
                tries = [started(step, folder, rows, number) for number in range(repeats)]
                cells[step][str(rows)] = min(tries, key=lambda one: one["seconds"])
                print(f"{step:<8} {rows:>9,} {cells[step][str(rows)]}", flush=True)
            (folder / f"{rows}.csv").unlink()
    return cells


def started(step: str, folder: Path, rows: int, number: int) -> dict[str, float]:
    """Run one step in a process of its own, with a cache of its own."""
    environment = {**os.environ, "NLP_TRANSFER_CACHE": str(folder / f"cache-{step}-{rows}-{number}")}
    command = [sys.executable, __file__, "--step", step, "--folder", str(folder), "--rows", str(rows)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{step} of {rows} rows:\n{done.stderr[-3000:]}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def draw(cells: dict[str, dict[str, Any]], path: Path) -> None:
    """Draw seconds and memory by rows."""
    from nlp_transfer.reporting.figures import new_figure, save_figure, tidy

    figure = new_figure(9, 4)
    for panel, key, name in zip(
        figure.subplots(1, 2), ("seconds", "peak_mb"), ("seconds", "peak memory, MB"), strict=True
    ):
        for step, found in cells.items():
            panel.plot([int(rows) for rows in found], [one[key] for one in found.values()], "o-", label=step)
        panel.set_xscale("log")
        panel.set_yscale("log" if key == "seconds" else "linear")
        panel.set_ylim(bottom=None if key == "seconds" else 0)
        panel.set_title(name, loc="left")
        panel.set_xlabel("rows")
        tidy(panel, grid="both")
    panel.legend(frameon=False)
    save_figure(figure, path)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", nargs="+", type=int, default=[1_000, 10_000, 100_000, 1_000_000])
    parser.add_argument("--steps", nargs="+", default=list(STEPS), choices=STEPS)
    parser.add_argument("--repeats", type=int, default=1, help="the fastest is kept")
    parser.add_argument("--output", type=Path, default=RESULTS / "growth.json")
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.step:
        one_step(args.step, args.folder, args.rows[0])
        return
    measured = measure(args.steps, args.rows, args.repeats)
    cells = json.loads(args.output.read_text())["cells"] if args.output.exists() else {}
    for step, found in measured.items():
        cells[step] = {**cells.get(step, {}), **found}
    draw(cells, args.output.with_suffix(".png"))
    save_results(args.output, {"what": "seconds and memory by rows, a tiny random model", "cells": cells,
                               "subset": SUBSET, "machine": describe_machine()})  # fmt: skip


if __name__ == "__main__":
    main()
