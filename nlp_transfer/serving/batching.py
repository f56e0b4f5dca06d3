"""Requests that come together, answered by one call of the model.

Each model has one worker thread, so a model is never called twice at once. The worker waits a few
milliseconds from the arrival of a request for others with the same settings, answers them together, and
gives each its own. Where a call fails, its requests are answered one by one: only the one at fault fails.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

Answer = Callable[[list[str], Any], list[Any]]
# A batch of short texts takes tens of milliseconds on a CPU, so that waiting 5 costs little.
WAIT_SECONDS = 0.005
BATCH_TEXTS = 32
LONGEST_RETRY_SECONDS = 60
# Weight of the newest batch in the running mean of the seconds that a text takes.
NEWEST = 0.2


class QueueFullError(Exception):
    """Too many texts wait; `retry_after_seconds` is about how long those that wait will take."""

    def __init__(self, queued: int, retry_after_seconds: int) -> None:
        super().__init__(f"{queued:,} texts wait")
        self.queued = queued
        self.retry_after_seconds = retry_after_seconds


@dataclass(frozen=True)
class _Request:
    texts: list[str]
    settings: Hashable
    future: Future[list[Any]] = field(default_factory=Future)
    arrived: float = field(default_factory=time.monotonic)


class Batcher:
    """A model's queue and its worker thread.

    Args:
        answer: takes texts and the settings of the requests they came from; returns one result a text.
        queued_texts: more waiting texts than this are refused.
        batch_texts: texts answered together; a single request may have more.
        wait_seconds: how long a request waits for others.
    """

    def __init__(
        self,
        answer: Answer,
        *,
        queued_texts: int,
        batch_texts: int = BATCH_TEXTS,
        wait_seconds: float = WAIT_SECONDS,
    ) -> None:
        self._answer = answer
        self._limit = queued_texts
        self._batch_texts = batch_texts
        self._wait_seconds = wait_seconds
        self._requests: deque[_Request] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._seconds_per_text = 0.0
        self._worker = threading.Thread(target=self._work, name="batcher")
        self._worker.start()

    @property
    def queued(self) -> int:
        """Texts that wait."""
        with self._changed:
            return self._queued()

    def submit(
        self, texts: Sequence[str], settings: Hashable = None, *, bounded: bool = True
    ) -> Future[list[Any]]:
        """Queue a request; cancelling the future takes it out again.

        Args:
            texts: what to answer.
            settings: only requests with equal settings are answered together.
            bounded: refuse where the queue is full; a file's chunks, of which one waits at a time, go in.

        Returns:
            One result a text, in their order; cancelled where the batcher is closed.

        Raises:
            QueueFullError: the texts would be more than may wait.
        """
        request = _Request(list(texts), settings)
        with self._changed:
            if self._closed:
                request.future.cancel()
                return request.future
            waiting = self._queued()
            if bounded and waiting + len(texts) > self._limit:
                raise QueueFullError(waiting, self._retry_after(waiting))
            self._requests.append(request)
            self._changed.notify_all()
        return request.future

    def close(self) -> None:
        """Finish the call that is under way, cancel what waits, and end the worker."""
        with self._changed:
            self._closed = True
            for request in self._requests:
                request.future.cancel()
            self._changed.notify_all()
        self._worker.join()

    def _queued(self) -> int:
        return sum(len(request.texts) for request in self._requests if not request.future.cancelled())

    def _retry_after(self, waiting: int) -> int:
        return min(LONGEST_RETRY_SECONDS, max(1, math.ceil(waiting * self._seconds_per_text)))

    def _work(self) -> None:
        while batch := self._next_batch():
            began = time.monotonic()
            running = [request for request in batch if request.future.set_running_or_notify_cancel()]
            self._answer_together(running)
            texts = sum(len(request.texts) for request in running)
            if texts:
                taken = (time.monotonic() - began) / texts
                self._seconds_per_text += NEWEST * (taken - self._seconds_per_text)

    def _next_batch(self) -> list[_Request]:
        """Wait for requests; an empty list means that the batcher is closed and none waits."""
        with self._changed:
            while not self._requests:
                if self._closed:
                    return []
                self._changed.wait()
            until = self._requests[0].arrived + self._wait_seconds
            while (
                not self._closed
                and self._queued() < self._batch_texts
                and (left := until - time.monotonic()) > 0
            ):
                self._changed.wait(left)
            return self._taken()

    def _taken(self) -> list[_Request]:
        """Take the oldest request and what can be answered with it; the order of the others stays."""
        first = self._requests.popleft()
        batch, size = [first], len(first.texts)
        kept: deque[_Request] = deque()
        for request in self._requests:
            if request.settings == first.settings and size + len(request.texts) <= self._batch_texts:
                batch.append(request)
                size += len(request.texts)
            else:
                kept.append(request)
        self._requests = kept
        return batch

    def _answer_together(self, batch: list[_Request]) -> None:
        if not batch:
            return
        texts = [text for request in batch for text in request.texts]
        try:
            results = iter(self._answered(texts, batch[0].settings))
        except Exception as error:  # noqa: BLE001 whatever a model raises belongs to the request that asked
            if len(batch) == 1:
                batch[0].future.set_exception(error)
                return
            for request in batch:
                self._answer_together([request])
            return
        for request in batch:
            request.future.set_result([next(results) for _ in request.texts])

    def _answered(self, texts: list[str], settings: Hashable) -> list[Any]:
        results = self._answer(texts, settings)
        if len(results) != len(texts):
            raise RuntimeError(f"the model gave {len(results):,} results for {len(texts):,} texts")
        return results
