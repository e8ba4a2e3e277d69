"""Draws from vLLM, which runs in processes of its own on this machine.

A request asks for all draws of a prompt whose seeds count upwards; vLLM gives its answers the
seeds `seed`, `seed + 1`, ..., so every draw has its own seed however draws are put together, and
the same draw has the same seed here and on a vLLM server. A seed decides the random numbers, not
the last bits of the logits: those depend on what else runs in the same step.

Gives no probabilities, so only the estimator `draws` can use it (docs/decisions/007).
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import logging
import os
import sys
import tempfile
import threading
from collections.abc import Callable, Coroutine, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sixtyfold.core.errors import BadInput, SixtyfoldError
from sixtyfold.core.models import Dtype, load_tokenizer, resolve_device, resolve_dtype
from sixtyfold.engines.text_draws import DrawSettings, check_draws
from sixtyfold.engines.vllm_children import STARTED_BY_SIXTYFOLD
from sixtyfold.engines.vllm_options import VllmOptions

_CPU_CACHE_BYTES = 4 << 30
_ENVIRONMENT = {
    # A forked process would keep the lock of the stage directory after this one is killed.
    "VLLM_WORKER_MULTIPROC_METHOD": "spawn",
    "VLLM_LOGGING_LEVEL": "WARNING",
    STARTED_BY_SIXTYFOLD: "1",
}


class VllmFailed(SixtyfoldError):
    """vLLM did not start, or ended while it was asked."""

    exit_code = 6


class VllmEngine:
    """A model in vLLM; used as `with VllmEngine.start(...) as engine`, which ends its processes."""

    def __init__(self, llm: Any, tokenizer: Any, log: Path) -> None:
        self._llm = llm
        self._tokenizer = tokenizer
        self._log = log
        self._requests = 0
        self._loop = asyncio.new_event_loop()
        # A thread of its own: the caller may have a running event loop (a notebook).
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    @classmethod
    def start(
        cls,
        directory: Path,
        options: VllmOptions,
        dtype: Dtype = "auto",
        *,
        trust_remote_code: bool = False,
    ) -> Self:
        """Start vLLM's processes with a model.

        Args:
            directory: a checkpoint directory.
            options: how the model is spread over devices.
            dtype: number format of the forward pass, resolved as for the torch engine.
            trust_remote_code: run Python code that lies in the directory.

        Raises:
            BadInput: vLLM is not installed.
            Corrupted: the tokenizer cannot be read.
            VllmFailed: vLLM does not start with this model and these options.
        """
        require_vllm()
        device = resolve_device("auto")
        tokenizer = load_tokenizer(directory)
        memory: dict[str, Any] = {}
        if options.gpu_memory_utilization is not None:
            memory = {"gpu_memory_utilization": options.gpu_memory_utilization}
        elif device == "cpu":
            memory = {"kv_cache_memory_bytes": _CPU_CACHE_BYTES}
        for name, value in _ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        log = _new_log()
        if sys.stderr.isatty():
            sys.stderr.write("vLLM starts; that takes a minute or two\n")
        try:
            with _console_into(log):
                llm = _start(
                    model=str(directory),
                    dtype=str(resolve_dtype(dtype, device)).removeprefix("torch."),
                    trust_remote_code=trust_remote_code,
                    tensor_parallel_size=options.tensor_parallel,
                    data_parallel_size=options.data_parallel,
                    enable_prefix_caching=True,
                    max_model_len=-1,  # as long as the cache has room for
                    disable_log_stats=True,
                    **memory,
                )
        except Exception as error:  # noqa: BLE001 - vLLM raises errors of many classes
            raise VllmFailed(f"vLLM does not start: {_reason(error)}; its log: {log}") from None
        logging.getLogger("vllm").setLevel(logging.ERROR)
        return cls(llm, tokenizer, log)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with _console_into(self._log):
            self._llm.shutdown()
            # Its finalizer calls this again as Python ends, when what it needs is gone.
            self._llm.shutdown = lambda: None
            asyncio.run_coroutine_threadsafe(_cancel_others(), self._loop).result()
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()
        if not isinstance(error, VllmFailed):
            self._log.unlink(missing_ok=True)

    def draw(
        self,
        prompts: Sequence[str],
        draws: int,
        settings: DrawSettings,
        finished: Callable[[int, list[str]], None] | None = None,
    ) -> list[list[str]]:
        """Return `draws` sampled continuations of each prompt.

        Args:
            prompts: texts to continue, cut into tokens as the torch engine does it.
            draws: number of draws of each prompt, at least 1.
            settings: how draws are made.
            finished: called once for each prompt, as soon as its last draw is there, with its index
                and draws.

        Raises:
            BadInput: two draws of one text have the same seed, or vLLM refuses a prompt, such as
                one longer than the model's context.
            VllmFailed: vLLM's processes ended.
        """
        check_draws(prompts, draws, settings)
        texts: list[list[str]] = [[] for _ in prompts]

        async def fill(prompt: int) -> None:
            ids = list(self._tokenizer(prompts[prompt])["input_ids"])
            seeds = [settings.seed(prompt, draw) for draw in range(draws)]
            runs = [
                self._ask(ids, seeds[run.start], len(run), settings, prompt)
                for run in counting_runs(seeds)
            ]
            texts[prompt] = [text for run in await asyncio.gather(*runs) for text in run]
            if finished:
                finished(prompt, texts[prompt])

        async def work() -> None:
            await asyncio.gather(*(fill(prompt) for prompt in range(len(prompts))))

        self._finish(work())
        return texts

    def greedy_texts(self, prompts: Sequence[str], max_new_tokens: int) -> list[str]:
        """Return the greedy continuation of each prompt; raises what `draw` raises."""
        settings = DrawSettings(max_new_tokens, 0.0, ())
        texts: list[str] = [""] * len(prompts)

        async def answer(prompt: int) -> None:
            ids = list(self._tokenizer(prompts[prompt])["input_ids"])
            (texts[prompt],) = await self._ask(ids, 0, 1, settings, prompt)

        async def work() -> None:
            await asyncio.gather(*(answer(prompt) for prompt in range(len(prompts))))

        self._finish(work())
        return texts

    async def _ask(
        self, ids: list[int], seed: int, answers: int, settings: DrawSettings, prompt: int
    ) -> list[str]:
        self._requests += 1
        last = None
        how = _sampling(seed, answers, settings, prompt)
        async for output in self._llm.generate({"prompt_token_ids": ids}, how, str(self._requests)):
            last = output
        found = {each.index: each.text for each in (last.outputs if last else ())}
        if sorted(found) != list(range(answers)):
            raise VllmFailed(
                f"vLLM gave the answers {sorted(found)} of {answers}; its log: {self._log}"
            )
        return [found[number] for number in range(answers)]

    def _finish(self, work: Coroutine[Any, Any, None]) -> None:
        """Run to the end in the thread; an interruption here cancels it there."""
        running = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            running.result()
        except SixtyfoldError:
            raise
        except ValueError as error:
            raise BadInput(f"vLLM refuses the request: {_reason(error)}") from None
        except Exception as error:  # noqa: BLE001 - vLLM raises errors of many classes
            raise VllmFailed(
                f"vLLM ended: {_reason(error)}; finished chunks are kept; its log: {self._log}"
            ) from None
        finally:
            running.cancel()


def require_vllm() -> None:
    """Raise BadInput where the package `vllm` is not installed."""
    # Looked for, not imported: importing it takes seconds and sets up logging.
    if "vllm" not in sys.modules and importlib.util.find_spec("vllm") is None:
        raise BadInput(
            "--engine vllm needs the package vllm, which is not installed here; make an "
            "environment of its own with 'make setup-vllm' and run .venv-vllm/bin/sixtyfold, or "
            "on a GPU machine: pip install 'sixtyfold[vllm]'"
        )


def counting_runs(seeds: Sequence[int]) -> Iterator[range]:
    """Cut draws where their seeds do not count upwards.

    >>> list(counting_runs([5, 6, 7, 2, 3, 3]))
    [range(0, 3), range(3, 5), range(5, 6)]
    """
    start = 0
    for place in range(1, len(seeds) + 1):
        if place == len(seeds) or seeds[place] != seeds[place - 1] + 1:
            yield range(start, place)
            start = place


async def _cancel_others() -> None:
    """Cancel what still runs in the event loop, such as vLLM's own listener, and wait for it."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


def _start(**arguments: Any) -> Any:
    from vllm import AsyncEngineArgs, AsyncLLMEngine

    # The one class of vLLM that also takes data parallelism without a server in front.
    return AsyncLLMEngine.from_engine_args(AsyncEngineArgs(**arguments))


def _sampling(seed: int, answers: int, settings: DrawSettings, prompt: int) -> Any:
    """Return the whole distribution at the temperature; no default of the model's has a say."""
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind

    settled = settings.settled[prompt] if settings.settled and not settings.stop else ()
    return SamplingParams(
        n=answers,
        seed=seed,
        temperature=settings.temperature,
        top_p=1.0,
        top_k=settings.top_k,
        min_p=0.0,
        max_tokens=settings.max_new_tokens,
        stop=list(settings.stop or settled),
        include_stop_str_in_output=bool(settled),
        output_kind=RequestOutputKind.FINAL_ONLY,
    )


def _new_log() -> Path:
    handle, name = tempfile.mkstemp(prefix="sixtyfold-vllm-", suffix=".log")
    os.close(handle)
    return Path(name)


@contextlib.contextmanager
def _console_into(log: Path) -> Iterator[None]:
    """Send what this process and those it starts write to the console to the end of a file.

    The processes write to descriptors 1 and 2, which no redirection of `sys.stdout` reaches; they
    keep the file when the block ends.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    kept = os.dup(1), os.dup(2)
    try:
        with log.open("ab") as handle:
            os.dup2(handle.fileno(), 1)
            os.dup2(handle.fileno(), 2)
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for place, original in zip((1, 2), kept, strict=True):
            os.dup2(original, place)
            os.close(original)


def _reason(error: BaseException) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
