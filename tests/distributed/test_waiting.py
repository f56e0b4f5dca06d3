"""How long processes wait for the main one: a day, or as long as the recipe says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from launched import RECIPES, TESTS
from tiny import easy_recipe

CPU_2 = ("--config_file", str(RECIPES / "accelerate" / "cpu_2.yaml"), "--main_process_port", "0")
A_DAY = 24 * 60 * 60.0


@pytest.mark.parametrize("ddp_timeout", [None, 4])
def test_a_recipe_says_how_long_the_others_wait(
    ddp_timeout: int | None, launch: Any, domains: dict[str, Path], tmp_path: Path
) -> None:
    given = {} if ddp_timeout is None else {"ddp_timeout": ddp_timeout}
    recipe = easy_recipe(tmp_path / "run", Path("no-model"), domains, training=given)
    ended = launch(*CPU_2, str(TESTS / "waiting.py"), str(tmp_path), json.dumps(recipe))
    assert ended.returncode == 0, ended.stderr
    # Gloo's threads would abort a process that ends inside its group.
    assert [(tmp_path / f"{rank}.left").read_text() for rank in (0, 1)] == ["True", "True"]
    found = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1)]
    for seconds in found:
        assert seconds["joined"] == A_DAY
        assert seconds["in a run"] == (ddp_timeout or A_DAY)
    assert found[1].get("gave up") == (None if ddp_timeout is None else True)
