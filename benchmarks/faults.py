"""Runs that are killed at random moments, and what became of them: `benchmarks/results/faults.json`.

    python benchmarks/faults.py --times 20

Each run is a whole one (check, train, evaluate, report) of a tiny model. A fault comes at a moment drawn
between the start of the run folder and the end of an undisturbed run; then the same command is given again. A
run survives if that ends well, with weights within 1e-6 of the undisturbed run's, the same history, each line
once, and the same predictions. Lost rows are predictions that are missing or different. A fault that came
after the run's end is not counted.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from common import RESULTS, describe_machine, save_results

TESTS = Path(__file__).resolve().parent.parent / "tests"
sys.path.insert(0, str(TESTS))

from short_runs import Run, largest_difference, short_recipe  # noqa: E402
from tiny import build_tiny_model  # noqa: E402

KINDS = (
    "sentiment full",
    "sentiment lora",
    "sentiment lp_ft",
    "sentiment probe",
    "translation full",
    "translation lora",
)
NEAR = 1e-6


def kill(process: subprocess.Popen[bytes], run: Run) -> None:
    process.kill()


def terminate(process: subprocess.Popen[bytes], run: Run) -> None:
    process.send_signal(signal.SIGTERM)


def kill_and_cut(process: subprocess.Popen[bytes], run: Run) -> None:
    """Kill it, and cut the weights of the newest checkpoint, as a machine without power does."""
    process.kill()
    process.wait()
    for path in [path / "model.safetensors" for path in run.checkpoints()[-1:]]:
        if path.is_file():
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


FAULTS: dict[str, Callable[[subprocess.Popen[bytes], Run], None]] = {
    "kill -9": kill,
    "SIGTERM": terminate,
    "kill -9, newest checkpoint cut": kill_and_cut,
}


def start(run: Run) -> subprocess.Popen[bytes]:
    """Give the command, with a cache of the run's own, so that nothing is taken from another run."""
    environment = {
        **os.environ,
        "NLP_TRANSFER_CACHE": str(run.folder.parent / "cache"),
        "OMP_NUM_THREADS": "1",
    }
    with (run.folder.parent / "log.txt").open("ab") as log:
        command = [sys.executable, "-m", "nlp_transfer.cli", "run", run.recipe]
        return subprocess.Popen(command, env=environment, stdout=log, stderr=log)


def wait_for_folder(process: subprocess.Popen[bytes], run: Run) -> float:
    """Return the moment at which the run has its folder: before it, only libraries are imported."""
    while process.poll() is None and not (run.folder / ".lock").exists():
        time.sleep(0.01)
    return time.monotonic()


def seconds_of_an_undisturbed_run(run: Run) -> float:
    process = start(run)
    began = wait_for_folder(process, run)
    if process.wait():
        raise SystemExit((run.folder.parent / "log.txt").read_text())
    return time.monotonic() - began


def finished_stages(run: Run) -> list[str]:
    state = run.folder / "state.json"
    return list(json.loads(state.read_text())) if state.is_file() else []


def predictions(run: Run) -> dict[str, Any]:
    files = sorted((run.folder / "predictions").glob("*.jsonl"))
    lines = [(path.name, json.loads(line)) for path in files for line in path.read_text().splitlines()]
    return {f"{name} {record['id']}": record for name, record in lines}


def history(run: Run) -> list[Any]:
    return run.steps() if (run.folder / "history.jsonl").is_file() else []


def disturbed(run: Run, expected: Run, fault: str, *, after: float) -> dict[str, Any]:
    """Disturb a run once, give the same command again, and compare with the undisturbed run."""
    process = start(run)
    wait_for_folder(process, run)
    try:
        process.wait(after)
        in_time = False
    except subprocess.TimeoutExpired:
        FAULTS[fault](process, run)
        in_time = True
    status = process.wait()
    stages = finished_stages(run)
    again = start(run).wait()
    rows, found = predictions(expected), predictions(run)
    difference = largest_difference(run, expected)
    return {
        "after_seconds": round(after, 2),
        "in_time": in_time,
        "status": status,
        "finished_stages": stages,
        "status_of_the_same_command": again,
        "largest_difference": difference if difference != float("inf") else None,
        "rows_lost": sum(found.get(name) != record for name, record in rows.items()),
        "same_history": history(run) == history(expected),
        "survived": again == 0 and difference < NEAR and found == rows and history(run) == history(expected),
    }


def measure(kind: str, times: int, draw: random.Random) -> dict[str, Any]:
    """Disturb runs of one kind, each fault so many times."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        build_tiny_model(folder / "model", "bert", labels=None, seed=0, settings={})
        content = short_recipe(kind, folder, folder / "model")
        whole = Run(content, folder / "whole")
        seconds = seconds_of_an_undisturbed_run(whole)
        found: dict[str, Any] = {"seconds": round(seconds, 1), "rows": len(predictions(whole)), "faults": {}}
        for fault in FAULTS:
            tries = [
                disturbed(
                    Run(content, folder / f"{fault.replace(' ', '-')}-{number}"), whole, fault,
                    after=draw.uniform(0, seconds),
                )
                for number in range(times)
            ]  # fmt: skip
            found["faults"][fault] = {
                "tried": sum(one["in_time"] for one in tries),
                "survived": sum(one["in_time"] and one["survived"] for one in tries),
                "rows_lost": sum(one["rows_lost"] for one in tries),
                "tries": tries,
            }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--times", type=int, default=20, help="moments of each fault and kind of run")
    parser.add_argument("--kinds", nargs="+", default=KINDS, choices=KINDS)
    parser.add_argument("--seed", type=int, default=0, help="draws the moments")
    parser.add_argument("--output", type=Path, default=RESULTS / "faults.json")
    args = parser.parse_args()
    draw = random.Random(args.seed)
    kinds: dict[str, Any] = {}
    for kind in args.kinds:
        kinds[kind] = measure(kind, args.times, draw)
        for fault, found in kinds[kind]["faults"].items():
            survived = f"{found['survived']}/{found['tried']} survived"
            print(f"{kind:<18} {fault:<32} {survived}, {found['rows_lost']} rows lost", flush=True)
        save_results(args.output, {"what": "whole runs of tiny models, disturbed once", "seed": args.seed,
                                   "kinds": kinds, "machine": describe_machine()})  # fmt: skip


if __name__ == "__main__":
    main()
