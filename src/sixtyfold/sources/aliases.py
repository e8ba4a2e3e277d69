"""More accepted answers: names of countries out of the fact packages, and a user's own file."""

from __future__ import annotations

import csv
import functools
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import yaml

from sixtyfold.core.errors import BadInput
from sixtyfold.core.facts import normalise, text_lists
from sixtyfold.sources.countries import load_countries
from sixtyfold.sources.fields import word
from sixtyfold.sources.relations import read_data

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
        found = country_names() if source == "packages" else _read_file(Path(source))
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


def _read_file(path: Path) -> dict[str, list[str]]:
    """Read answer → aliases from yaml, json or csv (the answer first, no header)."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        if path.suffix.lower() == ".csv":
            content: Any = {}
            for answer, *listed in filter(
                None, csv.reader(io.StringIO(text, newline=""), strict=True)
            ):
                content.setdefault(answer, []).extend(listed)
        else:
            content = json.loads(text) if path.suffix.lower() == ".json" else yaml.safe_load(text)
    except OSError as error:
        raise BadInput(
            f"--aliases {path} cannot be read ({error.strerror}); give a yaml, json or csv file, "
            "'packages' or 'none'"
        ) from None
    except (ValueError, csv.Error, yaml.YAMLError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise BadInput(f"--aliases {path} is not readable ({reason})") from None
    if not isinstance(content, dict):
        raise BadInput(f"--aliases {path} needs answers with their aliases, as 'answer: [alias]'")
    names: dict[str, list[str]] = {}
    for answer, listed in content.items():
        if isinstance(answer, bool) or not isinstance(answer, (str, int, float)):
            raise BadInput(f"--aliases {path}: the answer {answer!r} is no text; put it in quotes")
        names.setdefault(normalise(str(answer)), []).extend(_texts(path, answer, listed))
    return names


def _texts(path: Path, answer: Any, listed: Any) -> list[str]:
    values = [listed] if isinstance(listed, str) else listed
    if not isinstance(values, list) or not all(isinstance(each, str) for each in values):
        raise BadInput(f"--aliases {path}: {answer!r} needs a list of texts as aliases")
    where = f"--aliases {path}: {answer!r}"
    return [text for each in values if (text := word(each, "aliases", where))]
