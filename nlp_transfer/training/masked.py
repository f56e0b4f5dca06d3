"""Masked words: a model learns a domain's language by guessing words that are hidden from it.

The layer that names the words is the pretrained model's own where its files hold one; else it starts anew, on
the model's word vectors, which stay as they are.
"""

from __future__ import annotations

import logging
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from transformers import AutoModelForMaskedLM, PreTrainedModel, PreTrainedTokenizerBase
from transformers.activations import ACT2FN

from nlp_transfer.errors import ModelError
from nlp_transfer.models.loading import base_model, head_modules, quiet_library
from nlp_transfer.models.resolving import resolve_model
from nlp_transfer.training.mixed_batches import Inputs

logger = logging.getLogger(__name__)
# Of the chosen words so many become the mask, and so many another word (Devlin et al. 2019, section 3.1).
MASK_SHARE, OTHER_WORD_SHARE = 0.8, 0.1


def hide_words(
    ids: torch.Tensor, hideable: torch.Tensor, *, share: float, mask_id: int, vocabulary: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Choose words to be guessed and hide most of them (Devlin et al. 2019, section 3.1).

    Drawn by torch's generator, which a resumed run starts where it stood.

    Args:
        ids: shape (rows, tokens).
        hideable: which of them may be chosen, same shape.
        share: of the hideable words that is chosen.
        mask_id: the mask's id.
        vocabulary: ids there are.

    Returns:
        (ids with 80% of the chosen ones masked and 10% replaced by any word, which were chosen).
    """
    draw, how = torch.rand(2, *ids.shape, device=ids.device)
    chosen = hideable & (draw < share)
    other = torch.randint(vocabulary, ids.shape, device=ids.device)
    hidden = torch.where(chosen & (how < MASK_SHARE), mask_id, ids)
    replaced = chosen & (how >= MASK_SHARE) & (how < MASK_SHARE + OTHER_WORD_SHARE)
    return torch.where(replaced, other, hidden), chosen


class WordLayer(nn.Module):
    """Names the word behind a hidden state: dense, activation, norm, then likeness to each word vector.

    Args:
        dense: maps hidden states to the width of the word vectors.
        activation: its name.
        norm: of that width.
        bias: of each word, shape (vocabulary,).
        is_new: whether it starts at random.
    """

    def __init__(
        self, dense: nn.Linear, activation: str, norm: nn.Module, bias: torch.Tensor, *, is_new: bool = False
    ) -> None:
        super().__init__()
        self.is_new = is_new
        self.dense, self.activation, self.norm = dense, ACT2FN[activation], norm
        self.bias = nn.Parameter(bias)

    def forward(self, states: torch.Tensor, words: torch.Tensor) -> torch.Tensor:
        """Score every word, shape (states, vocabulary), by vectors `words` of shape (vocabulary, width)."""
        scores: torch.Tensor = functional.linear(
            self.norm(self.activation(self.dense(states))), words, self.bias
        )
        return scores


def word_layer(path: str, classifier: PreTrainedModel, *, revision: str | None = None) -> WordLayer:
    """Return a pretrained model's layer that names words, or a fresh one where its files hold none.

    Args:
        path: the pretrained model, before it was made a classifier.
        classifier: whose hidden states and word vectors it works on.
        revision: Hub revision.
    """
    vocabulary, width = base_model(classifier).get_input_embeddings().weight.shape  # type: ignore[operator]
    own = _pretrained_layer(path, revision)
    if own is not None and own.bias.shape[0] == vocabulary and own.dense.out_features == width:
        return own
    logger.info("%s has no layer that names words; a fresh one is trained", path)
    dense = nn.Linear(classifier.config.hidden_size, width)
    nn.init.normal_(dense.weight, std=getattr(classifier.config, "initializer_range", 0.02))
    nn.init.zeros_(dense.bias)
    bias = torch.zeros(vocabulary)
    return WordLayer(dense, _activation(classifier), nn.LayerNorm(width), bias, is_new=True)


def _pretrained_layer(path: str, revision: str | None) -> WordLayer | None:
    """Take the layer out of a masked language model; None where there is none of the usual form."""
    try:
        with quiet_library():
            model, info = AutoModelForMaskedLM.from_pretrained(
                resolve_model(path),
                revision=revision,
                dtype=torch.float32,
                use_safetensors=True,
                output_loading_info=True,
            )
    except ValueError:  # the family has no masked language model
        return None
    decoder = model.get_output_embeddings()
    parts = [part for module in head_modules(model).values() for part in module.modules()]
    dense = [part for part in parts if isinstance(part, nn.Linear) and part is not decoder]
    norms = [part for part in parts if isinstance(part, nn.LayerNorm)]
    fresh = [key for key in info["missing_keys"] if not key.startswith(f"{model.base_model_prefix}.")]
    if fresh or len(dense) != 1 or len(norms) != 1 or getattr(decoder, "bias", None) is None:
        return None
    return WordLayer(dense[0], _activation(model), norms[0], decoder.bias.detach().clone())


def _activation(model: PreTrainedModel) -> str:
    names = ("hidden_act", "activation", "hidden_activation")
    return next((str(getattr(model.config, name)) for name in names if hasattr(model.config, name)), "gelu")


class MaskedWords(nn.Module):
    """The part of a `MixedClassifier` that guesses hidden words of rows without labels.

    Args:
        classifier: without adapters yet; its encoder reads the words.
        tokenizer: the classifier's.
        layer: names the words.
        share: of words that are hidden.

    Raises:
        ModelError: the tokenizer has no mask.
    """

    def __init__(
        self,
        classifier: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        layer: WordLayer,
        *,
        share: float,
    ) -> None:
        super().__init__()
        if tokenizer.mask_token_id is None:
            raise ModelError(
                "the model's tokenizer has no mask, so no word can be hidden; set "
                "adaptation.unlabelled.method: self_training"
            )
        self.layer = layer
        self.mask_id, self.special_ids, self.share = tokenizer.mask_token_id, tokenizer.all_special_ids, share
        encoder = base_model(classifier)
        self._words: Any = encoder.get_input_embeddings
        self._states: list[torch.Tensor] = []
        self._seen: list[torch.Tensor] = []
        encoder.register_forward_hook(self._catch)

    def _catch(self, module: nn.Module, given: Any, output: Any) -> None:
        self._states = [output.last_hidden_state]

    def prepare(self, inputs: Inputs, unlabelled: torch.Tensor) -> tuple[Inputs, Any]:
        """Hide words of the unlabelled rows; see `UnlabelledPart`."""
        ids = inputs["input_ids"]
        hideable = ~torch.isin(ids, torch.tensor(self.special_ids, device=ids.device)) & unlabelled[:, None]
        hidden, chosen = hide_words(
            ids, hideable, share=self.share, mask_id=self.mask_id, vocabulary=len(self.layer.bias)
        )
        return {**inputs, "input_ids": hidden}, (ids, chosen)

    def losses(self, logits: torch.Tensor, known: Any) -> torch.Tensor:
        """Return the mean cross-entropy of each row's hidden words, summed; see `UnlabelledPart`."""
        ids, chosen = known
        scores = self.layer(self._states.pop()[chosen], self._words().weight)
        each = functional.cross_entropy(scores.float(), ids[chosen], reduction="none")
        if len(each):
            self._seen.append(each.detach().mean())
        total: torch.Tensor = (each / chosen.sum(dim=1)[chosen.nonzero()[:, 0]]).sum()
        return total

    def after_step(self, classifier: nn.Module, step: int) -> None:
        """Nothing follows; see `UnlabelledPart`."""

    def after_training(self, classifier: nn.Module) -> None:
        """Leave the classifier as it is; see `UnlabelledPart`."""

    def figures(self) -> dict[str, float]:
        """Return the cross-entropy of a hidden word; see `UnlabelledPart`."""
        seen, self._seen = self._seen, []
        return {"word_loss": float(torch.stack(seen).mean())} if seen else {}
