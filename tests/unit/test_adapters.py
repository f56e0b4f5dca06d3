"""LoRA and freezing on every supported family: what trains, and that what is saved comes back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from tiny import FAMILIES, LABELS
from transformers import AutoModelForSequenceClassification

from nlp_transfer.errors import ModelError
from nlp_transfer.models import adapters
from nlp_transfer.models.adapters import TARGET_MODULES, add_adapter, merge, save_adapter
from nlp_transfer.models.freezing import freeze
from nlp_transfer.models.loading import LoadedClassifier, load_classifier, load_tokenizer

TEXTS = ["the film is good", "what an ugly phone", "this battery was so broken that i told all of them"]
# Linear maps of two layers: query, key, value, attention output, two of the feed-forward. ModernBERT has
# one map for query, key and value; ALBERT shares one layer's weights.
ADAPTED_LAYERS = {"modernbert": 2 * 4, "albert": 6}
# What a bare encoder's checkpoint lacks, and must be trained in full and saved beside the adapter.
HEADS = {
    "bert": {"classifier"},
    "roberta": {"classifier"},
    "distilbert": {"pre_classifier", "classifier"},
    "deberta-v2": {"pooler", "classifier"},
    "modernbert": {"head", "classifier"},
    "electra": {"classifier"},
    "albert": {"classifier"},
    "mpnet": {"classifier"},
    "xlm-roberta": {"classifier"},
}


def with_adapter(loaded: LoadedClassifier, targets: str | list[str] = "auto") -> PeftModel:
    return add_adapter(loaded.model, rank=4, alpha=8, targets=targets, fresh=loaded.fresh, seed=0)


def train_two_steps(model: Any, tokenizer: Any) -> None:
    """Take two steps large enough that everything which trains moves."""
    model.train()
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=0.02)
    batch = tokenizer(TEXTS, padding=True, return_tensors="pt")
    for _ in range(2):
        optimizer.zero_grad()
        model(**batch, labels=torch.tensor([1, 0, 0])).loss.backward()
        optimizer.step()


def logits(model: Any, tokenizer: Any) -> torch.Tensor:
    model.eval()
    with torch.inference_mode():
        return model(**tokenizer(TEXTS, padding=True, return_tensors="pt")).logits


@pytest.mark.parametrize("family", FAMILIES)
def test_an_adapted_model_comes_back_as_it_was_trained(family: str, tiny_model: Any, tmp_path: Path) -> None:
    loaded = load_classifier(str(tiny_model(family)), label_names=LABELS)
    before = {name: weights.clone() for name, weights in loaded.model.state_dict().items()}
    model = with_adapter(loaded)

    factors = [name for name, _ in model.named_parameters() if "lora_A" in name]
    assert len(factors) == ADAPTED_LAYERS.get(family, 2 * 6)
    assert set(model.peft_config["default"].modules_to_save) == HEADS[family]

    train_two_steps(model, loaded.tokenizer)
    trained = logits(model, loaded.tokenizer)
    save_adapter(model, tmp_path / "adapter", base="me/base", label_names=LABELS)
    merged = merge(model)
    assert torch.allclose(logits(merged, loaded.tokenizer), trained, atol=1e-5)
    merged.save_pretrained(tmp_path / "model")

    plain = AutoModelForSequenceClassification.from_pretrained(tmp_path / "model")
    assert torch.allclose(logits(plain, loaded.tokenizer), trained, atol=1e-5)
    assert plain.config.id2label == dict(enumerate(LABELS))

    after = plain.state_dict()
    moved = {name for name, weights in before.items() if not torch.equal(weights, after[name])}
    heads = {name for name in before if name.split(".")[0] in HEADS[family]}
    assert heads <= moved
    assert not {name for name in moved if "embeddings" in name}

    # The adapter alone, on a base whose head starts elsewhere.
    torch.manual_seed(99)
    base = AutoModelForSequenceClassification.from_pretrained(tiny_model(family), num_labels=2)
    assert not torch.allclose(logits(base, loaded.tokenizer), trained, atol=1e-2)
    again = PeftModel.from_pretrained(base, tmp_path / "adapter")
    assert torch.allclose(logits(again, loaded.tokenizer), trained, atol=1e-5)


def test_an_adapter_is_replaced_whole_or_not_at_all(
    tiny_model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = with_adapter(load_classifier(str(tiny_model("bert")), label_names=LABELS))
    folder = tmp_path / "adapter"
    save_adapter(model, folder, base="me/base", label_names=LABELS)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def full(path: Path, *_: Any) -> None:
        """Stand for a disk that has no room for the last file."""
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(adapters, "save_json", full)
    with pytest.raises(OSError, match="No space left"):
        save_adapter(model, folder, base="another/base", label_names=LABELS[::-1])
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["adapter"]


def test_an_adapter_names_its_base_and_its_labels(tiny_model: Any, tmp_path: Path) -> None:
    model = with_adapter(load_classifier(str(tiny_model("bert")), label_names=LABELS))
    save_adapter(model, tmp_path, base="me/base", label_names=LABELS)
    assert json.loads((tmp_path / "adapter_config.json").read_text())["base_model_name_or_path"] == "me/base"
    assert json.loads((tmp_path / "labels.json").read_text()) == LABELS
    assert not (tmp_path / "config.json").exists()


@pytest.mark.parametrize("family", FAMILIES)
def test_all_linear_leaves_the_head_to_be_trained_whole(family: str, tiny_model: Any) -> None:
    loaded = load_classifier(str(tiny_model(family)), label_names=LABELS)
    model = with_adapter(loaded, "all-linear")
    factors = [name for name, _ in model.named_parameters() if "lora_A" in name]
    assert len(factors) >= ADAPTED_LAYERS.get(family, 2 * 6)
    assert not [
        name
        for name in factors
        if set(name.split(".")) & HEADS[family] & {"classifier", "pre_classifier", "head"}
    ]
    train_two_steps(model, loaded.tokenizer)
    trained = logits(model, loaded.tokenizer)
    assert torch.allclose(logits(merge(model), loaded.tokenizer), trained, atol=1e-5)


def test_chosen_modules_get_the_adapters_and_the_same_seed_the_same_start(tiny_model: Any) -> None:
    starts = []
    for _ in range(2):
        model = with_adapter(load_classifier(str(tiny_model("bert")), label_names=LABELS), ["query"])
        factors = {name: weights for name, weights in model.named_parameters() if "lora_A" in name}
        assert all(".query." in name for name in factors)
        starts.append(torch.stack(list(factors.values())))
    assert starts[0].shape == (2, 4, 32)
    assert torch.equal(starts[0], starts[1])


def test_a_module_name_that_the_model_lacks_is_refused(tiny_model: Any) -> None:
    loaded = load_classifier(str(tiny_model("bert")), label_names=LABELS)
    with pytest.raises(
        ModelError, match="target_modules: the model has no module 'quary'; did you mean query"
    ):
        with_adapter(loaded, ["value", "quary"])


def test_an_unknown_family_is_refused_with_what_to_set(tiny_model: Any) -> None:
    loaded = load_classifier(str(tiny_model("bert")), label_names=LABELS)
    loaded.model.config.model_type = "novel"
    with pytest.raises(
        ModelError,
        match=r"no LoRA target modules are known for novel \(known: albert, bert, .*"
        r"name them in adaptation.target_modules, or set it to all-linear",
    ):
        with_adapter(loaded)


def test_the_map_covers_the_families_that_are_promised() -> None:
    assert set(FAMILIES) <= set(TARGET_MODULES)


# Freezing -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", [family for family in FAMILIES if family != "albert"])
def test_embeddings_and_the_first_layers_stay_as_they_are(family: str, tiny_model: Any) -> None:
    loaded = load_classifier(str(tiny_model(family)), label_names=LABELS)
    before = {name: weights.clone() for name, weights in loaded.model.state_dict().items()}
    freeze(loaded.model, layers=1)
    train_two_steps(loaded.model, loaded.tokenizer)
    after = loaded.model.state_dict()
    moved = {name for name, weights in before.items() if not torch.equal(weights, after[name])}
    assert not [name for name in moved if "embeddings." in name and "rel_embeddings" not in name]
    assert not [name for name in moved if ".0." in name]
    assert [name for name in moved if ".1." in name]
    assert {name for name in before if name.split(".")[0] in HEADS[family]} <= moved


@pytest.mark.parametrize("family", FAMILIES)
def test_without_frozen_layers_all_but_the_embeddings_train(family: str, tiny_model: Any) -> None:
    model = load_classifier(str(tiny_model(family)), label_names=LABELS).model
    freeze(model, layers=0)
    fixed = {name for name, weights in model.named_parameters() if not weights.requires_grad}
    assert fixed == {name for name, _ in model.named_parameters() if ".embeddings." in name}
    assert fixed


@pytest.mark.parametrize(
    ("family", "layers", "message"),
    [
        ("bert", 3, "freeze_layers is 3 and bert has 2 separate layer"),
        ("modernbert", 9, "freeze_layers is 9 and modernbert has 2 separate layer"),
        ("albert", 1, "freeze_layers is 1 and albert has 1 separate layer"),
    ],
)
def test_more_layers_than_can_be_frozen_are_refused(
    family: str, layers: int, message: str, tiny_model: Any
) -> None:
    model = load_classifier(str(tiny_model(family)), label_names=LABELS).model
    with pytest.raises(ModelError, match=message):
        freeze(model, layers=layers)


def test_frozen_layers_get_no_adapter_either(tiny_model: Any) -> None:
    loaded = load_classifier(str(tiny_model("bert")), label_names=LABELS)
    freeze(loaded.model, layers=1)
    model = with_adapter(loaded)
    factors = [name for name, _ in model.named_parameters() if "lora_A" in name]
    assert len(factors) == 6
    assert all(".layer.1." in name for name in factors)


@pytest.mark.parametrize(
    ("family", "targets"),
    [("bert", "auto"), ("bert", ["query"]), ("roberta", "all-linear")],
)
def test_adapters_on_frozen_layers_alone_are_refused(
    family: str, targets: str | list[str], tiny_model: Any
) -> None:
    loaded = load_classifier(str(tiny_model(family)), label_names=LABELS)
    freeze(loaded.model, layers=2)
    with pytest.raises(ModelError, match=r"freeze_layers leaves no module .* adaptation\.method: probe"):
        with_adapter(loaded, targets)


def test_a_tokenizer_comes_with_every_tiny_model(tiny_model: Any) -> None:
    for family in FAMILIES:
        tokenizer = load_tokenizer(str(tiny_model(family)))
        assert tokenizer.unk_token_id not in tokenizer(TEXTS[0])["input_ids"]
