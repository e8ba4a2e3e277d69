"""Watch what a model knows while it trains: a callback for any trainer of transformers.

    from sixtyfold import KnowledgeWatch

    watch = KnowledgeWatch(facts="atlas", probe="p", out="watch", every=50)
    trainer = SFTTrainer(...)
    watch.attach(trainer)   # or callbacks=[watch]; attached, trackers get the figures too
    trainer.train()
    watch.table             # accuracy by level and step, KL to the base

A sample of dev facts is asked at chosen steps with the model that is being trained, in its own
number format; training goes on as if nothing had happened (dropout, random numbers and gradients
are left as they were). The base of KL is the model before its first step.

    out/step-000050.parquet     the figures of one step
    out/answers-000050.parquet  its answers
    out/base.safetensors        the base's distributions (level-4 facts × vocabulary)
    out/best.safetensors        weights of the best step so far, where a rule keeps them
    out/watch.json              rule, chosen step, cost, steps left out
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
import torch
from transformers import TrainerCallback

from sixtyfold.core.accuracy import accuracy, share
from sixtyfold.core.errors import BadInput
from sixtyfold.core.facts import seeded_order
from sixtyfold.core.levels import LEVELS
from sixtyfold.core.models import LoadedModel
from sixtyfold.core.stage import finished, write_atomic, write_json, write_parquet
from sixtyfold.core.statistics import Estimate, mean_and_half_width
from sixtyfold.engines.torch_engine import TorchEngine
from sixtyfold.sources.open import open_facts
from sixtyfold.stages.evaluate.answer import answer_facts, question_prompts, with_levels
from sixtyfold.workflows.watch_spec import WatchSpec

_TIMES = 5
_SCHEMA = pl.Schema(
    {
        "step": pl.Int64(),
        "group": pl.String(),
        "n": pl.Int64(),
        "value": pl.Float64(),
        "low": pl.Float64(),
        "high": pl.Float64(),
    }
)


class Judged(NamedTuple):
    """What a rule sees of a step: shares in 0..1, None where there is no such fact."""

    step: int
    accuracy: float
    level_4: float | None


class KnowledgeWatch(TrainerCallback):  # type: ignore[misc]
    """Ask facts while a model trains.

    Attributes:
        table: columns step, group, n, value, low, high. Groups: `in` (macro over relations),
            `out`, `level 0` … `level 4` (shares of hits), `kl 4` (mean KL(now‖base) in nats at the
            first answer token, level-4 facts).
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
        source = open_facts(self.spec.facts)
        levels = None
        self.inputs = {"watched_facts": source.fingerprint}
        if self.spec.probe is not None:
            probe = finished(self.spec.probe, "probe")
            levels = probe.table("probe")
            self.inputs["watched_probe"] = probe.fingerprint
        self.facts = sample(source.facts, levels, self.spec)
        self.table = pl.DataFrame(schema=_SCHEMA)
        self.best: Judged | None = None
        self.seconds = 0.0
        self.skipped: list[int] = []
        self._log: Callable[[dict[str, float]], None] | None = None
        self._tokenizer: Any = None
        self._base: torch.Tensor | None = None
        self._started = 0.0
        self._every = 1
        self._last = -1

    def attach(self, trainer: Any) -> KnowledgeWatch:
        """Add this watch to a trainer, and its figures to the trainer's log and trackers."""
        trainer.add_callback(self)
        self._log = trainer.log
        return self

    def on_train_begin(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Ask before the first step, or take up what was seen before a training that goes on."""
        if not state.is_world_process_zero:
            return
        self._tokenizer = given.get("processing_class") or given.get("tokenizer")
        if self._tokenizer is None:
            raise BadInput("the trainer has no tokenizer: give it one as processing_class")
        if getattr(args, "fsdp", None):
            raise BadInput("the watch asks one process, and FSDP has no whole model in one")
        self._started = time.monotonic()
        self._every = self.spec.every or max(1, -(-state.max_steps // _TIMES))
        self._take_up(state.global_step)
        if self._last < state.global_step:
            self._ask(args, state, control, given["model"])

    def on_step_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Ask, if it is time."""
        due = state.global_step % self._every == 0
        if state.is_world_process_zero and due and state.global_step < state.max_steps:
            if self._too_dear():
                self.skipped.append(state.global_step)
            else:
                self._ask(args, state, control, given["model"])

    def on_train_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Ask once more, and put the chosen weights into the model where a rule is given."""
        if not state.is_world_process_zero:
            return
        if self._last < state.global_step:
            self._ask(args, state, control, given["model"])
        if self.best is not None and self.best.step != state.global_step:
            self._load_best(given["model"])
        if self.spec.out is not None:
            write_json(self.spec.out / "watch.json", self.summary())
            (self.spec.out / "best.safetensors").unlink(missing_ok=True)

    def summary(self) -> dict[str, Any]:
        """Return rule, chosen step, cost in seconds and share of the time, and steps left out."""
        whole = time.monotonic() - self._started
        return {
            "rule": self.spec.rule,
            "chosen": self.best and self.best._asdict(),
            "facts": self.facts.height,
            "seconds": round(self.seconds, 2),
            "share_of_time": round(self.seconds / whole, 3) if whole else 0.0,
            "skipped": self.skipped,
        }

    def _too_dear(self) -> bool:
        if self.spec.keep_best:
            return False
        times = max(1, self.table["step"].n_unique())
        another = self.seconds / times
        whole = time.monotonic() - self._started + another
        return self.seconds + another > self.spec.most_time * whole

    def _ask(self, args: Any, state: Any, control: Any, model: Any) -> None:
        start = time.monotonic()
        step = self._last = state.global_step
        with _answering(model, args):
            loaded = LoadedModel(model, self._tokenizer, "", Path())
            engine = TorchEngine(loaded, as_it_is=True)
            answers = answer_facts(
                engine,
                self.facts,
                self.spec,
                self.spec.match,
                self.spec.max_new_tokens,
                self.spec.batch,
            )
            now = self._distributions(engine)
        if step == 0:
            self._base = now
            self._write_base()
        rows = figures(step, answers, _divergence(now, self._base))
        self.table = pl.concat([self.table, rows])
        self._write(step, rows, answers)
        self._judge(step, model)
        if self._log is not None:
            log_due = control.should_log  # which logging sets back
            self._log({f"knowledge/{row['group']}": row["value"] for row in rows.to_dicts()})
            control.should_log = log_due
        self.seconds += time.monotonic() - start

    def _distributions(self, engine: TorchEngine) -> torch.Tensor | None:
        """Return log-probabilities [facts of level 4, V] of the first answer token."""
        known = self.facts.filter(pl.col("level") == LEVELS[-1])
        if known.is_empty():
            return None
        prompts = question_prompts(known, engine.tokenizer, self.spec, {})
        logits = engine.prefill(prompts).logits_BV
        return torch.log_softmax(logits.float(), -1).cpu()

    def _judge(self, step: int, model: Any) -> None:
        if not self.spec.keep_best:
            return
        chosen = choose(judged(self.table), self.spec.lose_at_most)
        if chosen.step == step:
            self._keep(model)
        self.best = chosen if chosen.step == step or self.best is None else self.best

    def _keep(self, model: Any) -> None:
        from safetensors.torch import save_file

        weights = {name: value.detach().cpu() for name, value in _trained(model)}
        place = self._place()
        write_atomic(place / "best.safetensors", lambda path: save_file(weights, path))

    def _load_best(self, model: Any) -> None:
        from safetensors import safe_open

        path = self._place() / "best.safetensors"
        with torch.no_grad(), safe_open(path, "pt") as weights:
            for name, value in _trained(model):
                value.copy_(weights.get_tensor(name))

    def _place(self) -> Path:
        place = self.spec.out or Path()  # the spec refuses a rule without a place
        place.mkdir(parents=True, exist_ok=True)
        return place

    def _write(self, step: int, rows: pl.DataFrame, answers: pl.DataFrame) -> None:
        if self.spec.out is not None:
            write_parquet(self._place() / f"step-{step:06d}.parquet", rows)
            write_parquet(self._place() / f"answers-{step:06d}.parquet", answers)

    def _write_base(self) -> None:
        from safetensors.torch import save_file

        if self.spec.out is not None and self._base is not None:
            base = {"base": self._base.contiguous()}
            write_atomic(self._place() / "base.safetensors", lambda path: save_file(base, path))

    def _take_up(self, step: int) -> None:
        """Read what was seen up to the step at which a training goes on; forget what came later."""
        if self.spec.out is None:
            return
        from safetensors.torch import load_file

        seen = []
        for path in sorted(self._place().glob("step-*.parquet")):
            if 0 < step >= int(path.stem.split("-")[1]):
                seen.append(pl.read_parquet(path, schema=_SCHEMA))
            else:
                path.unlink()
                path.with_name(path.name.replace("step-", "answers-")).unlink(missing_ok=True)
        if not seen:
            return
        self.table = pl.concat(seen)
        self._last = int(self.table["step"].max())  # type: ignore[arg-type]
        with contextlib.suppress(OSError):
            self._base = load_file(self._place() / "base.safetensors")["base"]
        if self.spec.keep_best:
            self.best = choose(judged(self.table), self.spec.lose_at_most)


def sample(facts: pl.DataFrame, probe: pl.DataFrame | None, spec: WatchSpec) -> pl.DataFrame:
    """Return the facts to ask, with their level, sorted by key.

    Raises:
        BadInput: the split holds no in-domain fact.
    """
    there = with_levels(facts.filter(pl.col("split") == spec.split), probe)
    inside = there.filter(pl.col("domain") == "in")
    if inside.is_empty():
        raise BadInput(f"split {spec.split} of {spec.facts} holds no in-domain fact to watch")
    several = len(LEVELS) * spec.per_level
    if probe is None:
        groups = [(inside, several)]
    else:
        groups = [(inside.filter(pl.col("level") == each), spec.per_level) for each in LEVELS]
    groups.append((there.filter(pl.col("domain") == "out"), several))
    chosen = [
        group[seeded_order(group["fact_id"].to_list(), spec.seed)[:count]]
        for group, count in groups
        if not group.is_empty()
    ]
    if not chosen:
        raise BadInput(f"{spec.probe} has seen no fact of split {spec.split}; probe that split")
    return pl.concat(chosen).sort("fact_id")


def figures(step: int, answers: pl.DataFrame, kl: torch.Tensor | None) -> pl.DataFrame:
    """Return the figures of one step.

    Args:
        step: optimiser steps done.
        answers: an answers table.
        kl: divergence from the base, one number per level-4 fact, or None.
    """
    found: dict[str, Estimate | None] = {}
    inside = accuracy(answers, "in")
    found["in"] = inside.macro_relation or inside.micro
    found["out"] = accuracy(answers, "out").micro
    for level in LEVELS:
        found[f"level {level}"] = share(answers.filter(pl.col("level") == level)["hit"])
    if kl is not None and len(kl) > 1:
        mean, half = mean_and_half_width(kl.double().numpy())
        found["kl 4"] = Estimate(mean, mean - half, mean + half, len(kl))
    rows = [
        {"step": step, "group": name, **part._asdict()}
        for name, part in found.items()
        if part is not None
    ]
    return pl.DataFrame(rows, schema=_SCHEMA)


def judged(table: pl.DataFrame) -> list[Judged]:
    """Return what the rule sees of each step, in order."""
    return [
        Judged(
            step,
            next(iter(rows.filter(pl.col("group") == "in")["value"]), 0.0),
            next(iter(rows.filter(pl.col("group") == f"level {LEVELS[-1]}")["value"]), None),
        )
        for (step,), rows in table.group_by("step", maintain_order=True)
    ]


def choose(steps: list[Judged], lose_at_most: float | None) -> Judged:
    """Return the step that the rule keeps, as it was decided while training.

    A step is allowed if its accuracy on level 4 is at most `lose_at_most` points below the highest
    seen until then. It takes the place of the kept one if it is allowed and better, or if the kept
    one is no longer allowed. Weights of other steps are gone, so the choice is made in order.

    >>> choose([Judged(0, .1, .5), Judged(5, .6, .9), Judged(9, .7, .6)], 10).step
    5
    >>> choose([Judged(0, .1, .5), Judged(5, .6, .9), Judged(9, .7, .6)], None).step
    9
    """
    kept, highest = steps[0], 0.0
    for each in steps:
        highest = max(highest, each.level_4 or 0.0)
        was_allowed = _allowed(kept, highest, lose_at_most)
        if _allowed(each, highest, lose_at_most) and (
            each.accuracy > kept.accuracy or not was_allowed
        ):
            kept = each
    return kept


def _allowed(each: Judged, highest: float, lose_at_most: float | None) -> bool:
    if lose_at_most is None or each.level_4 is None:
        return True
    return 100 * (highest - each.level_4) <= lose_at_most + 1e-9


def _divergence(now: torch.Tensor | None, base: torch.Tensor | None) -> torch.Tensor | None:
    """Return KL(now‖base) per fact in nats, from log-probabilities [N, V]."""
    if now is None or base is None:
        return None
    return torch.nn.functional.kl_div(base, now, reduction="none", log_target=True).sum(-1)


def _trained(model: Any) -> list[tuple[str, torch.Tensor]]:
    return [(name, value) for name, value in model.named_parameters() if value.requires_grad]


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
