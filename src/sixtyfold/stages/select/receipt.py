"""The receipt of a training set: what is in it, and proof that nothing held out is."""

from __future__ import annotations

from typing import Any

import polars as pl

from sixtyfold.core.errors import BadInput
from sixtyfold.core.facts import normalise
from sixtyfold.sources.held_out import entity_key
from sixtyfold.sources.options import Overlap
from sixtyfold.stages.select.choose import answer_length, shortfalls
from sixtyfold.stages.select.pool import Pool
from sixtyfold.stages.select.rows import taught_answers
from sixtyfold.stages.select.spec import SelectSpec

_LISTED = 20
_TOP_ANSWERS = 10


def receipt(
    chosen: pl.DataFrame, pool: Pool, held_out: HeldOut, spec: SelectSpec
) -> dict[str, Any]:
    """Describe a selection.

    Args:
        chosen: selected facts with `level`.
        pool: what they were chosen from.
        held_out: what they must not share anything with.
        spec: how they were chosen.

    Raises:
        BadInput: a chosen fact stands in dev or test; the message names it.
    """
    counts = chosen.group_by("level", "relation").len().sort("level", "relation")
    taught = pl.Series(taught_answers(chosen, spec), dtype=pl.String)
    known = pool.facts["objects"].list.first()
    return {
        "size": int(spec.size) if spec.size != "all" else spec.size,
        "levels": spec.levels,
        "slick": spec.slick,
        "balance": spec.balance,
        "seed": spec.seed,
        "examples": chosen.height,
        "pool": pool.facts.height,
        "per_level": _counts(chosen["level"]),
        "per_relation": _counts(chosen["relation"]),
        "per_level_and_relation": counts.to_dicts(),
        "pool_per_level": _counts(pool.facts["level"]),
        "answers": _answers(taught, known),
        "answer_words": {
            "examples": _counts(answer_length(taught)),
            "pool": _counts(answer_length(known)),
        },
        "short": [each._asdict() for each in shortfalls(chosen, spec, pool.relations)],
        "dropped": _dropped(pool),
        "relabelled": relabelled(chosen, spec),
        "leaks": held_out.leaks(chosen),
    }


def relabelled(chosen: pl.DataFrame, spec: SelectSpec) -> int:
    """Return how many examples teach `unknown_answer` instead of their answer."""
    return 0 if spec.unknown_answer is None else int((chosen["level"] == 0).sum())


class HeldOut:
    """What dev and test facts are known by, looked up anew and not through the pool."""

    def __init__(self, facts: pl.DataFrame, disjoint: Overlap) -> None:
        """Collect the keys, questions and, where they are asked for, entities.

        Args:
            facts: the whole fact table.
            disjoint: whether subjects, or subjects and answers, must not be shared.
        """
        held = facts.filter(pl.col("split").is_in(["dev", "test"]))
        self.disjoint = disjoint
        self.count = held.height
        self.keys = set(held["fact_id"])
        self.questions = {normalise(question) for question in held["question"]}
        self.entities: set[str] = set()
        if disjoint != "none":
            self.entities = {entity_key(name) for name in held["subject"]} - {""}
        if disjoint == "entities":
            self.entities |= {entity_key(name) for name in held["objects"].explode().drop_nulls()}

    def leaks(self, chosen: pl.DataFrame) -> dict[str, int]:
        """Count selected facts that stand in dev or test.

        Raises:
            BadInput: there is one; the message names it.
        """
        for row in chosen.iter_rows(named=True):
            names = [row["subject"]] if self.disjoint != "none" else []
            names += row["objects"] if self.disjoint == "entities" else []
            if (
                row["fact_id"] in self.keys
                or normalise(row["question"]) in self.questions
                or any(entity_key(name) in self.entities for name in names)
            ):
                raise BadInput(
                    f"training fact {row['fact_id']} ({row['question']!r}) also stands in dev or "
                    "test; build the facts again so that each stands in one split"
                )
        counts = {"facts_shared": 0, "questions_shared": 0, "held_out_facts_checked": self.count}
        return counts if self.disjoint == "none" else {**counts, f"{self.disjoint}_shared": 0}


def _counts(values: pl.Series) -> dict[str, int]:
    counted = values.drop_nulls().value_counts().sort(values.name)
    return {str(key): int(count) for key, count in counted.iter_rows()}


def _answers(taught: pl.Series, known: pl.Series) -> dict[str, Any]:
    """Compare the distribution of the answers that are taught with the pool's.

    `distance` is the total variation distance between the two, in 0..1: the share of examples
    that would need another answer.
    """
    here, there = (_answer_shares(rows) for rows in (taught, known))
    both = here.join(there, on="answer", how="left", suffix="_pool").fill_null(0.0)
    excess = (both["share"] - both["share_pool"]).clip(lower_bound=0.0).sum()
    return {
        "distinct": here.height,
        "distinct_in_pool": there.height,
        "distance": round(float(excess), 6),
        "most_common": both.head(_TOP_ANSWERS).to_dicts(),
        "most_common_in_pool": there.head(1).to_dicts(),
    }


def _answer_shares(answers: pl.Series) -> pl.DataFrame:
    rows = pl.DataFrame({"answer": answers})
    counted = rows.group_by("answer").len().sort(["len", "answer"], descending=[True, False])
    return counted.select("answer", share=(pl.col("len") / rows.height).round(6))


def _dropped(pool: Pool) -> dict[str, Any]:
    """Count what was left out by reason, and name the first ones that leak."""
    named = pool.dropped.filter(pl.col("held_out_fact_id").is_not_null())
    unprobed = {"not probed": pool.unprobed} if pool.unprobed else {}
    return {
        "by_reason": {**_counts(pool.dropped["reason"]), **unprobed},
        "shared_with_held_out": named.head(_LISTED).to_dicts(),
        "whole_list": "dropped.parquet",
    }
