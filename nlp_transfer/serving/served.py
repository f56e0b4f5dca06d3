"""The models of one server: opened under names of their own, all of one task, each with its queue."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from nlp_transfer.data.texts import whole_characters
from nlp_transfer.errors import ConfigError
from nlp_transfer.inference.long_texts import CutText, TooLong, cut_texts, translate_cut_texts
from nlp_transfer.serving.batching import Answer, Batcher
from nlp_transfer.serving.limits import Limits

Task = Literal["classification", "translation"]
NAMED = re.compile(r"([\w.-]+)=(.+)")


@dataclass(frozen=True)
class How:
    """How texts are translated; requests with equal values are answered together.

    Attributes:
        tgt_lang: the language to translate into; None is the model's own.
        num_beams: width of the beam search; None is the model's own.
        count_tokens: count the tokens of each text instead. Tokenizers are not safe to use from two threads
            at once, so counting is the worker's too.
    """

    tgt_lang: str | None = None
    num_beams: int | None = None
    count_tokens: bool = False


USUAL = How()


@dataclass(frozen=True)
class ServedModel:
    """A model under the name that requests and results call it by."""

    name: str
    task: Task
    model: Any
    batcher: Batcher

    @property
    def label_names(self) -> list[str]:
        """A classifier's labels; a translation model has none."""
        return list(getattr(self.model, "label_names", []))

    @property
    def directions(self) -> list[tuple[str, str]]:
        """Language pairs of a translation model, the default first; a classifier has none."""
        if self.task == "classification":
            return []
        return list(getattr(self.model, "directions", [(self.model.src_lang, self.model.tgt_lang)]))


def open_models(arguments: Sequence[str], limits: Limits, *, runtime: str | None = None) -> list[ServedModel]:
    """Open models side by side.

    Args:
        arguments: `MODEL`, or `NAME=MODEL` where its own name is not the wanted one.
        limits: how many texts may wait for each.
        runtime: see `load_adapted`.

    Raises:
        ConfigError: no model, two of one name, or of two tasks.
        ModelError: a model cannot be opened.
    """
    from nlp_transfer.inference.load import load_adapted

    named = named_models(arguments)
    return served_models({name: load_adapted(path, runtime=runtime) for name, path in named.items()}, limits)


def served_models(models: dict[str, Any], limits: Limits) -> list[ServedModel]:
    """Give opened models of one task their queues.

    Raises:
        ConfigError: they are of two tasks.
    """
    tasks = {name: _task(model) for name, model in models.items()}
    if len(set(tasks.values())) > 1:
        listed = ", ".join(f"{name} ({task})" for name, task in tasks.items())
        raise ConfigError(f"one server has models of one task, got {listed}; start one server for each task")
    return [
        ServedModel(
            name, tasks[name], model, Batcher(_answer(tasks[name], model), queued_texts=limits.queued_texts)
        )
        for name, model in models.items()
    ]


def named_models(arguments: Sequence[str]) -> dict[str, str]:
    """Name models: `runs/products/model` is `products`, `me/minilm` is `minilm`, `old=runs/a` is `old`.

    >>> named_models(["base=me/minilm", "runs/products/model"])
    {'base': 'me/minilm', 'products': 'runs/products/model'}

    Raises:
        ConfigError: no model, or two of one name.
    """
    if not arguments:
        raise ConfigError("name a model to serve: nlp-transfer serve MODEL [MODEL...]")
    pairs = [_named(argument) for argument in arguments]
    twice = [name for name, count in Counter(name for name, _ in pairs).items() if count > 1]
    if twice:
        raise ConfigError(
            f"two models are named {twice[0]!r}; give each a name of its own: "
            f"{' '.join(f'{name}{place}={path}' for place, (name, path) in enumerate(pairs, start=1))}"
        )
    return dict(pairs)


def _named(argument: str) -> tuple[str, str]:
    found = NAMED.fullmatch(argument)
    if found and not Path(argument).exists():
        return found[1], found[2]
    parts = [part for part in re.split(r"[/\\]+", argument) if part not in ("", ".", "..")]
    if len(parts) > 1 and parts[-1] == "model":
        parts.pop()
    return (parts[-1] if parts else Path(argument).resolve().name), argument


def _task(model: Any) -> Task:
    return "translation" if hasattr(model, "translate") else "classification"


def _answer(task: Task, model: Any) -> Answer:
    if task == "classification":
        return lambda texts, _: list(model.predict([whole_characters(text) for text in texts]))
    return lambda texts, how: _translated(model, [whole_characters(text) for text in texts], how)


def _translated(translator: Any, texts: list[str], how: How) -> list[str | TooLong] | list[int]:
    """Translate texts of any length; one with a sentence that is too long is answered with that sentence."""
    if how.count_tokens:
        return list(translator.count_tokens(texts))
    cut = cut_texts(translator, texts)
    readable = [text for text in cut if isinstance(text, CutText)]
    results = iter(translate_cut_texts(translator, readable, tgt_lang=how.tgt_lang, num_beams=how.num_beams))
    return [text if isinstance(text, TooLong) else next(results) for text in cut]
