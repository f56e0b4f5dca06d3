"""Makes a classifier out of a pretrained model and labelled rows, by one of the methods.

`full` trains all weights but the embeddings, `lora` adds low-rank adapters and merges them, `lp_ft` starts
the head from a probe and then trains as `full` does, `probe` fits logistic regression on frozen features.
Whether the start is a source model or the bare pretrained one is the recipe's business: both go through here,
so that they are compared under one procedure.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from nlp_transfer.data.rows import EMPTY, Rows
from nlp_transfer.data.splits import nested_subset
from nlp_transfer.errors import DataError, ModelError
from nlp_transfer.evaluation.mixes import Rule
from nlp_transfer.models.adapters import add_adapter
from nlp_transfer.models.batching import length_sorted_batches
from nlp_transfer.models.freezing import freeze
from nlp_transfer.models.loading import LoadedClassifier, load_classifier
from nlp_transfer.models.probe import ProbeHead
from nlp_transfer.training.baselines import fit_probe
from nlp_transfer.training.class_weights import class_weights
from nlp_transfer.training.finishing import finished
from nlp_transfer.training.fit import FitResult, TrainingRun, fit, parameter_counts
from nlp_transfer.training.mixed_batches import NO_LABEL, MixedClassifier
from nlp_transfer.training.mixing import Mixing, mixing_for
from nlp_transfer.training.passes import ends_by_steps, mixture, passes_of
from nlp_transfer.training.shards import in_shards
from nlp_transfer.training.soup import AfterTraining, members_of, train_soup
from nlp_transfer.training.unlabelled import (
    SAVED_SHARE,
    Unlabelled,
    after_labels,
    learn_words,
    learning_from,
    learns_labels_first,
    mixed_rows,
)


@dataclass(frozen=True)
class Procedure:
    """How a classifier is made: plain values out of a recipe."""

    method: str
    label_names: list[str]
    max_length_tokens: int
    seed: int
    arguments: Mapping[str, Any]
    """TrainingArguments."""
    freeze_layers: int = 0
    rank: int = 16
    alpha: int = 32
    target_modules: str | Sequence[str] = "auto"
    replay: float | None = 0.0
    """Source rows beside each target row; None follows from the number of target rows."""
    mix: Rule | float | None = None
    """Which mix with the start's weights is kept (training/mixing.py); None keeps the trained ones."""
    soup: int | None = 1
    """Trainings whose weights are averaged (training/soup.py); None follows from the number of rows."""
    class_weights: str | None = None
    """`balanced`: each class counts alike in the loss; None: each row."""
    selection_metric: str = "accuracy"
    """Of the dev rows: `accuracy` or `macro_f1`."""
    early_stopping: int | None = None
    """Dev scorings in a row, clearly worse than the best, that end the training."""


@dataclass(frozen=True)
class Trained:
    """A trained classifier and what it took."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    fit: FitResult
    trainable: int
    total: int


def train_classifier(
    start: str,
    procedure: Procedure,
    train: Rows,
    dev: Rows = EMPTY,
    *,
    label: str,
    folder: Path,
    revision: str | None = None,
    pretrained: bool = True,
    replayed: Rows | None = None,
    source_dev: Rows | None = None,
    history: Path | None = None,
    adapter_folder: Path | None = None,
    unlabelled: Unlabelled | None = None,
) -> Trained:
    """Train a sequence classifier by `full`, `lora` or `lp_ft`.

    Args:
        start: Hub id or folder of the model to start from.
        procedure: how.
        train: rows to learn from.
        dev: rows to select the best epoch on; may be empty.
        label: names the run in progress and history.
        folder: for checkpoints.
        revision: Hub revision of the start.
        pretrained: False starts all weights at random and trains them all, whatever the method.
        replayed: source rows, of which `procedure.replay` times the target's number join the training.
        source_dev: the source's dev rows, for the choice of a mix.
        history: file for one line a logged step.
        adapter_folder: where `lora` leaves its adapter alone.
        unlabelled: texts that are learnt without labels, beside the rows or, where `train` is empty, beside
            source rows alone.
    """
    torch.manual_seed(procedure.seed)
    run = TrainingRun(label, folder, seed=procedure.seed, history=history)
    loaded = load_classifier(
        start, label_names=procedure.label_names, revision=revision, pretrained=pretrained
    )
    if pretrained:
        freeze(loaded.model, layers=procedure.freeze_layers)
    else:
        procedure = dataclasses.replace(procedure, method="full")
    model: Any = _by_method(loaded, train, procedure)
    trainable, total = parameter_counts(model)
    # A new head starts at random: there is nothing before to mix with.
    otherwise = mix_without_dev(len(train)) if unlabelled is None else 1.0
    mixes = pretrained and not loaded.fresh
    mixing = mixing_for(procedure.mix, model, source_dev, otherwise=otherwise) if mixes else None

    def learn(
        model: Any,
        plan: Budget,
        run: TrainingRun,
        mixing: Mixing | None = None,
        after_training: AfterTraining | None = None,
    ) -> FitResult:
        labels = plan.rows.labels[plan.rows.labels != NO_LABEL]
        return fit(
            model,
            loaded.tokenizer,
            plan.rows,
            dev,
            run=run,
            arguments=plan.arguments,
            evaluations=plan.evaluations,
            max_length_tokens=procedure.max_length_tokens,
            mixing=mixing,
            class_weights=class_weights(labels, len(procedure.label_names), procedure.class_weights),
            selection_metric=procedure.selection_metric,
            early_stopping=procedure.early_stopping,
            frozen_layers=procedure.freeze_layers if pretrained and unlabelled is None else 0,
            after_training=after_training,
        )

    def learn_labels(run: TrainingRun, mixing: Mixing | None = None) -> FitResult:
        def once(each: TrainingRun, take_the_mean: AfterTraining | None) -> FitResult:
            plan = budget(train, replayed, dataclasses.replace(procedure, seed=each.seed))
            return learn(model, plan, each, None if take_the_mean is None else mixing, take_the_mean)

        # Trainings that all start at random end far from each other.
        members = soup_for(procedure, len(train)) if pretrained else 1
        return train_soup(model, members_of(run, members=members), once)

    earlier: list[FitResult] = []
    if unlabelled is None:
        result = learn_labels(run, mixing)
    else:
        plan = budget(train, replayed, procedure)
        labels_first = learns_labels_first(unlabelled, train, plan.arguments)
        if labels_first:
            earlier.append(learn_labels(run.before("labels")))
            left = after_labels(training_arguments(len(train), procedure))
            plan = budget(train, replayed, dataclasses.replace(procedure, arguments=left))
        plan = with_unlabelled(plan, unlabelled, replayed, procedure, dev=len(dev) > 0)
        model = learning_from(
            model, loaded, unlabelled, start=start, revision=revision, after_labels=labels_first
        )
        mixing = None if mixing is None else mixing.inside("classifier")
        if unlabelled.method == "mlm":
            length = procedure.max_length_tokens
            words = learn_words(model, loaded, unlabelled, plan.arguments, run, max_length_tokens=length)
            earlier.append(words)
        result = learn(model, plan, run, mixing)
    result = dataclasses.replace(result, seconds=result.seconds + sum(each.seconds for each in earlier))
    model = result.model.classifier if isinstance(result.model, MixedClassifier) else result.model
    model = finished(model, base=start, label_names=procedure.label_names, adapter_folder=adapter_folder)
    return Trained(model, loaded.tokenizer, result, trainable, total)


def _by_method(loaded: LoadedClassifier, train: Rows, procedure: Procedure) -> Any:
    """Make a loaded classifier ready to be trained by a method: a head from a probe, or low-rank adapters."""
    if procedure.method == "lp_ft" and len(train):
        start_head_from_probe(loaded.model, loaded.tokenizer, train, procedure)
    if procedure.method != "lora":
        return loaded.model
    return add_adapter(
        loaded.model,
        rank=procedure.rank,
        alpha=procedure.alpha,
        targets=procedure.target_modules,
        fresh=loaded.fresh,
        seed=procedure.seed,
    )


# Adapters start at zero and need larger steps than the weights that they stand beside.
METHOD_ARGUMENTS: dict[str, dict[str, Any]] = {"lora": {"learning_rate": 1e-3}}
# Times that rows are seen: more often the fewer there are, once from about 6,000 on.
# benchmarks/results/defaults.json has the runs.
PASSES_AT_64, MIN_PASSES, MAX_PASSES = 12, 1, 24
# At equal learning rate a source row beside each target row helped with 16 labels on three targets and with
# 64 on one; with 1,024 a quarter of one did better than a whole one on three (by 0.4 to 2.7 points, one seed
# each).
REPLAY_IN_FULL_UP_TO = 64


# So few labels choose no mix, and what they teach holds for the domain in part only: with 16 labels three
# quarters of the change lost half as much where the whole change lost (movies, editorials), and were as good
# where it gained (products, tweets): +0.4 points over twelve cells (defaults.json, `mix_few_labels`).
FEW_ROWS, MIX_OF_FEW = 32, 0.75
# Trainings that are averaged where there are no more target rows. The mean of four was above their own scores
# on average by about a point, with 16 labels as with 1,024; six were no better than four, and where rows are
# many one training takes long (defaults.json, `soup`).
MEMBERS, SOUP_UP_TO = 4, 2_000


def mix_without_dev(rows: int) -> float:
    """Return which share of the change is kept after so many target rows, where no dev rows choose it.

    >>> mix_without_dev(16), mix_without_dev(64)
    (0.75, 1.0)
    """
    return MIX_OF_FEW if rows <= FEW_ROWS else 1.0


def soup_for(procedure: Procedure, rows: int) -> int:
    """Return how many trainings on so many target rows are averaged.

    Raises:
        ModelError: several are asked for, and the weights are in shards.
    """
    if procedure.soup is not None and procedure.soup > 1 and in_shards():
        raise ModelError("weights in shards (FSDP, DeepSpeed) are not averaged; leave adaptation.soup out")
    if procedure.soup is not None:
        return procedure.soup
    # A number of steps is that of one training.
    one = in_shards() or ends_by_steps(procedure.arguments)
    return 1 if one or rows > SOUP_UP_TO else MEMBERS


@dataclass(frozen=True)
class Budget:
    """The rows of one epoch, the arguments with the number of epochs, and how often to evaluate in an
    epoch.
    """

    rows: Rows
    arguments: dict[str, Any]
    evaluations: int = 1


def training_arguments(rows: int, procedure: Procedure) -> dict[str, Any]:
    """Return the TrainingArguments of a training on so many target rows, with its number of passes."""
    arguments = {**METHOD_ARGUMENTS.get(procedure.method, {}), **procedure.arguments}
    if not ends_by_steps(arguments):
        arguments.setdefault("num_train_epochs", passes_for(rows))
    return arguments


def budget(train: Rows, replayed: Rows | None, procedure: Procedure) -> Budget:
    """Decide how often the target rows are seen, and mix source rows in (passes.py); the dev rows are scored
    after each pass over the target.
    """
    arguments = training_arguments(len(train), procedure)
    replay = replay_for(len(train)) if procedure.replay is None else procedure.replay
    plan = mixture(len(train), 0 if replayed is None else len(replayed), arguments, replay=replay)
    if plan is None or replayed is None:
        return Budget(train, arguments)
    drawn = nested_subset(replayed.labels, plan.source, seed=procedure.seed)
    rows = train.take(plan.target).joined(replayed.take(drawn))
    return Budget(rows, plan.arguments, evaluations=plan.passes)


def with_unlabelled(
    plan: Budget, unlabelled: Unlabelled, source: Rows | None, procedure: Procedure, *, dev: bool
) -> Budget:
    """Add unlabelled texts to a budget, in one long epoch; see `mixed_rows`.

    Raises:
        DataError: hidden words alone would be learnt, and no class.
    """
    passes = passes_of(plan.arguments)
    labelled = plan.rows.take([row for _ in range(passes) for row in range(len(plan.rows))])
    # A replay of 0 asks that the source is not learnt again.
    rows = mixed_rows(labelled, unlabelled, None if procedure.replay == 0 else source, seed=procedure.seed)
    if unlabelled.method == "mlm" and (rows.labels == NO_LABEL).all():
        raise DataError(
            "adaptation.unlabelled.method mlm needs labelled rows beside the unlabelled texts, and there are "
            "neither target labels nor source rows to replay; give one of them, or set method: self_training"
        )
    saved = {} if dev else {"save_strategy": "steps", "save_steps": SAVED_SHARE}
    arguments = {**saved, **plan.arguments, "num_train_epochs": 1}
    return Budget(rows, arguments, evaluations=max(passes, plan.evaluations))


def replay_for(rows: int) -> float:
    """Return how many source rows are learnt beside each of so many target rows by default."""
    return min(1.0, math.sqrt(REPLAY_IN_FULL_UP_TO / max(1, rows)))


def passes_for(rows: int) -> int:
    """Return how many times so many target rows are seen by default."""
    return int(np.clip(round(PASSES_AT_64 * math.sqrt(64 / max(1, rows))), MIN_PASSES, MAX_PASSES))


def start_head_from_probe(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, train: Rows, procedure: Procedure
) -> None:
    """Set the classifier's last layer to a probe of what that layer sees (Kumar et al. 2022, LP-FT)."""
    layer = last_linear(model)
    features = _inputs_of(layer, model, tokenizer, train.texts, procedure.max_length_tokens)
    pipeline = fit_probe(features, train, seed=procedure.seed, class_weights=procedure.class_weights)
    ProbeHead.from_pipeline(pipeline, len(procedure.label_names)).start_linear(layer)


def last_linear(model: PreTrainedModel) -> nn.Linear:
    """Return the layer whose outputs are the class scores."""
    layers = [
        m for m in model.modules() if isinstance(m, nn.Linear) and m.out_features == model.config.num_labels
    ]
    return layers[-1]


@torch.inference_mode()
def _inputs_of(
    layer: nn.Linear,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    max_length: int,
) -> npt.NDArray[np.float32]:
    """Run texts through a classifier and catch what one layer gets, shape (texts, features)."""
    caught: list[torch.Tensor] = []
    hook = layer.register_forward_pre_hook(lambda _, inputs: caught.append(inputs[0].detach()))
    features = np.zeros((len(texts), layer.in_features), dtype=np.float32)
    model.eval()
    try:
        for rows, inputs in length_sorted_batches(
            tokenizer,
            texts,
            max_length_tokens=max_length,
            device=model.device,
            label="probe the head's input",
        ):
            model(**inputs)
            features[rows] = caught.pop().float().cpu().numpy()
    finally:
        hook.remove()
    return features
