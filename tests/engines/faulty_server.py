"""A completions server of a few lines that samples from hashes and fails in every known way."""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from sixtyfold.engines import server_client

#: A fault makes the response of a handler by itself, or changes the body and returns it.
Fault = Callable[["Handler", dict[str, Any]], dict[str, Any] | None]


def text_of(prompt: str, seed: int, temperature: float = 0.7) -> str:
    """Return what the made-up model says for a seed; at temperature 0 the seed has no say."""
    key = f"{prompt}|{seed if temperature else 'greedy'}"
    return " " + hashlib.sha256(key.encode()).hexdigest()[:12]


class Server:
    """Settings of the server and what has been asked of it."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.times: list[float] = []
        self.keys: set[str | None] = set()
        self.honours_n: bool | None = True  # None: refused
        self.copies = False
        self.ignores_seeds = False
        self.takes_extras = True
        self.fault: Callable[[int, dict[str, Any]], Fault | None] = lambda number, body: None
        self.answered: list[tuple[str, int]] = []
        self.lock = threading.Lock()
        self.port = 0
        self._http: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def start(self) -> None:
        handler = type("Bound", (Handler,), {"server_state": self})
        self._http = _Http(("127.0.0.1", self.port), handler)
        self.port = self._http.server_address[1]
        threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self) -> None:
        if self._http:
            http, self._http = self._http, None
            http.shutdown()
            http.server_close()

    def draws_asked(self) -> list[dict[str, Any]]:
        """Return the requests that were no trials."""
        return [body for body in self.asked if "chosen at random" not in body["prompt"]]


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Stay quiet when a client has hung up."""


class Handler(BaseHTTPRequestHandler):
    """Answers POST /v1/completions."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server_state: Server

    def log_message(self, *args: Any) -> None:
        """Stay quiet."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        state = self.server_state
        with state.lock:
            state.asked.append(body)
            state.times.append(time.monotonic())
            state.keys.add(self.headers["Authorization"])
            fault = state.fault(len(state.asked), body)
        if self.path != "/v1/completions":
            self.reply(404, {"error": {"message": f"no {self.path}"}})
        elif "top_k" in body and not state.takes_extras:
            self.reply(400, {"error": {"message": "unknown argument top_k"}})
        elif body.get("n", 1) > 1 and state.honours_n is None:
            self.reply(400, {"error": {"message": "only one completion choice is allowed"}})
        else:
            answer = self.answer(body)
            changed = fault(self, answer) if fault else answer
            if changed is not None:
                self.reply(200, changed)

    def answer(self, body: dict[str, Any]) -> dict[str, Any]:
        state = self.server_state
        count = body.get("n", 1) if state.honours_n else 1
        choices = []
        for index in range(count):
            seed = body["seed"] + (0 if state.copies else index)
            text = text_of(body["prompt"], 7 if state.ignores_seeds else seed, body["temperature"])
            choices.append({"index": index, "text": text, "finish_reason": "length"})
        return {"object": "text_completion", "choices": choices}

    def reply(
        self,
        status: int,
        body: dict[str, Any] | str,
        headers: dict[str, str] | None = None,
        missing: int = 0,
    ) -> None:
        """Send a response; `missing` bytes of it are announced and not sent."""
        data = (body if isinstance(body, str) else json.dumps(body)).encode()
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data[: len(data) - missing])
        self.close_connection = bool(missing)


def status(code: int, headers: dict[str, str] | None = None, message: str = "busy") -> Fault:
    """Answer with an error status."""

    def fail(handler: Handler, answer: dict[str, Any]) -> None:
        handler.reply(code, {"error": {"message": message}}, headers)

    return fail


def slow(seconds: float) -> Fault:
    """Answer late."""

    def wait(handler: Handler, answer: dict[str, Any]) -> dict[str, Any]:
        time.sleep(seconds)
        return answer

    return wait


def cut(handler: Handler, answer: dict[str, Any]) -> None:
    """Hang up in the middle of the body."""
    handler.reply(200, answer, missing=20)


def malformed(handler: Handler, answer: dict[str, Any]) -> None:
    """Send half of the JSON as if it were all."""
    handler.reply(200, json.dumps(answer)[:-20])


def web_page(handler: Handler, answer: dict[str, Any]) -> None:
    """Send what a proxy in between may send."""
    handler.reply(200, "<html>please log in</html>")


def without_answers(handler: Handler, answer: dict[str, Any]) -> dict[str, Any]:
    """Send an empty list."""
    return {**answer, "choices": []}


def without_text(handler: Handler, answer: dict[str, Any]) -> dict[str, Any]:
    """Send answers that hold no text."""
    return {**answer, "choices": [{**each, "text": None} for each in answer["choices"]]}


def one_lost(handler: Handler, answer: dict[str, Any]) -> dict[str, Any]:
    """Leave out the second answer, or the only one."""
    choices = answer["choices"]
    return {**answer, "choices": choices[:1] + choices[2:] if len(choices) > 1 else []}


def one_twice(handler: Handler, answer: dict[str, Any]) -> dict[str, Any]:
    """Send the first answer again in place of the last."""
    choices = answer["choices"]
    return {**answer, "choices": [*choices[:-1], choices[0]] if len(choices) > 1 else choices * 2}


def aborted(handler: Handler, answer: dict[str, Any]) -> dict[str, Any]:
    """Give up on the first answer half-way."""
    first, *others = answer["choices"]
    return {**answer, "choices": [{**first, "text": " ", "finish_reason": "abort"}, *others]}


def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let clients wait for hundredths of seconds before they ask again."""
    monkeypatch.setattr("openai._base_client.INITIAL_RETRY_DELAY", 0.02)
    monkeypatch.setattr("openai._base_client.MAX_RETRY_DELAY", 0.2)
    monkeypatch.setattr(server_client, "FIRST_WAIT", 0.02)
    monkeypatch.setattr(server_client, "LONGEST_WAIT", 0.2)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("SIXTYFOLD_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


@contextlib.contextmanager
def running() -> Iterator[Server]:
    """Run a server for a block."""
    server = Server()
    server.start()
    try:
        yield server
    finally:
        server.stop()
