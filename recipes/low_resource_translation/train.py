"""Runs a translation recipe; start it with `accelerate launch` to train on several devices.

accelerate launch recipes/low_resource_translation/train.py \\
    --config recipes/low_resource_translation/full.yaml [key.sub=value ...] [--continue-from MODEL]
"""

from __future__ import annotations

import sys

from nlp_transfer.cli import run_script

if __name__ == "__main__":
    sys.exit(run_script("translation"))
