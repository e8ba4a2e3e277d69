"""What training facts share with held-out ones: keys, questions, entities.

An entity is recognised in any case, accent, width or script ("MOSKVA", "Москва"): names are
transliterated to plain letters before they are compared. Names that differ beyond that ("Moscow")
are one entity only where one of the two facts that are compared accepts both.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import polars as pl
from anyascii import anyascii

from sixtyfold.core.facts import normalise
from sixtyfold.sources.options import Overlap
from sixtyfold.sources.spellings import folded

#: Columns of an overlap: the training fact, what it shares, and with which held-out fact.
OVERLAP_SCHEMA = pl.Schema(
    {
        "fact_id": pl.String(),
        "question": pl.String(),
        "shared": pl.String(),  # fact, question, subject or answer
        "what": pl.String(),
        "held_out_fact_id": pl.String(),
        "held_out_question": pl.String(),
        "held_out_split": pl.String(),
    }
)


@functools.lru_cache(maxsize=500_000)
def entity_key(name: str) -> str:
    """Return the form in which two spellings of one entity are equal.

    >>> entity_key("Москва") == entity_key("MOSKVA"), entity_key("The Łódź") == entity_key("lodz")
    (True, True)
    """
    key = folded(anyascii(name) if not name.isascii() else name)
    return key.removeprefix("the ") or normalise(name)  # "!!!" is a name without a word


def shared_with_held_out(facts: pl.DataFrame, entities: Overlap = "none") -> pl.DataFrame:
    """Return what training facts share with dev and test facts.

    Args:
        facts: a table of `FACTS_SCHEMA`; training facts are those of the split train.
        entities: also look for shared subjects (`subjects`), or for subjects and answers that are
            a subject or an answer of a held-out fact (`entities`).

    Returns:
        a table of `OVERLAP_SCHEMA`, one row per training fact and kind of sharing, sorted; of
        several held-out facts the first by key, one with that subject before one with that answer.
    """
    training = facts.filter(pl.col("split") == "train")
    held = facts.filter(pl.col("split") != "train").sort("fact_id")
    parts = [
        _joined(_keyed(training, kind), _keyed(held, kind), kind) for kind in ("fact", "question")
    ]
    if entities == "subjects":
        parts.append(_joined(_keyed(training, "subject"), _keyed(held, "subject"), "subject"))
    if entities == "entities":
        known = pl.concat([_keyed(held, "subject"), _keyed(held, "answer")])
        parts += [_joined(_keyed(training, kind), known, kind) for kind in ("subject", "answer")]
    return pl.concat(parts).sort("fact_id", "shared")


def named(shared: pl.DataFrame, most: int = 3) -> list[str]:
    """Return the first rows of an overlap as sentences, and how many more there are."""
    lines = [_sentence(row) for row in shared.head(most).iter_rows(named=True)]
    more = shared.height - len(lines)
    return [*lines, f"and {more:,} more"] if more > 0 else lines


def _sentence(row: dict[str, str]) -> str:
    training, split = f"in train: {row['question']!r}", row["held_out_split"]
    if row["shared"] == "question":
        return f"{training} is also asked in {split} (fact {row['held_out_fact_id']})"
    what = f"{row['shared']} {row['what']!r}"
    return f"{training} shares its {what} with {row['held_out_question']!r} in {split}"


def _keyed(facts: pl.DataFrame, kind: str) -> pl.DataFrame:
    """Return one row per fact and key of a kind: key, what, fact_id, question, split."""
    column = {"fact": "fact_id", "answer": "objects"}.get(kind, kind)
    rows = facts.select("fact_id", "question", "split", what=pl.col(column))
    if kind == "answer":
        rows = rows.explode("what")
    special: dict[str, Callable[[str], str]] = {"fact": str, "question": normalise}
    key_of = special.get(kind, entity_key)
    keys = [key_of(each) for each in rows["what"]]
    return rows.with_columns(key=pl.Series(keys, dtype=pl.String)).filter(pl.col("key") != "")


def _joined(training: pl.DataFrame, held: pl.DataFrame, kind: str) -> pl.DataFrame:
    first = held.unique("key", keep="first", maintain_order=True)
    both = training.unique(["fact_id", "key"], maintain_order=True).join(
        first, on="key", suffix="_held", maintain_order="left"
    )
    return (
        both.unique("fact_id", keep="first", maintain_order=True)
        .with_columns(shared=pl.lit(kind))
        .select(
            "fact_id",
            "question",
            "shared",
            "what",
            held_out_fact_id="fact_id_held",
            held_out_question="question_held",
            held_out_split="split_held",
        )
        .cast(OVERLAP_SCHEMA)
    )
