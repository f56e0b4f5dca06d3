"""Both tasks' scorers: values, intervals and comparisons on shared resamples, and what the verdict says."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from nlp_transfer.evaluation import translation_scores
from nlp_transfer.evaluation.compare import number_groups, verdict
from nlp_transfer.evaluation.intervals import NoiseInterval, bootstrap_weights, mcnemar_p
from nlp_transfer.evaluation.predictions import read_translations, write_translations
from nlp_transfer.evaluation.scorers import (
    ASSUMED_CHRF_SEED_SPREAD,
    assumed_accuracy_spread,
    classification_scorer,
    translation_scorer,
)
from nlp_transfer.evaluation.scores import resampled_scores

SOME = "gardar abrir ficheiro carpeta imaxe nova erro de o a na non se puido eliminar mensaxe"
WORDS = SOME.split()


def sentences(rows: int, seed: int) -> list[str]:
    generator = np.random.default_rng(seed)
    return [" ".join(generator.choice(WORDS, size=generator.integers(3, 9))) for _ in range(rows)]


def with_errors(texts: list[str], share: float, seed: int) -> list[str]:
    """Replace this share of the words."""
    generator = np.random.default_rng(seed)
    return [
        " ".join("erro" if generator.random() < share else word for word in text.split()) for text in texts
    ]


REFERENCES = sentences(80, seed=0)
GOOD = [with_errors(REFERENCES, 0.1, seed=seed) for seed in (1, 2, 3)]
BAD = [with_errors(REFERENCES, 0.6, seed=seed) for seed in (4, 5, 6)]
COPY = [sentences(80, seed=7)]


@pytest.fixture(scope="module")
def translations():
    return translation_scorer(REFERENCES, resamples=200, tgt_lang="gl")


def chrf(hypotheses):
    return translation_scores.translation_scores(hypotheses, REFERENCES)["chrf++"]


def test_a_translation_system_has_the_mean_over_its_seeds_with_interval_and_n(translations):
    found = translations.scores(GOOD)
    assert list(found) == ["chrf++", "bleu", "ter"]
    for metric, entry in found.items():
        each = [translation_scores.translation_scores(texts, REFERENCES)[metric] for texts in GOOD]
        assert entry["value"] == pytest.approx(np.mean(each))
        assert entry["low"] < entry["value"] < entry["high"]
        assert entry["n"] == 80
    assert translations.seed_values(GOOD) == pytest.approx([chrf(texts) for texts in GOOD])


def test_translations_are_compared_on_the_same_resamples(translations):
    entries = translations.compare(GOOD, BAD, names=("adapted", "scratch"), domain="target")
    assert [entry["metric"] for entry in entries] == ["chrf++", "bleu"]
    first = entries[0]
    expected = np.mean([chrf(good) - chrf(bad) for good, bad in zip(GOOD, BAD, strict=True)])
    assert first["difference"] == pytest.approx(expected)
    assert 0 < first["low"] < first["difference"] < first["high"]
    assert first["p"] == pytest.approx(2 / 201)
    assert "mcnemar_p" not in first
    # Paired: the interval of a system against itself has no width, whatever each one's own is.
    itself = translations.compare(GOOD, GOOD, names=("adapted", "adapted"), domain="target")[0]
    assert (itself["difference"], itself["low"], itself["high"], itself["p"]) == (0, 0, 0, 1)


def test_one_prediction_stands_for_every_seed(translations):
    entry = translations.compare(GOOD, COPY, names=("adapted", "copy"), domain="target")[0]
    assert entry["difference"] == pytest.approx(np.mean([chrf(texts) for texts in GOOD]) - chrf(COPY[0]))
    noise = translations.noise(GOOD, COPY, assumed_seed_spread=ASSUMED_CHRF_SEED_SPREAD)
    repeated = translations.noise(GOOD, COPY * 3, assumed_seed_spread=ASSUMED_CHRF_SEED_SPREAD)
    assert noise == repeated
    assert noise.seed_noise == "measured"
    assert translations.seed_values(COPY) == pytest.approx([chrf(COPY[0])])


def test_with_one_seed_the_assumed_spread_of_two_systems_is_added(translations):
    assumed = 40.0
    noise = translations.noise(GOOD[:1], BAD[:1], assumed_seed_spread=assumed)
    narrow = translations.noise(GOOD[:1], BAD[:1], assumed_seed_spread=0.0)
    entry = translations.compare(GOOD[:1], BAD[:1], names=("a", "b"), domain="target")[0]
    assert noise.seed_noise == "assumed"
    assert noise.difference == pytest.approx(entry["difference"])
    # Without an assumption the seeds are taken to vary as the rows: sqrt(3) row spreads.
    row_variance = ((narrow.high - narrow.difference) / 1.959964) ** 2 / 3
    assert noise.high - noise.difference == pytest.approx(
        1.959964 * math.sqrt(row_variance + 2 * assumed**2), rel=1e-5
    )


def test_rows_of_a_prediction_are_counted_once(monkeypatch):
    counted = []
    real = translation_scores.sentence_statistics

    def counting(hypotheses, references, **settings):
        counted.append(hypotheses)
        return real(hypotheses, references, **settings)

    monkeypatch.setattr(translation_scores, "sentence_statistics", counting)
    scorer = translation_scorer(REFERENCES, resamples=100)
    scorer.scores(GOOD)
    scorer.compare(GOOD, COPY, names=("adapted", "copy"), domain="target")
    scorer.noise(GOOD, COPY * 3, assumed_seed_spread=1.0)
    assert counted == [*GOOD, *COPY]


def test_whole_groups_of_translations_are_drawn():
    groups = [f"document {row // 20}" for row in range(80)]
    scorer = translation_scorer(REFERENCES, groups=groups, resamples=100)
    assert (scorer.weights == bootstrap_weights(80, resamples=100, seed=0, groups=np.arange(80) // 20)).all()


def classified(skill, seed, rows=150):
    generator = np.random.default_rng(seed)
    logits = generator.normal(size=(rows, 3))
    logits[np.arange(rows), LABELS[:rows]] += skill
    return np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)


LABELS = np.random.default_rng(0).integers(3, size=150)


def test_classifications_are_compared_with_mcnemar_too():
    scorer = classification_scorer(LABELS, groups=None, resamples=200)
    first, second = [classified(2.0, 1), classified(2.0, 2)], [classified(0.5, 3), classified(0.5, 4)]
    entries = scorer.compare(first, second, names=("adapted", "probe"), domain="source")
    assert [(entry["metric"], "mcnemar_p" in entry) for entry in entries] == [
        ("accuracy", True), ("macro_f1", False),
    ]  # fmt: skip
    right = [each[0].argmax(axis=1) == LABELS for each in (first, second)]
    assert entries[0]["mcnemar_p"] == mcnemar_p(right[0], right[1])
    accuracy = [[(each.argmax(axis=1) == LABELS).mean() for each in system] for system in (first, second)]
    assert entries[0]["difference"] == pytest.approx(np.mean(accuracy[0]) - np.mean(accuracy[1]))
    assert scorer.seed_values(first) == pytest.approx(accuracy[0])
    found = scorer.scores(first)
    assert list(found) == [
        "accuracy", "macro_f1", "matthews_correlation", "expected_calibration_error"
    ]  # fmt: skip
    resampled = [resampled_scores(each, LABELS.tolist(), scorer.weights)["accuracy"] for each in first]
    assert found["accuracy"]["low"] == pytest.approx(np.quantile(np.mean(resampled, axis=0), 0.025))


def test_a_perfect_score_on_few_rows_is_not_certain():
    labels = np.array([0, 1] * 4)
    right = np.stack([1 - labels, labels], axis=1) * 0.8 + 0.1
    scored = classification_scorer(labels, groups=None, resamples=100).scores([right])["accuracy"]
    assert scored["value"] == scored["high"] == 1
    assert scored["low"] == pytest.approx(8 / (8 + 1.96**2), abs=1e-3)  # Wilson 1927
    in_groups = classification_scorer(labels, groups=list("aabbccdd"), resamples=100).scores([right])[
        "accuracy"
    ]
    assert in_groups["low"] == pytest.approx(4 / (4 + 1.96**2), abs=1e-3)


@pytest.mark.parametrize(("rows", "expected"), [(0, 0.2), (1, 0.2), (16, 0.05), (1024, 0.00625)])
def test_few_labels_are_assumed_to_vary_more(rows, expected):
    assert assumed_accuracy_spread(rows) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("noise", "metric", "seeds", "transfer", "sentence"),
    [
        (
            NoiseInterval(0.033, 0.012, 0.054, "measured"), "accuracy", 3, "helped",
            "Transfer helped: adapted is 3.3 points of accuracy above target_only "
            "(95% interval +1.2 to +5.4, over 3 seeds).",
        ),
        (
            NoiseInterval(2.31, 0.4, 4.2, "assumed"), "chrf++", 1, "helped",
            "Transfer helped: adapted is 2.3 chrF++ above target_only "
            "(95% interval +0.4 to +4.2, seed noise assumed: set evaluation.seeds to measure it).",
        ),
        (
            NoiseInterval(-1.26, -2.0, -0.5, "measured"), "chrf++", 5, "harmed",
            "Transfer harmed: adapted is 1.3 chrF++ below target_only "
            "(95% interval -2.0 to -0.5, over 5 seeds).",
        ),
        (
            NoiseInterval(0.0, -0.01, 0.01, "measured"), "accuracy", 2, "no_evidence",
            "No evidence that transfer helped or harmed: adapted is 0.0 points of accuracy above target_only "
            "(95% interval -1.0 to +1.0, over 2 seeds).",
        ),
    ],
)  # fmt: skip
def test_the_verdict_says_the_difference_in_the_metrics_own_unit(noise, metric, seeds, transfer, sentence):
    found = verdict(noise, metric=metric, against="target_only", seeds=seeds)
    assert (found["transfer"], found["sentence"]) == (transfer, sentence)
    assert (found["difference"], found["low"], found["high"]) == (noise.difference, noise.low, noise.high)


def test_what_was_not_run_is_not_measured():
    assert verdict(None, metric="chrf++", against="scratch", seeds=1, why_not="scratch was not run") == {
        "transfer": "not_measured",
        "against": "scratch",
        "sentence": "Whether transfer helped was not measured: scratch was not run.",
    }


def test_groups_are_numbered_as_they_come():
    assert number_groups(["b", "a", "b", "c"]).tolist() == [0, 1, 0, 2]
    assert number_groups(None) is None


ODD = ["", "two\nlines\r\u2028", 'quotes " and \\ud800', "half \ud800 and \udfff", "Ćwierć 👩\u200d🔧", " "]


def test_translations_read_back_the_same(tmp_path):
    path = tmp_path / "adapted.target.jsonl"
    ids = [f"row {number}" for number in range(len(ODD))]
    write_translations(path, ids, ODD)
    assert read_translations(path) == ODD
    lines = path.read_text(encoding="utf-8").splitlines(keepends=False)
    assert json.loads(path.read_bytes().split(b"\n")[4]) == {"id": "row 4", "translation": ODD[4]}
    assert "Ćwierć" in lines[-2], "readable as it is"


def test_each_translation_needs_its_id(tmp_path):
    with pytest.raises(ValueError, match="zip"):
        write_translations(tmp_path / "x.jsonl", ["0"], ["a", "b"])
    assert not (tmp_path / "x.jsonl").exists()
