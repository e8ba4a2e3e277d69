"""Which facts a watch asks, and what it counts of their answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import polars as pl

from sixtyfold.core.accuracy import accuracy, share
from sixtyfold.core.errors import BadInput
from sixtyfold.core.facts import seeded_order
from sixtyfold.core.levels import LEVELS
from sixtyfold.core.stage import finished
from sixtyfold.core.statistics import Estimate, mean_and_half_width
from sixtyfold.sources.open import open_facts
from sixtyfold.stages.evaluate.answer import with_levels
from sixtyfold.workflows.watch_spec import WatchSpec

if TYPE_CHECKING:
    import torch

SCHEMA = pl.Schema(
    {
        "step": pl.Int64(),
        "group": pl.String(),
        "n": pl.Int64(),
        "value": pl.Float64(),
        "low": pl.Float64(),
        "high": pl.Float64(),
    }
)


class Watched(NamedTuple):
    """The facts that are asked, with levels where a probe is given, and their fingerprints."""

    facts: pl.DataFrame
    inputs: dict[str, str]


def read_watched(spec: WatchSpec) -> Watched:
    """Read the facts that a watch asks.

    Raises:
        BadInput: the split holds no in-domain fact, or none that the rule is about.
        IncompleteInput: the probe is not finished.
    """
    source = open_facts(spec.facts)
    inputs = {"watched_facts": source.fingerprint}
    levels = None
    if spec.probe is not None:
        probe = finished(spec.probe, "probe")
        levels = probe.table("probe")
        inputs["watched_probe"] = probe.fingerprint
    return Watched(sample(source.facts, levels, spec), inputs)


def sample(facts: pl.DataFrame, probe: pl.DataFrame | None, spec: WatchSpec) -> pl.DataFrame:
    """Return the facts to ask, with their level, sorted by key.

    Raises:
        BadInput: the split holds no in-domain fact, or none that the rule is about.
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
        if all(group.is_empty() for group, _ in groups):
            raise BadInput(
                f"{spec.probe} has seen no in-domain fact of split {spec.split}; probe that split"
            )
    if spec.lose_at_most is not None and groups[-1][0].is_empty():
        raise BadInput(
            f"--lose-at-most {spec.lose_at_most:g} is about facts of level {LEVELS[-1]}, and "
            f"{spec.probe} found none in split {spec.split}; leave it out"
        )
    groups.append((there.filter(pl.col("domain") == "out"), several))
    chosen = [
        group[seeded_order(group["fact_id"].to_list(), spec.seed)[:count]]
        for group, count in groups
        if not group.is_empty()
    ]
    return pl.concat(chosen).sort("fact_id")


def figures(step: int, answers: pl.DataFrame, kl: torch.Tensor | None) -> pl.DataFrame:
    """Return the figures of one step.

    Args:
        step: optimiser steps done.
        answers: an answers table.
        kl: divergence from the base, one number per level-4 fact, or None.

    Returns:
        columns step, group, n, value, low, high. Groups: `in` (macro over relations), `out`,
        `level k` and, by domain, `in level k`, `out level k` (shares of hits), `kl 4` (mean).
    """
    found: dict[str, Estimate | None] = {
        "in": accuracy(answers, "in").macro_relation,
        "out": accuracy(answers, "out").micro,
    }
    for level in LEVELS:
        own = answers.filter(pl.col("level") == level)
        found[f"level {level}"] = share(own["hit"])
        for domain in ("in", "out"):
            found[f"{domain} level {level}"] = share(own.filter(pl.col("domain") == domain)["hit"])
    if kl is not None and len(kl) > 1:
        mean, half = mean_and_half_width(kl.double().numpy())
        found["kl 4"] = Estimate(mean, max(0.0, mean - half), mean + half, len(kl))
    rows = [
        {"step": step, "group": name, **part._asdict()}
        for name, part in found.items()
        if part is not None
    ]
    return pl.DataFrame(rows, schema=SCHEMA)


def divergence(now_NV: torch.Tensor | None, base_NV: torch.Tensor | None) -> torch.Tensor | None:
    """Return KL(now‖base) per fact in nats, from log-probabilities."""
    if now_NV is None or base_NV is None:
        return None
    import torch

    kl = torch.nn.functional.kl_div(base_NV, now_NV, reduction="none", log_target=True)
    return kl.sum(-1)
