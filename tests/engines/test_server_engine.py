"""The server engine against a server that fails in every known way."""

from __future__ import annotations

import asyncio
import json
import logging
import random
import socket
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from engines import faulty_server as fake
from engines.faulty_server import Server, running, text_of
from sixtyfold.core.errors import BadInput, SixtyfoldError
from sixtyfold.engines.server_client import ServerAnswer, ServerFailed
from sixtyfold.engines.server_engine import Abilities, ServerEngine
from sixtyfold.engines.server_options import ServerOptions
from sixtyfold.engines.text_draws import HIGHEST_SEED, DrawSettings, first_seed

openai = pytest.importorskip("openai")

PROMPTS = [f"The capital of country {number} is" for number in range(6)]
DRAWS = 5
KEY = "sk-never-to-be-seen-1234567890"


def seed_of(prompt: int, draw: int) -> int:
    return 1000 * (prompt + 1) + draw


SETTINGS = DrawSettings(max_new_tokens=8, temperature=0.7, seeds=seed_of)
EXPECTED = [
    [text_of(text, seed_of(index, draw)) for draw in range(DRAWS)]
    for index, text in enumerate(PROMPTS)
]


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    fake.short_waits(monkeypatch)


@pytest.fixture
def server() -> Iterator[Server]:
    with running() as started:
        yield started


def engine_for(server: Server, **options: Any) -> ServerEngine:
    return ServerEngine(
        ServerOptions(**{"url": server.url, "model": "made-up", "timeout": 10, **options})
    )


class Stored:
    """A caller that keeps what is finished and complains when it gets a prompt twice."""

    def __init__(self) -> None:
        self.rows: dict[int, list[str]] = {}

    def __call__(self, prompt: int, draws: list[str]) -> None:
        assert prompt not in self.rows
        self.rows[prompt] = draws


def fault_once(server: Server, prompt: str, fault: fake.Fault) -> None:
    """Let the first request for a prompt fail."""
    done = []

    def choose(number: int, body: dict[str, Any]) -> fake.Fault | None:
        if body["prompt"] == prompt and not done:
            done.append(number)
            return fault
        return None

    server.fault = choose


def fault_always(server: Server, fault: fake.Fault, prompt: str = PROMPTS[3]) -> None:
    server.fault = lambda number, body: fault if body["prompt"] == prompt else None


def test_each_draw_has_its_own_seed_and_comes_in_one_request_where_n_is_honoured(server):
    stored = Stored()
    assert engine_for(server).draw(PROMPTS, DRAWS, SETTINGS, stored) == EXPECTED
    assert [stored.rows[index] for index in range(len(PROMPTS))] == EXPECTED
    asked = server.draws_asked()
    assert {body["prompt"]: (body["seed"], body["n"]) for body in asked} == {
        text: (seed_of(index, 0), DRAWS) for index, text in enumerate(PROMPTS)
    }
    assert len(asked) == len(PROMPTS)
    shared = {"model": "made-up", "temperature": 0.7, "max_tokens": 8, "top_p": 1.0, "top_k": -1}
    assert all(body.items() >= shared.items() for body in asked)


@pytest.mark.parametrize("way", ["one answer", "refused", "copies"])
def test_one_request_a_draw_where_n_is_not_honoured(server, way):
    server.honours_n = {"one answer": False, "refused": None, "copies": True}[way]
    server.copies = way == "copies"
    engine = engine_for(server)
    assert engine.abilities(DRAWS) == Abilities(1, whole_distribution=True)
    assert engine.draw(PROMPTS, DRAWS, SETTINGS) == EXPECTED
    seeds = [body["seed"] for body in server.draws_asked()]
    assert sorted(seeds) == sorted(seed_of(p, d) for p in range(len(PROMPTS)) for d in range(DRAWS))
    assert not any("n" in body for body in server.draws_asked())


def test_more_draws_than_one_request_may_ask_for(server):
    (row,) = engine_for(server).draw(PROMPTS[:1], 37, SETTINGS)
    assert row == [text_of(PROMPTS[0], seed_of(0, draw)) for draw in range(37)]
    assert sorted((body["seed"], body["n"]) for body in server.draws_asked()) == [
        (1000, 16),
        (1016, 16),
        (1032, 5),
    ]


def test_trials_are_made_once(server):
    engine = engine_for(server)
    engine.draw(PROMPTS, DRAWS, SETTINGS)
    before = len(server.asked)
    engine.draw(PROMPTS, DRAWS, SETTINGS)
    assert len(server.asked) == before + len(PROMPTS)


def test_a_server_that_knows_only_the_interface_of_openai(server):
    server.takes_extras = False
    engine = engine_for(server)
    assert engine.abilities(DRAWS) == Abilities(DRAWS, whole_distribution=False)
    assert engine.draw(PROMPTS, DRAWS, SETTINGS) == EXPECTED
    assert not any("min_p" in body for body in server.draws_asked())


def test_a_server_that_does_not_sample_is_refused(server):
    server.ignores_seeds = True
    with pytest.raises(BadInput, match=r"4 requests with different seeds .* gave one same answer"):
        engine_for(server).draw(PROMPTS, DRAWS, SETTINGS)
    assert server.draws_asked() == []


FAULTS = {
    "429": fake.status(429, {"Retry-After": "0.1"}),
    "500": fake.status(500),
    "503": fake.status(503),
    "slow": fake.slow(0.8),
    "cut": fake.cut,
    "malformed": fake.malformed,
    "web page": fake.web_page,
    "no answers": fake.without_answers,
    "no text": fake.without_text,
    "one lost": fake.one_lost,
    "one twice": fake.one_twice,
    "aborted": fake.aborted,
}


@pytest.mark.parametrize("honours_n", [True, False])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_loses_no_draw_and_counts_none_twice(server, fault, honours_n):
    server.honours_n = honours_n
    fault_once(server, PROMPTS[2], FAULTS[fault])
    stored = Stored()
    engine = engine_for(server, timeout=0.25 if fault == "slow" else 10)
    assert engine.draw(PROMPTS, DRAWS, SETTINGS, stored) == EXPECTED
    assert [stored.rows[index] for index in range(len(PROMPTS))] == EXPECTED
    usual = len(PROMPTS) * (1 if honours_n else DRAWS)
    # A repeated answer costs no further request where one answer was asked for.
    extra = 0 if fault == "one twice" and not honours_n else 1
    assert len(server.draws_asked()) == usual + extra


def test_what_is_missing_is_asked_for_and_nothing_else(server):
    fault_once(server, PROMPTS[2], fake.one_lost)
    engine_for(server).draw(PROMPTS, DRAWS, SETTINGS)
    asked = [body for body in server.asked if body["prompt"] == PROMPTS[2]]
    assert [(body["seed"], body.get("n", 1)) for body in asked] == [(3000, 5), (3001, 1)]


def test_retry_after_is_kept(server):
    fault_once(server, PROMPTS[2], fake.status(429, {"Retry-After": "0.5"}))
    engine_for(server).draw(PROMPTS, DRAWS, SETTINGS)
    times = [
        when
        for body, when in zip(server.asked, server.times, strict=True)
        if body["prompt"] == PROMPTS[2]
    ]
    assert len(times) == 2
    assert times[1] - times[0] >= 0.5


@pytest.mark.parametrize("honours_n", [True, False])
def test_a_storm_of_faults(server, honours_n):
    server.honours_n = honours_n
    faults = [FAULTS[name] for name in FAULTS if name != "slow"]
    chance = random.Random(5)  # noqa: S311
    given = []

    def choose(number: int, body: dict[str, Any]) -> fake.Fault | None:
        if "chosen at random" in body["prompt"] or chance.random() > 0.4:
            return None
        given.append(number)
        return chance.choice(faults)

    server.fault = choose
    prompts = [f"Prompt {number}:" for number in range(25)]
    stored = Stored()
    rows = engine_for(server, retries=30).draw(prompts, DRAWS, SETTINGS, stored)
    expected = [
        [text_of(text, seed_of(index, draw)) for draw in range(DRAWS)]
        for index, text in enumerate(prompts)
    ]
    assert rows == expected
    assert [stored.rows[index] for index in range(len(prompts))] == expected
    assert len(given) > 10


def test_a_server_that_dies_and_comes_back(server):
    died = threading.Event()

    def die(handler: fake.Handler, answer: dict[str, Any]) -> None:
        handler.close_connection = True
        if not died.is_set():
            died.set()
            threading.Thread(target=server.stop).start()
            threading.Timer(0.5, server.start).start()

    fault_once(server, PROMPTS[2], die)
    stored = Stored()
    assert engine_for(server, concurrency=2).draw(PROMPTS, DRAWS, SETTINGS, stored) == EXPECTED
    assert died.is_set()
    assert [stored.rows[index] for index in range(len(PROMPTS))] == EXPECTED


LAST = {
    "500": (fake.status(500), r"status 500 after 2 retries: .*busy"),
    "429": (
        fake.status(429, {"Retry-After": "900"}),
        r"status 429 \(Retry-After: 900\): .*busy",
    ),
    "slow": (fake.slow(0.8), r"no answer within 0.25 s after 2 retries"),
    "cut": (fake.cut, r"connection failed after 2 retries \(.*\); is it running\?"),
    "malformed": (fake.malformed, r"no usable answer after 2 retries: no completion came, but \{"),
    "web page": (fake.web_page, r"after 2 retries: no completion came, but <html>please log in"),
    "no answers": (fake.without_answers, r"no usable answer after 2 retries: it gave 0 choices$"),
}


@pytest.mark.parametrize("fault", LAST)
def test_after_the_last_retry_one_error_and_what_is_finished_is_stored(server, fault):
    how, message = LAST[fault]
    fault_always(server, how)
    stored = Stored()
    engine = engine_for(server, retries=2, concurrency=1, timeout=0.25 if fault == "slow" else 10)
    with pytest.raises(ServerFailed, match=message) as failure:
        engine.draw(PROMPTS, DRAWS, SETTINGS, stored)
    assert str(failure.value).startswith(f"server {server.url}: ")
    assert "\n" not in str(failure.value)
    assert failure.value.__context__ is None
    assert stored.rows == dict(enumerate(EXPECTED[:3]))
    assert len([body for body in server.asked if body["prompt"] == PROMPTS[3]]) == (
        1 if fault == "429" else 3
    )


def test_all_answers_aborted(server):
    server.honours_n = False
    fault_always(server, fake.aborted)
    with pytest.raises(
        ServerFailed, match=r"after 1 retry: it gave 1 choices \(finish_reason abort\)"
    ):
        engine_for(server, retries=1).draw(PROMPTS, DRAWS, SETTINGS)


def test_nobody_there():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ServerOptions(url=f"http://127.0.0.1:{port}", model="m", retries=1)
    with pytest.raises(ServerFailed, match=rf"127\.0\.0\.1:{port}/v1: connection failed after 1 r"):
        ServerEngine(options).draw(PROMPTS, DRAWS, SETTINGS)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (400, r"status 400: .*too long"),
        (401, r"status 401; set a key in SIXTYFOLD_API_KEY or OPENAI_API_KEY: .*too long"),
        (404, r"status 404; is the address right, and does it offer 'made-up'\? .*too long"),
    ],
)
def test_what_asking_again_would_not_help_is_not_asked_again(server, code, message):
    fault_always(server, fake.status(code, message="too long"))
    with pytest.raises(BadInput, match=message):
        engine_for(server, concurrency=1).draw(PROMPTS, DRAWS, SETTINGS)
    assert len([body for body in server.asked if body["prompt"] == PROMPTS[3]]) == 1


@pytest.mark.parametrize("variable", ["SIXTYFOLD_API_KEY", "OPENAI_API_KEY"])
def test_the_key_is_sent_and_never_seen(server, variable, monkeypatch, caplog, capfd):
    monkeypatch.setenv(variable, f"{KEY}\n")
    caplog.set_level(logging.DEBUG)
    engine = engine_for(server, retries=1)
    engine.draw(PROMPTS, DRAWS, SETTINGS)
    assert server.keys == {f"Bearer {KEY}"}
    seen = [repr(engine), repr(vars(engine)), repr(engine.options)]
    seen.append(json.dumps(engine.options.recorded()))
    for fault in (
        fake.status(401, message=f"Incorrect key: {KEY}"),
        fake.status(400, message=f"Incorrect key: {KEY}"),
        fake.status(500, message=f"{KEY} failed"),
        lambda handler, answer: handler.reply(200, f"you sent {KEY}"),
        lambda handler, answer: handler.reply(200, f"{'x' * 235} {KEY}"),
        fake.cut,
    ):
        fault_always(server, fault)
        with pytest.raises(SixtyfoldError) as failure:
            engine.draw(PROMPTS, DRAWS, SETTINGS)
        assert failure.value.__context__ is None
        assert failure.value.__cause__ is None
        seen += [str(failure.value), repr(failure.value), str(failure.getrepr(style="long"))]
    assert "[key]" in "".join(seen)
    assert caplog.records
    written = capfd.readouterr()
    assert KEY[:8] not in "".join([*seen, caplog.text, written.out, written.err])


def test_sixtyfolds_own_variable_goes_first(server, monkeypatch):
    monkeypatch.setenv("SIXTYFOLD_API_KEY", "first")
    monkeypatch.setenv("OPENAI_API_KEY", "second")
    engine_for(server).greedy(PROMPTS[:1], 8)
    assert server.keys == {"Bearer first"}


def test_a_key_no_header_can_carry(server, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "schlüssel")
    with pytest.raises(BadInput, match="key in OPENAI_API_KEY holds characters other") as failure:
        engine_for(server).greedy(PROMPTS, 8)
    assert "schl" not in str(failure.value)


def test_greedy_asks_once_a_prompt_at_temperature_0(server):
    done: dict[int, ServerAnswer] = {}
    answers = engine_for(server).greedy(PROMPTS, 8, ("\n",), done.__setitem__)
    assert answers == [ServerAnswer(text_of(text, 0, 0), stopped=False) for text in PROMPTS]
    assert [done[index] for index in range(len(PROMPTS))] == answers
    asked = server.draws_asked()
    assert len(asked) == len(PROMPTS)
    assert all((body["temperature"], body["stop"]) == (0.0, ["\n"]) for body in asked)


def test_no_more_requests_at_a_time_than_allowed(server):
    running_now, most = 0, 0
    lock = threading.Lock()

    def count(handler: fake.Handler, answer: dict[str, Any]) -> None:
        nonlocal running_now, most
        with lock:
            running_now += 1
            most = max(most, running_now)
        fake.slow(0.03)(handler, answer)
        with lock:
            running_now -= 1
        handler.reply(200, answer)

    server.fault = lambda number, body: count
    engine_for(server, concurrency=3).draw(PROMPTS, DRAWS, SETTINGS)
    assert most == 3


def test_works_inside_a_running_event_loop(server):
    async def notebook() -> list[list[str]]:
        return engine_for(server).draw(PROMPTS, DRAWS, SETTINGS)

    assert asyncio.run(notebook()) == EXPECTED


def test_an_error_of_the_caller_comes_through(server):
    def full(prompt: int, draws: list[str]) -> None:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        engine_for(server).draw(PROMPTS, DRAWS, SETTINGS, full)


def test_seeds_as_rows(server):
    rows = [[seed_of(prompt, draw) for draw in range(DRAWS)] for prompt in range(len(PROMPTS))]
    assert engine_for(server).draw(PROMPTS, DRAWS, SETTINGS._replace(seeds=rows)) == EXPECTED


@pytest.mark.parametrize(
    ("settings", "draws", "message"),
    [
        ({"seeds": [[1, 2]]}, 3, "there is none for prompt 0, draw 2"),
        ({"seeds": [[1, 1]]}, 2, "draw 1 has the seed 1 of prompt 0, draw 0, and the same text"),
        ({"seeds": [[HIGHEST_SEED + 1]]}, 1, f"{HIGHEST_SEED + 1} was given; allowed: 0 to"),
        ({"seeds": [[-1]]}, 1, "-1 was given; allowed: 0 to"),
        ({"temperature": 0.0}, 1, "at temperature 0 were asked for; allowed: at least 1 draw"),
        ({}, 0, "draws 0 at temperature 0.7 were asked for"),
    ],
)
def test_settings_that_cannot_be_drawn(server, settings, draws, message):
    with pytest.raises(BadInput, match=message):
        engine_for(server).draw(PROMPTS[:1], draws, SETTINGS._replace(**settings))
    assert server.asked == []


def test_two_prompts_of_one_text_need_different_seeds(server):
    settings = SETTINGS._replace(seeds=[[1, 2], [3, 1]])
    with pytest.raises(BadInput, match="prompt 1, draw 1 has the seed 1 of prompt 0, draw 0"):
        engine_for(server).draw(["same", "same"], 2, settings)
    assert engine_for(server).draw(["same", "other"], 2, settings)


def test_first_seeds_leave_room_to_count():
    seeds = {first_seed(0, "fact", template) for template in range(1000)}
    assert len(seeds) == 1000
    assert all(0 <= seed <= HIGHEST_SEED - 100_000 for seed in seeds)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000/v1"),
        ("http://127.0.0.1:8000/", "http://127.0.0.1:8000/v1"),
        (" https://host/api/v1/ ", "https://host/api/v1"),
        ("https://host/v1/completions", "https://host/v1"),
    ],
)
def test_addresses(given, kept):
    assert ServerOptions(url=given, model="m").url == kept


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("localhost:8000", "--server: allowed: an address such as http://"),
        (f"https://me:{KEY}@host/v1", "give the key in SIXTYFOLD_API_KEY"),
        (f"https://host/v1?key={KEY}", "give the key in SIXTYFOLD_API_KEY"),
    ],
)
def test_addresses_that_are_refused(url, message):
    with pytest.raises(BadInput, match=message) as failure:
        ServerOptions.parse({"url": url, "model": "m"})
    assert KEY not in str(failure.value)


def test_other_options_are_explained_as_usual():
    with pytest.raises(BadInput, match="unknown option 'urll' for ServerOptions; did you mean"):
        ServerOptions.parse({"url": "http://h", "model": "m", "urll": 1})
    with pytest.raises(BadInput, match="option 'url' is needed"):
        ServerOptions.parse({"model": "m"})


def test_patience_is_not_part_of_the_result():
    options = ServerOptions(url="http://h", model="m", timeout=3, retries=1, concurrency=2)
    assert options.recorded() == {"url": "http://h/v1", "model": "m"}


def test_without_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(BadInput, match=r"pip install 'sixtyfold\[server\]'"):
        ServerEngine(ServerOptions(url="http://h", model="m"))
