"""Everything that is known of one fact: its probes, template by template, and every answer."""

from __future__ import annotations

from typing import Any, NamedTuple

import polars as pl

from sixtyfold.core.facts import FACTS_SCHEMA
from sixtyfold.core.prompts import Shot
from sixtyfold.core.templates import fill
from sixtyfold.explorer.catalogue import Catalogue, Run
from sixtyfold.explorer.tables import Row, Tables, source
from sixtyfold.stages.evaluate.shots import shots_by_relation

_ANSWER = ("answer", "hit", "exact", "f1", "ended")
_PROMPT = ("template_id", "first_prob", "draws", "hits", "recall_hat", "recall_var", "values",
           "example")  # fmt: skip


class Fact(NamedTuple):
    """A fact as its fact set has it.

    facts: the fact set, a key of the catalogue.
    row: in the columns of `FACTS_SCHEMA`.
    """

    facts: str
    row: Row


class Probed(NamedTuple):
    """What one probe found of a fact.

    row: the fact's row of the probe (recall with interval, level, level_probs, draws, ...).
    templates: a row per template: text (filled in), first_prob, draws, hits, recall_hat,
        recall_var, values (of each draw), example.
    """

    label: str
    protocol: str
    row: Row
    templates: list[Row]


class Answer(NamedTuple):
    """What one run answered; `row` holds answer, hit, exact, f1, ended."""

    run: Run
    row: Row


def find_fact(catalogue: Catalogue, tables: Tables, fact_id: str) -> Fact | None:
    """Return a fact from the first fact set that holds it; None where none does.

    Raises:
        Corrupted: a fact table is not readable.
    """
    for name, each in catalogue.facts.items():
        rows = tables.rows(f"select * from {source(each.facts)} where fact_id = ?", [fact_id])
        if rows:
            return Fact(name, rows[0])
    return None


def probed(catalogue: Catalogue, tables: Tables, fact: Fact) -> list[Probed]:
    """Return what every probe found of a fact; raises what `find_fact` raises."""
    found = []
    for each in catalogue.probes.values():
        rows = tables.rows(
            f"select * from {source(each.probe)} where fact_id = ?", [fact.row["fact_id"]]
        )
        if rows:
            templates = _templates(catalogue, tables, fact) if each.prompts else {}
            prompts = _prompts(tables, each.prompts, fact) if each.prompts else []
            known = [{**row, "text": templates.get(row["template_id"], "")} for row in prompts]
            found.append(Probed(each.label, each.protocol, rows[0], known))
    return found


def answers(catalogue: Catalogue, tables: Tables, fact_id: str) -> list[Answer]:
    """Return every answer to a fact, in the order of the runs; raises what `find_fact` raises."""
    runs = catalogue.in_order()
    paths = list(dict.fromkeys(str(run.path) for run in runs))
    if not paths:
        return []
    arms = ", arm" if any(run.arm for run in runs) else ""
    rows = tables.rows(
        f"select {', '.join(_ANSWER)}, filename{arms} "
        "from read_parquet(?::varchar[], union_by_name = true, filename = true) where fact_id = ?",
        [paths, fact_id],
    )
    by_place = {(row.pop("filename"), row.pop("arm", None)): row for row in rows}
    places = ((run, (str(run.path), run.arm)) for run in runs)
    return [Answer(run, by_place[place]) for run, place in places if place in by_place]


def worked_examples(catalogue: Catalogue, tables: Tables, fact: Fact, count: int) -> list[Shot]:
    """Return worked examples for the questions of a fact's relation, from the training split.

    Raises:
        BadInput: the fact set has too few training facts.
        Corrupted: it is not readable.
    """
    path = catalogue.facts[fact.facts].facts
    frame = tables.frame(
        f"select * from {source(path)} where split = 'train' and domain = 'in' "
        "qualify row_number() over (partition by relation order by md5(fact_id)) <= ?",
        [count + 1],
    )
    row = pl.DataFrame([fact.row], schema=FACTS_SCHEMA)
    columns = list(FACTS_SCHEMA)
    training = frame.filter(pl.col("fact_id") != fact.row["fact_id"]).select(columns)
    both = pl.concat([training.cast(FACTS_SCHEMA), row.with_columns(split=pl.lit("test"))])
    return shots_by_relation(both, count, seed=0)[fact.row["relation"]]


def _prompts(tables: Tables, path: Any, fact: Fact) -> list[Row]:
    return tables.rows(
        f"select {', '.join(_PROMPT)} from {source(path)} where fact_id = ? order by template_id",
        [fact.row["fact_id"]],
    )


def _templates(catalogue: Catalogue, tables: Tables, fact: Fact) -> dict[int, str]:
    path = catalogue.facts[fact.facts].templates
    if path is None:
        return {}
    rows = tables.rows(
        f"select template_id, text from {source(path)} where relation = ?", [fact.row["relation"]]
    )
    subject, question = fact.row["subject"], fact.row["question"]
    return {row["template_id"]: fill(row["text"], subject, question) for row in rows}
