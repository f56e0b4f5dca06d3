"""Keeps what the diagnostics of a sentiment run look at, so that its report needs no model again.

Probabilities of learnt and of dev rows stand in `predictions/` beside those of test rows; the drift of the
weights in `evidence/`, beside what domain_texts.py took before training. What the diagnostics make of them is
sentiment_run.py's.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nlp_transfer.data.rows import Rows
from nlp_transfer.diagnostics.estimates import Estimate
from nlp_transfer.diagnostics.forgetting import weight_drift
from nlp_transfer.diagnostics.temperature import carried_temperature
from nlp_transfer.evaluation.compare import number_groups
from nlp_transfer.evaluation.predictions import write_predictions
from nlp_transfer.evidence_files import (
    read_temperature_fit,
    sample,
    source_set_aside,
    write_drift,
    write_temperature_fit,
)
from nlp_transfer.making.classifiers import ClassifierMaker
from nlp_transfer.models.calibration import write_temperature
from nlp_transfer.training.processes import computed_on_main, is_main
from nlp_transfer.training.sharing import scored_in_shares

# Learnt rows that are scored again: 1% false positives of the test rows decide the rest.
MAX_LEARNT_ROWS = 2_000
# Source dev rows that are scored: their accuracy is known to 3 points then.
MAX_SOURCE_DEV_ROWS = 1_000
WEIGHTS_MOVE = ("full", "lora", "lp_ft")


class EvidenceKeeper:
    """Keeps one run's evidence, of its first seed's models.

    Args:
        maker: of the models.
        predictions: the folder of that seed's predictions.
    """

    def __init__(self, maker: ClassifierMaker, predictions: Path) -> None:
        self.maker = maker
        self.data = maker.data
        self.predictions = predictions
        self.seconds: dict[str, float] = {}

    def calibrate(self) -> None:
        """Score the dev rows with the adapted model, and give it the temperature that fits them.

        Where there are too few of them, or they do not show that it helps, it gets none, and the report says
        so.
        """
        with self._timed("temperature"):
            rows, logits = self.maker.unlearnt_dev(), np.empty((0, len(self.data.label_names)))
            if len(rows):
                logits = self._logits("adapted", rows.texts, what="dev rows")
                self._write("adapted", "dev", rows, logits)
            computed_on_main(lambda: self._fit_temperature(rows, logits))

    def keep(self, systems: Sequence[str]) -> dict[str, Any]:
        """Keep all that the report looks at; return the seconds that each part took.

        Args:
            systems: the scored ones.
        """
        if computed_on_main(lambda: read_temperature_fit(self.maker.folder) is None):
            self.calibrate()
        with self._timed("learnt rows"):
            self._keep_learnt([name for name in ("zero_shot", "adapted") if name in systems])
        with self._timed("source dev rows"):
            self._keep_source_dev()
        with self._timed("weights"):
            computed_on_main(self._keep_drift)
        return {"seconds": {part: round(taken, 4) for part, taken in self.seconds.items()}}

    def _fit_temperature(self, rows: Rows, logits: npt.NDArray[np.float64]) -> None:
        temperature = carried_temperature(logits, rows.labels, groups=number_groups(rows.groups))
        self._give(temperature.temperature)
        write_temperature_fit(self.maker.folder, temperature)

    def _give(self, temperature: Estimate) -> None:
        """Write the temperature beside the model, and beside its adapter where there is one."""
        if temperature.value is None:
            return
        for folder in (self.maker.model_folder, self.maker.folder / "adapter"):
            if folder.is_dir():
                write_temperature(
                    folder, temperature.value,
                    interval=(temperature.low, temperature.high), dev_rows=temperature.n,
                )  # fmt: skip

    def _keep_learnt(self, systems: Sequence[str]) -> None:
        train = self.data.target.train
        drawn = train.take(sample(len(train), MAX_LEARNT_ROWS, seed=self.maker.seed))
        for system in systems if len(drawn) else ():
            self._write(system, "train", drawn, self._logits(system, drawn.texts, what="learnt rows"))

    def _keep_source_dev(self) -> None:
        """Score dev rows of the source with the adapted model, where both domains have such rows."""
        source = self.data.source
        if source is None or not len(source.dev) or not len(self.maker.unlearnt_dev()):
            return
        drawn = source.dev.take(sample(len(source.dev), MAX_SOURCE_DEV_ROWS, seed=self.maker.seed))
        logits = self._logits("adapted", drawn.texts, what="source dev rows")
        self._write("adapted", "dev", drawn, logits, domain="source")

    def _keep_drift(self) -> None:
        """Compare the adapted weights with those that adaptation started from."""
        settings = self.maker.settings
        if settings.adaptation.method not in WEIGHTS_MOVE or not len(self.data.target.train):
            return
        from nlp_transfer.models.loading import load_classifier

        start, revision = self.maker.start()
        if source_set_aside(self.maker.folder):
            start, revision = self.maker.settings.model_path, self.maker.settings.revision
        before = load_classifier(start, label_names=self.data.label_names, revision=revision)
        after = load_classifier(str(self.maker.model_folder), label_names=self.data.label_names)
        # A head that started at random has no start to be held against.
        known = {name: tensor for name, tensor in before.model.named_parameters() if name not in before.fresh}
        write_drift(self.maker.folder, weight_drift(known, dict(after.model.named_parameters())))

    def _logits(self, system: str, texts: Sequence[str], *, what: str) -> npt.NDArray[np.float64]:
        """Score texts, each process its share of them."""
        from nlp_transfer.inference.load import load_adapted

        start, revision = (str(self.maker.model_folder), None) if system == "adapted" else self.maker.start()
        scorer = load_adapted(start, revision=revision, cached=True)
        score = partial(scorer.logits, label=f"score {system} on {what}" if is_main() else None)
        return scored_in_shares(texts, score, classes=len(self.data.label_names))

    def _write(
        self, system: str, split: str, rows: Rows, logits: npt.NDArray[np.float64], *, domain: str = "target"
    ) -> None:
        from nlp_transfer.inference.predict import softmax

        path = self.predictions / f"{system}.{domain}_{split}.jsonl"

        def write() -> None:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_predictions(path, rows, softmax(logits), self.data.label_names)

        computed_on_main(write)

    @contextmanager
    def _timed(self, part: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self.seconds[part] = time.perf_counter() - began
