"""Which requests are answered: those of this page, made by somebody at an address we listen on.

A page that listens on the loopback address is still within reach of every site that a browser on
this machine opens: by a name that its owner points to 127.0.0.1 (DNS rebinding), or by requests
and sockets across sites. The first is told by the header Host, the others by Origin and
Sec-Fetch-Site.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

_Scope = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
_Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
_Application = Callable[[_Scope, _Receive, _Send], Awaitable[None]]

_HOST = re.compile(r"(?:\[(?P<address>[0-9a-fA-F:.]+)\]|(?P<name>[\w.-]+))(?::\d{1,5})?", re.ASCII)
_FOREIGN = ("cross-site", "same-site")
_POLICY = (
    "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; connect-src 'self' ws://{host}; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'; object-src 'none'"
)


def is_loopback(host: str) -> bool:
    """Whether an address to listen on is reached from this machine alone.

    >>> is_loopback("127.0.0.1"), is_loopback("localhost"), is_loopback("0.0.0.0")
    (True, True, False)
    """
    return host.lower() == "localhost" or (
        _is_address(host) and ipaddress.ip_address(host).is_loopback
    )


class Guard:
    """Answers requests that may be answered with an application, all others with an error."""

    def __init__(self, app: _Application, host: str) -> None:
        """Guard an application.

        Args:
            app: what answers.
            host: the address it listens on.
        """
        self.app = app  # the UI library looks for its application below this name
        self.host = host

    async def __call__(self, scope: _Scope, receive: _Receive, send: _Send) -> None:
        """Handle one request or socket."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in
                   scope["headers"]}  # fmt: skip
        refused = self.refusal(headers)
        if refused is None:
            policy = _POLICY.format(host=headers["host"]).encode("latin-1")
            await self.app(scope, receive, _with_headers(send, policy))
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008, "reason": refused})
        else:
            await _refuse(send, refused)

    def refusal(self, headers: dict[str, str]) -> str | None:
        """Return why a request is not answered; None where it is.

        Args:
            headers: by lower-case name.
        """
        host = headers.get("host", "")
        if not self._knows(host):
            return "this address is not one the page is served under"
        origin = headers.get("origin")
        if origin is not None and origin.lower() != f"http://{host.lower()}":
            return "requests of other sites are not answered"
        navigates = headers.get("sec-fetch-mode") == "navigate"
        if headers.get("sec-fetch-site") in _FOREIGN and not navigates:
            return "requests of other sites are not answered"
        return None

    def _knows(self, host: str) -> bool:
        """Whether a name is one this page is served under: no name a stranger could point to it.

        An address says itself where it leads; of names there are only those we know.
        """
        found = _HOST.fullmatch(host)
        if found is None:
            return False
        name = found["address"] or found["name"].lower()
        if is_loopback(name) or name == self.host.lower():
            return True
        return not is_loopback(self.host) and _is_address(name)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _with_headers(send: _Send, policy: bytes) -> _Send:
    """Return a `send` that adds what a browser is to keep to."""

    async def sending(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            added = [
                (b"content-security-policy", policy),
                (b"x-content-type-options", b"nosniff"),
                (b"referrer-policy", b"no-referrer"),
                (b"cross-origin-resource-policy", b"same-origin"),
            ]
            message = {**message, "headers": [*message.get("headers", []), *added]}
        await send(message)

    return sending


async def _refuse(send: _Send, reason: str) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8")]
    await send({"type": "http.response.start", "status": 403, "headers": headers})
    await send({"type": "http.response.body", "body": reason.encode()})
