"""The diagnostics of a whole translation run, on made-up runs whose faults are known; and what a model says
of pairs and of sources, held against the library's own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_translation import CODES, FAMILIES, easy_pairs, english

from nlp_transfer.data.pairs import NO_PAIRS, PairDomain, Pairs, TransferPairs
from nlp_transfer.diagnostics.samples import TextSample
from nlp_transfer.diagnostics.translation_run import (
    NO_STATES,
    OTHER_LANGUAGES,
    FinishedTranslations,
    PairLosses,
    run_diagnostics,
)
from nlp_transfer.evaluation.translation_scores import chrf_statistics
from nlp_transfer.evidence_files import read_losses, write_losses
from nlp_transfer.findings import Finding
from nlp_transfer.models.encoder_states import source_states
from nlp_transfer.models.translation import load_translator
from nlp_transfer.training.fit_translation import IGNORED, EncodedPairs, PairCollator
from nlp_transfer.training.pair_losses import pair_losses

TinyTranslator = Callable[..., Path]
ROWS = 60


def parted(name: str, *, lang: str, src: str = "en") -> PairDomain:
    pairs = easy_pairs(5 * ROWS, lang=lang, seed=3, src=src)
    train, dev, test = (pairs.take(range(first, first + ROWS)) for first in (0, ROWS, 2 * ROWS))
    return PairDomain(name, [(src, lang)], train=train, dev=dev, test=test, card=None)


def written(pairs: Pairs, *, right: float) -> list[str]:
    """Translate this share of the pairs rightly, and the others with no letter in common."""
    return [text if row < right * len(pairs) else "XYZ" for row, text in enumerate(pairs.targets)]


def counted(pairs: Pairs, *, right: float) -> Any:
    return chrf_statistics(written(pairs, right=right), pairs.targets)


def by_id(pairs: Pairs, *, right: float) -> dict[str, str]:
    return dict(zip(pairs.ids, written(pairs, right=right), strict=True))


def finished(*, source: bool = True, **given: Any) -> FinishedTranslations:
    """A run whose adapted model is right on 80% of the target and 60% of the source, its start on 50% and
    100%.
    """
    target, parent = parted("target", lang="gl"), parted("source", lang="es") if source else None
    counts = {
        "target": {
            system: counted(target.test, right=right)
            for system, right in (("zero_shot", 0.5), ("scratch", 0.4), ("adapted", 0.8))
        }
    }
    if parent is not None:
        counts["source"] = {
            "zero_shot": counted(parent.test, right=1.0),
            "adapted": counted(parent.test, right=0.6),
        }
    return FinishedTranslations(TransferPairs(target, parent), counts=counts, **given)


def by_name(run: FinishedTranslations) -> dict[str, Finding]:
    return {finding.check: finding for finding in run_diagnostics(run)}


def test_the_gap_to_the_source_stands_before_and_after_and_never_warns() -> None:
    gap = by_name(finished())["domain_gap"]
    assert gap.value == pytest.approx(-20, abs=6)
    assert (gap.severity, gap.threshold) == ("info", None)
    assert "chrF++ on the source minus on the target, in points of chrF++: before" in gap.evidence
    assert "domain_gap" not in by_name(finished(source=False))


@pytest.mark.parametrize(("difference", "severity"), [(12.0, "info"), (-12.0, "warn")])
def test_worse_than_from_random_weights_is_negative_transfer(difference: float, severity: str) -> None:
    verdict = {
        "against": "scratch", "difference": difference, "low": difference - 2, "high": difference + 2,
        "seed_noise": "assumed",
    }  # fmt: skip
    found = by_name(finished(verdict=verdict))["negative_transfer"]
    assert (found.value, found.severity) == (-difference, severity)
    assert "errors (100 - chrF++) on the target of adapted minus those of scratch" in found.evidence
    assert f"{-difference:+.1f} (95% interval {-difference - 2:+.1f} to" in found.evidence
    assert "negative_transfer" not in by_name(finished())


def test_the_order_over_seeds_takes_five_of_them() -> None:
    better = {"adapted": [50.0, 51.0, 52.0, 50.5, 51.5], "scratch": [30.0, 31.0, 30.5, 29.0, 30.0]}
    found = by_name(finished(per_seed=better))["stochastic_order_adapted_scratch"]
    assert found.value == 0 and "adapted is almost stochastically better than scratch" in found.evidence
    few = by_name(finished(per_seed={name: scores[:4] for name, scores in better.items()}))
    assert few["stochastic_order_adapted_scratch"].value is None
    assert "stochastic_order_adapted_scratch" not in by_name(finished(per_seed={"adapted": [50.0] * 5}))


def test_learnt_and_dev_pairs_are_held_against_test_pairs_and_dev_pairs_against_each_other() -> None:
    run = finished()
    target, source = run.data.target, run.data.source
    assert source is not None
    found = by_name(
        dataclasses.replace(
            run,
            learnt=by_id(target.train, right=1.0),
            dev=by_id(target.dev, right=0.8),
            source_dev=by_id(source.dev, right=0.5),
        )
    )
    learnt = found["generalisation_train_test"]
    assert learnt.value == pytest.approx(20, abs=6)
    assert learnt.threshold == 20.0
    assert found["generalisation_dev_test"].value == pytest.approx(0, abs=6)
    apart = found["generalisation_dev_source_dev"]
    assert apart.value == pytest.approx(30, abs=6)
    # Two languages' chrF++: however large, it informs.
    assert (apart.severity, apart.threshold) == ("info", None)


# Membership -----------------------------------------------------------------------------------------


def losses(adapted: Any, *, hard: Any = 0.0) -> PairLosses:
    """The start's losses are 2 nats a character and as much as the pairs are hard; so are the adapted's."""
    size = len(adapted)
    return PairLosses(adapted=np.asarray(adapted) + hard, zero_shot=np.full(size, 2.0) + hard)


def test_pairs_learnt_by_heart_are_told_by_their_losses_and_untouched_ones_are_not() -> None:
    generator = np.random.default_rng(0)
    unseen, hard = generator.normal(1.0, 0.1, size=200), generator.normal(0, 5, size=200)
    by_heart = by_name(
        finished(losses={"learnt": losses(unseen - 1, hard=hard), "test": losses(unseen, hard=hard[::-1])})
    )["membership_inference"]
    # How hard a pair is says nothing: the start finds it as hard.
    assert by_heart.value == 1.0 and by_heart.severity == "warn"
    assert "against zero_shot" in by_heart.evidence
    same = by_name(finished(losses={"learnt": losses(unseen), "test": losses(unseen)}))
    assert same["membership_inference"].value == pytest.approx(0.5)
    assert same["membership_inference"].severity == "info"


def test_without_a_trained_start_the_losses_stand_alone_and_too_long_pairs_are_left_out() -> None:
    learnt = np.append(np.random.default_rng(0).normal(0.5, 0.1, size=100), [np.nan] * 50)
    found = by_name(finished(losses={"learnt": PairLosses(learnt), "test": PairLosses(learnt + 1)}))[
        "membership_inference"
    ]
    assert found.value == 1.0
    assert "without a reference model" in found.evidence and "n = 100" in found.evidence
    assert "membership_inference" not in by_name(finished())


def test_few_pairs_have_no_membership_figure() -> None:
    few = losses(np.ones(29))
    found = by_name(finished(losses={"learnt": few, "test": losses(np.ones(300))}))["membership_inference"]
    assert found.value is None and "29 rows on the smaller side" in found.evidence


def test_losses_come_back_from_the_run_folder(tmp_path: Path) -> None:
    assert read_losses(tmp_path) == {}
    arrays: dict[str, Any] = {"learnt_adapted": [1.0, np.nan], "test_adapted": [3.0]}
    write_losses(tmp_path, arrays)
    found = read_losses(tmp_path)
    assert found["test"].adapted.tolist() == [3.0] and found["learnt"].zero_shot is None
    write_losses(tmp_path, {**arrays, "learnt_zero_shot": [4.0, 5.0], "test_zero_shot": [6.0]})
    assert np.asarray(read_losses(tmp_path)["learnt"].zero_shot).tolist() == [4.0, 5.0]


# Domains --------------------------------------------------------------------------------------------


def texts(rows: int, *, shift: float = 0.0, tokens: float = 6.0, seed: int = 0) -> TextSample:
    features = np.random.default_rng(seed).normal(shift, 1, size=(rows, 8))
    return TextSample(np.arange(rows).astype(str), features, np.full(rows, tokens), np.full(rows, 4))


@pytest.mark.parametrize(("shift", "apart"), [(0.0, False), (3.0, True)])
def test_domains_that_lie_apart_are_told_from_equal_ones(shift: float, apart: bool) -> None:
    samples = {"source": texts(1000), "target": texts(1000, shift=shift, tokens=12.0, seed=1)}
    found = by_name(finished(samples=samples))
    distance = found["domain_distance"]
    assert distance.value is not None and (distance.value > 1.9) == apart
    assert (distance.severity == "warn") == apart
    assert "random halves of one domain" in distance.evidence
    assert ("the domains differ" in found["two_sample_test"].evidence) == apart
    p = found["kernel_two_sample_test"].value
    assert p is not None and (p < 0.01) == apart
    assert found["tokens_per_word_of_domains"].value == pytest.approx(2.0)


def test_few_sources_have_no_distance() -> None:
    found = by_name(finished(samples={"source": texts(900), "target": texts(40, seed=1)}))
    assert found["domain_distance"].value is None
    assert "40 rows a side, at least 50" in found["domain_distance"].evidence


@pytest.mark.parametrize(("src", "why"), [("fr", OTHER_LANGUAGES), ("eng_Latn", NO_STATES)])
def test_what_stands_in_the_way_of_a_distance_is_said(src: str, why: str) -> None:
    run = finished()
    data = TransferPairs(run.data.target, parted("source", lang="es", src=src))
    found = by_name(dataclasses.replace(run, data=data))
    assert why in found["domain_distance"].evidence and found["domain_distance"].value is None
    assert (found["new_words"].value is None) == (why == OTHER_LANGUAGES)
    assert "domain_distance" not in by_name(finished(source=False))


# Models ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
def test_the_loss_of_a_pair_is_the_librarys_whatever_stands_beside_it(
    family: str, tiny_translator: TinyTranslator
) -> None:
    src, tgt, _ = CODES[family]
    loaded = load_translator(str(tiny_translator(family)))
    pairs = easy_pairs(40, src=src, tgt=tgt)
    pairs = pairs.joined(dataclasses.replace(pairs.take([0]), sources=["the"], targets=["lu"]))
    found = pair_losses(loaded, pairs, max_length_tokens=60)
    config = loaded.model.config
    collate = PairCollator(pad_id=config.pad_token_id, start_id=config.decoder_start_token_id)
    encoded = EncodedPairs(pairs, loaded, max_length_tokens=60)
    given = len(encoded[0]["prefix"])
    for row in (0, 40):
        batch = collate([encoded[row]])
        batch.pop("prefixes")
        batch["labels"][:, :given] = IGNORED
        with torch.inference_mode():
            whole = float(loaded.model(**batch).loss) * int(batch["labels"].ne(IGNORED).sum())
        assert found[row] == pytest.approx(whole / len(pairs.targets[row]), rel=1e-4)


def test_a_pair_that_is_too_long_has_no_loss_and_no_pairs_have_none(tiny_translator: TinyTranslator) -> None:
    loaded = load_translator(str(tiny_translator("marian")))
    pairs = easy_pairs(2).joined(dataclasses.replace(easy_pairs(1), sources=["the " * 80]))
    assert np.isnan(pair_losses(loaded, pairs, max_length_tokens=60)).tolist() == [False, False, True]
    assert pair_losses(loaded, NO_PAIRS, max_length_tokens=60).tolist() == []


def test_a_language_that_the_start_lacks_is_asked_for_as_the_related_one(
    tiny_translator: TinyTranslator,
) -> None:
    loaded = load_translator(str(tiny_translator("m2m_100")))
    asked = pair_losses(
        loaded, easy_pairs(8, src="en", tgt="mwl"), max_length_tokens=60, asked_as={"mwl": "pt"}
    )
    assert (
        asked.tolist()
        == pair_losses(loaded, easy_pairs(8, src="en", tgt="pt"), max_length_tokens=60).tolist()
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_states_are_the_mean_over_the_tokens_of_each_text_alone(
    family: str, tiny_translator: TinyTranslator
) -> None:
    src, tgt, _ = CODES[family]
    loaded = load_translator(str(tiny_translator(family)))
    sources = [*english(6), "the"]
    asked = {"src_lang": src, "tgt_lang": tgt}
    states, tokens = source_states(loaded, sources, **asked, max_length_tokens=60)
    for row, text in enumerate(sources):
        ids = torch.from_numpy(loaded.family.encode_sources([text], **asked)[0]).long()
        with torch.inference_mode():
            alone = loaded.model.get_encoder()(input_ids=ids[None]).last_hidden_state[0].mean(0)
        np.testing.assert_allclose(states[row], alone.numpy(), atol=2e-5)
    whole, _ = source_states(loaded, [" ".join(english(8))], **asked, max_length_tokens=9)
    assert whole.shape == (1, 32)
    assert tokens[-1] >= 1 and tokens[0] >= len(sources[0].split())
