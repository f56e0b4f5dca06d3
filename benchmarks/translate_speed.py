"""Greedy translation of 1,000 sentences: `load_adapted(...).translate` beside `model.generate`, interleaved.

    python benchmarks/translate_speed.py [MODEL] --rows 1000 --repeats 3

`generate` runs row by row, and in fixed batches of 32 in input order. All get the same ids and may write
equally many tokens; the translations must be equal.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import torch
from common import RESULTS, describe_machine, save_results

from nlp_transfer import load_adapted
from nlp_transfer.config import DataConfig, DomainConfig
from nlp_transfer.data.parallel import load_transfer_pairs
from nlp_transfer.models.generation import generate_batch

FIXED_BATCH = 32


def by_generate(translator: Any, batch: int) -> Callable[[list[str]], list[str]]:
    """Return what translates through the library's `generate`, so many rows at a time in input order."""
    loaded = translator.loaded

    def translate(texts: list[str]) -> list[str]:
        written = []
        for first in range(0, len(texts), batch):
            part = texts[first : first + batch]
            source, target = loaded.src_lang(translator.src_lang), loaded.tgt_lang(translator.tgt_lang)
            ids = loaded.family.encode_sources(part, src_lang=source, tgt_lang=target)
            prefixes = [loaded.family.decoder_prefix(target)] * len(part)
            written += generate_batch(
                loaded.model, list(ids), prefixes, num_beams=1,
                most_tokens=translator.max_length_tokens, ratio=translator.target_ratio,
            )  # fmt: skip
        return list(loaded.tokenizer.batch_decode(written, skip_special_tokens=True))

    return translate


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", nargs="?", default="embedded://romance")
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    torch.set_num_threads(2)
    pairs = DomainConfig(card="software_catalogues", src_lang="en", tgt_lang="es", train_size=2 * args.rows)
    translator = load_adapted(args.model)
    drawn = load_transfer_pairs(DataConfig(target=pairs)).target.selection.sources
    counts = translator.count_tokens(drawn)
    texts = [
        text for text, count in zip(drawn, counts, strict=True) if count <= translator.max_length_tokens
    ][: args.rows]
    ways: dict[str, Callable[[list[str]], list[str]]] = {
        "package": lambda rows: translator.translate(rows, num_beams=1),
        "batches_of_32": by_generate(translator, FIXED_BATCH),
        "row_by_row": by_generate(translator, 1),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for translate in ways.values():
        translate(texts[:64])
    for _ in range(args.repeats):
        written = {}
        for name, translate in ways.items():
            began = time.perf_counter()
            written[name] = translate(texts)
            seconds[name].append(time.perf_counter() - began)
        different = {
            name: sum(one != other for one, other in zip(written["package"], written[name], strict=True))
            for name in ways
        }
        print({name: round(times[-1], 2) for name, times in seconds.items()}, different, flush=True)
        save_results(RESULTS / "translate_speed.json", summary(seconds, len(texts), different, args.model))


def summary(
    seconds: dict[str, list[float]], rows: int, different: dict[str, int], model: str
) -> dict[str, Any]:
    """Compare the package's seconds with each other way's, pass by pass."""
    others = [name for name in seconds if name != "package"]
    return {
        "what": f"greedy translations of {rows} software strings by {model} in float32, seconds a pass",
        "seconds": seconds,
        "times_faster": {
            name: [slow / fast for slow, fast in zip(seconds[name], seconds["package"], strict=True)]
            for name in others
        },
        "different_translations": different,
        "machine": describe_machine(),
    }


if __name__ == "__main__":
    main()
