"""Makes and scores the systems that a sentiment run compares: one procedure for all, one file of predictions each.

A system's predictions stand in `<system>.<domain>.jsonl` with row ids; its cost is returned. Comparing them is left
to evaluation/compare.py.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nlp_transfer.config import AdaptationConfig, SourceStageConfig
from nlp_transfer.data.classification import EMPTY, DomainData, Rows, TransferData
from nlp_transfer.data.sources import cache_dir
from nlp_transfer.runs import fingerprint, versions, whole_folder, write_text
from nlp_transfer.training.costs import Cost, measured
from nlp_transfer.training.processes import is_main, wait_for_all

logger = logging.getLogger(__name__)
Array = npt.NDArray[np.float64]
TRAINED = ("target_only", "scratch")


@dataclass(frozen=True)
class SystemSettings:
    """What a run's systems are made of: plain values out of its recipe."""

    model_path: str
    revision: str | None
    max_length_tokens: int
    source_stage: SourceStageConfig | None
    adaptation: AdaptationConfig
    training: dict[str, Any]


class SystemRunner:
    """Trains and scores one run's systems in its folder."""

    def __init__(self, settings: SystemSettings, *, folder: Path) -> None:
        self.settings = settings
        self.folder = folder
        self.source_folder = folder / "source_model"
        self.model_folder = folder / "model"

    # Training ---------------------------------------------------------------------------------------------------

    def train_source(self, data: TransferData, *, seed: int) -> Cost:
        """Make the source model in `source_model/`, or take the same one from the cache."""
        from nlp_transfer.models.loading import model_identity
        from nlp_transfer.training.arguments import native_bf16

        stage, source = self.settings.source_stage, data.source
        if stage is None or source is None:
            raise RuntimeError("train_source was called for a run without a source stage")
        key = fingerprint(
            model_identity(self.settings.model_path, revision=self.settings.revision), stage.method, self._arguments(stage.training),
            source.train.fingerprint(), source.dev.fingerprint(), data.label_names, self.settings.max_length_tokens,
            seed, native_bf16(), versions(),
        )  # fmt: skip
        kept = cache_dir() / "source_models" / key
        if not (kept / "cost.json").is_file():
            self._train_source_into(kept, data, source, stage, seed)
        else:
            logger.info("source model: the same one was trained before; taken from %s", kept)
        if is_main():
            with whole_folder(self.source_folder) as part:
                shutil.copytree(kept, part, dirs_exist_ok=True)
        wait_for_all()
        return Cost(**json.loads((kept / "cost.json").read_text(encoding="utf-8")))

    def _train_source_into(
        self, kept: Path, data: TransferData, source: DomainData, stage: SourceStageConfig, seed: int
    ) -> None:
        with measured() as cost:
            if stage.method == "probe":
                self._fit_and_save_probe(kept, source.selection, source.selection, data.label_names, seed, cost)
            else:
                trained = self._train(
                    self.settings.model_path, stage.method, stage.training, source.train, source.dev, data.label_names,
                    label="source model", seed=seed, cost=cost, revision=self.settings.revision,
                )  # fmt: skip
                _save(trained, kept, source.test.texts, self.settings.max_length_tokens)
        if is_main():
            write_text(kept / "cost.json", json.dumps(cost.as_dict()))
        wait_for_all()

    def train_adapted(self, data: TransferData, *, seed: int, keep: bool) -> Cost:
        """Adapt to the target; `keep` leaves the model in `model/` (and `adapter/` for LoRA)."""
        adaptation, target = self.settings.adaptation, data.target
        with measured() as cost:
            cost.source_seconds = self._source_seconds()
            if not len(target.train):
                self._copy_start(data.label_names, target.test.texts)
            elif adaptation.method == "probe":
                self._fit_and_save_probe(
                    self.model_folder, data.training_rows(), target.selection, data.label_names, seed, cost,
                    encoder=self._probe_encoder(),
                )  # fmt: skip
            else:
                trained = self._train_target(data, seed=seed, cost=cost, label="adapted", keep=keep)
                _save(trained, self.model_folder, target.test.texts, self.settings.max_length_tokens)
        return cost

    def _train_target(self, data: TransferData, *, seed: int, cost: Cost, label: str, keep: bool) -> Any:
        start, revision = self._start()
        replayed = data.source.train if data.source is not None else None
        return self._train(
            start, self.settings.adaptation.method, self.settings.adaptation.training, data.target.train, data.target.dev,
            data.label_names, label=label, seed=seed, cost=cost, revision=revision, replayed=replayed, keep=keep,
        )  # fmt: skip

    def _train(
        self, start: str, method: str, training: dict[str, Any], train: Rows, dev: Rows, label_names: list[str], *,
        label: str, seed: int, cost: Cost, revision: str | None = None, pretrained: bool = True,
        replayed: Rows | None = None, keep: bool = False,
    ) -> Any:  # fmt: skip
        """Train one classifier and note what it took."""
        from nlp_transfer.training.adapt import Procedure, train_classifier

        adaptation = self.settings.adaptation
        procedure = Procedure(
            method=method, label_names=label_names, max_length_tokens=self.settings.max_length_tokens, seed=seed,
            arguments=self._arguments(training), freeze_layers=adaptation.freeze_layers if label != "source model" else 0,
            rank=adaptation.rank, alpha=adaptation.alpha, target_modules=adaptation.target_modules,
            replay=adaptation.replay,
        )  # fmt: skip
        trained = train_classifier(
            start, procedure, train, dev, label=label, folder=self.folder / "checkpoints" / f"{label} {seed}".replace(" ", "-"),
            revision=revision, pretrained=pretrained, replayed=replayed, history=self.folder / "history.jsonl",
            adapter_folder=self.folder / "adapter" if keep else None,
        )  # fmt: skip
        cost.seconds, cost.selection_seconds = trained.fit.seconds, trained.fit.selection_seconds
        cost.trainable_parameters, cost.trainable_share = trained.trainable, trained.trainable / trained.total
        return trained

    def _arguments(self, own: dict[str, Any]) -> dict[str, Any]:
        """Return a stage's TrainingArguments: the common ones, overridden by its own."""
        return {name: value for name, value in {**self.settings.training, **own}.items() if name != "seed"}

    def _start(self) -> tuple[str, str | None]:
        """Return where adaptation starts: the source model, else the pretrained one."""
        if self.settings.source_stage is not None:
            return str(self.source_folder), None
        return self.settings.model_path, self.settings.revision

    def _probe_encoder(self) -> str:
        """Return the encoder that a probe stands on: a tuned source model's, else the pretrained one."""
        stage = self.settings.source_stage
        return self.settings.model_path if stage is None or stage.method == "probe" else str(self.source_folder)

    def _source_seconds(self) -> float:
        cost = self.source_folder / "cost.json"
        return float(json.loads(cost.read_text(encoding="utf-8"))["seconds"]) if cost.is_file() else 0.0

    def _copy_start(self, label_names: list[str], texts: Sequence[str]) -> None:
        """Without target labels the source model is the adapted one."""
        from nlp_transfer.publishing.save import save_model

        start, revision = self._start()
        save_model(Path(start), self.model_folder, texts=texts, revision=revision, label_names=label_names)

    def _fit_and_save_probe(
        self, folder: Path, train: Rows, select_on: Rows, label_names: list[str], seed: int, cost: Cost, *, encoder: str = ""
    ) -> None:
        from nlp_transfer.training.probing import fit_frozen_probe, save_probe

        if is_main():
            probe = fit_frozen_probe(
                encoder or self.settings.model_path, train, select_on, label_names=label_names, seed=seed,
                revision=self.settings.revision if not encoder else None, max_length_tokens=self.settings.max_length_tokens,
            )  # fmt: skip
            save_probe(probe, folder)
            cost.trainable_parameters, cost.trainable_share = probe.parameters, probe.parameters / probe.total
        wait_for_all()

    # Scoring ----------------------------------------------------------------------------------------------------

    def score(self, system: str, data: TransferData, *, seed: int, folder: Path, kept: bool) -> Cost:
        """Write a system's predictions for both domains' test rows; return what making it cost.

        Args:
            system: one of DESIGN's systems.
            data: the domains, with this seed's training rows.
            seed: starts and orders training.
            folder: where the predictions go.
            kept: whether `model/` is this seed's adapted model; otherwise it is trained again, for its score alone.
        """
        texts = data.target.test.texts + (data.source.test.texts if data.source is not None else [])
        with measured() as cost:
            probabilities = self._probabilities(system, data, texts, seed, cost, kept)
        if is_main():
            folder.mkdir(parents=True, exist_ok=True)
            split = len(data.target.test)
            write_predictions(folder / f"{system}.target.jsonl", data.target.test, probabilities[:split], data.label_names)
            if data.source is not None:
                write_predictions(folder / f"{system}.source.jsonl", data.source.test, probabilities[split:], data.label_names)
        wait_for_all()
        return cost

    def _probabilities(
        self, system: str, data: TransferData, texts: list[str], seed: int, cost: Cost, kept: bool
    ) -> Array:
        from nlp_transfer.training import baselines

        classes = len(data.label_names)
        if system == "majority":
            return baselines.majority(data.target.selection if len(data.target.train) else data.training_rows(), texts, classes=classes)
        if system == "tfidf":
            return baselines.tfidf(data.training_rows(), texts, classes=classes)
        if system == "probe":
            return self._frozen_probe(data, texts, seed, cost)
        if system == "zero_shot":
            cost.seconds = self._source_seconds()
            return self._predict(*self._start(), texts, data.label_names, label="score zero_shot")
        if system in TRAINED:
            trained = self._train(
                self.settings.model_path, self._baseline_method(), self.settings.adaptation.training, data.target.train,
                data.target.dev, data.label_names, label=system, seed=seed, cost=cost, revision=self.settings.revision,
                pretrained=system != "scratch",
            )  # fmt: skip
            return self._predict_with(trained.model, trained.tokenizer, texts, label=f"score {system}")
        if kept or not len(data.target.train):
            return self._predict(str(self.model_folder), None, texts, data.label_names, label="score adapted")
        if self.settings.adaptation.method == "probe":
            return self._frozen_probe(data, texts, seed, cost, encoder=self._probe_encoder())
        trained = self._train_target(data, seed=seed, cost=cost, label="adapted", keep=False)
        return self._predict_with(trained.model, trained.tokenizer, texts, label="score adapted")

    def _baseline_method(self) -> str:
        """Return how baselines without a source are trained: as `adapted`, except where that is a probe."""
        return "full" if self.settings.adaptation.method == "probe" else self.settings.adaptation.method

    def _frozen_probe(
        self, data: TransferData, texts: list[str], seed: int, cost: Cost, *, encoder: str = ""
    ) -> Array:
        from nlp_transfer.inference.predict import softmax
        from nlp_transfer.training.probing import fit_frozen_probe

        probe = fit_frozen_probe(
            encoder or self.settings.model_path, data.training_rows(), data.target.selection, label_names=data.label_names,
            revision=self.settings.revision if not encoder else None, max_length_tokens=self.settings.max_length_tokens,
            seed=seed,
        )  # fmt: skip
        cost.trainable_parameters, cost.trainable_share = probe.parameters, probe.parameters / probe.total
        return softmax(probe.logits(texts))

    def _predict(
        self, path: str, revision: str | None, texts: list[str], label_names: list[str], *, label: str
    ) -> Array:
        from nlp_transfer.inference.load import load_adapted

        if not is_main():
            return np.zeros((len(texts), len(label_names)))
        return load_adapted(path, revision=revision, cached=True).probabilities(texts, label=label)

    def _predict_with(self, model: Any, tokenizer: Any, texts: list[str], *, label: str) -> Array:
        from nlp_transfer.inference.predict import predict_logits, softmax

        if not is_main():
            return np.zeros((len(texts), model.config.num_labels))
        return softmax(
            predict_logits(model, tokenizer, texts, max_length_tokens=self.settings.max_length_tokens, label=label)
        )


def write_predictions(path: Path, rows: Rows, probabilities: Array, label_names: Sequence[str]) -> None:
    """Write one JSON line a row: its id, true label, predicted label and probabilities. Texts are not repeated."""
    lines = [
        json.dumps(
            {
                "id": row_id, "label": label_names[label], "predicted": label_names[int(scores.argmax())],
                "probabilities": {name: round(float(score), 6) for name, score in zip(label_names, scores, strict=True)},
            },
            ensure_ascii=False,
        )
        for row_id, label, scores in zip(rows.ids, rows.labels, probabilities, strict=True)
    ]  # fmt: skip
    write_text(path, "".join(f"{line}\n" for line in lines))


def read_predictions(path: Path, label_names: Sequence[str]) -> Array:
    """Read probabilities of shape (rows, classes) back, in the file's order."""
    with path.open(encoding="utf-8") as file:
        rows = [json.loads(line)["probabilities"] for line in file]
    return np.asarray([[row[name] for name in label_names] for row in rows], dtype=np.float64)


def _save(trained: Any, folder: Path, texts: Sequence[str], max_length_tokens: int) -> None:
    from nlp_transfer.publishing.save import save_trained

    if is_main():
        save_trained(trained.model, trained.tokenizer, folder, texts=texts[:64], max_length_tokens=max_length_tokens)
    wait_for_all()


__all__ = ["EMPTY", "SystemRunner", "SystemSettings", "read_predictions", "write_predictions"]
