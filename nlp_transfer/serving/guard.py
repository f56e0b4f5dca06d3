"""What stands between the network and the API: which requests are let in, and the headers of every answer.

- A page of another site whose name was made to point here (DNS rebinding) is told by its Host, and one that
  sends a form here by its Origin.
- Bodies are counted as they arrive; what is too large is refused, by its stated length before it is read.
- The page runs its own script and style alone, and speaks to this server alone.
"""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import re
from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from nlp_transfer.serving.limits import Limits, Refused, require_size

READING = ("GET", "HEAD", "OPTIONS")
FILES = "/api/files"
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")
INLINE = re.compile(r"<(script|style)>(.*?)</\1>", re.DOTALL)


def is_loopback(host: str) -> bool:
    """Tell whether a host to listen on is this machine alone.

    >>> is_loopback("127.0.0.1"), is_loopback("localhost"), is_loopback("0.0.0.0")
    (True, True, False)
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def error_response(
    status: int, code: str, message: str, headers: dict[str, str] | None = None
) -> JSONResponse:
    """Word an error as every error of the API is."""
    content = {"error": {"status": status, "code": code, "message": message}}
    return JSONResponse(content, status_code=status, headers=headers)


def page_policy(page: str) -> str:
    """Return the Content-Security-Policy that lets a page's own script and style run, and nothing else."""
    hashes: dict[str, list[str]] = {"script": [], "style": []}
    for kind, content in INLINE.findall(page):
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        hashes[kind].append(f"'sha256-{digest}'")
    return (
        f"default-src 'none'; script-src {' '.join(hashes['script'])}; "
        f"style-src {' '.join(hashes['style'])}; connect-src 'self'; img-src data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


class Guard:
    """Wraps the API.

    Args:
        app: the API.
        limits: sizes of bodies.
        hosts: names that a request may call this server by; None lets all in.
        policy: the page's Content-Security-Policy.

    Attributes:
        stopping: work is not taken any more (503).
        in_flight: requests that were let in and are not answered yet.
    """

    def __init__(self, app: ASGIApp, *, limits: Limits, hosts: Iterable[str] | None, policy: str) -> None:
        self.app = app
        self.limits = limits
        self.hosts = None if hosts is None else {host.lower() for host in hosts}
        self.policy = policy
        self.stopping = False
        self.in_flight = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or hand it on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        answer = self._with_headers(send)
        try:
            self._require_known(scope)
            limited = self._limited(scope, receive)
        except Refused as refusal:
            headers = dict(refusal.headers or {})
            response = error_response(refusal.status_code, refusal.code, str(refusal.detail), headers)
            await response(scope, receive, answer)
            return
        self.in_flight += 1
        try:
            await self.app(scope, limited, answer)
        finally:
            self.in_flight -= 1

    def _require_known(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if self.hosts is not None and _name(host) not in self.hosts:
            raise Refused(
                403,
                "unknown_host",
                f"this server listens on this machine alone, as {' or '.join(sorted(self.hosts))}; "
                f"the request was for {host[:100]!r}",
            )
        if scope["method"] in READING:
            return
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
            raise Refused(403, "other_origin", "requests of other sites' pages are not answered")
        if self.stopping:
            raise Refused(
                503, "stopping", "the server finishes what it took and stops", retry_after_seconds=30
            )

    def _limited(self, scope: Scope, receive: Receive) -> Receive:
        is_file = scope["path"] == FILES
        limit = self.limits.file_bytes if is_file else self.limits.body_bytes
        what = "file" if is_file else "request"
        stated = Headers(scope=scope).get("content-length", "")
        require_size(int(stated) if stated.isdecimal() else 0, limit, what=what)
        received = 0

        async def limited() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            require_size(received, limit, what=what)
            return message

        return limited

    def _with_headers(self, send: Send) -> Send:
        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["Content-Security-Policy"] = self.policy
                headers["X-Content-Type-Options"] = "nosniff"
                headers["Referrer-Policy"] = "no-referrer"
                headers["Cross-Origin-Resource-Policy"] = "same-origin"
                headers["Cross-Origin-Opener-Policy"] = "same-origin"
                headers["Cache-Control"] = "no-store"
            await send(message)

        return answer


def _name(host: str) -> str:
    """Return a Host header's name without its port: `[::1]:8000` is `::1`."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
