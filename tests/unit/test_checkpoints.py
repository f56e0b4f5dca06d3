"""A checkpoint that was not written whole is passed over, and said so."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from nlp_transfer.training.checkpoints import NEWEST, damage_of, newest_whole_checkpoint, note_saved

BIN = {"optimizer.pt": 3, "scheduler.pt": 2, "rng_state.pth": 1}


def write_checkpoint(folder: Path, step: int, *, best: int | None = None) -> Path:
    path = folder / f"checkpoint-{step}"
    path.mkdir(parents=True)
    save_file({"weight": torch.ones(4, 3), "bias": torch.ones(3)}, path / "model.safetensors")
    for name, value in BIN.items():
        torch.save({"value": torch.tensor(value)}, path / name)
    state = {"global_step": step, "best_model_checkpoint": best and f"/elsewhere/checkpoint-{best}"}
    (path / "trainer_state.json").write_text(json.dumps(state))
    return path


def cut(name: str, share: float = 0.6) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        content = (path / name).read_bytes()
        (path / name).write_bytes(content[: int(len(content) * share)])

    return damage


def without(name: str) -> Callable[[Path], None]:
    return lambda path: (path / name).unlink()


def one_process_of_two(path: Path) -> None:
    (path / "rng_state.pth").rename(path / "rng_state_0.pth")


DAMAGES = {
    "weights cut in their tensors": (cut("model.safetensors", 0.95), "model.safetensors is cut short"),
    "weights cut in their header": (cut("model.safetensors", 0.1), "model.safetensors is cut short"),
    "no bytes of the weights": (cut("model.safetensors", 0), "model.safetensors is cut short"),
    "no weights": (without("model.safetensors"), "it has no weights"),
    "optimizer cut": (cut("optimizer.pt"), "optimizer.pt is cut short"),
    "no optimizer": (without("optimizer.pt"), "it has no optimizer.pt"),
    "scheduler cut": (cut("scheduler.pt"), "scheduler.pt is cut short"),
    "random state cut": (cut("rng_state.pth"), "rng_state.pth is cut short"),
    "no random state": (without("rng_state.pth"), "it has no rng_state.pth"),
    "the other process's": (one_process_of_two, "it has no rng_state_1.pth"),
    "state cut": (cut("trainer_state.json"), "trainer_state.json is cut short"),
    "killed while saving": (
        without("trainer_state.json"),
        "it has no trainer_state.json, so saving it was not finished",
    ),
}


@pytest.mark.parametrize(("damage", "said"), DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_newest_checkpoint_falls_back_to_the_one_before(
    damage: Callable[[Path], None], said: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before, newest = write_checkpoint(tmp_path, 9), write_checkpoint(tmp_path, 10)
    assert newest_whole_checkpoint(tmp_path) == newest
    damage(newest)
    with caplog.at_level(logging.WARNING, logger="nlp_transfer"):
        assert newest_whole_checkpoint(tmp_path) == before
    assert caplog.messages == [f"{newest} cannot be gone on from: {said}; taking the one before"]


def test_a_checkpoint_whose_best_step_is_lost_is_not_gone_on_from(tmp_path: Path) -> None:
    first, best = write_checkpoint(tmp_path, 5), write_checkpoint(tmp_path, 10, best=10)
    newest = write_checkpoint(tmp_path, 20, best=10)
    assert newest_whole_checkpoint(tmp_path) == newest
    cut("model.safetensors")(best)
    assert newest_whole_checkpoint(tmp_path) == first
    shutil.rmtree(best)
    assert newest_whole_checkpoint(tmp_path) == first


def test_a_newest_checkpoint_that_is_missing_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before, newest = write_checkpoint(tmp_path, 9), write_checkpoint(tmp_path, 10)
    note_saved(tmp_path, 9)
    note_saved(tmp_path, 10)
    with caplog.at_level(logging.WARNING, logger="nlp_transfer"):
        assert newest_whole_checkpoint(tmp_path) == newest
        assert caplog.messages == []
        shutil.rmtree(newest)
        assert newest_whole_checkpoint(tmp_path) == before
        missing = f"{newest} was saved and is missing; taking the one before"
        assert caplog.messages == [missing]
        shutil.rmtree(before)
        assert newest_whole_checkpoint(tmp_path) is None
    no_other = f"{tmp_path} has no whole checkpoint; training starts at its first step"
    assert caplog.messages[1:] == [missing, no_other]
    (tmp_path / NEWEST).write_text("cut")
    assert newest_whole_checkpoint(tmp_path) is None
    assert len(caplog.messages) == 3


def test_without_a_whole_checkpoint_training_starts_at_its_first_step(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert newest_whole_checkpoint(tmp_path / "absent") is None
    assert newest_whole_checkpoint(tmp_path) is None
    assert caplog.messages == []
    without("trainer_state.json")(write_checkpoint(tmp_path, 3))
    (tmp_path / "checkpoint-mine").mkdir()
    with caplog.at_level(logging.WARNING, logger="nlp_transfer"):
        assert newest_whole_checkpoint(tmp_path) is None
    assert caplog.messages[-1] == f"{tmp_path} has no whole checkpoint; training starts at its first step"


def test_shards_and_several_processes_are_whole_too(tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path, 1)
    (path / "rng_state.pth").rename(path / "rng_state_0.pth")
    shutil.copy(path / "rng_state_0.pth", path / "rng_state_1.pth")
    assert damage_of(path) is None
    (path / "model.safetensors").rename(path / "model-00001-of-00002.safetensors")
    names = [f"model-0000{number}-of-00002.safetensors" for number in (1, 2)]
    index = {"weight_map": dict(zip(("weight", "bias"), names, strict=True))}
    (path / "model.safetensors.index.json").write_text(json.dumps(index))
    assert damage_of(path) == f"it has no {names[1]}"
    (path / names[0]).unlink()
    (path / "model.safetensors.index.json").unlink()
    for name in ("optimizer.pt", "scheduler.pt"):
        (path / name).unlink()
    (path / "pytorch_model_fsdp_0").mkdir()
    assert damage_of(path) is None
