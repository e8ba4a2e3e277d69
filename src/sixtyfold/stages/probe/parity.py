"""Do two engines give a model the same knowledge? Levels that differ, and how many would by chance.

Both draw plainly, with random numbers of their own. If they sample from one distribution, then of
the hits that a prompt has with both together, the share of one engine is hypergeometric. Dealing
the hits out again and again shows how many levels differ by chance, whatever the rates are: a
permutation test, stratified by prompt.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sixtyfold.core.errors import BadInput
from sixtyfold.core.levels import CUTS
from sixtyfold.core.models import model_directory, model_fingerprint, release_model
from sixtyfold.core.stage import Finished, finished, open_stage
from sixtyfold.sources.open import FactSet, open_facts
from sixtyfold.stages.probe.spec import ProbeSpec
from sixtyfold.stages.probe.texts import text_source

_DEALS = 2000


class Chance(NamedTuple):
    """Levels that differ, and how many do by chance.

    expected, low, high: mean and central 95% of what dealing the hits out again gives.
    p_value: share of deals with at least as many, the observed one included.
    """

    differ: int
    expected: float
    low: float
    high: float
    p_value: float


def run_parity(spec: ProbeSpec, probe: Callable[[ProbeSpec], Finished]) -> Finished:
    """Probe with two engines and compare.

    Args:
        spec: options with `parity`.
        probe: what probes with one engine.

    Returns:
        the stage with the table `parity` (one row a fact) and the two probes in folders beside it.

    Raises:
        BadInput: an engine is unknown, named twice or not there; else what a probe raises.
    """
    first, second = parity_specs(spec)
    source = open_facts(spec.facts)
    with open_stage("parity", spec, _inputs(spec, (first, second), source)) as stage:
        if stage.complete:
            return finished(spec.out, "parity")
        one = probe(first).table("probe_prompts")
        release_model()  # the other engine needs the memory
        two = probe(second).table("probe_prompts")
        names = (first.drawn_by, second.drawn_by)
        table = parity_table(one, two, names=names)
        stage.write_table("parity", table)
        found = chance(one, two, seed=spec.seed)
        gap = (table[f"recall_{names[0]}"] - table[f"recall_{names[1]}"]).to_numpy()
        return stage.finish(
            {"parity": table.height},
            engines=list(names),
            levels=found._asdict(),
            mean_recall_difference=float(gap.mean()),
            mean_recall_difference_by_chance=_by_chance(one, two),
            notes=list(source.notes),
        )


def _inputs(spec: ProbeSpec, sides: Sequence[ProbeSpec], source: FactSet) -> dict[str, str]:
    """Return the stage's inputs by content; a server's model by its name, as it cannot be read.

    Both engines are looked for here, before the first one draws for hours.
    """
    engines = {each.drawn_by: text_source(each) for each in sides if each.drawn_by != "torch"}
    inputs = {
        "model": model_fingerprint(model_directory(spec.model, spec.revision)),
        "facts": source.fingerprint,
    }
    if "server" in engines:
        inputs["server"] = engines["server"].model
    return inputs


def parity_specs(spec: ProbeSpec) -> tuple[ProbeSpec, ProbeSpec]:
    """Return the two probes that a parity compares.

    Raises:
        BadInput: an engine is unknown, named twice, or cannot give what is asked; or classes are
            asked for.
    """
    names = [each.strip() for each in (spec.parity or "").split(",")]
    known = ("torch", "vllm", "server")
    if len(names) != 2 or names[0] == names[1] or not set(names) <= set(known):
        raise BadInput(
            f"--parity was given '{spec.parity}': allowed are two of {', '.join(known)}, with a "
            "comma"
        )
    if "server" in names and spec.server is None:
        raise BadInput("--parity with a server needs its address: add --server URL")
    if spec.slick:
        raise BadInput("--parity compares levels: leave --slick out")
    return _one_engine(spec, names[0]), _one_engine(spec, names[1])


def _one_engine(spec: ProbeSpec, name: str) -> ProbeSpec:
    options: dict[str, Any] = {
        **spec.model_dump(),
        "parity": None,
        "estimator": "draws",
        "fresh": True,
        "out": spec.out / name,
        "engine": "vllm" if name == "vllm" else "torch",
        "server": spec.server if name == "server" else None,
    }
    return ProbeSpec.parse(options)


def parity_table(one: pl.DataFrame, two: pl.DataFrame, *, names: Sequence[str]) -> pl.DataFrame:
    """Return recall and level of each fact with either engine.

    Args:
        one: `probe_prompts` of the first engine.
        two: of the second, for the same prompts.
        names: the engines.
    """
    sides = [
        each.group_by("fact_id", maintain_order=True).agg(
            (pl.col("hits").sum() / pl.col("draws").sum()).alias(f"recall_{name}")
        )
        for each, name in zip((one, two), names, strict=True)
    ]
    table = sides[0].join(sides[1], on="fact_id", how="inner", maintain_order="left")
    levels = [
        pl.Series(f"level_{name}", _levels(table[f"recall_{name}"].to_numpy()), dtype=pl.Int8)
        for name in names
    ]
    return table.with_columns(levels)


def chance(one: pl.DataFrame, two: pl.DataFrame, seed: int, deals: int = _DEALS) -> Chance:
    """Count levels that differ and test the count.

    Args:
        one: `probe_prompts` of the first engine, plain draws, sorted by key.
        two: of the second, for the same prompts.
        seed: seed of the deals.
        deals: how often the hits are dealt out again.
    """
    facts = one["fact_id"].rle_id().to_numpy()
    draws = np.array([one["draws"].to_numpy(), two["draws"].to_numpy()])
    hits = np.array([one["hits"].to_numpy(), two["hits"].to_numpy()])
    totals = np.array([np.bincount(facts, each) for each in draws])

    def differing(first: NDArray[np.int64]) -> int:
        counts = (np.bincount(facts, first), np.bincount(facts, hits.sum(0) - first))
        levels = [_levels(each / total) for each, total in zip(counts, totals, strict=True)]
        return int((levels[0] != levels[1]).sum())

    random = np.random.default_rng(seed)
    seen = differing(hits[0])
    dealt = np.array(
        [
            differing(random.hypergeometric(hits.sum(0), draws.sum(0) - hits.sum(0), draws[0]))
            for _ in range(deals)
        ]
    )
    low, high = np.percentile(dealt, [2.5, 97.5])
    p_value = (1 + int((dealt >= seen).sum())) / (1 + deals)
    return Chance(seen, float(dealt.mean()), float(low), float(high), p_value)


def _by_chance(one: pl.DataFrame, two: pl.DataFrame) -> float:
    """Return 1.96 standard errors of the difference of mean recalls if the engines are alike."""
    hits = one["hits"].to_numpy() + two["hits"].to_numpy()
    n, m = one["draws"].to_numpy(), two["draws"].to_numpy()
    rate = hits / (n + m)
    # Unbiased for rate × (1 − rate), which the pooled rate itself underestimates.
    spread = rate * (1 - rate) * (n + m) / np.maximum(n + m - 1, 1)
    variance = (spread * (1 / n + 1 / m)).sum() / len(hits) ** 2
    return float(1.96 * np.sqrt(variance))


def _levels(recalls: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.asarray(np.searchsorted(CUTS, recalls, side="left"))
