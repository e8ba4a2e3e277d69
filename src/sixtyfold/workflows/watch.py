"""Watch what a model knows while it trains: a callback for any trainer of transformers.

    from sixtyfold import KnowledgeWatch

    watch = KnowledgeWatch(facts="atlas", probe="p", out="watch", every=50)
    trainer = SFTTrainer(...)
    watch.attach(trainer)   # or callbacks=[watch]; attached, trackers get the figures too
    trainer.train()
    watch.table             # accuracy by level and step, KL to the base

A sample of dev facts is asked at chosen steps with the model that is being trained, in its own
number format; training goes on as if nothing had happened (dropout, random numbers, gradients and
the trainer's own running figures are left as they were). The base of KL is the model before its
first step.

Here: when it asks, and what that costs. What is asked and counted: `watch_figures.py`; which
weights are kept: `watch_rule.py`; what is written: `watch_files.py`.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import torch
from transformers import TrainerCallback

from sixtyfold.core.errors import BadInput
from sixtyfold.core.levels import LEVELS
from sixtyfold.core.models import LoadedModel
from sixtyfold.engines.torch_engine import TorchEngine
from sixtyfold.stages.evaluate.answer import answer_facts, question_prompts
from sixtyfold.workflows.watch_figures import SCHEMA, divergence, figures, read_watched
from sixtyfold.workflows.watch_files import WatchFiles
from sixtyfold.workflows.watch_rule import Judged, judged, next_kept
from sixtyfold.workflows.watch_spec import WatchSpec


class KnowledgeWatch(TrainerCallback):  # type: ignore[misc]
    """Ask facts while a model trains.

    Attributes:
        table: columns step, group, n, value, low, high. Groups: `in` (macro over relations),
            `out`; `level 0` … `level 4`, `in level 0` …, `out level 0` … (shares of hits); `kl 4`
            (mean KL(now‖base) in nats at the first answer token, level-4 facts).
        best: the step that the rule chose, None without a rule.
    """

    def __init__(self, **options: Any) -> None:
        """Read the facts.

        Args:
            options: those of `WatchSpec`, by name.

        Raises:
            BadInput: an option is not allowed, or the split holds no in-domain fact.
        """
        self.spec = WatchSpec.parse(options)
        self.facts, self.inputs = read_watched(self.spec)
        self.table = pl.DataFrame(schema=SCHEMA)
        self.best: Judged | None = None
        self.seconds = 0.0
        self.skipped: list[int] = []
        self._files = WatchFiles(self.spec.out)
        self._log: Callable[[dict[str, float]], None] | None = None
        self._tokenizer: Any = None
        self._base: torch.Tensor | None = None
        self._whole: float | None = None
        self._started = 0.0
        self._every = 1
        self._asked = 0

    def attach(self, trainer: Any) -> KnowledgeWatch:
        """Add this watch to a trainer, and its figures to the trainer's log and trackers."""
        trainer.add_callback(self)
        self._log = trainer.log
        return self

    def on_train_begin(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Ask before the first step, or take up what was seen before a training that goes on.

        Raises:
            BadInput: the trainer has no tokenizer, or no process holds the whole model.
        """
        _refuse_split_models()
        self._tokenizer = given.get("processing_class") or given.get("tokenizer")
        if self._tokenizer is None:
            raise BadInput("the trainer has no tokenizer: give it one as processing_class")
        if not state.is_world_process_zero:
            return
        self._started, self._whole = time.monotonic(), None
        self._every = self.spec.every_of(state.max_steps)
        self.table = self._files.begin(state.global_step)
        self.best = self._files.kept() if self.spec.keep_best else None
        self._base = self._files.base()
        if self.table.is_empty():
            self._ask(args, state, control, given["model"])

    def on_step_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Ask, if it is time; after the last step while trackers still listen."""
        if not state.is_world_process_zero:
            return
        last = state.global_step >= state.max_steps
        if not last and state.global_step % self._every:
            return
        if not last and self._too_dear():
            self.skipped.append(state.global_step)
        else:
            self._ask(args, state, control, given["model"])

    def on_train_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Ask once more where a training ended early; put the chosen weights into the model."""
        if not state.is_world_process_zero:
            return
        if state.global_step not in self.table["step"]:
            self._ask(args, state, control, given["model"])
        if self.best is not None:
            state.best_global_step = self.best.step
            if self.best.step != state.global_step:
                self._files.put_back(given["model"])
        self._whole = time.monotonic() - self._started
        self._files.finish(self.summary())

    def summary(self) -> dict[str, Any]:
        """Return rule, chosen step, cost in seconds and share of the time, and steps left out.

        Times are of this process: those before a kill are not in them.
        """
        whole = self._whole or (self._started and time.monotonic() - self._started)
        return {
            "rule": self.spec.rule,
            "chosen": self.best and self.best._asdict(),
            "facts": self.facts.height,
            "asked": self._asked,
            "seconds": round(self.seconds, 2),
            "share_of_time": round(self.seconds / whole, 3) if whole else 0.0,
            "skipped": self.skipped,
        }

    def _too_dear(self) -> bool:
        """Whether asking now, and after the last step, would exceed the share of the time."""
        if self.spec.keep_best or not self._asked:
            return False
        more = 2 * self.seconds / self._asked
        whole = time.monotonic() - self._started + more
        return self.seconds + more > self.spec.most_time * whole

    def _ask(self, args: Any, state: Any, control: Any, model: Any) -> None:
        start = time.monotonic()
        step, spec = state.global_step, self.spec
        with _answering(model, args):
            engine = TorchEngine(LoadedModel(model, self._tokenizer, "", Path()), as_it_is=True)
            answers = answer_facts(
                engine, self.facts, spec, spec.match, spec.max_new_tokens, spec.batch
            )
            now = self._distributions(engine)
            if step == 0:
                self._base = now
                self._files.write_base(now)
            rows = figures(step, answers, divergence(now, self._base))
            # Here, while the model answers: TRL's log empties the figures of training otherwise.
            self._tell(rows, control)
        self._judge(rows, model)
        self.table = pl.concat([self.table, rows])
        self._files.write_step(step, rows, answers)
        self.seconds += time.monotonic() - start
        self._asked += 1

    def _tell(self, rows: pl.DataFrame, control: Any) -> None:
        if self._log is not None:
            log_due = control.should_log  # which logging sets back
            self._log({f"knowledge/{row['group']}": row["value"] for row in rows.to_dicts()})
            control.should_log = log_due

    def _distributions(self, engine: TorchEngine) -> torch.Tensor | None:
        """Return log-probabilities [facts of level 4, V] of the first answer token."""
        known = self.facts.filter(pl.col("level") == LEVELS[-1])
        if known.is_empty():
            return None
        prompts = question_prompts(known, engine.tokenizer, self.spec, {})
        logits = engine.prefill(prompts).logits_BV
        return torch.log_softmax(logits.float(), -1).cpu()

    def _judge(self, rows: pl.DataFrame, model: Any) -> None:
        if not self.spec.keep_best:
            return
        (each,) = judged(rows)
        kept = next_kept(self.best, each, judged(self.table), self.spec.lose_at_most)
        if kept is each:
            self._files.keep(each, model)
        self.best = kept


def _refuse_split_models() -> None:
    """Refuse a training in which no process holds the whole model."""
    from accelerate import PartialState
    from accelerate.utils import DistributedType

    split = {DistributedType.FSDP, DistributedType.DEEPSPEED, DistributedType.MEGATRON_LM}
    kind = PartialState().distributed_type
    if kind in split:
        raise BadInput(
            f"the watch asks the model in one process, and under {kind.value} none holds all of "
            "it; train with DDP or without the watch"
        )


@contextlib.contextmanager
def _answering(model: Any, args: Any) -> Iterator[None]:
    """Let a model that is being trained answer in the format that it is trained in."""
    modes = [(each, each.training) for each in model.modules()]
    kind = torch.bfloat16 if args.bf16 else torch.float16 if args.fp16 else None
    device = next(model.parameters()).device.type
    model.eval()
    try:
        # One context for all passes: weights are cast once, and forgotten at its end.
        with torch.autocast(device, dtype=kind, enabled=kind is not None):
            yield
    finally:
        for each, training in modes:
            each.training = training
