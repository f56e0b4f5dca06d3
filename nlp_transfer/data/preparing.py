"""Fetching a card's data ahead of a run, for a machine that will have no network then."""

from __future__ import annotations

from nlp_transfer.config import DataConfig, DomainConfig
from nlp_transfer.data.cards import load_card
from nlp_transfer.errors import ConfigError


def prepare_card(name: str, *, src_lang: str = "en", tgt_lang: str | None = None) -> str:
    """Fetch and read a card's data; say in a line what came.

    Args:
        name: the card's name.
        src_lang: for a translation card, the language translated from.
        tgt_lang: for a translation card, the language translated into.

    Raises:
        ConfigError: a translation card without the language to translate into.
        DataError: the data cannot be fetched, or is not what the card declares.
    """
    if load_card(name).spec.task == "translation":
        if tgt_lang is None:
            raise ConfigError(f"{name} holds many languages; name one: --tgt-lang gl")
        return _pairs(name, src_lang, tgt_lang)
    from nlp_transfer.data.classification import load_domain

    data = load_domain(DomainConfig(card=name), name=name, seed=0)
    return f"{name}: {len(data.selection):,} training rows, {len(data.test):,} test rows, as declared"


def _pairs(name: str, src_lang: str, tgt_lang: str) -> str:
    from nlp_transfer.data.parallel import load_transfer_pairs

    domain = DomainConfig(card=name, src_lang=src_lang, tgt_lang=tgt_lang)
    data = load_transfer_pairs(DataConfig(target=domain)).target
    dropped = ", ".join(f"{count:,} {reason}" for reason, count in data.dropped.items())
    return (
        f"{name}, {src_lang}-{tgt_lang}: {len(data.selection):,} training pairs, {len(data.test):,} test "
        f"pairs (left out: {dropped or 'none'})"
    )
