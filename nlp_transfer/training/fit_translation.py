"""Builds the Hugging Face Trainer for translation: batches by tokens, one loss for all families, dev chrF++.

As fit.py does for classifiers; loop.py runs it. The decoder's inputs and the loss are made here and not by
the model, so that label smoothing works for every family and all batches of a step weigh by their tokens.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, Sampler, SequentialSampler
from transformers import Trainer

from nlp_transfer.data.pairs import Pairs
from nlp_transfer.errors import DataError
from nlp_transfer.models.encoding import encode_pairs
from nlp_transfer.models.generation import EXTRA_TOKENS, USUAL_TARGET_RATIO, generate_batch
from nlp_transfer.models.sequences import padded
from nlp_transfer.models.translation import LoadedTranslator
from nlp_transfer.training.arguments import build_arguments
from nlp_transfer.training.loop import (
    FitResult,
    TrainingRun,
    earlier_values,
    run_trainer,
    say_what_follows,
    with_selection,
)
from nlp_transfer.training.mixing import LEAST_PAIRS, Mixing, mix_weights
from nlp_transfer.training.samplers import TokenBatchSampler, padding_share
from nlp_transfer.training.selection import resampled_chrf, translation_dev_metrics

IGNORED = -100


class EncodedPairs(Dataset[dict[str, Any]]):
    """Pairs as what the encoder reads and the decoder is to write; too long ones are left out.

    Args:
        pairs: what to encode.
        loaded: the model, for its family.
        max_length_tokens: pairs with a longer side are left out and counted in `too_long`.
        asked_as: the model's own code to ask for in place of a language it does not have.
    """

    def __init__(
        self,
        pairs: Pairs,
        loaded: LoadedTranslator,
        *,
        max_length_tokens: int,
        asked_as: Mapping[str, str] | None = None,
    ) -> None:
        sources, targets, prefixes = encode_pairs(pairs, loaded, asked_as=asked_as or {})
        keep = np.flatnonzero((sources.lengths <= max_length_tokens) & (targets.lengths <= max_length_tokens))
        self.rows = keep
        self.too_long = len(pairs) - len(keep)
        self.sources, self.targets, self.prefixes = sources, targets, prefixes
        self.source_lengths, self.target_lengths = sources.lengths[keep], targets.lengths[keep]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, row: int) -> dict[str, Any]:
        place = int(self.rows[row])
        return {
            "source": self.sources[place],
            "target": self.targets[place],
            "prefix": self.prefixes[place],
        }


class PairCollator:
    """Pads pairs to tensors: inputs of encoder and decoder, and labels with `IGNORED` beyond their end."""

    def __init__(self, *, pad_id: int, start_id: int) -> None:
        self.pad_id = pad_id
        self.start_id = start_id

    def __call__(self, features: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        sources = [feature["source"] for feature in features]
        targets = [feature["target"] for feature in features]
        input_ids = torch.from_numpy(padded(sources, value=self.pad_id))
        lengths = torch.as_tensor([len(source) for source in sources])
        decoder = [np.concatenate([[self.start_id], target[:-1]]) for target in targets]
        return {
            "input_ids": input_ids,
            "attention_mask": (torch.arange(input_ids.shape[1])[None, :] < lengths[:, None]).long(),
            "decoder_input_ids": torch.from_numpy(padded(decoder, value=self.pad_id)),
            "labels": torch.from_numpy(padded(targets, value=IGNORED)),
            "prefixes": torch.as_tensor([feature["prefix"] for feature in features], dtype=torch.long),
        }


class TokenLoss:
    """Cross-entropy with label smoothing (Szegedy et al. 2016, section 7), averaged over a step's tokens."""

    def __init__(self, smoothing: float) -> None:
        self.smoothing = smoothing

    def __call__(self, outputs: Any, labels: torch.Tensor, num_items_in_batch: Any = None) -> torch.Tensor:
        logits = outputs["logits"]
        total = nn.functional.cross_entropy(
            logits.float().view(-1, logits.shape[-1]),
            labels.reshape(-1),
            ignore_index=IGNORED,
            label_smoothing=self.smoothing,
            reduction="sum",
        )
        return total / (labels.ne(IGNORED).sum() if num_items_in_batch is None else num_items_in_batch)


class TranslationTrainer(Trainer):  # type: ignore[misc]
    """The Trainer, with batches from our own seeded sampler, and dev rows that are translated.

    Args:
        batch_tokens: padded tokens of a global batch, or None for batches of `per_device_train_batch_size`.
        most_tokens: of a dev translation.
        given: the Trainer's own arguments.
    """

    def __init__(self, *, batch_tokens: int | None, most_tokens: int, **given: Any) -> None:
        super().__init__(**given)
        self.batch_tokens = batch_tokens
        self.most_tokens = most_tokens

    def token_batches(self) -> TokenBatchSampler:
        """Return what yields the batches of an epoch, each process's and step's after the other."""
        settings, pairs = self.args, self.train_dataset
        parts = settings.world_size * settings.gradient_accumulation_steps
        return TokenBatchSampler(
            pairs.source_lengths,
            pairs.target_lengths,
            batch_tokens=self.batch_tokens,
            batch_rows=self._train_batch_size * parts,
            parts=parts,
            seed=settings.data_seed if settings.data_seed is not None else settings.seed,
        )

    def get_train_dataloader(self) -> DataLoader[Any]:
        settings = self.args
        loader: DataLoader[Any] = DataLoader(
            self.train_dataset,
            batch_sampler=self.token_batches(),
            collate_fn=self.data_collator,
            num_workers=settings.dataloader_num_workers,
            pin_memory=settings.dataloader_pin_memory,
        )
        return self.accelerator.prepare(loader)  # type: ignore[no-any-return]

    def _get_eval_sampler(self, eval_dataset: Dataset[Any]) -> Sampler[int]:
        return SequentialSampler(eval_dataset)  # type: ignore[arg-type]

    def compute_loss(self, model: Any, inputs: dict[str, Any], *given: Any, **named: Any) -> Any:
        """Leave what only generation needs out of the model's inputs."""
        return super().compute_loss(
            model, {name: value for name, value in inputs.items() if name != "prefixes"}, *given, **named
        )

    def prediction_step(
        self, model: Any, inputs: dict[str, Any], *_: Any, **__: Any
    ) -> tuple[None, Any, Any]:
        """Translate a dev batch by greedy search; no loss is computed."""
        inputs = self._prepare_inputs(inputs)
        lengths = inputs["attention_mask"].sum(1).tolist()
        sources = [ids[:length].tolist() for ids, length in zip(inputs["input_ids"], lengths, strict=True)]
        written = generate_batch(
            self.accelerator.unwrap_model(model),
            sources,
            inputs["prefixes"].tolist(),
            num_beams=1,
            most_tokens=self.most_tokens,
        )
        outputs = torch.from_numpy(padded(written, value=IGNORED)).to(inputs["labels"].device)
        return None, outputs, inputs["labels"]


def fit_translator(
    loaded: LoadedTranslator,
    model: Any,
    train: Pairs,
    dev: Pairs,
    *,
    run: TrainingRun,
    arguments: Mapping[str, Any],
    batch_tokens: int | None,
    evaluations: int = 1,
    max_length_tokens: int,
    mixing: Mixing | None = None,
    early_stopping: int | None = None,
) -> FitResult:
    """Train a translation model in place; with dev pairs, selection.py's step is kept, else the last.

    Args:
        loaded: tokenizer and family.
        model: `loaded.model`, or the same with an adapter.
        train: pairs to learn from; those with a side longer than `max_length_tokens` are left out.
        dev: pairs to select on; may be empty.
        run: which training this is.
        arguments: TrainingArguments of the recipe's `training` blocks.
        batch_tokens: padded tokens of a step, all processes together; None takes rows.
        evaluations: dev evaluations in the whole run.
        max_length_tokens: of either side.
        mixing: which mix with the weights before training is kept; None keeps the trained ones.
        early_stopping: see `run_trainer`.

    Raises:
        DataError: every pair is too long.
        RunError: the loss is not a number any more.
    """
    train_set = EncodedPairs(train, loaded, max_length_tokens=max_length_tokens)
    if not len(train_set):
        raise DataError(
            f"{run.label}: no pair is left to learn from: all {len(train):,} have a side of more than "
            f"{max_length_tokens} tokens; raise model.max_length_tokens"
        )
    dev_set = EncodedPairs(_by_length(dev), loaded, max_length_tokens=max_length_tokens) if len(dev) else None
    settings = build_arguments(
        with_selection(arguments, dev=len(dev) > 0, evaluations=evaluations, label=run.label),
        output_dir=run.folder,
        seed=run.seed,
    )
    attention = loaded.model.config._attn_implementation
    if settings.use_cpu:
        # In bfloat16 on a CPU the fused attention's backward pass is the slowest part of a step.
        loaded.model.set_attn_implementation("eager")
    config = loaded.model.config
    trainer = TranslationTrainer(
        batch_tokens=batch_tokens,
        most_tokens=max_length_tokens,
        model=model,
        args=settings,
        train_dataset=train_set,
        eval_dataset=dev_set,
        data_collator=PairCollator(pad_id=config.pad_token_id, start_id=config.decoder_start_token_id),
        processing_class=loaded.tokenizer,
        compute_loss_func=TokenLoss(settings.label_smoothing_factor),
    )

    def decode(ids: list[list[int]]) -> list[str]:
        return loaded.tokenizer.batch_decode(ids, skip_special_tokens=True)  # type: ignore[no-any-return]

    trainer.compute_metrics = translation_dev_metrics(decode, lambda: earlier_values(trainer, "eval_chrf"))
    tokens = int(train_set.source_lengths.sum() + train_set.target_lengths.sum())
    steps = len(trainer.get_train_dataloader()) // settings.gradient_accumulation_steps
    size = f"{batch_tokens:,} padded tokens" if batch_tokens else f"{settings.train_batch_size} rows"
    say_what_follows(
        trainer,
        run.label,
        rows=len(train_set),
        batch=f"batches of {size}",
        tokens_a_step=tokens / max(1, steps),
    )
    try:
        result = run_trainer(trainer, run, tokens_an_epoch=tokens, early_stopping=early_stopping)
        if mixing is not None:
            began = time.perf_counter()
            choice = mix_weights(
                trainer, mixing,
                source_dev=EncodedPairs(
                    _by_length(mixing.source_dev), loaded, max_length_tokens=max_length_tokens
                ) if mixing.source_dev is not None else None,
                resampled=lambda prediction: resampled_chrf(prediction, decode),
                least_rows=LEAST_PAIRS, label=run.label,
            )  # fmt: skip
            result = result.with_mix(choice, seconds=time.perf_counter() - began)
    finally:
        loaded.model.set_attn_implementation(attention)
    padding = padding_share(trainer.token_batches(), train_set.source_lengths, train_set.target_lengths)
    return dataclasses.replace(result, target_ratio=target_ratio(train_set), padding_share=padding)


# Nearly all translations are no longer than this quantile of the training pairs says.
RATIO_QUANTILE, LEAST_RATIO = 0.999, 2.0


def target_ratio(pairs: EncodedPairs) -> float:
    """Return how many tokens nearly all translations have at most for each token of their source."""
    if not len(pairs):
        return USUAL_TARGET_RATIO
    excess = np.maximum(pairs.target_lengths - EXTRA_TOKENS, 0) / pairs.source_lengths
    return float(max(LEAST_RATIO, round(float(np.quantile(excess, RATIO_QUANTILE)) * 1.25, 2)))


def _by_length(pairs: Pairs) -> Pairs:
    """Sort pairs by source length, so that dev translations pad little."""
    return pairs.take(np.argsort([len(text) for text in pairs.sources], kind="stable"))
