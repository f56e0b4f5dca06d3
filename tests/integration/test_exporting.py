"""`nlp-transfer export` on finished runs, and what it made in `predict`, `translate` and `serve`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import httpx2 as httpx
import numpy as np
import pytest
from looking import Call
from serving import api, running
from tiny import write_csv

from nlp_transfer import load_adapted
from nlp_transfer.exporting.export import export_model

SENTENCES = ["Save the file", "The file could not be opened.", "Close the window?"]


def test_a_run_is_exported_beside_itself_and_compared_on_its_test_rows(
    finished_copy: Path, call: Call, tmp_path: Path
) -> None:
    ended = call("export", finished_copy, "--runtime", "onnx", "--json")
    assert ended.status == 0, ended.err
    said = json.loads(ended.out)
    folder = finished_copy / "exported" / "onnx"
    assert said["folder"] == str(folder)
    report = json.loads((finished_copy / "report.json").read_text())
    found = report["systems"]["adapted"]["target"]["accuracy"]
    assert said["parity"]["rows"] == found["n"]
    assert said["parity"]["accuracy"]["model"] == pytest.approx(100 * found["value"], abs=1e-6)
    assert said["parity"]["accuracy"]["loss"] == 0
    card = (folder / "README.md").read_text()
    assert card.startswith((finished_copy / "model" / "README.md").read_text().rstrip())
    assert f"exported (n = {found['n']})" in card
    source = write_csv(tmp_path / "in.csv", ("id", "text"), [(7, "the phone is great")])
    ended = call("predict", folder, "-i", source, "-o", tmp_path / "out.csv", "--runtime", "onnx")
    assert (ended.status, ended.out) == (0, "")
    assert (tmp_path / "out.csv").read_text().splitlines()[1].startswith("7,the phone is great,positive,")
    refused = call("predict", finished_copy, "the phone", "--runtime", "onnx")
    assert refused.status == 2
    assert f"nlp-transfer export {finished_copy} --runtime onnx" in refused.err


def test_rows_that_changed_since_the_run_are_refused(finished_copy: Path, call: Call) -> None:
    path = finished_copy / "report.json"
    report = json.loads(path.read_text())
    report["provenance"]["data"]["target"]["fingerprint"] = "0" * 16
    path.write_text(json.dumps(report))
    ended = call("export", finished_copy, "--runtime", "onnx")
    assert ended.status == 2
    assert "have changed since it was scored" in ended.err
    assert not (finished_copy / "exported" / "onnx").exists()


def test_a_model_outside_of_a_run_is_compared_on_the_rows_of_a_recipe_that_is_named(
    finished: Path, call: Call, tmp_path: Path
) -> None:
    shutil.copytree(finished / "model", tmp_path / "model")
    recipe = finished / "config.yaml"
    ended = call("export", tmp_path / "model", "--runtime", "onnx", "-o", tmp_path / "fast", "--rows", recipe)
    assert ended.status == 0, ended.err
    assert "target test rows of run/config.yaml" in ended.out
    assert ended.out.splitlines()[0] == str(tmp_path / "fast")


def test_an_exported_classifier_is_served(finished: Path, tmp_path: Path) -> None:
    export_model(str(finished), runtime="onnx", output=tmp_path / "fast")
    before = load_adapted(finished).probabilities(["the phone is great"])[0]
    with api({"fast": load_adapted(tmp_path / "fast")}) as guard, running(guard) as url:
        answer = httpx.post(f"{url}/api/predict", json={"texts": ["the phone is great"]}).json()
    [found] = answer["results"]["fast"]
    assert np.allclose(list(found["probabilities"].values()), before, atol=1e-5)


@pytest.fixture(scope="module")
def fast_parent(tmp_path_factory: Any) -> Path:
    """The embedded translation model, exported."""
    folder = tmp_path_factory.mktemp("parent") / "fast"
    export_model("embedded://romance", runtime="ctranslate2", output=folder)
    return Path(folder)


def test_the_embedded_parent_writes_the_same_when_exported(fast_parent: Path) -> None:
    before, after = load_adapted("embedded://romance"), load_adapted(fast_parent)
    for tgt_lang, beams in (("es", 4), ("fr", 1)):
        assert after.translate(SENTENCES, tgt_lang=tgt_lang, num_beams=beams) == before.translate(
            SENTENCES, tgt_lang=tgt_lang, num_beams=beams
        )


def test_the_embedded_parent_is_served_beside_its_exported_self(fast_parent: Path) -> None:
    models = {"parent": load_adapted("embedded://romance"), "fast": load_adapted(fast_parent)}
    expected = models["parent"].translate(SENTENCES, tgt_lang="pt")
    with api(models) as guard, running(guard) as url:
        listed = httpx.get(f"{url}/api/models").json()
        answer = httpx.post(
            f"{url}/api/translate", json={"texts": ["\n".join(SENTENCES)], "tgt_lang": "pt"}, timeout=60
        )
    assert [model["name"] for model in listed["models"]] == ["parent", "fast"]
    assert listed["models"][0]["directions"] == listed["models"][1]["directions"]
    assert answer.json()["results"] == {name: ["\n".join(expected)] for name in models}


def test_a_catalogue_is_filled_by_an_exported_model(fast_parent: Path, call: Call, tmp_path: Path) -> None:
    header = 'msgid ""\nmsgstr ""\n"Language: es\\n"\n\n'
    (tmp_path / "es.po").write_text(f'{header}msgid "Save the file"\nmsgstr ""\n')
    ended = call("translate", fast_parent, "-i", tmp_path / "es.po", "-o", tmp_path / "es.po")
    assert (ended.status, ended.out) == (0, "")
    [expected] = load_adapted("embedded://romance").translate(["Save the file"])
    assert f'#, fuzzy\nmsgid "Save the file"\nmsgstr "{expected}"\n' in (tmp_path / "es.po").read_text()
