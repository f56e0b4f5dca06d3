"""Exported models, float32 and int8, beside what a user would run instead, interleaved.

    python benchmarks/runtime_speed.py classification MODEL --rows 3000 --repeats 3
    python benchmarks/runtime_speed.py translation --rows 500 --repeats 3

Classification: `pipeline("text-classification")` with batches of 32 in input order. Translation (the embedded
parent): `generate` with batches of 32 in input order, 4 beams. MODEL is exported here first, both ways; a
reason is stated for eight bits, since what they cost is measured here. First answer and peak memory are those
of a process of its own that opens the model and answers one text.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from common import RESULTS, describe_machine, save_results

from nlp_transfer import load_adapted
from nlp_transfer.config import DataConfig, DomainConfig
from nlp_transfer.data.classification import load_domain
from nlp_transfer.data.parallel import load_transfer_pairs
from nlp_transfer.evaluation.sacrebleu_metrics import score_and_signature
from nlp_transfer.exporting.export import export_model
from nlp_transfer.models.generation import generate_batch

FIXED_BATCH, BEAMS = 32, 4
Way = Callable[[list[str]], list[str]]
# Opens a model in a fresh process and answers one text: imports, loading and the answer, and the memory.
FIRST_ANSWER = """
import json, pathlib, re, sys, time
began = time.perf_counter()
kind, path = sys.argv[1:]
if kind == "pipeline":
    from transformers import pipeline
    pipeline("text-classification", path, device="cpu")("Battery died after a week.")
else:
    from nlp_transfer import load_adapted
    getattr(load_adapted(path), kind)(["Battery died after a week."])
# Not ru_maxrss: a process inherits its parent's.
peak = int(re.search(r"VmHWM:\\s+(\\d+) kB", pathlib.Path("/proc/self/status").read_text())[1]) / 1024
print(json.dumps({"first_answer_seconds": time.perf_counter() - began, "peak_rss_mb": peak}))
"""


def by_pipeline(model: str) -> Way:
    from transformers import pipeline

    stock = pipeline("text-classification", model, device="cpu")
    return lambda texts: [found["label"] for found in stock(texts, batch_size=FIXED_BATCH)]


def by_predict(model: str | Path) -> Way:
    loaded = load_adapted(model)
    return lambda texts: [found["label"] for found in loaded.predict(texts)]


def by_generate(model: str) -> Way:
    """Return what translates through the library's `generate`, so many rows at a time in input order."""
    translator = load_adapted(model)
    loaded = translator.loaded
    source, target = loaded.src_lang(translator.src_lang), loaded.tgt_lang(translator.tgt_lang)

    def translate(texts: list[str]) -> list[str]:
        written = []
        for first in range(0, len(texts), FIXED_BATCH):
            part = texts[first : first + FIXED_BATCH]
            ids = loaded.family.encode_sources(part, src_lang=source, tgt_lang=target)
            written += generate_batch(
                loaded.model, list(ids), [loaded.family.decoder_prefix(target)] * len(part),
                num_beams=BEAMS, most_tokens=translator.max_length_tokens, ratio=translator.target_ratio,
            )  # fmt: skip
        return list(loaded.tokenizer.batch_decode(written, skip_special_tokens=True))

    return translate


def by_translate(model: str | Path) -> Way:
    loaded = load_adapted(model)
    return lambda texts: list(loaded.translate(texts, num_beams=BEAMS))


def classification_rows(model: str, rows: int) -> tuple[list[str], list[str]]:
    """Return the source's test sentences, which the model has not learnt, and their labels."""
    domain = load_domain(
        DomainConfig(card="rotten_tomatoes"),
        name="source",
        seed=0,
        known_labels=load_adapted(model).label_names,
    )
    drawn = domain.test.take(range(min(rows, len(domain.test))))
    return drawn.texts, [domain.label_names[label] for label in drawn.labels]


def translation_rows(model: str, rows: int) -> tuple[list[str], list[str]]:
    """Return test strings that the model can read whole, and their translations."""
    translator = load_adapted(model)
    config = DomainConfig(
        card="software_catalogues",
        src_lang=translator.src_lang,
        tgt_lang=translator.tgt_lang,
        train_size=0,
    )
    drawn = load_transfer_pairs(DataConfig(target=config)).target.test
    counts = translator.count_tokens(drawn.sources)
    kept = [row for row, count in enumerate(counts) if count <= translator.max_length_tokens][:rows]
    return [drawn.sources[row] for row in kept], [drawn.targets[row] for row in kept]


def first_answer(kind: str, model: str | Path) -> dict[str, float]:
    """Measure the first answer of a process of its own."""
    ended = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FIRST_ANSWER, kind, str(model)],
        capture_output=True,
        text=True,
        check=True,
    )
    return dict(json.loads(ended.stdout.splitlines()[-1]))


def interleaved(
    ways: dict[str, Way], texts: list[str], repeats: int
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Run all ways in turn; returns the seconds of each pass by clock and by processor, and the answers."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    processor: dict[str, list[float]] = {name: [] for name in ways}
    answers: dict[str, list[str]] = {}
    for answer in ways.values():
        answer(texts[:64])
    for _ in range(repeats):
        for name, answer in ways.items():
            began, worked = time.perf_counter(), time.process_time()
            answers[name] = answer(texts)
            seconds[name].append(time.perf_counter() - began)
            processor[name].append(time.process_time() - worked)
        print({name: round(times[-1], 2) for name, times in seconds.items()}, flush=True)
    return {"seconds": seconds, "processor_seconds": processor}, answers


def measure(task: str, model: str, rows: int, repeats: int, *, threads: int) -> dict[str, Any]:
    """Export a model both ways and measure it beside the stock way."""
    translates = task == "translation"
    texts, expected = (translation_rows if translates else classification_rows)(model, rows)
    with tempfile.TemporaryDirectory() as name:
        folders = {bits: Path(name) / bits for bits in ("float32", "int8")}
        for bits, folder in folders.items():
            export_model(
                model, runtime="ctranslate2" if translates else "onnx", int8=bits == "int8", output=folder,
                override="measured in benchmarks/runtime_speed.py",
            )  # fmt: skip
        # What compared the exports may have left torch with another number of threads than both ways get.
        torch.set_num_threads(threads)
        open_as, stock_name = (by_translate, "generate") if translates else (by_predict, "pipeline")
        ways = {stock_name: by_generate(model) if translates else by_pipeline(model), "torch": open_as(model)}
        ways |= {bits: open_as(folder) for bits, folder in folders.items()}
        times, answers = interleaved(ways, texts, repeats)
        kind = "translate" if translates else "predict"
        places = {"torch": model, **folders}
        started = {each: first_answer(kind, place) for each, place in places.items()}
        if not translates:
            started["pipeline"] = first_answer("pipeline", model)
        sizes = {
            bits: sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 2**20
            for bits, folder in folders.items()
        }
    stock = answers[stock_name]
    return {
        "what": f"{'test strings, 4 beams' if translates else 'test sentences of movies'}, "
        f"{'/'.join(Path(model).parts[-2:])}",
        "stock": stock_name,
        "rows": len(texts),
        "threads": threads,
        **times,
        "times_faster": faster(times["seconds"], stock_name),
        "times_faster_by_processor": faster(times["processor_seconds"], stock_name),
        "score": {each: score(found, expected, translates) for each, found in answers.items()},
        "score_is": "chrf++" if translates else "accuracy",
        "equal_to_stock": {
            each: sum(one == other for one, other in zip(found, stock, strict=True)) / len(stock)
            for each, found in answers.items()
        },
        "first_answer": started,
        "folder_mb": sizes,
        "machine": describe_machine(),
    }


def faster(seconds: dict[str, list[float]], stock: str) -> dict[str, list[float]]:
    """Compare each way's seconds with the stock way's, pass by pass."""
    return {
        name: [slow / fast for slow, fast in zip(seconds[stock], each, strict=True)]
        for name, each in seconds.items()
        if name != stock
    }


def score(found: list[str], expected: list[str], translates: bool) -> float:
    if translates:
        return float(score_and_signature("chrf++", found, expected)["score"])
    return 100 * sum(one == other for one, other in zip(found, expected, strict=True)) / len(expected)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("task", choices=["classification", "translation"])
    parser.add_argument("model", nargs="?", default="embedded://romance")
    parser.add_argument("--rows", type=int, default=500)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--caveat", help="what else ran, if anything")
    args = parser.parse_args()
    # The exported models, and the processes of the first answers, ask the environment how many they may use.
    os.environ["OMP_NUM_THREADS"] = str(args.threads)
    torch.set_num_threads(args.threads)
    results = measure(args.task, args.model, args.rows, args.repeats, threads=args.threads)
    results |= {"caveat": args.caveat} if args.caveat else {}
    save_results(RESULTS / f"runtime_speed_{args.task}.json", results)


if __name__ == "__main__":
    main()
