"""What becomes of a model that the guard refused: it is put away, and no stage hands it over again."""

from __future__ import annotations

from pathlib import Path

from nlp_transfer.chain import Outcome
from nlp_transfer.errors import RunError
from nlp_transfer.runs import refusal_of, refuse_model
from nlp_transfer.training.processes import computed_on_main, is_main


def put_away(run: Path, outcome: Outcome) -> None:
    """Rename a run's model to `refused_model/`, with what the guard says of it beside it."""
    words = next(finding for finding in outcome.findings if finding.check == "guard")
    refuse_model(run, f"the guard refused it: {words.evidence}; {words.advice}")


def require_not_refused(run: Path) -> None:
    """Stop where the guard refused a run's model; a refusal that was interrupted is completed.

    Raises:
        RunError: it did.
    """
    reason = computed_on_main(lambda: refusal_of(run))
    if reason is None:
        return
    if is_main():
        refuse_model(run, reason)
    raise RunError(
        f"the model of {run} is not handed over, {reason}. Its weights are in refused_model/, "
        "the scores in report.md; run again with another output_dir"
    )
