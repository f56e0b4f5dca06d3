"""Two machines train together: two network namespaces with an address each, joined by a cable alone."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from launched import LIMIT_SECONDS, RECIPES, accelerate, environment
from tiny import easy_recipe

from nlp_transfer.config import write_yaml

# A network for documentation and tests alone (RFC 5737).
ADDRESSES = ("192.0.2.1", "192.0.2.2")
MULTI_NODE = RECIPES / "accelerate" / "multi_node.yaml"
TRAIN = RECIPES / "sentiment_transfer" / "train.py"


def ip(*words: str) -> str:
    return subprocess.run(["ip", *words], capture_output=True, text=True, check=True).stdout


@pytest.fixture
def hosts() -> Iterator[list[str]]:
    """Two namespaces, whose only way out is a virtual cable between them."""
    names = [f"nlp-transfer-{os.getpid()}-{rank}" for rank in (0, 1)]
    made: list[str] = []
    try:
        for name in names:
            ip("netns", "add", name)
            made.append(name)
        ip(
            "link",
            "add",
            "cable",
            "netns",
            names[0],
            "type",
            "veth",
            "peer",
            "name",
            "cable",
            "netns",
            names[1],
        )
        for name, address in zip(names, ADDRESSES, strict=True):
            ip("-n", name, "address", "add", f"{address}/24", "dev", "cable")
            for device in ("lo", "cable"):
                ip("-n", name, "link", "set", device, "up")
        yield names
    except (OSError, subprocess.CalledProcessError) as error:
        reason = getattr(error, "stderr", None) or error
        pytest.xfail(f"two hosts need root, Linux and iproute2, to make network namespaces: {reason}")
    finally:
        for name in made:
            ip("netns", "delete", name)


def test_two_hosts_train_together(
    hosts: list[str], tiny_model: Any, domains: dict[str, Path], tmp_path: Path
) -> None:
    """By the line that multi_node.yaml opens with, but on CPUs and with one process on each host."""
    content = easy_recipe(
        tmp_path / "run", tiny_model("bert"), domains,
        source_stage=None, training__max_steps=1, evaluation__baselines=["majority"],
    )  # fmt: skip
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(write_yaml(content))
    line = MULTI_NODE.read_text().splitlines()[1]
    assert (
        "--config_file recipes/accelerate/multi_node.yaml --machine_rank 0 --main_process_ip 10.0.0.1 "
        in line
    )
    started = [
        subprocess.Popen(
            [
                *("ip", "netns", "exec", host),
                *accelerate("--config_file", str(MULTI_NODE), "--machine_rank", str(rank)),
                *("--main_process_ip", ADDRESSES[0], "--num_processes", "2", "--mixed_precision", "no"),
                *(str(TRAIN), "--config", str(recipe)),
            ],
            env=environment(ACCELERATE_USE_CPU="true", GLOO_SOCKET_IFNAME="cable"),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for rank, host in enumerate(hosts)
    ]  # fmt: skip
    try:
        output = [process.communicate(timeout=LIMIT_SECONDS) for process in started]
    finally:
        for process in started:
            process.kill()
    assert [process.returncode for process in started] == [0, 0], output
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    assert report["provenance"]["num_processes"] == 2
    assert [out.count("adapted") > 0 for out, _ in output] == [True, False]
    # What came over the cable: each host got at least the gradients of the other.
    weights = (tmp_path / "run" / "model" / "model.safetensors").stat().st_size
    (cable,) = json.loads(ip("-n", hosts[0], "-s", "-j", "link", "show", "cable"))
    assert cable["stats64"]["rx"]["bytes"] > weights / 4
