"""Files that wait for their turn, are worked on, or are done: one at a time, in a thread of their own.

Results lie in a temporary folder until newer ones push them out or the server ends.
"""

from __future__ import annotations

import logging
import queue
import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from nlp_transfer.errors import TransferError
from nlp_transfer.serving.files import Upload, answer_file, result_name
from nlp_transfer.serving.limits import Limits, Refused, as_parameters
from nlp_transfer.serving.served import ServedModel

Status = Literal["waiting", "running", "done", "failed", "cancelled"]
# How long a stopping server holds a result that nobody has fetched yet. A page asks twice a second.
FETCH_SECONDS = 10.0
INTERNAL = "the server failed; its log says why"

log = logging.getLogger(__name__)


class _CancelledError(Exception):
    """A client does not want the result any more."""


@dataclass
class FileJob:
    """One file and what became of it.

    Attributes:
        id: cannot be guessed: who has it may fetch the result.
        output: the result, there once `status` is `done`.
        rows_done, rows: rows answered, and rows to answer.
        message: what was done, or why it failed.
    """

    id: str
    upload: Upload
    models: Sequence[ServedModel]
    output: Path
    rows: int
    rows_done: int = 0
    status: Status = "waiting"
    message: str = ""
    ended: float = 0.0
    fetched: bool = False
    unwanted: bool = False

    @property
    def is_over(self) -> bool:
        return self.status not in ("waiting", "running")


class FileJobs:
    """The files of one server."""

    def __init__(self, limits: Limits) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="nlp-transfer-"))
        self._limits = limits
        self._jobs: dict[str, FileJob] = {}
        self._lock = threading.Lock()
        self._queue: queue.SimpleQueue[FileJob | None] = queue.SimpleQueue()
        self._stopping_since: float | None = None
        self._worker = threading.Thread(target=self._work, name="files")
        self._worker.start()

    def new_folder(self) -> Path:
        """Make the folder of an upload; its name is the job's id.

        Raises:
            Refused: 429, too many files wait.
        """
        with self._lock:
            waiting = sum(job.status == "waiting" for job in self._jobs.values())
        if waiting >= self._limits.waiting_files:
            raise Refused(
                429, "files_full", f"{waiting} files wait; send it again later", retry_after_seconds=10
            )
        folder = self.folder / secrets.token_urlsafe(16)
        folder.mkdir()
        return folder

    def add(self, folder: Path, upload: Upload, models: Sequence[ServedModel], rows: int) -> FileJob:
        """Queue a file that was looked through.

        Args:
            folder: from `new_folder`.
            upload: the file.
            models: those that answer.
            rows: from `rows_of`.
        """
        output = folder / result_name(upload, models[0].task, len(models))
        job = FileJob(folder.name, upload, list(models), output, rows)
        with self._lock:
            self._jobs[job.id] = job
        self._queue.put(job)
        return job

    def find(self, job_id: str) -> FileJob:
        """Return a job.

        Raises:
            Refused: 404, it is not known, or not any more.
        """
        with self._lock:
            job = self._jobs.get(job_id)
        if job is None:
            raise Refused(
                404,
                "no_such_file",
                f"no such file; the server keeps the last {self._limits.kept_files} results: send it again",
            )
        return job

    def cancel(self, job: FileJob) -> None:
        """Stop work on a file at its next chunk; a finished one is forgotten."""
        job.unwanted = True
        if job.is_over:
            self._forget(job)

    def stop_taking(self) -> None:
        """Remember when the server was asked to stop."""
        self._stopping_since = time.monotonic()

    def hold_the_server(self) -> bool:
        """Tell whether a file is unfinished, or finished since the order to stop and not fetched yet."""
        with self._lock:
            jobs = list(self._jobs.values())
        now, since = time.monotonic(), self._stopping_since or 0.0
        return any(
            not job.is_over
            or (
                job.status == "done"
                and not job.fetched
                and since <= job.ended
                and now < job.ended + FETCH_SECONDS
            )
            for job in jobs
        )

    def cancel_all(self) -> None:
        """Stop all work at the next chunk."""
        with self._lock:
            for job in self._jobs.values():
                job.unwanted = True

    def close(self) -> None:
        """Stop all work at the next chunk and delete all files."""
        self.cancel_all()
        self._queue.put(None)
        self._worker.join()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _work(self) -> None:
        while (job := self._queue.get()) is not None:
            self._run(job)
            job.ended = time.monotonic()
            job.upload.path.unlink(missing_ok=True)
            self._forget_old()

    def _run(self, job: FileJob) -> None:
        def progress(done: int, rows: int) -> None:
            if job.unwanted:
                raise _CancelledError
            job.rows_done, job.rows = done, rows

        try:
            progress(0, job.rows)
            job.status = "running"
            message = answer_file(job.upload, job.models, job.output, rows=job.rows, progress=progress)
        except (_CancelledError, CancelledError):
            job.message, job.status = "cancelled", "cancelled"
        except (TransferError, Refused) as error:
            told = error.detail if isinstance(error, Refused) else str(error)
            job.message, job.status = as_parameters(told), "failed"
        except (
            Exception
        ):  # Whatever it is, the job ends and the worker takes the next; the log has all of it.
            log.exception("a file failed")
            job.message, job.status = INTERNAL, "failed"
        else:
            # The message first: who sees `done` sees it too. `ended` with it, for a server that stops.
            job.message, job.ended = message, time.monotonic()
            job.status = "done"

    def _forget_old(self) -> None:
        with self._lock:
            over = [job for job in self._jobs.values() if job.is_over]
        for job in over[: max(0, len(over) - self._limits.kept_files)]:
            self._forget(job)

    def _forget(self, job: FileJob) -> None:
        with self._lock:
            self._jobs.pop(job.id, None)
        shutil.rmtree(job.output.parent, ignore_errors=True)
