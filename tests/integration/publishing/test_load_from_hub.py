"""`load_adapted` from the Hub: every kind of model, at its revision, whole, or with a clear error."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hub_server import OTHER_TOKEN, FakeHub
from huggingface_hub import constants
from runs_to_publish import TEXTS, files_of
from safetensors.torch import load_file, save_file
from tiny import LABELS

from nlp_transfer import load_adapted
from nlp_transfer.errors import ModelError

FIGURES = {"figures/systems.png": b"\0png", "report.json": b"{}", "onnx/model.safetensors": b"other"}


@pytest.fixture
def classifier(hub: FakeHub, tiny_model: Any) -> Path:
    """A classifier's folder, whose files are on the Hub as ada/model, beside others."""
    folder = Path(tiny_model("bert", labels=LABELS))
    hub.add("ada/model", {**files_of(folder), **FIGURES, "README.md": b"# mine\n"})
    return folder


def same_scores(first: Any, second: Any) -> bool:
    return bool(np.abs(load_adapted(first).logits(TEXTS) - load_adapted(second).logits(TEXTS)).max() <= 1e-5)


def test_only_the_files_of_the_model_are_fetched(hub: FakeHub, classifier: Path) -> None:
    assert same_scores("ada/model", classifier)
    fetched = {path for method, path in hub.requests if method == "HEAD" and "/resolve/" in path}
    assert {path.partition("/resolve/")[2].partition("/")[2] for path in fetched} == set(files_of(classifier))
    requests = len(hub.requests)
    load_adapted("ada/model")
    assert not [path for method, path in hub.requests[requests:] if "/resolve/" in path and method == "GET"]


def test_each_revision_is_loaded_as_it_was(hub: FakeHub, classifier: Path, tiny_model: Any) -> None:
    first = hub.repos["ada/model"].head
    other = Path(tiny_model("bert", labels=LABELS, seed=1))
    hub.repos["ada/model"].tags["v1"] = first
    hub.add("ada/model", files_of(other))
    old, new = (load_adapted(folder).logits(TEXTS) for folder in (classifier, other))
    for revision, expected in (("v1", old), (first, old), (None, new), ("main", new)):
        assert np.allclose(load_adapted("ada/model", revision=revision).logits(TEXTS), expected, atol=1e-5)
    with pytest.raises(ModelError, match="ada/model has no revision 'v9'; it has main, v1"):
        load_adapted("ada/model", revision="v9")


def test_a_private_model_needs_its_owner(hub: FakeHub, tiny_model: Any, monkeypatch: Any) -> None:
    hub.add("ada/secret", files_of(tiny_model("bert", labels=LABELS)), private=True)
    message = r"the Hub shows no model ada/secret: .* not logged in .*`hf auth login`"
    for token in (None, OTHER_TOKEN):
        if token is None:
            monkeypatch.delenv("HF_TOKEN")
        else:
            monkeypatch.setenv("HF_TOKEN", token)
        with pytest.raises(ModelError, match=message):
            load_adapted("ada/secret")
    with pytest.raises(ModelError, match="the Hub shows no model ada/absent"):
        load_adapted("ada/absent")
    with pytest.raises(ModelError, match="neither a folder nor a Hub id"):
        load_adapted("two words")
    assert hub.tokens_at_the_cdn == []


def test_a_damaged_download_is_fetched_again(hub: FakeHub, classifier: Path) -> None:
    hub.fail("GET", "^/cdn/", corrupt=True)
    assert same_scores("ada/model", classifier)
    assert hub.faults == []
    assert hub.count("GET", "^/cdn/") == 2


@pytest.mark.parametrize("path", ["^/cdn/", "/tokenizer.json"])
def test_a_download_that_stays_damaged_is_refused_and_not_kept(
    path: str, hub: FakeHub, classifier: Path
) -> None:
    hub.fail("GET", path, corrupt=True, times=2)
    with pytest.raises(ModelError, match=r"ada/model arrives damaged: (model.safetensors|tokenizer.json) is"):
        load_adapted("ada/model")
    assert same_scores("ada/model", classifier)


def test_a_dropped_download_goes_on_where_it_stopped(hub: FakeHub, classifier: Path) -> None:
    hub.fail("GET", "^/cdn/", drop="inside")
    assert same_scores("ada/model", classifier)
    assert hub.faults == []


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ({"status": 403}, "the model ada/model cannot be fetched"),
        ({"status": 404}, "the model ada/model cannot be fetched"),
        ({"status": 500, "times": 99}, "the model ada/model cannot be fetched"),
    ],
)
def test_a_download_that_fails_is_one_message(
    fault: dict[str, Any], message: str, hub: FakeHub, classifier: Path
) -> None:
    hub.fail("GET", "^/cdn/", fault.pop("status"), **fault)
    with pytest.raises(ModelError, match=message):
        load_adapted("ada/model")


def test_without_network_the_copy_on_this_machine_is_taken(
    hub: FakeHub, classifier: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(ModelError, match="the Hub cannot be reached, and there is no copy of it"):
        load_adapted("ada/model")
    monkeypatch.setattr(constants, "ENDPOINT", hub.url)
    load_adapted("ada/model")
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    assert same_scores("ada/model", classifier)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert same_scores("ada/model", classifier)


def test_labels_in_two_orders_are_refused(hub: FakeHub, classifier: Path) -> None:
    config = json.loads((classifier / "config.json").read_text())
    config["label2id"] = {"negative": 1, "positive": 0}
    hub.add("ada/turned", {**files_of(classifier), "config.json": json.dumps(config).encode()})
    message = "id2label says negative, positive, label2id says positive, negative; correct the wrong one"
    with pytest.raises(ModelError, match=message):
        load_adapted("ada/turned")


# Probes and adapters --------------------------------------------------------------------------------


def test_a_probe_is_loaded_from_the_hub(hub: FakeHub, probe_run: Path) -> None:
    hub.add("ada/probe", files_of(probe_run / "model"))
    assert load_adapted("ada/probe").label_names == LABELS
    assert same_scores("ada/probe", probe_run)


def adapter_files(run: Path, **changes: Any) -> dict[str, bytes]:
    """An adapter's files, with changed settings; a None takes a file away."""
    files = files_of(run / "adapter")
    config = json.loads(files["adapter_config.json"])
    config |= {key: value for key, value in changes.items() if key in config}
    files["adapter_config.json"] = json.dumps(config).encode()
    for name in ("labels", "base"):
        if name in changes:
            files[f"{name}.json"] = json.dumps(changes[name]).encode()
    return files


def test_an_adapter_is_loaded_on_its_base_at_its_revision(
    hub: FakeHub, lora_run: Path, tiny_model: Any
) -> None:
    revision = hub.repos["tiny-org/encoder"].head
    hub.add("ada/adapter", adapter_files(lora_run, revision=revision))
    hub.add("tiny-org/encoder", files_of(tiny_model("bert", seed=1)))
    loaded = load_adapted("ada/adapter")
    assert loaded.label_names == LABELS
    assert np.abs(loaded.logits(TEXTS) - load_adapted(lora_run).logits(TEXTS)).max() <= 1e-5
    # The folder of the run itself names no revision: it is loaded on what its base has become.
    assert not same_scores(lora_run / "adapter", lora_run)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"base_model_name_or_path": "ada/gone"},
            r"needs its base model ada/gone, which is missing: .*",
        ),
        (
            {"revision": "v7"},
            r"needs its base model tiny-org/encoder at revision v7, which is missing",
        ),
        (
            {"base": {"weights_sha256": {"model.safetensors": "0" * 64}}},
            r"tiny-org/encoder is not the base model .*model\.safetensors has other content",
        ),
        (
            {"base_model_name_or_path": "tiny-org/wider"},
            r"does not fit its base tiny-org/wider: .*size mismatch",
        ),
        ({"labels": ["a", "b", "c"]}, r"does not fit its base tiny-org/encoder: .*size mismatch"),
        ({"labels": {"negative": 0}}, r"labels\.json is no list of names"),
        ({"base_model_name_or_path": None}, r"names no base model"),
        (
            {"target_modules": ["query", "key"]},
            r"does not fit its base .* weights have no counterpart, such as",
        ),
    ],
)
def test_an_adapter_that_does_not_fit_is_refused(
    changes: dict[str, Any], message: str, hub: FakeHub, lora_run: Path, tiny_model: Any
) -> None:
    hub.add("tiny-org/wider", files_of(tiny_model("bert", hidden_size=64)))
    hub.add("ada/adapter", adapter_files(lora_run, **changes))
    with pytest.raises(ModelError, match=message):
        load_adapted("ada/adapter")


def test_an_adapter_without_labels_says_what_to_write(hub: FakeHub, lora_run: Path) -> None:
    files = adapter_files(lora_run)
    hub.add("ada/adapter", {name: content for name, content in files.items() if name != "labels.json"})
    with pytest.raises(ModelError, match=r'has no labels\.json; .* such as \["negative", "positive"\]'):
        load_adapted("ada/adapter")
    hub.add("ada/adapter", {**files, "adapter_config.json": b"no json"})
    with pytest.raises(ModelError, match="cannot be read"):
        load_adapted("ada/adapter")


def test_an_adapter_without_a_head_answers_in_its_bases_order(
    hub: FakeHub, lora_run: Path, tiny_model: Any, tmp_path: Path
) -> None:
    hub.add("ada/base", files_of(tiny_model("bert", labels=LABELS)))
    path = lora_run / "adapter" / "adapter_model.safetensors"
    weights = {name: weight for name, weight in load_file(path).items() if "classifier" not in name}
    save_file(weights, tmp_path / "headless.safetensors")
    headless = {"base_model_name_or_path": "ada/base", "modules_to_save": None}
    for labels in (LABELS, LABELS[::-1]):
        files = adapter_files(lora_run, **headless, labels=labels)
        files["adapter_model.safetensors"] = (tmp_path / "headless.safetensors").read_bytes()
        hub.add(f"ada/{labels[0]}", files)
    assert load_adapted("ada/negative").label_names == LABELS
    message = r"its labels are positive, negative while its base ada/base answers with negative, positive"
    with pytest.raises(ModelError, match=message):
        load_adapted("ada/positive")
