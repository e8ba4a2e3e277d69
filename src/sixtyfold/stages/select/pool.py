"""What training sets are chosen from: training facts that share nothing with held-out ones.

With a probe these are the probed ones. Every fact that is left out is written down with the reason;
those not probed are counted.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import polars as pl

from sixtyfold.core.errors import BadInput, suggestion
from sixtyfold.core.facts import FLAGS
from sixtyfold.core.stage import finished
from sixtyfold.sources.held_out import shared_with_held_out
from sixtyfold.sources.open import open_facts
from sixtyfold.stages.select.spec import SelectSpec

#: Why a training fact is not in the pool, the fact, and what it shares with a held-out fact.
DROPPED_SCHEMA = pl.Schema(
    {
        "fact_id": pl.String(),
        "relation": pl.String(),
        "question": pl.String(),
        "reason": pl.String(),
        "what": pl.String(),
        "held_out_fact_id": pl.String(),
        "held_out_question": pl.String(),
        "held_out_split": pl.String(),
    }
)


class Pool(NamedTuple):
    """What a choice is made from.

    facts: candidates with `level` (and `slick`); null levels where there is no probe.
    dropped: candidates left out, in the columns of `DROPPED_SCHEMA`.
    unprobed: number of in-domain training facts the probe does not hold; 0 without a probe.
    every_fact: the whole fact table, with dev and test.
    inputs: fingerprints of facts and probe.
    """

    facts: pl.DataFrame
    dropped: pl.DataFrame
    unprobed: int
    every_fact: pl.DataFrame
    inputs: dict[str, str]

    @property
    def relations(self) -> list[str]:
        """The relations of the pool, whatever their levels."""
        return self.facts["relation"].unique().sort().to_list()


def read_pool(spec: SelectSpec) -> Pool:
    """Read facts and probe and leave out what must not be trained on.

    Raises:
        BadInput: the probe holds no in-domain training fact, or no SliCK classes where they are
            asked for; a flag to be skipped is none there is; nothing is left.
    """
    source = open_facts(spec.facts)
    training = source.facts.filter((pl.col("split") == "train") & (pl.col("domain") == "in"))
    inputs = {"facts": source.fingerprint}
    if spec.probe is None:
        candidates = training.with_columns(level=pl.lit(None, pl.Int8))
    else:
        probe = finished(spec.probe, "probe")
        candidates = _with_levels(training, probe.table("probe"), spec)
        inputs["probe"] = probe.fingerprint
    if candidates.is_empty():
        probed = f"{spec.probe} probed no" if spec.probe else f"{spec.facts} holds no"
        raise BadInput(
            f"{probed} in-domain training fact of these facts; "
            f"{'probe the same facts' if spec.probe else 'build them'} with a train split"
        )
    shared = shared_with_held_out(source.facts, spec.disjoint)
    borne = source.facts["flags"].explode().drop_nulls().unique()
    flagged = _flagged(candidates, spec, borne)
    kept = candidates
    for left_out in (flagged, shared):
        kept = kept.join(left_out, on="fact_id", how="anti", maintain_order="left")
    if kept.is_empty():
        raise BadInput(
            f"all {candidates.height} training facts share something with dev or test or carry "
            "a flag that is skipped; ask for less with --disjoint or --skip-flags"
        )
    unprobed = training.height - candidates.height
    dropped = _dropped(flagged, candidates, shared, spec)
    return Pool(kept, dropped, unprobed, source.facts, inputs)


def _with_levels(training: pl.DataFrame, probe: pl.DataFrame, spec: SelectSpec) -> pl.DataFrame:
    """Return the probed training facts with what the probe says of them."""
    if spec.slick is not None and "slick" not in probe.columns:
        raise BadInput(
            f"--slick {spec.slick} was given and {spec.probe} has no SliCK classes; "
            "probe with them, or choose by --levels"
        )
    columns = [name for name in ("fact_id", "level", "slick") if name in probe.columns]
    return training.join(probe.select(columns), on="fact_id", maintain_order="left")


def _flagged(candidates: pl.DataFrame, spec: SelectSpec, borne: Iterable[str]) -> pl.DataFrame:
    flags = [flag.strip() for flag in spec.skip_flags.split(",") if flag.strip()]
    known = sorted({*FLAGS, *borne})
    for flag in flags:
        if flag not in known:
            raise BadInput(
                f"--skip-flags names {flag!r}, which no fact bears{suggestion(flag, known)}; "
                f"flags: {', '.join(known)}"
            )
    return candidates.filter(pl.col("flags").list.set_intersection(flags).list.len() > 0)


def _dropped(
    flagged: pl.DataFrame,
    candidates: pl.DataFrame,
    shared: pl.DataFrame,
    spec: SelectSpec,
) -> pl.DataFrame:
    """Return one row per fact and reason."""
    same = shared.join(candidates.select("fact_id", "relation"), on="fact_id").with_columns(
        reason=pl.format("{} also in {}", "shared", "held_out_split")
    )
    parts = [
        flagged.with_columns(reason=pl.lit(f"flag of {spec.skip_flags}")),
        same,
    ]
    whole = [
        part.select(
            pl.col(name) if name in part.columns else pl.lit(None, dtype=kind).alias(name)
            for name, kind in DROPPED_SCHEMA.items()
        )
        for part in parts
    ]
    return pl.concat(whole).sort("reason", "fact_id")
