"""Publishing: what travels, what is refused, what survives a bad moment of the Hub's."""

from __future__ import annotations

import json
import logging
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hub_server import OTHER, OTHER_TOKEN, READ_TOKEN, WRITE_TOKEN, FakeHub
from huggingface_hub import ModelCard, constants
from runs_to_publish import TEXTS, change_report, files_of, plain_scores, quick_run
from safetensors.torch import load_file, save_file
from tiny import sentences
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from nlp_transfer import load_adapted
from nlp_transfer.errors import ConfigError, PublishError, RunError
from nlp_transfer.publishing import origin
from nlp_transfer.publishing.hub import push_model

PUBLISHED = {
    "README.md", "config.json", "figures/confusion.png", "figures/reliability.png", "figures/systems.png",
    "model.safetensors", "report.json", "tokenizer.json", "tokenizer_config.json",
}  # fmt: skip
COMMIT, TAG, UPLOAD = "/commit/", "/tag/", "^/lfs/"


def test_a_model_is_published_whole_private_and_tagged_and_comes_back_equal(
    hub: FakeHub, full_run: Path
) -> None:
    result = push_model(full_run, "ada/products")
    assert (result.repo_id, result.kind, result.tag, result.private) == ("ada/products", "full", "v1", True)
    assert result.url == f"{hub.url}/ada/products"
    files = hub.files("ada/products", "v1")
    assert set(files) - {".gitattributes"} == PUBLISHED == set(result.files)
    assert {name: len(files[name]) for name in PUBLISHED} == result.files
    assert hub.repos["ada/products"].private
    assert hub.repos["ada/products"].tags == {"v1": result.revision}
    assert files["model.safetensors"] == (full_run / "model" / "model.safetensors").read_bytes()
    again = load_adapted("ada/products", revision="v1")
    assert np.abs(again.logits(TEXTS) - load_adapted(full_run).logits(TEXTS)).max() <= 1e-5


def test_nothing_else_of_the_run_travels(
    hub: FakeHub, full_run: Path, monkeypatch: Any, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home" / "grace_hopper"))
    model = full_run / "model"
    for name in ("notes.csv", "optimizer.pt", "rows.jsonl", "training_args.bin", "cost.json", "data.json"):
        (model / name).write_text("private")
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(
        json.dumps({**config, "_name_or_path": str(full_run / "source_model")})
    )
    row = sentences("products", 1, seed=0)[0][0]
    quoting = {
        "check": "domain_overlap", "severity": "warn", "value": 0.1, "threshold": 0.01, "examples": [row],
        "evidence": f'target: 2 rows have the text of a row, such as "{row}", "{row} said "x""', "advice": "",
    }  # fmt: skip
    change_report(full_run, lambda report: report["findings"].append(quoting))
    change_report(full_run, lambda report: report.update(notes=f"by grace_hopper in {tmp_path}"))
    push_model(full_run, "ada/products")
    files = hub.files("ada/products")
    assert set(files) - {".gitattributes"} == PUBLISHED
    told = {name: content.decode() for name, content in files.items() if name.endswith((".md", ".json"))}
    del told["tokenizer.json"]
    rows = [text for domain in ("movies", "products") for text, _ in sentences(domain, 120, seed=0)]
    for name, text in told.items():
        assert str(tmp_path) not in text, name
        assert "grace_hopper" not in text, name
        assert [row for row in rows if len(row) > 12 and row in text] == [], name
    assert "such as" in told["report.json"]
    assert "_name_or_path" not in told["config.json"]


def test_the_token_is_nowhere(hub: FakeHub, full_run: Path, caplog: Any) -> None:
    caplog.set_level(logging.DEBUG)
    hub.fail("POST", COMMIT, 500)
    result = push_model(full_run, "ada/products", token=WRITE_TOKEN)
    load_adapted("ada/products")
    assert WRITE_TOKEN not in caplog.text
    assert WRITE_TOKEN not in json.dumps(result.as_dict())
    assert not any(WRITE_TOKEN.encode() in content for content in hub.files("ada/products").values())
    assert hub.tokens_at_the_cdn == []
    with pytest.raises(PublishError, match="a space, a line break") as odd:
        push_model(full_run, "ada/products", token=f"{WRITE_TOKEN}\n")
    assert WRITE_TOKEN not in str(odd.value)


def test_a_dry_run_lists_everything_and_sends_nothing(hub: FakeHub, full_run: Path) -> None:
    result = push_model(full_run, "ada/products", dry_run=True)
    assert set(result.files) == PUBLISHED
    assert (result.url, result.revision) == (None, None)
    assert {method for method, _ in hub.requests} <= {"GET", "HEAD"}
    assert list(hub.repos) == ["tiny-org/encoder"]
    summary = result.summary()
    assert re.search(r"\d  model\.safetensors\n", summary)
    assert "passed  reload parity: " in summary
    assert summary.endswith(result.card)
    change_report(full_run, lambda report: report["provenance"]["config"]["model"].update(path="no/such"))
    closed = push_model(full_run, "ada/products", dry_run=True).closed
    assert [(gate.name, gate.evidence) for gate in closed] == [
        ("base licence", "no/such: no licence (the Hub shows no such model)")
    ]


# The next revision --------------------------------------------------------------------------------


def test_the_next_revision_replaces_the_one_before_which_stays_as_it_was(
    hub: FakeHub, full_run: Path, lora_run: Path, probe_run: Path
) -> None:
    pushes = [
        push_model(folder, "ada/products", merge=merge)
        for folder, merge in ((probe_run, False), (lora_run, False), (lora_run, True), (full_run, False))
    ]
    assert [(push.kind, push.tag) for push in pushes] == [
        ("probe", "v1"),
        ("adapter", "v2"),
        ("merged", "v3"),
        ("full", "v4"),
    ]
    for push, folder in zip(pushes, (probe_run, lora_run, lora_run, full_run), strict=True):
        assert set(hub.files("ada/products", str(push.tag))) - {".gitattributes"} == set(push.files)
        published = load_adapted("ada/products", revision=push.tag).logits(TEXTS)
        assert np.abs(published - load_adapted(folder).logits(TEXTS)).max() <= 1e-5


def test_a_revision_can_be_named_once(hub: FakeHub, full_run: Path) -> None:
    assert push_model(full_run, "products", tag="reviews-2").repo_id == "ada/products"
    with pytest.raises(PublishError, match="has a revision reviews-2 already; name another one"):
        push_model(full_run, "ada/products", tag="reviews-2")
    with pytest.raises(PublishError, match="'two words' is no tag"):
        push_model(full_run, "ada/products", tag="two words")


# A bad moment -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "fault", "waited"),
    [
        ("GET", "/api/whoami-v2", {"status": 503}, 1),
        ("POST", "/api/repos/create", {"status": 500}, 1),
        ("POST", "/api/repos/create", {"drop": "after"}, 1),
        ("POST", "/preupload/", {"status": 429, "headers": {"Retry-After": "9"}}, 10),
        ("POST", "/objects/batch", {"status": 502}, 1),
        ("PUT", UPLOAD, {"status": 500}, 1),
        ("PUT", UPLOAD, {"drop": "before"}, 1),
        ("PUT", UPLOAD, {"status": 500, "times": 7}, 1),
        ("POST", COMMIT, {"status": 500, "times": 3}, 4),
        ("POST", COMMIT, {"status": 429, "headers": {"Retry-After": "7"}}, 7),
        ("POST", COMMIT, {"drop": "before"}, 1),
        ("POST", COMMIT, {"drop": "after"}, 1),
        ("POST", TAG, {"status": 500}, 1),
        ("POST", TAG, {"drop": "after"}, 1),
        ("GET", "/refs", {"drop": "inside"}, 1),
    ],
)
def test_a_bad_moment_of_the_hub_is_waited_out(
    method: str,
    path: str,
    fault: dict[str, Any],
    waited: float,
    hub: FakeHub,
    full_run: Path,
    waits: list[float],
) -> None:
    hub.fail(method, path, fault.pop("status", None), **fault)
    result = push_model(full_run, "ada/products")
    assert hub.faults == []
    assert waited in waits
    assert hub.repos["ada/products"].tags == {"v1": result.revision}
    # Once: a commit whose answer was lost is not made again.
    assert hub.repos["ada/products"].messages == ["initial", "Publish v1 with nlp-transfer"]
    assert set(hub.files("ada/products")) - {".gitattributes"} == PUBLISHED


def test_a_wait_that_ends_at_a_date_is_waited_out(hub: FakeHub, full_run: Path, waits: list[float]) -> None:
    from datetime import UTC, datetime, timedelta
    from email.utils import format_datetime

    date = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
    hub.fail("POST", COMMIT, 429, headers={"Retry-After": date})
    push_model(full_run, "ada/products")
    assert 90 < max(waits) <= 100


@pytest.mark.parametrize(
    ("fault", "tries", "message"),
    [
        ({"status": 500, "times": 99}, 5, "the Hub answered 500 for ada/products: .*try again"),
        ({"status": 429, "headers": {"Retry-After": "7200"}, "times": 99}, 1, "the Hub answered 429"),
        ({"status": 409}, 1, "the Hub answered 409 for ada/products"),
        ({"drop": "before", "times": 99}, 5, "the Hub cannot be reached .*is the network there"),
    ],
)
def test_a_hub_that_stays_down_ends_the_push_and_the_same_call_goes_on(
    fault: dict[str, Any], tries: int, message: str, hub: FakeHub, full_run: Path
) -> None:
    hub.fail("POST", COMMIT, fault.pop("status", None), **fault)
    with pytest.raises(RunError, match=message):
        push_model(full_run, "ada/products")
    assert hub.count("POST", COMMIT) == tries
    assert hub.repos["ada/products"].tags == {}
    hub.faults.clear()
    sent = hub.count("PUT", UPLOAD)
    assert push_model(full_run, "ada/products").tag == "v1"
    assert hub.count("PUT", UPLOAD) == sent


def test_a_network_that_is_away_is_said(hub: FakeHub, full_run: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(RunError, match=r"the Hub cannot be reached .*is the network there") as away:
        push_model(full_run, "ada/products")
    assert away.value.exit_code == 1
    closed = push_model(full_run, "ada/products", dry_run=True).closed
    assert [gate.evidence for gate in closed] == ["tiny-org/encoder: no licence (the Hub could not be asked)"]
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(PublishError, match="HF_HUB_OFFLINE is set"):
        push_model(full_run, "ada/products")


# Who may --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("token", "repo_id", "message"),
    [
        ("hf_unknown", "ada/products", "does not know the token: .* Make one with write access"),
        (READ_TOKEN, "ada/products", "the token of ada may only read; make one with write access"),
        (WRITE_TOKEN, "grace/products", "not yours to publish to: the token is ada's. Name it ada/products"),
        (WRITE_TOKEN, "ada/other/products", "is no name for a repository: it must be owner/name"),
        (WRITE_TOKEN, "ada/taken", r"ada/taken is taken: it holds something .* \(config.json\)"),
        (WRITE_TOKEN, "ada/public", "is public, and a private model was asked for; .* --public"),
    ],
)
def test_a_token_without_power_and_a_name_that_is_taken_are_refused(
    token: str, repo_id: str, message: str, hub: FakeHub, full_run: Path
) -> None:
    hub.add("ada/taken", {"config.json": b"{}", "README.md": b"---\ntags: [mine]\n---\n"})
    hub.add("ada/public", {"README.md": b"---\ntags: [nlp-transfer]\n---\n"}, private=False)
    with pytest.raises(PublishError, match=message) as refused:
        push_model(full_run, repo_id, token=token)
    assert token not in str(refused.value)
    assert hub.count("POST", COMMIT) == 0


def test_without_a_token_nothing_is_sent(hub: FakeHub, full_run: Path, monkeypatch: Any) -> None:
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(PublishError, match="none was found: run `hf auth login`, or set HF_TOKEN"):
        push_model(full_run, "ada/products")


@pytest.mark.parametrize(
    ("status", "path"), [(403, "/api/repos/create"), (403, "/preupload/"), (401, COMMIT)]
)
def test_a_right_that_the_hub_denies_is_said(status: int, path: str, hub: FakeHub, full_run: Path) -> None:
    hub.fail("POST", path, status)
    with pytest.raises(PublishError, match=r"write to ada/products|does not know the token"):
        push_model(full_run, "ada/products")


def test_a_public_model_is_public_and_a_private_one_stays_so(hub: FakeHub, full_run: Path) -> None:
    assert not push_model(full_run, "ada/open", private=False).private
    assert not hub.repos["ada/open"].private
    push_model(full_run, "ada/closed")
    assert push_model(full_run, "ada/closed", private=False).private
    with pytest.raises(PublishError, match="not yours"):
        push_model(full_run, "ada/open", token=OTHER_TOKEN, private=False)
    assert OTHER not in hub.repos


# The gates ------------------------------------------------------------------------------------------


def closed_gate(folder: Path, message: str, **settings: Any) -> None:
    with pytest.raises(PublishError, match=f"(?s)not published: 1 gate.*{message}.*--override"):
        push_model(folder, "ada/products", **settings)


def test_a_finding_that_blocks_and_a_forbidding_licence_close_a_gate(hub: FakeHub, full_run: Path) -> None:
    finding = {
        "check": "leak", "severity": "block", "value": 1.0, "threshold": 0.0, "evidence": "rows leak",
        "advice": "split again",
    }  # fmt: skip
    change_report(full_run, lambda report: report["findings"].append(finding))
    closed_gate(full_run, "findings: leak: rows leak; split again")
    change_report(full_run, lambda report: report["findings"].pop())
    change_report(
        full_run, lambda report: report["provenance"]["data"]["source"].update(licence="cc-by-nc-4.0")
    )
    closed_gate(full_run, "source licence: cc-by-nc-4.0; this licence forbids")
    change_report(full_run, lambda report: report["provenance"]["data"]["source"].update(licence="mit"))
    hub.add("tiny-org/encoder", {"README.md": b"---\nlicense: cc-by-nd-4.0\n---\n"})
    closed_gate(full_run, "base licence: tiny-org/encoder: cc-by-nd-4.0 .*another base model")
    hub.add("tiny-org/encoder", {"README.md": b"# no head\n"})
    closed_gate(full_run, r"base licence: tiny-org/encoder: no licence \(its card on the Hub\)")
    assert "ada/products" not in hub.repos


def test_a_gate_is_passed_over_with_a_reason_that_the_card_states(hub: FakeHub, finished: Path) -> None:
    closed_gate(finished, "base licence: a model folder that is not on the Hub: no licence")
    with pytest.raises(PublishError, match="an override needs its reason"):
        push_model(finished, "ada/products", override=" ")
    result = push_model(finished, "ada/products", override="<b>ours</b>\nalone")
    card = hub.files("ada/products")["README.md"].decode()
    assert result.card == card
    assert "for this reason: &lt;b&gt;ours&lt;/b&gt; alone" in card
    assert "- base licence: a model folder that is not on the Hub: no licence" in card


def test_an_open_gate_needs_no_reason_and_the_card_states_none(hub: FakeHub, full_run: Path) -> None:
    assert "passed over" not in push_model(full_run, "ada/products", override="to be sure").card


def test_an_adapter_that_is_not_the_merged_model_closes_a_gate(hub: FakeHub, lora_run: Path) -> None:
    path = lora_run / "adapter" / "adapter_model.safetensors"
    weights = load_file(path)
    save_file({name: weight + 0.05 * torch.ones_like(weight) for name, weight in weights.items()}, path)
    for merge in (False, True):
        closed_gate(
            lora_run, "merged against unmerged: the merged model and the adapter .* differ by", merge=merge
        )


def test_a_copy_that_scores_differently_closes_a_gate(hub: FakeHub, full_run: Path, monkeypatch: Any) -> None:
    def copy_with_a_slip(source: Path, target: Path) -> None:
        shutil_copyfile(source, target)
        if Path(target).name == "model.safetensors":
            weights = load_file(target)
            weights["classifier.bias"] += torch.tensor([1e-3, 0.0])
            save_file(weights, target, metadata={"format": "pt"})

    shutil_copyfile = shutil.copyfile
    monkeypatch.setattr("nlp_transfer.publishing.contents.shutil.copyfile", copy_with_a_slip)
    closed_gate(full_run, r"reload parity: the run's model and its copy that is published differ by 0\.001")


# Adapters -------------------------------------------------------------------------------------------


def test_an_adapter_names_its_base_by_hub_id_and_commit(hub: FakeHub, lora_run: Path) -> None:
    push_model(lora_run, "ada/products")
    files = hub.files("ada/products")
    assert {"adapter_config.json", "adapter_model.safetensors", "labels.json", "base.json"} < set(files)
    assert not {"config.json", "model.safetensors"} & set(files)
    config = json.loads(files["adapter_config.json"])
    commit = hub.repos["tiny-org/encoder"].head
    assert (config["base_model_name_or_path"], config["revision"]) == ("tiny-org/encoder", commit)
    card = ModelCard(files["README.md"].decode())
    assert (card.data.base_model, card.data.library_name) == ("tiny-org/encoder", "peft")
    assert card.data.base_model_relation == "adapter"


def test_an_adapter_that_others_could_not_load_is_refused(
    hub: FakeHub, encoder: str, make_recipe: Callable[..., Any], tiny_model: Any, tmp_path: Path
) -> None:
    folder = tmp_path / "sourced"
    settings = {"adaptation__method": "lora", "evaluation__baselines": ["majority"]}
    make_recipe(folder, model__path=encoder, **settings).run()
    with pytest.raises(PublishError, match=r"sits on this run's own source model, .* weights: --merge"):
        push_model(folder, "ada/products")
    assert push_model(folder, "ada/products", merge=True).kind == "merged"
    local = quick_run(make_recipe, tmp_path / "local", str(tiny_model("bert")), "lora")
    with pytest.raises(PublishError, match=r"the adapter sits on a local folder, .* weights: --merge"):
        push_model(local, "ada/products")


def test_a_base_out_of_a_package_is_named_by_its_hub_id_where_the_weights_are_the_same(
    hub: FakeHub,
    encoder: str,
    make_recipe: Callable[..., Any],
    tiny_model: Any,
    tmp_path: Path,
    monkeypatch: Any,
) -> None:
    package = tmp_path / "site" / "an_encoder"
    shutil.copytree(tiny_model("bert"), package / "model")
    (package / "__init__.py").touch()
    (package / "model" / "README.md").write_text("---\nlicense: mit\n---\n")
    monkeypatch.syspath_prepend(package.parent)
    uri = "package://an_encoder/model"
    folder = quick_run(make_recipe, tmp_path / "packaged", uri, "lora")
    with pytest.raises(PublishError, match="the adapter sits on package://an_encoder/model, which is not on"):
        push_model(folder, "ada/products")
    monkeypatch.setitem(origin.KNOWN_PACKAGES, uri, encoder)
    result = push_model(folder, "ada/products")
    assert ModelCard(result.card).data.base_model == encoder
    published = load_adapted("ada/products").logits(TEXTS)
    assert np.abs(published - load_adapted(folder).logits(TEXTS)).max() <= 1e-5
    hub.add(encoder, {**files_of(tiny_model("bert", seed=1)), "README.md": b""})
    closed_gate(folder, "base model: the weights of tiny-org/encoder on the Hub are not those .*--merge")


# What can be published ------------------------------------------------------------------------------


def test_only_a_finished_run_is_published(hub: FakeHub, full_run: Path, tmp_path: Path) -> None:
    with pytest.raises(PublishError, match="is not a run folder: it has no model/"):
        push_model(tmp_path, "ada/products")
    assert push_model(full_run / "model", "ada/products").tag == "v1"
    (full_run / "report.json").unlink()
    with pytest.raises(PublishError, match=r"has no report\.json, .* run `nlp-transfer evaluate`"):
        push_model(full_run, "ada/products")


def test_a_recipe_publishes_its_own_run(
    hub: FakeHub, encoder: str, make_recipe: Callable[..., Any], tmp_path: Path
) -> None:
    recipe = make_recipe(
        tmp_path / "run", model__path=encoder, data__source=None, evaluation__baselines=["majority"],
        hub__repo_id="ada/from-config", hub__private=False,
    )  # fmt: skip
    recipe.run()
    assert "load_adapted" in (tmp_path / "run" / "model" / "README.md").read_text()
    assert not recipe.push_to_hub().private
    assert recipe.push_to_hub("ada/by-hand", private=True).private
    assert set(hub.repos) == {"tiny-org/encoder", "ada/from-config", "ada/by-hand"}
    unnamed = make_recipe(tmp_path / "run2", model__path=encoder)
    with pytest.raises(ConfigError, match="name the repository to publish to"):
        unnamed.push_to_hub()


def test_the_command_and_the_code_in_the_card_do_as_printed(
    hub: FakeHub, full_run: Path, tmp_path: Path
) -> None:
    def command(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(arguments, capture_output=True, text=True, check=False, cwd=tmp_path)

    cli = (sys.executable, "-m", "nlp_transfer.cli", "push")
    ended = command(*cli, str(full_run), "ada/products", "--json")
    assert ended.returncode == 0, ended.stderr
    result = json.loads(ended.stdout)
    assert (result["tag"], result["kind"], result["private"]) == ("v1", "full", True)
    assert WRITE_TOKEN not in ended.stdout + ended.stderr
    blocks = re.findall(r"```python\n(.*?)```", result["card"], flags=re.DOTALL)
    assert len(blocks) == 2
    ran = command(sys.executable, "-W", "ignore", "-c", "\n".join(blocks))
    assert ran.returncode == 0, ran.stderr
    ours, theirs = (eval(line) for line in ran.stdout.splitlines())
    assert theirs[0]["label"] == ours[0]["label"]
    assert theirs[0]["score"] == pytest.approx(ours[0]["score"], abs=1e-5)


def test_the_command_prints_a_dry_run_and_ends_as_a_push_would(
    hub: FakeHub, finished: Path, monkeypatch: Any, capsys: Any
) -> None:
    from nlp_transfer.commands import using

    with pytest.raises(PublishError, match="base licence"):
        using.push(str(finished), "ada/products", dry_run=True)
    assert "CLOSED  base licence" in capsys.readouterr().out
    using.push(str(finished), "ada/products", dry_run=True, override="mine")
    assert "for this reason: mine" in capsys.readouterr().out
    using.push(str(finished), "ada/products", override="mine")
    assert capsys.readouterr().out == f"{hub.url}/ada/products (private), revision v1\n"


def test_the_plain_routes_load_what_was_published(hub: FakeHub, full_run: Path, lora_run: Path) -> None:
    from peft import AutoPeftModelForSequenceClassification, PeftModel

    push_model(full_run, "ada/full")
    push_model(lora_run, "ada/adapter")
    push_model(lora_run, "ada/merged", merge=True)
    for name, folder in (("ada/full", full_run), ("ada/merged", lora_run)):
        model = AutoModelForSequenceClassification.from_pretrained(name, revision="v1")
        scores = plain_scores(model, AutoTokenizer.from_pretrained(name, revision="v1"), TEXTS)
        assert np.abs(scores - load_adapted(folder).logits(TEXTS)).max() <= 1e-5
        assert model.config.id2label == {0: "negative", 1: "positive"}
    tokenizer = AutoTokenizer.from_pretrained("ada/adapter")
    base = AutoModelForSequenceClassification.from_pretrained("tiny-org/encoder", num_labels=2)
    for model in (
        PeftModel.from_pretrained(base, "ada/adapter", revision="v1"),
        AutoPeftModelForSequenceClassification.from_pretrained("ada/adapter", revision="v1"),
    ):
        scores = plain_scores(model, tokenizer, TEXTS)
        assert np.abs(scores - load_adapted(lora_run).logits(TEXTS)).max() <= 1e-5


def test_the_code_in_the_card_of_an_adapter_does_as_printed(
    hub: FakeHub, lora_run: Path, probe_run: Path, capsys: Any
) -> None:
    for folder, blocks_expected in ((lora_run, 2), (probe_run, 1)):
        card = push_model(folder, f"ada/{folder.name}").card
        blocks = re.findall(r"```python\n(.*?)```", card, flags=re.DOTALL)
        assert len(blocks) == blocks_expected
        capsys.readouterr()
        for block in blocks:
            exec(block, {})
        printed = [eval(line)[0] for line in capsys.readouterr().out.splitlines()]
        assert [answer["label"] for answer in printed] == [printed[0]["label"]] * blocks_expected
        assert [answer["score"] for answer in printed] == pytest.approx(
            [printed[0]["score"]] * blocks_expected
        )
