"""What differs between cells of a study: paired over test facts and over the seeds.

Knows plans and which cells make a pair; what is averaged how is told by `contrast_numbers.py`. The
seeds of a cell are replicas, so that an interval holds for other facts and other trainings.
"""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import polars as pl

from sixtyfold.core.errors import BadInput, suggestion
from sixtyfold.study.any_store import Store
from sixtyfold.study.contrast_numbers import ACCURACY, averages, measured
from sixtyfold.study.file import StudyFile
from sixtyfold.study.plan import Plan
from sixtyfold.study.ways import LABELS, Trained, ways

UNTUNED = "base"
"""What `against` says for the untuned model, asked in the way that did best on dev."""
SPLITS = ("dev", "test")
_SCHEMA = pl.Schema(
    {
        **dict.fromkeys(LABELS, pl.String()),
        "options": pl.String(),
        "vary": pl.String(),
        "against": pl.String(),
        "measure": pl.String(),
        "domain": pl.String(),
        "over": pl.String(),
        "part": pl.String(),
        "value": pl.Float64(),
        "low": pl.Float64(),
        "high": pl.Float64(),
        "p": pl.Float64(),
        "p_holm": pl.Float64(),
        "facts": pl.Int64(),
        "seeds": pl.Int64(),
        "keys": pl.List(pl.String()),
        "against_keys": pl.List(pl.String()),
    }
)


class Question(NamedTuple):
    """Which cells are compared.

    vary: the label in which two cells differ (`size`, `levels`, `grid`, an option of select or
        tune), or None: the accuracy of every cell alone.
    against: the value of that label that the others are compared with, or `base`: every cell is
        compared with the untuned model.
    grids: of which grids; none means all.
    measure: `accuracy`, or a measure of drift (`drift.summary.MEASURES`).
    split: dev or test; drift is measured on its own.
    """

    vary: str | None
    against: str | None
    grids: tuple[str, ...] = ()
    measure: str = ACCURACY
    split: str = "test"

    @property
    def role(self) -> str:
        """In which role of a cell the measure is found."""
        return self.split if self.measure == ACCURACY else "drift"


def contrasts(store: Store, study: StudyFile, plan: Plan, question: Question) -> pl.DataFrame:
    """Return how cells differ, or how accurate each is.

    Only cells that were chosen are taken. Two cells are a pair when they agree in model, grid,
    size, levels and every other axis of the grid but the one that varies and the one that was
    chosen on dev; seeds that both have are paired, and so are facts.

    Returns:
        one row per pair (or cell) and average (`contrast_numbers.Average`), with the labels, the
        seeds and the keys of the results. `p_holm` is adjusted over the pairs of the same model,
        domain, over and part.

    Raises:
        BadInput: nothing has this label or value, two cells answer to one description, or nothing
            was asked yet.
    """
    found = ways(study, plan, question.grids, question.role, question.split)
    if not found:
        named = f" of the grids {', '.join(question.grids)}" if question.grids else ""
        raise BadInput(
            f"no {question.role} results of trained models{named} are there yet; grids of the "
            f"study: {', '.join(grid.name for grid in study.grids)}; 'sixtyfold study run' first"
        )
    tables = _Measured(store, plan, question.measure)
    rows = [row for pair in _pairs(found, question) for row in _rows(pair, tables)]
    return _adjusted(pl.DataFrame(rows, schema=_SCHEMA))


class _Pair(NamedTuple):
    labels: dict[str, str]
    vary: str | None
    against: str | None
    results: dict[int, str]
    before: dict[int, str] | None


def _pairs(trained: Sequence[Trained], question: Question) -> Iterator[_Pair]:
    if question.against == UNTUNED:
        if question.measure != ACCURACY:
            raise BadInput(
                f"--against base was given with --measure {question.measure}, which is measured "
                "against the untuned model anyway; leave --against out"
            )
        for way in trained:
            if way.untuned is None:
                raise BadInput("--against base was given; the study does not ask the untuned model")
            yield _Pair(
                way.labels, None, UNTUNED, way.results, dict.fromkeys(way.results, way.untuned)
            )
        return
    if question.vary is None:
        for way in trained:
            yield _Pair(way.labels, None, None, way.results, None)
        return
    yield from _varied(trained, question.vary, str(question.against))


def _varied(trained: Sequence[Trained], vary: str, against: str) -> Iterator[_Pair]:
    known = {name for way in trained for name in way.labels}
    if vary not in known:
        raise BadInput(
            f"--vary {vary} was given{suggestion(vary, known)}; allowed here: "
            f"{', '.join(sorted(known))}"
        )
    groups: dict[tuple[tuple[str, str], ...], dict[str, Trained]] = defaultdict(dict)
    for way in trained:
        if vary in way.labels:
            inside = groups[_but(way.labels, vary)]
            value = way.labels[vary]
            if value in inside:
                raise BadInput(
                    f"two trainings have {vary} {value} and the same {', '.join(LABELS)} "
                    "otherwise; name grids with --grid"
                )
            inside[value] = way
    other = _named(against, {value for inside in groups.values() for value in inside}, vary)
    for inside in groups.values():
        if other in inside:
            for value, way in inside.items():
                if value != other:
                    yield _Pair(way.labels, vary, other, way.results, inside[other].results)


def _named(against: str, values: set[str], vary: str) -> str:
    """Return the value that was meant: 1e-5 and 1.0e-05 are one number."""
    for value in values:
        with contextlib.suppress(ValueError):
            if value == against or float(value) == float(against):
                return value
    raise BadInput(
        f"--against {against} was given{suggestion(against, values)}; values of {vary} that "
        f"were asked: {', '.join(sorted(values))}"
    )


def _but(labels: dict[str, str], vary: str) -> tuple[tuple[str, str], ...]:
    """Return what two ways of training must share. Grids have other options than each other."""
    kept = LABELS if vary == "grid" else tuple(labels)
    return tuple((name, labels[name]) for name in kept if name != vary)


class _Measured:
    """One measure of every fact, by the key of a result; each result is read once."""

    def __init__(self, store: Store, plan: Plan, measure: str) -> None:
        self.store = store
        self.plan = plan
        self.measure = measure
        self.read: dict[str, pl.DataFrame] = {}

    def __call__(self, key: str) -> pl.DataFrame:
        if key not in self.read:
            self.read[key] = measured(self.store.open(self.plan.jobs[key]), self.measure)
        return self.read[key]

    def recorded(self, key: str) -> bool:
        return self.store.is_recorded(key)


def _rows(pair: _Pair, tables: _Measured) -> Iterator[dict[str, Any]]:
    """Yield the numbers of one pair; none where no seed is there on both sides."""
    before = pair.before
    seeds = [
        seed
        for seed, key in sorted(pair.results.items())
        if tables.recorded(key)
        and (before is None or (seed in before and tables.recorded(before[seed])))
    ]
    if not seeds:
        return
    others = [f"{name} {value}" for name, value in pair.labels.items() if name not in LABELS]
    labels = {
        **{name: pair.labels[name] for name in LABELS},
        "options": ", ".join(others) or None,
        "vary": pair.vary,
        "against": pair.against,
        "measure": tables.measure,
        "seeds": len(seeds),
        "keys": [pair.results[seed] for seed in seeds],
        "against_keys": None if before is None else [before[seed] for seed in seeds],
    }
    after = [tables(pair.results[seed]) for seed in seeds]
    earlier = None if before is None else [tables(before[seed]) for seed in seeds]
    for row in averages(after, earlier, tables.measure):
        yield {**labels, **row._asdict(), "p_holm": None}


def _adjusted(rows: pl.DataFrame) -> pl.DataFrame:
    """Fill `p_holm`: the pairs of one model, domain and thing averaged over are one family."""
    from sixtyfold.core.paired_tests import holm

    if rows["p"].null_count() == rows.height:
        return rows
    family = ("model", "domain", "over", "part")
    parts = [
        group.with_columns(p_holm=pl.Series(holm(group["p"].to_list()), dtype=pl.Float64))
        for _, group in rows.with_row_index("_row").group_by(*family, maintain_order=True)
    ]
    return pl.concat(parts).sort("_row").drop("_row")
