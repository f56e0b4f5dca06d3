"""A disk that is full, over its quota or read-only in mid-write: one message, status 1, nothing lost."""

from __future__ import annotations

import errno
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from looking import Call
from phases import started
from short_runs import Run, largest_difference, short_recipe
from small_disk import SmallDisk, files_of_at_most, mounted, read_only
from tiny import sentences, write_csv

from nlp_transfer.disk import write_failure
from nlp_transfer.errors import RunError
from nlp_transfer.whole_files import whole_folder, write_text

FULL = "No space left on device"
GOES_ON = "the same command goes on from the last finished stage or checkpoint"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with mounted(tmp_path / "disk", size="16m") as made:
        yield made


@pytest.fixture(scope="module")
def whole(tiny_model: Any, tmp_path_factory: Any) -> Run:
    folder = tmp_path_factory.mktemp("whole")
    run = Run(short_recipe("sentiment lora", folder, tiny_model("bert")), folder / "whole")
    process = started(["run", run.recipe], folder)
    assert process.finish() == 0, process.log.read_text()
    return run


def bytes_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def half_written(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob(".*") if path.name.endswith(".part")]


def test_a_disk_that_fills_up_stops_the_run_wherever_it_is_and_loses_nothing(
    whole: Run, disk: SmallDisk, call: Call
) -> None:
    run = Run(whole.content, disk.folder / "tried")
    size = bytes_of(whole.folder)
    for share in (0.3, 0.8):
        disk.leave(int(share * size) - bytes_of(run.folder))
        ended = call("run", run.recipe)
        assert ended.status == 1, ended.err
        last = ended.err.splitlines()[-1]
        assert last.startswith(
            f"nlp-transfer: the run in {run.folder} stopped: a file could not be written ("
        )
        assert last.endswith(GOES_ON)
        assert half_written(run.folder) == []
    disk.make_room()
    assert call("run", run.recipe).status == 0
    assert run.steps() == whole.steps()
    assert largest_difference(run, whole) < 1e-6
    assert run.report() == whole.report()


def test_a_folder_that_turns_read_only_stops_the_run(whole: Run, disk: SmallDisk, tmp_path: Path) -> None:
    run = Run(whole.content, disk.folder / "tried")
    process = started(["run", run.recipe], tmp_path, stop_at="checkpoint")
    assert process.wait_for("checkpoint")
    with read_only(run.folder / "checkpoints"):
        process.go_on()
        assert process.finish() == 1
    assert "Read-only file system" in process.log.read_text().splitlines()[-1]
    again = started(["run", run.recipe], tmp_path)
    assert again.finish() == 0, again.log.read_text()
    assert largest_difference(run, whole) < 1e-6


def test_a_full_cache_stops_no_run_that_can_do_without_it(
    tiny_model: Any, disk: SmallDisk, tmp_path: Path, call: Call, monkeypatch: Any
) -> None:
    monkeypatch.setenv("NLP_TRANSFER_CACHE", str(disk.folder / "cache"))
    disk.leave(4096)
    run = Run(short_recipe("sentiment probe", tmp_path, tiny_model("bert")), tmp_path / "run")
    ended = call("run", run.recipe)
    assert ended.status == 0, ended.err
    assert f"the encodings cannot be kept in {disk.folder / 'cache' / 'encodings'}" in ended.err
    assert half_written(disk.folder) == []


def test_a_cache_without_room_for_a_source_model_is_named(
    tiny_model: Any, disk: SmallDisk, tmp_path: Path, call: Call, monkeypatch: Any
) -> None:
    monkeypatch.setenv("NLP_TRANSFER_CACHE", str(disk.folder / "cache"))
    disk.leave(4096)
    run = Run(short_recipe("sentiment lp_ft", tmp_path, tiny_model("bert")), tmp_path / "run")
    ended = call("run", run.recipe)
    assert ended.status == 1
    assert ended.err.splitlines()[-1] == (
        f"nlp-transfer: the run in {run.folder} stopped: a file could not be written ({FULL}); make room "
        f"there and in the cache, {disk.folder / 'cache'}; {GOES_ON}"
    )
    assert half_written(disk.folder) == []
    disk.make_room()
    assert call("run", run.recipe).status == 0


@pytest.mark.parametrize("command", ["predict", "translate"])
@pytest.mark.parametrize("before", [None, b"yesterday's"], ids=["a new file", "an old file"])
def test_results_that_find_no_room_leave_the_output_as_it_was(
    command: str,
    before: bytes | None,
    tiny_model: Any,
    tiny_translator: Any,
    disk: SmallDisk,
    tmp_path: Path,
    call: Call,
) -> None:
    model = (
        tiny_model("bert", labels=["negative", "positive"])
        if command == "predict"
        else tiny_translator("m2m_100")
    )
    texts = write_csv(tmp_path / "in.csv", ("text",), [[text] for text, _ in sentences("movies", 20, seed=0)])
    output = disk.folder / "out.csv"
    if before is not None:
        output.write_bytes(before)
    disk.leave(0)
    ended = call(command, model, "--input", texts, "--output", output)
    assert ended.status == 1, ended.err
    assert f"{output} cannot be written ({FULL})" in ended.err
    assert sorted(path.name for path in disk.folder.iterdir()) == ["ballast", *["out.csv"] * bool(before)]
    assert before is None or output.read_bytes() == before


def test_a_push_that_finds_no_room_to_stage_sends_nothing(
    finished: Path, disk: SmallDisk, call: Call, monkeypatch: Any
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(disk.folder))
    disk.leave(4096)
    ended = call("push", finished, "ada/products", "--dry-run")
    assert ended.status == 1
    assert FULL in ended.err.splitlines()[-1]
    assert [path.name for path in disk.folder.iterdir()] == ["ballast"]


# Without a mount -----------------------------------------------------------------------------------


def test_a_quota_stops_the_run_and_loses_nothing(whole: Run, tmp_path: Path, call: Call) -> None:
    run = Run(whole.content, tmp_path / "tried")
    for size in (2_000, 40_000):
        with files_of_at_most(size):
            ended = call("run", run.recipe)
        assert ended.status == 1, ended.err
        assert ended.err.splitlines()[-1].endswith(GOES_ON)
        assert half_written(run.folder) == []
    assert call("run", run.recipe).status == 0
    assert largest_difference(run, whole) < 1e-6


def test_files_and_folders_are_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "before")
    with whole_folder(tmp_path / "model") as part:
        (part / "weights").write_text("before")
    with files_of_at_most(100):
        with pytest.raises(OSError, match="File too large"):
            write_text(tmp_path / "a.txt", "x" * 200)
        with pytest.raises(OSError, match="File too large"), whole_folder(tmp_path / "model") as part:
            (part / "weights").write_text("x" * 200)
    assert (tmp_path / "a.txt").read_text() == "before"
    assert (tmp_path / "model" / "weights").read_text() == "before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.txt", "model"]


@pytest.mark.parametrize("name", ["tokenizers", "safetensors", "torch"])
def test_what_a_library_says_of_a_full_disk_is_understood(name: str, tmp_path: Path, tiny_model: Any) -> None:
    """Held against the libraries as they are, since the words are theirs."""
    import torch
    from safetensors.torch import save_file
    from transformers import AutoTokenizer

    tensor = torch.zeros(1000)
    ways = {
        "tokenizers": lambda: AutoTokenizer.from_pretrained(tiny_model("bert")).save_pretrained(tmp_path),
        "safetensors": lambda: save_file({"a": tensor}, tmp_path / "a.safetensors"),
        "torch": lambda: torch.save({"a": tensor}, tmp_path / "a.pt"),
    }
    with files_of_at_most(1500), pytest.raises(Exception) as caught:
        ways[name]()
    assert write_failure(caught.value) is not None


def test_errors_that_were_worded_already_are_left_alone() -> None:
    try:
        try:
            raise OSError(errno.ENOSPC, "full")
        except OSError as error:
            raise RunError("worded") from error
    except RunError as error:
        assert write_failure(error) is None
