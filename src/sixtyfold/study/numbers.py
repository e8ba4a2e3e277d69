"""The numbers of a result, one per row: what the results table of a study is made of.

Every stage's tables are put into the same columns; nothing is estimated here that the stage or
`core` does not define.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import polars as pl

from sixtyfold.core.accuracy import accuracy, by_group
from sixtyfold.core.facts import DOMAINS
from sixtyfold.core.levels import LEVELS
from sixtyfold.core.stage import Finished
from sixtyfold.study.columns import SCHEMA


class Number(NamedTuple):
    """One number of a result.

    measure: what it is.
    value: the number; low, high: its 95% interval where there is one; n: facts or weights behind.
    domain: `in`, `out`, or None where it holds for both.
    split: of the facts, where there are any.
    part: what it is limited to (`level 4`, `relation P17`, `top 1`, an arm), or None.
    """

    measure: str
    value: float | None
    low: float | None = None
    high: float | None = None
    n: int | None = None
    domain: str | None = None
    split: str | None = None
    part: str | None = None


def numbers_of(result: Finished) -> pl.DataFrame:
    """Return the numbers of a finished stage in the columns of `SCHEMA`; no row for some stages."""
    rows = list(_NUMBERS[result.manifest["stage"]](result))
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def _none(_: Finished) -> Iterator[Number]:
    return iter(())


def _probe(result: Finished) -> Iterator[Number]:
    table = result.table("probe")
    yield Number("recall", table["recall"].mean(), n=table.height)  # type: ignore[arg-type]
    for level in LEVELS:
        count = int((table["level"] == level).sum())
        mass = float(table["level_probs"].list.get(level).sum())
        yield Number("facts", float(count), n=table.height, part=f"level {level}")
        yield Number("level_mass", mass, n=table.height, part=f"level {level}")


def _select(result: Finished) -> Iterator[Number]:
    table = result.table("selection")
    yield Number("examples", float(table.height), n=table.height)
    for column in ("level", "relation"):
        for row in table.group_by(column).len().sort(column).iter_rows(named=True):
            if row[column] is not None:
                part = f"{column} {row[column]}"
                yield Number("examples", float(row["len"]), n=table.height, part=part)


def _tune(result: Finished) -> Iterator[Number]:
    training = result.json("training")
    for name in ("steps", "target_tokens"):
        yield Number(name, float(training[name]), n=training["examples"])
    losses = training["losses"]
    if losses:
        yield Number("last_loss", float(losses[-1]), n=training["examples"])


def _evaluate(result: Finished) -> Iterator[Number]:
    table = result.table("answers")
    split = result.manifest["spec"]["split"]
    for domain in DOMAINS:
        rows = table.filter(pl.col("domain") == domain)
        for measure, found in accuracy(rows)._asdict().items():
            if found is not None:
                value, low, high, n = found
                yield Number(measure, value, low, high, n, domain, split)
        for column in ("level", "relation"):
            for row in by_group(rows, column).iter_rows(named=True):
                bounds = (row["value"], row["low"], row["high"], row["n"])
                part = f"{column} {row[column]}"
                yield Number("accuracy", *bounds, domain=domain, split=split, part=part)


def _compare(result: Finished) -> Iterator[Number]:
    rows = result.table("transitions")
    for domain, found in result.json("comparison")["domains"].items():
        for over in ("micro", "these_relations", "new_relations"):
            if found.get(over) is not None:
                value, low, high, n = (found[over][name] for name in ("value", "low", "high", "n"))
                yield Number("difference", value, low, high, n, domain, "test", over)
        inside = rows.filter(pl.col("domain") == domain)
        for state in ("kept", "lost", "gained", "never"):
            count = int((inside["state"] == state).sum())
            yield Number(state, float(count), None, None, inside.height, domain, "test")


def _drift(result: Finished) -> Iterator[Number]:
    for row in result.table("drift_summary").iter_rows(named=True):
        part = None if row["split"] == "all" else f"{row['split']} {row['group']}"
        bounds = (row["mean"], row["low"], row["high"], row["n"])
        yield Number(row["measure"], *bounds, part=part)


def _diff(result: Finished) -> Iterator[Number]:
    changes = result.json("changes")
    weights = changes["weights"]
    for name in ("share_changed", "sum_abs", "sum_relative", "update_norm", "base_norm"):
        yield Number(name, float(changes[name]), n=weights)
    for row in result.table("concentration").iter_rows(named=True):
        part = f"top {row['top_percent']:g}"
        measure = f"concentration of {row['measure']}"
        yield Number(measure, row["share"], n=row["weights"], part=part)
        for null in ("null_permutation", "null_gaussian"):
            yield Number(f"{measure}, {null}", row[null], n=row["weights"], part=part)


def _search(result: Finished) -> Iterator[Number]:
    spec = result.manifest["spec"]
    task = spec.get("lm_eval_task") is not None  # its documents are in and out of nothing
    split = "dev" if task else spec.get("split", "dev")
    for row in result.table("candidates").iter_rows(named=True):
        part = f"{row['family']} {row['setting']}"
        bounds = (row["accuracy"], row["low"], row["high"], row["n"])
        domain = None if task else "in"
        yield Number("macro_relation", *bounds, domain=domain, split=split, part=part)
    if "test" in result.manifest["rows"]:
        for row in result.table("test").iter_rows(named=True):
            yield from _tested(row, None if task else row["domain"])


def _tested(row: dict[str, Any], domain: str | None) -> Iterator[Number]:
    """Yield the accuracy of an arm, and how far it is from what all arms are compared with."""
    place: dict[str, Any] = {"domain": domain, "split": "test", "part": row["arm"]}
    yield Number("macro_relation", row["accuracy"], row["low"], row["high"], row["n"], **place)
    for column, value in row.items():
        other = column.removesuffix("_difference")
        if other != column and value is not None:
            bounds = (row[f"{other}_low"], row[f"{other}_high"], row["n"])
            yield Number(f"difference to {other}", value, *bounds, **place)
            yield Number(f"p of the difference to {other}", row[f"{other}_p_holm"], **place)


_NUMBERS: dict[str, Callable[[Finished], Iterator[Number]]] = {
    "facts": _none,
    "probe": _probe,
    "select": _select,
    "tune": _tune,
    "evaluate": _evaluate,
    "compare": _compare,
    "drift": _drift,
    "diff": _diff,
    "search": _search,
}
