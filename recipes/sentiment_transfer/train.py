"""Runs a sentiment recipe; start it with `accelerate launch` to train on several devices.

accelerate launch recipes/sentiment_transfer/train.py --config recipes/sentiment_transfer/full.yaml
[key.sub=value ...] [--continue-from MODEL]
"""

from __future__ import annotations

import sys

from nlp_transfer.cli import run_script

if __name__ == "__main__":
    sys.exit(run_script("sentiment"))
