"""From the rows of a source to facts: one key each, answers united, held-out splits first.

Every source hands over rows; what makes a fact out of them is the same for all and stands here.
Rows of one key become one fact. Where they stand in several splits, test keeps it before dev before
train, so that nothing that is tested is trained on.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import polars as pl

from sixtyfold.core.facts import FACTS_SCHEMA, check_facts, fact_id, normalise, text_lists
from sixtyfold.sources.spellings import folded
from sixtyfold.sources.splits import hashed_split

#: Columns of a source's rows: a fact without its key; `split` and `domain` may be null.
ROWS_SCHEMA = pl.Schema({name: kind for name, kind in FACTS_SCHEMA.items() if name != "fact_id"})
_PRECEDENCE = ("test", "dev", "train")
SPLIT_SEED = "0"


class SourceRows(NamedTuple):
    """What a source read.

    rows: a table of `ROWS_SCHEMA`, in file order.
    templates: cloze templates by relation; a relation without any is asked by its questions.
    notes: what was guessed or changed on the way.
    add_names: whether the source has so few aliases that usual names are added.
    """

    rows: pl.DataFrame
    templates: Mapping[str, Sequence[str]]
    notes: tuple[str, ...] = ()
    add_names: bool = False


def facts_of_rows(rows: pl.DataFrame, origin: str) -> tuple[pl.DataFrame, list[str]]:
    """Return the facts of a source's rows and notes on what was merged.

    Args:
        rows: a table of `ROWS_SCHEMA`. A null split is filled by a hash of the fact's key, a null
            domain is "in".
        origin: where the rows come from, for messages.

    Returns:
        facts in schema order, sorted by key. Where the rows of a key differ in wording or domain,
        the first one counts, held-out rows before others. Flags that may be added: `ambiguous`
        (the answers of a key's rows do not hang together), `in_several_splits`,
        `answer_in_subject` (an accepted answer stands in the subject, or in the question where
        there is no subject).

    Raises:
        BadInput: what `check_facts` raises.
    """
    columns = zip(rows["relation"], rows["subject"], rows["question"], strict=True)
    keys = [fact_id(relation, subject, question) for relation, subject, question in columns]
    splits = [
        split or hashed_split(key, SPLIT_SEED)
        for key, split in zip(keys, rows["split"], strict=True)
    ]
    frame = rows.with_columns(
        fact_id=pl.Series(keys, dtype=pl.String),
        split=pl.Series(splits, dtype=pl.String),
        domain=pl.col("domain").fill_null("in"),
    )
    repeated = pl.col("fact_id").is_duplicated()
    united = _united(frame.filter(repeated))
    facts = pl.concat([frame.filter(~repeated).select(list(FACTS_SCHEMA)), united])
    facts = facts.with_columns(flags=flags_with_copies(facts))
    notes = []
    if facts.height < rows.height:
        merged = rows.height - facts.height
        notes.append(f"{merged:,} row{'s' * (merged > 1)} merged into facts seen before")
    if rows["split"].null_count() == rows.height > 0:
        notes.append("no splits given: split 50:20:30 into train, dev and test by a hash")
    return check_facts(facts, origin), notes


def _united(frame: pl.DataFrame) -> pl.DataFrame:
    """Unite the rows of each key, the held-out ones first, else in file order."""
    facts: dict[str, dict[str, Any]] = {}
    answers: dict[str, list[set[str]]] = {}
    rows = sorted(frame.iter_rows(named=True), key=lambda row: _PRECEDENCE.index(row["split"]))
    for row in rows:
        names = {normalise(each) for each in row["objects"]}
        answers.setdefault(row["fact_id"], []).append(names)
        earlier = facts.setdefault(row["fact_id"], row)
        if earlier is row:
            continue
        flags = {*earlier["flags"], *row["flags"]}
        if earlier["split"] != row["split"]:
            flags.add("in_several_splits")
        earlier["flags"] = sorted(flags)
        earlier["objects"] = list(dict.fromkeys([*earlier["objects"], *row["objects"]]))
        if row["popularity"] is not None:
            earlier["popularity"] = max(row["popularity"], earlier["popularity"] or 0)
    for key, fact in facts.items():
        if not _hang_together(answers[key]):
            fact["flags"] = sorted({*fact["flags"], "ambiguous"})
    return pl.DataFrame(list(facts.values()), schema=FACTS_SCHEMA)


def _hang_together(answers: list[set[str]]) -> bool:
    """Whether shared answers lead from each row to every other, in whatever order they came.

    >>> _hang_together([{"UK"}, {"Britain"}, {"UK", "Britain"}]), _hang_together([{"UK"}, {"US"}])
    (True, False)
    """
    reached, *rest = answers
    while rest:
        near = [each for each in rest if each & reached]
        if not near:
            return False
        rest = [each for each in rest if not each & reached]
        reached = reached.union(*near)
    return True


def flags_with_copies(facts: pl.DataFrame) -> pl.Series:
    """Return the flags with `answer_in_subject` where an answer's words stand in the subject."""
    spelled = functools.lru_cache(maxsize=None)(folded)
    found = []
    columns = ("subject", "question", "objects", "flags")
    for subject, question, objects, flags in facts.select(columns).iter_rows():
        whole = f" {folded(subject or question)} "
        copied = any(f" {spelled(answer)} " in whole for answer in objects)
        found.append(sorted({*flags, "answer_in_subject"}) if copied else flags)
    return text_lists(found)
