"""A recipe's YAML as validated, frozen dataclasses.

Every key is documented once, below its field, and every default exists once, here. Unknown keys are refused
with the nearest match, and all errors are told at once. Below the builders, code takes plain values, never a
config.
"""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from nlp_transfer.errors import ConfigError, did_you_mean

STRICT = ConfigDict(extra="forbid", use_attribute_docstrings=True)

Method = Literal["full", "lora", "probe", "lp_ft"]
System = Literal["majority", "copy", "tfidf", "zero_shot", "probe", "target_only", "scratch"]
BASELINES: tuple[System, ...] = ("majority", "tfidf", "zero_shot", "probe", "target_only")
Label = str | int | float | bool


@dataclass(frozen=True, config=STRICT)
class ModelConfig:
    """Which pretrained model the run starts from."""

    path: str
    """Hub id, folder, or `package://module/folder` inside an installed Python package."""
    revision: str | None = None
    """Hub revision (a commit, tag or branch); null is the default branch."""
    max_length_tokens: int = Field(default=256, ge=4)
    """Longer texts are cut here; `check` counts them."""


@dataclass(frozen=True, config=STRICT)
class DomainConfig:
    """Where one domain's rows come from and how they are read. What a card declares need not be repeated."""

    card: str | None = None
    """Name of a data card (`nlp-transfer cards list`)."""
    path: str | list[str] | None = None
    """A file (csv, tsv, jsonl, parquet; .gz too), `package://module/file`,
    `pypi://name==version/file!member`, or `hub://owner/name@revision/split`; several are read one after the
    other. For translation also po, mo, xliff and tmx files, or a folder of them; {src_lang} and {tgt_lang}
    stand for the languages' codes."""
    splits: dict[str, str] | None = None
    """Files that are split already: {train: ..., dev: ..., test: ...}; dev may be left out."""
    sha256: str | None = None
    """Expected SHA-256 of the file, or of the archive it is taken from."""
    format: Literal["csv", "tsv", "jsonl", "parquet", "txt"] | None = None
    """How to read the file; null follows its name."""
    encoding: str = "utf-8"
    """Text encoding of the file."""
    columns: list[str] | None = None
    """Column names of a file that has no header line."""
    where: dict[str, Label] | None = None
    """Keep only the rows whose columns have these values."""
    text_column: str | None = None
    """Column with the text; null looks for text, sentence, review, content."""
    label_column: str | None = None
    """Column with the label; null looks for label, labels, sentiment, stars, rating."""
    label_names: list[str] | None = None
    """Class names in the order of their ids, for a file with the ids 0..k-1."""
    label_bins: dict[str, tuple[float, float]] | None = None
    """Class names for ranges of a numeric label, ends included; rows in no range are dropped and counted."""
    label_map: dict[Label, str | None] = Field(default_factory=dict)
    """The file's labels in other words, e.g. {neg: negative, pos: positive}; null drops the rows."""
    group_column: str | None = None
    """Rows that share its value (a reviewer, a product, a document) stay on one side of every split."""
    group_pattern: str | None = None
    """Regular expression; its first match in the group column is the group."""
    test_share: float | None = Field(default=None, gt=0, lt=1)
    """Share of the rows that are held out for testing where the data has no test split of its own; null is
    the card's share, 0.2 without one."""
    train_size: int | None = Field(default=None, ge=0)
    """Labelled rows that the run may see, selection included; null is all of them."""
    test_size: int | None = Field(default=None, ge=1)
    """At most this many test rows, the same ones whatever the seed; null is all of them."""


@dataclass(frozen=True, config=STRICT)
class DataConfig:
    """The two domains."""

    target: DomainConfig
    """The domain to adapt to."""
    source: DomainConfig | None = None
    """The domain with ample labels; null: none."""
    label_map: dict[Label, str | None] = Field(default_factory=dict)
    """The target's labels in the source's terms, e.g. {1: negative, 5: positive, 3: null}; null drops the
    rows. Wins over the target's own `label_map`."""
    seed: int = 0
    """Draws the training rows; test rows do not depend on it."""


@dataclass(frozen=True, config=STRICT)
class SourceStageConfig:
    """How the source model is made."""

    method: Method = "full"
    """How it is trained; see `adaptation.method`. After a probe only a probe can follow."""
    training: dict[str, Any] = Field(default_factory=dict)
    """TrainingArguments of this stage; they override the common `training`."""


@dataclass(frozen=True, config=STRICT)
class AdaptationConfig:
    """How the source model is adapted to the target."""

    method: Method = "full"
    """full: all weights. lora: low-rank adapters. probe: logistic regression on frozen features. lp_ft: start
    from a probed head, then all weights."""
    rank: int = Field(default=16, ge=1)
    """Rank of LoRA's matrices."""
    alpha: int = Field(default=32, ge=1)
    """LoRA's scale is alpha / rank."""
    target_modules: Literal["auto", "all-linear"] | list[str] = "auto"
    """Modules that get an adapter; auto takes the map for the model's family."""
    freeze_layers: int = Field(default=0, ge=0)
    """Keep the first n layers as they are. The embeddings always stay as they are."""
    replay: float | None = Field(default=None, ge=0)
    """Source rows that are learnt again beside each target row, against forgetting, and it helps the target
    too; null: one beside each of up to 64 target rows, fewer beside each the more there are."""
    training: dict[str, Any] = Field(default_factory=dict)
    """TrainingArguments of this stage; they override the common `training`."""


@dataclass(frozen=True, config=STRICT)
class EvaluationConfig:
    """What the adapted model is compared with, and how."""

    baselines: list[System] = Field(default_factory=lambda: list(BASELINES))
    """Systems to score beside `adapted`; `scratch` on request."""
    bootstrap: int = Field(default=1000, ge=100)
    """Resamples behind every interval and paired test."""
    seeds: list[int] = Field(default_factory=lambda: [0], min_length=1)
    """Repeats drawing, adapting and scoring with these added to `data.seed` and `training.seed`. The source
    model is made once, and the first seed's adapted model is kept."""


@dataclass(frozen=True, config=STRICT)
class HubConfig:
    """Where the adapted model is published."""

    repo_id: str | None = None
    """owner/name on the Hub."""
    private: bool = True
    """Whether the repository is created private."""


@dataclass(frozen=True, config=STRICT)
class RecipeConfig:
    """A whole recipe: the root of the YAML."""

    task: Literal["sentiment"]
    """Which recipe class runs it."""
    output_dir: str
    """The run folder."""
    model: ModelConfig
    data: DataConfig
    source_stage: SourceStageConfig | None = Field(default_factory=SourceStageConfig)
    """How the source model is made; null uses `model.path` as it is."""
    adaptation: AdaptationConfig = Field(default_factory=AdaptationConfig)
    training: dict[str, Any] = Field(default_factory=dict)
    """`transformers.TrainingArguments` by their own names, for both stages."""
    evaluation: EvaluationConfig = Field(default_factory=EvaluationConfig)
    hub: HubConfig = Field(default_factory=HubConfig)


def yaml_reader() -> Any:
    """Build the YAML 1.2 reader: `5e-5` is a number and `no` a word, unlike in PyYAML."""
    from ruamel.yaml import YAML

    reader: Any = YAML(typ="safe", pure=True)
    reader.default_flow_style = False
    reader.sort_base_mapping_type_on_output = False
    return reader


def read_yaml(text: str, *, where: str) -> Any:
    """Parse YAML 1.2 text; `where` names it in the error.

    Raises:
        ConfigError: the text is not YAML.
    """
    from ruamel.yaml.error import YAMLError

    try:
        return yaml_reader().load(text)
    except YAMLError as error:
        raise ConfigError(f"{where} is not valid YAML: {' '.join(str(error).split())}") from error


def write_yaml(value: Any) -> str:
    """Render plain values as YAML 1.2."""
    stream = io.StringIO()
    yaml_reader().dump(value, stream)
    return stream.getvalue()


def load_config(path: str | Path, overrides: Sequence[str] = ()) -> RecipeConfig:
    """Read a recipe's YAML file, apply `key.sub=value` overrides, and validate it.

    Raises:
        ConfigError: the file cannot be read, or any key or value is wrong (all of them are listed).
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise ConfigError(
            f"no recipe at {path}; `nlp-transfer recipes list` shows the shipped ones and "
            "`nlp-transfer recipes copy NAME` puts one here"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read as a UTF-8 text file: {error}") from error
    content = read_yaml(text, where=str(path))
    if not isinstance(content, dict):
        raise ConfigError(f"{path} must hold keys and values at its top level, not {type(content).__name__}")
    for override in overrides:
        apply_override(content, override)
    return parse_config(content, where=str(path))


def apply_override(content: dict[str, Any], override: str) -> None:
    """Set one `key.sub=value` in nested dictionaries, in place; the value is read as YAML.

    Raises:
        ConfigError: there is no `=`, or a part of the path is a plain value.
    """
    key, equals, value = override.partition("=")
    if not equals or not key:
        raise ConfigError(f"override {override!r} must have the form key.sub=value")
    *parents, last = key.split(".")
    node = content
    for depth, name in enumerate(parents):
        if node.get(name) is None:
            node[name] = {}
        node = node[name]
        if not isinstance(node, dict):
            raise ConfigError(
                f"override {override!r}: {'.'.join(parents[: depth + 1])} is a value, not a section"
            )
    node[last] = read_yaml(value, where=f"the value of override {override!r}")


def parse_config(content: Mapping[str, Any], *, where: str = "the configuration") -> RecipeConfig:
    """Validate nested dictionaries as a recipe.

    Raises:
        ConfigError: listing every unknown key (with the nearest known one) and every wrong value.
    """
    problems: list[str] = []
    config: RecipeConfig | None = None
    try:
        config = TypeAdapter(RecipeConfig).validate_python(dict(content))
    except ValidationError as error:
        problems += [_describe(problem) for problem in error.errors()]
    for section in (("training",), ("source_stage", "training"), ("adaptation", "training")):
        problems += _training_problems(content, section)
    if config is not None:
        problems += _domain_problems(config)
    if problems or config is None:
        listing = "\n".join(f"  - {problem}" for problem in dict.fromkeys(problems))
        raise ConfigError(f"{where} has {len(set(problems))} problem(s):\n{listing}")
    return config


def as_dict(config: RecipeConfig) -> dict[str, Any]:
    """Spell out a config with every default, as plain values."""
    return dataclasses.asdict(config)


def _describe(problem: Any) -> str:
    """Word one pydantic error with the key's path and, for an unknown key, its nearest match."""
    path = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "unexpected_keyword_argument":
        return f"{path}: unknown key; {did_you_mean(str(problem['loc'][-1]), _keys_at(problem['loc'][:-1]))}"
    if problem["type"] in ("missing", "missing_argument"):
        return f"{path}: is missing"
    return f"{path}: {problem['msg'][0].lower()}{problem['msg'][1:]}, got {problem['input']!r}"


def _keys_at(location: Sequence[Any]) -> list[str]:
    """List the keys that the section at this path may have."""
    sections = {
        "model": ModelConfig,
        "data": DataConfig,
        "source": DomainConfig,
        "target": DomainConfig,
        "source_stage": SourceStageConfig,
        "adaptation": AdaptationConfig,
        "evaluation": EvaluationConfig,
        "hub": HubConfig,
    }
    section: type = sections.get(str(location[-1]), RecipeConfig) if location else RecipeConfig
    return [field.name for field in dataclasses.fields(section)]


def _training_problems(content: Mapping[str, Any], section: Sequence[str]) -> list[str]:
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


def _domain_problems(config: RecipeConfig) -> list[str]:
    """Check what one field alone cannot show."""
    problems = []
    for name in ("source", "target"):
        domain: DomainConfig | None = getattr(config.data, name)
        if domain is None:
            continue
        given = [key for key in ("card", "path", "splits") if getattr(domain, key) is not None]
        if len(given) != 1:
            problems.append(
                f"data.{name}: give exactly one of card, path, splits (got {', '.join(given) or 'none'}); "
                "`nlp-transfer cards list` shows the cards"
            )
        if domain.splits is not None:
            unknown = sorted(set(domain.splits) - {"train", "dev", "test"})
            missing = sorted({"train", "test"} - set(domain.splits))
            problems += [f"data.{name}.splits: unknown split {split}" for split in unknown]
            problems += [f"data.{name}.splits: {split} is missing" for split in missing]
    return problems
