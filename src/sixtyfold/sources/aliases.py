"""More accepted answers: names of countries, usual short names, and a file of the user."""

from __future__ import annotations

import csv
import functools
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from sixtyfold.core.errors import BadInput
from sixtyfold.core.facts import normalise, text_lists
from sixtyfold.sources.countries import load_countries
from sixtyfold.sources.fields import word
from sixtyfold.sources.json_text import decode
from sixtyfold.sources.relations import read_data
from sixtyfold.sources.yaml_text import read_mapping, read_text

#: The atlas accepts them for the whole; an answer that is one of them is not the others.
_PARTS_OF_COUNTRIES = {"England", "Scotland", "Wales", "Northern Ireland"}


def add_aliases(rows: pl.DataFrame, wanted: str | None) -> tuple[pl.DataFrame, list[str]]:
    """Return rows whose accepted answers have their aliases behind them.

    Args:
        rows: any table with the column `objects`.
        wanted: `packages`, the path of a file, both separated by a comma, or None or `none`.

    Returns:
        the rows and a note on how many got an alias.

    Raises:
        BadInput: a file is not readable or not of the form answer → aliases.
    """
    if wanted is None or wanted.strip() == "none":
        return rows, []
    names: dict[str, list[str]] = {}
    for source in (part.strip() for part in wanted.split(",")):
        found = package_names() if source == "packages" else _read_file(Path(source))
        for answer, aliases in found.items():
            names.setdefault(answer, []).extend(aliases)
    changed = 0
    objects = []
    for given in rows["objects"].to_list():
        more = [alias for answer in given for alias in names.get(normalise(answer), ())]
        here = {normalise(answer) for answer in given}
        added: dict[str, str] = {}
        for alias in more:
            if normalise(alias) not in here:  # a spelling of an answer would only stand there twice
                added.setdefault(normalise(alias), alias)
        changed += bool(added)
        objects.append([*given, *added.values()])
    table = rows.with_columns(objects=text_lists(objects))
    return table, [f"{changed:,} rows got more accepted answers ({wanted})"]


@functools.cache
def country_names() -> Mapping[str, Sequence[str]]:
    """Return the names of every country by each of them, normalised."""
    names: dict[str, list[str]] = {}
    for country in load_countries(read_data("atlas_names.yaml")).values():
        whole = [name for name in country.names if name not in _PARTS_OF_COUNTRIES]
        for name in whole:
            names.setdefault(normalise(name), []).extend(whole)
    return names


@functools.cache
def package_names() -> Mapping[str, Sequence[str]]:
    """Return `country_names` and the usual short names of frequent answers."""
    short = {normalise(name): more for name, more in read_data("short_names.yaml").items()}
    return {**short, **country_names()}


def _read_file(path: Path) -> dict[str, list[str]]:
    """Read answer → aliases from yaml, json or csv (the answer first, no header)."""
    origin = f"--aliases {path}"
    form = "'answer: [alias]' as yaml, json or csv, or one of 'packages' and 'none'"
    text = read_text(path, origin, form)
    if path.suffix.lower() == ".csv":
        content = _csv_rows(text, origin)
    elif path.suffix.lower() == ".json":
        content = decode(text, origin, f"needed is {form}")
    else:
        content = read_mapping(text, origin, form)
    if not isinstance(content, dict):
        raise BadInput(f"{origin} holds a {type(content).__name__}; needed is {form}")
    names: dict[str, list[str]] = {}
    listed: Any
    for answer, listed in dict[Any, Any](content).items():
        if isinstance(answer, bool) or not isinstance(answer, (str, int, float)):
            raise BadInput(f"--aliases {path}: the answer {answer!r} is no text; put it in quotes")
        names.setdefault(normalise(str(answer)), []).extend(_texts(path, answer, listed))
    return names


def _csv_rows(text: str, origin: str) -> dict[str, list[str]]:
    """Read rows of an answer and its aliases; an answer may have several rows."""
    rows: dict[str, list[str]] = {}
    try:
        for row in csv.reader(io.StringIO(text, newline=""), strict=True):
            if row:
                rows.setdefault(row[0], []).extend(row[1:])
    except csv.Error as error:
        raise BadInput(f"{origin} is not readable csv ({error}); mend the line") from None
    return rows


def _texts(path: Path, answer: Any, listed: Any) -> list[str]:
    values = [listed] if isinstance(listed, str) else listed
    if not isinstance(values, list) or not all(isinstance(each, str) for each in values):
        raise BadInput(f"--aliases {path}: {answer!r} needs a list of texts as aliases")
    where = f"--aliases {path}: {answer!r}"
    return [text for each in values if (text := word(each, "aliases", where))]
