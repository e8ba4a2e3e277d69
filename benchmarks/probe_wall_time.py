"""Wall time of the probe against the papers' protocol run by transformers and by vLLM.

    python benchmarks/probe_wall_time.py --facts 60 --share 6 [--vllm .venv-vllm/bin/python]

All sides get the same atlas facts and their 21 cloze templates, on the same cores, bfloat16, one
after the other in each round, in turns, so that a machine that slows down slows all of them.

  ours          `sixtyfold probe`, a process of its own with start-up, defaults (survival)
  generate      transformers, `num_return_sequences=10`, 32 new tokens, T 0.7; start-up excluded;
                every round other facts, one in `--share` (a round of all takes many minutes)
  plain draws   our engine making the papers' 10 plain draws on the same ones, start-up excluded
  vLLM          `n=10`, prefix caching, the same ones; start-up excluded (vllm_papers_protocol.py)

Prints seconds per fact, medians over rounds, and ratios.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("GOMP_SPINCOUNT", "30000")  # what the command line sets
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")

from sixtyfold.core.allocator import keep_freed_memory

HERE = Path(__file__).parent
SEED = 3
ROUNDS = 3
PAPERS = 10


class Timed(NamedTuple):
    """Seconds per fact, and sampled tokens per second where they are known."""

    seconds: float
    tokens_per_second: float | None = None


def ours(facts: int, out: Path) -> Timed:
    """Run the command as a user would, nothing cached."""
    command = [sys.executable, "-m", "sixtyfold", "probe", "--out", str(out)]
    command += ["--splits", "test", "--limit", str(facts), "--seed", str(SEED)]
    start = time.perf_counter()
    subprocess.run([*command, "--fresh"], check=True, capture_output=True)
    return Timed((time.perf_counter() - start) / facts)


class Bench:
    """The model in this process, with the same prompts as the command."""

    def __init__(self, facts: int, share: int) -> None:
        """Load the model and fill the prompts; a round takes one fact in `share`."""
        from sixtyfold.engines.torch_engine import TorchEngine
        from sixtyfold.sources.open import open_facts
        from sixtyfold.stages.probe.prompts import cloze_prompts, relation_templates
        from sixtyfold.stages.probe.run import limited
        from sixtyfold.stages.probe.spec import ProbeSpec

        spec = ProbeSpec(out=Path(), splits="test", limit=facts, seed=SEED)
        source = open_facts(spec.facts)
        chosen = limited(source.facts, spec)
        templates = relation_templates(chosen, source.templates, None)
        self.engine = TorchEngine.load("embedded", spec)
        prompts = cloze_prompts(
            chosen, templates, self.engine.tokenizer, self.engine.vocabulary, spec
        )
        by_fact: dict[str, list[Any]] = {}
        for prompt in prompts:
            by_fact.setdefault(prompt.fact_id, []).append(prompt)
        self.facts = list(by_fact.values())
        self.share = share

    def some(self, number: int) -> list[list[Any]]:
        """Return the facts of a round."""
        return self.facts[number % self.share :: self.share]

    def texts(self, number: int) -> list[list[str]]:
        """Return the prompts of each fact of a round."""
        decode = self.engine.tokenizer.decode
        return [[decode(prompt.ids) for prompt in fact] for fact in self.some(number)]

    def generate(self, number: int) -> Timed:
        """Draw with `transformers.generate`, one batch per fact: 21 prompts, 210 rows."""
        import torch
        from transformers import GenerationConfig

        engine, sampled = self.engine, 0
        config = GenerationConfig(
            do_sample=True, temperature=0.7, top_k=0, top_p=1.0, max_new_tokens=32,
            num_return_sequences=PAPERS, pad_token_id=engine.pad_id,
            eos_token_id=sorted(engine.stop_ids),
        )  # fmt: skip
        start = time.perf_counter()
        for fact in self.some(number):
            longest = max(len(prompt.ids) for prompt in fact)
            padding = [longest - len(prompt.ids) for prompt in fact]
            ids = [
                [engine.pad_id] * p + prompt.ids for p, prompt in zip(padding, fact, strict=True)
            ]
            mask = [[0] * p + [1] * (longest - p) for p in padding]
            with torch.inference_mode():
                out = engine.model.generate(
                    torch.tensor(ids),
                    attention_mask=torch.tensor(mask),
                    generation_config=config,
                )
            sampled += _lengths(out[:, longest:], engine.stop_ids)
        seconds = time.perf_counter() - start
        return Timed(seconds / len(self.some(number)), sampled / seconds)

    def plain(self, number: int) -> Timed:
        """Draw the same with our engine."""
        from sixtyfold.stages.probe.drawing import draw_in_memory
        from sixtyfold.stages.probe.sampling import Sampling

        how = Sampling("draws", 32, 0.7, SEED + number)
        start = time.perf_counter()
        drawn = 0
        for fact in self.some(number):
            chunk = [(prompt, range(PAPERS)) for prompt in fact]
            drawn += sum(sum(each.drawn) for each in draw_in_memory(self.engine, chunk, how))
        seconds = time.perf_counter() - start
        return Timed(seconds / len(self.some(number)), drawn / seconds)


def _lengths(ids: Any, stops: frozenset[int]) -> int:
    """Count sampled tokens: up to the first stop token of each row, that one included."""
    total = 0
    for row in ids.tolist():
        ended = next((n + 1 for n, token in enumerate(row) if token in stops), len(row))
        total += ended
    return total


def vllm(python: str, rounds: list[list[list[str]]], reserved: str) -> list[Timed]:
    """Run the protocol in vLLM's environment, once over the prompts of every round."""
    with tempfile.TemporaryDirectory() as folder:
        prompts = Path(folder) / "prompts.json"
        prompts.write_text(json.dumps(rounds), encoding="utf-8")
        command = [python, str(HERE / "vllm_papers_protocol.py"), "--prompts", str(prompts)]
        environment = {**os.environ, "VLLM_CPU_NUM_OF_RESERVED_CPU": reserved}
        done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    line = json.loads(done.stdout.strip().splitlines()[-1])
    return [
        Timed(seconds / len(texts), tokens / seconds)
        for texts, seconds, tokens in zip(
            rounds, line["seconds"], line["sampled_tokens"], strict=True
        )
    ]


def main() -> None:
    """Time all sides and print medians and ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--facts", type=int, default=12)
    parser.add_argument("--share", type=int, default=3, help="one fact in so many is a round")
    parser.add_argument("--vllm", help="python of vLLM's environment; left out without it")
    parser.add_argument("--reserved", default="0,1", help="cores vLLM leaves free, settings to try")
    given = parser.parse_args()
    keep_freed_memory()  # as the command line does, for all that runs in this process
    bench = Bench(given.facts, given.share)
    sides: dict[str, list[Timed]] = {"ours": [], "generate": [], "plain draws": []}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(ROUNDS):
            sides["ours"].append(ours(given.facts, Path(folder) / str(number)))
            sides["generate"].append(bench.generate(number))
            sides["plain draws"].append(bench.plain(number))
            seen = {name: round(runs[-1].seconds, 2) for name, runs in sides.items()}
            print(f"round {number + 1}, seconds a fact: {seen}", flush=True)
    if given.vllm:
        rounds = [bench.texts(number) for number in range(ROUNDS)]
        for reserved in given.reserved.split(","):
            name = f"vLLM, {reserved} cores reserved"
            sides[name] = vllm(given.vllm, rounds, reserved)
    middle = {
        name: statistics.median(each.seconds for each in runs) for name, runs in sides.items()
    }
    for name, runs in sides.items():
        speeds = [each.tokens_per_second for each in runs if each.tokens_per_second]
        speed = f", {statistics.median(speeds):.0f} tokens/s" if speeds else ""
        every = ", ".join(f"{each.seconds:.2f}" for each in runs)
        print(f"{name}: {middle[name]:.2f} s a fact ({every}){speed}")
    for name, seconds in middle.items():
        if name not in {"ours", "plain draws"}:
            print(f"ours is {seconds / middle['ours']:.1f}× as fast as {name}")
    print(
        f"plain draws: {middle['generate'] / middle['plain draws']:.2f}× generate, seconds a fact"
    )


if __name__ == "__main__":
    main()
