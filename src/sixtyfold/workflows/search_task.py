"""A task of lm-eval as the questions of a search.

A seeded half of its documents is to choose on, the other half to report on. lm-eval builds the
prompts, asks the loaded model and scores it; its samples are read as answers like a log of its own
(`core/lm_eval_samples.py`). A task of one's own may run Python code of its directory.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import polars as pl

from sixtyfold.core.errors import BadInput, suggestion
from sixtyfold.core.facts import seeded_order
from sixtyfold.core.lm_eval_samples import read_samples
from sixtyfold.workflows.search_facts import balanced, first_of
from sixtyfold.workflows.search_spec import SearchSpec

if TYPE_CHECKING:
    from sixtyfold.engines.torch_engine import TorchEngine

#: lm-eval keeps the logits of every position of a batch.
_MOST_ON_CPU = 64
_SCHEMA = {"fact_id": pl.String, "doc_id": pl.Int64, "relation": pl.String, "domain": pl.String,
           "split": pl.String, "level": pl.Int8}  # fmt: skip


class TaskQuestions(NamedTuple):
    """The documents of one task."""

    dev: pl.DataFrame
    """Documents to judge on, in the order in which the rounds ask them."""
    test: pl.DataFrame
    """Documents to report on; none without a test."""
    inputs: dict[str, str]
    """Fingerprint of the documents."""
    spec: SearchSpec
    name: str
    manager: Any
    """lm-eval's `TaskManager`."""

    def ask(self, engine: TorchEngine, rows: pl.DataFrame) -> pl.DataFrame:
        """Have lm-eval ask some documents of a loaded model; sorted by key."""
        from lm_eval import simple_evaluate
        from lm_eval.models.huggingface import HFLM
        from lm_eval.utils import handle_non_serializable

        from sixtyfold.engines.memory import rows_that_fit

        together = self.spec.batch or rows_that_fit(
            engine.model, engine.context_length, _MOST_ON_CPU
        )
        model = HFLM(pretrained=engine.model, tokenizer=engine.tokenizer, batch_size=together)
        with contextlib.redirect_stderr(io.StringIO()):  # its progress bars, one a candidate
            found = simple_evaluate(
                model=model,
                tasks=[self.name],
                samples={self.name: sorted(rows["doc_id"].to_list())},
                task_manager=self.manager,
                apply_chat_template=self.spec.prompt_form == "chat",
                bootstrap_iters=0,
            )
        with tempfile.TemporaryDirectory() as folder:
            log = Path(folder) / f"samples_{self.name}_now.jsonl"
            lines = (
                json.dumps(sample, default=handle_non_serializable)
                for sample in found["samples"][self.name]
            )
            log.write_text("\n".join(lines), encoding="utf-8")
            answers = read_samples(log, self.spec).table
        split = rows["split"][0]
        return answers.with_columns(domain=pl.lit("in"), split=pl.lit(split)).sort("fact_id")

    def prompt_tokens(self, model: Path) -> None:  # noqa: ARG002
        """Return None: prompts are lm-eval's."""
        return


def read_task(spec: SearchSpec) -> TaskQuestions:
    """Read the documents of the task that `lm_eval_task` names.

    Raises:
        BadInput: lm-eval is not installed, there is no such task, it is a group, or it has too few
            documents.
    """
    manager, task = _load(spec)
    documents = list(task.eval_docs)
    different = len(set(map(_text, documents)))
    if different < 2:
        raise BadInput(
            f"task {spec.lm_eval_task} has {different} different documents; half of them are to "
            "choose on and half to report on, so at least two are needed"
        )
    name = str(spec.lm_eval_task)
    half = first_half([_text(each) for each in documents], spec.seed)
    rows = pl.DataFrame(
        [
            (f"{name}#{number}", number, name, "in", "dev" if chosen_on else "test", None)
            for number, chosen_on in enumerate(half)
        ],
        schema=_SCHEMA,
        orient="row",
    )
    text = _text([task.dump_config(), documents])
    inputs = {"task": hashlib.sha256(text.encode()).hexdigest()[:16]}
    dev, test = (rows.filter(pl.col("split") == split) for split in ("dev", "test"))
    return TaskQuestions(
        balanced(first_of(dev, spec.limit, spec.seed), spec.seed),
        first_of(test, spec.test_limit, spec.seed).sort("doc_id") if spec.test else test.clear(),
        inputs,
        spec,
        name,
        manager,
    )


def first_half(documents: Sequence[str], seed: int) -> list[bool]:
    """Say of each document whether it is in the half to choose on; equal ones go to one half.

    >>> sum(first_half(["a", "b", "c"], 0)), len(set(first_half(["a", "a"], 0)))
    (2, 1)
    """
    different = list(dict.fromkeys(documents))
    order = seeded_order(different, seed)[: -(-len(different) // 2)]
    chosen_on = {different[place] for place in order}
    return [each in chosen_on for each in documents]


def _text(value: Any) -> str:
    return json.dumps(value, default=str, sort_keys=True)


def _load(spec: SearchSpec) -> tuple[Any, Any]:
    """Return lm-eval's task manager and the task."""
    try:
        from lm_eval.tasks import TaskManager
    except ImportError:
        raise BadInput(
            "--lm-eval-task needs lm-eval, which is not installed; pip install lm-eval==0.4.13"
        ) from None
    folder = None if spec.include_path is None else str(spec.include_path)
    manager = TaskManager(include_path=folder)
    name = str(spec.lm_eval_task)
    if name not in manager.all_subtasks:
        hint = suggestion(name, manager.all_subtasks)
        where = "" if folder is None else f" and not in {folder}"
        raise BadInput(
            f"--lm-eval-task {name} is no single task of lm-eval{where}{hint}; groups of tasks "
            "cannot be searched on: name one task, with --include-path for your own"
        )
    try:
        return manager, manager.load([name])["tasks"][name]
    except Exception as error:  # noqa: BLE001 - of files, of the data's host, of a task's own code
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise BadInput(
            f"--lm-eval-task {name} could not be loaded ({reason}); "
            f"'lm-eval validate --tasks {name}' says more"
        ) from None
