"""Requests that come together are answered together, each with its own; one at fault fails alone."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError, Future
from contextlib import contextmanager
from typing import Any

import pytest

from nlp_transfer.serving.batching import Batcher, QueueFullError


class Model:
    """Answers in capitals, remembers its calls, and waits at a gate where there is one."""

    def __init__(self) -> None:
        self.calls: list[tuple[list[str], Any]] = []
        self.gate = threading.Event()
        self.entered = threading.Event()
        self.gate.set()

    def __call__(self, texts: list[str], settings: Any) -> list[str]:
        self.calls.append((texts, settings))
        self.entered.set()
        assert self.gate.wait(30)
        if "bad" in texts:
            raise ValueError("bad")
        return [text.upper() for text in texts]


@contextmanager
def batcher(model: Any, **settings: Any) -> Iterator[Batcher]:
    made = Batcher(model, **{"queued_texts": 100, "wait_seconds": 0.0} | settings)
    yield made
    model.gate.set()
    made.close()


@contextmanager
def busy(model: Model, made: Batcher) -> Iterator[Future[list[Any]]]:
    """Keep the worker in a call, so that what is submitted meanwhile waits together."""
    model.gate.clear()
    first = made.submit(["first"])
    assert model.entered.wait(30)
    yield first
    model.gate.set()


def results(futures: Sequence[Future[list[Any]]]) -> list[list[Any]]:
    return [future.result(30) for future in futures]


def test_requests_that_wait_are_answered_in_one_call_each_with_its_own() -> None:
    model = Model()
    with batcher(model) as made:
        with busy(model, made) as first:
            waiting = [made.submit(["a", "b"]), made.submit([]), made.submit(["c"])]
        assert results([first, *waiting]) == [["FIRST"], ["A", "B"], [], ["C"]]
    assert model.calls == [(["first"], None), (["a", "b", "c"], None)]


def test_a_batch_has_no_more_texts_than_allowed_but_a_large_request_is_whole() -> None:
    model = Model()
    with batcher(model, batch_texts=2) as made:
        with busy(model, made):
            waiting = [made.submit(list(texts)) for texts in ("ab", "c", "def", "g")]
        assert results(waiting) == [["A", "B"], ["C"], ["D", "E", "F"], ["G"]]
    assert [texts for texts, _ in model.calls[1:]] == [["a", "b"], ["c", "g"], ["d", "e", "f"]]


def test_only_requests_with_equal_settings_share_a_call() -> None:
    model = Model()
    with batcher(model) as made:
        with busy(model, made):
            waiting = [made.submit([text], how) for text, how in (("a", 1), ("b", 2), ("c", 1))]
        assert results(waiting) == [["A"], ["B"], ["C"]]
    assert model.calls[1:] == [(["a", "c"], 1), (["b"], 2)]


def test_a_request_waits_for_others_for_a_while() -> None:
    model = Model()
    with batcher(model, wait_seconds=30.0, batch_texts=2) as made:
        waiting = [made.submit(["a"]), made.submit(["b"])]
        assert results(waiting) == [["A"], ["B"]]
    assert model.calls == [(["a", "b"], None)]


def test_a_request_at_fault_fails_alone() -> None:
    model = Model()
    with batcher(model) as made:
        with busy(model, made):
            good, bad, other = (made.submit([text]) for text in ("good", "bad", "other"))
        assert results([good, other]) == [["GOOD"], ["OTHER"]]
        with pytest.raises(ValueError, match="bad"):
            bad.result(30)
        assert made.submit(["after"]).result(30) == ["AFTER"]


def test_a_model_that_gives_too_few_results_is_told() -> None:
    model = Model()
    made = Batcher(lambda texts, _: texts[1:], queued_texts=10, wait_seconds=0.0)
    with pytest.raises(RuntimeError, match="0 results for 1 texts"):
        made.submit(["a"]).result(30)
    made.close()
    assert model.calls == []


def test_what_was_cancelled_is_not_worked_on() -> None:
    model = Model()
    with batcher(model) as made:
        with busy(model, made):
            gone, stays = made.submit(["gone"]), made.submit(["stays"])
            assert made.queued == 2
            assert gone.cancel()
            assert made.queued == 1
        assert stays.result(30) == ["STAYS"]
    assert model.calls[1:] == [(["stays"], None)]


def test_a_full_queue_refuses_and_says_when_to_come_back() -> None:
    model = Model()
    with batcher(model, queued_texts=3) as made:
        with busy(model, made):
            waiting = [made.submit(["a", "b"])]
            with pytest.raises(QueueFullError) as refused:
                made.submit(["c", "d"])
            waiting += [made.submit(["c"]), made.submit(["of", "a", "file"], bounded=False)]
        assert refused.value.queued == 2
        assert 1 <= refused.value.retry_after_seconds <= 60
        assert results(waiting) == [["A", "B"], ["C"], ["OF", "A", "FILE"]]


def test_closing_finishes_the_call_under_way_and_cancels_what_waits() -> None:
    model = Model()
    made = Batcher(model, queued_texts=10, wait_seconds=0.0)
    with busy(model, made) as first:
        waiting = made.submit(["a"])
        closing = threading.Thread(target=made.close)
        closing.start()
        with pytest.raises(CancelledError):
            waiting.result(30)
    closing.join()
    assert first.result(30) == ["FIRST"]
    assert made.submit(["b"]).cancelled()
    assert [texts for texts, _ in model.calls] == [["first"]]
