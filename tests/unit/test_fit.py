"""Training: it learns, resumes exactly, keeps the best step, and leaves a plain float32 model."""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny import LABELS, rows
from transformers import AutoModelForSequenceClassification

from nlp_transfer.data.rows import EMPTY, Rows
from nlp_transfer.errors import RunError
from nlp_transfer.inference.predict import predict_logits
from nlp_transfer.models.freezing import freeze
from nlp_transfer.models.loading import LoadedClassifier, load_classifier
from nlp_transfer.training import callbacks, selection
from nlp_transfer.training.callbacks import LossGuard, ProgressBar
from nlp_transfer.training.fit import FitResult, TrainingRun, fit, parameter_counts
from nlp_transfer.training.selection import selection_score

# Large steps: the models are tiny and start at random.
QUICK = {
    "learning_rate": 1e-2,
    "num_train_epochs": 3,
    "per_device_train_batch_size": 16,
    "logging_steps": 1,
    "bf16": False,
}


TRAIN, DEV, TEST = rows("movies", 64), rows("movies", 24, seed=1), rows("movies", 60, seed=2)


def train(
    loaded: LoadedClassifier,
    folder: Path,
    *,
    on: Rows = TRAIN,
    dev: Rows = DEV,
    seed: int = 0,
    history: Path | None = None,
    evaluations: int = 1,
    early_stopping: int | None = None,
    **arguments: Any,
) -> FitResult:
    return fit(
        loaded.model,
        loaded.tokenizer,
        on,
        dev,
        run=TrainingRun("test", folder, seed=seed, history=history),
        arguments={**QUICK, **arguments},
        max_length_tokens=40,
        evaluations=evaluations,
        early_stopping=early_stopping,
    )


@pytest.fixture
def load(tiny_model: Any) -> Any:
    def make(**settings: Any) -> LoadedClassifier:
        folder = str(tiny_model("bert", **settings))
        torch.manual_seed(0)
        return load_classifier(folder, label_names=LABELS)

    return make


def logits(loaded: LoadedClassifier, texts: list[str] = TEST.texts) -> np.ndarray:
    return predict_logits(loaded.model, loaded.tokenizer, texts, max_length_tokens=40)


def accuracy(loaded: LoadedClassifier, on: Rows = TEST) -> float:
    return float((logits(loaded, on.texts).argmax(axis=1) == on.labels).mean())


def largest_difference(first: LoadedClassifier, second: LoadedClassifier) -> float:
    weights = [loaded.model.state_dict() for loaded in (first, second)]
    return max(float((weights[0][name] - weights[1][name]).abs().max()) for name in weights[0])


def lines_of(history: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in history.read_text().splitlines()]


# Learning -----------------------------------------------------------------------------------------


def test_a_tiny_model_learns_what_can_be_learnt(load: Any, tmp_path: Path) -> None:
    loaded = load()
    assert accuracy(loaded) < 0.75
    result = train(loaded, tmp_path, num_train_epochs=16)
    assert accuracy(loaded) > 0.95
    assert result.steps == 16 * 4
    tokens = sum(len(loaded.tokenizer(text)["input_ids"]) for text in TRAIN.texts)
    assert result.tokens == 16 * tokens
    assert 0 < result.selection_seconds < result.selection_seconds + result.seconds


def test_the_same_seed_gives_the_same_model_and_another_seed_another_one(load: Any, tmp_path: Path) -> None:
    models = [load() for _ in range(3)]
    for number, (loaded, seed) in enumerate(zip(models, (0, 0, 1), strict=True)):
        train(loaded, tmp_path / str(number), seed=seed)
    assert largest_difference(models[0], models[1]) == 0
    assert largest_difference(models[0], models[2]) > 1e-3


def test_what_is_frozen_stays(load: Any, tmp_path: Path) -> None:
    loaded, before = load(), load()
    freeze(loaded.model, layers=1)
    trainable, total = parameter_counts(loaded.model)
    train(loaded, tmp_path)
    moved = {
        name: weights.numel()
        for name, weights in before.model.named_parameters()
        if not torch.equal(weights, loaded.model.state_dict()[name])
    }
    assert sum(moved.values()) == trainable < total
    assert all(".layer.1." in name or "pooler" in name or "classifier" in name for name in moved)


def test_accumulated_batches_train_as_one_large_batch_does(load: Any, tmp_path: Path) -> None:
    """A BERT classifier under the plain Trainer logs twice the loss and clips twice too early."""
    still = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    models = [load(**still), load(**still)]
    results = [
        train(models[0], tmp_path / "whole", learning_rate=1e-3, per_device_train_batch_size=16),
        train(
            models[1],
            tmp_path / "parts",
            learning_rate=1e-3,
            per_device_train_batch_size=4,
            gradient_accumulation_steps=4,
        ),
    ]
    losses = [[record["loss"] for record in result.history if "loss" in record] for result in results]
    norms = [
        [record["grad_norm"] for record in result.history if "grad_norm" in record] for result in results
    ]
    assert len(losses[0]) == 12
    assert np.allclose(losses[0], losses[1], atol=1e-4)
    assert np.allclose(norms[0], norms[1], rtol=1e-2)
    assert largest_difference(*models) < 1e-3


@pytest.mark.parametrize("learning_rate", [1e30, float("inf")])
def test_a_loss_that_is_no_number_ends_the_run(learning_rate: float, load: Any, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"^test: the loss is nan at step \d+; lower training.learning_rate$"):
        train(
            load(),
            tmp_path / "run",
            history=tmp_path / "history.jsonl",
            learning_rate=learning_rate,
            warmup_steps=0,
            max_grad_norm=0,
        )
    assert "NaN" not in (tmp_path / "history.jsonl").read_text()


def test_it_does_so_too_where_the_run_is_shorter_than_a_logging_step(load: Any, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="the loss is nan"):
        train(
            load(),
            tmp_path,
            dev=EMPTY,
            learning_rate=1e30,
            warmup_steps=0,
            max_grad_norm=0,
            logging_steps=500,
        )


def explode(monkeypatch: pytest.MonkeyPatch, what: str, *, behind: int) -> None:
    """Have the weights, or the gradient of the next step, be infinite behind a step."""

    def exploding(self: Any, args: Any, state: Any, control: Any, *, model: Any, **_: Any) -> None:
        if state.global_step == behind:
            first = next(parameter for parameter in model.parameters() if parameter.requires_grad)
            value = torch.full_like(first, torch.inf)
            if what == "weights":
                first.data = value
            else:
                first.register_hook(lambda gradient: value)

    monkeypatch.setattr(ProgressBar, "on_step_begin", exploding, raising=False)


@pytest.mark.parametrize("read_at", ["each step", "a log line", "the end"])
def test_the_step_whose_loss_is_no_number_is_named_whenever_it_is_read(
    read_at: str, load: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a GPU the loss is read with a log line alone, so that no step waits for it."""
    explode(monkeypatch, "weights", behind=4)
    steps = []
    if read_at != "each step":
        monkeypatch.setattr(LossGuard, "_looks_now", lambda *_: False)
    monkeypatch.setattr(
        ProgressBar, "on_step_end", lambda self, args, state, *_, **__: steps.append(state.global_step)
    )
    with pytest.raises(RunError, match=r"^test: the loss is nan at step 5; lower training.learning_rate$"):
        train(load(), tmp_path, dev=EMPTY, logging_steps=10 if read_at != "the end" else 500)
    assert steps[-1] == {"each step": 5, "a log line": 10, "the end": 12}[read_at]


def test_a_gradient_that_is_no_number_at_the_last_step_ends_the_run(
    load: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No later loss tells of it, and no log line is due."""
    explode(monkeypatch, "gradient", behind=11)
    with pytest.raises(RunError, match=r"^test: weights are no numbers any more at step 12; lower"):
        train(load(), tmp_path, dev=EMPTY, logging_steps=10)


# Selecting ----------------------------------------------------------------------------------------


def last_not_clearly_worse(scored: dict[int, dict[str, float]]) -> int:
    """Choose by the rule that selection.py states, computed here on its own."""
    kept, best = 0, 0.0
    for step, record in scored.items():
        accuracy = record["eval_accuracy"]
        if accuracy >= best - math.sqrt(best * (1 - best) / len(DEV)):
            kept = step
        best = max(best, accuracy)
    return kept


@pytest.mark.parametrize(
    ("metric", "chosen"),
    [
        (None, last_not_clearly_worse),
        ("eval_accuracy", lambda scored: max(scored, key=lambda step: scored[step]["eval_accuracy"])),
        ("eval_loss", lambda scored: min(scored, key=lambda step: scored[step]["eval_loss"])),
    ],
    ids=["default", "accuracy", "loss"],
)
def test_the_chosen_step_on_the_dev_rows_is_kept(
    metric: str | None, chosen: Any, load: Any, tmp_path: Path
) -> None:
    """The training labels are the wrong way round, so that the dev scores get worse."""
    wrong = Rows(TRAIN.ids, TRAIN.texts, 1 - TRAIN.labels)
    loaded = load()
    arguments = {} if metric is None else {"metric_for_best_model": metric}
    result = train(loaded, tmp_path / "run", on=wrong, num_train_epochs=6, **arguments)
    scored = {record["step"]: record for record in result.history if "eval_accuracy" in record}
    assert list(scored) == [4, 8, 12, 16, 20, 24]
    assert result.best_step == chosen(scored) < result.steps == 24
    scores = torch.tensor(logits(loaded, DEV.texts))
    loss = float(torch.nn.functional.cross_entropy(scores, torch.tensor(DEV.labels)))
    assert loss == pytest.approx(scored[result.best_step]["eval_loss"], abs=1e-4)
    assert accuracy(loaded, DEV) == pytest.approx(scored[result.best_step]["eval_accuracy"])


@pytest.mark.parametrize(
    ("accuracies", "scores"),
    [
        ([0.8, 0.9, 0.7], [1, 2, 0]),
        # One standard error below 0.8 on 50 rows is 0.743.
        ([0.8, 0.75, 0.74, 0.76], [1, 2, 0, 4]),
        # Where all rows are right there is no error to allow for but a hundredth over the root of the rows.
        ([1.0, 0.98, 1.0], [1, 0, 3]),
    ],
)
def test_a_later_step_wins_unless_it_is_clearly_worse(accuracies: list[float], scores: list[int]) -> None:
    found = [selection_score(each, accuracies[:place], rows=50) for place, each in enumerate(accuracies)]
    assert found == scores


def test_dev_rows_are_scored_as_often_as_asked_for(load: Any, tmp_path: Path) -> None:
    result = train(load(), tmp_path, num_train_epochs=1, on=rows("movies", 128), evaluations=4)
    assert [record["step"] for record in result.history if "eval_loss" in record] == [2, 4, 6, 8]


def test_without_dev_rows_the_last_step_is_kept_and_nothing_is_checkpointed(
    load: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    result = train(
        load(),
        tmp_path / "run",
        dev=EMPTY,
        eval_strategy="epoch",
        load_best_model_at_end=True,
        metric_for_best_model="eval_accuracy",
    )
    assert result.best_step == result.steps == 12
    assert result.selection_seconds == 0
    assert not list(tmp_path.glob("run/checkpoint-*"))
    assert "eval_strategy, load_best_model_at_end, metric_for_best_model says nothing" in caplog.text


@pytest.mark.parametrize(
    ("asked", "scored"),
    [
        ({"save_strategy": "best"}, [4, 8, 12]),
        ({"eval_strategy": "steps", "eval_steps": 6, "load_best_model_at_end": True}, [6, 12]),
    ],
    ids=["the best is saved", "scored when the recipe says"],
)
def test_what_is_saved_fits_what_is_scored(
    asked: dict[str, Any], scored: list[int], load: Any, tmp_path: Path
) -> None:
    result = train(load(), tmp_path, **asked)
    assert [record["step"] for record in result.history if "eval_loss" in record] == scored
    assert result.best_step in scored


def test_dev_rows_are_scored_where_a_recipe_says_when_to_save(load: Any, tmp_path: Path) -> None:
    result = train(
        load(), tmp_path, save_strategy="steps", save_steps=5, num_train_epochs=2, save_total_limit=5
    )
    assert [record["step"] for record in result.history if "eval_selection" in record] == [5, 8]
    assert result.best_step in (5, 8)
    assert sorted(path.name for path in tmp_path.glob("checkpoint-*")) == ["checkpoint-5", "checkpoint-8"]


# Resuming -----------------------------------------------------------------------------------------


class Killed(BaseException):
    """As a signal would end the run: no `except Exception` holds it up."""


def interrupted(
    loaded: LoadedClassifier, folder: Path, *, at: int, monkeypatch: Any, **settings: Any
) -> None:
    """Train until a step, and be killed there."""
    whole = callbacks.ProgressBar.on_step_end

    def killing(self: Any, args: Any, state: Any, control: Any, **other: Any) -> None:
        whole(self, args, state, control, **other)
        if state.global_step == at:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(callbacks.ProgressBar, "on_step_end", killing)
        with pytest.raises(Killed):
            train(loaded, folder, **settings)


def test_training_ends_where_the_dev_rows_say_so_and_a_resumed_run_ends_there_too(
    load: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    # The first scoring is the best, all later ones are clearly worse.
    monkeypatch.setattr(selection, "selection_score", lambda _, earlier, **__: 0 if earlier else 1)
    settings = {"num_train_epochs": 9, "early_stopping": 2}
    whole, killed, resumed = load(), load(), load()
    result = train(whole, tmp_path / "whole", **settings)
    assert (result.steps, result.best_step) == (3 * 4, 4)
    interrupted(killed, tmp_path / "run", at=10, monkeypatch=monkeypatch, **settings)
    again = train(resumed, tmp_path / "run", **settings)
    assert (again.steps, again.best_step) == (3 * 4, 4)
    assert largest_difference(whole, resumed) < 1e-6
    # One that had ended takes a step, and keeps what it had.
    ended = load()
    assert train(ended, tmp_path / "whole", **settings).steps == 3 * 4 + 1
    assert largest_difference(whole, ended) < 1e-6
    assert train(load(), tmp_path / "on", num_train_epochs=5).steps == 5 * 4


def test_without_dev_rows_nothing_ends_early(load: Any, tmp_path: Path) -> None:
    assert train(load(), tmp_path, dev=EMPTY, early_stopping=1).steps == 3 * 4


STEPS = {"eval_strategy": "steps", "eval_steps": 3, "save_strategy": "steps", "save_steps": 3}


@pytest.mark.parametrize(
    ("settings", "killed_at", "checkpoint"),
    [
        ({}, 11, "checkpoint-8"),
        (STEPS, 11, "checkpoint-9"),
        ({**STEPS, "per_device_train_batch_size": 8, "gradient_accumulation_steps": 2}, 8, "checkpoint-6"),
    ],
    ids=["after an epoch", "within an epoch", "with accumulation"],
)
def test_a_resumed_run_equals_one_that_was_not_interrupted(
    settings: dict[str, Any], killed_at: int, checkpoint: str, load: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    """With dropout of 0.1: the random state is resumed too."""
    whole, killed = load(), load()
    assert whole.model.config.hidden_dropout_prob == 0.1
    histories = [tmp_path / "whole.jsonl", tmp_path / "resumed.jsonl"]
    other = json.dumps({"stage": "another", "seed": 0, "step": 99, "loss": 1.0})
    histories[1].write_text(other + "\n")
    expected = train(whole, tmp_path / "whole", history=histories[0], num_train_epochs=4, **settings)
    settings = {**settings, "num_train_epochs": 4, "history": histories[1]}
    interrupted(killed, tmp_path / "run", at=killed_at, monkeypatch=monkeypatch, **settings)
    with histories[1].open("a") as file:
        file.write('{"stage": "test", "see')  # a line that the kill tore
    assert checkpoint in [path.name for path in (tmp_path / "run").iterdir()]

    resumed = load()
    result = train(resumed, tmp_path / "run", **settings)
    assert largest_difference(whole, resumed) < 1e-6
    assert (result.steps, result.best_step) == (expected.steps, expected.best_step)

    lines = [lines_of(history) for history in histories]
    assert lines[1][0] == json.loads(other)
    timeless = [
        [{key: record.get(key) for key in ("step", "loss", "eval_loss", "learning_rate")} for record in part]
        for part in (lines[0], lines[1][1:])
    ]
    assert timeless[0] == timeless[1]
    assert (
        max(
            Counter(
                (record["step"], "eval_loss" in record, "train_runtime" in record) for record in lines[1]
            ).values()
        )
        == 1
    )


def test_a_run_killed_after_its_last_step_is_not_trained_again(load: Any, tmp_path: Path) -> None:
    first, second = load(), load()
    history = tmp_path / "history.jsonl"
    expected = train(first, tmp_path / "run", history=history)
    before = lines_of(history)
    result = train(second, tmp_path / "run", history=history)
    assert largest_difference(first, second) == 0
    assert (result.steps, result.best_step) == (expected.steps, expected.best_step)
    assert len(lines_of(history)) == len(before)


def test_a_resumed_training_has_the_seconds_of_all_its_parts(load: Any, tmp_path: Path) -> None:
    train(load(), tmp_path / "run")
    newest = json.loads((tmp_path / "run" / "checkpoint-12" / "trainer_state.json").read_text())
    clock = newest["stateful_callbacks"]["TrainingClock"]["attributes"]
    newest["stateful_callbacks"]["TrainingClock"]["attributes"] = {
        name: seconds + 1_000 for name, seconds in clock.items()
    }
    (tmp_path / "run" / "checkpoint-12" / "trainer_state.json").write_text(json.dumps(newest))
    again = train(load(), tmp_path / "run")
    assert min(clock.values()) > 0
    assert 1_000 + clock["seconds"] <= again.seconds < 1_060
    assert 1_000 + clock["selection_seconds"] <= again.selection_seconds < 1_060


def test_the_history_keeps_a_line_for_each_seed(load: Any, tmp_path: Path) -> None:
    history = tmp_path / "history.jsonl"
    for seed in (0, 1):
        train(load(), tmp_path / str(seed), seed=seed, history=history)
    kept = Counter((record["stage"], record["seed"]) for record in lines_of(history))
    assert kept == {("test", 0): 12 + 3 + 1, ("test", 1): 12 + 3 + 1}


# What is left -------------------------------------------------------------------------------------


@pytest.mark.parametrize("bf16", [False, True])
def test_the_trained_model_computes_in_float32_as_it_is_reloaded(
    bf16: bool, load: Any, tmp_path: Path
) -> None:
    loaded = load()
    train(loaded, tmp_path / "run", bf16=bf16)
    assert {weights.dtype for weights in loaded.model.parameters()} == {torch.float32}
    loaded.model.save_pretrained(tmp_path / "model")
    again = LoadedClassifier(
        AutoModelForSequenceClassification.from_pretrained(tmp_path / "model"), loaded.tokenizer, []
    )
    assert np.abs(logits(again) - logits(loaded)).max() < 1e-5
    batch = loaded.tokenizer(TEST.texts[:2], padding=True, return_tensors="pt")
    assert loaded.model(**batch).logits.dtype == torch.float32
