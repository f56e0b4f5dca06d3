"""`nlp-transfer serve` as its own process: many clients at once, some of which hang up, and signals."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
from tiny import LABELS, sentences

from nlp_transfer import load_adapted

TEXTS = [text for text, _ in sentences("movies", 120, seed=3)]
# Rows that take a tiny model some seconds.
MANY = 20_000


@contextmanager
def served(folder: Path, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], str, list[str]]]:
    """Start a server on a free port; yields the process, its address and its log so far."""
    process = subprocess.Popen(
        [sys.executable, "-m", "nlp_transfer.cli", "serve", "--port", "0", *arguments],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(folder), "HF_HUB_OFFLINE": "1"},
    )
    log: list[str] = []
    try:
        assert process.stderr is not None
        for line in process.stderr:
            log.append(line)
            if found := re.search(r"on (http://[\d.:]+);", line):
                reader = threading.Thread(target=log.extend, args=(process.stderr,))
                reader.start()
                yield process, found[1], log
                break
        else:
            raise AssertionError("".join(log))
    finally:
        process.kill()
        process.wait()
    reader.join()


@pytest.fixture(scope="module")
def models(tiny_model: Any) -> dict[str, Path]:
    return {f"seed{seed}": tiny_model("bert", labels=LABELS, seed=seed) for seed in (0, 1)}


@pytest.fixture(scope="module")
def arguments(models: dict[str, Path]) -> list[str]:
    return [f"{name}={path}" for name, path in models.items()]


def hang_up(url: str, text: str) -> None:
    """Ask, and go away before the answer."""
    body = json.dumps({"texts": [text]}).encode()
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(
            f"POST /api/predict HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n".encode()
            + body
        )


def test_every_client_gets_its_own_while_others_hang_up(
    tmp_path: Path, models: dict[str, Path], arguments: list[str]
) -> None:
    expected = {name: load_adapted(path).probabilities(TEXTS) for name, path in models.items()}

    def ask(number: int) -> None:
        if number % 4 == 0:
            hang_up(url, TEXTS[number])
            return
        answer = httpx.post(f"{url}/api/predict", json={"texts": [TEXTS[number]]}, timeout=60)
        assert answer.status_code == 200, answer.text
        for name, (result,) in answer.json()["results"].items():
            wanted = dict(zip(LABELS, expected[name][number], strict=True))
            assert result["probabilities"] == pytest.approx(wanted, abs=1e-4)

    with served(tmp_path, *arguments) as (process, url, log):
        with ThreadPoolExecutor(16) as pool:
            list(pool.map(ask, range(len(TEXTS))))
        assert httpx.get(f"{url}/health").json()["queued_texts"] == 0
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    assert "Traceback" not in "".join(log)
    assert list(tmp_path.glob("nlp-transfer-*")) == []


def test_a_signal_finishes_the_file_that_was_taken(tmp_path: Path, arguments: list[str]) -> None:
    content = "text\n" + "".join(f"the film is good {row}\n" for row in range(MANY))
    with (
        served(tmp_path, arguments[0]) as (process, url, _),
        httpx.Client(base_url=url, timeout=60) as client,
    ):
        sent = client.post("/api/files", params={"name": "a.csv"}, content=content)
        process.send_signal(signal.SIGTERM)
        state = wait_until(client, sent.json()["id"], lambda state: state["status"] == "done")
        refused = client.post("/api/predict", json={"texts": ["a"]})
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "stopping")
        rows = list(csv.DictReader(io.StringIO(client.get(state["result"]).text)))
        assert [row["text"] for row in rows] == content.split("\n")[1:-1]
        assert {row["label"] for row in rows} <= set(LABELS)
        assert process.wait(60) == 0
    assert list(tmp_path.glob("nlp-transfer-*")) == []


def test_a_second_signal_drops_what_is_not_finished(tmp_path: Path, arguments: list[str]) -> None:
    content = "text\n" + "a\n" * MANY
    with (
        served(tmp_path, arguments[0]) as (process, url, log),
        httpx.Client(base_url=url, timeout=60) as client,
    ):
        client.post("/api/files", params={"name": "a.csv"}, content=content)
        process.send_signal(signal.SIGTERM)
        while client.get("/health").status_code == 200:
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 1
    assert log[-1].endswith("stopped by a second signal; what was taken is not finished\n")
    assert list(tmp_path.glob("nlp-transfer-*")) == []


def wait_until(client: httpx.Client, id: str, is_so: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    while not is_so(state := client.get(f"/api/files/{id}").json()):
        assert state["status"] in ("waiting", "running"), state
        time.sleep(0.1)
    return dict(state)


def test_models_of_two_kinds_and_unknown_ones_are_refused(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "nlp_transfer.cli", "serve", "--port", "0", str(tmp_path / "none")],
        capture_output=True,
        text=True,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        check=False,
    )
    assert ended.returncode == 2
    assert ended.stderr.splitlines()[-1].startswith("nlp-transfer: ")
