"""Whole runs of every method that take seconds and have checkpoints, for tests of what may happen to them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from tiny import easy_recipe, sentences, write_csv
from tiny_translation import build_tiny_translator, easy_pairs

from nlp_transfer.config import parse_config, write_yaml
from nlp_transfer.recipes_by_task import recipe_class
from nlp_transfer.training.checkpoints import is_whole_safetensors


def short_recipe(kind: str, folder: Path, model: Path) -> dict[str, Any]:
    """Return a recipe and write its files; `kind` is task and method, such as `sentiment lora`."""
    task, method = kind.split()
    content = sentiment(folder, model) if task == "sentiment" else translation(folder)
    if kind == "translation lora":
        content |= translator_start(folder)
    content["adaptation"]["method"] = method
    if method == "probe":
        content["evaluation"]["baselines"] = ["majority", "probe"]
    if method == "lp_ft":
        # The one kind with a source model, which is kept in the cache.
        content["source_stage"] = {"method": "full"}
        content["data"]["source"] = {"path": str(folder / "movies.csv")}
    return content


def sentiment(folder: Path, model: Path) -> dict[str, Any]:
    for domain in ("movies", "products"):
        write_csv(folder / f"{domain}.csv", ("text", "label"), sentences(domain, 300, seed=0))
    files = {domain: folder / f"{domain}.csv" for domain in ("movies", "products")}
    return easy_recipe(
        folder / "run", model, files, source_stage=None, data__source=None,
        data__target={"path": str(files["products"])}, adaptation__training={"num_train_epochs": 3},
        evaluation__baselines=["majority"],
    )  # fmt: skip


def translation(folder: Path) -> dict[str, Any]:
    texts = [text for text, _ in sentences("movies", 160, seed=0)]
    pairs = [(text, " ".join(f"{word}o" for word in text.split())) for text in texts]
    parts = {"train": pairs[:120], "dev": pairs[120:150], "test": pairs[150:]}
    files = {name: write_csv(folder / f"{name}.csv", ("en", "gl"), rows) for name, rows in parts.items()}
    shape = {
        "vocabulary_size": 300, "hidden_size": 16, "feed_forward_size": 32, "encoder_layers": 1,
        "decoder_layers": 1, "attention_heads": 2, "dropout": 0.1,
    }  # fmt: skip
    return {
        "task": "translation",
        "output_dir": str(folder / "run"),
        "model": {"architecture": shape, "max_length_tokens": 40},
        "data": {
            "target": {
                "splits": {name: str(file) for name, file in files.items()},
                "src_lang": "en", "tgt_lang": "gl", "src_column": "en", "tgt_column": "gl",
            }
        },
        "source_stage": None,
        "evaluation": {"baselines": ["copy"], "bootstrap": 100},
        "adaptation": {"batch_tokens": 600},
        "training": {"num_train_epochs": 3, "learning_rate": 1e-2, "bf16": False, "logging_steps": 1},
    }  # fmt: skip


def translator_start(folder: Path) -> dict[str, Any]:
    """Return where LoRA starts: it needs a model, here one that lacks the language (a model that is made anew
    is trained in full, whatever the method).
    """
    build_tiny_translator(folder / "translator", "m2m_100", dropout=0.1)
    pairs = easy_pairs(160, lang="gl")
    rows = list(zip(pairs.sources, pairs.targets, strict=True))
    for name, part in {"train": rows[:120], "dev": rows[120:150], "test": rows[150:]}.items():
        write_csv(folder / f"{name}.csv", ("en", "gl"), part)
    return {"model": {"path": str(folder / "translator"), "max_length_tokens": 40}}


# Findings that are worded in seconds and memory, which differ from run to run.
TIMED = ("speed_", "resources")


class Run:
    """A recipe's YAML and its run folder."""

    def __init__(self, content: dict[str, Any], folder: Path) -> None:
        self.content = {**content, "output_dir": str(folder / "run")}
        self.folder = folder / "run"
        folder.mkdir()
        (folder / "recipe.yaml").write_text(write_yaml(self.content))

    @property
    def recipe(self) -> str:
        return str(self.folder.parent / "recipe.yaml")

    def train(self) -> None:
        recipe_class(self.content["task"])(parse_config(self.content)).train()

    def steps(self) -> list[tuple[Any, ...]]:
        history = self.folder / "history.jsonl"
        # A probe is not trained step by step.
        lines = map(json.loads, history.read_text().splitlines() if history.exists() else ())
        names = ("stage", "step", "loss", "grad_norm", "eval_accuracy", "eval_chrf", "eval_selection")
        return [tuple(line.get(name) for name in names) for line in lines]

    def report(self) -> dict[str, Any]:
        """Return report.json without what it took and where it was."""
        content = json.loads((self.folder / "report.json").read_text())
        for scored in content["systems"].values():
            scored.pop("cost")
        for found in content["findings"]:
            if found["check"].startswith(TIMED):
                found |= {"value": None, "evidence": None}
        content["provenance"]["config"].pop("output_dir")
        return content

    def predictions(self) -> dict[str, Any]:
        """Return all prediction records by file and row."""
        files = sorted((self.folder / "predictions").glob("*.jsonl"))
        lines = [(path.name, json.loads(line)) for path in files for line in path.read_text().splitlines()]
        return {f"{name} {record['id']}": record for name, record in lines}

    def selected(self) -> list[Any]:
        """Return what each training's newest checkpoint knows of the best step, and its callbacks' state."""
        found = []
        for folder in sorted((self.folder / "checkpoints").glob("*")):
            newest = max(folder.glob("checkpoint-*"), key=lambda path: int(path.name[11:]), default=None)
            if newest is not None:
                state = json.loads((newest / "trainer_state.json").read_text())
                best = Path(state["best_model_checkpoint"] or "").name
                names = ("global_step", "best_global_step", "best_metric", "stateful_callbacks")
                found.append([folder.name, best, *(state[name] for name in names)])
        return found

    def checkpoints(self) -> list[Path]:
        return sorted(self.folder.glob("checkpoints/*/checkpoint-*"), key=lambda path: int(path.name[11:]))

    def newest_weights(self) -> list[Path]:
        """Return the weight files of the checkpoint that was written last: a model's or an adapter's."""
        newest = max(self.checkpoints(), key=lambda path: path.stat().st_mtime_ns, default=None)
        return [] if newest is None else sorted(newest.glob("*.safetensors"))

    def left_over(self) -> list[str]:
        """Name what was left half-written in the run folder: temporary files, and an adapter cut short."""
        kept = [path.relative_to(self.folder) for path in self.folder.rglob("*") if path.name != ".lock"]
        found = [path for path in kept if path.name.startswith((".", "part.")) or path.suffix == ".part"]
        adapter = self.folder / "adapter"
        if adapter.is_dir():
            weights = adapter / "adapter_model.safetensors"
            whole = weights.is_file() and is_whole_safetensors(weights)
            found += [] if whole and (adapter / "adapter_config.json").is_file() else [Path("adapter")]
        return sorted(map(str, found))

    def weights(self) -> dict[str, Any]:
        files = sorted((self.folder / "model").glob("*.safetensors"))
        return {f"{path.name} {name}": value for path in files for name, value in load_file(path).items()}


def largest_difference(found: Run, expected: Run) -> float:
    """Return by how much the weights of two runs' models differ at most; infinite where some are missing."""
    weights, whole = found.weights(), expected.weights()
    if not whole or weights.keys() != whole.keys():
        return float("inf")
    return max(float((weights[name] - whole[name]).abs().max()) for name in whole)
