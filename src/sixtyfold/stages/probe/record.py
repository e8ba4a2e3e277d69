"""What a probe writes down: rows of single prompts, then of facts, then the manifest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from sixtyfold.core.levels import DRAWS_PER_TEMPLATE
from sixtyfold.core.stage import Finished, StageDirectory
from sixtyfold.stages.probe.aggregate import level_from, recall_of
from sixtyfold.stages.probe.sampling import Estimate
from sixtyfold.stages.probe.spec import ProbeSpec

_SLICK = "; SliCK: 10 four-shot prompts × (1 greedy + 16 samples at T 0.5, top-40), exact match"
_LIST = pl.List(pl.Float64())


class Asked(NamedTuple):
    """A prompt's key and its length in tokens, None where the engine does not tell."""

    fact_id: str
    template_id: int
    tokens: int | None


def prompt_rows(
    prompts: Sequence[Asked], estimates: Sequence[Estimate], *, counts_hits: bool
) -> pl.DataFrame:
    """Return the rows of `probe_prompts` for some prompts and their estimates.

    Args:
        prompts: keys, one per estimate.
        estimates: what their draws say.
        counts_hits: whether each draw is a plain one that says 0 or 1.
    """
    return pl.DataFrame(
        {
            "fact_id": [each.fact_id for each in prompts],
            "template_id": pl.Series([each.template_id for each in prompts], dtype=pl.Int16),
            "first_prob": pl.Series([each.first_prob for each in estimates], dtype=pl.Float64),
            "draws": pl.Series([len(each.values) for each in estimates], dtype=pl.Int32),
            "hits": pl.Series(
                [int(sum(each.values)) if counts_hits else None for each in estimates],
                dtype=pl.Int32,
            ),
            "recall_hat": [float(np.mean(each.values)) for each in estimates],
            "recall_var": pl.Series(
                [_variance(each.values) for each in estimates], dtype=pl.Float64
            ),
            "values": pl.Series([each.values for each in estimates], dtype=_LIST),
            "tokens_prompt": pl.Series([each.tokens for each in prompts], dtype=pl.Int32),
            "tokens_scored": pl.Series([each.tokens_scored for each in estimates], dtype=pl.Int32),
            "tokens_drawn": pl.Series([sum(each.drawn) for each in estimates], dtype=pl.Int32),
            "example": [each.example for each in estimates],
        }
    )


def joined(parts: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Join parts of `probe_prompts`, sorted by key; a prompt's draws in the order of the parts."""
    table = pl.concat(parts)
    key = ["fact_id", "template_id"]
    if not table.select(pl.struct(key).is_duplicated().any()).item():
        return table.sort(key)
    merged = table.group_by(key, maintain_order=True).agg(
        pl.col("first_prob").first(),
        pl.col("draws").sum(),
        pl.when(pl.col("hits").null_count() == 0).then(pl.col("hits").sum()).alias("hits"),
        pl.col("values").list.explode(),
        pl.col("tokens_prompt").first(),
        pl.col("tokens_scored", "tokens_drawn").sum(),
        pl.col("example").first(),
    )
    every = merged["values"].to_list()
    return (
        merged.with_columns(
            pl.Series("recall_hat", [float(np.mean(each)) for each in every]),
            pl.Series("recall_var", [_variance(each) for each in every], dtype=pl.Float64),
        )
        .select(table.columns)
        .sort(key)
    )


def _variance(values: list[float]) -> float | None:
    """Variance of the mean of the draws, or None for a single draw."""
    return float(np.var(values, ddof=1) / len(values)) if len(values) > 1 else None


def record(
    stage: StageDirectory,
    prompts: pl.DataFrame,
    slick: Sequence[pl.DataFrame],
    spec: ProbeSpec,
    notes: Sequence[str],
) -> Finished:
    """Write the stage's tables and manifest.

    Args:
        stage: where they go.
        prompts: the table `probe_prompts`.
        slick: parts of the table `slick`; none where no classes were asked for.
        spec: the probe's options.
        notes: what reading the facts guessed or changed.
    """
    stage.write_table("probe_prompts", prompts)
    rows = [
        _fact_row(str(key[0]), group, spec)
        for key, group in prompts.group_by("fact_id", maintain_order=True)
    ]
    schema: dict[str, Any] = {
        "level": pl.Int8,
        "draws": pl.Int32,
        "k_templates": pl.Int16,
        "level_probs": _LIST,
    }
    found = pl.DataFrame(rows, schema_overrides=schema).sort("fact_id")
    if slick:
        classes = stage.write_table("slick", pl.concat(slick).sort("fact_id"))
        found = found.join(classes.select("fact_id", "slick"), on="fact_id", maintain_order="left")
    table = stage.write_table("probe", found)
    told = spec.drawn_by == "torch"  # other engines' tokens are their own affair
    tokens = {name: int(prompts[name].sum()) if told else None for name in _TOKENS}
    return stage.finish(
        {"probe": table.height, "probe_prompts": prompts.height},
        engine=spec.drawn_by,
        estimator=spec.estimator,
        draws_per_template=spec.draws_per_template,
        tokens=tokens,
        notes=list(notes),
        protocol=f"level of K × {DRAWS_PER_TEMPLATE} plain draws at T {spec.temperature}, "
        f"{spec.max_new_tokens} tokens, match {spec.match}" + (_SLICK if spec.slick else ""),
    )


_TOKENS = ("tokens_prompt", "tokens_scored", "tokens_drawn")


def _fact_row(fact_id: str, prompts: pl.DataFrame, spec: ProbeSpec) -> dict[str, object]:
    estimates = [
        Estimate.counted(row["first_prob"], row["values"]) for row in prompts.iter_rows(named=True)
    ]
    recall, level = recall_of(estimates), level_from(estimates)
    return {
        "fact_id": fact_id,
        "recall": recall.value,
        "recall_low": recall.low,
        "recall_high": recall.high,
        "level": level.level,
        "level_prob": level.probability,
        "level_probs": level.probabilities,
        "draws": int(prompts["draws"].sum()),
        "k_templates": prompts.height,
        "estimator": spec.estimator,
        "match": spec.match,
        "engine": spec.drawn_by,
    }
