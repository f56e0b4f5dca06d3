"""Tiny models of every supported family with real tokenizers, and sentences that are easy to tell apart."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nlp_transfer.data.rows import Rows

LABELS = ["negative", "positive"]
FAMILIES = (
    "bert",
    "roberta",
    "distilbert",
    "deberta-v2",
    "modernbert",
    "electra",
    "albert",
    "mpnet",
    "xlm-roberta",
)
WORDS = {
    "positive": ["good", "great", "lovely", "superb", "bright", "charming", "excellent", "perfect"],
    "negative": ["bad", "awful", "boring", "poor", "dull", "ugly", "broken", "terrible"],
}
THINGS = {
    "movies": ["film", "movie", "plot", "actor", "scene", "script", "ending", "cast", "story", "song"],
    "products": [
        "phone",
        "camera",
        "battery",
        "screen",
        "cable",
        "lens",
        "button",
        "charger",
        "case",
        "manual",
    ],
}
FRAMES = (
    "the {thing} is {word}",
    "a {word} {thing} and {other} too",
    "what a {word} {thing}",
    "this {thing} was so {word} that i told all of them",
    "{word}",
    "i found the {thing} {word} and the rest of it {other}",
)


def sentences(domain: str, rows: int, *, seed: int) -> list[tuple[str, str]]:
    """Write distinct sentences (text, label) about a domain's things; one word tells the class."""
    draw = np.random.default_rng([seed, len(domain)])
    found: dict[str, str] = {}
    while len(found) < rows:
        label = ("negative", "positive")[len(found) % 2]
        word, other = draw.choice(WORDS[label], size=2, replace=False)
        frame = FRAMES[draw.integers(len(FRAMES))]
        text = frame.format(thing=draw.choice(THINGS[domain]), word=word, other=other)
        found.setdefault(text, label)
    return list(found.items())


def write_csv(path: Path, header: Sequence[str], rows: Sequence[Sequence[object]]) -> Path:
    """Write rows as a csv file."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)
    return path


def rows(domain: str, count: int, *, seed: int = 0) -> Rows:
    """Return such sentences as rows whose class ids follow `LABELS`."""
    texts = sentences(domain, count, seed=seed)
    labels = np.asarray([LABELS.index(label) for _, label in texts])
    return Rows([str(row) for row in range(count)], [text for text, _ in texts], labels)


def easy_recipe(output_dir: Path, model: Path, domains: dict[str, Path], **changes: Any) -> dict[str, Any]:
    """Return a recipe from movies to products that takes seconds; `section__key=value` changes it."""
    content: dict[str, Any] = {
        "task": "sentiment",
        "output_dir": str(output_dir),
        "model": {"path": str(model), "max_length_tokens": 40},
        "data": {
            "source": {"path": str(domains["movies"])},
            "target": {"path": str(domains["products"]), "train_size": 32},
        },
        # Otherwise four trainings for each model; tests/integration/test_averaged_run.py has them.
        "adaptation": {"soup": 1},
        "training": {
            "learning_rate": 1e-2,
            "per_device_train_batch_size": 16,
            "bf16": False,
            "logging_steps": 1,
        },
        "evaluation": {"bootstrap": 100},
    }
    for path, value in changes.items():
        *parents, last = path.split("__")
        node = content
        for name in parents:
            node = node.setdefault(name, {})
        node[last] = value
    return content


def build_tiny_model(
    folder: Path, family: str, *, labels: Sequence[str] | None, seed: int, settings: dict[str, Any]
) -> None:
    """Save a two-layer model of a family: a bare encoder, or a classifier with these labels."""
    import torch
    from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification

    tokenizer = tiny_tokenizer(family)
    special = ("pad", "bos", "eos", "cls", "sep")
    ids = {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in special}
    sizes = {
        "vocab_size": len(tokenizer),
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 48,
        "max_position_embeddings": 80,
        "embedding_size": 32,
        "initializer_range": 0.1,
    }
    if family == "distilbert":
        sizes |= {"dim": 32, "hidden_dim": 48, "n_layers": 2, "n_heads": 4}
    if family == "deberta-v2":
        sizes |= {
            "relative_attention": True,
            "position_biased_input": False,
            "pos_att_type": ["p2c", "c2p"],
            "type_vocab_size": 0,
        }
    if family == "modernbert":
        sizes |= {"global_attn_every_n_layers": 2, "local_attention": 16}
    named = (
        {}
        if labels is None
        else {
            "id2label": dict(enumerate(labels)),
            "label2id": {name: number for number, name in enumerate(labels)},
        }
    )
    config = AutoConfig.for_model(family, **{**sizes, **ids, **named, **settings})
    torch.manual_seed(seed)
    model = (AutoModel if labels is None else AutoModelForSequenceClassification).from_config(
        config, dtype=torch.float32
    )
    with torch.no_grad():  # So that what a token is counts for more than where it stands: a probe can tell.
        model.get_input_embeddings().weight.mul_(4)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def tiny_tokenizer(family: str) -> Any:
    """Make a family's own kind of tokenizer from the sentences of both domains, alike in every process.

    The trainers of `tokenizers` for WordPiece and Unigram break ties another way in each process.
    """
    import transformers
    from tokenizers import ByteLevelBPETokenizer

    texts = [text for domain in THINGS for text, _ in sentences(domain, 200, seed=7)]
    if family in ("bert", "distilbert", "electra", "mpnet"):
        special = (
            ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
            if family != "mpnet"
            else ["<s>", "<pad>", "</s>", "[UNK]", "<mask>"]
        )
        classes = {
            "bert": "BertTokenizer",
            "distilbert": "DistilBertTokenizer",
            "electra": "ElectraTokenizer",
            "mpnet": "MPNetTokenizer",
        }
        counts = Counter(" ".join(texts).split())
        letters = sorted(set("".join(texts)) - {" "})
        words = [
            word for word in sorted(counts, key=lambda word: (counts[word], word)) if word not in letters
        ]
        pieces = [*special, *words, *letters, *(f"##{letter}" for letter in letters)]
        vocabulary = {name: number for number, name in enumerate(pieces)}
        return getattr(transformers, classes[family])(vocab=vocabulary, model_max_length=80)
    if family in ("roberta", "modernbert"):
        trained = ByteLevelBPETokenizer()
        special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
        trained.train_from_iterator(texts, vocab_size=400, special_tokens=special, show_progress=False)
        state = json.loads(trained.to_str())["model"]
        return transformers.RobertaTokenizer(
            vocab=state["vocab"], merges=[tuple(pair) for pair in state["merges"]], model_max_length=70
        )
    pieces = unigram_pieces(texts)
    if family == "xlm-roberta":
        head = [(name, 0.0) for name in ("<s>", "<pad>", "</s>", "<unk>")]
        return transformers.XLMRobertaTokenizer(vocab=[*head, *pieces, ("<mask>", 0.0)], model_max_length=70)
    if family == "albert":
        head = [(name, 0.0) for name in ("<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]")]
        return transformers.AlbertTokenizer(vocab=[*head, *pieces], model_max_length=70)
    head = [(name, 0.0) for name in ("[PAD]", "[UNK]", "[CLS]", "[SEP]")]
    return transformers.DebertaV2Tokenizer(vocab=[*head, *pieces, ("[MASK]", 0.0)], model_max_length=70)


def unigram_pieces(texts: Sequence[str]) -> list[tuple[str, float]]:
    """Train pieces and their scores by SentencePiece, which is alike in every process."""
    import sentencepiece

    trained = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts), model_writer=trained, vocab_size=150, hard_vocab_limit=False,
        minloglevel=2,
    )  # fmt: skip
    learnt = sentencepiece.SentencePieceProcessor(model_proto=trained.getvalue())
    special = ("<unk>", "<s>", "</s>")
    pieces = [(learnt.id_to_piece(number), learnt.get_score(number)) for number in range(len(learnt))]
    return [piece for piece in pieces if piece[0] not in special]
