"""A module `vllm` of a few lines that samples from hashes, for tests without the real one."""

from __future__ import annotations

import asyncio
import os
import sys
import types
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest

from engines.faulty_server import text_of


class FakeVllm:
    """What the engine asked for, and how the fake behaves."""

    def __init__(self) -> None:
        self.started: list[dict[str, Any]] = []
        self.asked: list[tuple[list[int], SimpleNamespace]] = []
        self.shut_down = 0
        self.start_error: Exception | None = None
        self.draw_error: Exception | None = None
        self.lost: set[int] = set()

    def text(self, ids: list[int], seed: int) -> str:
        """Return what the made-up model says behind token ids for a seed."""
        return text_of(" ".join(map(str, ids)), seed)

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Put the fake where `import vllm` finds it."""
        module, parameters = types.ModuleType("vllm"), types.ModuleType("vllm.sampling_params")
        parts: dict[str, Any] = {
            "AsyncEngineArgs": lambda **given: given,
            "AsyncLLMEngine": SimpleNamespace(from_engine_args=self._start),
            "SamplingParams": SimpleNamespace,
        }
        for name, part in parts.items():
            setattr(module, name, part)
        parameters.RequestOutputKind = SimpleNamespace(FINAL_ONLY="final")  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "vllm", module)
        monkeypatch.setitem(sys.modules, "vllm.sampling_params", parameters)

    def _start(self, arguments: dict[str, Any]) -> SimpleNamespace:
        self.started.append(arguments)
        os.write(1, b"INFO a line of vLLM's\n")  # as its processes do
        if self.start_error:
            raise self.start_error
        return SimpleNamespace(generate=self._generate, shutdown=self._shutdown)

    async def _generate(
        self, prompt: dict[str, list[int]], how: SimpleNamespace, name: str
    ) -> AsyncIterator[SimpleNamespace]:
        ids = prompt["prompt_token_ids"]
        self.asked.append((ids, how))
        await asyncio.sleep(0.001 * (len(self.asked) % 3))
        if self.draw_error:
            raise self.draw_error
        answers = [
            SimpleNamespace(index=index, text=self.text(ids, how.seed + index))
            for index in range(how.n)
            if index not in self.lost
        ]
        yield SimpleNamespace(outputs=answers[::-1])

    def _shutdown(self) -> None:
        self.shut_down += 1


@pytest.fixture
def vllm(monkeypatch: pytest.MonkeyPatch) -> FakeVllm:
    """Return a fake that `import vllm` finds."""
    fake = FakeVllm()
    fake.install(monkeypatch)
    return fake
