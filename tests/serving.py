"""A server for tests: fake models, the API around them, and the whole of it on a port in a thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from nlp_transfer.serving.app import create_app
from nlp_transfer.serving.guard import LOOPBACK_NAMES, Guard
from nlp_transfer.serving.jobs import FileJobs
from nlp_transfer.serving.limits import Limits
from nlp_transfer.serving.served import served_models
from nlp_transfer.serving.server import listen


class FakeClassifier:
    """Labels a text by its length: `long` with a probability of a hundredth a character, at most 1."""

    def __init__(self, *, before: Callable[[Sequence[str]], object] = lambda _: None) -> None:
        self.label_names = ["short", "long"]
        self.before = before
        self.asked: list[list[str]] = []

    def predict(self, texts: Sequence[str]) -> list[dict[str, Any]]:
        self.asked.append(list(texts))
        self.before(texts)
        return [prediction(text) for text in texts]


def prediction(text: str) -> dict[str, Any]:
    """Return what `FakeClassifier` says of a text."""
    long = min(1.0, len(text) / 100)
    probabilities = {"short": 1 - long, "long": long}
    label = max(probabilities, key=lambda name: probabilities[name])
    return {"label": label, "score": probabilities[label], "probabilities": probabilities}


@contextmanager
def api(
    models: dict[str, Any], limits: Limits | None = None, *, hosts: Sequence[str] | None = LOOPBACK_NAMES
) -> Iterator[Guard]:
    """Build the API around models, and close it afterwards."""
    limits = limits or Limits()
    served = served_models(models, limits)
    jobs = FileJobs(limits)
    try:
        yield create_app(served, jobs, limits, hosts=hosts)
    finally:
        jobs.cancel_all()
        for model in served:
            model.batcher.close()
        jobs.close()


@contextmanager
def running(guard: Guard) -> Iterator[str]:
    """Run an API on a free port of this machine; yields its address."""
    import uvicorn

    server = uvicorn.Server(uvicorn.Config(guard, log_config=None, access_log=False, lifespan="off"))
    with listen("127.0.0.1", 0) as listening:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            while not server.started:
                time.sleep(0.01)
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()
