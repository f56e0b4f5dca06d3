"""Samples of both domains' texts as a model sees them before it learns from any: how far apart they lie.

Diagnostics compare them (diagnostics/before_training.py); a run keeps them in `evidence/`, without the texts.
The target's test texts are among them (no label and no translation is looked at): a few learnt rows say
little.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from nlp_transfer.diagnostics.samples import TextSample
from nlp_transfer.diagnostics.text_mismatch import words_of
from nlp_transfer.evaluation.compare import number_groups
from nlp_transfer.evidence_files import sample

if TYPE_CHECKING:
    from nlp_transfer.data.pairs import Pairs
    from nlp_transfer.making.classifiers import ClassifierMaker
    from nlp_transfer.making.translators import TranslationMaker
    from nlp_transfer.models.loading import LoadedClassifier

# Texts of a domain that are encoded: no interval of a distance gets narrower in a way that matters.
MAX_TEXTS = 1_000
Samples = dict[str, TextSample]


def classifier_samples(maker: ClassifierMaker) -> Samples:
    """Encode a sample of each domain with the pretrained encoder; what a probe encoded is in the cache.

    Args:
        maker: of a run's models; nothing is made.

    Returns:
        One sample a domain, `source` and `target`; none without a source.
    """
    from nlp_transfer.models.features import encode
    from nlp_transfer.models.loading import base_model, load_classifier

    source, target, settings = maker.data.source, maker.data.target, maker.settings
    if source is None:
        return {}
    loaded = load_classifier(
        settings.model_path, label_names=maker.data.label_names, revision=settings.revision
    )
    samples: Samples = {}
    for name, rows in (("source", source.selection), ("target", target.used)):
        drawn = rows.take(sample(len(rows), MAX_TEXTS, seed=maker.seed))
        features = encode(
            base_model(loaded.model), loaded.tokenizer, drawn.texts,
            max_length_tokens=settings.max_length_tokens, bf16=maker.probes.encodes_in_bf16(),
            label=f"encode {name}",
        )  # fmt: skip
        samples[name] = TextSample(
            ids=np.asarray(drawn.ids),
            features=features,
            token_counts=_token_counts(loaded, drawn.texts),
            word_counts=_word_counts(drawn.texts),
            groups=number_groups(drawn.groups),
        )
    return samples


def translation_samples(maker: TranslationMaker) -> Samples:
    """Encode a sample of each domain's sources with the encoder that adaptation starts from.

    All are asked for in the parent's first language: see `source_states`.

    Args:
        maker: of a run's models; nothing is made.

    Returns:
        One sample a domain; none without a source, with sources in two languages, or where there is no
        trained encoder yet.
    """
    from nlp_transfer.models.encoder_states import source_states
    from nlp_transfer.models.translation import load_translator

    source, target = maker.data.source, maker.data.target
    if source is None or not maker.data.read_one_language or not maker.start_is_there():
        return {}
    start, revision = maker.start()
    loaded = load_translator(str(start), revision=revision)
    samples: Samples = {}
    for domain, given in ((source, source.selection), (target, target.selection.joined(target.test))):
        pairs = _distinct_sources(given)
        drawn = pairs.take(sample(len(pairs), MAX_TEXTS, seed=maker.seed))
        features, tokens = source_states(
            loaded,
            drawn.sources,
            src_lang=loaded.src_lang(domain.directions[0][0]),
            tgt_lang=loaded.tgt_lang(source.directions[0][1]),
            max_length_tokens=maker.settings.max_length_tokens,
        )
        samples[domain.name] = TextSample(
            ids=np.asarray(drawn.ids),
            features=features,
            token_counts=tokens,
            word_counts=_word_counts(drawn.sources),
        )
    return samples


def _word_counts(texts: Sequence[str]) -> npt.NDArray[np.int64]:
    return np.asarray([len(words_of(text)) for text in texts], dtype=np.int64)


def _token_counts(loaded: LoadedClassifier, texts: Sequence[str]) -> npt.NDArray[np.int64]:
    """Count each text's tokens without special ones."""
    from nlp_transfer.models.loading import quiet_library

    with quiet_library():
        encoded: Any = loaded.tokenizer(list(texts), add_special_tokens=False)["input_ids"]
    return np.asarray([len(ids) for ids in encoded], dtype=np.int64)


def _distinct_sources(pairs: Pairs) -> Pairs:
    """Take each source once: one that stands in several languages would be seen and held out at once."""
    first: dict[str, int] = {}
    for row, text in enumerate(pairs.sources):
        first.setdefault(text, row)
    return pairs.take(list(first.values()))
