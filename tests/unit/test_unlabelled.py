"""Text without labels: which of it is taken, how it is mixed in, and what a model learns from it."""

from __future__ import annotations

import dataclasses
import gzip
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny import FAMILIES, LABELS, rows, write_csv
from torch import nn
from transformers import AutoModelForMaskedLM

from nlp_transfer.config import UnlabelledConfig
from nlp_transfer.data.cards import load_card
from nlp_transfer.data.rows import EMPTY, DomainData, Rows, TransferData
from nlp_transfer.data.unlabelled import load_unlabelled
from nlp_transfer.errors import DataError
from nlp_transfer.inference.predict import predict_logits
from nlp_transfer.models.loading import base_model, load_classifier
from nlp_transfer.training import adapt, fit, unlabelled
from nlp_transfer.training.adapt import Trained, train_classifier
from nlp_transfer.training.budget import Budget, budget, with_unlabelled
from nlp_transfer.training.masked import hide_words, word_layer
from nlp_transfer.training.mixed_batches import NO_LABEL, MixedClassifier
from nlp_transfer.training.procedure import Procedure
from nlp_transfer.training.self_training import average_into, confident, kept_share
from nlp_transfer.training.unlabelled import Unlabelled, after_labels, mixed_rows

SOURCE, TARGET, TEST = rows("movies", 96), rows("products", 64), rows("products", 60, seed=2)


def domain(name: str, *, train: Rows, test: Rows, unused: Sequence[str] = ()) -> DomainData:
    return DomainData(
        name, LABELS, train, EMPTY, test, card=None, unused=len(unused), unused_texts=list(unused)
    )


def data(unused: Sequence[str] = (), *, train: Rows = EMPTY) -> TransferData:
    source = domain("source", train=SOURCE, test=rows("movies", 6, seed=5))
    return TransferData(domain("target", train=train, test=TEST, unused=unused), source, LABELS)


# Which texts ----------------------------------------------------------------------------------------


def test_texts_of_test_rows_and_labelled_rows_and_copies_are_left_out_and_counted() -> None:
    labelled = TARGET.take(range(3))
    unused = [
        "one new text", "One new text!", TEST.texts[0].upper(), data().source.test.texts[0],  # type: ignore[union-attr]
        labelled.texts[1], "another new text",
    ]  # fmt: skip
    found = load_unlabelled(UnlabelledConfig(), data(unused, train=labelled), seed=0)
    assert found.texts == ["one new text", "another new text"]
    assert found.dropped == {"repeated text": 1, "text of a test row": 2, "text of a labelled row": 1}
    assert "train_size" in found.origin


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("a.csv", {}),
        ("a.csv", {"text_column": "said"}),
        ("a.txt", {}),
        ("a.txt.gz", {}),
        ("a.jsonl", {"text_column": "said"}),
    ],
)
def test_a_file_is_read_for_its_texts_alone(name: str, config: dict[str, Any], tmp_path: Path) -> None:
    texts = ["it arrived late", "a sturdy one", "", "a sturdy one"]
    path = tmp_path / name
    if name.endswith("csv"):
        column = config.get("text_column", "review")
        write_csv(path, (column, "label"), [(text, "no class of ours") for text in texts])
    elif name.endswith("jsonl"):
        path.write_text("".join(f'{{"said": "{text}", "label": 7}}\n' for text in texts))
    else:
        content = "".join(f"{text}\n" for text in texts).encode()
        path.write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    found = load_unlabelled(UnlabelledConfig(path=str(path), **config), data(), seed=0)
    assert found.texts == texts[:2]
    assert found.dropped == {"empty or non-string text": 1, "repeated text": 1}


def test_a_card_gives_all_its_texts_those_too_that_its_classes_leave_out(real_data: None) -> None:
    found = load_unlabelled(UnlabelledConfig(card="product_reviews"), data(), seed=0)
    assert len(found.texts) + sum(found.dropped.values()) == 3708
    assert len(found.texts) > load_card("product_reviews").spec.declared.rows  # type: ignore[union-attr]
    assert found.origin == "the card product_reviews"


def test_the_seed_draws_the_texts_beyond_max_rows() -> None:
    unused = [f"text number {number}" for number in range(40)]
    drawn = [load_unlabelled(UnlabelledConfig(max_rows=10), data(unused), seed=seed) for seed in (0, 0, 1)]
    assert drawn[0].texts == drawn[1].texts != drawn[2].texts
    assert drawn[0].dropped == {"over max_rows": 30}
    assert drawn[0].fingerprint() == drawn[1].fingerprint() != drawn[2].fingerprint()


@pytest.mark.parametrize(
    ("unused", "config", "said"),
    [
        ([], {}, "train_size takes every training row"),
        (TEST.texts[:3], {}, "no text is left to learn from (3 text of a test row)"),
        ([], {"card": "ted_talks"}, "is for translation"),
    ],
)
def test_nothing_to_learn_from_is_refused(unused: list[str], config: dict[str, Any], said: str) -> None:
    with pytest.raises(DataError) as caught:
        load_unlabelled(UnlabelledConfig(**config), data(unused), seed=0)
    assert said in str(caught.value)


def test_a_column_that_is_not_there_is_refused_with_the_nearest(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", ("review", "label"), [("good", "1")])
    with pytest.raises(DataError, match="did you mean review"):
        load_unlabelled(UnlabelledConfig(path=str(path), text_column="reviews"), data(), seed=0)
    other = write_csv(tmp_path / "b.csv", ("said", "label"), [("good", "1")])
    with pytest.raises(DataError, match="set text_column to one of the columns"):
        load_unlabelled(UnlabelledConfig(path=str(other)), data(), seed=0)


# The parts ------------------------------------------------------------------------------------------


def test_only_guesses_above_the_threshold_are_sure() -> None:
    probabilities = torch.tensor([[0.6, 0.4], [0.1, 0.9], [0.05, 0.95]])
    guessed, sure = confident(probabilities, 0.9)
    assert guessed.tolist() == [0, 1, 1]
    assert sure.tolist() == [False, True, True]


def test_the_teacher_is_the_moving_average_of_the_student() -> None:
    teacher, student = nn.Linear(2, 1), nn.Linear(2, 1)
    with torch.no_grad():
        for weights, value in ((teacher, 0.0), (student, 1.0)):
            for parameter in weights.parameters():
                parameter.fill_(value)
    average_into(teacher, student, kept=0.75)
    average_into(teacher, student, kept=0.75)
    assert teacher.weight.tolist() == [[1 - 0.75**2] * 2]
    assert [kept_share(step, averaging=0.9) for step in (1, 100)] == [2 / 11, 0.9]


def test_words_are_hidden_as_bert_hides_them() -> None:
    torch.manual_seed(0)
    ids = torch.full((400, 50), 7)
    hideable = torch.ones_like(ids, dtype=torch.bool)
    hideable[:, 0] = False
    hidden, chosen = hide_words(ids, hideable, share=0.15, mask_id=3, vocabulary=1000)
    assert not chosen[:, 0].any()
    assert float(chosen[:, 1:].float().mean()) == pytest.approx(0.15, abs=0.01)
    assert float((hidden[chosen] == 3).float().mean()) == pytest.approx(0.8, abs=0.03)
    assert float((hidden[chosen] == 7).float().mean()) == pytest.approx(0.1, abs=0.03)
    assert (hidden[~chosen] == 7).all()


@pytest.mark.parametrize("family", FAMILIES)
def test_the_pretrained_layer_that_names_words_is_taken_where_there_is_one(
    family: str, tiny_model: Any, tmp_path: Path, caplog: Any
) -> None:
    """A model's own layer gives the same scores as `transformers` does; a bare encoder gets a fresh one."""
    bare = str(tiny_model(family))
    loaded = load_classifier(bare, label_names=LABELS)
    states = torch.randn(3, loaded.model.config.hidden_size)
    vectors = base_model(loaded.model).get_input_embeddings().weight  # type: ignore[operator]
    with caplog.at_level("INFO"):
        assert word_layer(bare, loaded.model)(states, vectors).shape == (3, len(vectors))
    assert "a fresh one is trained" in caplog.text

    whole = AutoModelForMaskedLM.from_pretrained(bare)
    whole.get_output_embeddings().bias.data.normal_()
    whole.save_pretrained(tmp_path)
    loaded.tokenizer.save_pretrained(tmp_path)
    own = word_layer(str(tmp_path), loaded.model)
    inputs = loaded.tokenizer("the film is great", return_tensors="pt")
    whole.eval()
    with torch.inference_mode():
        hidden = getattr(whole, whole.base_model_prefix)(**inputs).last_hidden_state
        assert torch.allclose(own(hidden, vectors), whole(**inputs).logits, atol=1e-4)


# Mixing ---------------------------------------------------------------------------------------------


def test_source_rows_fill_up_what_is_labelled_to_the_number_of_texts() -> None:
    texts = Unlabelled([f"text {number}" for number in range(30)], "self_training", passes=2)
    mixed = mixed_rows(TARGET.take(range(10)), texts, SOURCE, seed=0)
    assert (mixed.labels == NO_LABEL).sum() == 60
    assert (mixed.labels != NO_LABEL).sum() == 60
    assert mixed.texts[:10] == TARGET.texts[:10]
    alone = mixed_rows(EMPTY, texts, None, seed=0)
    assert len(alone) == 60
    plenty = mixed_rows(TARGET, texts, SOURCE, seed=0)
    assert (plenty.labels != NO_LABEL).sum() == len(TARGET)


def test_more_source_rows_are_other_ones_than_those_that_are_replayed() -> None:
    procedure = Procedure("full", LABELS, 40, 0, {"num_train_epochs": 2}, replay=1.0)
    texts = Unlabelled([f"text {number}" for number in range(30)], "self_training", passes=1)
    movies = Rows(SOURCE.ids, [f"movie {row}" for row in range(len(SOURCE))], SOURCE.labels)
    plan = budget(TARGET.take(range(4)), movies, procedure)
    assert plan.source_rows == 8
    both = with_unlabelled(plan, texts, movies, procedure, dev=False)
    source = [text for text in both.rows.texts if text.startswith("movie ")]
    assert len(source) == len(set(source)) == 30 - 2 * 4
    few = with_unlabelled(plan, texts, movies.take(range(10)), procedure, dev=False)
    assert sum(text.startswith("movie ") for text in few.rows.texts) == 10


def plan_for(method: str, *, replay: float | None = None, **arguments: Any) -> Budget:
    texts = Unlabelled(["a", "b"], method, passes=1)
    procedure = Procedure("full", LABELS, 40, 0, {}, replay=replay)
    start = Budget(TARGET.take(range(4)), {"num_train_epochs": 3, **arguments})
    return with_unlabelled(start, texts, SOURCE, procedure, dev=False)


def test_a_mixed_run_is_one_long_epoch_that_is_saved_on_the_way() -> None:
    plan = plan_for("self_training")
    assert plan.arguments == {"num_train_epochs": 1, "save_strategy": "steps", "save_steps": 0.25}
    assert len(plan.rows) == 4 * 3 + 2
    assert len(plan_for("self_training", max_steps=9).rows) == 4 + 2


def test_hidden_words_without_any_labelled_row_are_refused() -> None:
    texts = Unlabelled(["a", "b"], "mlm", passes=1)
    procedure = Procedure("full", LABELS, 40, 0, {}, replay=0.0)
    start = Budget(EMPTY, {"num_train_epochs": 3})
    with pytest.raises(DataError, match="neither target labels nor source rows"):
        with_unlabelled(start, texts, SOURCE, procedure, dev=False)


# Training -------------------------------------------------------------------------------------------

QUICK = {"learning_rate": 1e-2, "per_device_train_batch_size": 16, "bf16": False, "logging_steps": 1}


@pytest.fixture(scope="module")
def source_model(tiny_model: Any, tmp_path_factory: Any) -> Path:
    """A tiny classifier that has learnt movies."""
    folder = Path(tmp_path_factory.mktemp("source"))
    procedure = Procedure("full", LABELS, 40, 0, {**QUICK, "num_train_epochs": 24})
    made = train_classifier(str(tiny_model("bert")), procedure, SOURCE, label="source", folder=folder / "run")
    made.model.save_pretrained(folder / "model")
    made.tokenizer.save_pretrained(folder / "model")
    return folder / "model"


def train(
    start: Path | str,
    folder: Path,
    *,
    on: Rows = EMPTY,
    source: Rows = SOURCE,
    how: str = "full",
    method: str = "self_training",
    texts: Sequence[str] = tuple(TARGET.texts),
    history: Path | None = None,
    arguments: dict[str, Any] | None = None,
    **settings: Any,
) -> Trained:
    procedure = Procedure(how, LABELS, 40, 0, {**QUICK, **(arguments or {})}, replay=None)
    unlabelled = Unlabelled(texts, method, **{"passes": 2, **settings})
    return train_classifier(
        str(start), procedure, on, label="adapted", folder=folder, replayed=source, history=history,
        unlabelled=unlabelled,
    )  # fmt: skip


def accuracy(trained: Trained, on: Rows = TEST) -> float:
    logits = predict_logits(trained.model, trained.tokenizer, on.texts, max_length_tokens=40)
    return float((logits.argmax(axis=1) == on.labels).mean())


@pytest.mark.parametrize("method", ["self_training", "mlm"])
@pytest.mark.parametrize("how", ["full", "lora", "lp_ft"])
def test_every_method_gives_a_plain_classifier(
    how: str, method: str, source_model: Path, tmp_path: Path
) -> None:
    trained = train(source_model, tmp_path / "run", on=TARGET.take(range(16)), how=how, method=method)
    assert type(trained.model).__name__ == "BertForSequenceClassification"
    assert accuracy(trained) > 0.9
    assert 0 < trained.trainable <= trained.total
    assert all(torch.isfinite(weights).all() for weights in trained.model.state_dict().values())


def test_hidden_words_of_a_domain_are_learnt_before_and_beside_the_labelled_rows(
    source_model: Path, tmp_path: Path
) -> None:
    import json

    history = tmp_path / "history.jsonl"
    train(source_model, tmp_path / "run", method="mlm", history=history, passes=8)
    lines = [json.loads(line) for line in history.read_text().splitlines()]
    words = [line["word_loss"] for line in lines if "word_loss" in line]
    stages = list(dict.fromkeys(line["stage"] for line in lines))
    assert stages == ["adapted: words", "adapted"]
    assert np.mean(words[-5:]) < 0.9 * np.mean(words[:5])


def test_the_layer_that_names_words_learns_first_and_nothing_else_does(
    source_model: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    """A layer that starts at random would move the encoder away from what the labels taught it."""
    seen: dict[str, bool] = {}

    def watched(model: MixedClassifier, *args: Any, **settings: Any) -> Any:
        before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        trains = [name for name, weight in model.classifier.named_parameters() if weight.requires_grad]
        assert trains == []
        result = fit.fit(model, *args, **settings)
        for name, tensor in model.state_dict().items():
            seen[name] = torch.equal(tensor, before[name])
        return result

    monkeypatch.setattr(unlabelled, "fit", watched)
    trained = train(source_model, tmp_path / "run", method="mlm")
    still = {name for name, same in seen.items() if same}
    assert {name for name in seen if name.startswith("classifier.")} <= still
    assert not {"part.layer.dense.weight", "part.layer.bias"} & still
    # Beside the labelled rows the encoder learns.
    start = load_classifier(str(source_model), label_names=LABELS).model
    assert not torch.equal(
        trained.model.bert.encoder.layer[0].output.dense.weight,
        start.bert.encoder.layer[0].output.dense.weight,
    )


def test_labelled_rows_are_learnt_before_guesses_join_them(source_model: Path, tmp_path: Path) -> None:
    import json

    history = tmp_path / "history.jsonl"
    settings = {"num_train_epochs": 6, "warmup_steps": 0, "lr_scheduler_type": "constant"}
    train(source_model, tmp_path / "run", on=TARGET.take(range(16)), history=history, arguments=settings)
    lines = [json.loads(line) for line in history.read_text().splitlines()]
    rates = {line["stage"]: line["learning_rate"] for line in lines if "learning_rate" in line}
    assert rates == {"adapted: labels": 1e-2, "adapted": 5e-3}
    sure = {line["stage"] for line in lines if "sure_share" in line}
    assert sure == {"adapted"}


def test_a_number_of_steps_is_of_one_training(source_model: Path, tmp_path: Path) -> None:
    history = tmp_path / "history.jsonl"
    steps = {"max_steps": 3}
    train(source_model, tmp_path / "run", on=TARGET.take(range(16)), history=history, arguments=steps)
    assert "adapted: labels" not in history.read_text()


@pytest.mark.parametrize("method", ["self_training", "mlm"])
def test_a_mix_is_one_with_the_start_and_not_with_what_the_labels_taught(
    method: str, source_model: Path, tmp_path: Path
) -> None:
    procedure = Procedure("full", LABELS, 40, 0, QUICK, mix=0.0)
    trained = train_classifier(
        str(source_model), procedure, TARGET.take(range(16)), label="adapted", folder=tmp_path,
        unlabelled=Unlabelled(TARGET.texts, method),
    )  # fmt: skip
    start = load_classifier(str(source_model), label_names=LABELS).model.state_dict()
    for name, weights in trained.model.state_dict().items():
        assert torch.equal(weights, start[name]), name


def test_half_of_what_guesses_change_is_kept(source_model: Path, tmp_path: Path, monkeypatch: Any) -> None:
    labelled = TARGET.take(range(16))
    kept = {}
    for share in (0.0, 0.5, 1.0):
        monkeypatch.setattr(unlabelled, "GUESSES_KEPT", share)
        trained = train(source_model, tmp_path / str(share), on=labelled)
        kept[share] = trained.model.state_dict()
    for name, weights in kept[0.5].items():
        assert torch.allclose(weights, (kept[0.0][name] + kept[1.0][name]) / 2, atol=1e-6), name
    assert any(not torch.equal(weights, kept[1.0][name]) for name, weights in kept[0.0].items())


@pytest.mark.parametrize(("passes", "left"), [(12, 4), (3, 1), (1, 1)])
def test_what_follows_the_labels_is_shorter_and_slower(passes: int, left: int) -> None:
    assert after_labels({"num_train_epochs": passes}) == {"num_train_epochs": left, "learning_rate": 5e-5}
    given = after_labels({"num_train_epochs": passes, "learning_rate": 1e-3})
    assert given == {"num_train_epochs": left, "learning_rate": 5e-4}


def test_the_history_tells_how_many_guesses_were_sure(source_model: Path, tmp_path: Path) -> None:
    import json

    history = tmp_path / "history.jsonl"
    train(source_model, tmp_path / "run", history=history)
    shares = [json.loads(line).get("sure_share") for line in history.read_text().splitlines()]
    seen = [share for share in shares if share is not None]
    assert seen and all(0 <= share <= 1 for share in seen)
    assert np.mean(seen[-3:]) > 0.5


@pytest.mark.parametrize("method", ["self_training", "mlm"])
def test_a_training_that_was_cut_off_ends_as_an_uninterrupted_one(
    method: str, source_model: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    """Dropout, hidden words and the teacher go on from where they stood."""
    whole = train(source_model, tmp_path / "whole", method=method)

    class CutError(Exception):
        pass

    original = MixedClassifier.forward
    calls = {"left": 0}

    def forward(self: MixedClassifier, *given: Any, **named: Any) -> Any:
        calls["left"] -= 1
        if calls["left"] == 0:
            raise CutError
        return original(self, *given, **named)

    monkeypatch.setattr(MixedClassifier, "forward", forward)
    for calls["left"] in (9, 3):
        with pytest.raises(CutError):
            train(source_model, tmp_path / "cut", method=method)
    resumed = train(source_model, tmp_path / "cut", method=method)
    for name, weights in whole.model.state_dict().items():
        assert torch.equal(weights, resumed.model.state_dict()[name]), name


def test_what_an_unlabelled_row_teaches_does_not_come_from_its_label(
    source_model: Path, tmp_path: Path
) -> None:
    """No label goes in: the texts are given, and nothing else."""
    fields = {field.name for field in dataclasses.fields(Unlabelled)}
    assert "labels" not in fields
    alone = set(TARGET.texts) - set(SOURCE.texts)
    seen: list[np.ndarray] = []

    def watched(model: Any, tokenizer: Any, on: Rows, *given: Any, **named: Any) -> Any:
        seen.append(on.labels[[text in alone for text in on.texts]])
        return fit.fit(model, tokenizer, on, *given, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(adapt, "fit", watched)
        train(source_model, tmp_path / "run")
    assert set(np.concatenate(seen).tolist()) == {NO_LABEL}
