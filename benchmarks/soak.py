"""Many predictions in one process: `benchmarks/results/soak.json`.

    python benchmarks/soak.py --predictions 200000 --translations 20000
    ONEDNN_PRIMITIVE_CACHE_CAPACITY=0 python benchmarks/soak.py --predictions 20000 --output /tmp/soak.json

A tiny random classifier labels real sentences, a tiny random translator translates short ones, in calls of
200 texts, as a server would. After each hundredth of the work the process's anonymous memory and open files
are noted. Growth is the median of the last tenth of them minus that of the second tenth: the first
fills pools and caches of the libraries. `--one-length` labels sentences of one length alone, so that all
batches have one shape.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from common import RESULTS, describe_machine, save_results

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

CALL_TEXTS = 200


def held_mb() -> float:
    status = Path("/proc/self/status").read_text()
    return int(status.partition("RssAnon:")[2].split()[0]) / 1024


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def soak(texts: list[str], work: Callable[[list[str]], object], total: int) -> dict[str, Any]:
    """Work through so many texts, over and over the same list, and note what the process holds."""
    calls = total // CALL_TEXTS
    noted: list[tuple[float, int]] = []
    began = time.perf_counter()
    for call in range(calls):
        first = call * CALL_TEXTS % len(texts)
        work([*texts[first:], *texts][:CALL_TEXTS])
        if call % max(1, calls // 100) == 0:
            gc.collect()
            noted.append((held_mb(), open_files()))
    tenth = max(1, len(noted) // 10)
    start, end = noted[tenth : 2 * tenth], noted[-tenth:]
    return {
        "texts": calls * CALL_TEXTS,
        "seconds": round(time.perf_counter() - began, 1),
        "start_mb": round(statistics.median(mb for mb, _ in start), 1),
        "end_mb": round(statistics.median(mb for mb, _ in end), 1),
        "most_mb": round(max(mb for mb, _ in noted), 1),
        "open_files_start": start[0][1],
        "open_files_end": noted[-1][1],
        "noted_mb": [round(mb, 1) for mb, _ in noted],
    }


def of_one_length(texts: list[str], tokenizer: Any) -> list[str]:
    """Return the texts of the commonest number of tokens."""
    lengths = [len(ids) for ids in tokenizer(texts)["input_ids"]]
    commonest = statistics.mode(lengths)
    return [text for text, length in zip(texts, lengths, strict=True) if length == commonest]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--predictions", type=int, default=200_000)
    parser.add_argument("--translations", type=int, default=20_000)
    parser.add_argument("--one-length", action="store_true", help="predict batches of one shape alone")
    parser.add_argument("--output", type=Path, default=RESULTS / "soak.json")
    args = parser.parse_args()
    from growth import build_models, real_sentences
    from tiny import sentences
    from tiny_translation import build_tiny_translator

    from nlp_transfer import load_adapted

    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        texts = [text for text, _ in real_sentences()]
        build_models(folder, texts)
        classifier = load_adapted(folder / "classifier")
        if args.one_length:
            texts = of_one_length(texts, classifier.tokenizer)
        found["predictions"] = soak(texts, classifier.predict, args.predictions)
        print(found["predictions"], flush=True)
        build_tiny_translator(folder / "translator", "m2m_100", seed=0)
        translator = load_adapted(folder / "translator")
        short = [text for text, _ in sentences("movies", 1_000, seed=0)]
        found["translations"] = soak(
            short, lambda texts: translator.translate(texts, num_beams=1), args.translations
        )
        print(found["translations"], flush=True)
    save_results(args.output, {"what": "one process, calls of 200 texts, tiny random models",
                               "work": found, "machine": describe_machine()})  # fmt: skip


if __name__ == "__main__":
    main()
