"""Which evaluated step is kept: the last one that is not clearly worse than the best.

A few dozen dev rows cannot tell neighbouring steps apart, and a schedule that ends at learning rate zero is
usually best at its end: taking the highest dev score would take an early step by luck (one run on newspaper
sentences with 256 labels and replay 0.5: 82.3 against 84.8). So a later step replaces an earlier one unless
it is worse by more than one standard error.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import takewhile
from typing import Any

import numpy as np
import numpy.typing as npt
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

# The score of a step in the Trainer's history that its best step is chosen by.
SELECTION = "eval_selection"
# Resamples of the dev rows behind the standard error of a dev score.
DEV_RESAMPLES = 200


def latest_not_worse(score: float, earlier: Sequence[float], *, standard_error: float) -> int:
    """Score a step by the one-standard-error rule (Breiman et al. 1984, section 3.4.3), turned to the latest
    step.

    Args:
        score: of this step on the dev rows, higher is better.
        earlier: scores of the steps before it, in order.
        standard_error: of such a score.

    Returns:
        The step's place if it is kept for now, 0 if an earlier one is clearly better; the highest score wins.

    >>> latest_not_worse(0.80, [0.82], standard_error=0.05)
    2
    >>> latest_not_worse(0.60, [0.82], standard_error=0.05)
    0
    """
    if not earlier:
        return 1
    return len(earlier) + 1 if score >= max(earlier) - standard_error else 0


def selection_score(accuracy: float, earlier: Sequence[float], *, rows: int) -> int:
    """Score a step by its accuracy on so many dev rows; see `latest_not_worse`.

    >>> selection_score(0.80, [0.82], rows=50), selection_score(0.60, [0.82], rows=50)
    (2, 0)
    """
    best = max(earlier, default=accuracy)
    standard_error = math.sqrt(max(best * (1 - best), 1e-4) / max(1, rows))
    return latest_not_worse(accuracy, earlier, standard_error=standard_error)


def dev_metrics(
    earlier: Callable[[], Sequence[float]], *, metric: str = "accuracy"
) -> Callable[[Any], dict[str, float]]:
    """Build the Trainer's `compute_metrics`: accuracy, macro-F1, and the selection score beside them.

    Args:
        earlier: returns the dev scores of the steps before, by `metric`; they come from the Trainer's
            history, so that a resumed run selects as an uninterrupted one does.
        metric: `accuracy` or `macro_f1`: what a step is selected by.
    """

    def compute(prediction: Any) -> dict[str, float]:
        accuracy, f1 = resampled_accuracy(prediction), resampled_macro_f1(prediction)
        if metric == "accuracy":
            kept = selection_score(float(accuracy[0]), earlier(), rows=len(prediction.label_ids))
        else:
            kept = latest_not_worse(float(f1[0]), earlier(), standard_error=float(f1[1:].std(ddof=1)))
        return {"accuracy": float(accuracy[0]), "macro_f1": float(f1[0]), "selection": kept}

    return compute


def translation_dev_metrics(
    decode: Callable[[list[list[int]]], list[str]], earlier: Callable[[], Sequence[float]]
) -> Callable[[Any], dict[str, float]]:
    """Build the Trainer's `compute_metrics` for translated dev rows: chrF++ with its standard error,
    and the selection score.

    Args:
        decode: turns ids into texts.
        earlier: returns the dev chrF++ of the steps before.
    """

    def compute(prediction: Any) -> dict[str, float]:
        scores = resampled_chrf(prediction, decode)
        chrf = float(scores[0])
        error = float(scores[1:].std(ddof=1))
        kept = latest_not_worse(chrf, earlier(), standard_error=error)
        return {"chrf": chrf, "chrf_error": error, "selection": kept}

    return compute


class StopWhenWorse(TrainerCallback):  # type: ignore[misc]
    """Ends a training after so many dev scorings in a row that are clearly worse than the best.

    It counts them in the Trainer's history. A training that ended so and is gone on with ends behind its
    first step, whose weights are not kept.
    """

    def __init__(self, patience: int) -> None:
        self.patience = patience

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        self.on_evaluate(args, state, control)

    def on_evaluate(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        kept = [record[SELECTION] for record in state.log_history if SELECTION in record]
        worse = sum(1 for _ in takewhile(lambda score: score == 0, reversed(kept)))
        if worse >= self.patience:
            control.should_training_stop = True


def resampled_accuracy(prediction: Any) -> npt.NDArray[np.float64]:
    """Score a classified dev set, shape (1 + resamples,): its accuracy, then that of each resample."""
    right = np.asarray(prediction.predictions).argmax(-1) == prediction.label_ids
    scores: npt.NDArray[np.float64] = resampling_weights(len(right)) @ right / len(right)
    return scores


def resampled_macro_f1(prediction: Any) -> npt.NDArray[np.float64]:
    """Score a classified dev set, shape (1 + resamples,): its macro-F1, then that of each resample."""
    from nlp_transfer.evaluation.scores import resampled_scores

    logits = np.asarray(prediction.predictions)
    weights = resampling_weights(len(logits)) / len(logits)
    predicted = np.eye(logits.shape[-1])[logits.argmax(-1)]
    return resampled_scores(predicted, prediction.label_ids.tolist(), weights)["macro_f1"]


def resampled_chrf(
    prediction: Any, decode: Callable[[list[list[int]]], list[str]]
) -> npt.NDArray[np.float64]:
    """Score a translated dev set, shape (1 + resamples,): their chrF++, then that of each resample."""
    from nlp_transfer.evaluation.translation_scores import chrf_of_counts, chrf_statistics

    hypotheses, references = (
        decode([[number for number in row if number >= 0] for row in np.asarray(ids).tolist()])
        for ids in (prediction.predictions, prediction.label_ids)
    )
    return chrf_of_counts(resampling_weights(len(references)) @ chrf_statistics(hypotheses, references))


# What dev rows of a classifier are scored by, where a step or a mix is chosen.
RESAMPLED = {"accuracy": resampled_accuracy, "macro_f1": resampled_macro_f1}


def resampling_weights(rows: int) -> npt.NDArray[np.float64]:
    """Return how often each row counts: once, then as each resample draws it; always the same ones."""
    drawn = np.random.default_rng(0).multinomial(rows, np.full(rows, 1 / rows), size=DEV_RESAMPLES)
    return np.vstack([np.ones(rows), drawn])
