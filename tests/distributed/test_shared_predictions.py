"""Two processes predict what one predicts, each for its share of the rows; each row comes out once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tiny
from launched import RECIPES
from predicting import COUNTS, predicted

CPU_2 = ("--config_file", str(RECIPES / "accelerate" / "cpu_2.yaml"), "--main_process_port", "0")
CASES = [f"{task} {count}" for task in ("sentiment", "translation") for count in COUNTS]


@pytest.fixture(scope="module")
def models(tiny_model: Any, tiny_translator: Any) -> list[str]:
    return [str(tiny_model("bert", labels=tiny.LABELS)), str(tiny_translator("marian"))]


@pytest.fixture(scope="module")
def alone(models: list[str]) -> dict[str, Any]:
    return predicted(*models)


@pytest.fixture(scope="module")
def together(models: list[str], launch: Any, tmp_path_factory: Any) -> list[dict[str, Any]]:
    """What each of two processes found."""
    folder = tmp_path_factory.mktemp("together")
    ended = launch(*CPU_2, "-m", "predicting", str(folder), *models)
    assert ended.returncode == 0, ended.stderr
    return [json.loads((Path(folder) / f"{rank}.json").read_text()) for rank in (0, 1)]


@pytest.mark.parametrize("case", CASES)
def test_two_processes_predict_what_one_predicts(case: str, alone: Any, together: Any) -> None:
    expected = alone[case]["result"]
    assert len(expected) == int(case.split()[1])
    # A row in another one's place would not go unseen.
    assert len({str(result) for result in expected}) > 0.8 * len(expected) - 1
    for process in together:
        found = process["predicted"][case]["result"]
        if case.startswith("translation"):
            assert found == expected
        else:
            assert len(found) == len(expected)
            for row, other in zip(found, expected, strict=True):
                assert row == pytest.approx(other, abs=1e-6)


@pytest.mark.parametrize("case", CASES)
def test_each_process_computes_its_share_alone(case: str, alone: Any, together: Any) -> None:
    rows = int(case.split()[1])
    own = [process["predicted"][case]["own"] for process in together]
    assert sum(own) == alone[case]["own"] == rows
    assert max(own) - min(own) <= 1


def test_what_fails_in_one_process_stops_all(together: Any) -> None:
    assert [process["error"] for process in together] == ["no memory left here"] * 2
