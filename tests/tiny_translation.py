"""Tiny translation models of every family with real tokenizers, and two easy languages that they learn."""

from __future__ import annotations

import itertools
import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tiny import unigram_pieces, write_csv

from nlp_transfer.data.pairs import Pairs

FAMILIES = ("marian", "marian_single", "m2m_100", "nllb", "mbart", "t5")
# The model's own codes of (source, target, second target).
CODES = {
    "marian": ("en", "es", "pt"),
    "marian_single": ("en", "es", "es"),
    "m2m_100": ("en", "es", "pt"),
    "nllb": ("eng_Latn", "spa_Latn", "por_Latn"),
    "mbart": ("en_XX", "es_XX", "pt_XX"),
    "t5": ("en", "es", "pt"),
}
# Word for word, and no word like its translation.
WORDS = {
    "the": ("lu", "ru"), "a": ("ke", "ka"), "red": ("mivo", "miva"), "green": ("doska", "doskra"),
    "small": ("pulen", "pulan"), "old": ("harto", "hartu"), "file": ("zibo", "zibu"),
    "window": ("tarsi", "tarse"), "house": ("gomla", "gomra"), "word": ("fenci", "fence"),
    "river": ("baduk", "badok"), "horse": ("yilmo", "yirmo"), "opens": ("sapti", "sapte"),
    "closes": ("nuvor", "nuver"), "finds": ("jexal", "jexar"), "keeps": ("womid", "womud"),
}  # fmt: skip
COLUMNS = {"es": 0, "pt": 1, "gl": 1, "ast": 1}


def translated(text: str, lang: str = "es") -> str:
    """Translate an easy sentence into an easy language: `pt` and its twins are close to `es`."""
    return " ".join(WORDS[word][COLUMNS[lang]] for word in text.split())


def english(rows: int, *, seed: int = 0) -> list[str]:
    """Write distinct easy sentences such as `the red file opens a house`."""
    article, adjective, noun, verb = (
        list(WORDS)[:2], list(WORDS)[2:6], list(WORDS)[6:12], list(WORDS)[12:]
    )  # fmt: skip
    every = [" ".join(words) for words in itertools.product(article, adjective, noun, verb, article, noun)]
    order = np.random.default_rng(seed).permutation(len(every))[:rows]
    return [every[row] for row in order]


def easy_pairs(
    rows: int, *, lang: str = "es", seed: int = 0, src: str = "en", tgt: str | None = None
) -> Pairs:
    """Return such sentences with their translations; `src` and `tgt` are the codes that they go by."""
    sources = english(rows, seed=seed)
    return Pairs(
        ids=[f"{lang}{row}" for row in range(len(sources))],
        sources=sources,
        targets=[translated(text, lang) for text in sources],
        directions=[(src, tgt or lang)] * len(sources),
    )


def write_pairs(path: Path, rows: int, *, lang: str = "es", seed: int = 0) -> Path:
    """Write such pairs as a csv file with the columns `en` and the language's code."""
    pairs = easy_pairs(rows, lang=lang, seed=seed)
    return write_csv(path, ("en", lang), list(zip(pairs.sources, pairs.targets, strict=True)))


def build_tiny_translator(folder: Path, family: str, *, seed: int = 0, **settings: Any) -> None:
    """Save a model of one encoder and one decoder layer, with a tokenizer of the family's own kind."""
    import torch
    from transformers import AutoConfig, AutoModelForSeq2SeqLM

    tokenizer = tiny_tokenizer(family, folder)
    pad, end = tokenizer.pad_token_id, tokenizer.eos_token_id
    sizes: dict[str, Any] = {"vocab_size": _rows_for(tokenizer), "pad_token_id": pad, "eos_token_id": end}
    if family == "t5":
        sizes |= {"d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 1, "num_heads": 4, "dropout_rate": 0.0}
        sizes |= {"decoder_start_token_id": pad, "initializer_factor": 0.5}
    else:
        sizes |= {
            "d_model": 32, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 48,
            "decoder_ffn_dim": 48, "encoder_attention_heads": 4, "decoder_attention_heads": 4,
            "max_position_embeddings": 64, "dropout": 0.0, "attention_dropout": 0.0,
            "activation_dropout": 0.0, "encoder_layerdrop": 0.0, "decoder_layerdrop": 0.0,
            "init_std": 0.15, "scale_embedding": True,
            "decoder_start_token_id": pad if family.startswith("marian") else end,
            "bos_token_id": None if family.startswith("marian") else 0,
            "forced_eos_token_id": None,
        }  # fmt: skip
    kinds = {"marian_single": "marian", "nllb": "m2m_100"}
    config = AutoConfig.for_model(kinds.get(family, family), **{**sizes, **settings})
    torch.manual_seed(seed)
    model = AutoModelForSeq2SeqLM.from_config(config, dtype=torch.float32)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            # So that what is written depends on what is read: a random tied model repeats one token.
            if weight.dim() == 2 and "embed" not in name and "shared" not in name:
                weight.mul_(8)
    model.generation_config.update(max_length=40, num_beams=1)
    if family.startswith("marian"):
        model.generation_config.bad_words_ids = [[pad]]
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _rows_for(tokenizer: Any) -> int:
    """Leave no spare row: every id of the vocabulary has one, and no more."""
    languages = getattr(tokenizer, "lang_token_to_id", {})
    return int(max([*tokenizer.get_vocab().values(), *languages.values()])) + 1


def tiny_tokenizer(family: str, folder: Path) -> Any:
    """Train a family's own kind of tokenizer on the sentences of all easy languages."""
    import transformers

    texts = english(300, seed=7)
    texts += [translated(text, lang) for text in texts for lang in ("es", "pt")]
    texts += [
        "translate English to Spanish: translate English to Portuguese: ¡Guarda! </s> >>pt<< __pt__"
    ] * 50
    folder.mkdir(parents=True, exist_ok=True)
    if family in ("marian", "marian_single"):
        return _marian(texts, ("es", "pt") if family == "marian" else (), folder)
    if family == "m2m_100":
        pieces, spm = _sentencepiece(texts, folder / "trained")
        vocabulary = folder / "trained.json"
        vocabulary.write_text(json.dumps(_numbered(["<s>", "<pad>", "</s>", "<unk>", *pieces])))
        return transformers.M2M100Tokenizer(str(vocabulary), str(spm), src_lang="en", tgt_lang="es")
    if family == "nllb":
        from tokenizers import SentencePieceBPETokenizer

        trained = SentencePieceBPETokenizer()
        special = ["<s>", "<pad>", "</s>", "<unk>"]
        trained.train_from_iterator(texts, vocab_size=200, special_tokens=special, show_progress=False)
        state = json.loads(trained.to_str())["model"]
        return transformers.NllbTokenizer(
            vocab=state["vocab"], merges=[tuple(pair) for pair in state["merges"]],
            src_lang="eng_Latn", tgt_lang="spa_Latn",
        )  # fmt: skip
    pieces = unigram_pieces(texts)
    if family == "mbart":
        return transformers.MBart50Tokenizer(
            vocab=[("<unk>", 0.0), ("<s>", 0.0), ("</s>", 0.0), *pieces], src_lang="en_XX", tgt_lang="es_XX"
        )
    head = [(name, 0.0) for name in ("<pad>", "</s>", "<unk>")]
    return transformers.T5Tokenizer(vocab=[*head, *pieces], extra_ids=0)


def _sentencepiece(texts: Sequence[str], prefix: Path) -> tuple[list[str], Path]:
    import sentencepiece

    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts), model_prefix=str(prefix), vocab_size=150, hard_vocab_limit=False,
        minloglevel=2,
    )  # fmt: skip
    spm = prefix.with_suffix(".model")
    learnt = sentencepiece.SentencePieceProcessor(model_file=str(spm))
    return [learnt.id_to_piece(number) for number in range(3, learnt.get_piece_size())], spm


def _numbered(names: Sequence[str]) -> dict[str, int]:
    return {name: number for number, name in enumerate(names)}


def _marian(texts: Sequence[str], languages: Sequence[str], folder: Path) -> Any:
    """Build an opus-mt tokenizer: `</s>`, `<unk>`, pieces in another order than SentencePiece's, `<pad>`."""
    from transformers import MarianTokenizer

    pieces, spm = _sentencepiece(texts, folder / "trained")
    tags = [f">>{language}<<" for language in languages]
    vocabulary = folder / "trained.json"
    vocabulary.write_text(json.dumps(_numbered(["</s>", "<unk>", *tags, *sorted(pieces), "<pad>"])))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Recommended: pip install sacremoses")
        return MarianTokenizer(
            str(spm), str(spm), str(vocabulary), source_lang="en",
            target_lang=languages[0] if languages else "es", model_max_length=64,
        )  # fmt: skip
