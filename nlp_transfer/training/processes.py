"""Who am I among the processes that `accelerate launch` or torchrun started, and what only one of them
does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

Made = TypeVar("Made")


def _state() -> Any:
    """Return accelerate's state; on a CPU it finds its neighbours only if it is told that it is one."""
    import torch
    from accelerate import PartialState

    return PartialState(cpu=not (torch.cuda.is_available() or torch.backends.mps.is_available()))


def is_main() -> bool:
    """Tell whether this process is the one that writes."""
    return bool(_state().is_main_process)


def num_processes() -> int:
    """Return how many processes train together."""
    return int(_state().num_processes)


def on_cpu() -> bool:
    """Tell whether this process computes on a CPU."""
    return bool(_state().device.type == "cpu")


def wait_for_all() -> None:
    """Return when every process has come here."""
    _state().wait_for_everyone()


def computed_on_main(make: Callable[[], Made]) -> Made:
    """Compute something on the main process and hand it to all of them; an error there is raised in all.

    Args:
        make: the computation; its result must be picklable when there are several processes.
    """
    from accelerate.utils import broadcast_object_list

    if num_processes() == 1:
        return make()
    outcome: list[Any] = [None, None]
    if is_main():
        try:
            outcome = [make(), None]
        except Exception as error:  # noqa: BLE001 - whatever it is, the other processes must not wait for ever
            outcome = [None, error]
    broadcast_object_list(outcome, from_process=0)
    if outcome[1] is not None:
        raise outcome[1]
    return outcome[0]  # type: ignore[no-any-return]
