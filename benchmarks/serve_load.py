"""32 clients that ask a server as fast as it answers: is an answer lost or another's, and how long it takes.

    python benchmarks/serve_load.py MODEL --seconds 60 --clients 32

The server is its own process on this machine, started by this script. Each client keeps its connection and
asks for one sentence at a time; every answer is compared with what the model says of that sentence alone. A
client that goes away in mid-request comes by twice a second. At the end the server is told to stop while all
clients still ask: what it took by then must be answered too.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2 as httpx
import numpy as np
from common import RESULTS, describe_machine, save_results

from nlp_transfer import load_adapted
from nlp_transfer.config import DomainConfig
from nlp_transfer.data.classification import load_domain

# Probabilities of a batch differ from those of a text alone by rounding.
SAME = 1e-3
# For each sentence the probability of each label.
Expected = dict[str, dict[str, float]]


@dataclass
class Seen:
    """What the clients saw."""

    milliseconds: list[float] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    refused_when_stopping: int = 0
    closed_when_stopping: int = 0
    hung_up: int = 0


def start(model: str) -> tuple[subprocess.Popen[str], str]:
    """Start a server and wait until it listens."""
    command = [sys.executable, "-m", "nlp_transfer.cli", "serve", f"model={model}", "--port", "0"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        if found := re.search(r"on (http://[\d.:]+);", line):
            return process, found[1]
    raise SystemExit("the server did not start")


async def ask_on(url: str, expected: Expected, first: int, seen: Seen, stop: asyncio.Event) -> None:
    """Ask for one sentence after the other until told to stop and refused, or until the server is gone."""
    texts = list(expected)
    number = first
    # Nothing is encrypted here, and reading the certificates takes each client a good part of a second.
    async with httpx.AsyncClient(base_url=url, timeout=60, verify=False) as client:
        while True:
            text = texts[number % len(texts)]
            number += 1
            began = time.perf_counter()
            try:
                answer = await client.post("/api/predict", json={"texts": [text]})
            except httpx.ConnectError:
                if not stop.is_set():
                    seen.lost.append(f"{text}: no connection")
                return
            except httpx.HTTPError as error:
                # Counted apart: a stopping server closes connections between two requests, and one that is
                # sent at that moment was never taken.
                if stop.is_set() and isinstance(error, httpx.RemoteProtocolError):
                    seen.closed_when_stopping += 1
                else:
                    seen.lost.append(f"{text}: {error!r}")
                return
            if answer.status_code == 503 and stop.is_set():
                seen.refused_when_stopping += 1
                return
            if answer.status_code != 200:
                seen.lost.append(f"{text}: {answer.status_code} {answer.text}")
                continue
            seen.milliseconds.append(1000 * (time.perf_counter() - began))
            got = answer.json()["results"]["model"][0]["probabilities"]
            if any(abs(got[name] - value) > SAME for name, value in expected[text].items()):
                seen.wrong.append(text)


async def hang_up(url: str, text: str, seen: Seen, stop: asyncio.Event) -> None:
    """Ask and go away before the answer, twice a second."""
    body = json.dumps({"texts": [text]}).encode()
    host, port = url.removeprefix("http://").split(":")
    head = f"POST /api/predict HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
    while not stop.is_set():
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        await writer.drain()
        writer.close()
        seen.hung_up += 1
        await asyncio.sleep(0.5)


async def load(
    process: subprocess.Popen[str],
    url: str,
    expected: Expected,
    clients: int,
    seconds: float,
) -> Seen:
    """Ask for a while, then stop the server in the middle of it."""
    seen, stop = Seen(), asyncio.Event()
    asking = [
        asyncio.create_task(ask_on(url, expected, 97 * client, seen, stop)) for client in range(clients)
    ]
    asking.append(asyncio.create_task(hang_up(url, next(iter(expected)), seen, stop)))
    await asyncio.sleep(seconds)
    stop.set()
    process.send_signal(signal.SIGTERM)
    await asyncio.gather(*asking)
    return seen


def expected_of(model: str, rows: int) -> Expected:
    """Return the probabilities of sentences, each of which is asked for alone; their answers must differ."""
    texts = load_domain(DomainConfig(card="rotten_tomatoes"), name="source", seed=0).train.texts[:rows]
    adapted = load_adapted(model)
    return {text: adapted.predict([text])[0]["probabilities"] for text in dict.fromkeys(texts)}


def summary(seen: Seen, status: int, clients: int, seconds: float, model: str) -> dict[str, Any]:
    """Word what was seen; latencies are from sending a request to having its answer."""
    p50, p99 = np.percentile(seen.milliseconds, [50, 99]) if seen.milliseconds else (None, None)
    return {
        "what": f"{clients} clients for {seconds:g} s on loopback, one rotten_tomatoes sentence a request",
        "model": Path(model).name,
        "clients": clients,
        "seconds": seconds,
        "answered": len(seen.milliseconds),
        "answered_a_second": len(seen.milliseconds) / seconds,
        "p50_ms": p50,
        "p99_ms": p99,
        "slowest_ms": max(seen.milliseconds, default=None),
        "lost": len(seen.lost),
        "answered_with_another_result": len(seen.wrong),
        "clients_that_hung_up": seen.hung_up,
        "refused_when_stopping": seen.refused_when_stopping,
        "closed_when_stopping": seen.closed_when_stopping,
        "exit_status_after_sigterm": status,
        "cores": os.cpu_count(),
        "machine": describe_machine(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", help="a classifier's folder")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--rows", type=int, default=500)
    parser.add_argument("--output", type=Path, default=RESULTS / "serve_load.json")
    args = parser.parse_args()
    expected = expected_of(args.model, args.rows)
    process, url = start(args.model)
    try:
        seen = asyncio.run(load(process, url, expected, args.clients, args.seconds))
        status = process.wait(60)
    finally:
        process.kill()
    results = summary(seen, status, args.clients, args.seconds, args.model)
    save_results(args.output, results)
    print(json.dumps({name: value for name, value in results.items() if name != "machine"}, indent=1))
    print(*(seen.lost + seen.wrong)[:5], sep="\n", file=sys.stderr)
    if seen.lost or seen.wrong or status:
        sys.exit("an answer was lost or another's, or the server did not end with 0")


if __name__ == "__main__":
    main()
