"""What the frozen first layers of an encoder make of texts, computed once and not at every step.

A layer that is not trained gives the same text the same states in each pass. They are kept on disk by model
and text, and while the rest of the model trains they stand in for those layers, which then compute nothing.
They are those of a model at rest: dropout works in the trained layers alone.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import nn
from tqdm.auto import tqdm
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from nlp_transfer.models.batching import BATCH_TOKENS, batches_by_length
from nlp_transfer.models.features import encoder_fingerprint
from nlp_transfer.models.freezing import encoder_layers, states_after
from nlp_transfer.models.loading import base_model
from nlp_transfer.models.sequences import Sequences
from nlp_transfer.models.token_cache import Columns, kept_columns

logger = logging.getLogger(__name__)
# The input of a model's call that holds the states of its batch, shape (rows, tokens, hidden).
STATES = "frozen_states"
# States of more texts are computed anew at each step: in 4 bytes a number they would fill memory and disk.
MAX_BYTES = 2**30


class FrozenLayers:
    """The first layers of a classifier's encoder, which training leaves as they are.

    Args:
        model: a classifier whose embeddings and first layers are frozen.
        tokenizer: the model's.
        layers: how many of them, at least 1.
        max_length_tokens: longer texts are cut.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        *,
        layers: int,
        max_length_tokens: int,
    ) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.layers = list(encoder_layers(base_model(model))[:layers])
        encoder = base_model(model)
        self._follows_from = encoder_fingerprint(
            encoder,
            tokenizer,
            way=f"after layer {layers} {max_length_tokens}",
            weights={name: each for name, each in encoder.named_parameters() if not each.requires_grad},
        )

    def fit_in(self, tokens: int) -> bool:
        """Tell whether the states of so many tokens may be kept."""
        size = 4 * tokens * int(self.model.config.hidden_size)
        if size > MAX_BYTES:
            logger.info(
                "the frozen layers are computed at every step: their states would take %.1f GB", size / 1e9
            )
        return size <= MAX_BYTES

    def states(self, texts: Sequence[str], columns: Columns) -> Sequences:
        """Return the last frozen layer's states of each text's tokens, from the cache or computed and kept.

        Args:
            texts: what the states are of.
            columns: their tokens, as `token_columns` cuts them.

        Returns:
            For each text an array of shape (tokens, hidden), float32.
        """

        def follows_from() -> Iterable[str]:
            return chain([self._follows_from], texts)

        def compute() -> Columns:
            return {STATES: self._computed(columns)}

        return kept_columns(len(texts), follows_from, compute, what="states", kept_from=1)[STATES]

    @torch.inference_mode()
    def _computed(self, columns: Columns) -> Sequences:
        tokens = columns["input_ids"]
        starts = np.asarray(tokens.starts)
        states = np.empty((int(starts[-1]), int(self.model.config.hidden_size)), dtype=np.float32)
        was_training = self.model.training
        self.model.eval()
        try:
            with tqdm(total=len(tokens), desc="frozen layers", unit="row", file=sys.stderr) as bar:
                for rows in batches_by_length(tokens.lengths.tolist(), BATCH_TOKENS):
                    batch = self.tokenizer.pad(
                        {name: [values[row].tolist() for row in rows] for name, values in columns.items()},
                        return_tensors="pt",
                    ).to(self.model.device)
                    found = (
                        states_after(base_model(self.model), self.layers[-1], **batch).float().cpu().numpy()
                    )
                    real = batch["attention_mask"].bool().cpu().numpy()
                    for row, of_row, mask in zip(rows, found, real, strict=True):
                        states[starts[row] : starts[row + 1]] = of_row[mask]
                    bar.update(len(rows))
        finally:
            self.model.train(was_training)
        return Sequences(states, starts)  # type: ignore[arg-type]

    @contextmanager
    def standing_in(self) -> Iterator[None]:
        """Have the model take the states out of its inputs, and its frozen layers compute nothing."""
        given: dict[str, torch.Tensor] = {}

        def take(_: nn.Module, args: Any, inputs: dict[str, Any]) -> Any:
            given[STATES] = inputs.pop(STATES)
            return args, inputs

        shapes = self._outputs()
        hook = self.model.register_forward_pre_hook(take, with_kwargs=True)
        for layer, like in zip(self.layers, shapes, strict=True):
            # On the instance, so that names of weights and attributes of the layer stay as they are.
            layer.forward = _passing(like, given if layer is self.layers[-1] else {})
        try:
            yield
        finally:
            hook.remove()
            for layer in self.layers:
                del layer.forward

    @torch.inference_mode()
    def _outputs(self) -> list[Any]:
        """Return what each frozen layer returns: a tensor, or a tuple that starts with one."""
        found: list[Any] = []
        hooks = [
            layer.register_forward_hook(lambda _, __, output: found.append(output)) for layer in self.layers
        ]
        try:
            inputs = self.model.dummy_inputs["input_ids"].to(self.model.device)
            states_after(base_model(self.model), self.layers[-1], inputs)
        finally:
            for hook in hooks:
                hook.remove()
        return found


def _passing(like: Any, given: dict[str, torch.Tensor]) -> Callable[..., Any]:
    """Return a layer's forward that hands on its input, or the states that are given, in the layer's way."""

    def forward(hidden: torch.Tensor, *_: Any, **__: Any) -> Any:
        states = given[STATES].to(hidden.dtype) if STATES in given else hidden
        return (states, *[None] * (len(like) - 1)) if isinstance(like, tuple) else states

    return forward


class StatesCollator:
    """Pads the states of a batch's rows as its tokens are padded.

    Args:
        collate: pads the tokens.
        tokenizer: says on which side.
    """

    def __init__(self, collate: Callable[[Any], Any], tokenizer: PreTrainedTokenizerBase) -> None:
        self.collate = collate
        self.left = tokenizer.padding_side == "left"

    def __call__(self, rows: list[dict[str, Any]]) -> Any:
        """Return a batch with `frozen_states` of shape (rows, tokens, hidden), float32."""
        states = [row.pop(STATES) for row in rows]
        batch = self.collate(rows)
        width = batch["input_ids"].shape[1]
        padded = torch.zeros(len(states), width, states[0].shape[1])
        for row, each in enumerate(states):
            first = width - len(each) if self.left else 0
            padded[row, first : first + len(each)] = torch.from_numpy(np.array(each))
        batch[STATES] = padded
        return batch
