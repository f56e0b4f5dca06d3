"""Who am I among the processes that `accelerate launch` or torchrun started, and what only one of them
does.

What the main process does alone is given to `computed_on_main`: the others wait there, and get its result or
its error. What each does for its own rows is sharing.py's. Inside either nothing may wait for the others,
which stand in the outer call: that is an error, with one process too, so that it is found before a run with
several hangs.
"""

from __future__ import annotations

import atexit
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import timedelta
from functools import cache
from typing import Any, TypeVar

Made = TypeVar("Made")

# The main process reports alone while the others wait, and shares of rows do not end together. Torch ends a
# wait after 10 minutes (NCCL) or 30 (gloo), which a million test rows exceed; a process that dies is noticed
# by the launcher, and needs no timeout.
WAITING_SECONDS = 24 * 60 * 60

_alone: ContextVar[bool] = ContextVar("alone", default=False)


@cache
def _leaving_at_exit() -> None:
    """Leave the group before the interpreter is taken down.

    What gloo's threads still hold would ask for an interpreter that is gone, and end a finished run by
    SIGABRT (https://github.com/pytorch/pytorch/pull/179291). NCCL's groups are left to the end of the
    process: to destroy one waits for the others, which after an error in one process do not come.
    """

    def leave() -> None:
        from torch import distributed

        if distributed.is_initialized() and distributed.get_backend() == "gloo":
            distributed.destroy_process_group()

    atexit.register(leave)


def _state() -> Any:
    """Return accelerate's state; on a CPU it finds its neighbours only if it is told that it is one.

    The first call joins the processes, mostly before a recipe is read: what `ddp_timeout` says would come
    too late (`wait_at_most` sees to it), so the long timeout is set here.
    """
    import torch
    from accelerate import PartialState

    _leaving_at_exit()
    return PartialState(
        cpu=not (torch.cuda.is_available() or torch.backends.mps.is_available()),
        timeout=timedelta(seconds=WAITING_SECONDS),
    )


def wait_at_most(seconds: float) -> None:
    """Set how long a process waits for the others before it gives up, from now on.

    Args:
        seconds: a recipe's `ddp_timeout`, or `WAITING_SECONDS`.
    """
    if num_processes() == 1:
        return
    from torch.distributed import distributed_c10d

    # Torch has no public call for it once the processes are joined.
    distributed_c10d._set_pg_timeout(timedelta(seconds=seconds))


def is_main() -> bool:
    """Tell whether this process is the one that writes."""
    return bool(_state().is_main_process)


def num_processes() -> int:
    """Return how many processes train together."""
    return int(_state().num_processes)


def process_index() -> int:
    """Return this process's number among them; the main one is 0."""
    return int(_state().process_index)


def on_cpu() -> bool:
    """Tell whether this process computes on a CPU."""
    return bool(_state().device.type == "cpu")


def computed_on_main(make: Callable[[], Made]) -> Made:
    """Compute something on the main process and hand it to all of them; an error there is raised in all.

    Args:
        make: the computation; its result must be picklable when there are several processes.

    Raises:
        RuntimeError: it was called inside another `computed_on_main`. The others would take the inner result
            for the outer one; what the outer computation needs is to be computed before it.
    """
    require_together()
    if num_processes() == 1:
        with alone():
            return make()
    from accelerate.utils import broadcast_object_list

    outcome: list[Any] = [None, None]
    if is_main():
        try:
            with alone():
                outcome = [make(), None]
        except Exception as error:  # noqa: BLE001 - whatever it is, the other processes must not wait for ever
            outcome = [None, error]
    broadcast_object_list(outcome, from_process=0)
    if outcome[1] is not None:
        raise outcome[1]
    return outcome[0]  # type: ignore[no-any-return]


@contextmanager
def alone() -> Iterator[None]:
    """Note that what runs here runs without the other processes."""
    before = _alone.set(True)
    try:
        yield
    finally:
        _alone.reset(before)


def require_together() -> None:
    """Require that the other processes come here too.

    Raises:
        RuntimeError: this stands inside what one process does alone.
    """
    if _alone.get():
        raise RuntimeError("a process waits for the others inside what it does alone")
