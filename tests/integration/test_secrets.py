"""A Hub token stays where it was given: in no file of a run, in no log, in no message."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from looking import Call
from tiny import easy_recipe

from nlp_transfer.config import write_yaml

TOKEN = "hf_" + "Secret" * 6


def test_a_token_in_the_environment_reaches_neither_files_nor_output(
    tiny_model: Any, domains: dict[str, Path], tmp_path: Path, call: Call, monkeypatch: Any
) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    content = easy_recipe(
        tmp_path / "run", tiny_model("bert"), domains, evaluation__baselines=["majority"], source_stage=None
    )
    (tmp_path / "recipe.yaml").write_text(write_yaml(content))
    ended = [
        call("--debug", "run", tmp_path / "recipe.yaml"),
        call("push", tmp_path / "run", "ada/products", "--dry-run"),
        call("predict", "ada/no-such-model", "good"),
    ]
    assert ended[0].status == 0, ended[0].err
    assert not any(TOKEN in one.out + one.err for one in ended)
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(path.name == "environment.json" for path in written)
    assert [path for path in written if TOKEN.encode() in path.read_bytes()] == []
