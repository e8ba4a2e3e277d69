"""Options of the server engine: where the server is and how patiently it is asked.

There is no option for the key. It is read from the environment at the moment of a request
(`server_client.api_key`), so that no spec, manifest or log can hold it.
"""

from __future__ import annotations

from typing import ClassVar
from urllib.parse import urlsplit, urlunsplit

from pydantic import Field, ValidationError, field_validator

from sixtyfold.core.spec import Spec


class ServerOptions(Spec):
    """A completions endpoint as OpenAI defined it (vLLM, llama.cpp, TGI and others serve one)."""

    not_recorded: ClassVar[frozenset[str]] = Spec.not_recorded | {
        "concurrency",
        "timeout",
        "retries",
    }

    url: str
    """Address of the server, such as http://127.0.0.1:8000/v1; /v1 is added where no path is given.
    A key comes from the environment: SIXTYFOLD_API_KEY or OPENAI_API_KEY."""

    model: str = Field(min_length=1)
    """Name under which the server offers the model."""

    concurrency: int = Field(default=16, ge=1, le=512)
    """Requests under way at the same time."""

    timeout: float = Field(default=300.0, gt=0)
    """Seconds without a byte from the server after which a request is sent again."""

    retries: int = Field(default=10, ge=0, le=100)
    """How often a failed request is sent again; waits double from 0.5 s to 8 s, and a server's own
    Retry-After is kept up to 2 minutes."""

    @field_validator("url")
    @classmethod
    def _address(cls, value: str) -> str:
        parts = urlsplit(value.strip())
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError("allowed: an address such as http://127.0.0.1:8000/v1")
        if "@" in parts.netloc or parts.query or parts.fragment:
            raise ValueError(
                "an address without name, password, ? or # is wanted; "
                "give the key in SIXTYFOLD_API_KEY"
            )
        path = parts.path.rstrip("/").removesuffix("/completions") or "/v1"
        return urlunsplit((parts.scheme, parts.netloc, path, "", ""))

    @classmethod
    def explain(cls, error: ValidationError) -> str:
        """Turn the first complaint into one line, without an address that may hold a password."""
        first = error.errors()[0]
        if first["loc"] == ("url",) and first["type"] != "missing":
            return f"--server: {first['msg'].removeprefix('Value error, ')}"
        return super().explain(error)
