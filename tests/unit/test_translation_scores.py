"""Scores of translations against sacrebleu itself, published examples and hand-counted cases."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from sacrebleu.metrics import BLEU, CHRF, TER

from nlp_transfer.errors import DataError
from nlp_transfer.evaluation import sacrebleu_metrics
from nlp_transfer.evaluation.intervals import bootstrap_weights
from nlp_transfer.evaluation.sacrebleu_metrics import tokenizer_of
from nlp_transfer.evaluation.scores import load_metric
from nlp_transfer.evaluation.translation_scores import (
    METRICS,
    chrf_of_counts,
    metric_signatures,
    resampled_scores,
    sentence_chrf,
    sentence_statistics,
    translation_scores,
    worst_rows,
)

REFERENCES = [
    "Gardar o ficheiro na carpeta de imaxes.",
    "Non se puido abrir «%s»: non existe o ficheiro",
    "Cancelar",
    "Queres eliminar as {0} mensaxes seleccionadas?",
    "O contrasinal non é correcto (inténtao de novo)",
]
HYPOTHESES = [
    "Gardar o ficheiro na carpeta das imaxes.",
    "Non foi posible abrir «%s»: o ficheiro non existe",
    "Cancelar",
    "Eliminar as {0} mensaxes?",
    "",
]
CASES = {
    "some right, one empty": (HYPOTHESES, REFERENCES),
    "all the same": (REFERENCES, REFERENCES),
    "all empty": ([""] * 5, REFERENCES),
    "empty references": (HYPOTHESES, ["", "", "Cancelar", "", ""]),
    "both sides empty": (["", " "], ["", ""]),
    "only references empty": (["Abrir o ficheiro", ""], ["", ""]),
    "nothing shared": (["xxx yyy", "zz"], ["Cancelar agora", "Abrir"]),
    "short: no 4-gram, BLEU is 0": (["Abrir", "Cancelar"], ["Abrir", "Cancela"]),
    "one 4-gram, BLEU is smoothed": (["o a e ou Abrir"], ["o a i ou Abrir"]),
    "BLEU is smoothed twice": (["o a ben ou mal xa"], ["o a mal ou ben xa"]),
    "shorter than the reference": (["Gardar o ficheiro na carpeta"], [REFERENCES[0]]),
    "one letter": (["a"], ["a"]),
    "words only by punctuation": (["(hi) , ... !"], ["(hi), ...!"]),
    "line breaks and spaces": (["Abrir\no  ficheiro\t ", "x "], ["Abrir o ficheiro", " x"]),
}


def by_sacrebleu(hypotheses, references):
    return {
        "chrf++": CHRF(word_order=2).corpus_score(hypotheses, [references]).score,
        "bleu": BLEU(force=True).corpus_score(hypotheses, [references]).score,
        "ter": TER().corpus_score(hypotheses, [references]).score,
    }


@pytest.mark.parametrize("case", CASES)
def test_the_bundled_metrics_give_sacrebleus_scores(case):
    assert translation_scores(*CASES[case]) == by_sacrebleu(*CASES[case])


@pytest.mark.parametrize("case", CASES)
def test_uniform_weights_give_the_plain_scores(case):
    hypotheses, references = CASES[case]
    rows = len(references)
    statistics = sentence_statistics(hypotheses, references)
    expected = by_sacrebleu(hypotheses, references)
    for weights in (np.full((2, rows), 1 / rows), np.ones((2, rows))):
        resampled = resampled_scores(statistics, weights)
        assert list(resampled) == list(METRICS)
        for name in METRICS:
            assert resampled[name] == pytest.approx([expected[name]] * 2, abs=1e-9), name


@pytest.mark.parametrize("case", CASES)
def test_a_row_of_weight_two_counts_as_two_rows(case):
    hypotheses, references = CASES[case]
    rows = len(references)
    statistics = sentence_statistics(hypotheses, references)
    drawn = bootstrap_weights(rows, resamples=40, seed=3)
    for multiplicities in (drawn * rows, drawn):
        resampled = resampled_scores(statistics, multiplicities)
        for draw, line in enumerate(drawn):
            chosen = np.repeat(np.arange(rows), np.rint(line * rows).astype(int))
            expected = by_sacrebleu([hypotheses[row] for row in chosen], [references[row] for row in chosen])
            for name in METRICS:
                assert resampled[name][draw] == pytest.approx(expected[name], abs=1e-9), (name, chosen)


def test_scores_have_their_hand_counted_values():
    # "a b c d" for "a b d c": letters 4/4; pairs ab, bc, cd against ab, bd, dc: 1/3; longer ones: 0.
    # Words 4/4, pairs of words 1/3: precision and recall are both (1 + 1/3 + 0 + 0 + 1 + 1/3) / 6.
    # BLEU: 4/4, 1/3, then 1/2 of 2 and 1/4 of 1. TER: one shift of four words.
    found = translation_scores(["a b c d"], ["a b d c"])
    assert found["chrf++"] == pytest.approx(100 * (8 / 3) / 6)
    assert found["bleu"] == pytest.approx(100 * (1 * 1 / 3 * 1 / 4 * 1 / 4) ** (1 / 4))
    assert found["ter"] == pytest.approx(25.0)


def test_chrf_weighs_recall_four_times():
    # Half the letters, all of them right: precision 1, recall 1/2 in the one order that there is.
    counts = np.zeros(24)
    counts[:3] = [2, 4, 2]
    assert chrf_of_counts(counts) == pytest.approx(100 * 5 * 1 * 0.5 / (4 * 1 + 0.5))


def test_sentence_chrf_equals_sacrebleus_sentence_score():
    expected = [
        CHRF(word_order=2).sentence_score(hypothesis, [reference]).score
        for hypothesis, reference in zip(HYPOTHESES, REFERENCES, strict=True)
    ]
    assert sentence_chrf(HYPOTHESES, REFERENCES) == pytest.approx(expected, abs=1e-9)


def test_worst_rows_come_from_the_lowest_up():
    rows = worst_rows(list("vwxyz"), ["s"] * 5, REFERENCES, HYPOTHESES, most=3)
    assert [row["id"] for row in rows] == ["z", "y", "w"]
    assert rows[0] == {
        "id": "z", "chrf++": 0.0, "source": "s", "reference": REFERENCES[4], "translation": ""
    }  # fmt: skip
    assert [row["chrf++"] for row in rows] == sorted(row["chrf++"] for row in rows)


@pytest.mark.parametrize("name", ["chrf", "bleu", "ter"])
def test_a_module_returns_its_score_with_its_signature(name):
    computed = load_metric(name).compute(predictions=HYPOTHESES, references=REFERENCES)
    key = {"chrf": "chrf++"}.get(name, name)
    assert computed["score"] == by_sacrebleu(HYPOTHESES, REFERENCES)[key]
    assert computed["signature"] == metric_signatures()[key]


def test_signatures_are_sacrebleus():
    found = metric_signatures("gl")
    version = found["ter"].rpartition(":")[2]
    assert found == {
        "chrf++": f"nrefs:1|case:mixed|eff:yes|nc:6|nw:2|space:no|version:{version}",
        "bleu": f"nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:{version}",
        "ter": f"nrefs:1|case:lc|tok:tercom|norm:no|punct:yes|asian:no|version:{version}",
    }


@pytest.mark.parametrize(
    ("tgt_lang", "expected"),
    [
        (None, "13a"), ("", "13a"), ("gl", "13a"), ("pt_BR", "13a"), ("glg_Latn", "13a"), ("sr@latin", "13a"),
        ("zh", "zh"), ("zh_CN", "zh"), ("zh-Hant", "zh"), ("zho_Hans", "zh"), ("yue_Hant", "zh"),
        ("jpn_Jpan", "ja-mecab"), ("ko_KR", "ko-mecab"), ("th", "char"),
        ("ja", "ja-mecab"), ("khm_Khmr", "char"),
    ],
)  # fmt: skip
def test_bleu_is_cut_into_words_by_target_language(tgt_lang, expected):
    assert tokenizer_of(tgt_lang) == expected


def test_chinese_is_scored_over_its_characters():
    hypotheses, references = ["保存文件到文件夹"], ["保存文件到这个文件夹"]
    found = translation_scores(hypotheses, references, tgt_lang="zho_Hans")
    assert found["bleu"] == BLEU(tokenize="zh").corpus_score(hypotheses, [references]).score
    assert found["bleu"] > translation_scores(hypotheses, references)["bleu"]
    assert "|tok:zh|" in metric_signatures("zh")["bleu"]
    uniform = resampled_scores(sentence_statistics(hypotheses, references, tgt_lang="zh"), np.ones((1, 1)))
    assert uniform["bleu"] == pytest.approx([found["bleu"]], abs=1e-9)


def test_without_mecab_japanese_is_scored_over_characters_and_that_is_said(monkeypatch, caplog):
    def missing(name):
        raise RuntimeError("MeCab is not installed")

    real = BLEU.__init__

    def without_mecab(self, *given, tokenize=None, **settings):
        if tokenize == "ja-mecab":
            missing(tokenize)
        real(self, *given, tokenize=tokenize, **settings)

    monkeypatch.setattr(BLEU, "__init__", without_mecab)
    sacrebleu_metrics._say_what_is_missing.cache_clear()
    with caplog.at_level(logging.WARNING, logger="nlp_transfer"):
        signatures = [metric_signatures("ja")["bleu"] for _ in range(2)]
    assert all("|tok:char|" in signature for signature in signatures)
    assert [record.getMessage() for record in caplog.records] == [
        "BLEU is counted over characters, as its signature says: for the usual words of ja install "
        '"sacrebleu[ja]"'
    ]


@pytest.mark.parametrize("score", [translation_scores, sentence_statistics, sentence_chrf])
@pytest.mark.parametrize(("hypotheses", "message"), [(["a"], "got 1 for 2"), ([], "got 0 for 2")])
def test_sides_of_different_length_are_refused(score, hypotheses, message):
    with pytest.raises(DataError, match=f"one translation for each of the references, {message}"):
        score(hypotheses, ["a", "b"])


def test_no_rows_are_refused():
    with pytest.raises(DataError, match="got 0 for 0"):
        translation_scores([], [])


def test_half_characters_are_scored_as_question_marks():
    broken, whole = ["Abrir \ud800 o ficheiro"], ["Abrir ? o ficheiro"]
    assert translation_scores(broken, ["Abrir o ficheiro"]) == translation_scores(whole, ["Abrir o ficheiro"])
    assert sentence_chrf(broken, broken).tolist() == [100.0]
