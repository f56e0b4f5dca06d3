"""Several trainings from one start whose weights are averaged: a model soup.

With few rows, the order of the rows, the source rows beside them and dropout decide much of what is learnt:
trainings that differ in nothing else are right on different rows. From one start they do not part far, so the
mean of their weights is a model too. It is steadier than each of them, and no slower to use. Of LoRA's
adapters both factors are averaged: that is not the mean of their products, but it gains too (`soup` in
benchmarks/results/defaults.json).
Source: Wortsman et al. 2022, Model soups, section 3.1 (the uniform soup).
"""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch

from nlp_transfer.training.loop import FitResult, TrainingRun
from nlp_transfer.training.weights import copied_weights, set_weights

logger = logging.getLogger(__name__)
# Between the seeds of a soup's trainings: those of two of `evaluation.seeds` are different ones, up to a
# thousand apart.
SEED_STEP = 1_000

AfterTraining = Callable[[torch.nn.Module], None]
"""Changes a trained model in place, before a mix with the start's weights is chosen."""
Learn = Callable[[TrainingRun, AfterTraining | None], FitResult]
"""Trains the model once. The last training of a soup alone is given what takes the mean."""


def members_of(run: TrainingRun, *, members: int) -> list[TrainingRun]:
    """Return the trainings of a soup: the run itself, and others with seeds and checkpoints of their own."""
    others = [
        replace(
            run,
            member=f"{member + 1} of {members}",
            folder=run.folder.with_name(f"{run.folder.name}-{member + 1}"),
            seed=run.seed + member * SEED_STEP,
        )
        for member in range(1, members)
    ]
    return [run, *others]


def train_soup(model: torch.nn.Module, runs: Sequence[TrainingRun], learn: Learn) -> FitResult:
    """Train a model once for each run, always from the weights that it has now, and leave it their mean.

    Args:
        model: trained in place; weights that do not train stay as they are.
        runs: one training each.
        learn: trains it, for one of them.

    Returns:
        The last training's result, with the seconds and the tokens of all.
    """
    if len(runs) == 1:
        return learn(runs[0], lambda _: None)
    logger.info("%s: the mean of the weights of %d trainings", runs[0].label, len(runs))
    start, results = copied_weights(model), []
    total = {name: torch.zeros_like(weight) for name, weight in start.items()}
    for run in runs[:-1]:
        set_weights(model, start)
        results.append(learn(run, None))
        # A Trainer and its callbacks hold each other: its optimizer would stay in memory beside the next one.
        gc.collect()
        total = {
            name: total[name].to(weight.device) + weight for name, weight in copied_weights(model).items()
        }

    def take_the_mean(trained: torch.nn.Module) -> None:
        mean = {
            name: (total[name].to(weight.device) + weight) / len(runs)
            for name, weight in copied_weights(trained).items()
        }
        set_weights(trained, mean)

    set_weights(model, start)
    last = learn(runs[-1], take_the_mean)
    return replace(last.with_costs_of(results), trainings=len(runs))
