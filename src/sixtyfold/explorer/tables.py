"""The DuckDB connection of the explorer: it reads Parquet files and nothing of a user's SQL.

What a person types reaches DuckDB as a parameter, never as a part of a statement.
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

from sixtyfold.core.errors import Corrupted

Row = dict[str, Any]

# A file that is gone, one that is cut or overwritten, one without a column of its kind.
_DAMAGED = (duckdb.IOException, duckdb.InvalidInputException, duckdb.BinderException)


class Tables:
    """One connection in memory, shared by all threads of the server."""

    def __init__(self) -> None:
        self._spill = tempfile.TemporaryDirectory(prefix="sixtyfold-view-")
        self._connection = duckdb.connect(":memory:")
        for setting, value in (
            ("temp_directory", self._spill.name),
            ("python_enable_replacements", False),
            ("autoinstall_known_extensions", False),
            ("autoload_known_extensions", False),
        ):
            self._connection.execute(f"set {setting} = ?", [value])
        self._lock = threading.Lock()

    def frame(self, query: str, values: Sequence[Any] = ()) -> pl.DataFrame:
        """Return the rows of a query as a table.

        Args:
            query: SQL of this package, with `?` for every value.
            values: the values.

        Raises:
            Corrupted: a file that is read is missing or no readable table.
        """
        with self._lock:
            found = self._run(query, values)
            return pl.DataFrame() if found is None else found.pl()

    def rows(self, query: str, values: Sequence[Any] = ()) -> list[Row]:
        """Return the rows of a query as dictionaries; raises what `frame` raises."""
        return self.frame(query, values).to_dicts()

    def execute(self, query: str, values: Sequence[Any] = ()) -> None:
        """Run a statement without a result; raises what `frame` raises."""
        with self._lock:
            self._run(query, values)

    def close(self) -> None:
        """Let go of everything."""
        with self._lock:
            self._connection.close()
        self._spill.cleanup()

    def _run(self, query: str, values: Sequence[Any]) -> Any:
        try:
            return self._connection.sql(query, params=list(values))
        except _DAMAGED as error:
            line = " ".join(str(error).split("\n\nLINE ")[0].split())[:300]
            raise Corrupted(f"a table is not readable ({line}); make it again") from None


def source(path: Path) -> str:
    r"""Return the SQL that reads a Parquet file.

    >>> source(Path("it's/a.parquet"))
    "read_parquet('it''s/a.parquet')"
    """
    return "read_parquet('" + str(path).replace("'", "''") + "')"
