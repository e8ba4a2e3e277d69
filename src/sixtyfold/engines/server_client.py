"""One request to a completions endpoint: sent, sent again after a failure, read and checked.

The `openai` client sends again after time-outs, lost connections, cut bodies, 429 and 5xx, with
growing waits and the server's Retry-After. What it lets pass (an answer that came in full but
cannot be read) is sent again here. This module knows nothing of draws.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from pydantic import BaseModel, ValidationError

from sixtyfold.core.errors import BadInput, SixtyfoldError
from sixtyfold.engines.server_options import ServerOptions

if TYPE_CHECKING:
    import openai

KEY_VARIABLES = ("SIXTYFOLD_API_KEY", "OPENAI_API_KEY")
FIRST_WAIT, LONGEST_WAIT = 0.5, 8.0
_UNFINISHED = {"abort", "error", "content_filter"}
_QUOTED = 300


class ServerFailed(SixtyfoldError):
    """A server did not give a usable answer, however often it was asked."""

    exit_code = 6


class Refused(BadInput):
    """A server refuses a request as it stands (400 or 422): asking again would not help."""


class Request(NamedTuple):
    """What one request asks for.

    settings: temperature, lengths and whatever else goes into the body.
    answers: number of answers, sent as `n` where it is above 1 (not all servers know it).
    """

    prompt: str
    seed: int
    settings: Mapping[str, Any]
    answers: int = 1


class ServerAnswer(NamedTuple):
    """A continuation.

    stopped: whether the model stopped by itself rather than at the length limit.
    """

    text: str
    stopped: bool


class _Choice(BaseModel):
    index: int = 0
    text: str
    finish_reason: str | None = None


class _Body(BaseModel):
    choices: list[_Choice]


class Completions:
    """An open connection to a server; used as `async with Completions(options) as server`."""

    def __init__(self, options: ServerOptions) -> None:
        self.options = options
        self._client = _client(options)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._client.close()

    async def ask(self, request: Request) -> dict[int, ServerAnswer]:
        """Return answers by their number, 0 to `request.answers` − 1.

        There is at least one; a server may give fewer than asked for.

        Raises:
            Refused: the server answers 400 or 422.
            BadInput: the key is refused, or there is no such model or address (401, 403, 404).
            ServerFailed: the last retry failed as well.
        """
        for attempt in range(self.options.retries + 1):
            if attempt:
                await asyncio.sleep(min(FIRST_WAIT * 2.0 ** (attempt - 1), LONGEST_WAIT))
            body = await self._send(request)
            answers, fault = _read(body, request.answers)
            if answers:
                return answers
        raise ServerFailed(self._says(f"no usable answer{_times(self.options.retries)}: {fault}"))

    async def _send(self, request: Request) -> str:
        """Return the body of a successful response."""
        import openai

        several = {"n": request.answers} if request.answers > 1 else {}
        try:
            response = await self._client.completions.with_raw_response.create(
                model=self.options.model,
                prompt=request.prompt,
                seed=request.seed,
                extra_body={**request.settings, **several},
            )
        except openai.APIStatusError as error:
            failure = self._status(error)
        except openai.APITimeoutError as error:
            failure = ServerFailed(
                self._says(
                    f"no answer within {self.options.timeout:g} s{_after(error.request)}; "
                    "is it overloaded, or the timeout too short?"
                )
            )
        except openai.APIConnectionError as error:
            cause = error.__cause__ or error
            what = f"{type(cause).__name__}: {cause}" if str(cause) else type(cause).__name__
            failure = ServerFailed(
                self._says(f"connection failed{_after(error.request)} ({what}); is it running?")
            )
        else:
            return str(response.http_response.text)
        # Raised out here, it does not carry the client's error, whose request holds the key.
        raise failure

    def _status(self, error: openai.APIStatusError) -> SixtyfoldError:
        """Return the error for a status that is final or stayed after all retries."""
        status, message = error.status_code, error.message
        if status in {401, 403}:
            names = " or ".join(KEY_VARIABLES)
            hint = f"the key in {names} was refused" if api_key() else f"set a key in {names}"
            return BadInput(self._says(f"status {status}; {hint}: {message}"))
        if status == 404:
            hint = f"is the address right, and does it offer '{self.options.model}'?"
            return BadInput(self._says(f"status 404; {hint} {message}"))
        if status in {400, 422}:
            return Refused(self._says(f"status {status}: {message}"))
        wait = error.response.headers.get("retry-after")
        asked = f" (Retry-After: {wait})" if wait else ""
        return ServerFailed(
            self._says(f"status {status}{asked}{_after(error.response.request)}: {message}")
        )

    def _says(self, what: str) -> str:
        """Return a message of one line that names the server and cannot hold the key."""
        key = api_key()
        # Before anything is cut off, which could leave half a key.
        line = " ".join((what.replace(key, "[key]") if key else what).split())
        line = line if len(line) <= _QUOTED else f"{line[:_QUOTED]}..."
        return f"server {self.options.url}: {line}"


def api_key() -> str:
    """Return the key from the environment, or an empty string where there is none.

    Raises:
        BadInput: it holds characters that no header can carry.
    """
    for name in KEY_VARIABLES:
        key = os.environ.get(name, "").strip()
        if key and not (key.isascii() and key.isprintable()):
            raise BadInput(f"the key in {name} holds characters other than printable ASCII")
        if key:
            return key
    return ""


def _client(options: ServerOptions) -> openai.AsyncOpenAI:
    require_openai()
    import openai

    return openai.AsyncOpenAI(
        # The client demands some key; servers without keys do not read it.
        api_key=api_key() or "none",
        base_url=options.url,
        timeout=options.timeout,
        max_retries=options.retries,
    )


def require_openai() -> None:
    """Raise BadInput where the package `openai` is not installed."""
    try:
        import openai  # noqa: F401
    except ImportError:
        raise BadInput(
            "the server engine needs the package openai: pip install 'sixtyfold[server]'"
        ) from None


def _after(request: Any) -> str:
    """Say how often the client has sent a request again."""
    return _times(int(request.headers.get("x-stainless-retry-count", 0)))


def _times(retries: int) -> str:
    return f" after {retries} {'retry' if retries == 1 else 'retries'}" if retries else ""


def _read(body: str, asked: int) -> tuple[dict[int, ServerAnswer], str]:
    """Return the usable answers of a body by number, or none and what is wrong with it.

    Of two answers with one number the first is taken: a repeated answer is not a second draw.
    """
    try:
        choices = _Body.model_validate_json(body).choices
    except ValidationError:
        return {}, f"no completion came, but {body or 'nothing'}"
    answers: dict[int, ServerAnswer] = {}
    for choice in choices:
        if choice.finish_reason not in _UNFINISHED and 0 <= choice.index < asked:
            answer = ServerAnswer(choice.text, choice.finish_reason != "length")
            answers.setdefault(choice.index, answer)
    reasons = sorted({choice.finish_reason or "" for choice in choices} & _UNFINISHED)
    ended = f" (finish_reason {', '.join(reasons)})" if reasons else ""
    return answers, f"it gave {len(choices)} choices{ended}"
