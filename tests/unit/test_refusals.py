"""A refused model is put away whole, once, and says why to whoever asks for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from nlp_transfer.errors import RunError
from nlp_transfer.runs import refusal_of, refuse_model


@pytest.fixture
def run(tmp_path: Path) -> Path:
    for name in ("model", "adapter"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "weights").write_text(name)
    return tmp_path


def test_a_refused_model_stands_under_another_name_with_the_reason(run: Path) -> None:
    assert refusal_of(run) is None
    refuse_model(run, "it lost 5 points")
    assert {path.name for path in run.iterdir()} == {"refused_model", "refused_adapter"}
    assert (run / "refused_model" / "weights").read_text() == "model"
    for place in (run, run / "model", run / "adapter"):
        assert refusal_of(place) == "it lost 5 points"
    refuse_model(run, "it lost 5 points")
    assert (run / "refused_adapter" / "weights").read_text() == "adapter"


def test_a_refusal_that_was_interrupted_holds_and_is_completed(run: Path) -> None:
    refuse_model(run, "it lost 5 points")
    (run / "refused_model").replace(run / "model")
    assert refusal_of(run) == "it lost 5 points"
    refuse_model(run, "it lost 5 points")
    assert not (run / "model").exists()


def test_a_damaged_refusal_hands_nothing_over(run: Path) -> None:
    refuse_model(run, "it lost 5 points")
    (run / "refused_model" / "refused.json").write_text("{")
    with pytest.raises(RunError, match="cannot be read, so that the model is not used"):
        refusal_of(run)
