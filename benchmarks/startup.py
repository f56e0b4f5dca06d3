"""What it takes to start: whole processes, in turn, and which heavy libraries they load.

    python benchmarks/startup.py --repeats 15

The bar is 0.6 s for `nlp-transfer --help`, without importing torch. `python -c pass` is the floor, `import
torch` what is spared.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import time

import numpy as np
from common import RESULTS, describe_machine, save_results

HEAVY = ("torch", "transformers", "datasets", "sklearn", "pandas", "matplotlib")


def commands() -> dict[str, list[str]]:
    command = shutil.which("nlp-transfer")
    if command is None:
        raise SystemExit("nlp-transfer is not installed")
    return {
        "python -c pass": [sys.executable, "-c", "pass"],
        "nlp-transfer --help": [command, "--help"],
        "nlp-transfer run --help": [command, "run", "--help"],
        "nlp-transfer cards list": [command, "cards", "list"],
        "import nlp_transfer": [sys.executable, "-c", "import nlp_transfer"],
        "import torch": [sys.executable, "-c", "import torch"],
    }


def loaded_by_help() -> list[str]:
    """List the heavy libraries that `--help` loads."""
    code = (
        "import sys\nsys.argv = ['nlp-transfer', '--help']\nfrom nlp_transfer.cli import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        f"print('\\nloaded:', *[name for name in {HEAVY} if name in sys.modules])"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    return printed.splitlines()[-1].removeprefix("loaded:").split()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=15)
    args = parser.parse_args()
    seconds: dict[str, list[float]] = {name: [] for name in commands()}
    for repeat in range(args.repeats + 1):
        for name, command in commands().items():
            start = time.perf_counter()
            subprocess.run(command, capture_output=True, check=True)
            if repeat:  # the first round fills the disk's cache
                seconds[name].append(time.perf_counter() - start)
    results = {
        "what": "seconds of a whole process, interleaved",
        "n": args.repeats,
        "heavy_libraries_loaded_by_help": loaded_by_help(),
        "seconds": {
            name: {"median": float(np.median(took)), "least": min(took), "greatest": max(took)}
            for name, took in seconds.items()
        },
        "machine": describe_machine(),
    }
    save_results(RESULTS / "startup.json", results)
    for name, took in results["seconds"].items():
        print(f"{took['median']:6.2f} s  {name}")


if __name__ == "__main__":
    main()
