"""Greedy answers: `sixtyfold evaluate` against lm-eval, the same checkpoint, dtype and questions.

    python benchmarks/evaluate_against_lm_eval.py [--questions 400] [--whole 2000] [--rounds 3]

The embedded model, atlas questions of all splits, plain prompts, at most 16 new tokens, the task
that `sixtyfold export lm-eval` writes. Both sides get the same environment; lm-eval several batch
sizes, the last of them for whole processes.

  answers       lm-eval's model object and our engine in one process, in turns, start-up excluded;
                lm-eval once as exported and once with a stop at the first line break, which spares
                it tokens (and loses answers behind a blank line)
  whole         `sixtyfold evaluate` and `lm-eval run`, a process each, start-up and all

Prints medians and ratios, and every answer that differs, with the gap in float32 between the logits
of the two tokens at the first difference: where it is within what rounding moves such a gap, the
two are a numerical tie. Needs lm-eval (`make setup-dev`).
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

# What the command line sets; here for both sides.
os.environ.setdefault("GOMP_SPINCOUNT", "30000")
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_DATASETS_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import polars as pl

from sixtyfold.core.allocator import keep_freed_memory
from sixtyfold.core.facts import seeded_order
from sixtyfold.core.models import model_directory
from sixtyfold.engines.first_line import cut_answer
from sixtyfold.sources.open import open_facts
from sixtyfold.workflows.export import run as export
from sixtyfold.workflows.export_spec import ExportLmEvalSpec

TOKENS = 16
TASK = "sixtyfold_test"
SEED = 3


def write_facts(path: Path, count: int) -> str:
    """Write the first questions of a seeded shuffle of the atlas, all as test facts."""
    facts = open_facts("atlas").facts
    chosen = facts[seeded_order(facts["fact_id"].to_list(), SEED)[:count]]
    columns = ["relation", "subject", "objects", "question", "domain"]
    rows = chosen.select(columns).rename({"objects": "answers"}).with_columns(split=pl.lit("test"))
    rows.write_ndjson(path)
    return f"table:{path}"


class Ours:
    """Our engine, loaded."""

    def __init__(self, facts: str, dtype: str) -> None:
        from sixtyfold.core.prompts import question_ids
        from sixtyfold.engines.torch_engine import TorchEngine
        from sixtyfold.stages.evaluate.answer import questions_at_once
        from sixtyfold.stages.evaluate.spec import EvaluateSpec

        self.spec = EvaluateSpec(facts=facts, out=Path(), dtype=dtype)
        self.facts = (
            open_facts(facts).facts.sort("fact_id").with_columns(level=pl.lit(None, dtype=pl.Int8))
        )
        self.engine = TorchEngine.load("embedded", self.spec)
        self.prompts = [
            question_ids(self.engine.tokenizer, self.spec, question)
            for question in self.facts["question"]
        ]
        self.batch = questions_at_once(self.engine, self.prompts, TOKENS)

    def answers(self) -> dict[str, str]:
        """Answer all questions; fact_id to answer."""
        from sixtyfold.stages.evaluate.answer import answer_facts

        spec = self.spec
        table = answer_facts(self.engine, self.facts, spec, spec.match, TOKENS, self.batch)
        return dict(table.select("fact_id", "answer").iter_rows())

    def ids(self) -> dict[str, tuple[list[int], list[int]]]:
        """Return the prompt and the generated ids of every fact, in the batches of `answers`."""
        from sixtyfold.engines.greedy import chunks_by_length, greedy

        found = {}
        for chunk in chunks_by_length([len(each) for each in self.prompts], self.batch):
            given = greedy(self.engine, [self.prompts[at] for at in chunk], TOKENS)
            for at, each in zip(chunk, given, strict=True):
                found[self.facts["fact_id"][at]] = (self.prompts[at], each.ids)
        return found

    def logits(self, ids: list[int]) -> Any:
        """Return the logits behind one row of ids, in float32."""
        return self.engine.prefill([ids]).logits_BV[0].float()


class Judge:
    """Tells ties: the same weights in float32, and how far rounding moves a difference."""

    def __init__(self, ours: Ours) -> None:
        self.ours = ours
        self.exact = Ours(ours.spec.facts, "float32")
        errors = []
        for prompt in ours.prompts[::4]:
            rounded, exact = ours.logits(prompt), self.exact.logits(prompt)
            one, two = exact.topk(2).indices.tolist()
            errors.append(float((rounded[one] - rounded[two]) - (exact[one] - exact[two])))
        self.noise = statistics.fmean(each * each for each in errors) ** 0.5

    def first_difference(
        self, prompt: list[int], ids: list[int], other: list[int]
    ) -> tuple[str, float]:
        """Return words and the float32 gap of the two tokens where other ids first differ."""
        same = 0
        while same < min(len(ids), len(other)) and ids[same] == other[same]:
            same += 1
        logits = self.exact.logits([*prompt, *ids[:same]])
        stop = max(sorted(self.ours.engine.stop_ids), key=lambda token: float(logits[token]))
        mine, theirs = (each[same] if same < len(each) else stop for each in (ids, other))
        gap = float(logits[mine] - logits[theirs])
        spelled = [repr(self.ours.engine.tokenizer.decode([each])) for each in (mine, theirs)]
        return f"token {same}, {spelled[0]} or {spelled[1]}: {gap:+.3f}", gap


class LmEval:
    """lm-eval's model object, loaded, with the exported task."""

    def __init__(self, task: Path, dtype: str, batch: int) -> None:
        from lm_eval.models.huggingface import HFLM

        self.model = HFLM(
            pretrained=str(model_directory("embedded")), dtype=dtype, batch_size=batch, device="cpu"
        )
        self.task = task
        self.ids: dict[str, list[int]] = {}
        decode = self.model.tok_decode

        def noted(tokens: Any, **options: Any) -> str:
            text: str = decode(tokens, **options)
            if isinstance(tokens, list):
                stops = self.model.tokenizer.all_special_ids
                end = next((at for at, token in enumerate(tokens) if token in stops), len(tokens))
                self.ids[text] = tokens[:end]
            return text

        self.model.tok_decode = noted

    def answers(self) -> dict[str, str]:
        """Run the task; fact_id to the model's text."""
        from lm_eval import simple_evaluate
        from lm_eval.tasks import TaskManager

        manager = TaskManager(include_path=str(self.task), include_defaults=False)
        start = time.perf_counter()
        found = simple_evaluate(
            self.model, tasks=[TASK], task_manager=manager, bootstrap_iters=0, log_samples=True
        )
        self.seconds = time.perf_counter() - start
        return {
            sample["doc"]["fact_id"]: sample["filtered_resps"][0]
            for sample in found["samples"][TASK]
        }


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Return seconds and result."""
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def stopping_early(task: Path, out: Path) -> Path:
    """Copy a task so that it stops at the first line break."""
    shutil.copytree(task, out)
    description = out / f"{TASK}.yaml"
    description.write_text(description.read_text().replace("until: []", 'until: ["\\n"]'))
    return out


def compare_answers(work: Path, given: argparse.Namespace) -> None:
    """Time the loaded sides in turns and compare their answers."""
    facts = write_facts(work / "some.jsonl", given.questions)
    task = export(ExportLmEvalSpec(facts=facts, out=work / "task")).path
    ours = Ours(facts, given.dtype)
    loaded = {size: LmEval(task, given.dtype, size) for size in given.batch}
    early = stopping_early(task, work / "early")
    seconds: dict[str, list[float]] = {}
    texts: dict[str, str] = {}
    mine: dict[str, str] = {}
    tokens: dict[str, list[int]] = {}
    for _ in range(given.rounds):
        took, mine = timed(ours.answers)
        seconds.setdefault("ours", []).append(took)
        for size, theirs in loaded.items():
            for name, folder in (("", task), (", early stop", early)):
                theirs.task = folder
                found = theirs.answers()
                seconds.setdefault(f"lm-eval, batch {size}{name}", []).append(theirs.seconds)
                if not texts:
                    texts, tokens = found, {key: theirs.ids[text] for key, text in found.items()}
    print(f"{given.questions} questions, {given.dtype}, ours batch {ours.batch}, no start-up")
    show(seconds)
    compare_texts(ours, mine, texts, tokens)


def compare_texts(
    ours: Ours, mine: dict[str, str], texts: dict[str, str], tokens: dict[str, list[int]]
) -> None:
    """Print how many answers are the same, and where each of the others first differs."""
    judge = Judge(ours)
    differ = [key for key in mine if mine[key] != cut_answer(texts[key])]
    ids = ours.ids()
    print(
        f"answers: {len(mine) - len(differ)} of {len(mine)} identical. Rounding moves the "
        f"difference of the two highest logits by {judge.noise:.3f} (RMS over a quarter of them)"
    )
    gaps = []
    for key in differ:
        words, gap = judge.first_difference(*ids[key], tokens[key])
        gaps.append(abs(gap))
        print(f"  {words}  {mine[key]!r} / {cut_answer(texts[key])!r}")
    if gaps:
        print(
            f"float32 gap of the two tokens: median {statistics.median(gaps):.3f}, "
            f"largest {max(gaps):.3f}, {max(gaps) / judge.noise:.1f} times the rounding"
        )
    exact = judge.exact.answers()
    right = sum(mine[key] == exact[key] for key in exact)
    other = sum(cut_answer(texts[key]) == exact[key] for key in exact)
    print(f"the same as in float32: ours {right}, lm-eval {other} of {len(exact)}")


def compare_commands(work: Path, given: argparse.Namespace) -> None:
    """Time whole processes."""
    facts = write_facts(work / "many.jsonl", given.whole)
    task = export(ExportLmEvalSpec(facts=facts, out=work / "whole-task")).path
    early = stopping_early(task, work / "whole-early")
    model = f"pretrained={model_directory('embedded')},dtype={given.dtype}"
    sides: dict[str, list[float]] = {"ours": [], "lm-eval": [], "lm-eval, early stop": []}
    lm_eval = [str(Path(sys.executable).with_name("lm-eval")), "run", "--model", "hf"]
    lm_eval += ["--model_args", model, "--device", "cpu", "--batch_size", str(given.batch[-1])]
    lm_eval += ["--tasks", TASK, "--log_samples"]
    for turn in range(given.whole_rounds):
        ours = [sys.executable, "-m", "sixtyfold", "evaluate", "--facts", facts]
        ours += ["--dtype", given.dtype, "--out", f"{work}/o{turn}"]
        commands = {"ours": ours}
        for name, folder in (("lm-eval", task), ("lm-eval, early stop", early)):
            places = ["--include_path", str(folder), "--output_path", f"{work}/{folder.name}{turn}"]
            commands[name] = [*lm_eval, *places]
        for name, command in commands.items():
            seconds, done = timed(
                lambda command=command: subprocess.run(command, capture_output=True, check=False)
            )
            if done.returncode:
                sys.exit(f"{' '.join(command)} failed:\n{done.stderr.decode()[-2000:]}")
            sides[name].append(seconds)
    print(f"{given.whole} questions, whole process, lm-eval batch {given.batch[-1]}")
    show(sides)
    mine = dict(pl.read_parquet(work / "o0/answers.parquet").select("fact_id", "hit").iter_rows())
    (log,) = (work / f"{task.name}0").rglob("samples_*.jsonl")
    samples = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    other = {each["doc"]["fact_id"]: bool(each["hit"]) for each in samples}
    agree = sum(other[key] == hit for key, hit in mine.items())
    print(
        f"accuracy: ours {sum(mine.values()) / len(mine):.4f}, lm-eval "
        f"{sum(other.values()) / len(other):.4f}; {agree} of {len(mine)} judged alike"
    )


def show(sides: dict[str, list[float]]) -> None:
    """Print medians and what lm-eval takes longer."""
    middle = {name: statistics.median(seconds) for name, seconds in sides.items()}
    for name, seconds in sides.items():
        every = ", ".join(f"{each:.1f}" for each in seconds)
        print(
            f"  {name}: {middle[name]:.2f} s ({every}), {middle[name] / middle['ours']:.2f}× ours"
        )


def main() -> None:
    """Compare both sides."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--questions", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--whole", type=int, default=2000)
    parser.add_argument("--whole-rounds", type=int, default=1)
    parser.add_argument("--batch", type=int, nargs="+", default=[64, 256], help="of lm-eval")
    parser.add_argument("--dtype", default="bfloat16")
    given = parser.parse_args()
    keep_freed_memory()
    with tempfile.TemporaryDirectory() as folder:
        if given.questions:
            compare_answers(Path(folder), given)
        if given.whole:
            compare_commands(Path(folder), given)


if __name__ == "__main__":
    main()
