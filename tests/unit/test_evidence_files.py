"""What a run keeps for its diagnostics comes back as it was; and the numbers that translation runs add."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest

from nlp_transfer.diagnostics.estimates import Estimate
from nlp_transfer.diagnostics.forgetting import Drift
from nlp_transfer.diagnostics.overfitting import last_step_loss
from nlp_transfer.diagnostics.resources import resources_finding
from nlp_transfer.diagnostics.samples import TextSample
from nlp_transfer.diagnostics.temperature import Temperature, fit_temperature
from nlp_transfer.diagnostics.translation_run import chrf_gap
from nlp_transfer.disk import PART
from nlp_transfer.errors import ModelError
from nlp_transfer.evaluation.predictions import write_counts
from nlp_transfer.evaluation.translation_scores import SentenceStatistics, chrf_statistics
from nlp_transfer.evidence_files import (
    read_answers,
    read_drift,
    read_temperature_fit,
    read_texts,
    sample,
    write_drift,
    write_temperature_fit,
    write_texts,
)
from nlp_transfer.models.calibration import CALIBRATION, read_temperature, write_temperature
from nlp_transfer.training.callbacks import HistoryFile
from nlp_transfer.training.samplers import padding_share

SENTENCES = [f"o ficheiro {row} non se pode abrir agora" for row in range(60)]


def test_an_empty_run_folder_has_no_evidence(tmp_path):
    assert (read_drift(tmp_path), read_temperature_fit(tmp_path), read_texts(tmp_path)) == (None, None, {})
    assert read_answers(tmp_path / "adapted.target_dev.jsonl", ["no", "yes"]) is None
    assert read_temperature(tmp_path) == 1.0


@pytest.mark.parametrize(
    "fit",
    [
        Temperature(Estimate(1.5, 90, 1.2, 1.9), 0.5, 0.4),
        fit_temperature(np.zeros((3, 2)), np.zeros(3, dtype=np.int64)),
    ],
)
def test_a_fit_comes_back_with_its_interval_or_its_reason(fit, tmp_path):
    write_temperature_fit(tmp_path, fit)
    assert read_temperature_fit(tmp_path) == fit


def test_drift_and_samples_come_back(tmp_path):
    drift = Drift({"encoder.layer.0": 0.25}, 0.2, 100, ["classifier.weight"])
    write_drift(tmp_path, drift)
    assert read_drift(tmp_path) == drift
    samples = {
        name: TextSample(
            ids=np.array(["a", "b"]),
            features=np.full((2, 3), place, dtype=np.float32),
            token_counts=np.array([3, 4]) + place,
            word_counts=np.array([1, 2]) + place,
            groups=np.array([0, 0]) if name == "target" else None,
        )
        for place, name in enumerate(("source", "target"))
    }
    write_texts(tmp_path, samples)
    found = read_texts(tmp_path)
    assert list(found) == ["source", "target"] and found["source"].groups is None
    for name, kept in samples.items():
        for part, values in vars(kept).items():
            assert values is None or np.array_equal(getattr(found[name], part), values)


def test_a_sample_is_drawn_once_and_in_order():
    drawn = sample(1000, 50, seed=3)
    assert drawn == sorted(set(drawn)) == sample(1000, 50, seed=3) != sample(1000, 50, seed=4)


@pytest.mark.parametrize(
    "content", ["", "[]", '{"other": 1}', '{"temperature": "hot"}', '{"temperature": 0}',
                '{"temperature": -1}', '{"temperature": NaN}'],
)  # fmt: skip
def test_a_temperature_that_is_none_is_refused(content, tmp_path):
    (tmp_path / CALIBRATION).write_text(content)
    with pytest.raises(ModelError, match=r"must hold .*a number above 0.*; delete the file"):
        read_temperature(tmp_path)


def test_a_temperature_is_written_with_its_interval(tmp_path):
    write_temperature(tmp_path, 1.25, interval=(1.1, 1.4), dev_rows=80)
    assert read_temperature(tmp_path) == 1.25
    assert json.loads((tmp_path / CALIBRATION).read_text()) == {
        "temperature": 1.25, "low": 1.1, "high": 1.4, "dev_rows": 80,
    }  # fmt: skip


def test_pairs_learnt_by_heart_are_above_unseen_ones_by_all_of_the_score():
    learnt = chrf_statistics(SENTENCES, SENTENCES)
    unseen = chrf_statistics(["xyz"] * len(SENTENCES), SENTENCES)
    whole = chrf_gap(learnt, unseen)
    assert (whole.value, whole.low, whole.high) == pytest.approx((100, 100, 100))
    none = chrf_gap(learnt, learnt)
    assert none.value == 0 and none.low <= 0 <= none.high
    assert "29 pairs on the smaller side" in chrf_gap(learnt[:29], unseen).reason


def test_the_last_step_is_held_against_the_best_by_a_scores_own_error():
    loss = last_step_loss([10, 20, 30], [40.0, 50.0, 44.0], dev_rows=25, standard_errors=[1.0, 2.0, 3.0])
    assert loss is not None
    assert (loss.best_step, loss.standard_errors) == (20, pytest.approx(3.0))


def test_padding_is_what_the_longest_row_of_each_batch_adds():
    # Sources: 1 + 3 in 2 * 3; targets: 4 + 2 in 2 * 4; the second batch has one row and pads nothing.
    share = padding_share([[0, 1], [2]], [1, 3, 5], np.array([4, 2, 5]))
    assert share == pytest.approx(1 - (4 + 6 + 10) / (6 + 8 + 10))
    assert padding_share([], [1]) == 0


def test_without_anything_to_compare_with_resources_have_no_ratio():
    found = resources_finding({"adapted": {"seconds": 3.0}}, against=("scratch",), stored_mb={})
    assert (found.severity, found.value) == ("info", None)
    assert "real tokens" not in found.evidence
    assert "3.0 s of training;" in found.evidence
    costs = {"adapted": {"seconds": 3.0, "source_seconds": 9.0}}
    both = resources_finding(costs, against=("scratch",), stored_mb={}).evidence
    assert "3.0 s of training; with the source model, made once for all targets, 12.0 s;" in both


def test_a_resumed_history_goes_on_counting_seconds(tmp_path):
    from types import SimpleNamespace

    path = tmp_path / "history.jsonl"
    other = {"stage": "scratch", "seed": 0, "step": 9, "seconds": 500.0}
    own = {"stage": "adapted", "seed": 0, "step": 5, "seconds": 100.0}
    path.write_text("".join(f"{json.dumps(record)}\n" for record in (own, {**own, "step": 8}, other)))
    state = SimpleNamespace(is_world_process_zero=True, global_step=5, epoch=1.0)
    watcher = HistoryFile(path, "adapted", seed=0)
    watcher.on_train_begin(None, state, None)
    watcher.on_log(None, state, None, logs={"loss": 0.5})
    records = [json.loads(line) for line in path.read_text().splitlines()]
    assert [each["step"] for each in records] == [5, 9, 5]
    assert 100 <= records[-1]["seconds"] < 110


@pytest.mark.parametrize("kind", ["counts", "texts"])
def test_arrays_reach_the_disk_before_they_count_and_a_killed_run_leaves_what_the_next_sweeps(
    kind, tmp_path, monkeypatch
):
    statistics = SentenceStatistics(*(np.ones((1, columns)) for columns in (24, 10, 2)))
    synced = []
    fsync = os.fsync

    def ended(handle):
        """End where a kill would: what was written stands beside its place, under its temporary name."""
        fsync(handle)
        files = [path.name for path in tmp_path.rglob("*") if path.is_file()]
        synced.extend(files)
        assert all(name.startswith(".") and name.endswith(PART) for name in files)
        raise KeyboardInterrupt

    def write():
        if kind == "counts":
            write_counts(tmp_path / "adapted.target.counts.npz", ["a"], statistics)
        else:
            write_texts(tmp_path, {"source": TextSample(np.array(["a"]), *np.ones((3, 1)))})

    monkeypatch.setattr(os, "fsync", ended)
    with pytest.raises(KeyboardInterrupt):
        write()
    assert len(synced) == 1
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    monkeypatch.undo()
    write()
    assert len(list(tmp_path.rglob("*.npz"))) == 1
