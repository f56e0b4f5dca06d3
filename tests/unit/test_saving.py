"""A saved model counts only when its reloaded copy scores as it did, and nobody's files are lost to it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny import LABELS, rows
from transformers import BertForSequenceClassification

from nlp_transfer import load_adapted
from nlp_transfer.errors import ConfigError, ModelError, RunError
from nlp_transfer.inference import load, predict
from nlp_transfer.models.loading import LoadedClassifier, load_classifier
from nlp_transfer.publishing.save import save_model, save_trained
from nlp_transfer.training.probing import fit_frozen_probe, save_probe

TEXTS = rows("movies", 20).texts


@pytest.fixture
def loaded(tiny_model: Any) -> LoadedClassifier:
    return load_classifier(str(tiny_model("bert", labels=LABELS)), label_names=LABELS)


def save(loaded: LoadedClassifier, folder: Path) -> None:
    save_trained(loaded.model, loaded.tokenizer, folder, texts=TEXTS, max_length_tokens=24)


def tampered(monkeypatch: Any) -> None:
    """Have the library write other weights than the trained ones."""
    whole = BertForSequenceClassification.save_pretrained

    def save_other(self: Any, folder: Any, **settings: Any) -> None:
        with torch.no_grad():
            self.classifier.bias[0] += 1e-3
            whole(self, folder, **settings)
            self.classifier.bias[0] -= 1e-3

    monkeypatch.setattr(BertForSequenceClassification, "save_pretrained", save_other)


def test_a_saved_model_is_the_trained_one_with_its_length_limit(
    loaded: LoadedClassifier, tmp_path: Path
) -> None:
    save(loaded, tmp_path / "model")
    again = load_adapted(tmp_path / "model")
    assert again.max_length_tokens == 24
    assert again.label_names == LABELS
    loaded.model.eval()
    with torch.inference_mode():
        expected = loaded.model(**loaded.tokenizer(TEXTS, padding=True, return_tensors="pt")).logits.numpy()
    assert np.allclose(again.logits(TEXTS), expected, atol=1e-5)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_other_weights_than_the_trained_ones_are_never_saved(
    loaded: LoadedClassifier, tmp_path: Path, monkeypatch: Any
) -> None:
    save(loaded, tmp_path / "model")
    before = (tmp_path / "model" / "model.safetensors").read_bytes()
    tampered(monkeypatch)
    message = (
        r"the saved model is not the trained one: its logits differ by 0.001 on 20 texts .* nothing was saved"
    )
    with pytest.raises(RunError, match=message):
        save(loaded, tmp_path / "model")
    with pytest.raises(RunError, match=message):
        save(loaded, tmp_path / "new")
    assert (tmp_path / "model" / "model.safetensors").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_the_last_digits_of_float32_are_no_difference(
    loaded: LoadedClassifier, tmp_path: Path, monkeypatch: Any
) -> None:
    """Two loads of the same weights may add in another order; what counts is what differs in float64."""
    whole, calls = predict.predict_logits, []

    def noisy(model: Any, *args: Any, **settings: Any) -> Any:
        calls.append(model.dtype)
        noise = 3e-5 * len(calls) if model.dtype == torch.float32 else 0
        return whole(model, *args, **settings) + noise

    monkeypatch.setattr(predict, "predict_logits", noisy)
    monkeypatch.setattr(load, "predict_logits", noisy)
    weights = {name: tensor.clone() for name, tensor in loaded.model.state_dict().items()}
    save(loaded, tmp_path / "model")
    assert calls == [torch.float32] * 2 + [torch.float64] * 2
    assert loaded.model.dtype == torch.float32
    assert all(torch.equal(tensor, weights[name]) for name, tensor in loaded.model.state_dict().items())
    monkeypatch.undo()
    tampered(monkeypatch)
    with pytest.raises(RunError, match=r"its logits differ by 0\.001"):
        save(loaded, tmp_path / "other")


def test_weights_that_are_no_numbers_are_never_saved(loaded: LoadedClassifier, tmp_path: Path) -> None:
    with torch.no_grad():
        loaded.model.classifier.bias[0] = float("nan")
    with pytest.raises(RunError, match="its logits differ by nan"):
        save(loaded, tmp_path / "model")
    assert not list(tmp_path.iterdir())


def test_a_copy_is_whole_and_equal(loaded: LoadedClassifier, tmp_path: Path) -> None:
    save(loaded, tmp_path / "model")
    (tmp_path / "model" / "cost.json").write_text("{}")
    for _ in range(2):  # the second time over an older copy
        assert (
            save_model(str(tmp_path / "model"), tmp_path / "deep" / "copy", texts=TEXTS)
            == tmp_path / "deep" / "copy"
        )
        names = [{path.name for path in (tmp_path / folder).iterdir()} for folder in ("model", "deep/copy")]
        assert names[0] - names[1] == {"cost.json"}
    assert np.array_equal(
        load_adapted(tmp_path / "model").logits(TEXTS), load_adapted(tmp_path / "deep/copy").logits(TEXTS)
    )


def test_a_copy_that_scores_differently_is_never_saved(
    loaded: LoadedClassifier, tmp_path: Path, monkeypatch: Any
) -> None:
    save(loaded, tmp_path / "model")

    def copy_with_a_slip(source: Path, target: Path, **settings: Any) -> None:
        shutil_copytree(source, target, **settings)
        changed = load_classifier(str(source), label_names=LABELS).model
        with torch.no_grad():
            changed.classifier.bias[0] += 1
        changed.save_pretrained(target)

    shutil_copytree = shutil.copytree
    monkeypatch.setattr("nlp_transfer.publishing.save.shutil.copytree", copy_with_a_slip)
    with pytest.raises(RunError, match="the saved model is not the trained one"):
        save_model(str(tmp_path / "model"), tmp_path / "copy", texts=TEXTS)
    assert not (tmp_path / "copy").exists()


def test_a_probe_is_copied_with_its_head(tiny_model: Any, tmp_path: Path) -> None:
    train = rows("movies", 40)
    probe = fit_frozen_probe(
        str(tiny_model("bert")), train, train, label_names=LABELS, max_length_tokens=40, seed=0
    )
    save_probe(probe, tmp_path / "probe")
    save_model(str(tmp_path / "probe"), tmp_path / "copy", texts=TEXTS)
    assert np.allclose(load_adapted(tmp_path / "copy").logits(TEXTS), probe.logits(TEXTS), atol=1e-5)


def test_a_folder_with_other_files_is_left_alone(loaded: LoadedClassifier, tmp_path: Path) -> None:
    save(loaded, tmp_path / "model")
    mine = tmp_path / "mine"
    for name in ("notes.csv", "data/rows.csv", "package.json"):
        shutil.rmtree(mine, ignore_errors=True)
        (mine / name).parent.mkdir(parents=True)
        (mine / name).write_text("mine")
        with pytest.raises(ConfigError, match=r"holds something else .*; name a new or an empty folder"):
            save_model(str(tmp_path / "model"), mine, texts=TEXTS)
        assert (mine / name).read_text() == "mine"
    with pytest.raises(ConfigError, match="is a file; name a folder to save the model in"):
        save_model(str(tmp_path / "model"), mine / "package.json", texts=TEXTS)


def test_what_cannot_be_loaded_is_not_copied(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="there is no folder"):
        save_model(str(tmp_path / "absent"), tmp_path / "copy", texts=TEXTS)
    assert not (tmp_path / "copy").exists()
