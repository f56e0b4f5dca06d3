"""Scores the systems that a sentiment run compares: one file of predictions for each system and domain.

The processes of a run share the rows, and the main one writes. A system's cost is returned. Making the models
is left to making, comparing the scores to evaluation/compare.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from nlp_transfer.data.rows import Rows
from nlp_transfer.evaluation.predictions import write_predictions
from nlp_transfer.making.classifiers import ClassifierMaker
from nlp_transfer.training.costs import Cost, measured
from nlp_transfer.training.processes import computed_on_main, is_main
from nlp_transfer.training.sharing import scored_in_shares

if TYPE_CHECKING:
    from nlp_transfer.training.adapt import Trained
    from nlp_transfer.training.probing import FrozenProbe

Array = npt.NDArray[np.float64]


class SystemScorer:
    """Scores systems on both domains' test rows, with the models of one maker."""

    def __init__(self, maker: ClassifierMaker) -> None:
        self.maker = maker
        self.data = maker.data

    def score(self, system: str, folder: Path, *, kept: bool) -> Cost:
        """Write a system's predictions for both domains' test rows; return what making it cost.

        Args:
            system: one of DESIGN's systems.
            folder: where the predictions go.
            kept: whether `model/` is this seed's adapted model; otherwise it is made again, for its score
                alone.
        """
        ways: dict[str, Callable[[list[str], Cost], Array]] = {
            "majority": self._majority,
            "tfidf": self._tfidf,
            "probe": self._probe,
            "zero_shot": self._zero_shot,
            "target_only": self._target_only,
            "scratch": self._scratch,
            "adapted": self._kept if kept or not self.maker.learns() else self._adapted_again,
        }
        domains = {"target": self.data.target, "source": self.data.source}
        scored = {name: domain.test for name, domain in domains.items() if domain is not None}
        texts = [text for rows in scored.values() for text in rows.texts]
        with measured() as cost:
            probabilities = ways[system](texts, cost)
        files = {folder / f"{system}.{name}.jsonl": rows for name, rows in scored.items()}
        computed_on_main(lambda: self._write(files, probabilities))
        return cost

    def score_test_sets(self, system: str, rows_of: Mapping[Path, Rows]) -> None:
        """Write predictions for other test sets, each into its file.

        Args:
            system: `adapted` is the kept model, `zero_shot` the one that adaptation started from.
            rows_of: the rows of each file.
        """
        start = (str(self.maker.model_folder), None) if system == "adapted" else self.maker.start()
        texts = [text for rows in rows_of.values() for text in rows.texts]
        probabilities = self._predict(
            start[0], texts, label=f"score {system} on the chain", revision=start[1]
        )
        computed_on_main(lambda: self._write(rows_of, probabilities))

    def _write(self, rows_of: Mapping[Path, Rows], probabilities: Array) -> None:
        """Write the predictions for each file's rows, which stand one file after the other."""
        first = 0
        for path, rows in rows_of.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            part = probabilities[first : first + len(rows)]
            write_predictions(path, rows, part, self.data.label_names)
            first += len(rows)

    def _majority(self, texts: list[str], cost: Cost) -> Array:
        from nlp_transfer.training.baselines import majority

        target = self.data.target.selection
        rows = target if len(target) else self.data.training_rows()
        return majority(rows, texts, classes=len(self.data.label_names))

    def _tfidf(self, texts: list[str], cost: Cost) -> Array:
        from nlp_transfer.training.baselines import tfidf

        classes = len(self.data.label_names)
        # Fitting takes longer than scoring, and cannot be shared.
        return computed_on_main(lambda: tfidf(self.data.training_rows(), texts, classes=classes))

    def _probe(self, texts: list[str], cost: Cost) -> Array:
        probe = self.maker.probes.fit(self.maker.settings.model_path, cost)
        return self._probe_probabilities(probe, texts)

    def _zero_shot(self, texts: list[str], cost: Cost) -> Array:
        cost.seconds = self.maker.source_seconds()
        start, revision = self.maker.start()
        return self._predict(start, texts, label="score zero_shot", revision=revision)

    def _target_only(self, texts: list[str], cost: Cost) -> Array:
        trained = self.maker.without_source("target_only", cost, pretrained=True)
        return self._predict_with(trained, texts, label="score target_only")

    def _scratch(self, texts: list[str], cost: Cost) -> Array:
        trained = self.maker.without_source("scratch", cost, pretrained=False)
        return self._predict_with(trained, texts, label="score scratch")

    def _kept(self, texts: list[str], cost: Cost) -> Array:
        return self._predict(str(self.maker.model_folder), texts, label="score adapted")

    def _adapted_again(self, texts: list[str], cost: Cost) -> Array:
        if self.maker.settings.adaptation.method == "probe":
            return self._probe_probabilities(self.maker.fit_adapted_probe(cost), texts)
        return self._predict_with(self.maker.adapt(cost), texts, label="score adapted")

    def _probe_probabilities(self, probe: FrozenProbe, texts: list[str]) -> Array:
        return self._shared(probe.logits, texts, label="encode")

    def _predict(self, path: str, texts: list[str], *, label: str, revision: str | None = None) -> Array:
        """Score texts with a saved model, without its temperature: no other system has one."""
        from nlp_transfer.inference.load import load_adapted

        return self._shared(load_adapted(path, revision=revision, cached=True).logits, texts, label=label)

    def _predict_with(self, trained: Trained, texts: list[str], *, label: str) -> Array:
        from nlp_transfer.inference.predict import predict_logits

        limit = self.maker.settings.max_length_tokens
        logits = partial(predict_logits, trained.model, trained.tokenizer, max_length_tokens=limit)
        return self._shared(logits, texts, label=label)

    def _shared(self, logits: Callable[..., Array], texts: list[str], *, label: str) -> Array:
        """Score texts, each process its share of them; the main one shows how far it is."""
        from nlp_transfer.inference.predict import softmax

        score = partial(logits, label=label if is_main() else None)
        return softmax(scored_in_shares(texts, score, classes=len(self.data.label_names)))
