"""`sixtyfold sql`: DuckDB over a store.

`cells` is what jobs belong to, `numbers` every number of every result, `results` both joined; each
kind of table of the results is a view of its own with the columns `key` and `stage` in front. Only
recorded results are seen. A query reads, and reads nothing but these tables.
"""

from __future__ import annotations

import re
import tempfile
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import duckdb
import polars as pl

from sixtyfold.core.errors import BadInput, Corrupted
from sixtyfold.study.any_store import NUMBERS, Store, StoredTable
from sixtyfold.study.columns import CELLS_SCHEMA, SCHEMA
from sixtyfold.study.open_store import open_store
from sixtyfold.study.spec import SqlSpec

_CELLS, _RESULTS = "cells", "results"
_JOINED = "create view results as from cells join numbers using (key, stage)"
_OF_FILES = pl.Schema({"key": pl.String(), "stage": pl.String()})
_READS = (duckdb.StatementType.SELECT, duckdb.StatementType.MULTI)  # MULTI: a PIVOT
_FROM_PLACE = "split_part(filename, '/', -2) as key, split_part(filename, '/', -3) as stage"
_STRING = re.compile(r"'(?:[^']|'')*'")
_DAMAGED = (duckdb.IOException, duckdb.InvalidInputException)


def ask(spec: SqlSpec) -> pl.DataFrame:
    """Return the rows of a query.

    Raises:
        BadInput: there is no such store, or the query is not one that DuckDB can answer; the
            message says what views or columns there are.
        Corrupted: a file of the store is not what was written.
    """
    store = open_store(spec.store, make=False)
    with tempfile.TemporaryDirectory() as spill, duckdb.connect() as connection:
        views = _Views(store, connection)
        try:
            _refuse_others(connection, spec.query)
            views.make(spec.query, spill)
            return _plain(connection.sql(spec.query).pl())
        except _DAMAGED as error:
            raise Corrupted(
                f"a table of the store {store.url} is not readable ({_line(error)}); "
                "'sixtyfold study run' makes it again"
            ) from None
        except duckdb.Error as error:
            raise BadInput(f"{_line(error)}; {views.described(error)}") from None


def _refuse_others(connection: duckdb.DuckDBPyConnection, query: str) -> None:
    """Refuse anything but one statement that reads."""
    kinds = [statement.type for statement in connection.extract_statements(query)]
    if len(kinds) != 1 or kinds[0] not in _READS:
        found = ", ".join(kind.name for kind in kinds) or "no statement"
        raise BadInput(
            f"--query was given {found}; allowed: one SELECT (FROM, WITH, SHOW, DESCRIBE, PIVOT)"
        )


class _Views:
    """Views of a connection over the tables of a store, made when a query mentions them."""

    def __init__(self, store: Store, connection: duckdb.DuckDBPyConnection) -> None:
        self.store = store
        self.connection = connection
        self.tables: dict[str, list[StoredTable]] = defaultdict(list)
        for table in sorted(store.tables()):
            self.tables[table.name].append(table)
        own = {_CELLS, _RESULTS, NUMBERS}
        self.names = [_CELLS, NUMBERS, _RESULTS, *sorted(set(self.tables) - own)]
        self.made: list[str] = []

    def make(self, query: str, spill: str) -> None:
        """Make the views a query mentions (all where it mentions none), and lock the connection.

        Args:
            query: what will be asked.
            spill: a directory for what does not fit into memory.
        """
        words = set(re.findall(r"\w+", _STRING.sub("", query).lower()))
        self.made = [name for name in self.names if name in words] or self.names
        of_files = [name for name in self.made if name != _RESULTS]
        if _RESULTS in self.made:
            of_files = list(dict.fromkeys([_CELLS, NUMBERS, *of_files]))
        files = {name: self.files(name) for name in of_files}
        self.lock([str(path) for paths in files.values() for path in paths], spill)
        for name, paths in files.items():
            self.connection.execute(f'create view "{name}" as {_select(name, paths)}')
        if _RESULTS in self.made:
            self.connection.execute(_JOINED)

    def files(self, name: str) -> list[Path]:
        """Return the files behind a view, fetched where the store lies elsewhere."""
        if name == _CELLS:
            return self.store.cells_files()
        return self.store.table_files(self.tables[name])

    def lock(self, files: list[str], spill: str) -> None:
        """Let the connection read these files and nothing else."""
        for setting, value in (
            ("temp_directory", spill),
            ("python_enable_replacements", False),
            ("allowed_paths", files),
            ("enable_external_access", False),
            ("lock_configuration", True),
        ):
            self.connection.execute(f"set {setting} = ?", [value])

    def described(self, error: duckdb.Error) -> str:
        """Say what there is: columns of the views of a query, or the views."""
        if isinstance(error, duckdb.BinderException) and len(self.made) < len(self.names):
            return "; ".join(f"columns of {name}: {self.columns(name)}" for name in self.made)
        return f"views here: {', '.join(self.names)}"

    def columns(self, name: str) -> str:
        """Return the names of a view's columns."""
        return ", ".join(self.connection.sql(f'from "{name}" limit 0').columns)


def _select(name: str, paths: Iterable[Path]) -> str:
    """Return the query behind a view over files; key and stage are read off their places."""
    files = ", ".join("'" + str(path).replace("'", "''") + "'" for path in paths)
    if not files:
        schema = CELLS_SCHEMA if name == _CELLS else {**_OF_FILES, **SCHEMA}
        columns = ", ".join(f'null::{_sql_type(kind)} as "{each}"' for each, kind in schema.items())
        return f"select {columns} where false"
    by_name = "false" if name == NUMBERS else "true"  # they have one schema: half the time
    rows = f"from read_parquet([{files}], union_by_name = {by_name}, filename = true)"
    if name == _CELLS:
        return f"select * exclude (filename) {rows}"
    return f"select {_FROM_PLACE}, * exclude (filename) {rows}"


def _sql_type(kind: pl.DataType) -> str:
    names = {pl.String(): "varchar", pl.Int64(): "bigint", pl.Boolean(): "boolean"}
    return names.get(kind, "double")


def _plain(frame: pl.DataFrame) -> pl.DataFrame:
    """Return sums of integers as integers and decimal numbers as floats."""
    return frame.with_columns(
        pl.col(name).cast(pl.Int128 if kind.scale == 0 else pl.Float64)
        for name, kind in frame.schema.items()
        if isinstance(kind, pl.Decimal)
    )


def _line(error: duckdb.Error) -> str:
    """Return what DuckDB says, without the query it repeats."""
    return " ".join(str(error).split("\n\nLINE ")[0].split())
