"""The papers' protocol in vLLM: every template of a fact, 10 draws of at most 32 tokens, T 0.7.

    .venv-vllm/bin/python benchmarks/vllm_papers_protocol.py --prompts FILE

FILE holds the filled cloze templates as JSON, for each round a list of texts for each fact, so that
the other side of a comparison, run in another environment, is asked the same. vLLM gets what makes
it fast: `n` answers to a request, no seeds, prefix caching (emptied before each round), all prompts
at once, and on a CPU every core (by itself it leaves one to its front end;
VLLM_CPU_NUM_OF_RESERVED_CPU decides) and the OpenMP library it recommends, where that is installed.
Starting vLLM and a first small request are not counted. Prints one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

DRAWS, TOKENS, TEMPERATURE = 10, 32, 0.7
CACHE_BYTES = 4 << 30


def use_recommended_library() -> None:
    """Start again with Intel's OpenMP in front, as vLLM recommends for CPUs; it must come first.

    A LD_PRELOAD that is set, also to nothing, is left as it is.
    """
    library = Path(sys.prefix) / "lib" / "libiomp5.so"
    if library.is_file() and "LD_PRELOAD" not in os.environ:
        os.environ["LD_PRELOAD"] = str(library)
        os.execv(sys.executable, [sys.executable, *sys.argv])  # noqa: S606


def measured(llm: Any, how: Any, prompts: list[str]) -> tuple[float, int, int]:
    """Draw once; return seconds, prompt tokens and sampled tokens."""
    llm.reset_prefix_cache()
    start = time.perf_counter()
    outputs = llm.generate(prompts, how, use_tqdm=False)
    seconds = time.perf_counter() - start
    drawn = sum(len(answer.token_ids) for output in outputs for answer in output.outputs)
    return seconds, sum(len(output.prompt_token_ids) for output in outputs), drawn


def main() -> None:
    """Time the protocol and print one line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prompts", type=Path, required=True)
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--dtype", default="bfloat16")
    given = parser.parse_args()
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
    os.environ.setdefault("VLLM_LOGGING_STREAM", "ext://sys.stderr")
    os.environ.setdefault("VLLM_CPU_NUM_OF_RESERVED_CPU", "0")
    rounds = [
        [text for fact in facts for text in fact]
        for facts in json.loads(given.prompts.read_text(encoding="utf-8"))
    ]

    start = time.perf_counter()
    import torch
    import vllm

    from sixtyfold.core.models import model_directory

    # By itself vLLM's CPU build takes most of the memory of the machine for its cache.
    memory = {} if torch.cuda.is_available() else {"kv_cache_memory_bytes": CACHE_BYTES}
    llm = vllm.LLM(
        model=str(model_directory(given.model)),
        dtype=given.dtype,
        enable_prefix_caching=True,
        max_model_len=2048,
        **memory,
    )
    how = vllm.SamplingParams(
        n=DRAWS, temperature=TEMPERATURE, top_p=1.0, top_k=0, max_tokens=TOKENS
    )
    measured(llm, how, rounds[0][:4])
    started = time.perf_counter() - start
    runs = [measured(llm, how, prompts) for prompts in rounds]
    line = {
        "engine": f"vllm {vllm.__version__}",
        "prompts": [len(prompts) for prompts in rounds],
        "prompt_tokens": [run[1] for run in runs],
        "sampled_tokens": [run[2] for run in runs],
        "seconds": [round(run[0], 3) for run in runs],
        "start_seconds": round(started, 1),
        "openmp": os.environ.get("LD_PRELOAD", "").rsplit("/", maxsplit=1)[-1] or "torch's",
        "reserved_cpus": os.environ["VLLM_CPU_NUM_OF_RESERVED_CPU"],
    }
    print(json.dumps(line))


if __name__ == "__main__":
    use_recommended_library()
    main()
