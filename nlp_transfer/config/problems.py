"""What is wrong with a recipe that no field alone can show, each as a line that says how to mend it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

from nlp_transfer.config.keys import (
    FORMATS,
    POSSIBLE_BASELINES,
    SENTIMENT_KEYS,
    TRANSLATION_KEYS,
    AdaptationConfig,
    DomainConfig,
    RecipeConfig,
)


def training_problems(content: Mapping[str, Any], section: Sequence[str]) -> list[str]:
    """Check a `training:` block against the installed `transformers.TrainingArguments`."""
    node: Any = content
    for name in section:
        node = node.get(name) if isinstance(node, Mapping) else None
    if not isinstance(node, Mapping) or not node:
        return []
    from nlp_transfer.arguments import argument_problems

    where = ".".join(section)
    problems = [f"{where}.{problem}" for problem in argument_problems(node)]
    if len(section) > 1 and "seed" in node:
        problems.append(f"{where}.seed: one seed starts both stages; set training.seed")
    return problems


def domain_problems(config: RecipeConfig) -> list[str]:
    """Check what one field alone cannot show."""
    problems = [*_model_problems(config), *_baseline_problems(config), *_guard_problems(config)]
    problems += [*_adaptation_problems(config), *_seed_problems(config.evaluation.seeds)]
    for name in ("source", "target"):
        domain: DomainConfig | None = getattr(config.data, name)
        if domain is not None:
            problems += [f"data.{name}{problem}" for problem in _one_domain(domain, config.task)]
    return problems


def _model_problems(config: RecipeConfig) -> list[str]:
    model = config.model
    if (model.path is None) == (model.architecture is None):
        return ["model: give path, or architecture to make a translation model anew"]
    if model.architecture is not None and config.task != "translation":
        return ["model.architecture: only translation models are made anew; give model.path"]
    if model.architecture is not None and model.architecture.hidden_size % model.architecture.attention_heads:
        return ["model.architecture.hidden_size: must be a multiple of attention_heads"]
    names = model.label_names or []
    if names and config.task != "sentiment":
        return [f"model.label_names: is not a key of {config.task} recipes"]
    if len(set(names)) < len(names) or not all(name.strip() for name in names):
        return [f"model.label_names: each class has a name of its own (got {names})"]
    return []


def _baseline_problems(config: RecipeConfig) -> list[str]:
    possible = POSSIBLE_BASELINES[config.task]
    return [
        f"evaluation.baselines: {system} is no baseline of a {config.task} recipe; known: "
        f"{', '.join(possible)}"
        for system in config.evaluation.baselines
        if system not in possible
    ]


def _seed_problems(seeds: Sequence[int]) -> list[str]:
    """Refuse seeds that cannot start a generator, and one twice: it is one repeat, not two."""
    problems = []
    if any(not 0 <= seed < 2**31 for seed in seeds):
        problems.append(f"evaluation.seeds: must be from 0 to {2**31 - 1}, got {seeds}")
    if len(set(seeds)) < len(seeds):
        problems.append(f"evaluation.seeds: each seed counts once, got {seeds}")
    return problems


def _guard_problems(config: RecipeConfig) -> list[str]:
    """Refuse a guard that could never close: an accuracy cannot fall by one or more."""
    guard = config.adaptation.guard
    if guard is None or config.task != "sentiment" or guard.max_drop < 1:
        return []
    return [
        f"adaptation.guard.max_drop: is {guard.max_drop:g}, and accuracy is counted from 0 to 1: give 0.01 "
        "for one point"
    ]


def _adaptation_problems(config: RecipeConfig) -> list[str]:
    """Check that what an adaptation learns besides labelled rows goes with its task and its method."""
    adaptation, blank = config.adaptation, AdaptationConfig()
    smoothing = {**config.training, **adaptation.training}.get("label_smoothing_factor")
    problems = []
    if config.task == "translation":
        sentiment_keys = ("unlabelled", "soup", "class_weights", "selection_metric", "trust_source")
        problems += [
            f"adaptation.{key}: is not a key of translation recipes"
            for key in sentiment_keys
            if getattr(adaptation, key) != getattr(blank, key)
        ]
    if smoothing and (adaptation.unlabelled or adaptation.class_weights):
        problems.append(
            "training.label_smoothing_factor: goes neither with adaptation.unlabelled nor with "
            "adaptation.class_weights; leave it out"
        )
    if adaptation.target_modules == []:
        problems.append(
            "adaptation.target_modules: names no module, so nothing would get an adapter; name some, or set "
            "auto or all-linear"
        )
    problems += _soup_problems(config)
    if adaptation.unlabelled is None:
        return problems
    if adaptation.unlabelled.card is not None and adaptation.unlabelled.path is not None:
        problems.append("adaptation.unlabelled: give card or path, not both")
    if adaptation.method == "probe":
        problems.append(
            "adaptation.unlabelled: unlabelled text trains weights, and a probe leaves them as they are; set "
            "adaptation.method: full, lora or lp_ft"
        )
    return problems


def _soup_problems(config: RecipeConfig) -> list[str]:
    """Check that there is a training on labelled rows that could be repeated, where a soup is asked for."""
    adaptation, unlabelled = config.adaptation, config.adaptation.unlabelled
    if adaptation.soup in (None, 1):
        return []
    steps = {**config.training, **adaptation.training}.get("max_steps", -1)
    why = None
    if unlabelled is not None and unlabelled.method == "mlm":
        why = "mlm is one"
    elif unlabelled is not None and isinstance(steps, int) and steps > 0:
        why = "with max_steps self_training learns labels and guesses in one"
    elif adaptation.method == "probe":
        why = "a probe has none"
    if why is None:
        return []
    return [f"adaptation.soup: averages trainings on labelled rows alone, and {why}; leave it out"]


def _one_domain(domain: DomainConfig, task: str) -> list[str]:
    """Check one domain: where its rows are, and that its keys are the task's."""
    aligned = ("src_path", "tgt_path") if domain.src_path or domain.tgt_path else ()
    given = [key for key in ("card", "path", "splits", *aligned[:1]) if getattr(domain, key) is not None]
    problems = []
    if len(given) != 1:
        problems.append(
            f": give exactly one of card, path, splits (got {', '.join(given) or 'none'}); "
            "`nlp-transfer cards list` shows the cards"
        )
    if aligned and not (domain.src_path and domain.tgt_path):
        problems.append(": src_path and tgt_path belong together; give both")
    if domain.splits is not None:
        unknown = sorted(set(domain.splits) - {"train", "dev", "test"})
        missing = sorted({"train", "test"} - set(domain.splits))
        problems += [f".splits: unknown split {split}" for split in unknown]
        problems += [f".splits: {split} is missing" for split in missing]
    problems += [*_format_problems(domain.format, task), *_label_problems(domain)]
    if task == "sentiment" and isinstance(domain.path, list):
        problems.append(".path: several files are read for translation alone; put the rows into one")
    if domain.path == "":
        problems.append(".path: is empty; name a file")
    blank = DomainConfig()
    foreign = SENTIMENT_KEYS if task == "translation" else TRANSLATION_KEYS
    problems += [
        f".{key}: is not a key of {task} recipes"
        for key in foreign
        if getattr(domain, key) != getattr(blank, key)
    ]
    if task == "translation" and not (domain.src_lang and domain.tgt_lang):
        problems.append(
            ": give src_lang and tgt_lang, the codes of the two languages (src_lang: en, tgt_lang: gl)"
        )
    return problems


def _label_problems(domain: DomainConfig) -> list[str]:
    """Refuse names of classes that are none, and bins that hold no number."""
    names, problems = domain.label_names, []
    if names is not None and (len(set(names)) < len(names) or len(names) < 2):
        problems.append(f".label_names: at least two names are needed, each once (got {names})")
    mapped = [name for name in domain.label_map.values() if name is not None]
    if not all(name.strip() for name in (*(names or []), *mapped)):
        problems.append(": a class has no name in label_map or label_names; null drops a label's rows")
    problems += [
        f".label_bins.{name}: goes from {low} to {high}, which holds no number; the lower end stands first"
        for name, (low, high) in (domain.label_bins or {}).items()
        if not low <= high
    ]
    return [*problems, *_overlapping_bins(domain.label_bins or {})]


def _overlapping_bins(bins: Mapping[str, tuple[float, float]]) -> list[str]:
    """Refuse two classes for one number: the bin that stands first would win, and nothing would say so."""
    problems = []
    for (one, (one_low, one_high)), (other, (other_low, other_high)) in combinations(bins.items(), 2):
        low, high = max(one_low, other_low), min(one_high, other_high)
        if low <= high:
            shared = f"{low:g}" if low == high else f"{low:g} to {high:g}"
            problems.append(
                f".label_bins: {one} and {other} share {shared}; ends are included, so let one of them end "
                "before the other begins"
            )
    return problems


def _format_problems(format: str | None, task: str) -> list[str]:
    """Refuse a format that holds no labelled texts, or no pairs."""
    if format is None or format in FORMATS[task]:
        return []
    mend = (
        "give two plain text files by src_path and tgt_path instead of path and format"
        if format == "txt"
        else f"give one of {', '.join(FORMATS[task])}, or leave it out to follow the file's name"
    )
    return [f".format: {format} is no format of {task} recipes; {mend}"]
