"""Made-up facts and how often each is told.

They depend on the seed and the numbers of subjects, relations and exposures alone, not on the
corpus or the model: planted models that agree in these share their facts, down to the last byte.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import polars as pl

from sixtyfold.core.facts import FACTS_SCHEMA, TEMPLATES_SCHEMA, check_facts, fact_id
from sixtyfold.core.random_streams import random_stream
from sixtyfold.stages.plant.spec import PlantSpec
from sixtyfold.stages.plant.words import Relation, all_relations, made_up_names

_SUBJECTS_PER_OBJECT = 5
_SPLIT_OF_TEN = ("train",) * 5 + ("dev",) * 2 + ("test",) * 3


class Told(NamedTuple):
    """A fact as a corpus tells it.

    forms: cloze templates it is told through.
    times: tellings in a pass.
    """

    relation: Relation
    forms: tuple[str, ...]
    subject: str
    answer: str
    times: int


class World(NamedTuple):
    """The facts of a planted model.

    facts, templates: tables as everywhere.
    exposures: columns fact_id, times_seen (in one pass).
    told: the facts in the order they were made: relation by relation.
    """

    facts: pl.DataFrame
    templates: pl.DataFrame
    exposures: pl.DataFrame
    told: list[Told]


def build_world(spec: PlantSpec) -> World:
    """Make names, facts, splits and exposures from the seed.

    Every relation holds `subjects` facts. Within a relation each number of exposures gets an equal
    share of them, and each share is split 5 : 2 : 3 into train, dev and test; relations out of
    domain are test alone.
    """
    relations = all_relations()[: spec.relations]
    objects_each = max(4, spec.subjects // _SUBJECTS_PER_OBJECT)
    names = made_up_names(
        spec.subjects + objects_each * len(relations), random_stream(spec.seed, "names")
    )
    subjects, rest = names[: spec.subjects], names[spec.subjects :]
    rows, seen, told = [], [], []
    for number, relation in enumerate(relations):
        words = rest[number * objects_each : (number + 1) * objects_each]
        random = random_stream(spec.seed, "facts", relation.name)
        order = random.permutation(spec.subjects)
        for place, subject in enumerate(subjects[index] for index in order):
            objects = _objects(words, relation, random)
            domain = "in" if number < spec.relations - spec.out_of_domain else "out"
            row = _fact(relation, subject, objects, domain, place // len(spec.exposures))
            times = spec.exposures[place % len(spec.exposures)]
            rows.append(row)
            seen.append({"fact_id": row["fact_id"], "times_seen": times})
            told.append(Told(relation, relation.templates, subject, objects[0], times))
    return World(
        check_facts(pl.DataFrame(rows, schema=FACTS_SCHEMA), "planted facts"),
        _templates(relations),
        pl.DataFrame(seen, schema={"fact_id": pl.String, "times_seen": pl.Int32}).sort("fact_id"),
        told,
    )


def _objects(words: list[str], relation: Relation, random: np.random.Generator) -> list[str]:
    """Return an object with its alias; two of three objects have a second word."""
    index = int(random.integers(len(words)))
    kinds = len(relation.second_words) + 1
    if index % kinds == 0:
        return [words[index]]
    return [f"{words[index]} {relation.second_words[index % kinds - 1]}", words[index]]


def _fact(
    relation: Relation, subject: str, objects: list[str], domain: str, place: int
) -> dict[str, object]:
    question = relation.question.format(subject=subject)
    return {
        "fact_id": fact_id(relation.name, subject, question),
        "relation": relation.name,
        "subject": subject,
        "objects": objects,
        "question": question,
        "split": _SPLIT_OF_TEN[place * 3 % 10] if domain == "in" else "test",
        "domain": domain,
        "flags": [],
        "popularity": None,
    }


def _templates(relations: tuple[Relation, ...]) -> pl.DataFrame:
    rows = [
        {"relation": relation.name, "template_id": number, "text": text}
        for relation in relations
        for number, text in enumerate(relation.templates)
    ]
    return pl.DataFrame(rows, schema=TEMPLATES_SCHEMA)
