"""`serve`: opens models, listens, and stops cleanly.

The first SIGTERM or SIGINT ends the taking of work: requests that were taken are answered, files finished
and, for ten seconds, held for who sent them. Then `serve` returns, and the command's status is 0. A second
signal ends it when the models' calls under way return, with status 1.
"""

from __future__ import annotations

import importlib.util
import logging
import socket
from collections.abc import Sequence
from types import FrameType
from typing import TYPE_CHECKING

from nlp_transfer.errors import ConfigError, RunError

if TYPE_CHECKING:
    from nlp_transfer.serving.guard import Guard
    from nlp_transfer.serving.jobs import FileJobs
    from nlp_transfer.serving.limits import Limits

NEEDED = ("fastapi", "uvicorn")

log = logging.getLogger(__name__)


def serve(
    models: Sequence[str],
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    limits: Limits | None = None,
    runtime: str | None = None,
) -> None:
    """Serve models on one port until a signal comes.

    Args:
        models: `MODEL` or `NAME=MODEL` each, all of one task.
        host: the address to listen on; any but loopback opens the server to others.
        port: 0 takes a free one.
        limits: what one client may ask; None is the usual.
        runtime: see `load_adapted`.

    Raises:
        ConfigError: the `serve` extra is not installed, the address cannot be listened on, models do not go
            together.
        ModelError: a model cannot be opened.
        RunError: a second signal came before what was taken was finished.
    """
    require_extra()
    from nlp_transfer.serving.app import create_app
    from nlp_transfer.serving.guard import LOOPBACK_NAMES, is_loopback
    from nlp_transfer.serving.jobs import FileJobs
    from nlp_transfer.serving.limits import Limits
    from nlp_transfer.serving.served import open_models

    limits = limits or Limits()
    listening = listen(host, port)
    with listening:
        served = open_models(models, limits, runtime=runtime)
        hosts = {*LOOPBACK_NAMES, host} if is_loopback(host) else None
        shown = f"[{host}]" if ":" in host else host
        url = f"http://{shown}:{listening.getsockname()[1]}"
        jobs = FileJobs(limits)
        try:
            guard = create_app(served, jobs, limits, hosts=hosts)
            log.info("%s on %s; Ctrl-C stops", ", ".join(model.name for model in served), url)
            if hosts is None:
                log.warning("%s is open to whoever reaches it over the network; there is no password", url)
            forced = _run(guard, jobs, listening)
        finally:
            jobs.cancel_all()
            for model in served:
                model.batcher.close()
            jobs.close()
    if forced:
        raise RunError("stopped by a second signal; what was taken is not finished")


def require_extra() -> None:
    """Refuse to serve without the libraries for it.

    Raises:
        ConfigError: the `serve` extra is not installed.
    """
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"serve needs {' and '.join(missing)}; install the extra: "
            "python -m pip install 'nlp-transfer[serve]'"
        )


def listen(host: str, port: int) -> socket.socket:
    """Open the port before models are loaded, so that a taken one is told at once.

    Raises:
        ConfigError: the address cannot be listened on.
    """
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server((str(address[0]), port), family=family, backlog=2048)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(
            f"{host}:{port} cannot be listened on ({reason}); choose another --port, or 0 for a free one"
        ) from error


def _run(guard: Guard, jobs: FileJobs, listening: socket.socket) -> bool:
    """Run until a signal comes; return whether a second one cut it short."""
    import uvicorn

    class Server(uvicorn.Server):
        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            self.force_exit = guard.stopping
            self.should_exit = guard.stopping
            if not guard.stopping:
                log.info("stopping when what was taken is finished; a second signal drops it")
                jobs.stop_taking()
                guard.stopping = True

        async def on_tick(self, counter: int) -> bool:
            # The port stays open until then, so that who asks meanwhile is told (503), not cut off.
            if guard.stopping and not guard.in_flight and not jobs.hold_the_server():
                self.should_exit = True
            return await super().on_tick(counter)

    # Access is not logged: the log of a local server would be the texts' times and little else.
    server = Server(
        uvicorn.Config(guard, log_config=None, access_log=False, server_header=False, lifespan="off")
    )
    server.run(sockets=[listening])
    return server.force_exit
