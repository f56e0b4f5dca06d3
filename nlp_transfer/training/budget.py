"""What one training goes through: the target's rows, source rows and unlabelled texts beside them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nlp_transfer.data.rows import Rows
from nlp_transfer.data.splits import nested_subset
from nlp_transfer.errors import DataError
from nlp_transfer.training.mixed_batches import NO_LABEL
from nlp_transfer.training.passes import mixture, passes_of
from nlp_transfer.training.procedure import Procedure, replay_for, training_arguments
from nlp_transfer.training.unlabelled import SAVED_SHARE, Unlabelled, mixed_rows


@dataclass(frozen=True)
class Budget:
    """The rows of one epoch, the arguments with the number of epochs, and how often to evaluate in the
    whole training.
    """

    rows: Rows
    arguments: dict[str, Any]
    evaluations: int = 1
    source_rows: int = 0
    """Source rows among them, all different."""


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
    return Budget(rows, plan.arguments, evaluations=plan.passes, source_rows=plan.source)


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
    rows = mixed_rows(
        labelled, unlabelled, None if procedure.replay == 0 else source,
        drawn=plan.source_rows, seed=procedure.seed,
    )  # fmt: skip
    if unlabelled.method == "mlm" and (rows.labels == NO_LABEL).all():
        raise DataError(
            "adaptation.unlabelled.method mlm needs labelled rows beside the unlabelled texts, and there are "
            "neither target labels nor source rows to replay; give one of them, or set method: self_training"
        )
    saved = {} if dev else {"save_strategy": "steps", "save_steps": SAVED_SHARE}
    arguments = {**saved, **plan.arguments, "num_train_epochs": 1}
    return Budget(rows, arguments, evaluations=max(passes, plan.evaluations))
