"""Scores the systems that a translation run compares: one file of translations for each system and domain.

The processes of a run share the rows, and the main one writes. A system's cost is returned. Making the models
is left to making.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from nlp_transfer.data.pairs import PairDomain, Pairs
from nlp_transfer.evaluation.predictions import write_translations
from nlp_transfer.inference.translated_pairs import translate_pairs
from nlp_transfer.making.translators import TranslationMaker
from nlp_transfer.training.costs import Cost, measured
from nlp_transfer.training.processes import computed_on_main, is_main
from nlp_transfer.training.sharing import computed_in_shares

if TYPE_CHECKING:
    from nlp_transfer.inference.translator import Translator
    from nlp_transfer.training.adapt_translation import TrainedTranslator

# Scores a domain's pairs; None where a system has nothing to say about the domain.
Translate = Callable[[Pairs, str], list[str] | None]


class TranslationScorer:
    """Scores systems on both domains' test pairs, with the models of one maker."""

    def __init__(self, maker: TranslationMaker) -> None:
        self.maker = maker
        self.data = maker.data

    def score(self, system: str, folder: Path, *, kept: bool) -> Cost:
        """Write a system's translations of both domains' test sources; return what making it cost.

        Args:
            system: one of DESIGN's systems.
            folder: where the translations go.
            kept: whether `model/` is this seed's adapted model; otherwise it is made again, for its score
                alone.
        """
        adapted = self._kept if kept or not len(self.data.target.train) else self._adapted_again
        ways: dict[str, Callable[[Cost], Translate]] = {
            "copy": self._copy,
            "zero_shot": self._zero_shot,
            "scratch": self._scratch,
            "adapted": adapted,
        }
        domains: dict[str, PairDomain | None] = {"target": self.data.target, "source": self.data.source}
        with measured() as cost:
            translate = ways[system](cost)
        for name, domain in domains.items():
            if domain is None:
                continue
            translations = translate(domain.test, name)
            if translations is not None:
                path = folder / f"{system}.{name}.jsonl"
                computed_on_main(partial(write_pairs_translated, path, domain.test, translations))
        return cost

    def score_test_sets(self, system: str, pairs_of: Mapping[Path, Pairs]) -> None:
        """Write translations of other test sets, each into its file.

        Args:
            system: `adapted` is the kept model, `zero_shot` the one that adaptation started from.
            pairs_of: the pairs of each file.
        """
        from nlp_transfer.inference.translator import load_translation_model

        kept = system == "adapted"
        folder = str(self.maker.model_folder)
        translator = load_translation_model(folder) if kept else self.maker.translator()
        for path, pairs in pairs_of.items():
            translations = translate_in_shares(translator, pairs, label=f"score {system} on the chain")
            computed_on_main(partial(write_pairs_translated, path, pairs, translations))

    def _copy(self, cost: Cost) -> Translate:
        return lambda pairs, _: list(pairs.sources)

    def _zero_shot(self, cost: Cost) -> Translate:
        from nlp_transfer.source_models import source_seconds

        cost.seconds = source_seconds(self.maker.source_folder)
        return self._by(self.maker.translator(), "zero_shot", asked_as=self.maker.related())

    def _scratch(self, cost: Cost) -> Translate:
        translate = self._by(self._translator(self.maker.scratch(cost)), "scratch")
        # It never saw the source's languages.
        return lambda pairs, domain: translate(pairs, domain) if domain == "target" else None

    def _kept(self, cost: Cost) -> Translate:
        from nlp_transfer.inference.translator import load_translation_model

        return self._by(load_translation_model(str(self.maker.model_folder)), "adapted")

    def _adapted_again(self, cost: Cost) -> Translate:
        return self._by(self._translator(self.maker.adapt(cost)), "adapted")

    def _translator(self, trained: TrainedTranslator) -> Translator:
        from nlp_transfer.inference.devices import device
        from nlp_transfer.inference.translator import Translator

        trained.loaded.model.to(device())
        return Translator(
            trained.loaded,
            directions=self.data.target.directions,
            max_length_tokens=self.maker.settings.max_length_tokens,
            num_beams=self.maker.settings.num_beams,
            target_ratio=trained.target_ratio,
        )

    def _by(
        self, translator: Translator, system: str, *, asked_as: Mapping[str, str] | None = None
    ) -> Translate:
        return lambda pairs, domain: translate_in_shares(
            translator, pairs, label=f"score {system} on {domain}", asked_as=asked_as
        )


def write_pairs_translated(path: Path, pairs: Pairs, translations: list[str]) -> None:
    """Write the translations of pairs into a file, with its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_translations(path, pairs.ids, translations)


def translate_in_shares(
    translator: Translator, pairs: Pairs, *, label: str, asked_as: Mapping[str, str] | None = None
) -> list[str]:
    """Translate the sources of pairs, each process its share of them; see `translate_pairs`.

    The main process shows how far it is.
    """
    translate = partial(
        translate_pairs, translator, label=label if is_main() else None, asked_as=asked_as or {}
    )
    translations = [""] * len(pairs)
    lengths = [len(source) for source in pairs.sources]
    for rows, part in computed_in_shares(lengths, lambda rows: translate(pairs.take(rows))):
        for row, translation in zip(rows, part, strict=True):
            translations[row] = translation
    return translations
