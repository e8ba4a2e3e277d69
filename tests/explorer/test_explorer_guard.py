"""Which requests the explorer answers."""

from __future__ import annotations

import http.client
from urllib.parse import urlsplit

import pytest

from sixtyfold.explorer.guard import Guard

pytest_plugins = ("explorer_fixtures",)

HERE = "127.0.0.1:8060"
EVERYWHERE = "0.0.0.0"  # noqa: S104 - of these tests' own words, nothing is bound


async def nothing(*_: object) -> None:
    """An application that is never asked here."""


@pytest.mark.parametrize(
    ("listens", "headers", "answered"),
    [
        ("127.0.0.1", {"host": HERE}, True),
        ("127.0.0.1", {"host": "localhost:8060"}, True),
        ("127.0.0.1", {"host": "[::1]:8060"}, True),
        ("127.0.0.1", {}, False),
        ("127.0.0.1", {"host": "evil.example:8060"}, False),
        ("127.0.0.1", {"host": "127.0.0.1.evil.example"}, False),
        ("127.0.0.1", {"host": "192.168.1.5:8060"}, False),
        ("127.0.0.1", {"host": "["}, False),
        ("127.0.0.1", {"host": "LOCALHOST:8060"}, True),
        ("127.0.0.1", {"host": "localhost.:8060"}, False),
        ("127.0.0.1", {"host": "me@127.0.0.1:8060"}, False),
        ("127.0.0.1", {"host": f"{HERE}; script-src *"}, False),
        ("127.0.0.1", {"host": HERE, "origin": "http://["}, False),
        ("127.0.0.1", {"host": HERE, "origin": f"https://{HERE}"}, False),
        ("127.0.0.2", {"host": "127.0.0.2:8060"}, True),
        ("127.0.0.2", {"host": "evil.example:8060"}, False),
        ("My-Machine", {"host": "my-machine:8060", "origin": "http://my-machine:8060"}, True),
        ("127.0.0.1", {"host": HERE, "origin": f"http://{HERE}"}, True),
        ("127.0.0.1", {"host": HERE, "origin": "http://127.0.0.1:3000"}, False),
        ("127.0.0.1", {"host": HERE, "origin": "https://evil.example"}, False),
        ("127.0.0.1", {"host": HERE, "origin": "null"}, False),
        ("127.0.0.1", {"host": HERE, "sec-fetch-site": "same-origin"}, True),
        ("127.0.0.1", {"host": HERE, "sec-fetch-site": "cross-site"}, False),
        ("127.0.0.1", {"host": HERE, "sec-fetch-site": "same-site"}, False),
        # somebody follows a link to here: a page of its own, which no other site can look into
        (
            "127.0.0.1",
            {"host": HERE, "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"},
            True,
        ),
        (EVERYWHERE, {"host": "192.168.1.5:8060"}, True),
        (EVERYWHERE, {"host": "evil.example:8060"}, False),
        ("my-machine", {"host": "my-machine:8060"}, True),
        ("my-machine", {"host": "evil.example:8060"}, False),
    ],
)
def test_only_this_page_is_answered(listens: str, headers: dict[str, str], answered: bool) -> None:
    assert (Guard(nothing, listens).refusal(headers) is None) == answered


def asked(address: str, path: str, **headers: str) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=60)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request("GET", path, headers=named)
    return connection.getresponse()


def test_the_server_refuses_strangers(address: str) -> None:
    socket = "/_nicegui_ws/socket.io/?EIO=4&transport=polling"
    for path in ("/", socket):
        assert asked(address, path).status == 200
        for stranger in ({"Host": "evil.example"}, {"Origin": "https://evil.example"}):
            refused = asked(address, path, **stranger)
            assert refused.status == 403
            assert b"not" in refused.read()


def test_a_strangers_socket_is_refused(address: str) -> None:
    upgrade = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    path = "/_nicegui_ws/socket.io/?EIO=4&transport=websocket"
    here = f"http://{urlsplit(address).netloc}"
    assert asked(address, path, **upgrade, Origin=here).status == 101
    assert asked(address, path, **upgrade, Origin="https://evil.example").status == 403


def test_browsers_are_told_to_fetch_nothing_elsewhere(address: str) -> None:
    policy = asked(address, "/").getheader("Content-Security-Policy") or ""
    host = urlsplit(address).netloc
    assert f"connect-src 'self' ws://{host};" in policy
    assert "default-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "https:" not in policy
