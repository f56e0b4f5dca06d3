"""Makes a classifier out of a pretrained model and labelled rows, by one of the methods.

`full` trains all weights but the embeddings, `lora` adds low-rank adapters and merges them, `lp_ft` starts
the head from a probe and then trains as `full` does, `probe` fits logistic regression on frozen features.
Whether the start is a source model or the bare pretrained one is the recipe's business: both go through here,
so that they are compared under one procedure.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from nlp_transfer.data.rows import EMPTY, Rows
from nlp_transfer.models.adapters import add_adapter
from nlp_transfer.models.freezing import freeze
from nlp_transfer.models.loading import LoadedClassifier, load_classifier
from nlp_transfer.training.budget import Budget, budget, with_unlabelled
from nlp_transfer.training.class_weights import class_weights
from nlp_transfer.training.finishing import finished
from nlp_transfer.training.fit import FitResult, TrainingRun, fit, parameter_counts
from nlp_transfer.training.mixed_batches import NO_LABEL, MixedClassifier
from nlp_transfer.training.mixing import Mixing, mixing_for
from nlp_transfer.training.probed_head import start_head_from_probe
from nlp_transfer.training.procedure import Procedure, mix_without_dev, soup_for, training_arguments
from nlp_transfer.training.soup import AfterTraining, members_of, train_soup
from nlp_transfer.training.unlabelled import (
    Unlabelled,
    after_labels,
    learn_words,
    learning_from,
    learns_labels_first,
)


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
        procedure = replace(procedure, method="full")
    model: Any = _by_method(loaded, train, procedure)
    trainable, total = parameter_counts(model)
    mixing = None
    # A new head starts at random: there is nothing before to mix with.
    if pretrained and not loaded.fresh:
        otherwise = mix_without_dev(len(train)) if unlabelled is None else 1.0
        mixing = mixing_for(procedure.mix, model, source_dev, otherwise=otherwise)
    # Trainings that all start at random end far from each other.
    members = soup_for(procedure, len(train)) if pretrained else 1
    trainings = _Trainings(loaded, procedure, train, dev, replayed, pretrained=pretrained)
    if unlabelled is None:
        results = [trainings.on_labels(model, run, members=members, mixing=mixing)]
    else:
        results = trainings.with_texts(
            model, unlabelled, run, members=members, mixing=mixing, start=start, revision=revision
        )
    result = replace(
        results[-1].with_costs_of(results[:-1]), trainings=max(each.trainings for each in results)
    )
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


@dataclass(frozen=True)
class _Trainings:
    """The trainings that one classifier is made by, one after the other or several whose mean is taken."""

    loaded: LoadedClassifier
    procedure: Procedure
    train: Rows
    dev: Rows
    replayed: Rows | None
    pretrained: bool

    def on_labels(
        self, model: Any, run: TrainingRun, *, members: int, mixing: Mixing | None = None
    ) -> FitResult:
        """Learn the labelled rows in so many trainings; the last one's seconds are those of all."""

        def once(each: TrainingRun, take_the_mean: AfterTraining | None) -> FitResult:
            plan = budget(self.train, self.replayed, replace(self.procedure, seed=each.seed))
            last = take_the_mean is not None
            return self._fit(
                model, plan, each, mixing=mixing if last else None, after_training=take_the_mean,
                frozen_layers=self.procedure.freeze_layers if self.pretrained else 0,
            )  # fmt: skip

        return train_soup(model, members_of(run, members=members), once)

    def with_texts(
        self,
        model: Any,
        unlabelled: Unlabelled,
        run: TrainingRun,
        *,
        members: int,
        mixing: Mixing | None,
        start: str,
        revision: str | None,
    ) -> list[FitResult]:
        """Learn unlabelled texts beside the labelled rows, and before that what each method needs first."""
        results = []
        plan = budget(self.train, self.replayed, self.procedure)
        labels_first = learns_labels_first(unlabelled, self.train, plan.arguments)
        if labels_first:
            results.append(self.on_labels(model, run.before("labels"), members=members))
            left = after_labels(training_arguments(len(self.train), self.procedure))
            plan = budget(self.train, self.replayed, replace(self.procedure, arguments=left))
        plan = with_unlabelled(plan, unlabelled, self.replayed, self.procedure, dev=len(self.dev) > 0)
        both = learning_from(
            model, self.loaded, unlabelled, start=start, revision=revision, after_labels=labels_first
        )
        if unlabelled.method == "mlm":
            length = self.procedure.max_length_tokens
            results.append(
                learn_words(both, self.loaded, unlabelled, plan.arguments, run, max_length_tokens=length)
            )
        inside = None if mixing is None else mixing.inside("classifier")
        return [*results, self._fit(both, plan, run, mixing=inside)]

    def _fit(self, model: Any, plan: Budget, run: TrainingRun, **options: Any) -> FitResult:
        labels, names = plan.rows.labels, self.procedure.label_names
        return fit(
            model,
            self.loaded.tokenizer,
            plan.rows,
            self.dev,
            run=run,
            arguments=plan.arguments,
            evaluations=plan.evaluations,
            max_length_tokens=self.procedure.max_length_tokens,
            class_weights=class_weights(labels[labels != NO_LABEL], len(names), self.procedure.class_weights),
            selection_metric=self.procedure.selection_metric,
            early_stopping=self.procedure.early_stopping,
            **options,
        )
