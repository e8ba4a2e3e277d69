"""Collect what studies found into docs/data, and write docs/findings.md out of it.

    python docs/studies/findings.py collect [STUDY ...]   # stores of studies -> docs/data/*.parquet
    python docs/studies/findings.py write                 # docs/data/*.parquet -> docs/findings.md
    python docs/studies/findings.py check                 # is docs/findings.md what it should be?

`findings.md.j2` holds the words; every number in it is the answer to a query over docs/data, which
stands folded below each table.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import duckdb
import jinja2
import polars as pl
import yaml

from sixtyfold.core.errors import BadInput, SixtyfoldError
from sixtyfold.core.statistics import ALPHA, mean_and_half_width
from sixtyfold.study.contrast_numbers import ACCURACY, averages
from sixtyfold.study.run import contrast, open_study, repairs, results
from sixtyfold.study.spec import (
    SqlSpec,
    StudyContrastSpec,
    StudyRepairsSpec,
    StudyResultsSpec,
    StudySpec,
)
from sixtyfold.study.sql import ask
from sixtyfold.study.ways import ways

HERE = Path(__file__).parent
DATA = HERE.parent / "data"
PAGE = HERE.parent / "findings.md"
MARGIN = 0.03
"""Three points: a difference that is surely smaller than this is called small."""
_KEPT_ROLES = ("probe", "select", "dev", "test", "own", "compare", "diff", "drift")


def collect(studies: Sequence[str]) -> None:
    """Write the tables of studies that are finished.

    Raises:
        BadInput: a study has a question that nothing answers yet.
    """
    asked = yaml.safe_load((HERE / "findings.yaml").read_text(encoding="utf-8"))
    DATA.mkdir(exist_ok=True)
    for name in studies or asked:
        file = HERE / f"{name}.yaml"
        tables = {"numbers": _numbers(file), "contrasts": _contrasts(file, asked[name])}
        if any(role.startswith("search") for role in _roles(file)):
            tables["repairs"] = repairs(StudyRepairsSpec(file=file))
        if asked[name].get("repairs_by_level"):
            tables["repairs_by_level"] = _repairs_by_level(file)
        if asked[name].get("majority"):
            tables["majority"] = _majority(file)
        store = open_study(StudySpec(file=file)).store.url
        for table, query in asked[name]["queries"].items():
            found = ask(SqlSpec(query=query.format(study=name), store=store))
            tables[table] = found.sort(pl.all())
        if "exposures" in asked[name]:
            tables["exposures"] = _recalls(name, store, Path(asked[name]["exposures"]))
        for table, rows in tables.items():
            path = DATA / f"{name}-{table}.parquet"
            _plain(rows).write_parquet(path, compression="zstd", compression_level=12)
            sys.stderr.write(f"{path}: {rows.height} rows, {path.stat().st_size / 1e3:.0f} kB\n")


def _recalls(study: str, store: str, exposures: Path) -> pl.DataFrame:
    """Return the mean recall of planted facts by how often they were seen, with 95% intervals."""
    query = (
        "select study, model, fact_id, recall from probe join cells using (key, stage) "
        "where role = 'probe' and grid = 'base'"
    )
    probed = ask(SqlSpec(query=query, store=store)).filter(pl.col("study") == study)
    facts = probed.join(pl.read_parquet(exposures), on="fact_id")
    rows = []
    for (model, times), seen in facts.group_by("model", "times_seen", maintain_order=True):
        mean, half = mean_and_half_width(seen["recall"].to_numpy())
        bounds = {"value": mean, "low": max(0.0, mean - half), "high": min(1.0, mean + half)}
        rows.append({"model": model, "times_seen": times, "facts": seen.height, **bounds})
    return pl.DataFrame(rows).sort("model", "times_seen")


def _plain(rows: pl.DataFrame) -> pl.DataFrame:
    """Return a table whose columns are all numbers and words."""
    lists = [name for name, kind in rows.schema.items() if isinstance(kind, pl.List)]
    return rows.with_columns(pl.col(lists).list.join(" "))


def _roles(file: Path) -> set[str]:
    return {role for cell in open_study(StudySpec(file=file)).plan.cells for role in cell.jobs}


def _numbers(file: Path) -> pl.DataFrame:
    """Return the numbers that are not of a relation or of a candidate that was not chosen."""
    rows = results(StudyResultsSpec(file=file))
    kept = pl.col("role").is_in(_KEPT_ROLES) | pl.col("role").str.starts_with("search")
    of_relation = pl.col("part").str.contains("relation ").fill_null(value=False)
    of_choice = pl.col("chosen") | pl.col("measure").is_in(["macro_relation"])
    return rows.filter(kept & ~of_relation & of_choice)


def _repairs_by_level(file: Path) -> pl.DataFrame:
    """Return what repairs changed, levels weighed alike (`study repairs` weighs relations)."""
    opened = open_study(StudySpec(file=file))
    rows = []
    for way in ways(opened.study, opened.plan, (), "search"):
        searches = [opened.store.open(opened.plan.jobs[key]) for key in way.results.values()]
        answers = [search.table("test_answers") for search in searches]
        value = pl.col("hit").cast(pl.Float64).alias("value")
        hits = {
            arm: [each.filter(arm=arm).with_columns(value).sort("fact_id") for each in answers]
            for arm in answers[0]["arm"].unique(maintain_order=True)
        }
        for reference in ("tuned", "interpolation"):
            for arm, after in hits.items():
                for row in averages(after, hits[reference], ACCURACY):
                    if arm != reference and row.over.startswith("levels"):
                        named = {"grid": way.labels["grid"], "reference": reference, "arm": arm}
                        rows.append(named | row._asdict())
    return pl.DataFrame(rows, infer_schema_length=None)


def _majority(file: Path) -> pl.DataFrame:
    """Return, per model and domain, what always giving the most common answer would reach."""
    opened = open_study(StudySpec(file=file))
    rows = []
    for cell in opened.plan.cells:
        if cell.labels["grid"] == "base" and "test" in cell.jobs:
            job = opened.plan.jobs[cell.jobs["test"]]
            for domain, found in opened.store.open(job).manifest["majority"].items():
                rows.append({"model": cell.labels["model"], "domain": domain, **found})
    return pl.DataFrame(rows).unique(maintain_order=True)


def _contrasts(file: Path, asked: dict[str, Any]) -> pl.DataFrame:
    tables = []
    for question in asked["contrasts"]:
        given = {**question, "grid": tuple(question.get("grid", ()))}
        tables.append(contrast(StudyContrastSpec(file=file, **given)))
    return pl.concat(tables)


class Page:
    """What the template asks: every answer comes from a query over docs/data."""

    def __init__(self) -> None:
        self.database = duckdb.connect()
        for path in sorted(DATA.glob("*.parquet")):
            name = path.stem.replace("-", "_")
            self.database.execute(f"create view {name} as from read_parquet('{path}')")
        self.asked: list[str] = []

    def rows(self, query: str) -> list[dict[str, Any]]:
        """Return the rows of a query."""
        return self.database.sql(query).pl().to_dicts()

    def has(self, study: str, table: str = "numbers") -> bool:
        """Return whether a table of a study is in docs/data."""
        return (DATA / f"{study}-{table}.parquet").exists()

    def one(self, query: str) -> dict[str, Any]:
        """Return the only row of a query.

        Raises:
            BadInput: there is none, or several.
        """
        found = self.rows(query)
        if len(found) != 1:
            raise BadInput(f"{len(found)} rows where the page needs one: {query}")
        return found[0]

    def accuracy(self, query: str) -> str:
        """Return `51.5% (48.0–55.1)` of a row with value, low and high."""
        return _percent(self.one(query))

    def points(self, query: str) -> str:
        """Return `+2.2 (+0.2 to +4.3)` of a row with value, low and high."""
        self.asked.append(query)
        return _signed(self.one(query))

    def table(self, query: str, **formats: str) -> str:
        """Return a Markdown table with the query that made it folded below.

        Args:
            query: its columns are the table's; value, low and high become one column.
            formats: how `value` is written (`value="points"`, `"percent"` or `"plain"`).
        """
        rows = self._some(query)
        written = _FORMATS[formats.get("value", "plain")]
        names = [name for name in rows[0] if name not in ("low", "high")]
        cells = [
            [
                written(row) if name == "value" and "low" in row else _cell(row[name])
                for name in names
            ]
            for row in rows
        ]
        return _markdown(names, cells, query)

    def crossed(self, query: str, **formats: str) -> str:
        """Return a Markdown table of two directions, with the query that made it folded below.

        Args:
            query: rows of value, low and high (or value alone); of the columns before them the last
                is written across, numbers first, and the others down. What has no row is a dash.
            formats: as of `table`.

        Raises:
            BadInput: two rows answer for one cell.
        """
        rows = self._some(query)
        written = _FORMATS[formats.get("value", "plain")]
        *down, across = [name for name in rows[0] if name not in ("value", "low", "high")]
        heads = sorted({_cell(row[across]) for row in rows}, key=_in_order)
        found: dict[tuple[str, ...], dict[str, str]] = {}
        for row in rows:
            line = found.setdefault(tuple(_cell(row[name]) for name in down), {})
            if _cell(row[across]) in line:
                raise BadInput(f"two rows for one cell of a table of the page: {query}")
            line[_cell(row[across])] = written(row) if "low" in row else _cell(row["value"])
        cells = [
            [*line, *(values.get(head, "–") for head in heads)] for line, values in found.items()
        ]
        named = [f"{across} {head}" if head[0].isdigit() else head for head in heads]
        return _markdown([*down, *named], cells, query)

    def claimed(self, query: str, claimed: str) -> str:
        """Return the difference that a claim is about, and the verdict: two cells of a table."""
        return f"{self.points(query)} | {self.sign(query, claimed)}"

    def change(self, query: str, claimed: str) -> str:
        """Return what `claimed` does, of a difference that is not in points."""
        self.asked.append(query)
        return f"{_as_it_is(self.one(query))} | {self.sign(query, claimed, margin=0)}"

    def queries(self) -> str:
        """Return the queries of single numbers since the last call, folded, each once."""
        told, self.asked = list(dict.fromkeys(self.asked)), []
        return _folded(told)

    def _some(self, query: str) -> list[dict[str, Any]]:
        rows = self.rows(query)
        if not rows:
            raise BadInput(f"no rows for a table of the page: {query}")
        return rows

    def sign(self, query: str, claimed: str, margin: float = MARGIN) -> str:
        """Say whether a difference has the claimed sign.

        Args:
            query: one row with value, low and high, and p_holm where it is one of many.
            claimed: `+` or `-`.
            margin: what is surely smaller is called small; 0: nothing is.
        """
        row = self.one(query)
        side = 1 if claimed == "+" else -1
        low, high = sorted((side * row["low"], side * row["high"]))
        alone = ", alone" if (row.get("p_holm") or 0.0) > ALPHA else ""
        if low > 0:
            return f"holds{alone}"
        if high < 0:
            return f"the opposite{alone}"
        return "less than 3 points" if low > -margin and high < margin else "cannot tell"

    def enough(self, query: str) -> str:
        """Say whether nothing is better by `MARGIN` than what the others are compared with.

        Args:
            query: rows with value, low and high, each the difference of a larger set.
        """
        rows = self._some(query)
        if any(row["low"] > MARGIN for row in rows):
            return "does not hold"
        return "holds" if all(row["high"] < MARGIN for row in rows) else "cannot tell"


def _markdown(names: Sequence[str], cells: Sequence[Sequence[str]], query: str) -> str:
    lines = [names, ["---"] * len(names), *cells]
    text = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    return f"{text}\n\n{_folded([query])}"


def _folded(queries: Sequence[str]) -> str:
    told = "\n\n".join(f"`{' '.join(each.split())}`" for each in queries)
    name = "query" if len(queries) == 1 else "queries"
    return f'<details markdown="1"><summary>{name}</summary>\n\n{told}\n</details>'


def _in_order(head: str) -> tuple[float, str]:
    return (float(head) if head.replace(".", "", 1).isdigit() else math.inf, head)


def _percent(row: dict[str, Any]) -> str:
    value, low, high = (f"{100 * row[name]:.1f}" for name in ("value", "low", "high"))
    return f"{value}% ({low}–{high})"


def _signed(row: dict[str, Any]) -> str:
    value, low, high = (f"{100 * row[name]:+.1f}" for name in ("value", "low", "high"))
    return f"{value} ({low} to {high})"


def _as_it_is(row: dict[str, Any]) -> str:
    return f"{row['value']:.3g} ({row['low']:.3g} to {row['high']:.3g})"


_FORMATS: dict[str, Callable[[dict[str, Any]], str]] = {
    "percent": _percent,
    "points": _signed,
    "plain": _as_it_is,
}


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def page() -> str:
    """Return the text of docs/findings.md."""
    environment = jinja2.Environment(  # noqa: S701, Markdown of our own numbers
        loader=jinja2.FileSystemLoader(HERE), undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    return environment.get_template("findings.md.j2").render(of=Page())


def main(words: Sequence[str]) -> None:
    """Do what the command line says."""
    match words:
        case ["collect", *studies]:
            collect(studies)
        case ["write"]:
            PAGE.write_text(page(), encoding="utf-8")
        case ["check"]:
            if PAGE.read_text(encoding="utf-8") != page():
                sys.exit(f"{PAGE} is not what its data say; run 'write'")
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except SixtyfoldError as error:
        sys.exit(str(error))
