"""What training facts share with held-out ones: keys, questions, entities.

An entity is recognised in any case, accent, width or script ("MOSKVA", "Москва"): names are
transliterated to plain letters before they are compared. Names that differ beyond that ("Moscow")
are one entity only where both stand among the accepted answers of a fact.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator

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
    return key.removeprefix("the ") or key


def shared_with_held_out(facts: pl.DataFrame, entities: Overlap = "none") -> pl.DataFrame:
    """Return what training facts share with dev and test facts.

    Args:
        facts: a table of `FACTS_SCHEMA`; training facts are those of the split train.
        entities: also look for shared subjects (`subjects`), or for subjects and answers that are
            a subject or an answer of a held-out fact (`entities`).

    Returns:
        a table of `OVERLAP_SCHEMA`, one row per training fact and kind of sharing (with the first
        held-out fact by key), sorted.
    """
    training = facts.filter(pl.col("split") == "train")
    held = facts.filter(pl.col("split") != "train").sort("fact_id")
    parts = [
        _joined(_keyed(training, kind), _keyed(held, kind), kind)
        for kind in ("fact", "question")
    ]
    if entities == "subjects":
        parts.append(_joined(_keyed(training, "subject"), _keyed(held, "subject"), "subject"))
    if entities == "entities":
        known = pl.concat([_keyed(held, "subject"), _keyed(held, "answer")])
        parts += [_joined(_keyed(training, kind), known, kind) for kind in ("subject", "answer")]
    return pl.concat(parts).sort("fact_id", "shared")


def _keyed(facts: pl.DataFrame, kind: str) -> pl.DataFrame:
    """Return one row per fact and key of a kind: key, what, fact_id, question, split."""
    rows = [
        (key, what, fact_id, question, split)
        for fact_id, question, split, found in _keys(facts, kind)
        for key, what in found
        if key
    ]
    names = ["key", "what", "fact_id", "question", "split"]
    return pl.DataFrame(rows, schema=dict.fromkeys(names, pl.String()), orient="row")


def _keys(
    facts: pl.DataFrame, kind: str
) -> Iterator[tuple[str, str, str, list[tuple[str, str]]]]:
    columns = ("fact_id", "question", "split", "subject", "objects")
    for fact_id, question, split, subject, objects in facts.select(columns).iter_rows():
        if kind == "fact":
            found = [(fact_id, fact_id)]
        elif kind == "question":
            found = [(normalise(question), question)]
        elif kind == "subject":
            found = [(entity_key(subject), subject)]
        else:
            found = [(entity_key(each), each) for each in objects]
        yield fact_id, question, split, found


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
        .cast(OVERLAP_SCHEMA)  # type: ignore[arg-type]
    )
