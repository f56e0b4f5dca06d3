"""What goes over the API, as types: they check requests and make the OpenAPI description."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from nlp_transfer.serving.jobs import FileJob, Status
from nlp_transfer.serving.served import ServedModel, Task

ModelNames = Annotated[
    list[str] | None, Field(description="Names of models, as /api/models lists them; default: all.")
]
MOST_BEAMS = 16


class Texts(BaseModel):
    """Texts to label."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"texts": ["Battery died after a week."]}]}
    )
    texts: list[str] = Field(description="Answered in their order.")
    models: ModelNames = None


class TextsToTranslate(Texts):
    """Texts to translate, of any number of lines."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"texts": ["Save the file"]}]})
    tgt_lang: str | None = Field(
        None, description="Language to translate into, such as gl; default: the model's own."
    )
    num_beams: int | None = Field(
        None, ge=1, le=MOST_BEAMS, description="Width of the beam search; 1 is fastest."
    )


class FileParameters(BaseModel):
    """How a file is to be answered."""

    model_config = ConfigDict(extra="forbid")
    name: str = Field(description="The file's name; its suffix tells the format.")
    model: list[str] = Field(default=[], description="A model's name, or several; default: all.")
    text_column: str | None = Field(
        None, description="Column with the text; default: text, sentence, review or content"
    )
    tgt_lang: str | None = Field(None, description="Translation: language to translate into.")
    num_beams: int | None = Field(
        None, ge=1, le=MOST_BEAMS, description="Translation: width of the beam search."
    )


class Prediction(BaseModel):
    """The label of a text."""

    label: str
    score: float = Field(description="Probability of the label.")
    probabilities: dict[str, float]


class Predictions(BaseModel):
    """For each model the predictions, in the order of the texts."""

    results: dict[str, list[Prediction]]


class Translations(BaseModel):
    """For each model the translations, in the order of the texts."""

    results: dict[str, list[str]]


class ModelState(BaseModel):
    """A model that is served."""

    name: str
    label_names: list[str] = Field(description="Of a classifier, in the order of its classes.")
    directions: list[tuple[str, str]] = Field(
        description="Of a translation model: (from, into), the default first."
    )

    @classmethod
    def of(cls, model: ServedModel) -> ModelState:
        return cls(name=model.name, label_names=model.label_names, directions=model.directions)


class LimitsState(BaseModel):
    """Sizes above which a request is refused."""

    model_config = ConfigDict(from_attributes=True)
    body_bytes: int
    file_bytes: int
    file_rows: int
    texts: int
    text_characters: int


class Models(BaseModel):
    """What is served here."""

    task: Task
    models: list[ModelState]
    limits: LimitsState
    file_suffixes: list[str]


class Health(BaseModel):
    """Whether work is taken."""

    status: str = Field(description="ok, or stopping.")
    task: Task
    models: list[str]
    queued_texts: int


class FileState(BaseModel):
    """How far a file is."""

    id: str
    name: str
    status: Status
    rows_done: int
    rows: int
    message: str = Field(description="What was done, or why it failed.")
    result: str | None = Field(description="Where the result is, once status is done.")
    result_name: str

    @classmethod
    def of(cls, job: FileJob) -> FileState:
        return cls(
            id=job.id,
            name=job.upload.name,
            status=job.status,
            rows_done=job.rows_done,
            rows=job.rows,
            message=job.message,
            result=f"/api/files/{job.id}/result" if job.status == "done" else None,
            result_name=job.output.name,
        )


class ErrorState(BaseModel):
    """Why a request was refused."""

    status: int = Field(description="The HTTP status.")
    code: str = Field(description="One word for programs.")
    message: str = Field(description="What was expected, what came, what mends it.")


class ErrorBody(BaseModel):
    """The body of every error."""

    error: ErrorState
