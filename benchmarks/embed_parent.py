"""Turns a finished run of recipes/low_resource_translation/parent.yaml into the embedded model.

python benchmarks/embed_parent.py RUN            # writes nlp_transfer/embedded/romance/

Weights are kept as float16. The model was trained without dropout and is adapted without it: dropout of 0.1
cost 2 to 3 chrF++, of 0.3 half of the score (results/translation_defaults.json).
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

EMBEDDED = Path(__file__).parent.parent / "nlp_transfer" / "embedded" / "romance"
COPIED = (
    "generation_config.json",
    "source.spm",
    "target.spm",
    "tokenizer_config.json",
    "vocab.json",
    "translation.json",
)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    run = parser.parse_args().run
    EMBEDDED.mkdir(parents=True, exist_ok=True)
    weights = load_file(run / "model" / "model.safetensors")
    halved = {name: tensor.to(torch.float16) for name, tensor in weights.items()}
    save_file(halved, EMBEDDED / "model.safetensors", metadata={"format": "pt"})
    for name in COPIED:
        shutil.copyfile(run / "model" / name, EMBEDDED / name)
    config = json.loads((run / "model" / "config.json").read_text())
    config |= {"dtype": "float16", "use_cache": True}
    (EMBEDDED / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    print(f"{EMBEDDED}: {sum(file.stat().st_size for file in EMBEDDED.iterdir()) / 2**20:.1f} MB")


if __name__ == "__main__":
    main()
