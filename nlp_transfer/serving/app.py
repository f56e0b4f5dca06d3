"""The routes: one page, one API. Checks requests, asks the models' queues, words every error alike."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, Response
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from nlp_transfer import __version__
from nlp_transfer.errors import TransferError, did_you_mean
from nlp_transfer.inference.long_texts import TooLong
from nlp_transfer.serving.batching import QueueFullError
from nlp_transfer.serving.files import Upload, checked_name, require_fitting, rows_of, suffixes
from nlp_transfer.serving.guard import FILES, Guard, error_response, page_policy
from nlp_transfer.serving.jobs import INTERNAL, FileJobs
from nlp_transfer.serving.limits import Limits, Refused, as_parameters, require_texts
from nlp_transfer.serving.messages import (
    ErrorBody,
    FileParameters,
    FileState,
    Health,
    LimitsState,
    Models,
    ModelState,
    Predictions,
    Texts,
    TextsToTranslate,
    Translations,
)
from nlp_transfer.serving.served import USUAL, How, ServedModel

# How often a waiting request looks whether its client is still there.
LOOK_SECONDS = 0.2
REFUSALS: dict[int | str, dict[str, Any]] = {
    413: {"model": ErrorBody, "description": "The body or the file is too large."},
    422: {"model": ErrorBody, "description": "A text, a parameter or the file cannot be answered."},
    429: {"model": ErrorBody, "description": "Too much waits; Retry-After says when to ask again."},
    503: {"model": ErrorBody, "description": "The server is stopping."},
}
UNKNOWN: dict[int | str, dict[str, Any]] = {404: {"model": ErrorBody, "description": "No such file."}}
DESCRIPTION = (
    'Adapted models of nlp-transfer. Every error is `{"error": {"status", "code", "message"}}`. '
    "Files are sent as they are, as the body: "
    "`curl --data-binary @reviews.csv 'http://127.0.0.1:8000/api/files?name=reviews.csv'`."
)

log = logging.getLogger(__name__)


def create_app(
    models: Sequence[ServedModel], jobs: FileJobs, limits: Limits, *, hosts: Iterable[str] | None
) -> Guard:
    """Build the server's application.

    Args:
        models: of one task.
        jobs: takes the files.
        limits: what one client may ask.
        hosts: names that a request may call the server by; None lets all in.
    """
    page = files("nlp_transfer.serving").joinpath("page.html").read_text(encoding="utf-8")
    # Its pages for reading the description load scripts from elsewhere; the description itself does not.
    app = FastAPI(
        title="nlp-transfer", version=__version__, description=DESCRIPTION, docs_url=None, redoc_url=None
    )
    guard = Guard(app, limits=limits, hosts=hosts, policy=page_policy(page))
    _word_errors(app)
    _add_state(app, models, limits, guard, page)
    (_add_translate if models[0].task == "translation" else _add_predict)(app, models, limits)
    _add_files(app, models, jobs, limits)
    return guard


def _add_state(app: FastAPI, models: Sequence[ServedModel], limits: Limits, guard: Guard, page: str) -> None:
    @app.get("/", include_in_schema=False)
    def show_page() -> HTMLResponse:
        return HTMLResponse(page)

    @app.get("/health", response_model=Health)
    def health(response: Response) -> Health:
        """Tell whether work is taken; 503 once the server was asked to stop."""
        response.status_code = 503 if guard.stopping else 200
        return Health(
            status="stopping" if guard.stopping else "ok",
            task=models[0].task,
            models=[model.name for model in models],
            queued_texts=sum(model.batcher.queued for model in models),
        )

    @app.get("/api/models")
    def list_models() -> Models:
        """List the models, their labels or languages, and the limits."""
        return Models(
            task=models[0].task,
            models=[ModelState.of(model) for model in models],
            limits=LimitsState.model_validate(limits),
            file_suffixes=list(suffixes(models[0].task)),
        )


def _add_predict(app: FastAPI, models: Sequence[ServedModel], limits: Limits) -> None:
    @app.post("/api/predict", responses=REFUSALS)
    async def predict(asked: Texts, request: Request) -> Predictions:
        """Label texts with one or several models."""
        require_texts(asked.texts, limits)
        return Predictions(results=await _answered(request, _chosen(models, asked.models), asked.texts))


def _add_translate(app: FastAPI, models: Sequence[ServedModel], limits: Limits) -> None:
    @app.post("/api/translate", responses=REFUSALS)
    async def translate(asked: TextsToTranslate, request: Request) -> Translations:
        """Translate texts with one or several models; line breaks stay where they are."""
        require_texts(asked.texts, limits)
        how = How(asked.tgt_lang, asked.num_beams)
        chosen = _chosen(models, asked.models)
        return Translations(results=await _answered(request, chosen, asked.texts, how))


def _add_files(app: FastAPI, models: Sequence[ServedModel], jobs: FileJobs, limits: Limits) -> None:
    body = {
        "requestBody": {
            "required": True,
            "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
        }
    }

    @app.post(FILES, status_code=202, responses=REFUSALS, openapi_extra=body)
    async def send_file(request: Request, asked: Annotated[FileParameters, Query()]) -> FileState:
        """Send a file (the body is its bytes); ask for its state, then fetch its result."""
        chosen, called = _chosen(models, asked.model), checked_name(asked.name, models[0].task)
        folder = jobs.new_folder()
        how = How(asked.tgt_lang or None, asked.num_beams)
        upload = Upload(folder / "upload", called, asked.text_column or None, how)
        try:
            require_fitting(upload, chosen)
            await _save(request, upload.path)
            rows = await run_in_threadpool(rows_of, upload, limits)
        except BaseException:
            upload.path.unlink(missing_ok=True)
            folder.rmdir()
            raise
        return FileState.of(jobs.add(folder, upload, chosen, rows))

    @app.get(FILES + "/{id}", responses=UNKNOWN)
    def file_state(id: str) -> FileState:
        """Tell how far a file is."""
        return FileState.of(jobs.find(id))

    @app.delete(FILES + "/{id}", status_code=204, responses=UNKNOWN)
    def cancel_file(id: str) -> None:
        """Stop work on a file; forget a finished one."""
        jobs.cancel(jobs.find(id))

    @app.get(
        FILES + "/{id}/result",
        response_class=FileResponse,
        responses={**UNKNOWN, 409: {"model": ErrorBody, "description": "It is not done."}},
    )
    def file_result(id: str) -> FileResponse:
        """Fetch a result."""
        job = jobs.find(id)
        if job.status != "done":
            raise Refused(409, "not_done", f"{job.upload.name} is {job.status}. {job.message}".strip())
        job.fetched = True
        return FileResponse(job.output, filename=job.output.name, media_type="application/octet-stream")


def _chosen(models: Sequence[ServedModel], names: Sequence[str] | None) -> list[ServedModel]:
    """Return the models that a request names, each once; None or nothing is all of them.

    Raises:
        Refused: 422, there is no such model.
    """
    known = {model.name: model for model in models}
    for name in names or ():
        if name not in known:
            raise Refused(422, "no_such_model", f"no model {name[:100]!r}; {did_you_mean(name, known)}")
    return [known[name] for name in dict.fromkeys(names or known)]


async def _answered(
    request: Request, models: Sequence[ServedModel], texts: list[str], how: How = USUAL
) -> dict[str, list[Any]]:
    """Ask all models at once and wait for all.

    Raises:
        Refused: 429, a queue is full; 422, a sentence is too long.
        TransferError: a model refused the texts.
    """
    futures: list[Future[list[Any]]] = []
    try:
        for model in models:
            futures.append(model.batcher.submit(texts, how))
        answers = await _all(request, futures)
    except QueueFullError as full:
        raise Refused(
            429,
            "queue_full",
            f"{full.queued:,} texts wait; ask again in {full.retry_after_seconds} s",
            retry_after_seconds=full.retry_after_seconds,
        ) from full
    finally:
        # What nobody waits for any more is not worked on.
        for future in futures:
            future.cancel()
    for results in answers:
        for number, result in enumerate(results, start=1):
            if isinstance(result, TooLong):
                raise Refused(422, "sentence_too_long", f"text {number}: {result}")
    return {model.name: results for model, results in zip(models, answers, strict=True)}


async def _all(request: Request, futures: Sequence[Future[list[Any]]]) -> list[list[Any]]:
    """Wait for futures while the client does.

    Raises:
        Refused: 499, the client went away.
    """
    waiting = [asyncio.wrap_future(future) for future in futures]
    left: set[asyncio.Future[list[Any]]] = set(waiting)
    while left:
        _, left = await asyncio.wait(left, timeout=LOOK_SECONDS)
        if left and await request.is_disconnected():
            raise Refused(499, "client_gone", "the client went away")
    # All are looked at, so that none is told to have an error that nobody fetched.
    errors = [error for future in waiting if (error := future.exception())]
    if errors:
        raise errors[0]
    return [future.result() for future in waiting]


async def _save(request: Request, path: Path) -> None:
    with path.open("wb") as file:
        async for part in request.stream():
            file.write(part)


def _word_errors(app: FastAPI) -> None:
    @app.exception_handler(HTTPException)
    async def refused(_: Request, error: HTTPException) -> JSONResponse:
        known = isinstance(error, Refused)
        message = as_parameters(str(error.detail)) if known else f"{error.detail}; see /openapi.json"
        code = error.code if isinstance(error, Refused) else "http_error"
        return error_response(error.status_code, code, message, dict(error.headers or {}))

    @app.exception_handler(TransferError)
    async def not_answered(_: Request, error: TransferError) -> JSONResponse:
        return error_response(422, "not_answered", as_parameters(str(error)))

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        # What was sent is not repeated: it may be long, or hold half characters that no answer can.
        problems = [
            f"{'.'.join(str(part) for part in each['loc'])}: {each['msg']}" for each in error.errors()[:5]
        ]
        return error_response(422, "invalid", f"{'; '.join(problems)}; see /openapi.json")

    @app.exception_handler(Exception)
    async def failed(_: Request, error: Exception) -> JSONResponse:
        log.error("a request failed", exc_info=error)
        return error_response(500, "internal", INTERNAL)
