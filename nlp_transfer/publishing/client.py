"""Calls to the Hub that survive a bad moment, and errors that say what a user can do.

`huggingface_hub` (2.4) tries uploads again but neither commits nor tags nor look-ups, so every call goes
through `retried`: tenacity, with the wait that the Hub asks for. No token is ever part of a message.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

import httpx2
from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled, RepositoryNotFoundError
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt

from nlp_transfer.errors import PublishError, RunError, TransferError

logger = logging.getLogger(__name__)
Result = TypeVar("Result")

PASSING_STATUS = (408, 429, 500, 502, 503, 504)
MAX_TRIES = 5
# The Hub counts its rate limits over five minutes: waiting longer than that for a slot is no passing fault.
LONGEST_WAIT_SECONDS = 310.0
TOKEN_PAGE = "https://huggingface.co/settings/tokens"


def retried(call: Callable[[], Result]) -> Result:
    """Make a call to the Hub, again after 429, 5xx and a dropped connection.

    The call must be safe to repeat: the first try may have succeeded and only its answer been lost.
    """
    return Retrying(
        stop=stop_after_attempt(MAX_TRIES),
        wait=_seconds_to_wait,
        retry=retry_if_exception(_is_passing),
        before_sleep=_say_so,
        reraise=True,
    )(call)


def require_token(token: str | None) -> str:
    """Return the token to publish with: the given one, else the one of `hf auth login` or HF_TOKEN.

    Raises:
        PublishError: there is none, or it cannot be one.
    """
    from huggingface_hub import get_token

    found = token if token is not None else get_token()
    if not found:
        raise PublishError(
            "publishing needs a Hub token with write access, and none was found: run `hf auth login`, or set "
            f"HF_TOKEN (tokens are made at {TOKEN_PAGE})"
        )
    # The HTTP library would quote a header with a line break in its error, token and all.
    if not re.fullmatch(r"[!-~]+", found):
        raise PublishError(
            "the Hub token holds a space, a line break or another odd character; copy it again"
        )
    return found


@contextmanager
def hub_errors(repo_id: str) -> Iterator[None]:
    """Turn what the client raises into one message.

    Raises:
        PublishError: the token, the rights or the name are wrong.
        RunError: the Hub cannot be reached, or fails.
    """
    try:
        yield
    except TransferError:
        raise
    except (OSError, httpx2.HTTPError, RuntimeError, ValueError) as error:
        raise _explained(error, repo_id) from error


def status_of(error: BaseException) -> int | None:
    """Return the HTTP status behind an error; None where there was no answer."""
    response = _response_of(error)
    return None if response is None else int(response.status_code)


def _explained(error: Exception, repo_id: str) -> TransferError:
    """Say what a user can do about an error."""
    root, status = _root_of(error), status_of(error)
    if isinstance(root, OfflineModeIsEnabled):
        return PublishError("HF_HUB_OFFLINE is set, so nothing can be published; unset it")
    if status == 401 and not isinstance(root, RepositoryNotFoundError):
        return PublishError(
            f"the Hub does not know the token: it is mistyped, expired or revoked. Make one with write "
            f"access at {TOKEN_PAGE}, then `hf auth login`"
        )
    if status in (401, 403):
        return PublishError(
            f"the token may not write to {repo_id}: the name belongs to somebody else, or the token lacks "
            f"the right to write there. Choose a name of your own, or make a token with write access at "
            f"{TOKEN_PAGE}"
        )
    if status is None and isinstance(root, httpx2.TransportError | OSError):
        return RunError(
            f"the Hub cannot be reached ({type(root).__name__}: {_one_line(root)}); is the network there? "
            "The same command goes on where it stopped"
        )
    said = f"answered {status}" if status else "gave no usable answer"
    return RunError(
        f"the Hub {said} for {repo_id}: {_one_line(root)}. Nothing of the model is lost: try again"
    )


def _is_passing(error: BaseException) -> bool:
    """Tell whether an error may be gone a moment later."""
    root, status = _root_of(error), status_of(error)
    if status is not None:
        return status in PASSING_STATUS and _asked_wait(error) <= LONGEST_WAIT_SECONDS
    offline = isinstance(root, OfflineModeIsEnabled)
    return isinstance(root, httpx2.TransportError | ConnectionError) and not offline


def _seconds_to_wait(state: RetryCallState) -> float:
    """Wait as long as the Hub asks for, else 1, 2, 4, ... seconds."""
    error = state.outcome.exception() if state.outcome is not None else None
    asked = _asked_wait(error) if error is not None else 0.0
    return float(asked or 2 ** (state.attempt_number - 1))


def _asked_wait(error: BaseException) -> float:
    """Return the seconds of a `Retry-After` header, a number or a date; 0 where there is none."""
    response = _response_of(error)
    asked = "" if response is None else str(response.headers.get("Retry-After", "")).strip()
    if re.fullmatch(r"\d+(\.\d+)?", asked):
        return float(asked)
    try:
        date = parsedate_to_datetime(asked)
    except ValueError:
        return 0.0
    return max(0.0, (date.astimezone(UTC) - datetime.now(UTC)).total_seconds())


def _say_so(state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome is not None else None
    reason = status_of(error) if error is not None and status_of(error) else type(error).__name__
    wait = state.next_action.sleep if state.next_action is not None else 0.0
    logger.info("the Hub failed (%s); trying again in %.0f s", reason, wait)


def _root_of(error: BaseException) -> BaseException:
    """Return the error of the connection or the server that another one was raised from."""
    root: BaseException | None = error
    while root is not None:
        if isinstance(root, HfHubHTTPError | httpx2.TransportError):
            return root
        root = root.__cause__
    return error


def _response_of(error: BaseException) -> Any:
    root = _root_of(error)
    return getattr(root, "response", None) if isinstance(root, HfHubHTTPError) else None


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]
