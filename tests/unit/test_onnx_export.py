"""Classifiers as ONNX graphs: every family scores what it scored before, whatever the shape of a batch."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny import FAMILIES, LABELS, rows, sentences

from nlp_transfer import load_adapted
from nlp_transfer.errors import ConfigError, ModelError, RunError
from nlp_transfer.exporting import export
from nlp_transfer.exporting.export import export_model
from nlp_transfer.exporting.parity import Parity, classification_parity
from nlp_transfer.exporting.samples import LabelledTexts
from nlp_transfer.inference.onnx_classifier import OnnxClassifier
from nlp_transfer.training.probing import fit_frozen_probe, save_probe

TinyModel = Callable[..., Path]
# One word, a row of each length, and one that is cut.
TEXTS = [*(text for text, _ in sentences("movies", 30, seed=5)), "good", "a lovely film " * 40, "?"]


@pytest.fixture(scope="module")
def exported(tiny_model: TinyModel, tmp_path_factory: Any) -> Callable[[str], tuple[Path, Path]]:
    """Return a function that exports a tiny classifier of a family once: (the model, the exported folder)."""
    made: dict[str, tuple[Path, Path]] = {}

    def of_family(family: str) -> tuple[Path, Path]:
        if family not in made:
            model, folder = tiny_model(family, labels=LABELS), tmp_path_factory.mktemp("exported") / family
            export_model(str(model), runtime="onnx", output=folder)
            made[family] = (model, folder)
        return made[family]

    return of_family


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_scores_as_before_at_every_shape(family: str, exported: Any) -> None:
    before, after = (load_adapted(folder) for folder in exported(family))
    assert isinstance(after, OnnxClassifier)
    assert after.label_names == before.label_names == LABELS
    assert after.max_length_tokens == before.max_length_tokens
    expected = before.logits(TEXTS)
    assert np.abs(after.logits(TEXTS) - expected).max() < 1e-5
    # Alone a row is not padded, and its batch is of another shape than any that was exported with.
    alone = np.concatenate([after.logits([text]) for text in TEXTS[-5:]])
    assert np.abs(alone - expected[-5:]).max() < 1e-5
    assert after.logits([]).shape == (0, 2)


def test_predictions_have_the_same_form(exported: Any) -> None:
    before, after = (load_adapted(folder).predict(["a good film"])[0] for folder in exported("bert"))
    assert after["label"] == before["label"]
    assert list(after["probabilities"]) == LABELS
    assert after["score"] == pytest.approx(before["score"], abs=1e-6)
    with pytest.raises(TypeError, match="takes a list of texts"):
        load_adapted(exported("bert")[1]).predict("a good film")


def test_a_probe_is_exported_with_its_head(tiny_model: TinyModel, tmp_path: Path) -> None:
    training = rows("movies", 40)
    fitted = fit_frozen_probe(
        str(tiny_model("bert")), training, training, label_names=LABELS, max_length_tokens=40, seed=0
    )
    save_probe(fitted, tmp_path / "probe")
    export_model(str(tmp_path / "probe"), runtime="onnx", output=tmp_path / "fast")
    before, after = load_adapted(tmp_path / "probe"), load_adapted(tmp_path / "fast")
    assert isinstance(after, OnnxClassifier)
    assert (after.label_names, after.max_length_tokens) == (LABELS, 40)
    assert np.abs(after.logits(TEXTS) - before.logits(TEXTS)).max() < 1e-4


def test_eight_bits_are_smaller_and_close(exported: Any, tmp_path: Path) -> None:
    model, whole = exported("bert")
    made = export_model(
        str(model), runtime="onnx", int8=True, output=tmp_path / "int8", override="a random model"
    )
    assert made.description["int8"] is True
    before, after = load_adapted(model).logits(TEXTS), load_adapted(tmp_path / "int8").logits(TEXTS)
    assert 0 < np.abs(after - before).max() < 0.1
    sizes = [(folder / "model.onnx").stat().st_size for folder in (tmp_path / "int8", whole)]
    assert sizes[0] < sizes[1]


def test_small_files_beside_the_weights_travel_and_the_weights_do_not(exported: Any, tmp_path: Path) -> None:
    model = tmp_path / "model"
    shutil.copytree(exported("bert")[0], model)
    (model / "calibration.json").write_text('{"temperature": 1.5}')
    (model / "README.md").write_text("---\nlicense: mit\n---\n# My model\n")
    (model / "notes.bin").write_bytes(b"of mine")
    export_model(str(model), runtime="onnx", output=tmp_path / "fast")
    names = {path.name for path in (tmp_path / "fast").iterdir()}
    assert {"calibration.json", "config.json", "tokenizer.json", "model.onnx", "export.json"} <= names
    assert not names & {"model.safetensors", "notes.bin", "float32.onnx"}
    card = (tmp_path / "fast" / "README.md").read_text()
    assert card.startswith("---\nlicense: mit\n---\n# My model\n\n## Exported for a faster runtime\n")
    said = json.loads((tmp_path / "fast" / "export.json").read_text())
    assert said["label_names"] == LABELS
    assert said["parity"]["max_logit_difference"] < 1e-4
    assert said["parity"]["rows_are"].startswith("32 texts made of the model's own words")
    assert str(tmp_path) not in (tmp_path / "fast" / "export.json").read_text()


class Scored:
    """A classifier with known logits."""

    label_names = LABELS

    def __init__(self, logits: list[list[float]]) -> None:
        self.scores = np.asarray(logits)

    def logits(self, texts: Any) -> Any:
        return self.scores


@pytest.mark.parametrize(
    ("changed", "int8", "labels", "problem"),
    [
        ([], False, True, ""),
        ([(0, 0.00005)], False, True, ""),
        ([(0, 0.001)], False, True, "logits differ by 0.001"),
        ([(0, 0.001)], True, True, ""),
        # One of 100 rows is a point of accuracy; one of 300 is a third of a point.
        ([(0, -2.0)], True, True, "accuracy falls from 100.0 to 99.0"),
        ([(0, -2.0)], True, False, "1.0% of the labels changed"),
    ],
)
def test_bounds(changed: Any, int8: bool, labels: bool, problem: str) -> None:
    logits = [[1.0, 0.0]] * 100
    moved = [list(row) for row in logits]
    for row, by in changed:
        moved[row][0] += by
    sample = LabelledTexts("100 texts", ["text"] * 100, ["negative"] * 100 if labels else None)
    parity = classification_parity(Scored(logits), Scored(moved), sample, int8=int8)
    assert len(parity.problems) == bool(problem)
    assert all(problem in each for each in parity.problems)
    assert parity.measured["rows"] == 100


def test_what_is_out_of_bounds_leaves_what_was_there(exported: Any, tmp_path: Path, monkeypatch: Any) -> None:
    model, folder = exported("bert")
    shutil.copytree(folder, tmp_path / "fast")
    kept = (tmp_path / "fast" / "export.json").read_bytes()
    found = Parity({"rows_are": "3 texts", "rows": 3}, ["logits differ by 1"])
    monkeypatch.setattr(export, "classification_parity", lambda *given, **settings: found)
    with pytest.raises(RunError, match=r"(?s)on 3 texts .*logits differ by 1.*--override"):
        export_model(str(model), runtime="onnx", output=tmp_path / "fast")
    assert [path.name for path in tmp_path.iterdir()] == ["fast"]
    assert (tmp_path / "fast" / "export.json").read_bytes() == kept


def test_a_folder_with_something_else_is_not_replaced(exported: Any, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match="holds something else than an exported model"):
        export_model(str(exported("bert")[0]), runtime="onnx", output=tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_the_other_task_s_runtime_is_refused(exported: Any, tmp_path: Path) -> None:
    model, folder = exported("bert")
    with pytest.raises(ModelError, match="with --runtime onnx, not ctranslate2"):
        export_model(str(model), runtime="ctranslate2", output=tmp_path / "none")
    with pytest.raises(ConfigError, match="no runtime 'onx'; did you mean onnx"):
        export_model(str(model), runtime="onx", output=tmp_path / "none")
    with pytest.raises(ModelError, match="exported for onnx and holds no weights for torch"):
        load_adapted(folder, runtime="torch")
    assert list(tmp_path.iterdir()) == []


def test_a_missing_extra_is_named(exported: Any, monkeypatch: Any, tmp_path: Path) -> None:
    from nlp_transfer.inference import exported as opening

    monkeypatch.setattr(opening.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r'needs onnxruntime; .*"nlp-transfer\[fast\]"') as refused:
        load_adapted(exported("bert")[1])
    assert refused.value.exit_code == 2
    with pytest.raises(ConfigError, match="needs onnx and onnxscript and onnxruntime"):
        export_model(str(exported("bert")[0]), runtime="onnx", output=tmp_path / "none")


def test_a_family_that_cannot_be_traced_is_refused(exported: Any, tmp_path: Path, monkeypatch: Any) -> None:
    import torch

    def fails(*given: Any, **settings: Any) -> None:
        raise RuntimeError("no such operation")

    monkeypatch.setattr(torch.onnx, "export", fails)
    with pytest.raises(ModelError, match=r"bert models cannot be exported .*no such operation"):
        export_model(str(exported("bert")[0]), runtime="onnx", output=tmp_path / "none")
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_graph_is_refused(exported: Any, tmp_path: Path) -> None:
    shutil.copytree(exported("bert")[1], tmp_path / "damaged")
    (tmp_path / "damaged" / "model.onnx").write_bytes(b"none")
    with pytest.raises(ModelError, match=r"cannot be opened.*export the model again"):
        load_adapted(tmp_path / "damaged")
