"""Target text without labels beside labelled rows: how much of each is learnt, and by what part of the model.

One long epoch holds the target rows as often as they are to be seen, every unlabelled text `passes` times,
and as many source rows as it takes for labelled rows to be no fewer than unlabelled ones (Karouzos et al.
2021, UDALM: the two losses by their rows). How a mixed batch becomes a loss is left to mixed_batches.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import nn

from nlp_transfer.data.rows import EMPTY, Rows
from nlp_transfer.data.splits import nested_subset
from nlp_transfer.models.loading import LoadedClassifier
from nlp_transfer.training.arguments import DEFAULTS
from nlp_transfer.training.fit import FitResult, TrainingRun, fit
from nlp_transfer.training.masked import MaskedWords, word_layer
from nlp_transfer.training.mixed_batches import NO_LABEL, MixedClassifier
from nlp_transfer.training.passes import ends_by_steps, passes_of
from nlp_transfer.training.self_training import AveragedTeacher

# By method: times that each text is seen beside labelled rows, and the weight of its loss.
PASSES = {"self_training": 1, "mlm": 1}
WEIGHTS = {"self_training": 1.0, "mlm": 0.1}
# `mlm`: times that the layer that names words sees each text before labelled rows join, and the steps of one
# that starts at random.
WORD_PASSES, WORD_LEARNING_RATE = 3, 1e-3
# `self_training` beside labelled rows: these are learnt alone first, so that the first guesses are the
# target's already; this share of their passes and of the learning rate is left for what follows, and so much
# of what it changes is kept. Guesses help on one draw of labels and harm on another;
# half of the change keeps the help and hardly harms (benchmarks/results/defaults.json).
PASSES_LEFT, RATE_LEFT, GUESSES_KEPT = 1 / 3, 0.5, 0.5
# A run without dev rows saves no step; one over much unlabelled text is too long to start again.
SAVED_SHARE = 0.25


@dataclass(frozen=True)
class Unlabelled:
    """Texts without labels and how they are learnt: plain values out of a recipe; see config/keys.py."""

    texts: Sequence[str]
    method: str
    passes: int | None = None
    weight: float | None = None
    threshold: float = 0.9
    averaging: float = 0.99
    masked_share: float = 0.15
    words_from: str | None = None
    """Model whose layer names words, for `mlm`."""
    words_revision: str | None = None

    @property
    def times(self) -> int:
        """Times that each text is seen beside labelled rows."""
        return PASSES[self.method] if self.passes is None else self.passes

    def rows(self, times: int = 1) -> Rows:
        """Return the texts, so many times, as rows without labels."""
        texts = list(self.texts) * times
        return Rows([str(row) for row in range(len(texts))], texts, np.full(len(texts), NO_LABEL))


def mixed_rows(
    labelled: Rows, unlabelled: Unlabelled, source: Rows | None, *, drawn: int = 0, seed: int
) -> Rows:
    """Return one epoch's labelled rows, more source rows where those are few, and the unlabelled texts.

    Args:
        labelled: target rows as often as they are seen, with the source rows beside them.
        unlabelled: the texts.
        source: rows to draw from, if there are any.
        drawn: how many of them stand among the labelled ones already, drawn by the same seed.
        seed: draws them.
    """
    texts = unlabelled.rows(unlabelled.times)
    lacking = min(len(texts) - len(labelled), 0 if source is None else len(source) - drawn)
    if lacking > 0 and source is not None:
        classes = source.labels.tolist()
        there = set(nested_subset(classes, drawn, seed=seed)) if drawn else set()
        more = source.take(
            [row for row in nested_subset(classes, drawn + lacking, seed=seed) if row not in there]
        )
        labelled = labelled.joined(more) if len(labelled) else more
    return labelled.joined(texts)


def learns_labels_first(unlabelled: Unlabelled, train: Rows, arguments: Mapping[str, Any]) -> bool:
    """Tell whether labelled rows are learnt alone before guesses join them; a number of steps is of one
    training.
    """
    return unlabelled.method == "self_training" and len(train) > 0 and not ends_by_steps(arguments)


def after_labels(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of self-training that goes on from a training on the labelled rows alone.

    Args:
        arguments: of that training, its passes among them.
    """
    rate = float(arguments.get("learning_rate", DEFAULTS["learning_rate"]))
    passes = max(1, round(PASSES_LEFT * passes_of(arguments)))
    return {**arguments, "num_train_epochs": passes, "learning_rate": RATE_LEFT * rate}


def learning_from(
    model: Any,
    loaded: LoadedClassifier,
    unlabelled: Unlabelled,
    *,
    start: str,
    revision: str | None,
    after_labels: bool,
) -> MixedClassifier:
    """Build what the Trainer gets: the classifier and the part that unlabelled texts teach.

    Args:
        model: the classifier, with adapters or without.
        loaded: the same one without, and its tokenizer.
        unlabelled: the texts, and how they are learnt.
        start: what the classifier was loaded from.
        revision: its Hub revision.
        after_labels: whether the classifier has learnt the target's labels already.
    """
    weight = WEIGHTS[unlabelled.method] if unlabelled.weight is None else unlabelled.weight
    if unlabelled.method == "self_training":
        teacher = AveragedTeacher(
            model,
            threshold=unlabelled.threshold,
            averaging=unlabelled.averaging,
            change_kept=GUESSES_KEPT if after_labels else 1.0,
        )
        return MixedClassifier(model, teacher, weight=weight)
    layer = word_layer(
        unlabelled.words_from or start,
        loaded.model,
        revision=unlabelled.words_revision if unlabelled.words_from else revision,
    )
    part = MaskedWords(loaded.model, loaded.tokenizer, layer, share=unlabelled.masked_share)
    return MixedClassifier(model, part, weight=weight)


def learn_words(
    model: MixedClassifier,
    loaded: LoadedClassifier,
    unlabelled: Unlabelled,
    arguments: Mapping[str, Any],
    run: TrainingRun,
    *,
    max_length_tokens: int,
) -> FitResult:
    """Teach the layer that names words, and nothing else, before labelled rows join, for `mlm`.

    A layer that starts at random would move the encoder away from what labels have taught it: with the
    encoder trained too, a source model of 79% fell to 73% on the target (`encoder_first` in
    benchmarks/README.md).

    Args:
        model: what `learning_from` built.
        loaded: the classifier in it, and its tokenizer.
        unlabelled: the texts.
        arguments: TrainingArguments of the training that follows.
        run: which one that is; the checkpoints of the words stand beside its own.
        max_length_tokens: longer texts are cut.
    """
    rate = {"learning_rate": WORD_LEARNING_RATE} if model.part.layer.is_new else {}
    with _kept_as_it_is(model.classifier):
        return fit(
            model,
            loaded.tokenizer,
            unlabelled.rows(WORD_PASSES),
            EMPTY,
            run=run.before("words"),
            arguments={"save_strategy": "steps", "save_steps": SAVED_SHARE, **arguments, **rate},
            max_length_tokens=max_length_tokens,
        )


@contextmanager
def _kept_as_it_is(module: nn.Module) -> Iterator[None]:
    """Let no weight of a module train; what trained before trains again afterwards."""
    trained = [weight for weight in module.parameters() if weight.requires_grad]
    try:
        for weight in trained:
            weight.requires_grad_(False)
        yield
    finally:
        for weight in trained:
            weight.requires_grad_(True)
