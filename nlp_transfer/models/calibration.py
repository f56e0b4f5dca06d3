"""The temperature that travels with a classifier: a small file beside its weights for `load_adapted`.

Plain `transformers` passes over it, so that its probabilities are those of the bare logits. How a temperature
is fitted stands in diagnostics/calibration.py.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

from nlp_transfer.errors import ModelError
from nlp_transfer.models.loading import save_json

CALIBRATION = "calibration.json"


def write_temperature(
    folder: Path, temperature: float, *, interval: tuple[float | None, float | None], dev_rows: int
) -> None:
    """Write the temperature beside a model's weights.

    Args:
        folder: the model's, or its adapter's.
        temperature: logits are divided by it.
        interval: its 95% interval over dev rows.
        dev_rows: how many it was fitted on.
    """
    low, high = interval
    content = {"temperature": temperature, "low": low, "high": high, "dev_rows": dev_rows}
    save_json(folder / CALIBRATION, content)


def read_temperature(folder: Path) -> float:
    """Return the temperature beside a model's weights, 1 where there is none.

    Raises:
        ModelError: the file is there and holds none.
    """
    path = folder / CALIBRATION
    if not path.is_file():
        return 1.0
    try:
        temperature = float(json.loads(path.read_text(encoding="utf-8"))["temperature"])
    except (OSError, ValueError, TypeError, LookupError) as error:
        raise ModelError(_unreadable(path, repr(error))) from error
    if not (math.isfinite(temperature) and temperature > 0):
        raise ModelError(_unreadable(path, f"it says {temperature}"))
    return temperature


def _unreadable(path: Path, why: str) -> str:
    return (
        f'{path} must hold {{"temperature": a number above 0}} ({why}); delete the file to use the model '
        "without a temperature"
    )
