"""Keeps what the diagnostics of a translation run look at, so that its report needs no model again.

Translations of learnt and of dev pairs stand in `predictions/` beside those of test pairs; the drift of the
weights and losses of pairs in `evidence/`, beside what domain_texts.py took before training. As evidence.py
does for classifiers.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nlp_transfer.data.pairs import Pairs
from nlp_transfer.diagnostics.forgetting import weight_drift
from nlp_transfer.evidence_files import sample, write_drift, write_losses, write_related
from nlp_transfer.making.translators import TranslationMaker
from nlp_transfer.training.processes import computed_on_main
from nlp_transfer.translation_systems import translate_in_shares, write_pairs_translated

if TYPE_CHECKING:
    from nlp_transfer.inference.translator import Translator

# Learnt pairs that are translated, and as many dev pairs of either domain: enough to see pairs learnt by
# heart, and few beside the test pairs.
MAX_LEARNT_PAIRS = 200
# Pairs a side whose losses are taken: an AUC of one half is known to 3.6 points then.
MAX_LOSS_PAIRS = 500


def keep_translation_evidence(maker: TranslationMaker, predictions: Path) -> dict[str, Any]:
    """Keep the related languages, translations and losses of pairs and the drift of the weights; return the
    seconds that each part took.

    Args:
        maker: of the first seed's models.
        predictions: the folder of that seed's predictions.
    """
    return {"seconds": _Keeper(maker, predictions, maker.related()).keep()}


class _Keeper:
    """Keeps one run's evidence, of the model before adaptation and the one after.

    Translations are shared over the processes; the main one does the rest, and writes.
    """

    def __init__(self, maker: TranslationMaker, predictions: Path, related: dict[str, str]) -> None:
        self.maker = maker
        self.data = maker.data
        self.predictions = predictions
        self.related = related
        self.seconds: dict[str, float] = {}

    def keep(self) -> dict[str, float]:
        """Keep all that the report looks at; return the seconds that each part took."""
        from nlp_transfer.inference.translator import load_translation_model

        computed_on_main(lambda: write_related(self.maker.folder, self.related))
        if not self.maker.learns():
            return self.seconds
        with self._timed("models"):
            start = self.maker.translator() if isinstance(self.maker.start()[0], str) else None
            adapted = load_translation_model(str(self.maker.model_folder))
        with self._timed("learnt rows"):
            self._keep_translations(adapted)
        with self._timed("losses"):
            computed_on_main(lambda: self._keep_losses(start, adapted))
        if start is not None:
            # Last: what is compared are the weights alone, wherever they lie.
            with self._timed("weights"):
                computed_on_main(lambda: self._keep_drift(start, adapted))
        return {part: round(taken, 4) for part, taken in self.seconds.items()}

    def _keep_translations(self, adapted: Translator) -> None:
        """Translate learnt pairs and dev pairs of the target, and dev pairs of the source beside these."""
        target, source = self.data.target, self.data.source
        sides = {"target_train": target.train, "target_dev": target.dev}
        if source is not None and len(target.dev):
            sides["source_dev"] = source.dev
        for name, pairs in sides.items():
            if len(pairs):
                self._translate(adapted, name, self._drawn(pairs, MAX_LEARNT_PAIRS))

    def _translate(self, adapted: Translator, name: str, drawn: Pairs) -> None:
        label = f"score adapted on {'learnt' if name == 'target_train' else 'dev'} pairs"
        written = translate_in_shares(adapted, drawn, label=label)
        path = self.predictions / f"adapted.{name}.jsonl"
        computed_on_main(lambda: write_pairs_translated(path, drawn, written))

    def _keep_losses(self, start: Translator | None, adapted: Translator) -> None:
        """Take the losses of learnt pairs and of test pairs, under the adapted model and the one before."""
        from nlp_transfer.training.pair_losses import pair_losses

        arrays: dict[str, Any] = {}
        for side, pairs in (("learnt", self.data.target.train), ("test", self.data.target.test)):
            drawn = self._drawn(pairs, MAX_LOSS_PAIRS)
            arrays[f"{side}_ids"] = np.asarray(drawn.ids)
            for system, translator in (("zero_shot", start), ("adapted", adapted)):
                if translator is not None:
                    arrays[f"{side}_{system}"] = pair_losses(
                        translator.loaded, drawn, max_length_tokens=self.maker.settings.max_length_tokens,
                        asked_as=self.related if system == "zero_shot" else None,
                    )  # fmt: skip
        write_losses(self.maker.folder, arrays)

    def _keep_drift(self, start: Translator, adapted: Translator) -> None:
        """Compare the adapted weights with those that adaptation started from."""
        before, after = (dict(each.loaded.model.named_parameters()) for each in (start, adapted))
        write_drift(self.maker.folder, weight_drift(before, after))

    def _drawn(self, pairs: Pairs, most: int) -> Pairs:
        return pairs.take(sample(len(pairs), most, seed=self.maker.seed))

    @contextmanager
    def _timed(self, part: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self.seconds[part] = time.perf_counter() - began
