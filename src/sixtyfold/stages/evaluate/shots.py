"""Worked examples for few-shot prompts: from the training split only."""

from __future__ import annotations

import polars as pl

from sixtyfold.core.errors import BadInput
from sixtyfold.core.facts import seeded_order
from sixtyfold.core.prompts import Shot


def shots_by_relation(facts: pl.DataFrame, count: int, seed: int) -> dict[str, list[Shot]]:
    """Return the worked examples to show for each relation.

    A relation with enough in-domain training facts is shown its own; any other relation is shown
    one fact of each of `count` in-domain relations in turn, the same for all such relations.

    Args:
        facts: the whole fact table.
        count: examples per prompt; 0 gives empty lists.
        seed: decides which facts.

    Raises:
        BadInput: there are too few training facts.
    """
    relations = facts["relation"].unique().sort().to_list()
    if count == 0:
        return {relation: [] for relation in relations}
    training = facts.filter((pl.col("split") == "train") & (pl.col("domain") == "in"))
    if training.height < count:
        raise BadInput(
            f"--shots {count} needs {count} training facts in domain, "
            f"there are {training.height}; lower it or give facts with a train split"
        )
    shuffled = training[seeded_order(training["fact_id"].to_list(), seed)]
    own = {str(key[0]): group for key, group in shuffled.group_by("relation", maintain_order=True)}
    mixed = _in_turn([own[name] for name in sorted(own)], count)
    return {
        relation: _shots(own[relation].head(count))
        if relation in own and own[relation].height >= count
        else mixed
        for relation in relations
    }


def _in_turn(groups: list[pl.DataFrame], count: int) -> list[Shot]:
    longest = max(group.height for group in groups)
    rows = [
        _shots(group[turn]) for turn in range(longest) for group in groups if turn < group.height
    ]
    return [shot for each in rows for shot in each][:count]


def _shots(rows: pl.DataFrame) -> list[Shot]:
    return [Shot(row["question"], row["objects"][0]) for row in rows.iter_rows(named=True)]
