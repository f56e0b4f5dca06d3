"""Models are loaded with their labels in a known order, and what cannot be loaded ends with one message."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import FAMILIES

from nlp_transfer.errors import ModelError
from nlp_transfer.inference.load import load_adapted
from nlp_transfer.models.loading import (
    head_parameters,
    load_classifier,
    load_tokenizer,
    model_identity,
    model_labels,
    require_encoder,
)
from nlp_transfer.models.resolving import resolve_model

LABELS = ["negative", "neutral", "positive"]
HEAD = ["classifier.bias", "classifier.weight"]


@pytest.fixture
def model_copy(tiny_model: Any, tmp_path: Path) -> Path:
    """A classifier's folder that a test may damage."""
    return Path(shutil.copytree(tiny_model("bert", labels=LABELS), tmp_path / "model"))


def head_of(folder: Path, labels: list[str]) -> torch.Tensor:
    return load_classifier(str(folder), label_names=labels).model.classifier.weight.detach()


# Whose head is reused -----------------------------------------------------------------------------


def test_a_head_with_the_wanted_labels_in_their_order_is_kept(tiny_model: Any) -> None:
    folder = tiny_model("bert", labels=LABELS)
    loaded = load_classifier(str(folder), label_names=LABELS)
    assert loaded.fresh == []
    assert loaded.model.config.id2label == {0: "negative", 1: "neutral", 2: "positive"}
    assert torch.equal(loaded.model.classifier.weight, head_of(folder, LABELS))


@pytest.mark.parametrize(
    "wanted",
    [
        ["positive", "neutral", "negative"],
        ["bad", "so-so", "good"],
        ["negative", "positive"],
        [*LABELS, "mixed"],
    ],
    ids=["another order", "other names", "fewer", "more"],
)
def test_a_head_for_other_labels_starts_anew(wanted: list[str], tiny_model: Any) -> None:
    folder = tiny_model("bert", labels=LABELS)
    kept = load_classifier(str(folder), label_names=LABELS).model
    loaded = load_classifier(str(folder), label_names=wanted)
    assert sorted(loaded.fresh) == HEAD
    assert loaded.model.classifier.weight.shape == (len(wanted), 32)
    assert not torch.equal(loaded.model.classifier.weight[:2], kept.classifier.weight[:2])
    assert loaded.model.config.label2id == {name: number for number, name in enumerate(wanted)}
    query = "bert.encoder.layer.0.attention.self.query.weight"
    assert torch.equal(loaded.model.state_dict()[query], kept.state_dict()[query])


@pytest.mark.parametrize("family", FAMILIES)
def test_the_same_number_of_labels_in_another_order_is_no_reuse(family: str, tiny_model: Any) -> None:
    """All of the head starts anew, and nothing else does."""
    folder = str(tiny_model(family, labels=LABELS))
    kept = load_classifier(folder, label_names=LABELS).model
    loaded = load_classifier(folder, label_names=LABELS[::-1])
    drawn = [name for name in head_parameters(kept) if kept.state_dict()[name].dim() == 2]
    moved = {
        name
        for name, weights in kept.state_dict().items()
        if not torch.equal(weights, loaded.model.state_dict()[name])
    }
    assert set(drawn) == moved
    assert sorted(loaded.fresh) == sorted(head_parameters(kept))


def test_a_head_that_starts_anew_does_so_by_the_seed(tiny_model: Any) -> None:
    folder = tiny_model("bert", labels=LABELS)
    heads = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        heads.append(head_of(folder, LABELS[::-1]))
    assert torch.equal(heads[0], heads[1])
    assert not torch.equal(heads[0], heads[2])


def test_a_bare_encoder_gets_a_fresh_head_and_tells_so(tiny_model: Any) -> None:
    loaded = load_classifier(str(tiny_model("bert")), label_names=LABELS)
    assert loaded.fresh == HEAD == sorted(head_parameters(loaded.model))
    assert loaded.model.dtype == torch.float32


def test_from_scratch_every_weight_is_fresh(tiny_model: Any) -> None:
    folder = str(tiny_model("bert"))
    loaded = load_classifier(folder, label_names=LABELS, pretrained=False)
    pretrained = load_classifier(folder, label_names=LABELS).model.state_dict()
    drawn = [
        name for name, weights in loaded.model.named_parameters() if weights.dim() == 2 and "type" not in name
    ]
    assert set(loaded.fresh) == set(dict(loaded.model.named_parameters()))
    assert drawn
    assert not [name for name in drawn if torch.equal(loaded.model.state_dict()[name], pretrained[name])]


def test_a_bfloat16_checkpoint_is_loaded_as_float32(tiny_model: Any, tmp_path: Path) -> None:
    loaded = load_classifier(str(tiny_model("bert", labels=LABELS)), label_names=LABELS)
    loaded.model.to(torch.bfloat16).save_pretrained(tmp_path)
    loaded.tokenizer.save_pretrained(tmp_path)
    assert load_classifier(str(tmp_path), label_names=LABELS).model.dtype == torch.float32


# What a model says of itself ----------------------------------------------------------------------


def test_labels_are_told_in_the_order_of_the_head(tiny_model: Any) -> None:
    assert model_labels(str(tiny_model("bert", labels=["pos", "neg"]))) == ["pos", "neg"]


def test_neither_an_encoder_nor_nameless_outputs_have_labels(tiny_model: Any) -> None:
    assert model_labels(str(tiny_model("bert"))) is None
    assert model_labels(str(tiny_model("bert", labels=["LABEL_0", "LABEL_1"]))) is None


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json"])
def test_other_weights_settings_or_tokenizer_make_another_model(name: str, model_copy: Path) -> None:
    before = model_identity(str(model_copy))
    assert before == model_identity(str(model_copy))
    content = (model_copy / name).read_bytes()
    (model_copy / name).write_bytes(content + b" ")
    assert model_identity(str(model_copy)) != before


def test_a_package_holds_a_model_as_a_folder_does(tiny_model: Any, tmp_path: Path, monkeypatch: Any) -> None:
    package = tmp_path / "a_package_with_a_model"
    shutil.copytree(tiny_model("bert", labels=LABELS), package / "model")
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    assert resolve_model("package://a_package_with_a_model/model") == str(package / "model")
    assert model_labels("package://a_package_with_a_model/model") == LABELS


# What cannot be loaded ----------------------------------------------------------------------------


def refused(path: object) -> str:
    """Load a model's every part; all must fail with the same kind of error, and one line."""
    messages = []
    for load in (lambda: load_classifier(str(path), label_names=LABELS), lambda: load_tokenizer(str(path))):
        with pytest.raises(ModelError) as caught:
            load()
        messages.append(str(caught.value))
    assert "\n" not in messages[0]
    return messages[0]


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert refused(tmp_path / "absent") == f"there is no folder {tmp_path}/absent"


def test_no_name_is_not_the_current_folder(model_copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(model_copy)
    for name in ("", "  "):
        assert refused(name).startswith("the model's name is empty; give a model folder")
        with pytest.raises(ModelError, match="the model's name is empty"):
            load_adapted(name)
    assert load_adapted(".").label_names == LABELS


def test_a_run_folder_is_told_from_a_model_folder(model_copy: Path, tmp_path: Path) -> None:
    shutil.copytree(model_copy, tmp_path / "run" / "model")
    words = refused(tmp_path / "run")
    assert (
        f"is not a model folder but a run folder: it has no config.json; give {tmp_path}/run/model" in words
    )
    assert "--continue-from" in words


def test_a_file_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "weights.bin").write_bytes(b"\0")
    assert "is not a model folder" in refused(tmp_path / "weights.bin")


def test_a_folder_without_weights_is_refused(model_copy: Path) -> None:
    (model_copy / "model.safetensors").unlink()
    assert refused(model_copy) == f"{model_copy} has no weights (*.safetensors)"


def test_pickled_weights_are_never_read(model_copy: Path) -> None:
    (model_copy / "model.safetensors").unlink()
    (model_copy / "pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'exit 3'\ntR.")
    assert refused(model_copy).endswith("its weights are in a pickle format, which is not read")


@pytest.mark.parametrize("kept_bytes", [0, 5, 2000])
def test_damaged_weights_are_refused(kept_bytes: int, model_copy: Path) -> None:
    weights = model_copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:kept_bytes])
    with pytest.raises(ModelError, match=f"^the model {model_copy} cannot be loaded"):
        load_classifier(str(model_copy), label_names=LABELS)


@pytest.mark.parametrize(
    "content",
    ["", "{", "[1]", '{"model_type": "no-such-type"}', '{"model_type": "bert", "hidden_size": "x"}'],
)
def test_a_damaged_config_is_refused(content: str, model_copy: Path) -> None:
    (model_copy / "config.json").write_text(content)
    with pytest.raises(ModelError, match=f"^the model {model_copy} cannot be loaded"):
        load_classifier(str(model_copy), label_names=LABELS)


def test_a_damaged_tokenizer_is_refused(model_copy: Path) -> None:
    (model_copy / "tokenizer.json").write_text("{}")
    with pytest.raises(ModelError, match=f"^the model {model_copy} cannot be loaded"):
        load_tokenizer(str(model_copy))


def test_a_model_without_its_tokenizer_is_refused(model_copy: Path) -> None:
    """The library makes a tokenizer of five special tokens then, to which every word is unknown."""
    (model_copy / "tokenizer.json").unlink()
    with pytest.raises(ModelError, match="has no tokenizer: save the one that it was trained with beside it"):
        load_tokenizer(str(model_copy))


def test_a_tokenizer_that_cannot_pad_is_refused(model_copy: Path) -> None:
    settings = json.loads((model_copy / "tokenizer_config.json").read_text())
    settings |= {"pad_token": None, "tokenizer_class": "TokenizersBackend"}
    (model_copy / "tokenizer_config.json").write_text(json.dumps(settings))
    with pytest.raises(ModelError, match=r"has no padding token.*choose an encoder"):
        load_tokenizer(str(model_copy))


def test_a_model_of_another_kind_is_refused(tiny_model: Any) -> None:
    from transformers import AutoConfig, AutoTokenizer

    folder = tiny_model("bert")
    vision = folder.parent / "vision"
    AutoConfig.for_model("vit", hidden_size=16, num_hidden_layers=1).save_pretrained(vision)
    AutoTokenizer.from_pretrained(folder).save_pretrained(vision)
    shutil.copy(folder / "model.safetensors", vision)
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_classifier(str(vision), label_names=LABELS)
    with pytest.raises(ModelError, match=r"is no encoder that can classify but a vit; choose an encoder"):
        require_encoder(str(vision))


def test_the_code_of_a_model_is_not_run(model_copy: Path, tmp_path: Path) -> None:
    settings = json.loads((model_copy / "config.json").read_text())
    settings |= {
        "model_type": "mine",
        "auto_map": {"AutoConfig": "mine.Config", "AutoModelForSequenceClassification": "mine.Model"},
    }
    (model_copy / "config.json").write_text(json.dumps(settings))
    (model_copy / "mine.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_classifier(str(model_copy), label_names=LABELS)
    assert not (tmp_path / "ran").exists()


def test_a_hub_id_without_the_network_is_refused(monkeypatch: Any) -> None:
    import huggingface_hub.utils._http as http
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(http.time, "sleep", lambda _: None)
    message = refused("nobody/nothing")
    assert message.startswith("the model nobody/nothing cannot be loaded (")
    assert message.endswith(
        "Give a Hub id that exists (with the network there), a folder that save_pretrained wrote, or package://module/folder"
    )


def test_a_package_that_is_not_installed_is_named() -> None:
    from nlp_transfer.errors import TransferError

    with pytest.raises(
        TransferError, match="needs the Python package that holds the module 'no_such_package'"
    ):
        load_tokenizer("package://no_such_package/model")
