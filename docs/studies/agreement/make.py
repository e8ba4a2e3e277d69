"""Make the documents of the task `agreement`: pairs of sentences of which one is English.

    python docs/studies/agreement/make.py

The sentences are built from word lists; each pair differs in one word. A model is right when it
finds the grammatical sentence the more likely one. Nothing in it is a question or a fact.
"""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path

PER_PHENOMENON = 40
SINGULAR = ("teacher", "driver", "farmer", "painter", "doctor", "neighbour", "visitor", "guard")
PLURAL = tuple(f"{word}s" for word in SINGULAR)
THINGS = ("window", "bicycle", "letter", "basket", "lamp", "ticket", "blanket", "ladder")
PLACES = ("garden", "kitchen", "station", "market", "library", "harbour", "village", "museum")
VERBS = (("sleeps", "sleep"), ("waits", "wait"), ("smiles", "smile"), ("works", "work"))
PAST = (("eaten", "ate"), ("written", "wrote"), ("broken", "broke"), ("taken", "took"))
OBJECTS = {"eaten": "bread", "written": "letter", "broken": "lamp", "taken": "ticket"}

Pair = tuple[str, str]


def verb_after_subject() -> Iterator[Pair]:
    """The teachers wait / waits."""
    for one, many, place, (singular, plural) in _product(PLACES, VERBS):
        yield f"The {one} in the {place} {singular}.", f"The {one} in the {place} {plural}."
        yield f"The {many} in the {place} {plural}.", f"The {many} in the {place} {singular}."


def verb_after_another_noun() -> Iterator[Pair]:
    """The teacher behind the visitors waits / wait."""
    for one, many, other, (singular, plural) in _product(range(8), VERBS):
        if not many.startswith(SINGULAR[other]):
            near_many, near_one = PLURAL[other], SINGULAR[other]
            start = f"The {one} behind the {near_many}"
            yield f"{start} {singular}.", f"{start} {plural}."
            start = f"The {many} behind the {near_one}"
            yield f"{start} {plural}.", f"{start} {singular}."


def determiner() -> Iterator[Pair]:
    """These lamps / this lamps."""
    for one, _, thing, place in _product(THINGS, PLACES):
        start, end = f"The {one} left", f"in the {place}."
        yield f"{start} these {thing}s {end}", f"{start} this {thing}s {end}"
        yield f"{start} this {thing} {end}", f"{start} these {thing} {end}"


def reflexive() -> Iterator[Pair]:
    """The teachers hurt themselves / himself."""
    for one, many, verb, place in _product(("hurt", "saw", "blamed", "praised"), PLACES):
        end = f"in the {place}."
        yield f"The {many} {verb} themselves {end}", f"The {many} {verb} himself {end}"
        yield f"The {one} {verb} himself {end}", f"The {one} {verb} ourselves {end}"


def participle() -> Iterator[Pair]:
    """The teacher has eaten / ate the bread."""
    for one, many, place, (third, second) in _product(PLACES, PAST):
        end = f"the {OBJECTS[third]} in the {place}."
        yield f"The {one} has {third} {end}", f"The {one} has {second} {end}"
        yield f"The {many} have {third} {end}", f"The {many} have {second} {end}"


def there_is() -> Iterator[Pair]:
    """There are lamps / is lamps."""
    for one, many, thing, place in _product(THINGS, PLACES):
        yield (
            f"There are {thing}s for the {one} in the {place}.",
            (f"There is {thing}s for the {one} in the {place}."),
        )
        yield (
            f"There is a {thing} for the {many} in the {place}.",
            (f"There are a {thing} for the {many} in the {place}."),
        )


def case() -> Iterator[Pair]:
    """They met the teacher / Them met the teacher."""
    for one, many, (good, bad), place in _product(
        (("They", "Them"), ("We", "Us"), ("She", "Her"), ("He", "Him")), PLACES
    ):
        yield f"{good} met the {one} at the {place}.", f"{bad} met the {one} at the {place}."
        yield (
            f"The {many} met {bad.lower()} at the {place}.",
            (f"The {many} met {good.lower()} at the {place}."),
        )


def infinitive() -> Iterator[Pair]:
    """The teacher can wait / waits."""
    for one, many, (singular, plural), place in _product(VERBS, PLACES):
        for modal in ("can", "must"):
            end = f"in the {place}."
            yield f"The {one} {modal} {plural} {end}", f"The {one} {modal} {singular} {end}"
            yield f"The {many} {modal} {plural} {end}", f"The {many} {modal} {singular} {end}"


def _product(*others: object) -> Iterator[tuple[str, str, object, object]]:
    return itertools.product(SINGULAR, PLURAL, *others)  # type: ignore[call-overload]


PHENOMENA: tuple[Callable[[], Iterator[Pair]], ...] = (
    verb_after_subject, verb_after_another_noun, determiner, reflexive, participle, there_is, case,
    infinitive,
)  # fmt: skip


def documents() -> Iterator[dict[str, object]]:
    """Yield the documents: an equal number of each phenomenon, the right one first or second."""
    chance = random.Random(0)  # noqa: S311, sentences, not secrets
    for phenomenon in PHENOMENA:
        for good, bad in chance.sample(sorted(set(phenomenon())), PER_PHENOMENON):
            right = chance.randrange(2)
            choices = [bad, good] if right else [good, bad]
            yield {"phenomenon": phenomenon.__name__, "choices": choices, "right": right}


if __name__ == "__main__":
    lines = [json.dumps(each) + "\n" for each in documents()]
    Path(__file__).with_name("agreement.jsonl").write_text("".join(lines), encoding="utf-8")
