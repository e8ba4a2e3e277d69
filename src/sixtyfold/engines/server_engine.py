"""Draws and greedy answers from any OpenAI-compatible completions endpoint.

Every draw has a place of its own, (prompt, number of the draw), which is filled exactly once; a
request asks for places still empty, and its seed is that of the first of them. vLLM
numbers the seeds of `n` answers upwards from there, so with seeds that count upwards (`first_seed`)
a draw has the same seed with and without `n`.

Gives no probabilities, so only the estimator `draws` can use it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, TypeVar

from sixtyfold.core.errors import BadInput
from sixtyfold.engines.server_client import (
    Completions,
    Refused,
    Request,
    ServerAnswer,
    require_openai,
)
from sixtyfold.engines.server_options import ServerOptions
from sixtyfold.engines.text_draws import DrawSettings, check_draws

Result = TypeVar("Result")

MOST_ANSWERS = 16
_TRIAL_PROMPT = "A list of words chosen at random, no two of them related:"
_TRIAL_SEEDS = (1_001, 200_003, 30_000_001, 400_000_009)
_TRIAL = {"temperature": 1.5, "max_tokens": 16}

#: The whole distribution: servers have their own defaults (llama.cpp top-k 40, top-p .95 and min-p
#: .05; vLLM those of the model's generation_config.json).
_WHOLE: Mapping[str, Any] = {"top_p": 1.0, "presence_penalty": 0.0, "frequency_penalty": 0.0}
_WHOLE_MORE = {"top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0, "repeat_penalty": 1.0}


class Abilities(NamedTuple):
    """What trial requests have shown.

    answers: how many answers one request may ask for.
    whole_distribution: whether the server takes the settings that switch off top-k, min-p and
        repetition penalties; where not (OpenAI's own has none of them), its defaults hold.
    """

    answers: int
    whole_distribution: bool


class _Job(NamedTuple):
    prompt: int
    draws: range


class ServerEngine:
    """A model behind a completions endpoint."""

    def __init__(self, options: ServerOptions) -> None:
        require_openai()
        self.options = options
        self._abilities: dict[int, Abilities] = {}

    def __repr__(self) -> str:
        return f"ServerEngine({self.options.model!r} at {self.options.url})"

    def abilities(self, draws: int) -> Abilities:
        """Return what the server can do for so many draws per prompt; asked once, then remembered.

        Raises:
            BadInput: see `draw`; also where requests with different seeds give one same answer.
            ServerFailed: see `draw`.
        """

        async def asked() -> Abilities:
            async with Completions(self.options) as server:
                return await self._learnt(server, draws)

        return _finish(asked())

    def draw(
        self,
        prompts: Sequence[str],
        draws: int,
        settings: DrawSettings,
        finished: Callable[[int, list[str]], None] | None = None,
    ) -> list[list[str]]:
        """Return `draws` sampled continuations of each prompt.

        Args:
            prompts: texts to continue.
            draws: number of draws of each prompt, at least 1.
            settings: how draws are made.
            finished: called once for each prompt, as soon as its last draw is there, with its index
                and draws; what it was given before an error need not be drawn again.

        Raises:
            BadInput: two draws of one text have the same seed; the server refuses key, model or
                request; or it does not sample.
            ServerFailed: a request failed and so did its last retry.
        """
        check_draws(prompts, draws, settings)
        body = {
            "temperature": settings.temperature,
            "max_tokens": settings.max_new_tokens,
            **({"stop": list(settings.stop)} if settings.stop else {}),
        }
        texts: list[list[str | None]] = [[None] * draws for _ in prompts]

        async def run() -> None:
            async with Completions(self.options) as server:
                abilities = await self._learnt(server, draws)
                sent = {**body, **_distribution(abilities.whole_distribution, settings.top_k)}

                async def fill(job: _Job) -> None:
                    row = texts[job.prompt]
                    while places := _first_gap(row, job.draws):
                        seed = settings.seed(job.prompt, places.start)
                        request = Request(prompts[job.prompt], seed, sent, len(places))
                        for number, answer in (await server.ask(request)).items():
                            row[places[number]] = answer.text
                        if finished and None not in row:
                            finished(job.prompt, _full(row))

                await self._work(_jobs(len(prompts), draws, abilities.answers), fill)

        _finish(run())
        return [_full(row) for row in texts]

    def greedy(
        self,
        prompts: Sequence[str],
        max_new_tokens: int,
        stop: tuple[str, ...] = (),
        finished: Callable[[int, ServerAnswer], None] | None = None,
    ) -> list[ServerAnswer]:
        """Return the greedy continuation of each prompt; arguments and errors as for `draw`."""
        body: dict[str, Any] = {"temperature": 0.0, "max_tokens": max_new_tokens}
        if stop:
            body["stop"] = list(stop)
        answers: dict[int, ServerAnswer] = {}

        async def run() -> None:
            async with Completions(self.options) as server:
                whole = await _takes_whole_distribution(server)
                sent = {**body, **_distribution(whole)}

                async def answer(job: _Job) -> None:
                    got = await server.ask(Request(prompts[job.prompt], 0, sent))
                    answers[job.prompt] = got[0]
                    if finished:
                        finished(job.prompt, got[0])

                await self._work(_jobs(len(prompts), 1, 1), answer)

        _finish(run())
        return [answers[index] for index in range(len(prompts))]

    def greedy_texts(self, prompts: Sequence[str], max_new_tokens: int) -> list[str]:
        """Return the greedy continuation of each prompt; raises what `draw` raises."""
        return [each.text for each in self.greedy(prompts, max_new_tokens)]

    async def _work(
        self, jobs: Iterator[_Job], do: Callable[[_Job], Coroutine[Any, Any, None]]
    ) -> None:
        """Do jobs in order, `concurrency` of them at a time; the first error ends all."""

        async def worker() -> None:
            for job in jobs:
                await do(job)

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self.options.concurrency):
                    group.create_task(worker())
        except BaseExceptionGroup as failures:
            first = failures.exceptions[0]
        else:
            return
        raise first

    async def _learnt(self, server: Completions, draws: int) -> Abilities:
        wanted = min(draws, MOST_ANSWERS)
        if wanted not in self._abilities:
            self._abilities[wanted] = await _try_out(server, wanted)
        return self._abilities[wanted]


async def _try_out(server: Completions, wanted: int) -> Abilities:
    """Find out by trial requests whether the server samples and honours `n`."""
    whole = await _takes_whole_distribution(server)
    settings = {**_TRIAL, **_distribution(whole)}
    alone = [(await server.ask(_trial(seed, settings)))[0].text for seed in _TRIAL_SEEDS]
    if len(set(alone)) == 1:
        raise BadInput(
            f"server {server.options.url}: {len(alone)} requests with different seeds at "
            f"temperature {_TRIAL['temperature']} gave one same answer ({alone[0][:60]!r}); it "
            "does not sample, ignores seeds, or a cache answers for it: switch that off, or take "
            "another engine"
        )
    if wanted == 1:
        return Abilities(1, whole)
    try:
        together = await server.ask(_trial(_TRIAL_SEEDS[0], settings, wanted))
    except Refused:
        return Abilities(1, whole)
    different = {answer.text for answer in together.values()}
    honoured = len(together) == wanted and len(different) > 1
    return Abilities(wanted if honoured else 1, whole)


async def _takes_whole_distribution(server: Completions) -> bool:
    """Say whether the server takes the settings that are not in OpenAI's own interface."""
    try:
        await server.ask(
            _trial(0, {"temperature": 1.0, "max_tokens": 1, **_distribution(whole=True)})
        )
    except Refused:
        return False
    return True


def _trial(seed: int, settings: Mapping[str, Any], answers: int = 1) -> Request:
    return Request(_TRIAL_PROMPT, seed, settings, answers)


def _distribution(whole: bool, top_k: int = 0) -> dict[str, Any]:
    if top_k and not whole:
        raise BadInput(
            f"the server does not take top_k, and the {top_k} most probable tokens are to be drawn "
            "from; take a server that does (vLLM, llama.cpp) or another engine"
        )
    return {**_WHOLE, **(_WHOLE_MORE if whole else {}), **({"top_k": top_k} if top_k else {})}


def _jobs(prompts: int, draws: int, answers: int) -> Iterator[_Job]:
    """Yield the requests to make, those of a prompt behind each other."""
    for prompt in range(prompts):
        for start in range(0, draws, answers):
            yield _Job(prompt, range(start, min(start + answers, draws)))


def _first_gap(row: Sequence[str | None], draws: range) -> range:
    """Return the first run of empty places among some draws.

    >>> _first_gap(["a", None, None, "b", None], range(0, 5))
    range(1, 3)
    """
    start = next((draw for draw in draws if row[draw] is None), draws.stop)
    stop = next((draw for draw in range(start, draws.stop) if row[draw] is not None), draws.stop)
    return range(start, stop)


def _full(row: Sequence[str | None]) -> list[str]:
    return [text for text in row if text is not None]


def _finish(work: Coroutine[Any, Any, Result]) -> Result:
    """Run to the end, also where an event loop is already running (a notebook)."""
    if not _loop_is_running():
        return asyncio.run(work)
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


def _loop_is_running() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
