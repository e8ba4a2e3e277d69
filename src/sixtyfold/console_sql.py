"""What a person sees of a query over a store."""

from __future__ import annotations

import json
import sys
from typing import Any

import polars as pl

from sixtyfold.core.visible_text import visible
from sixtyfold.printing import print_frame, say
from sixtyfold.study.spec import SqlSpec


def show_sql(result: pl.DataFrame, spec: SqlSpec, *, silent: bool) -> list[dict[str, Any]]:
    """Show the rows of a query."""
    if not silent and spec.format == "csv":
        lists = pl.selectors.nested().map_elements(_as_json, return_dtype=pl.String)
        text = result.with_columns(lists).write_csv()
        if sys.stdout.isatty():  # a file gets the data as they are
            text = "\n".join(visible(line, longest=len(line)) for line in text.split("\n"))
        sys.stdout.write(text)
    elif not silent:
        print_frame(result.head(spec.rows))
        if result.height > spec.rows:
            say(f"{spec.rows} of {result.height} rows; --rows N or --format csv for more")
    return result.to_dicts()


def _as_json(value: Any) -> str:
    return json.dumps(value.to_list() if isinstance(value, pl.Series) else value, default=str)
