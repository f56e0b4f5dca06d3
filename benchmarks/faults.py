"""Runs that are ended at random moments, and what became of them: `benchmarks/results/faults.json`.

    python benchmarks/faults.py --times 20
    python benchmarks/faults.py --kinds "sentiment probe" --faults "kill -9" --output /tmp/faults.json

Each run is a whole one (check, train, evaluate, report) of a tiny model. The moments go round over the phases
that an undisturbed run goes through (data, encoding, training, checkpoint, save, evaluation, report); within
a phase the visit and the moment are drawn. Then the same command is given again. A run survives if that ends
well, with weights within 1e-6 of the undisturbed run's, the same history, each line once, the same best step
and callback states in its checkpoints, the same predictions and, apart from times, the same report.json. Lost
rows are predictions that are missing or different. A fault that came after the run's end is not counted.
What another call measured before stays in the output beside it.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from common import RESULTS, describe_machine, save_results

TESTS = Path(__file__).resolve().parent.parent / "tests"
sys.path.insert(0, str(TESTS))

from phases import PHASES, Started, started  # noqa: E402
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
Moment = tuple[str, int, float]


def kill(process: Started, run: Run) -> None:
    process.end(signal.SIGKILL)


def terminate(process: Started, run: Run) -> None:
    process.end(signal.SIGTERM)


def interrupt(process: Started, run: Run) -> None:
    process.end(signal.SIGINT)


def kill_and_cut(process: Started, run: Run) -> None:
    """Kill it, and cut the weights of the newest checkpoint, as a machine without power does."""
    process.end(signal.SIGKILL)
    for path in run.newest_weights():
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


FAULTS: dict[str, tuple[Callable[[Started, Run], None], int]] = {
    "kill -9": (kill, -signal.SIGKILL),
    "kill -9, newest checkpoint cut": (kill_and_cut, -signal.SIGKILL),
    "SIGTERM": (terminate, 128 + signal.SIGTERM),
    "Ctrl-C": (interrupt, 128 + signal.SIGINT),
}


def start(run: Run) -> Started:
    """Give the command, with a cache of the run's own, so that nothing is taken from another run."""
    folder = run.folder.parent
    return started(["run", run.recipe], folder, NLP_TRANSFER_CACHE=str(folder / "cache"))


def visits_of_an_undisturbed_run(run: Run) -> dict[str, list[float]]:
    """Run without a fault; return for each phase how many seconds each of its visits took."""
    process = start(run)
    if process.finish():
        raise SystemExit(process.log.read_text())
    visits: dict[str, list[float]] = {phase: [] for phase in PHASES}
    for (began, phase), (ended, _) in zip(process.seen, process.seen[1:], strict=False):
        if phase:
            visits[phase].append(ended - began)
    return {phase: seconds for phase, seconds in visits.items() if seconds}


def moments(visits: dict[str, list[float]], times: int, draw: random.Random) -> list[Moment]:
    """Draw moments (phase, visit from 1 on, seconds after it began), the phases in turn."""
    drawn = []
    for number in range(times):
        phase = sorted(visits)[number % len(visits)]
        visit = draw.randrange(len(visits[phase]))
        drawn.append((phase, visit + 1, draw.uniform(0, visits[phase][visit])))
    return drawn


def disturbed(run: Run, expected: Run, fault: str, moment: Moment) -> dict[str, Any]:
    """Disturb a run once, give the same command again, and compare with the undisturbed run."""
    phase, visit, seconds = moment
    process = start(run)
    came = process.wait_for(phase, visit=visit)
    time.sleep(seconds)
    disturb, status = FAULTS[fault]
    disturb(process, run)
    found = process.finish()
    again = start(run)
    ended = {"phase": phase, "visit": visit, "seconds": round(seconds, 4), "status": found}
    ended["in_time"] = came and found != 0
    ended["status_as_expected"] = found == status
    ended["status_of_the_same_command"] = again.finish()
    return {**ended, **compared(run, expected, well=ended["status_of_the_same_command"] == 0)}


def compared(run: Run, expected: Run, *, well: bool) -> dict[str, Any]:
    """Say how a run that was given again differs from one that was never disturbed."""
    if not well:
        rows = len(expected.predictions())
        return {"survived": False, "rows_lost": rows, "log": (run.folder.parent / "log.txt").read_text()}
    rows, found = expected.predictions(), run.predictions()
    difference = largest_difference(run, expected)
    same = {
        "same_history": run.steps() == expected.steps(),
        "same_selection": run.selected() == expected.selected(),
        "same_report": run.report() == expected.report(),
        "same_predictions": found == rows,
    }
    return {
        **same,
        "largest_difference": difference if difference != float("inf") else None,
        "rows_lost": sum(found.get(name) != record for name, record in rows.items()),
        "survived": difference < NEAR and all(same.values()),
        "left_over": run.left_over(),
    }


def measure(kind: str, faults: list[str], times: int, draw: random.Random) -> dict[str, Any]:
    """Disturb runs of one kind, each fault so many times."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        build_tiny_model(folder / "model", "bert", labels=None, seed=0, settings={})
        content = short_recipe(kind, folder, folder / "model")
        whole = Run(content, folder / "whole")
        visits = visits_of_an_undisturbed_run(whole)
        spans = {phase: round(sum(seconds), 2) for phase, seconds in visits.items()}
        found: dict[str, Any] = {"rows": len(whole.predictions()), "seconds_by_phase": spans, "faults": {}}
        for fault in faults:
            tries: list[dict[str, Any]] = []
            # A phase may be over sooner than in the undisturbed run: then another moment is drawn.
            for moment in moments(visits, 2 * times, draw):
                run = Run(content, folder / f"{fault.replace(' ', '-')}-{len(tries)}")
                tries.append(disturbed(run, whole, fault, moment))
                if not tries[-1]["survived"]:
                    print(kind, fault, tries[-1], flush=True)
                if sum(one["in_time"] for one in tries) == times:
                    break
            found["faults"][fault] = summed_up(tries)
    return found


def summed_up(tries: list[dict[str, Any]]) -> dict[str, Any]:
    counted = [one for one in tries if one["in_time"]]
    return {
        "tried": len(counted),
        "phases": dict(Counter(one["phase"] for one in counted)),
        "survived": sum(one["survived"] for one in counted),
        "right_status": sum(one["status_as_expected"] for one in counted),
        "rows_lost": sum(one["rows_lost"] for one in tries),
        "tries": tries,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--times", type=int, default=20, help="moments of each fault and kind of run")
    parser.add_argument("--kinds", nargs="+", default=KINDS, choices=KINDS)
    parser.add_argument("--faults", nargs="+", default=list(FAULTS), choices=list(FAULTS))
    parser.add_argument("--seed", type=int, default=0, help="draws the moments")
    parser.add_argument("--output", type=Path, default=RESULTS / "faults.json")
    args = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # tiny models are slower on two threads than on one
    draw = random.Random(args.seed)
    kinds: dict[str, Any] = json.loads(args.output.read_text())["kinds"] if args.output.exists() else {}
    for kind in args.kinds:
        began = time.monotonic()
        measured = measure(kind, args.faults, args.times, draw)
        before = kinds.get(kind, {}).get("faults", {})
        kinds[kind] = {**measured, "faults": {**before, **measured["faults"]}}
        for fault, found in measured["faults"].items():
            survived = f"{found['survived']}/{found['tried']} survived"
            print(f"{kind:<18} {fault:<32} {survived}, {found['rows_lost']} rows lost", flush=True)
        print(f"{kind:<18} {time.monotonic() - began:.0f} s", flush=True)
        save_results(args.output, {"what": "whole runs of tiny models, disturbed once", "seed": args.seed,
                                   "kinds": kinds, "machine": describe_machine()})  # fmt: skip


if __name__ == "__main__":
    main()
