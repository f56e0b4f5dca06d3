"""Between a model's weights before and after adaptation: the mix that scores best on dev rows (WiSE-FT).

A few hundred pairs can teach a model less than they make it forget. On the line between both sets of weights
there is often a better model than at either end, and at worst the start itself is kept. Mixed are the weights
that were trained, an adapter's too: its `B` starts at zero, so a share of it is that share of the change.
Source: Wortsman et al. 2022, Robust fine-tuning of zero-shot models, equation 1.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset
from transformers import Trainer

from nlp_transfer.errors import ModelError
from nlp_transfer.evaluation.mixes import Array, MixChoice, Rule, choose_mix
from nlp_transfer.models.loading import quiet_library
from nlp_transfer.training.weights import Weights, copied_weights

logger = logging.getLogger(__name__)
# A finer grid would choose among mixes that the dev rows cannot tell apart.
ALPHAS = (0.0, 0.25, 0.5, 0.75, 1.0)
# Fewer rows than these choose by chance. Half of all rows a classifier gets right anyway; a translation
# counts its characters.
LEAST_ROWS, LEAST_PAIRS = 100, 25
# LoRA's A starts at random: between two of them a product with B is no mix of changes.
NOT_MIXED = "lora_A"

Resampled = Callable[[Any], Array]
"""Scores what `Trainer.predict` returns, shape (1 + resamples,): the score, then that of each resample."""


@dataclass(frozen=True)
class Mixing:
    """What a mix is chosen between and by."""

    rule: Rule | float
    """How it is chosen, or the mix itself."""
    start: Weights
    """The trained weights before training, by name."""
    source_dev: Any = None
    """Rows or pairs of the source; None where there are none."""
    otherwise: float = 1.0
    """The mix where there are too few dev rows to choose one."""

    def inside(self, name: str) -> Mixing:
        """Return the same for a model that holds the one that was remembered under a name."""
        return replace(self, start={f"{name}.{weight}": each for weight, each in self.start.items()})


def mixing_for(
    rule: Rule | float | None, model: torch.nn.Module, source_dev: Any, *, otherwise: float = 1.0
) -> Mixing | None:
    """Remember a model's weights before it is trained; None where the trained ones are kept anyway."""
    if rule is None or rule == 1.0:
        return None
    chosen = source_dev if source_dev is not None and len(source_dev) else None
    return Mixing(rule, trained_weights(model), chosen, otherwise)


def trained_weights(model: torch.nn.Module) -> Weights:
    """Copy the weights that are trained and can be mixed, by name."""
    return {name: weight for name, weight in copied_weights(model).items() if NOT_MIXED not in name}


@torch.no_grad()
def set_mix(model: torch.nn.Module, start: Weights, adapted: Weights, *, alpha: float) -> None:
    """Set the trained weights to (1 - alpha) start + alpha adapted, in place; what has no start stays."""
    for name, parameter in model.named_parameters():
        if name in adapted and name in start:
            before, after = start[name].to(parameter.device), adapted[name]
            parameter.copy_(after if alpha == 1.0 else torch.lerp(before.float(), after.float(), alpha))


def mix_weights(
    trainer: Trainer,
    mixing: Mixing,
    *,
    source_dev: Dataset[Any] | None,
    resampled: Resampled,
    least_rows: int,
    label: str,
) -> MixChoice | None:
    """Leave the trained model at the mix that is given, or that its dev rows choose.

    Args:
        trainer: that trained the model, with the target's dev rows.
        mixing: between what.
        source_dev: the source's dev rows as the trainer reads them.
        resampled: scores predictions.
        least_rows: dev rows that a choice takes.
        label: names the run in the log.

    Returns:
        The choice, without points where there are too few dev rows; None where the mix was given, or all of
        the change is kept unasked.

    Raises:
        ModelError: a mix is given, but the weights are in shards.
    """
    if trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled:
        if isinstance(mixing.rule, float):
            raise ModelError(
                f"{label}: weights in shards (FSDP, DeepSpeed) are not mixed; leave adaptation.mix out"
            )
        logger.info("%s: weights in shards are not mixed with the start's", label)
        return None
    model: Any = trainer.accelerator.unwrap_model(trainer.model)
    adapted = trained_weights(model)
    if isinstance(mixing.rule, float):
        set_mix(model, mixing.start, adapted, alpha=mixing.rule)
        return None
    dev: Any = trainer.eval_dataset
    rows, at = 0 if dev is None else len(dev), partial(set_mix, model, mixing.start, adapted)
    if rows < least_rows:
        at(alpha=mixing.otherwise)
        logger.info(
            "%s: keeps %s of the change of its weights: of %d dev rows to choose at least %d are needed",
            label, "all" if mixing.otherwise == 1.0 else f"{mixing.otherwise:g}", rows, least_rows,
        )  # fmt: skip
        return _unchosen(mixing.otherwise, mixing.rule, dev_rows=rows)
    choice = _choose(trainer, at, mixing.rule, source_dev=source_dev, resampled=resampled)
    at(alpha=choice.alpha)
    logger.info(
        "%s: keeps %.2f of the change of its weights, by %d dev rows (%s)",
        label, choice.alpha, choice.dev_rows,
        ", ".join(f"{point.alpha:g}: {point.target:.3g}" for point in choice.points),
    )  # fmt: skip
    return choice


def _unchosen(alpha: float, rule: Rule, *, dev_rows: int) -> MixChoice | None:
    """Note a mix that no dev rows chose; all of the change is what anyone expects."""
    return None if alpha == 1.0 else MixChoice(alpha, rule, [], dev_rows=dev_rows, standard_error=0.0)


def _choose(
    trainer: Trainer, at: Callable[..., None], rule: Rule, *, source_dev: Any, resampled: Resampled
) -> MixChoice:
    """Score every mix on the dev rows of both domains; `at(alpha=...)` sets one."""
    target, source = [], []
    dev: Any = trainer.eval_dataset
    # Otherwise it would score each mix as a step of the training.
    trainer.compute_metrics = None
    with quiet_library():
        for alpha in ALPHAS:
            at(alpha=alpha)
            target.append(resampled(trainer.predict(dev, metric_key_prefix="mix")))
            if source_dev is not None:
                source.append(resampled(trainer.predict(source_dev, metric_key_prefix="mix"))[0])
    on_source = np.asarray(source) if source else None
    return choose_mix(ALPHAS, np.stack(target), on_source, dev_rows=len(dev), rule=rule)
